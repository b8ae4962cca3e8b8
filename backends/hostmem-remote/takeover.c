/*
 * Taking over: which side of a migration that handed pages over has them
 *
 * That is decided when a VM is to run, on either side: see ownership.h.  So
 * whatever fails, and whenever, one of them can go on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "migration/migration.h"
#include "migration/misc.h"
#include "migration/options.h"
#include "ownership.h"
#include "pagers.h"
#include "qapi/error.h"
#include "qapi/qapi-events-remote-memory.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "remote-memory/remote-memory.h"
#include "system/runstate.h"

/* How often to ask whether the destination has taken the pages. */
#define LET_GO_MIN_MS 50
#define LET_GO_MAX_MS 10000

bool handover_is_wanted(void)
{
    return migrate_get_current()->
           capabilities[MIGRATION_CAPABILITY_REMOTE_MEMORY];
}

/*
 * Backends are taken in the order of their names, and none after one that was
 * refused: so who has the first one gets them all.
 */

static void take_pager(RemotePager *pager, void *opaque)
{
    Error **errp = opaque;

    if (!*errp && !pager_take(pager, errp)) {
        qapi_event_send_remote_memory_error(
            pager->id, remote_store_id(pager->store),
            REMOTE_MEMORY_OPERATION_TAKE_OVER, REMOTE_MEMORY_ON_ERROR_STOP,
            error_get_pretty(*errp));
    }
}

bool remote_memory_may_run(void)
{
    Error *err = NULL;

    pagers_foreach(take_pager, &err);
    if (!err) {
        return true;
    }
    error_report_err(err);
    if (runstate_check(RUN_STATE_INMIGRATE) ||
        runstate_check(RUN_STATE_FINISH_MIGRATE)) {
        /* "cont" asks again. */
        runstate_set(RUN_STATE_PAUSED);
    }
    return false;
}

typedef struct Offers {
    bool any;
    bool taken;
} Offers;

static void take_back(RemotePager *pager, void *opaque)
{
    Offers *offers = opaque;

    if (pager->ownership == PAGER_OFFERS && !offers->taken) {
        offers->any = true;
        offers->taken |= !pager_take(pager, NULL);
    }
}

bool remote_memory_is_gone(void)
{
    Offers offers = { 0 };

    pagers_foreach(take_back, &offers);
    return offers.taken;
}

bool remote_memory_returns(void)
{
    Offers offers = { 0 };

    if (migrate_release_ram()) {
        /* What was sent is not here any more. */
        return false;
    }
    BQL_LOCK_GUARD();
    pagers_foreach(take_back, &offers);
    return offers.any && !offers.taken;
}

static void check_owns(RemotePager *pager, void *opaque)
{
    Error **errp = opaque;

    if (pager->ownership != PAGER_OWNS && !pager->map && !*errp) {
        error_setg(errp, "memory backend '%s': its pages were handed over",
                   pager->id);
        error_append_hint(errp, "If the VM runs elsewhere, quit this one; "
                          "else continue it first.\n");
    }
}

bool handover_may_send(Error **errp)
{
    Error *err = NULL;

    pagers_foreach(check_owns, &err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return true;
}

/* The source, afterwards */

/*
 * When the VM has gone: the destination may take the pages a little later, or
 * much, if it is told to wait.
 */
static void let_go(void *opaque);

static QEMUTimer *let_go_timer;
static int64_t let_go_ms;

static void let_go_soon(int64_t ms)
{
    let_go_ms = MIN(ms, LET_GO_MAX_MS);
    timer_mod(let_go_timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + let_go_ms);
}

static void let_go_pager(RemotePager *pager, void *opaque)
{
    bool *all = opaque;

    if (pager->ownership == PAGER_OFFERS && !pager_let_go(pager)) {
        *all = false;
    }
}

/* In postcopy, pages are taken long before the last one has been sent. */
static void let_go(void *opaque)
{
    bool all = false;

    if (migrate_get_current()->state == MIGRATION_STATUS_COMPLETED) {
        all = true;
        pagers_foreach(let_go_pager, &all);
    } else if (migration_has_failed(migrate_get_current())) {
        return;
    }
    if (!all) {
        let_go_soon(2 * let_go_ms);
    }
}

static int migration_event(NotifierWithReturn *notifier, MigrationEvent *event,
                           Error **errp)
{
    if (event->type == MIG_EVENT_PRECOPY_DONE && handover_is_wanted()) {
        let_go_soon(LET_GO_MIN_MS);
    }
    return 0;
}

void handover_init(void)
{
    static NotifierWithReturn notifier;

    let_go_timer = timer_new_ms(QEMU_CLOCK_REALTIME, let_go, NULL);
    migration_add_notifier(&notifier, migration_event);
}
