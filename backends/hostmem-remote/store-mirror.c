/*
 * remote-store-mirror: the same pages in several stores
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "mirror-handover.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "sparse.h"

/* Copies.  Functions whose names end in _locked are called with the lock. */

static void update_status_locked(RemoteStoreMirror *mirror)
{
    RemoteStoreStatus status = REMOTE_STORE_STATUS_CONNECTED;
    bool whole = true;
    MirrorQueue *q;

    for (unsigned i = 0; i < mirror->nr; i++) {
        whole &= !mirror->copies[i].failing && !mirror->copies[i].doubted;
    }
    QLIST_FOREACH(q, &mirror->queues, next) {
        whole &= !q->torn;
    }
    if (mirror->nr_well < MAX(mirror->quorum, 1)) {
        status = REMOTE_STORE_STATUS_LOST;
    } else if (!whole) {
        status = REMOTE_STORE_STATUS_DEGRADED;
    }
    if (!mirror->internal) {
        remote_store_set_status(&mirror->parent_obj, status);
    }
}

static void update_doubted_locked(RemoteStoreMirror *mirror, unsigned copy)
{
    MirrorCopy *c = &mirror->copies[copy];
    bool doubted = false;
    MirrorQueue *q;

    QLIST_FOREACH(q, &mirror->queues, next) {
        doubted |= q->checked[copy] != c->doubts;
    }
    qatomic_set(&c->doubted, doubted);
}

static void doubt_locked(RemoteStoreMirror *mirror, unsigned copy)
{
    MirrorQueue *q;

    mirror->copies[copy].doubts++;
    update_doubted_locked(mirror, copy);
    QLIST_FOREACH(q, &mirror->queues, next) {
        mirror_rebuild_notify(q->rebuild);
    }
}

void mirror_doubt(RemoteStoreMirror *mirror, unsigned copy)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    doubt_locked(mirror, copy);
    update_status_locked(mirror);
}

void mirror_answered(RemoteStoreMirror *mirror, unsigned copy,
                     RemoteStoreResult result)
{
    MirrorCopy *c = &mirror->copies[copy];
    bool silent = result == REMOTE_STORE_TIMEOUT ||
                  result == REMOTE_STORE_FAILED;
    bool failing = silent || result == REMOTE_STORE_NOSPACE;

    if (qatomic_read(&c->failing) == failing) {
        return;
    }
    QEMU_LOCK_GUARD(&mirror->lock);
    if (c->failing == failing) {
        return;
    }
    qatomic_set(&c->failing, failing);
    qatomic_set(&mirror->nr_well, mirror->nr_well + (failing ? -1 : 1));
    if (silent) {
        doubt_locked(mirror, copy);
    }
    update_status_locked(mirror);
}

void mirror_add(RemoteStoreMirror *mirror, MirrorQueue *q)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    for (unsigned i = 0; i < mirror->nr; i++) {
        q->checked[i] = mirror->copies[i].doubts;
    }
    QLIST_INSERT_HEAD(&mirror->queues, q, next);
}

void mirror_remove(RemoteStoreMirror *mirror, MirrorQueue *q)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    QLIST_REMOVE(q, next);
    for (unsigned i = 0; i < mirror->nr; i++) {
        update_doubted_locked(mirror, i);
    }
    update_status_locked(mirror);
}

unsigned mirror_doubts(RemoteStoreMirror *mirror, const MirrorQueue *q,
                       uint64_t doubts[MIRROR_MAX])
{
    unsigned copies = 0;

    QEMU_LOCK_GUARD(&mirror->lock);
    for (unsigned i = 0; i < mirror->nr; i++) {
        doubts[i] = mirror->copies[i].doubts;
        copies |= (q->checked[i] != doubts[i]) << i;
    }
    return copies;
}

void mirror_checked(RemoteStoreMirror *mirror, MirrorQueue *q, unsigned copy,
                    uint64_t doubts)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    q->checked[copy] = doubts;
    update_doubted_locked(mirror, copy);
    update_status_locked(mirror);
}

void mirror_set_torn(RemoteStoreMirror *mirror, MirrorQueue *q, bool torn)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    qatomic_set(&q->torn, torn);
    update_status_locked(mirror);
}

/* Regions */

static size_t hash_size(const MirrorRegion *r)
{
    return r->nr_pages * sizeof(uint64_t);
}

static void mirror_detach(RemoteStoreRegion *region)
{
    MirrorRegion *r = region->opaque;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        if (!r->mirror->internal) {
            filter_detach_part(region, r->parts[i]);
        }
        sparse_free(r->current[i], mirror_bitmap_size(r->nr_pages));
        sparse_free(r->held[i], mirror_bitmap_size(r->nr_pages));
    }
    sparse_free(r->hash, hash_size(r));
    g_free(r);
}

static bool make_tables(RemoteStoreRegion *region, Error **errp)
{
    MirrorRegion *r = region->opaque;
    bool made;

    r->hash = sparse_new(hash_size(r));
    made = r->hash;
    for (unsigned i = 0; i < r->mirror->nr; i++) {
        r->current[i] = sparse_new(mirror_bitmap_size(r->nr_pages));
        r->held[i] = sparse_new(mirror_bitmap_size(r->nr_pages));
        made &= r->current[i] && r->held[i];
    }
    if (!made) {
        error_setg(errp, "store '%s': cannot reserve tables of pages",
                   remote_store_id(region->store));
    }
    return made;
}

