/*
 * remote-store-block: pages on a block node
 *
 * Whatever QEMU can use as a disk: an NBD server, a file, NVMe, Ceph RBD.  Each
 * region has a range of the node to itself.
 *
 * A thread that waits for a page may hold whatever lock it likes, so that a
 * page can be had must depend on nothing that such a thread may have to do:
 *
 * - The node lives in a thread of its own, not in the main loop.
 * - While the block layer is drained, requests of others wait for the end of
 *   that.  Ours do not: what it waits for can be a disk's request that needs a
 *   page of guest memory, and so one of ours.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "block/block_int.h"
#include "qemu/bitops.h"
#include "qemu/module.h"
#include "sparse.h"
#include "store-block.h"

#define DEFAULT_TIMEOUT_MS 5000
#define MIN_TIMEOUT_MS 10

/* Regions */

static uint64_t present_size(uint64_t nr_pages)
{
    return BITS_TO_LONGS(nr_pages) * sizeof(unsigned long);
}

/*
 * Take the first range that is large enough.  Returns: false if there is none;
 * then *@largest is the largest that there is.
 */
static bool take_range(RemoteStoreBlock *sb, BlockRegion *region,
                       uint64_t *largest)
{
    BlockRegion *before = NULL, *next = QLIST_FIRST(&sb->regions);

    *largest = 0;
    for (;;) {
        uint64_t begin = before ? before->first + before->nr_pages : 0;
        uint64_t end = next ? next->first : sb->nr_pages;

        if (end - begin >= region->nr_pages) {
            region->first = begin;
            break;
        }
        *largest = MAX(*largest, end - begin);
        if (!next) {
            return false;
        }
        before = next;
        next = QLIST_NEXT(next, next);
    }
    if (before) {
        QLIST_INSERT_AFTER(before, region, next);
    } else {
        QLIST_INSERT_HEAD(&sb->regions, region, next);
    }
    return true;
}

static bool sb_attach(RemoteStoreRegion *region, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(region->store);
    BlockRegion *r = g_new0(BlockRegion, 1);
    uint64_t largest;

    r->nr_pages = region->nr_pages;
    if (!take_range(sb, r, &largest)) {
        error_setg(errp, "store '%s': block node '%s' has no room for %" PRIu64
                   " bytes: the largest part that is free has %" PRIu64,
                   remote_store_id(region->store), sb->node_name,
                   region->nr_pages * REMOTE_STORE_PAGE_SIZE,
                   largest * REMOTE_STORE_PAGE_SIZE);
        error_append_hint(errp, "The node has to be as large as all memory "
                          "backends that use it, together.\n");
        g_free(r);
        return false;
    }
    r->present = sparse_new(present_size(r->nr_pages));
    if (!r->present) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages", remote_store_id(region->store));
        QLIST_REMOVE(r, next);
        g_free(r);
        return false;
    }
    region->opaque = r;
    return true;
}

static void sb_detach(RemoteStoreRegion *region)
{
    BlockRegion *r = region->opaque;

    QLIST_REMOVE(r, next);
    sparse_free(r->present, present_size(r->nr_pages));
    g_free(r);
}

/* The object */

static BlockDriverState *find_node(RemoteStoreBlock *sb, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_store_id(&sb->parent_obj);
    BlockDriverState *bs;

    if (!sb->node_name) {
        error_setg(errp, "store '%s': property 'node-name' is missing", id);
        error_append_hint(errp, "Give the node-name of a -blockdev.\n");
        return NULL;
    }
    bs = bdrv_find_node(sb->node_name);
    if (!bs) {
        error_setg(errp, "store '%s': property 'node-name': there is no block "
                   "node '%s'", id, sb->node_name);
    } else if (bdrv_is_read_only(bs)) {
        error_setg(errp, "store '%s': block node '%s' is read-only", id,
                   sb->node_name);
        bs = NULL;
    }
    return bs;
}

/* The node and those that it stands on are memory, or disks again. */
static void set_memory(BlockDriverState *bs, bool is_memory)
{
    BdrvChild *child;

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    bs->is_memory = is_memory;
    QLIST_FOREACH(child, &bs->children, next) {
        set_memory(child->bs, is_memory);
    }
}

/*
 * In a VM that waits for a migration, disks are inactive until it has come.
 * This one is ours alone, and the memory comes before.
 */
