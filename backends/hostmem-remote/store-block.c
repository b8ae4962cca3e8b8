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
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
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

/* Take a certain range.  Returns: whether it was free. */
static bool take_range_at(RemoteStoreBlock *sb, BlockRegion *region,
                          uint64_t first)
{
    BlockRegion *before = NULL, *r;

    QLIST_FOREACH(r, &sb->regions, next) {
        if (r->first >= first) {
            break;
        }
        before = r;
    }
    if ((before && before->first + before->nr_pages > first) ||
        first > sb->nr_pages || region->nr_pages > sb->nr_pages - first ||
        (r && r->first < first + region->nr_pages)) {
        return false;
    }
    region->first = first;
    if (before) {
        QLIST_INSERT_AFTER(before, region, next);
    } else {
        QLIST_INSERT_HEAD(&sb->regions, region, next);
    }
    return true;
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

static bool region_new_range(RemoteStoreRegion *region, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(region->store);
    uint64_t largest;

    if (take_range(sb, region->opaque, &largest)) {
        return true;
    }
    error_setg(errp, "store '%s': block node '%s' has no room for %" PRIu64
               " bytes: the largest part that is free has %" PRIu64,
               remote_store_id(region->store), sb->node_name,
               (region->nr_pages - region->nr_marks) * REMOTE_STORE_PAGE_SIZE,
               largest * REMOTE_STORE_PAGE_SIZE);
    error_append_hint(errp, "The node has to be as large as all memory "
                      "backends that use it, together.\n");
    return false;
}

/* What another process needs; followed by @present, in little endian order. */
typedef struct QEMU_PACKED SavedRegion {
    uint64_t first;
    uint64_t marks;
} SavedRegion;

/* Another process cannot see pages that are where tables say. */
static bool check_format(RemoteStoreBlock *sb, Error **errp)
{
    ERRP_GUARD();
    BlockDriver *drv = blk_bs(sb->blk)->drv;

    if (!drv->is_format || !strcmp(drv->format_name, "raw")) {
        return true;
    }
    error_setg(errp, "store '%s': the pages of block node '%s' cannot be "
               "handed over, since format '%s' has tables of its own",
               remote_store_id(&sb->parent_obj), sb->node_name,
               drv->format_name);
    error_append_hint(errp, "Use a raw node, or migrate without the "
                      "capability remote-memory.\n");
    return false;
}

/*
 * Another process has to see at once what was written here, or two of them
 * could run the VM: the cache of this host must not be in between.
 */
static bool check_cache(RemoteStoreBlock *sb, Error **errp)
{
    ERRP_GUARD();

    if (!sb->is_cached) {
        return true;
    }
    error_setg(errp, "store '%s': the pages of block node '%s' cannot be "
               "handed over, since this host caches them",
               remote_store_id(&sb->parent_obj), sb->node_name);
    error_append_hint(errp, "Give the node cache.direct=on.\n");
    return false;
}

/* Room for marks is taken when it is needed, so that others can do without. */
static bool region_new_marks(RemoteStoreRegion *region, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(region->store);
    BlockRegion *r = region->opaque, *marks;
    uint64_t largest;

    if (r->marks) {
        return true;
    }
    marks = g_new0(BlockRegion, 1);
    marks->nr_pages = region->nr_marks;
    if (!take_range(sb, marks, &largest)) {
        error_setg(errp, "store '%s': block node '%s' has no room to note to "
                   "whom pages are handed over",
                   remote_store_id(region->store), sb->node_name);
        error_append_hint(errp, "It has to be larger by %d bytes for each "
                          "memory backend.\n",
                          REMOTE_STORE_MARKS * REMOTE_STORE_PAGE_SIZE);
        g_free(marks);
        return false;
    }
    r->marks = marks;
    return true;
}

static bool sb_save(RemoteStoreRegion *region, GByteArray *state, Error **errp)
{
    BlockRegion *r = region->opaque;
    g_autofree unsigned long *present = NULL;
    SavedRegion saved;

    if (!check_format(REMOTE_STORE_BLOCK(region->store), errp) ||
        !check_cache(REMOTE_STORE_BLOCK(region->store), errp) ||
        !region_new_marks(region, errp)) {
        return false;
    }
    if (state) {
        saved.first = cpu_to_be64(r->first);
        saved.marks = cpu_to_be64(r->marks->first);
        present = bitmap_new(region->nr_pages);
        bitmap_to_le(present, r->present, region->nr_pages);
        g_byte_array_append(state, (uint8_t *)&saved, sizeof(saved));
        g_byte_array_append(state, (uint8_t *)present,
                            present_size(region->nr_pages));
    }
    return true;
}

static void give_range_back(BlockRegion *r)
{
    QLIST_REMOVE(r, next);
    g_free(r);
}

static bool region_old_range(RemoteStoreRegion *region, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreBlock *sb = REMOTE_STORE_BLOCK(region->store);
    const GByteArray *state = region->inherited;
    BlockRegion *r = region->opaque;
    SavedRegion saved;

    if (!check_format(sb, errp) || !check_cache(sb, errp)) {
        return false;
    }
    r->marks = g_new0(BlockRegion, 1);
    r->marks->nr_pages = region->nr_marks;
    if (state->len == sizeof(saved) + present_size(region->nr_pages)) {
        memcpy(&saved, state->data, sizeof(saved));
        if (take_range_at(sb, r, be64_to_cpu(saved.first))) {
            if (take_range_at(sb, r->marks, be64_to_cpu(saved.marks))) {
                return true;
            }
            QLIST_REMOVE(r, next);
        }
    }
    g_free(r->marks);
    error_setg(errp, "store '%s': block node '%s' has no room where the source "
               "of the migration has its pages",
               remote_store_id(region->store), sb->node_name);
    error_append_hint(errp, "It has to be the same image, of the same "
                      "size.\n");
    return false;
}

static void sb_detach(RemoteStoreRegion *region)
{
    BlockRegion *r = region->opaque;

    if (r->marks) {
        give_range_back(r->marks);
    }
    sparse_free(r->present, present_size(region->nr_pages));
    give_range_back(r);
}

static bool sb_attach(RemoteStoreRegion *region, Error **errp)
{
    BlockRegion *r = g_new0(BlockRegion, 1);

    region->opaque = r;
    r->nr_pages = region->nr_pages - region->nr_marks;
    if (!(region->inherited ? region_old_range(region, errp)
                            : region_new_range(region, errp))) {
        g_free(r);
        return false;
    }
    r->present = sparse_new(present_size(region->nr_pages));
    if (!r->present) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages", remote_store_id(region->store));
        sb_detach(region);
        return false;
    }
    if (region->inherited) {
        bitmap_from_le(r->present, (const unsigned long *)
                       (region->inherited->data + sizeof(SavedRegion)),
                       region->nr_pages);
    }
    return true;
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
        error_append_hint(errp, "Create it first, by -blockdev or "
                          "blockdev-add.\n");
    } else if (bdrv_is_read_only(bs)) {
        error_setg(errp, "store '%s': block node '%s' is read-only", id,
                   sb->node_name);
        error_append_hint(errp, "Give the node read-only=off.\n");
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

/* Is what is written kept in the cache of this host? */
static bool is_cached(BlockDriverState *bs)
{
    const char *name;

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    while (bs->file) {
        bs = bs->file->bs;
    }
    name = bs->drv->format_name;
    return (!strcmp(name, "file") || !strcmp(name, "host_device")) &&
           !(bs->open_flags & BDRV_O_NOCACHE);
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
    sb->is_cached = is_cached(bs);
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
    rsc->save = sb_save;
    rsc->detach = sb_detach;
    rsc->open = block_queue_open;
    rsc->submit = block_queue_submit;
    rsc->close = block_queue_close;

    object_class_property_add_str(oc, "node-name", sb_get_node_name,
                                  sb_set_node_name);
    object_class_property_set_description(oc, "node-name",
        "the block node; it has to be as large as the memory that uses it "
        "(required)");
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
