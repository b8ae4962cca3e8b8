/*
 * Remote stores: the base of all drivers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-remote-store.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "remote-memory/store.h"
#include "trace.h"

/* What a store is called that a memory backend made for itself. */
#define DEFAULT_STORE_ID "(default)"

const char *remote_store_id(RemoteStore *store)
{
    return store->id ?: DEFAULT_STORE_ID;
}

bool remote_store_can_set(RemoteStore *store, const char *name, Error **errp)
{
    ERRP_GUARD();

    if (store->started) {
        error_setg(errp, "store '%s': property '%s' cannot be changed once "
                   "the object exists", remote_store_id(store), name);
        error_append_hint(errp, "Create another store, and move the pages "
                          "there with remote-memory-set-store.\n");
    }
    return !store->started;
}

RemoteStore *remote_store_use(const char *id, Error **errp)
{
    ERRP_GUARD();
    Object *obj = object_resolve_path_component(object_get_objects_root(), id);
    RemoteStore *store;

    if (!obj) {
        error_setg(errp, "store '%s' does not exist", id);
        error_append_hint(errp, "Create it first, with -object "
                          "remote-store-...,id=%s or object-add.\n", id);
        return NULL;
    }
    store = (RemoteStore *)object_dynamic_cast(obj, TYPE_REMOTE_STORE);
    if (!store) {
        error_setg(errp, "object '%s' is a %s and not a remote store", id,
                   object_get_typename(obj));
        error_append_hint(errp, "Give the id of a remote-store-... "
                          "object.\n");
        return NULL;
    }
    object_ref(obj);
    store->users++;
    return store;
}

void remote_store_unuse(RemoteStore *store)
{
    if (store) {
        assert(store->users > 0);
        store->users--;
        object_unref(OBJECT(store));
    }
}

static RemoteStoreRegion *attach(RemoteStore *store, const QemuUUID *uuid,
                                 uint64_t nr_pages, unsigned nr_marks,
                                 GByteArray *inherited, Error **errp)
{
    RemoteStoreClass *rsc = REMOTE_STORE_GET_CLASS(store);
    RemoteStoreRegion *region = g_new0(RemoteStoreRegion, 1);

    region->store = store;
    region->uuid = *uuid;
    region->nr_pages = nr_pages + nr_marks;
    region->nr_marks = nr_marks;
    region->inherited = inherited;
    if (rsc->attach && !rsc->attach(region, errp)) {
        g_free(region);
        return NULL;
    }
    region->inherited = NULL;
    object_ref(OBJECT(store));
    store->users++;
    return region;
}

RemoteStoreRegion *remote_store_attach(RemoteStore *store,
                                       const QemuUUID *uuid,
                                       uint64_t nr_pages, Error **errp)
{
    bool can_save = REMOTE_STORE_GET_CLASS(store)->save;

    return attach(store, uuid, nr_pages, can_save ? REMOTE_STORE_MARKS : 0,
                  NULL, errp);
}

static void cannot_save(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "store '%s': pages in a %s cannot be handed over",
               remote_store_id(store), object_get_typename(OBJECT(store)));
    error_append_hint(errp, "Move them to a store that both hosts reach, with "
                      "remote-memory-set-store, or migrate without the "
                      "capability remote-memory.\n");
}

bool remote_store_check_save(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreClass *rsc = REMOTE_STORE_GET_CLASS(region->store);

    if (!rsc->save) {
        cannot_save(region->store, errp);
        return false;
    }
    return rsc->save(region, NULL, errp);
}

RemoteStoreRegion *remote_store_inherit(RemoteStore *store,
                                        const QemuUUID *uuid,
                                        uint64_t nr_pages, GByteArray *state,
                                        Error **errp)
{
    if (!REMOTE_STORE_GET_CLASS(store)->save) {
        cannot_save(store, errp);
        return NULL;
    }
    return attach(store, uuid, nr_pages, REMOTE_STORE_MARKS, state, errp);
}

GByteArray *remote_store_save(RemoteStoreRegion *region, Error **errp)
{
    g_autoptr(GByteArray) state = g_byte_array_new();

    if (!REMOTE_STORE_GET_CLASS(region->store)->save(region, state, errp)) {
        return NULL;
    }
    return g_steal_pointer(&state);
}

