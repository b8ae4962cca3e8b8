/*
 * Remote stores: pages in this process
 *
 * The default.  Pages lie in one sparse mapping per region, at their index;
 * or, compressed, in an allocation each, found by a sparse table.  Both cost
 * address space when a region is attached, and memory when a page is put.
 *
 * Two queues never work on the same page, so that only what neighbours share
 * is accessed atomically: the words of the presence bitmap and the total.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/bitops.h"
#include "qemu/madvise.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qom/object_interfaces.h"
#include "remote-memory/store.h"
#include "page-compress.h"
#include "sparse.h"

#define TYPE_REMOTE_STORE_RAM "remote-store-ram"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreRam, REMOTE_STORE_RAM)

/*
 * @used: payload in all regions, in bytes; atomic
 * Other fields are constant once the object is complete.
 */
struct RemoteStoreRam {
    RemoteStore parent_obj;

    RemoteStoreCompression compress;
    uint64_t max_size;
    uint64_t used;
};

/* A compressed page, or a raw one if @len is the page size. */
typedef struct RamBlob {
    uint16_t len;
    uint8_t data[];
} RamBlob;

/*
 * Blobs are found in two steps, so that detach only looks where something
 * was put.  A chunk is allocated when first needed, and stays.
 */
#define CHUNK_BITS 9
#define CHUNK_PAGES (1 << CHUNK_BITS)

typedef RamBlob *RamChunk[CHUNK_PAGES];

/*
 * @pages, @present: where the pages are and which ones, if uncompressed
 * @chunks: where the blobs are, if compressed
 * @used: payload, in bytes; atomic, and not in the way of those who only read
 */
typedef struct RamRegion {
    uint8_t *pages;
    unsigned long *present;
    RamChunk **chunks;
    QEMU_ALIGNED(REMOTE_STORE_ALIGN) uint64_t used;
} RamRegion;

/* @codec and @scratch are NULL if uncompressed. */
typedef struct RamQueue {
    RemoteStoreQueue parent;
    RemoteStoreRam *ram;
    RamRegion *region;
    PageCodec *codec;
    uint8_t *scratch;
} RamQueue;

/* Account for @more bytes of payload, which may be negative. */
static bool ram_reserve(RamQueue *q, int64_t more)
{
    uint64_t max = q->ram->max_size;
    uint64_t old = qatomic_read(&q->ram->used), seen;

    for (;;) {
        if (more > 0 && max && old + more > max) {
            return false;
        }
        seen = qatomic_cmpxchg(&q->ram->used, old, old + more);
        if (seen == old) {
            qatomic_add(&q->region->used, more);
            return true;
        }
        old = seen;
    }
}

static void ram_fail_full(RamQueue *q, RemoteStoreRequest *req)
{
    remote_store_fail(&q->parent, req, REMOTE_STORE_NOSPACE,
                      "the store is full (max-size=%" PRIu64 ")",
                      q->ram->max_size);
}

static void ram_fail_missing(RamQueue *q, RemoteStoreRequest *req)
{
    remote_store_fail(&q->parent, req, REMOTE_STORE_MISSING,
                      "the store does not have the page");
}

/* Uncompressed */

static void *raw_page(RamQueue *q, uint64_t page)
{
    return q->region->pages + page * REMOTE_STORE_PAGE_SIZE;
}

static void raw_get(RamQueue *q, RemoteStoreRequest *req)
{
    if (!test_bit(req->page, q->region->present)) {
        ram_fail_missing(q, req);
        return;
    }
    if (req->lend) {
        req->data = raw_page(q, req->page);
    } else {
        memcpy(req->buf, raw_page(q, req->page), REMOTE_STORE_PAGE_SIZE);
    }
    remote_store_done(&q->parent, req);
}

