/*
 * Handing pages over: the part of QEMU's migration
 *
 * With the capability "remote-memory", the section of this file takes the
 * place of what RAM would send.  It comes in front of RAM's: it is registered
 * first.  While the guest runs, none of its pages has to be sent, but the map
 * is, which says of each page whether the store has it.  When it has stopped,
 * what has changed of the map follows.  What the store does not have is what is
 * left for RAM to send, in precopy at once, in postcopy when the guest runs at
 * the destination:
 *
 *     save_setup()      which memory          --> load(): leave own namespace
 *     save_iterate()    map, then changes     --> into the page map
 *     save_complete()   freeze, changes
 *                       offer, store's state  --> enter the source's namespace
 *     (RAM)             pages that are sent   --> placed, and kept local
 *     (devices)
 *                                             --> remote_memory_may_run():
 *                                                 see takeover.c
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "handover.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/register.h"
#include "ownership.h"
#include "pagers.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "remote-memory/remote-memory.h"
#include "system/runstate.h"

#define SECTION "remote-memory"
#define SECTION_VERSION 1

/*
 * Each part of the section is some of these, and the end.  Those that are about
 * one backend's memory begin with its name.
 */
#define RECORD_END 0
#define RECORD_BEGIN 1      /* what it is: the same has to be there */
#define RECORD_MAP 2        /* what there is to say of some of its pages */
#define RECORD_STORE 3      /* where they are; nothing comes after it */
#define RECORD_POSTCOPY 4   /* the guest is to run before RAM has come */

/* While the guest runs, what has changed is said no more often than that. */
#define MAP_PERIOD_MS 20

/* Less than what can be sent in time: the guest goes on making pages dirty. */
#define SQUEEZE_SIXTEENTHS 14
#define SQUEEZE_SPARE 2
/* While less becomes local, there is nothing to send. */
#define SQUEEZE_POLL_US 1000

/*
 * What is handed over, from setup to cleanup: RemotePager.  No device that uses
 * it can be unplugged meanwhile.
 */
static GPtrArray *handed;
/* Has all of the map been said?  And when was some of it, last. */
static bool map_said;
static int64_t map_said_ms;
/* Is the rest sent when the guest runs elsewhere? */
static bool by_postcopy;
/* Was it seen to it that all can be handed over, when it was asked for? */
static bool checked;

/*
 * A VM that was stopped before is not in a state of its own while it is saved.
 * But once a migration has begun, it has a thread.
 */
static bool is_snapshot(void)
{
    const MigrationState *s = migrate_get_current();

    return runstate_check(RUN_STATE_SAVE_VM) ||
           (s->state == MIGRATION_STATUS_SETUP && !s->migration_thread_running);
}

/*
 * Also if there is nothing to hand over, so that the destination knows that.
 * A snapshot has to have the pages.
 */
static bool is_active(void *opaque)
{
    return handover_is_wanted() && !is_snapshot();
}

/* A backend that nothing uses is not migrated. */
static bool is_migrated(const RemotePager *pager)
{
    RAMBlock *rb = pagers_block(pager);

    return rb && qemu_ram_is_migratable(rb) && !migrate_ram_is_ignored(rb);
}

/* The source, before */

static void check_pager(RemotePager *pager, void *opaque)
{
    Error **errp = opaque;

    if (!*errp && is_migrated(pager)) {
        pager_can_offer(pager, errp);
    }
}

/*
 * With these, pages come to the destination by ways of their own, which may be
 * ahead of the map: it would then find memory that it has to forget.
 */
static void check_capabilities(Error **errp)
{
    ERRP_GUARD();
    static const MigrationCapability others[] = {
        MIGRATION_CAPABILITY_MULTIFD,
        MIGRATION_CAPABILITY_MAPPED_RAM,
        MIGRATION_CAPABILITY_X_COLO,
        MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT,
    };

    for (int i = 0; i < ARRAY_SIZE(others); i++) {
        if (migrate_get_current()->capabilities[others[i]]) {
            error_setg(errp, "the capability remote-memory cannot be used "
                       "together with %s",
                       MigrationCapability_str(others[i]));
            error_append_hint(errp, "Switch one of them off with "
                              "migrate-set-capabilities.\n");
            return;
        }
    }
}

static bool check_all(Error **errp)
{
    Error *err = NULL;

    check_capabilities(&err);
    pagers_foreach(check_pager, &err);
    checked = !err;
    error_propagate(errp, err);
    return checked;
}