void remote_store_bad_state(const RemoteStoreRegion *region, Error **errp)
{
    error_setg(errp, "store '%s': what the source of the migration says of it "
               "makes no sense", remote_store_id(region->store));
}

void remote_store_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                        void *opaque)
{
    RemoteStoreClass *rsc = REMOTE_STORE_GET_CLASS(queue->region->store);

    if (rsc->go_on) {
        rsc->go_on(queue, uses, opaque);
    }
}

void remote_store_detach(RemoteStoreRegion *region)
{
    RemoteStore *store;
    RemoteStoreClass *rsc;

    if (!region) {
        return;
    }
    store = region->store;
    rsc = REMOTE_STORE_GET_CLASS(store);
    if (rsc->detach) {
        rsc->detach(region);
    }
    WITH_QEMU_LOCK_GUARD(&store->lock) {
        store->retired.pages -= region->pages;
    }
    g_free(region);
    remote_store_unuse(store);
}

uint64_t remote_store_capacity(RemoteStore *store)
{
    RemoteStoreClass *rsc = REMOTE_STORE_GET_CLASS(store);

    return rsc->capacity ? rsc->capacity(store) : 0;
}

RemoteStoreQueue *remote_store_open(RemoteStoreRegion *region,
                                    AioContext *ctx, Error **errp)
{
    RemoteStore *store = region->store;
    RemoteStoreQueue *queue;

    queue = REMOTE_STORE_GET_CLASS(store)->open(region, ctx, errp);
    if (!queue) {
        return NULL;
    }
    queue->region = region;
    queue->ctx = ctx;
    QEMU_LOCK_GUARD(&store->lock);
    QLIST_INSERT_HEAD(&store->queues, queue, next);
    return queue;
}

void remote_store_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr)
{
    assert(nr > 0);
    for (size_t i = 0; i < nr; i++) {
        assert(reqs[i]->page < queue->region->nr_pages);
        reqs[i]->data = reqs[i]->buf;
    }
    REMOTE_STORE_GET_CLASS(queue->region->store)->submit(queue, reqs, nr);
}

void remote_store_close(RemoteStoreQueue *queue)
{
    RemoteStoreRegion *region;
    RemoteStore *store;

    if (!queue) {
        return;
    }
    region = queue->region;
    store = region->store;
    WITH_QEMU_LOCK_GUARD(&store->lock) {
        QLIST_REMOVE(queue, next);
        region->pages += queue->pages;
        store->retired.pages += queue->pages;
        store->retired.bytes_read += queue->bytes_read;
        store->retired.bytes_written += queue->bytes_written;
        store->retired.errors += queue->errors;
    }
    REMOTE_STORE_GET_CLASS(store)->close(queue);
}

void *remote_store_alloc(size_t size)
{
    void *p = qemu_memalign(REMOTE_STORE_ALIGN,
                            ROUND_UP(size, REMOTE_STORE_ALIGN));

    return memset(p, 0, size);
}

/* Only @counter's thread writes it: no atomic read-modify-write is needed. */
static void counter_add(uint64_t *counter, uint64_t n)
{
    qatomic_set(counter, *counter + n);
}

void remote_store_adopt(RemoteStoreQueue *queue, uint64_t nr)
{
    counter_add(&queue->pages, nr);
}

void remote_store_done(RemoteStoreQueue *queue, RemoteStoreRequest *req)
{
    switch (req->op) {
    case REMOTE_STORE_GET:
        counter_add(&queue->bytes_read, REMOTE_STORE_PAGE_SIZE);
        break;
    case REMOTE_STORE_PUT:
        counter_add(&queue->bytes_written, REMOTE_STORE_PAGE_SIZE);
        counter_add(&queue->pages, req->fresh);
        break;
    case REMOTE_STORE_DISCARD:
        counter_add(&queue->pages, -1);
        break;
    }
    req->result = REMOTE_STORE_OK;
    req->reason = NULL;
    req->complete(req);
}

void remote_store_fail(RemoteStoreQueue *queue, RemoteStoreRequest *req,
                       RemoteStoreResult result, const char *fmt, ...)
{
    va_list ap;

    assert(result != REMOTE_STORE_OK);
    counter_add(&queue->errors, 1);
    req->result = result;
    va_start(ap, fmt);
    req->reason = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    trace_remote_store_fail(remote_store_id(queue->region->store), req->page,
                            req->op, result, req->reason);
    req->complete(req);
}