static void raw_put(RamQueue *q, RemoteStoreRequest *req)
{
    if (!test_bit(req->page, q->region->present)) {
        if (!ram_reserve(q, REMOTE_STORE_PAGE_SIZE)) {
            ram_fail_full(q, req);
            return;
        }
        set_bit_atomic(req->page, q->region->present);
    }
    memcpy(raw_page(q, req->page), req->buf, REMOTE_STORE_PAGE_SIZE);
    remote_store_done(&q->parent, req);
}

/* Forget @nr pages from @first, giving their memory back in one call. */
static void raw_discard(RamQueue *q, uint64_t first, uint64_t nr)
{
    int64_t freed = 0;

    for (uint64_t page = first; page < first + nr; page++) {
        if (test_bit(page, q->region->present)) {
            clear_bit_atomic(page, q->region->present);
            freed += REMOTE_STORE_PAGE_SIZE;
        }
    }
    if (freed) {
        qemu_madvise(raw_page(q, first), nr * REMOTE_STORE_PAGE_SIZE,
                     QEMU_MADV_DONTNEED);
        ram_reserve(q, -freed);
    }
}

/* Compressed */

/* Where the pointer to the page's blob is; NULL if it never had one. */
static RamBlob **blob_slot(RamQueue *q, uint64_t page)
{
    RamChunk *chunk = qatomic_read(&q->region->chunks[page >> CHUNK_BITS]);

    return chunk ? &(*chunk)[page % CHUNK_PAGES] : NULL;
}

/* The same, making the slot; NULL if there is no memory for it. */
static RamBlob **blob_slot_new(RamQueue *q, uint64_t page)
{
    RamChunk **place = &q->region->chunks[page >> CHUNK_BITS];

    if (!qatomic_read(place)) {
        RamChunk *chunk = g_try_malloc0(sizeof(*chunk));

        /* Another queue, which has a neighbour, may have been faster. */
        if (chunk && qatomic_cmpxchg(place, NULL, chunk)) {
            g_free(chunk);
        }
    }
    return blob_slot(q, page);
}

static void blob_get(RamQueue *q, RemoteStoreRequest *req)
{
    RamBlob **slot = blob_slot(q, req->page);
    RamBlob *blob = slot ? *slot : NULL;

    if (!blob) {
        ram_fail_missing(q, req);
    } else if (blob->len == REMOTE_STORE_PAGE_SIZE) {
        memcpy(req->buf, blob->data, REMOTE_STORE_PAGE_SIZE);
        remote_store_done(&q->parent, req);
    } else if (page_codec_decompress(q->codec, blob->data, blob->len,
                                     req->buf)) {
        remote_store_done(&q->parent, req);
    } else {
        remote_store_fail(&q->parent, req, REMOTE_STORE_CORRUPT,
                          "the page cannot be decompressed");
    }
}

/*
 * Put @len bytes into the slot, in the place of what was there.  The old blob
 * stays until nothing can fail any more.
 */
static bool blob_replace(RamQueue *q, RamBlob **slot, const void *data,
                         size_t len)
{
    RamBlob *old = *slot, *blob;
    size_t old_len = old ? old->len : 0;

    if (len == old_len) {
        memcpy(old->data, data, len);
        return true;
    }
    blob = g_try_malloc(sizeof(*blob) + len);
    if (!blob || !ram_reserve(q, (int64_t)len - (int64_t)old_len)) {
        g_free(blob);
        return false;
    }
    blob->len = len;
    memcpy(blob->data, data, len);
    *slot = blob;
    g_free(old);
    return true;
}

static void blob_put(RamQueue *q, RemoteStoreRequest *req)
{
    size_t len = page_codec_compress(q->codec, req->buf, q->scratch);
    RamBlob **slot = blob_slot_new(q, req->page);

    if (slot && blob_replace(q, slot, len ? q->scratch : req->buf,
                             len ?: REMOTE_STORE_PAGE_SIZE)) {
        remote_store_done(&q->parent, req);
    } else {
        ram_fail_full(q, req);
    }
}

static void blob_discard(RamQueue *q, uint64_t page)
{
    RamBlob **slot = blob_slot(q, page);

    if (slot && *slot) {
        ram_reserve(q, -(int64_t)(*slot)->len);
        g_free(*slot);
        *slot = NULL;
    }
}

