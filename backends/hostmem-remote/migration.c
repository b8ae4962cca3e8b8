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
#include "qapi/qapi-commands-migration.h"
#include "remote-memory/remote-memory.h"
#include "system/runstate.h"

/* Main thread only: whether, and what says so to whoever wants to migrate. */
static bool held;
static Error *held_blocker;

bool migration_is_held(void)
{
    return held;
}

/* Fails while a migration is under way, and then is tried again at its end. */
static void add_blocker(void)
{
    error_setg(&held_blocker, "the guest waits for a page that its store, "
               "or the source of its migration, does not give; repair that "
               "and continue the guest first");
    migrate_add_blocker_internal(&held_blocker, NULL);
}

/*
 * A migration that is under way is given up.  Nothing that it sends from now
 * on arrives, so that whatever it does before it ends, the destination does
 * not get a state of this vCPU.  It may be a while until it ends: it may wait
 * for a page as well.
 *
 * Who stops the VM to save its state waits for the vCPU instead.
 */
bool migration_hold(void)
{
    if (runstate_check(RUN_STATE_FINISH_MIGRATE) ||
        runstate_check(RUN_STATE_SAVE_VM)) {
        return false;
    }
    held = true;
    if (migration_is_running()) {
        qmp_migrate_cancel(NULL);
    }
    add_blocker();
    return true;
}

static int migration_end(NotifierWithReturn *n, MigrationEvent *e, Error **errp)
{
    if (e->type == MIG_EVENT_PRECOPY_FAILED && held && !held_blocker) {
        add_blocker();
    }
    return 0;
}

static void vm_change(void *opaque, bool running, RunState state)
{
    if (running) {
        held = false;
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
    static NotifierWithReturn end_notifiers[MIG_MODE__MAX];
    static bool done;

    if (!done) {
        done = true;
        qemu_add_vm_change_state_handler(vm_change, NULL);
        for (MigMode mode = 0; mode < MIG_MODE__MAX; mode++) {
            migration_add_notifier_mode(&end_notifiers[mode], migration_end,
                                        mode);
        }
        postcopy_init();
        handover_init();
        precopy_add_notifier(&precopy_notifier);
    }
}
