/*
 * Queue into a block node
 *
 * Neighbours that are submitted together are one request to the node, a run.
 *
 * The block layer cannot call a request back, and the node may take as long
 * as it likes.  So a run has pages of its own to read into and to write from,
 * and if it takes too long, its requests end as timed out and it goes on by
 * itself, late.  Until it ends, its pages are stuck: a put that followed could
 * be overwritten by it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/iov.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "store-block.h"
#include "trace.h"

/* Longest run: 256 KiB. */
#define RUN_PAGES 64
/* Pages of our own are made so many at a time. */
#define CHUNK_PAGES 64

typedef struct BlockQueue BlockQueue;

typedef struct Bounce {
    QSLIST_ENTRY(Bounce) next;
} Bounce;

/**
 * struct BlockRun - neighbours that are read, written or discarded together
 * @q: the queue
 * @op: what is done
 * @page: the first, within the region
 * @nr: how many
 * @deadline: when it is late, in ns
 * @late: it is: @reqs have ended
 * @reqs: the requests
 * @qiov: pages of our own, unless it is a discard
 * @next: in a list of the queue's
 */
typedef struct BlockRun {
    BlockQueue *q;
    RemoteStoreOp op;
    uint64_t page;
    unsigned nr;
    int64_t deadline;
    bool late;
    RemoteStoreRequest *reqs[RUN_PAGES];
    QEMUIOVector qiov;
    QTAILQ_ENTRY(BlockRun) next;
} BlockRun;

typedef QTAILQ_HEAD(, BlockRun) BlockRunList;

/**
 * struct BlockQueue - a queue
 * @parent: the base
 * @store: the store
 * @region: its pages
 * @idle: runs to be used again
 * @active: runs on their way, those that began first in front
 * @nr_late: runs that took too long and have not ended yet
 * @stuck: numbers of the pages that these write or discard
 * @timer: rings when the first of @active is late
 * @bounces: pages of our own that are not in use
 * @chunks: memory that they are part of
 */
struct BlockQueue {
    RemoteStoreQueue parent;
    RemoteStoreBlock *store;
    BlockRegion *region;
    BlockRunList idle;
    BlockRunList active;
    unsigned nr_late;
    GHashTable *stuck;
    QEMUTimer *timer;
    QSLIST_HEAD(, Bounce) bounces;
    GPtrArray *chunks;
};

/* Pages of our own */

static void *bounce_get(BlockQueue *q)
{
    Bounce *bounce = QSLIST_FIRST(&q->bounces);

    if (!bounce) {
        uint8_t *chunk = qemu_memalign(REMOTE_STORE_PAGE_SIZE, CHUNK_PAGES *
                                       REMOTE_STORE_PAGE_SIZE);

        g_ptr_array_add(q->chunks, chunk);
        for (int i = 0; i < CHUNK_PAGES; i++) {
            bounce = (Bounce *)(chunk + i * REMOTE_STORE_PAGE_SIZE);
            QSLIST_INSERT_HEAD(&q->bounces, bounce, next);
        }
    }
    QSLIST_REMOVE_HEAD(&q->bounces, next);
    return bounce;
}

static void bounce_put(BlockQueue *q, void *page)
{
    Bounce *bounce = page;

    QSLIST_INSERT_HEAD(&q->bounces, bounce, next);
}

/* Runs */

static BlockRun *run_new(BlockQueue *q, const RemoteStoreRequest *req)
{
    BlockRun *run = QTAILQ_FIRST(&q->idle);

    if (run) {
        QTAILQ_REMOVE(&q->idle, run, next);
    } else {
        run = g_new0(BlockRun, 1);
        run->q = q;
        qemu_iovec_init(&run->qiov, RUN_PAGES);
    }
    run->op = req->op;
    run->page = req->page;
    run->nr = 0;
    run->late = false;
    return run;
}

static void run_add(BlockRun *run, RemoteStoreRequest *req)
{
    run->reqs[run->nr++] = req;
    if (run->op != REMOTE_STORE_DISCARD) {
        void *page = bounce_get(run->q);

        if (run->op == REMOTE_STORE_PUT) {
            memcpy(page, req->buf, REMOTE_STORE_PAGE_SIZE);
        }
        qemu_iovec_add(&run->qiov, page, REMOTE_STORE_PAGE_SIZE);
    }
}