static bool activate(BlockDriverState *bs, Error **errp)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();
    return bdrv_activate(bs, errp) >= 0;
}

/* Nobody else may write there, or change its size. */
static bool use_node(RemoteStoreBlock *sb, BlockDriverState *bs, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_store_id(&sb->parent_obj);
    g_autofree char *name = g_strdup_printf("remote-store-%s", id);
    int64_t size;

    sb->home = iothread_create(name, errp);
    if (!sb->home) {
        return false;
    }
    sb->blk = blk_new(iothread_get_aio_context(sb->home),
                      BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
                      BLK_PERM_CONSISTENT_READ);
    blk_set_disable_request_queuing(sb->blk, true);
    if (!activate(bs, errp) || blk_insert_bs(sb->blk, bs, errp) < 0) {
        error_prepend(errp, "store '%s': cannot use block node '%s': ", id,
                      sb->node_name);
        return false;
    }
    size = blk_getlength(sb->blk);
    if (size < REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "store '%s': block node '%s' has less than one page "
                   "of %d bytes", id, sb->node_name, REMOTE_STORE_PAGE_SIZE);
        return false;
    }
    sb->nr_pages = size / REMOTE_STORE_PAGE_SIZE;
    set_memory(bs, true);
    return true;
}

static bool sb_start(RemoteStore *store, Error **errp)
{
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(store);
    BlockDriverState *bs;

    if (sb->timeout_ms < MIN_TIMEOUT_MS) {
        error_setg(errp, "store '%s': property 'request-timeout-ms': %u is "
                   "less than %u", remote_store_id(store), sb->timeout_ms,
                   MIN_TIMEOUT_MS);
        return false;
    }
    bs = find_node(sb, errp);
    return bs && use_node(sb, bs, errp);
}

static uint64_t sb_capacity(RemoteStore *store)
{
    return REMOTE_STORE_BLOCK(store)->nr_pages * REMOTE_STORE_PAGE_SIZE;
}

static void sb_init(Object *obj)
{
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(obj);

    sb->timeout_ms = DEFAULT_TIMEOUT_MS;
    QLIST_INIT(&sb->regions);
}

static void sb_finalize(Object *obj)
{
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(obj);

    if (sb->blk && blk_bs(sb->blk)) {
        set_memory(blk_bs(sb->blk), false);
        blk_remove_bs(sb->blk);
    }
    blk_unref(sb->blk);
    if (sb->home) {
        iothread_destroy(sb->home);
    }
    g_free(sb->node_name);
}

/* Properties */

static char *sb_get_node_name(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_BLOCK(obj)->node_name);
}

static void sb_set_node_name(Object *obj, const char *value, Error **errp)
{
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(obj);

    if (remote_store_can_set(&sb->parent_obj, "node-name", errp)) {
        g_free(sb->node_name);
        sb->node_name = g_strdup(value);
    }
}

static void sb_get_timeout(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &REMOTE_STORE_BLOCK(obj)->timeout_ms, errp);
}

static void sb_set_timeout(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        REMOTE_STORE_BLOCK(obj)->timeout_ms = value;
    }
}

static void sb_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = sb_start;
    rsc->capacity = sb_capacity;
    rsc->attach = sb_attach;
    rsc->detach = sb_detach;
    rsc->open = block_queue_open;
    rsc->submit = block_queue_submit;
    rsc->close = block_queue_close;

    object_class_property_add_str(oc, "node-name", sb_get_node_name,
                                  sb_set_node_name);
    object_class_property_set_description(oc, "node-name",
        "the block node; it has to be as large as the memory that uses it");
    object_class_property_add(oc, "request-timeout-ms", "uint32",
                              sb_get_timeout, sb_set_timeout, NULL,
                              NULL);
    object_class_property_set_description(oc, "request-timeout-ms",
        "time after which a request to the node has failed, in milliseconds, "
        "at least 10 (default: 5000)");
}

static const TypeInfo sb_info = {
    .name = TYPE_REMOTE_STORE_BLOCK,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreBlock),
    .instance_init = sb_init,
    .instance_finalize = sb_finalize,
    .class_init = sb_class_init,
};

static void sb_register_types(void)
{
    type_register_static(&sb_info);
}

type_init(sb_register_types);