/* If the VM is stopped, this may be for a snapshot, which need not know. */
static int save_prepare(void *opaque, Error **errp)
{
    checked = false;
    return !runstate_is_live(runstate_get()) || check_all(errp) ? 0 : -EINVAL;
}

/* A former migration may have failed while the VM was not to run. */
static void begin_pager(RemotePager *pager, void *opaque)
{
    Error **errp = opaque;

    if (!*errp && is_migrated(pager) && pager_take(pager, errp)) {
        pager->settled = false;
        pager_map_begin(pager);
        g_ptr_array_add(handed, pager);
    }
}

static void put_record(QEMUFile *f, int record, const RemotePager *pager)
{
    qemu_put_byte(f, record);
    qemu_put_counted_string(f, pagers_block(pager)->idstr);
}

static void put_begin(QEMUFile *f, const RemotePager *pager)
{
    const char *type = object_get_typename(OBJECT(pager->store));

    put_record(f, RECORD_BEGIN, pager);
    qemu_put_be64(f, pager->size);
    qemu_put_counted_string(f, type);
}

static int save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    Error *err = NULL;

    if (!checked && !check_all(errp)) {
        return -EINVAL;
    }
    handed = g_ptr_array_new();
    map_said = by_postcopy = false;
    pagers_foreach(begin_pager, &err);
    for (guint i = 0; i < handed->len; i++) {
        put_begin(f, handed->pdata[i]);
    }
    qemu_put_byte(f, RECORD_END);
    if (err) {
        error_propagate(errp, err);
        return -EINVAL;
    }
    return 0;
}

/*
 * After a failure, take what was offered back at once, also if the VM is not to
 * run.  If that fails it is tried again when it is.
 */
static void end_pager(RemotePager *pager)
{
    pager_map_end(pager);
    pager_squeeze(pager, 0);
    if (migrate_get_current()->state != MIGRATION_STATUS_COMPLETED &&
        pager_take(pager, NULL)) {
        /* Also if another one could not be offered. */
        pager_thaw(pager);
    }
}

static void save_cleanup(void *opaque)
{
    if (!handed) {
        return;
    }
    for (guint i = 0; i < handed->len; i++) {
        end_pager(handed->pdata[i]);
    }
    g_ptr_array_unref(g_steal_pointer(&handed));
}

/* The source, while the guest runs */

/*
 * @size: what is local
 * @least: what could be at best, with some to spare
 * @nr_pagers: of so many backends
 */
typedef struct Local {
    uint64_t size;
    uint64_t least;
    unsigned nr_pagers;
} Local;

/* Of what was offered, RAM knows what is left. */
static Local local_now(void)
{
    Local local = { 0 };

    for (guint i = 0; handed && i < handed->len; i++) {
        RemotePager *pager = handed->pdata[i];

        if (pager->ownership == PAGER_OWNS) {
            local.size += pager_local_size(pager);
            local.least += SQUEEZE_SPARE *
                           pager_min_cache_size(pager->size, pager->nr_shards);
            local.nr_pagers++;
        }
    }
    return local;
}

/*
 * The guest is stopped while what is local is sent, unless that can be done
 * afterwards, by postcopy.  If that would take too long, less has to be local.
 * Ordinary precopy has no such way out, and may never come to an end.
 */
static void state_pending(void *opaque, uint64_t *must_precopy,
                          uint64_t *can_postcopy)
{
    uint64_t most = migrate_avail_switchover_bandwidth() ?:
                    migrate_max_bandwidth();
    Local local = local_now();

    if (local.nr_pagers && !map_said) {
        /* As for any memory of which nothing was sent. */
        *must_precopy += ram_bytes_total();
        return;
    }
    most = most / 1000 * migrate_downtime_limit();
    if (!most || local.size <= most) {
        /* There may be no limit. */
        return;
    }
    if (migrate_postcopy_ram()) {
        *can_postcopy += local.size - most;
    } else if (local.size > local.least) {
        *must_precopy += local.size - MAX(most, local.least);
        most = most / 16 * SQUEEZE_SIXTEENTHS / local.nr_pagers;
        for (guint i = 0; i < handed->len; i++) {
            pager_squeeze(handed->pdata[i], most);
        }
    }
}