static bool attach_parts(RemoteStoreRegion *region, Error **errp)
{
    MirrorRegion *r = region->opaque;
    RemoteStoreMirror *mirror = r->mirror;
    FilterState state;

    if (mirror->internal) {
        memcpy(r->parts, mirror->given, sizeof(r->parts));
        return true;
    }
    if (!filter_begin_load(region, mirror->stores, mirror->nr, &state, errp)) {
        return false;
    }
    for (unsigned i = 0; i < mirror->nr; i++) {
        r->parts[i] = filter_attach_part(region, mirror->stores[i],
                                         r->nr_pages, &state, errp);
        if (!r->parts[i]) {
            return false;
        }
    }
    return filter_end_load(region, &state,
                           !region->inherited || mirror_load(r, &state), errp);
}

static bool mirror_attach(RemoteStoreRegion *region, Error **errp)
{
    MirrorRegion *r = g_new0(MirrorRegion, 1);

    region->opaque = r;
    r->mirror = REMOTE_STORE_MIRROR(region->store);
    r->nr_pages = region->nr_pages - region->nr_marks;
    if (make_tables(region, errp) && attach_parts(region, errp)) {
        return true;
    }
    /* What another process has there is not ours to clean up. */
    region->left = region->inherited;
    mirror_detach(region);
    return false;
}

/* The object */

static bool mirror_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreMirror *mirror = REMOTE_STORE_MIRROR(store);

    if (!filter_use_stores(store, mirror->names, 2, mirror->stores, MIRROR_MAX,
                           &mirror->nr, errp)) {
        return false;
    }
    if (mirror->quorum > mirror->nr) {
        error_setg(errp, "store '%s': property 'write-quorum': %u is more than "
                   "the number of stores, %u", remote_store_id(store),
                   mirror->quorum, mirror->nr);
        error_append_hint(errp, "Without it, a page has to be in all stores "
                          "that work, and in one at least.\n");
        return false;
    }
    mirror->nr_well = mirror->nr;
    return true;
}

/* What does not fit into the smallest is not mirrored. */
static uint64_t mirror_capacity(RemoteStore *store)
{
    RemoteStoreMirror *mirror = REMOTE_STORE_MIRROR(store);
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < mirror->nr; i++) {
        uint64_t capacity = remote_store_capacity(mirror->stores[i]);

        least = MIN(least, capacity ?: UINT64_MAX);
    }
    return least < UINT64_MAX ? least : 0;
}

static void mirror_init(Object *obj)
{
    RemoteStoreMirror *mirror = REMOTE_STORE_MIRROR(obj);

    qemu_mutex_init(&mirror->lock);
    QLIST_INIT(&mirror->queues);
}

static void mirror_finalize(Object *obj)
{
    RemoteStoreMirror *mirror = REMOTE_STORE_MIRROR(obj);

    for (unsigned i = 0; i < mirror->nr && !mirror->internal; i++) {
        remote_store_unuse(mirror->stores[i]);
    }
    qemu_mutex_destroy(&mirror->lock);
    qapi_free_strList(mirror->names);
}

/* Properties */

static void mirror_get_stores(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    visit_type_strList(v, name, &REMOTE_STORE_MIRROR(obj)->names, errp);
}

static void mirror_set_stores(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    RemoteStoreMirror *mirror = REMOTE_STORE_MIRROR(obj);

    filter_set_names(&mirror->parent_obj, v, name, &mirror->names, errp);
}

static void mirror_get_quorum(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &REMOTE_STORE_MIRROR(obj)->quorum, errp);
}

static void mirror_set_quorum(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        REMOTE_STORE_MIRROR(obj)->quorum = value;
    }
}

static void mirror_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = mirror_start;
    rsc->capacity = mirror_capacity;
    rsc->attach = mirror_attach;
    rsc->save = mirror_save;
    rsc->detach = mirror_detach;
    rsc->open = mirror_queue_open;
    rsc->go_on = mirror_queue_go_on;
    rsc->submit = mirror_queue_submit;
    rsc->close = mirror_queue_close;

    object_class_property_add(oc, "stores", "strList", mirror_get_stores,
                              mirror_set_stores, NULL, NULL);
    object_class_property_set_description(oc, "stores",
        "IDs of the stores, each of which gets all pages (required)");
    object_class_property_add(oc, "write-quorum", "uint32", mirror_get_quorum,
                              mirror_set_quorum, NULL, NULL);
    object_class_property_set_description(oc, "write-quorum",
        "number of stores that must have a page, and that are enough, before "
        "it may leave local memory (default: all that work)");
}

static const TypeInfo mirror_info = {
    .name = TYPE_REMOTE_STORE_MIRROR,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreMirror),
    .instance_init = mirror_init,
    .instance_finalize = mirror_finalize,
    .class_init = mirror_class_init,
};

static void mirror_register_types(void)
{
    type_register_static(&mirror_info);
}

type_init(mirror_register_types);