static void run_idle(BlockRun *run)
{
    for (int i = 0; i < run->qiov.niov; i++) {
        bounce_put(run->q, run->qiov.iov[i].iov_base);
    }
    qemu_iovec_reset(&run->qiov);
    QTAILQ_INSERT_HEAD(&run->q->idle, run, next);
}

static bool run_follows(const BlockRun *run, const RemoteStoreRequest *req)
{
    return run && req->op == run->op && req->page == run->page + run->nr &&
           run->nr < RUN_PAGES;
}

/* Late runs */

static gpointer stuck_key(uint64_t page)
{
    QEMU_BUILD_BUG_ON(sizeof(gpointer) < sizeof(uint64_t));
    /* A key of 0 is one like any other, but reads as none. */
    return (gpointer)(uintptr_t)(page + 1);
}

static bool is_stuck(const BlockQueue *q, const RemoteStoreRequest *req)
{
    return g_hash_table_size(q->stuck) && req->op != REMOTE_STORE_GET &&
           g_hash_table_contains(q->stuck, stuck_key(req->page));
}

static void run_late(BlockRun *run)
{
    run->late = true;
    run->q->nr_late++;
    for (unsigned i = 0; i < run->nr && run->op != REMOTE_STORE_GET; i++) {
        g_hash_table_add(run->q->stuck, stuck_key(run->page + i));
    }
}

static void run_late_end(BlockRun *run)
{
    run->q->nr_late--;
    for (unsigned i = 0; i < run->nr && run->op != REMOTE_STORE_GET; i++) {
        g_hash_table_remove(run->q->stuck, stuck_key(run->page + i));
    }
}

/* Ends */

static void set_failing(BlockQueue *q, bool failing)
{
    if (qatomic_read(&q->store->failing) != failing) {
        qatomic_set(&q->store->failing, failing);
        remote_store_set_status(&q->store->parent_obj, failing
                                ? REMOTE_STORE_STATUS_LOST
                                : REMOTE_STORE_STATUS_CONNECTED);
    }
}

static void request_done(BlockRun *run, unsigned i)
{
    BlockQueue *q = run->q;
    RemoteStoreRequest *req = run->reqs[i];

    switch (run->op) {
    case REMOTE_STORE_GET:
        memcpy(req->buf, run->qiov.iov[i].iov_base, REMOTE_STORE_PAGE_SIZE);
        break;
    case REMOTE_STORE_PUT:
        set_bit_atomic(req->page, q->region->present);
        break;
    default:
        break;
    }
    remote_store_done(&q->parent, req);
}

static void request_failed(BlockRun *run, unsigned i, int ret)
{
    BlockQueue *q = run->q;

    remote_store_fail(&q->parent, run->reqs[i],
                      ret == -ENOSPC ? REMOTE_STORE_NOSPACE
                                     : REMOTE_STORE_FAILED,
                      "block node '%s': %s", q->store->node_name,
                      strerror(-ret));
}

static void run_ended(void *opaque, int ret)
{
    BlockRun *run = opaque;
    BlockQueue *q = run->q;

    if (run->late) {
        run_late_end(run);
        run_idle(run);
        return;
    }
    QTAILQ_REMOVE(&q->active, run, next);
    set_failing(q, ret < 0);
    for (unsigned i = 0; i < run->nr; i++) {
        if (ret < 0) {
            request_failed(run, i, ret);
        } else {
            request_done(run, i);
        }
    }
    run_idle(run);
}

static void queue_timer(void *opaque)
{
    BlockQueue *q = opaque;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    BlockRun *run;

    while ((run = QTAILQ_FIRST(&q->active)) && run->deadline <= now) {
        QTAILQ_REMOVE(&q->active, run, next);
        run_late(run);
        set_failing(q, true);
        for (unsigned i = 0; i < run->nr; i++) {
            remote_store_fail(&q->parent, run->reqs[i], REMOTE_STORE_TIMEOUT,
                              "block node '%s' did not answer in %u ms",
                              q->store->node_name, q->store->timeout_ms);
        }
    }
    if (run) {
        timer_mod(q->timer, run->deadline);
    }
}

/* Beginning */