/* Requests */

/*
 * Forget @req's page and those of the requests behind it in @list that are
 * discards of its next neighbours.
 */
static void ram_discard(RamQueue *q, RemoteStoreRequest *req,
                        RemoteStoreRequestList *list)
{
    RemoteStoreRequestList run = QSIMPLEQ_HEAD_INITIALIZER(run);
    RemoteStoreRequest *next = req;
    uint64_t nr = 0;

    do {
        if (nr++) {
            QSIMPLEQ_REMOVE_HEAD(list, entry);
        }
        QSIMPLEQ_INSERT_TAIL(&run, next, entry);
        if (q->codec) {
            blob_discard(q, next->page);
        }
        next = QSIMPLEQ_FIRST(list);
    } while (next && next->op == REMOTE_STORE_DISCARD &&
             next->page == req->page + nr);

    if (!q->codec) {
        raw_discard(q, req->page, nr);
    }
    while ((next = QSIMPLEQ_FIRST(&run))) {
        QSIMPLEQ_REMOVE_HEAD(&run, entry);
        remote_store_done(&q->parent, next);
    }
}

static void ram_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                       size_t nr)
{
    RamQueue *q = container_of(queue, RamQueue, parent);
    RemoteStoreRequestList list;
    RemoteStoreRequest *req;

    remote_store_take_requests(&list, reqs, nr);
    while ((req = QSIMPLEQ_FIRST(&list))) {
        QSIMPLEQ_REMOVE_HEAD(&list, entry);
        switch (req->op) {
        case REMOTE_STORE_GET:
            (q->codec ? blob_get : raw_get)(q, req);
            break;
        case REMOTE_STORE_PUT:
            (q->codec ? blob_put : raw_put)(q, req);
            break;
        case REMOTE_STORE_DISCARD:
            ram_discard(q, req, &list);
            break;
        }
    }
}

/* Regions and queues */

static uint64_t pages_size(RemoteStoreRegion *region)
{
    return region->nr_pages * REMOTE_STORE_PAGE_SIZE;
}

static uint64_t present_size(RemoteStoreRegion *region)
{
    return BITS_TO_LONGS(region->nr_pages) * sizeof(unsigned long);
}

static uint64_t nr_chunks(RemoteStoreRegion *region)
{
    return DIV_ROUND_UP(region->nr_pages, CHUNK_PAGES);
}

static uint64_t chunks_size(RemoteStoreRegion *region)
{
    return nr_chunks(region) * sizeof(RamChunk *);
}

static void *sparse_alloc(RemoteStore *store, uint64_t size, Error **errp)
{
    void *p = sparse_new(size);

    if (!p) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve %" PRIu64
                         " KiB of address space", remote_store_id(store),
                         size / KiB);
        return NULL;
    }
    /* With a huge page, a single page that is put would cost 2 MiB. */
    qemu_madvise(p, size, QEMU_MADV_NOHUGEPAGE);
    qemu_madvise(p, size, QEMU_MADV_DONTDUMP);
    return p;
}

static void ram_free_chunks(RemoteStoreRegion *region)
{
    RamRegion *r = region->opaque;

    for (uint64_t i = 0; r->chunks && i < nr_chunks(region); i++) {
        for (int j = 0; r->chunks[i] && j < CHUNK_PAGES; j++) {
            g_free((*r->chunks[i])[j]);
        }
        g_free(r->chunks[i]);
    }
    sparse_free(r->chunks, chunks_size(region));
}

static void ram_detach(RemoteStoreRegion *region)
{
    RemoteStoreRam *ram = REMOTE_STORE_RAM(region->store);
    RamRegion *r = region->opaque;

    ram_free_chunks(region);
    sparse_free(r->pages, pages_size(region));
    sparse_free(r->present, present_size(region));
    qatomic_sub(&ram->used, r->used);
    qemu_vfree(r);
}

