/*
 * Remote memory and migration: what has to be refused, and who passes through
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "migration.h"
#include "migration/blocker.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "postcopy.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "remote-memory/remote-memory.h"
#include "snapshot.h"
#include "system/runstate.h"

/* Main thread only: whether, and what says so to whoever wants to migrate. */
static bool held;
static Error *held_blocker;

bool migration_is_held(void)
{
    return held;
}

static Error *reason(void)
{
    Error *err = NULL;

    error_setg(&err, "the guest waits for a page that its store, or the "
               "source of its migration, does not give; repair that and "
               "continue the guest first");
    return err;
}

/* Fails while a migration is under way, and then is tried again at its end. */
static void add_blocker(void)
{
    held_blocker = reason();
    migrate_add_blocker_internal(&held_blocker, NULL);
}

/*
 * Nothing that a migration sends from now on arrives.  So whatever it does
 * before it sees that, the destination does not get a state of a vCPU that is
 * in the middle of an instruction.  It may be a while until it ends, since it
 * may wait for a page as well: perhaps in the middle of sending it, where
 * closing the connection, as migrate_cancel does, would wait for it.
 */
static void give_up(MigrationState *s)
{
    g_autoptr(Error) err = reason();

    WITH_QEMU_LOCK_GUARD(&s->qemu_file_lock) {
        if (s->to_dst_file) {
            migrate_set_error(s, err);
            qemu_file_set_error(s->to_dst_file, -EIO);
            return;
        }
    }
    /* Not connected yet: nothing to wait for. */
    qmp_migrate_cancel(NULL);
}

/* Who stops the VM to save its state waits for the vCPU instead. */
bool migration_hold(void)
{
    if (runstate_check(RUN_STATE_FINISH_MIGRATE) ||
        runstate_check(RUN_STATE_SAVE_VM)) {
        return false;
    }
    held = true;
    if (migration_is_running()) {
        give_up(migrate_get_current());
    }
    add_blocker();
    return true;
}

/* Called with the BQL. */
static int migration_event(NotifierWithReturn *n, MigrationEvent *e,
                           Error **errp)
{
    ERRP_GUARD();

    if (e->type == MIG_EVENT_PRECOPY_SETUP && migrate_colo()) {
        error_setg(errp, "the guest has remote memory: migration capability "
                   "'x-colo' would keep a second copy of all of it on the "
                   "other side");
        error_append_hint(errp, "Switch it off with "
                          "migrate-set-capabilities.\n");
        return -EOPNOTSUPP;
    }
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

/* Which is not made by a thread of its own, and may find the VM paused. */
static bool is_snapshot(void)
{
    return !migrate_get_current()->migration_thread_running;
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
        if (!handover_may_send(errp)) {
            return -EINVAL;
        }
        if (is_snapshot()) {
            snapshot_begin();
        }
        remote_memory_visit_begin();
    } else if (event->reason == PRECOPY_NOTIFY_CLEANUP) {
        remote_memory_visit_end();
        snapshot_end();
    }
    return 0;
}

void migration_limits_init(void)
{
    static NotifierWithReturn precopy_notifier = { .notify = precopy_visit };
    static NotifierWithReturn notifiers[MIG_MODE__MAX];
    static bool done;

    if (!done) {
        done = true;
        qemu_add_vm_change_state_handler(vm_change, NULL);
        for (MigMode mode = 0; mode < MIG_MODE__MAX; mode++) {
            migration_add_notifier_mode(&notifiers[mode], migration_event,
                                        mode);
        }
        postcopy_init();
        handover_init();
        precopy_add_notifier(&precopy_notifier);
    }
}
