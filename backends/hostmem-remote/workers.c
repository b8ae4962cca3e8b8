/*
 * Workers: threads of the kernel that wait for pages in the place of others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "held.h"
#include "workers.h"

uint32_t workers_or_thread(KnownThreads *known, uint32_t tid)
{
    uint32_t *slot = &known->tid[tid % WORKERS_KNOWN];

    if (*slot != tid) {
        if (!held_is_ours(tid)) {
            return WORKERS;
        }
        *slot = tid;
    }
    return tid;
}