static void put_map(QEMUFile *f, PagerMapLook look)
{
    for (guint i = 0; i < handed->len; i++) {
        put_record(f, RECORD_MAP, handed->pdata[i]);
        handover_put_map(f, handed->pdata[i], look);
    }
    map_said = true;
    map_said_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static int save_iterate(QEMUFile *f, void *opaque)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (!map_said || now - map_said_ms >= MAP_PERIOD_MS) {
        put_map(f, PAGER_MAP_LOOK);
    } else if (handed->len) {
        g_usleep(SQUEEZE_POLL_US);
    }
    qemu_put_byte(f, RECORD_END);
    return 1;
}

static RemotePager *find_handed(const RAMBlock *rb)
{
    RemotePager *pager = pagers_find(rb);

    return pager && pager->map ? pager : NULL;
}

uint64_t remote_memory_settle_dirty(RAMBlock *rb)
{
    RemotePager *pager = find_handed(rb);

    return pager ? pager_settle_dirty(pager, rb->bmap) : 0;
}

bool remote_memory_hands_over(RAMBlock *rb)
{
    return find_handed(rb);
}

/* The source, when the VM has stopped, or is about to be */

void remote_memory_postcopy(void)
{
    by_postcopy = true;
}

static void put_store(QEMUFile *f, const RemotePager *pager,
                      const GByteArray *state)
{
    put_record(f, RECORD_STORE, pager);
    qemu_put_buffer(f, pager->region->uuid.data, sizeof(QemuUUID));
    qemu_put_buffer(f, pager->offer.data, sizeof(QemuUUID));
    qemu_put_be64(f, state->len);
    qemu_put_buffer(f, state->data, state->len);
}

static bool offer(QEMUFile *f, RemotePager *pager, Error **errp)
{
    g_autoptr(GByteArray) state = pager_offer(pager, errp);

    if (state) {
        put_store(f, pager, state);
    }
    return state;
}

/*
 * When nothing is put any more, and RAM knows all that the guest has written,
 * the map is as it will be.  What was written in the last moment is not worth
 * a look if it can be sent later.
 */
static int save_complete(QEMUFile *f, void *opaque)
{
    Error *err = NULL;

    migration_bitmap_sync_precopy(true);
    for (guint i = 0; i < handed->len; i++) {
        pager_freeze(handed->pdata[i]);
    }
    put_map(f, by_postcopy ? PAGER_MAP_BELIEVE : PAGER_MAP_LOOK);
    for (guint i = 0; i < handed->len && !err; i++) {
        offer(f, handed->pdata[i], &err);
    }
    if (by_postcopy) {
        qemu_put_byte(f, RECORD_POSTCOPY);
    }
    qemu_put_byte(f, RECORD_END);
    if (err) {
        migrate_set_error(migrate_get_current(), err);
        error_report_err(err);
        return -EIO;
    }
    return 0;
}

/* The destination */

/* Has the source said what it hands over? */
static bool source_has_begun;

bool remote_memory_may_load(RAMBlock *rb)
{
    /* A snapshot has all pages, whatever is switched on. */
    if (!pagers_find(rb) || !handover_is_wanted() || source_has_begun ||
        !runstate_check(RUN_STATE_INMIGRATE)) {
        return true;
    }
    error_report("the source of the migration does not hand remote memory "
                 "over: switch the capability remote-memory on there, too, or "
                 "off here");
    return false;
}

/*
 * QEMU's postcopy counts what has come, and asks for all else after a network
 * failure.
 */
static void mark_received(RemotePager *pager, const HandoverPage *pages,
                          uint64_t nr)
{
    RAMBlock *rb = pagers_block(pager);

    if (!rb->receivedmap) {
        return;
    }
    /* What is said may have been something else before. */
    if (pages->place == HANDOVER_SENT) {
        bitmap_clear(rb->receivedmap, pages->page, nr);
    } else {
        bitmap_set(rb->receivedmap, pages->page, nr);
    }
}

static RemotePager *get_pager(QEMUFile *f, Error **errp)
{
    char name[256];
    RAMBlock *rb;
    RemotePager *pager;

    if (!qemu_get_counted_string(f, name)) {
        error_setg(errp, "the map of remote memory is not complete");
        return NULL;
    }
    rb = qemu_ram_block_by_name(name);
    pager = rb ? pagers_find(rb) : NULL;
    if (!pager) {
        error_setg(errp, "memory '%s' of the source has to be a "
                   "memory-backend-remote here, too, if its pages are handed "
                   "over", name);
    }
    return pager;
}

