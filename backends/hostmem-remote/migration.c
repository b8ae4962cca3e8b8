/*
 * Remote memory and migration: what has to be refused
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "migration.h"
#include "migration/blocker.h"
#include "postcopy.h"
#include "qapi/error.h"
#include "system/runstate.h"

/* Main thread only. */
static Error *held_blocker;

bool migration_is_held(void)
{
    return held_blocker;
}

bool migration_hold(void)
{
    error_setg(&held_blocker, "the guest waits for a page that its store, "
               "or the source of its migration, does not give; repair that "
               "and continue the guest first");
    return migrate_add_blocker_internal(&held_blocker, NULL) == 0;
}

static void vm_change(void *opaque, bool running, RunState state)
{
    if (running) {
        migrate_del_blocker(&held_blocker);
    }
}

void migration_limits_init(void)
{
    static bool done;

    if (!done) {
        done = true;
        qemu_add_vm_change_state_handler(vm_change, NULL);
        postcopy_init();
        handover_init();
    }
}