static void run_start(BlockRun *run)
{
    BlockQueue *q = run->q;
    BlockBackend *blk = q->store->blk;
    const BlockRegion *r = q->region;
    /* A mark is never part of a run: only marks are behind it. */
    uint64_t place = run->page < r->nr_pages
                     ? r->first + run->page
                     : r->marks->first + run->page - r->nr_pages;
    int64_t offset = place * REMOTE_STORE_PAGE_SIZE;

    run->deadline = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) +
                    (int64_t)q->store->timeout_ms * SCALE_MS;
    QTAILQ_INSERT_TAIL(&q->active, run, next);
    /* Not for each run: the timer sees by itself whether it is time. */
    if (!timer_pending(q->timer)) {
        timer_mod(q->timer, run->deadline);
    }
    switch (run->op) {
    case REMOTE_STORE_GET:
        blk_aio_preadv(blk, offset, &run->qiov, 0, run_ended, run);
        break;
    case REMOTE_STORE_PUT:
        blk_aio_pwritev(blk, offset, &run->qiov, 0, run_ended, run);
        break;
    case REMOTE_STORE_DISCARD:
        blk_aio_pdiscard(blk, offset,
                         (int64_t)run->nr * REMOTE_STORE_PAGE_SIZE, run_ended,
                         run);
        break;
    }
}

/* Of what the node need not be asked.  Returns: whether that is so. */
static bool end_at_once(BlockQueue *q, RemoteStoreRequest *req)
{
    bool present = test_bit(req->page, q->region->present);

    if (is_stuck(q, req)) {
        remote_store_fail(&q->parent, req, REMOTE_STORE_TIMEOUT,
                          "block node '%s' has not answered to an earlier "
                          "request yet", q->store->node_name);
    } else if (present || req->op == REMOTE_STORE_PUT) {
        return false;
    } else if (req->op == REMOTE_STORE_GET) {
        remote_store_fail(&q->parent, req, REMOTE_STORE_MISSING,
                          "page %" PRIu64 " was never written", req->page);
    } else {
        remote_store_done(&q->parent, req);
    }
    return true;
}

static void add_request(BlockQueue *q, BlockRun **run, RemoteStoreRequest *req)
{
    if (!run_follows(*run, req)) {
        if (*run) {
            run_start(*run);
        }
        *run = run_new(q, req);
    }
    if (req->op == REMOTE_STORE_DISCARD) {
        clear_bit_atomic(req->page, q->region->present);
    }
    run_add(*run, req);
}

void block_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                        size_t nr)
{
    BlockQueue *q = container_of(queue, BlockQueue, parent);
    RemoteStoreRequestList list;
    RemoteStoreRequest *req;
    BlockRun *run = NULL;

    remote_store_take_requests(&list, reqs, nr);
    while ((req = QSIMPLEQ_FIRST(&list))) {
        QSIMPLEQ_REMOVE_HEAD(&list, entry);
        if (!end_at_once(q, req)) {
            add_request(q, &run, req);
        }
    }
    if (run) {
        run_start(run);
    }
}

/* Beginning and end of a queue */

RemoteStoreQueue *block_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                   Error **errp)
{
    BlockQueue *q = remote_store_alloc(sizeof(BlockQueue));

    q->store = REMOTE_STORE_BLOCK(region->store);
    q->region = region->opaque;
    QTAILQ_INIT(&q->idle);
    QTAILQ_INIT(&q->active);
    q->stuck = g_hash_table_new(NULL, NULL);
    q->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, queue_timer,
                             q);
    q->chunks = g_ptr_array_new_with_free_func(qemu_vfree);
    return &q->parent;
}

/*
 * Late runs have to end before their memory can go.  As any device does, this
 * waits until the node gives up; "yank" makes an NBD client do so.
 */
void block_queue_close(RemoteStoreQueue *queue)
{
    BlockQueue *q = container_of(queue, BlockQueue, parent);
    BlockRun *run;

    assert(QTAILQ_EMPTY(&q->active));
    while (q->nr_late) {
        aio_poll(queue->ctx, true);
    }
    timer_free(q->timer);
    while ((run = QTAILQ_FIRST(&q->idle))) {
        QTAILQ_REMOVE(&q->idle, run, next);
        qemu_iovec_destroy(&run->qiov);
        g_free(run);
    }
    g_hash_table_unref(q->stuck);
    g_ptr_array_unref(q->chunks);
    qemu_vfree(q);
}