static void add_rebuild(RemoteStoreInfo *info, const RemoteStoreQueue *queue)
{
    uint64_t total = qatomic_read(&queue->rebuild_total);

    if (!total) {
        return;
    }
    if (!info->rebuild) {
        info->rebuild = g_new0(RemoteStoreRebuild, 1);
    }
    info->rebuild->current_progress += qatomic_read(&queue->rebuild_done);
    info->rebuild->total_progress += total;
}

RemoteStoreInfo *remote_store_query(RemoteStore *store)
{
    RemoteStoreInfo *info = g_new0(RemoteStoreInfo, 1);
    RemoteStoreQueue *queue;

    info->id = g_strdup(remote_store_id(store));
    info->type = g_strdup(object_get_typename(OBJECT(store)));
    QEMU_LOCK_GUARD(&store->lock);
    info->status = store->status;
    info->pages = store->retired.pages;
    info->bytes_read = store->retired.bytes_read;
    info->bytes_written = store->retired.bytes_written;
    info->errors = store->retired.errors;
    QLIST_FOREACH(queue, &store->queues, next) {
        info->pages += qatomic_read(&queue->pages);
        info->bytes_read += qatomic_read(&queue->bytes_read);
        info->bytes_written += qatomic_read(&queue->bytes_written);
        info->errors += qatomic_read(&queue->errors);
        add_rebuild(info, queue);
    }
    /*
     * A queue that discards what another one put goes below zero, which the
     * sum makes good; a pager that discards what was not there does not.
     */
    info->pages = MAX((int64_t)info->pages, 0);
    return info;
}

/*
 * Runs in the main loop, where events are sent.  Reports the status as it is
 * now: one-shot bottom halves do not run in the order they were scheduled.
 */
static void status_bh(void *opaque)
{
    RemoteStore *store = opaque;
    RemoteStoreStatus status;
    bool changed;

    WITH_QEMU_LOCK_GUARD(&store->lock) {
        status = store->status;
        changed = status != store->reported;
        store->reported = status;
    }
    if (changed) {
        trace_remote_store_status(remote_store_id(store),
                                  RemoteStoreStatus_str(status));
        qapi_event_send_remote_store_status_change(remote_store_id(store),
                                                   status);
    }
    object_unref(OBJECT(store));
}

void remote_store_set_status(RemoteStore *store, RemoteStoreStatus status)
{
    QEMU_LOCK_GUARD(&store->lock);
    if (store->status != status) {
        store->status = status;
        object_ref(OBJECT(store));
        aio_bh_schedule_oneshot(qemu_get_aio_context(), status_bh, store);
    }
}

static void remote_store_complete(UserCreatable *uc, Error **errp)
{
    RemoteStore *store = REMOTE_STORE(uc);
    Object *obj = OBJECT(uc);

    /* Kept, because looking it up is not for other threads. */
    if (obj->parent == object_get_objects_root()) {
        store->id = g_strdup(object_get_canonical_path_component(obj));
    }
    store->started = REMOTE_STORE_GET_CLASS(store)->start(store, errp);
}

static bool remote_store_can_be_deleted(UserCreatable *uc)
{
    return !REMOTE_STORE(uc)->users;
}

static void remote_store_init(Object *obj)
{
    RemoteStore *store = REMOTE_STORE(obj);

    qemu_mutex_init(&store->lock);
    QLIST_INIT(&store->queues);
}

static void remote_store_finalize(Object *obj)
{
    RemoteStore *store = REMOTE_STORE(obj);

    assert(QLIST_EMPTY(&store->queues));
    qemu_mutex_destroy(&store->lock);
    g_free(store->id);
}

static void remote_store_class_init(ObjectClass *oc, void *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    ucc->complete = remote_store_complete;
    ucc->can_be_deleted = remote_store_can_be_deleted;
}

static const TypeInfo remote_store_info = {
    .name = TYPE_REMOTE_STORE,
    .parent = TYPE_OBJECT,
    .abstract = true,
    .instance_size = sizeof(RemoteStore),
    .instance_init = remote_store_init,
    .instance_finalize = remote_store_finalize,
    .class_size = sizeof(RemoteStoreClass),
    .class_init = remote_store_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_USER_CREATABLE },
        { }
    },
};

static void remote_store_register_types(void)
{
    type_register_static(&remote_store_info);
}

type_init(remote_store_register_types);
