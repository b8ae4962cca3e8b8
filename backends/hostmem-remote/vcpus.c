/*
 * What is asked of vCPUs that wait for a page of a lost store
 *
 * The VM counts as paused without them; see remote_memory_vcpus_parked().  But
 * some who are told then that it stops, or that it starts again, wait for each
 * vCPU to do something in its own thread: those of KVM's clock do.  The main
 * thread would wait with them until the store is back, and nobody could give a
 * command any more.  So what they ask for is done when the vCPU leaves its
 * fault, before it goes on or stops.
 *
 * That is for them only: who asks for registers has to have them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "pagers.h"
#include "remote-memory/remote-memory.h"
#include "system/runstate.h"

/* They are being told.  Protected by the BQL. */
static bool telling;

/* The first that is told of a start, and the last that is told of a stop */
static void told_outside(void *opaque, bool running, RunState state)
{
    telling = running;
}

/* The last that is told of a start, and the first that is told of a stop */
static void told_inside(void *opaque, bool running, RunState state)
{
    telling = !running;
}

void vcpus_init(void)
{
    static bool done;

    if (!done) {
        qemu_add_vm_change_state_handler_prio(told_outside, NULL, INT_MIN);
        qemu_add_vm_change_state_handler_prio(told_inside, NULL, INT_MAX);
        done = true;
    }
}

/* Not what has data: that may be on the stack of who asks. */
bool remote_memory_defers(CPUState *cpu, void *data)
{
    return telling && !data && !cpu->stopped &&
           pagers_have_parked(cpu->thread_id);
}