static bool ram_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreRam *ram = REMOTE_STORE_RAM(region->store);
    RamRegion *r = remote_store_alloc(sizeof(RamRegion));
    bool ok;

    region->opaque = r;
    if (ram->compress != REMOTE_STORE_COMPRESSION_OFF) {
        r->chunks = sparse_alloc(region->store, chunks_size(region), errp);
        ok = r->chunks;
    } else {
        r->pages = sparse_alloc(region->store, pages_size(region), errp);
        ok = r->pages && (r->present = sparse_alloc(region->store,
                                                    present_size(region),
                                                    errp));
    }
    if (!ok) {
        ram_detach(region);
    }
    return ok;
}

static RemoteStoreQueue *ram_open(RemoteStoreRegion *region, AioContext *ctx,
                                  Error **errp)
{
    RemoteStoreRam *ram = REMOTE_STORE_RAM(region->store);
    RamQueue *q = remote_store_alloc(sizeof(RamQueue));

    q->ram = ram;
    q->region = region->opaque;
    if (ram->compress != REMOTE_STORE_COMPRESSION_OFF) {
        q->codec = page_codec_new(ram->compress);
        if (!q->codec) {
            error_setg(errp, "store '%s': no memory to compress with",
                       remote_store_id(region->store));
            qemu_vfree(q);
            return NULL;
        }
        q->scratch = g_malloc(PAGE_COMPRESS_MAX);
    }
    return &q->parent;
}

static void ram_close(RemoteStoreQueue *queue)
{
    RamQueue *q = container_of(queue, RamQueue, parent);

    page_codec_free(q->codec);
    g_free(q->scratch);
    qemu_vfree(q);
}

static bool ram_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreRam *ram = REMOTE_STORE_RAM(store);

    if (ram->max_size && ram->max_size < REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "store '%s': property 'max-size': %" PRIu64
                   " is less than one page of %d bytes",
                   remote_store_id(store), ram->max_size,
                   REMOTE_STORE_PAGE_SIZE);
        error_append_hint(errp, "0 stands for as much as there is.\n");
        return false;
    }
    return true;
}

static uint64_t ram_capacity(RemoteStore *store)
{
    return REMOTE_STORE_RAM(store)->max_size;
}

/* Properties */

static int ram_get_compress(Object *obj, Error **errp)
{
    return REMOTE_STORE_RAM(obj)->compress;
}

static void ram_set_compress(Object *obj, int value, Error **errp)
{
    if (remote_store_can_set(REMOTE_STORE(obj), "compress", errp)) {
        REMOTE_STORE_RAM(obj)->compress = value;
    }
}

static void ram_get_max_size(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    visit_type_size(v, name, &REMOTE_STORE_RAM(obj)->max_size, errp);
}

static void ram_set_max_size(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    uint64_t value;

    if (visit_type_size(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        REMOTE_STORE_RAM(obj)->max_size = value;
    }
}

static void ram_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = ram_start;
    rsc->capacity = ram_capacity;
    rsc->attach = ram_attach;
    rsc->detach = ram_detach;
    rsc->open = ram_open;
    rsc->submit = ram_submit;
    rsc->close = ram_close;

    object_class_property_add_enum(oc, "compress", "RemoteStoreCompression",
                                   &RemoteStoreCompression_lookup,
                                   ram_get_compress, ram_set_compress);
    object_class_property_set_description(oc, "compress",
        "how pages are compressed: off, lz4 or zstd (default: off)");
    object_class_property_add(oc, "max-size", "size", ram_get_max_size,
                              ram_set_max_size, NULL, NULL);
    object_class_property_set_description(oc, "max-size",
        "most memory that the pages may take, in bytes, 0 for no limit "
        "(default: 0)");
}

static const TypeInfo ram_info = {
    .name = TYPE_REMOTE_STORE_RAM,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreRam),
    .class_init = ram_class_init,
};

static void ram_register_types(void)
{
    type_register_static(&ram_info);
}

type_init(ram_register_types);
