/*
 * Remote memory and migration: what has to be refused, and who passes through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "migration.h"
#include "migration/blocker.h"
#include "migration/misc.h"
#include "postcopy.h"
#include "qapi/error.h"
#include "remote-memory/remote-memory.h"
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

/*
 * The set-up is reported in the thread that is going to read all of memory: a
 * migration's, which does nothing else until it ends, or the main thread for a
 * snapshot.  The end is reported in the main thread.
 */
static int precopy_visit(NotifierWithReturn *n, void *data, Error **errp)
{
    const PrecopyNotifyData *event = data;

    if (event->reason == PRECOPY_NOTIFY_SETUP) {
        remote_memory_visit_begin();
    } else if (event->reason == PRECOPY_NOTIFY_CLEANUP) {
        remote_memory_visit_end();
    }
    return 0;
}

void migration_limits_init(void)
{
    static NotifierWithReturn precopy_notifier = { .notify = precopy_visit };
    static bool done;

    if (!done) {
        done = true;
        qemu_add_vm_change_state_handler(vm_change, NULL);
        postcopy_init();
        handover_init();
        precopy_add_notifier(&precopy_notifier);
    }
}