static bool check_pager_match(QEMUFile *f, RemotePager *pager, Error **errp)
{
    uint64_t size = qemu_get_be64(f);
    char type[256];

    if (pager->size != size) {
        error_setg(errp, "memory backend '%s': it has to have %" PRIu64
                   " bytes, as at the source", pager->id, size);
        return false;
    }
    if (!qemu_get_counted_string(f, type) ||
        strcmp(type, object_get_typename(OBJECT(pager->store)))) {
        error_setg(errp, "memory backend '%s': its store has to be a %s, as "
                   "at the source, and lead to the same servers", pager->id,
                   type);
        return false;
    }
    return true;
}

/*
 * All of them before any enters the source's, since one may need the room of
 * another.  Other memory, which RAM has sent, stays.
 */
static bool load_begin(QEMUFile *f, RemotePager *pager, Error **errp)
{
    pager->fill = !migrate_postcopy_ram();
    return check_pager_match(f, pager, errp) && pager_leave_store(pager, errp);
}

static bool load_store(QEMUFile *f, RemotePager *pager, Error **errp)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    QemuUUID uuid, offer;
    uint64_t size;

    qemu_get_buffer(f, uuid.data, sizeof(uuid));
    qemu_get_buffer(f, offer.data, sizeof(offer));
    size = qemu_get_be64(f);
    if (size > pager->size) {
        error_setg(errp, "memory backend '%s': what the source says of its "
                   "store makes no sense", pager->id);
        return false;
    }
    g_byte_array_set_size(state, size);
    qemu_get_buffer(f, state->data, size);
    return !qemu_file_get_error(f) &&
           pager_enter_store(pager, &uuid, &offer, state, errp);
}

/*
 * The first discard makes QEMU ready for what follows, but there may be none,
 * and without it LISTEN ends in a state that RUN does not accept.
 */
static bool load_postcopy(Error **errp)
{
    if (postcopy_state_get() != POSTCOPY_INCOMING_ADVISE ||
        postcopy_ram_prepare_discard(migration_incoming_get_current())) {
        error_setg(errp, "remote memory is not ready for postcopy");
        return false;
    }
    return true;
}

static bool load_record(QEMUFile *f, int record, Error **errp)
{
    RemotePager *pager;

    if (record == RECORD_POSTCOPY) {
        return load_postcopy(errp);
    }
    pager = get_pager(f, errp);
    if (!pager) {
        return false;
    }
    if (record == RECORD_BEGIN) {
        return load_begin(f, pager, errp);
    } else if (record == RECORD_MAP && !pager->region) {
        return handover_get_map(f, pager, mark_received, errp);
    } else if (record == RECORD_STORE && !pager->region) {
        return load_store(f, pager, errp);
    }
    error_setg(errp, "memory backend '%s': what the source says of it comes in "
               "an order that makes no sense", pager->id);
    return false;
}

static int load(QEMUFile *f, void *opaque, int version)
{
    Error *err = NULL;
    int record;
    bool ok = true;

    if (!handover_is_wanted()) {
        error_report("the source of the migration hands remote memory over: "
                     "switch the capability remote-memory on here, too");
        return -EINVAL;
    }
    source_has_begun = true;
    while (ok && (record = qemu_get_byte(f)) != RECORD_END) {
        ok = load_record(f, record, &err);
    }
    if (err) {
        error_report_err(err);
    }
    return ok ? 0 : -EINVAL;
}

static const SaveVMHandlers handlers = {
    .is_active = is_active,
    .save_prepare = save_prepare,
    .save_setup = save_setup,
    .save_cleanup = save_cleanup,
    .state_pending_estimate = state_pending,
    .state_pending_exact = state_pending,
    .save_live_iterate = save_iterate,
    .save_live_complete_precopy = save_complete,
    .load_state = load,
};

/*
 * Early, so that it comes before RAM.  But the first section to be registered
 * has number 0, which at the destination stands for all devices whose sections
 * have not come yet: parts of ours would be taken for those of one that is
 * saved earlier, such as a bridge.  So that number goes to nobody.
 */
static void handover_register(void)
{
    register_savevm_live(SECTION, 0, SECTION_VERSION, &handlers, NULL);
    unregister_savevm(NULL, SECTION, NULL);
    register_savevm_live(SECTION, 0, SECTION_VERSION, &handlers, NULL);
}

type_init(handover_register);
