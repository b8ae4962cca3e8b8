/*
 * Queue into a memory server: requests, by READ and WRITE
 *
 * A page's place follows from its number: the slab that it is in, of which the
 * server is asked once, and the place in the slab.  The device reads and writes
 * slots of memory that was registered beforehand; contents are copied to and
 * from them, which takes less time than to register anything.
 *
 * What is there is known here, by a bitmap: the server sees neither reads nor
 * writes.
 *
 * A put that was begun and not acknowledged leaves a page that may be half one
 * and half the other content.  It counts as not there.  A mark stays, since it
 * is read by who has failed to write it, too: each says by what it has in it
 * whether it is one, and of the bytes that matter only one ever changes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "rdma-slabs.h"
#include "store-rdma.h"

QEMU_BUILD_BUG_ON(RDMA_PAGE_SIZE != REMOTE_STORE_PAGE_SIZE);

/*
 * Slots that gets of which nobody waits for may take: those that somebody does
 * wait for are not behind more than these.
 */
#define BACKGROUND_SLOTS (RDMA_LINK_DEPTH / 4)

/* Where a request is. */
typedef enum OpState {
    OP_WAITING,     /* for a slot, in RdmaQueue.waiting or .background */
    OP_HOMELESS,    /* for its slab, in RdmaQueue.homeless */
    OP_MOVING,      /* posted, in RdmaQueue.moving */
    OP_ENDED,       /* in RdmaQueue.ended */
} OpState;

/*
 * @req: the request
 * @state: where it is
 * @slot: (moving) its slot
 * @deadline: when it is late, in ns
 * @active: in RdmaQueue.active
 * @next: in the list that @state says
 */
typedef struct RdmaOp {
    RemoteStoreRequest *req;
    OpState state;
    unsigned slot;
    int64_t deadline;
    QTAILQ_ENTRY(RdmaOp) active;
    QTAILQ_ENTRY(RdmaOp) next;
} RdmaOp;

typedef QTAILQ_HEAD(, RdmaOp) RdmaOpList;

/*
 * @number: of the queue, for the server
 * @link: the connection
 * @down: the store counts this queue as one without a connection
 * @epoch: what the namespace had when it was last connected
 * @slabs: where they are, as this connection has been told
 * @asked: the server has been asked for a slab and has not answered yet
 * @ask_slab: for which
 * @ask_deadline: when the answer is late, in ns
 * @active: all that have not ended, the oldest in front
 * @waiting, @background, @homeless: see OpState
 * @moving: by slot
 * @ended: to be completed, next
 * @idle: to be used again
 * @free: slots that are not in use
 * @nr_free: how many
 * @nr_background: slots in use for background gets
 * @timer: rings when the oldest is late
 */
typedef struct RdmaQueue {
    RemoteStoreQueue parent;
    RemoteStoreRdma *store;
    int number;
    RdmaLink *link;
    bool down;
    RdmaEpoch *epoch;
    RdmaSlabs slabs;
    bool asked;
    uint64_t ask_slab;
    int64_t ask_deadline;
    RdmaOpList active;
    RdmaOpList waiting;
    RdmaOpList background;
    RdmaOpList homeless;
    RdmaOp *moving[RDMA_LINK_DEPTH];
    RemoteStoreRequestList ended;
    RdmaOpList idle;
    unsigned free[RDMA_LINK_DEPTH];
    unsigned nr_free;
    unsigned nr_background;
    QEMUTimer *timer;
} RdmaQueue;

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

static int64_t timeout_ns(const RdmaQueue *q)
{
    return (int64_t)q->store->server.timeout_ms * SCALE_MS;
}

/* Operations */

static RdmaOpList *list_of(RdmaQueue *q, const RdmaOp *op)
{
    if (op->state == OP_HOMELESS) {
        return &q->homeless;
    }
    return op->req->background ? &q->background : &q->waiting;
}

static void op_wait(RdmaQueue *q, RdmaOp *op)
{
    op->state = OP_WAITING;
    QTAILQ_INSERT_TAIL(list_of(q, op), op, next);
}

static void op_new(RdmaQueue *q, RemoteStoreRequest *req)
{
    RdmaOp *op = QTAILQ_FIRST(&q->idle);

    if (op) {
        QTAILQ_REMOVE(&q->idle, op, next);
    } else {
        op = g_new0(RdmaOp, 1);
    }
    op->req = req;
    op->deadline = now_ns() + timeout_ns(q);
    QTAILQ_INSERT_TAIL(&q->active, op, active);
    op_wait(q, op);
    /* Not for each: the timer sees by itself whether it is time. */
    if (!timer_pending(q->timer)) {
        timer_mod(q->timer, op->deadline);
    }
}

static void free_slot(RdmaQueue *q, RdmaOp *op)
{
    q->moving[op->slot] = NULL;
    q->free[q->nr_free++] = op->slot;
    q->nr_background -= op->req->background;
}

/* Take it from where it is; its request is completed later. */
static void op_end(RdmaQueue *q, RdmaOp *op, RemoteStoreResult result)
{
    if (op->state == OP_MOVING) {
        free_slot(q, op);
    } else {
        QTAILQ_REMOVE(list_of(q, op), op, next);
    }
    QTAILQ_REMOVE(&q->active, op, active);
    op->req->result = result;
    QSIMPLEQ_INSERT_TAIL(&q->ended, op->req, entry);
    op->req = NULL;
    QTAILQ_INSERT_HEAD(&q->idle, op, next);
}

static bool is_mark(const RdmaQueue *q, uint64_t page)
{
    const RemoteStoreRegion *region = q->parent.region;

    return page >= region->nr_pages - region->nr_marks;
}

static void op_fail(RdmaQueue *q, RdmaOp *op, RemoteStoreResult result)
{
    if (op->state == OP_MOVING && op->req->op == REMOTE_STORE_PUT &&
        !is_mark(q, op->req->page)) {
        clear_bit_atomic(op->req->page, q->epoch->present);
    }
    op_end(q, op, result);
}

static void op_move(RdmaQueue *q, RdmaOp *op, uint64_t addr, uint32_t rkey)
{
    RemoteStoreRequest *req = op->req;
    bool put = req->op == REMOTE_STORE_PUT;

    QTAILQ_REMOVE(list_of(q, op), op, next);
    op->state = OP_MOVING;
    op->slot = q->free[--q->nr_free];
    q->moving[op->slot] = op;
    q->nr_background += req->background;
    if (put) {
        memcpy(rdma_link_slot(q->link, op->slot), req->buf, RDMA_PAGE_SIZE);
    }
    rdma_link_move(q->link, op->slot, put, addr, rkey);
}

static void op_find_home(RdmaQueue *q, RdmaOp *op)
{
    QTAILQ_REMOVE(list_of(q, op), op, next);
    op->state = OP_HOMELESS;
    QTAILQ_INSERT_TAIL(&q->homeless, op, next);
}

/* Progress */

static RdmaOp *next_waiting(RdmaQueue *q)
{
    RdmaOp *op = QTAILQ_FIRST(&q->waiting);

    if (!op && q->nr_background < BACKGROUND_SLOTS) {
        op = QTAILQ_FIRST(&q->background);
    }
    return op;
}

/*
 * One slab at a time: they are asked for so rarely.  A get only asks for what
 * has to be there, and never has the server make one.
 */
static void ask_for_slab(RdmaQueue *q)
{
    RdmaOp *op = QTAILQ_FIRST(&q->homeless);

    if (q->asked || !op) {
        return;
    }
    q->asked = true;
    q->ask_slab = rdma_slabs_number(&q->slabs, op->req->page);
    q->ask_deadline = now_ns() + timeout_ns(q);
    rdma_link_ask(q->link, op->req->op == REMOTE_STORE_PUT ? RDMA_ASK_MAKE
                                                           : RDMA_ASK_FIND,
                  q->ask_slab);
}

/* Begin all that can be begun. */
static void queue_run(RdmaQueue *q)
{
    uint64_t addr;
    uint32_t rkey;
    RdmaOp *op;

    if (!rdma_link_is_up(q->link)) {
        return;
    }
    while (q->nr_free && (op = next_waiting(q))) {
        if (rdma_slabs_find(&q->slabs, op->req->page, &addr, &rkey)) {
            op_move(q, op, addr, rkey);
        } else {
            op_find_home(q, op);
        }
    }
    ask_for_slab(q);
    rdma_link_post(q->link);
}

/* What an operator should know of an end that is not well. */
static void complete_badly(RdmaQueue *q, RemoteStoreRequest *req)
{
    RemoteStoreResult result = req->result;
    const char *server = q->store->server.name;

    switch (result) {
    case REMOTE_STORE_MISSING:
        remote_store_fail(&q->parent, req, result, "page %" PRIu64 " is not on "
                          "the server '%s'", req->page, server);
        break;
    case REMOTE_STORE_NOSPACE:
        remote_store_fail(&q->parent, req, result, "server '%s' has no memory "
                          "left", server);
        break;
    case REMOTE_STORE_TIMEOUT:
        remote_store_fail(&q->parent, req, result, "server '%s' did not answer "
                          "in %u ms", server, q->store->server.timeout_ms);
        break;
    default:
        remote_store_fail(&q->parent, req, result, "server '%s': %s", server,
                          rdma_link_is_up(q->link) ? "it failed" :
                          rdma_link_reason(q->link));
    }
}

/* Each may submit again, and so change all that there is. */
static void complete_ended(RdmaQueue *q)
{
    RemoteStoreRequest *req;

    while ((req = QSIMPLEQ_FIRST(&q->ended))) {
        QSIMPLEQ_REMOVE_HEAD(&q->ended, entry);
        if (req->result == REMOTE_STORE_OK) {
            remote_store_done(&q->parent, req);
        } else {
            complete_badly(q, req);
        }
    }
}

/* What the link tells */

/* Other queues look at this, too: nothing is written that is so already. */
static void set_present(RdmaEpoch *epoch, uint64_t page)
{
    if (!test_bit(page, epoch->present)) {
        set_bit_atomic(page, epoch->present);
    }
    if (!qatomic_read(&epoch->used)) {
        qatomic_set(&epoch->used, true);
    }
}

static void queue_moved(void *opaque, unsigned slot)
{
    RdmaQueue *q = opaque;
    RdmaOp *op = q->moving[slot];
    RemoteStoreRequest *req = op->req;

    if (req->op == REMOTE_STORE_GET) {
        memcpy(req->buf, rdma_link_slot(q->link, slot), RDMA_PAGE_SIZE);
    } else {
        set_present(q->epoch, req->page);
    }
    op_end(q, op, REMOTE_STORE_OK);
}

/* How those end that waited for a slab, or that they wait for a slot now. */
static void slab_told(RdmaQueue *q, RdmaOp *op, const RdmaTell *tell)
{
    switch (tell->status) {
    case RDMA_STATUS_OK:
        QTAILQ_REMOVE(&q->homeless, op, next);
        op_wait(q, op);
        break;
    /* It may have been asked for the other one's sake: then ask again. */
    case RDMA_STATUS_NOSPACE:
        if (op->req->op == REMOTE_STORE_PUT) {
            op_fail(q, op, REMOTE_STORE_NOSPACE);
        }
        break;
    case RDMA_STATUS_MISSING:
        if (op->req->op == REMOTE_STORE_GET) {
            op_fail(q, op, REMOTE_STORE_MISSING);
        }
        break;
    default:
        op_fail(q, op, REMOTE_STORE_FAILED);
    }
}

static void queue_told(void *opaque, const RdmaTell *tell)
{
    RdmaQueue *q = opaque;
    RdmaOp *op, *next;

    if (!q->asked || tell->slab != q->ask_slab) {
        rdma_link_trouble(q->link, "the server does not speak the protocol");
        return;
    }
    q->asked = false;
    if (tell->status == RDMA_STATUS_OK) {
        rdma_slabs_set(&q->slabs, tell->slab, tell->addr, tell->rkey);
    }
    QTAILQ_FOREACH_SAFE(op, &q->homeless, next, next) {
        if (rdma_slabs_number(&q->slabs, op->req->page) == tell->slab) {
            slab_told(q, op, tell);
        }
    }
}

static void queue_settle(void *opaque)
{
    RdmaQueue *q = opaque;

    queue_run(q);
    complete_ended(q);
}

static void set_down(RdmaQueue *q, bool down)
{
    rdma_store_count(q->store, 0, (int)down - (int)q->down);
    rdma_number_set_late(q->parent.region, q->number, down);
    q->down = down;
}

/*
 * All slots are free, and all pages as the life of the namespace has them that
 * this connection leads to.
 */
static bool queue_up(void *opaque, const RdmaWelcome *welcome, Error **errp)
{
    RdmaQueue *q = opaque;
    RemoteStoreRegion *region = q->parent.region;
    RdmaEpoch *epoch = rdma_epoch_get(region, welcome->incarnation, q->epoch,
                                      errp);

    if (!epoch) {
        return false;
    }
    if (!rdma_slabs_init(&q->slabs, region->nr_pages, welcome->slab_pages)) {
        error_setg(errp, "cannot reserve a table of slabs");
        rdma_epoch_put(region, epoch);
        return false;
    }
    rdma_epoch_put(region, q->epoch);
    q->epoch = epoch;
    q->nr_free = rdma_link_depth(q->link);
    for (unsigned i = 0; i < q->nr_free; i++) {
        q->free[i] = i;
    }
    set_down(q, false);
    return true;
}

static void fail_all(RdmaQueue *q)
{
    int64_t now = now_ns();
    RdmaOp *op;

    while ((op = QTAILQ_FIRST(&q->active))) {
        op_fail(q, op, op->deadline <= now ? REMOTE_STORE_TIMEOUT
                                           : REMOTE_STORE_FAILED);
    }
}

static void queue_down(void *opaque, const char *reason)
{
    RdmaQueue *q = opaque;

    q->asked = false;
    rdma_slabs_free(&q->slabs);
    fail_all(q);
    set_down(q, true);
    complete_ended(q);
}

static const RdmaLinkOps link_ops = {
    .up = queue_up,
    .moved = queue_moved,
    .told = queue_told,
    .settle = queue_settle,
    .down = queue_down,
};

/* Time */

/*
 * What has not been posted can just end.  What has been takes the connection
 * with it; see rdma-link.c.
 */
static void end_late(RdmaQueue *q, int64_t now)
{
    RdmaOp *op, *next;
    bool broken = q->asked && q->ask_deadline <= now;

    QTAILQ_FOREACH_SAFE(op, &q->active, active, next) {
        if (op->deadline > now) {
            break;
        }
        broken |= op->state == OP_MOVING;
        if (op->state != OP_MOVING) {
            op_fail(q, op, REMOTE_STORE_TIMEOUT);
        }
    }
    if (broken) {
        rdma_link_trouble(q->link, "no answer in %u ms",
                          q->store->server.timeout_ms);
        rdma_link_check(q->link);
    }
}

static void queue_timer(void *opaque)
{
    RdmaQueue *q = opaque;
    RdmaOp *op;

    /* It may have been this thread that was late, and all is there. */
    rdma_link_receive(q->link);
    end_late(q, now_ns());
    complete_ended(q);
    op = QTAILQ_FIRST(&q->active);
    if (op) {
        timer_mod(q->timer, op->deadline);
    } else if (q->asked) {
        timer_mod(q->timer, q->ask_deadline);
    }
}

/* Beginning */

/* Of what the server need not be asked.  Returns: whether that is so. */
static bool end_at_once(RdmaQueue *q, RemoteStoreRequest *req)
{
    if (req->op == REMOTE_STORE_DISCARD) {
        clear_bit_atomic(req->page, q->epoch->present);
        remote_store_done(&q->parent, req);
    } else if (!rdma_link_is_up(q->link)) {
        req->result = REMOTE_STORE_FAILED;
        complete_badly(q, req);
    } else if (req->op == REMOTE_STORE_GET &&
               !test_bit(req->page, q->epoch->present)) {
        req->result = REMOTE_STORE_MISSING;
        complete_badly(q, req);
    } else {
        return false;
    }
    return true;
}

void rdma_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                       size_t nr)
{
    RdmaQueue *q = container_of(queue, RdmaQueue, parent);
    RemoteStoreRequestList list;
    RemoteStoreRequest *req;

    remote_store_take_requests(&list, reqs, nr);
    while ((req = QSIMPLEQ_FIRST(&list))) {
        QSIMPLEQ_REMOVE_HEAD(&list, entry);
        if (!end_at_once(q, req)) {
            op_new(q, req);
        }
    }
    queue_run(q);
    rdma_link_check(q->link);
}

/* Beginning and end of a queue */

static void queue_free(RdmaQueue *q)
{
    RdmaOp *op;

    rdma_link_free(q->link);
    timer_free(q->timer);
    rdma_slabs_free(&q->slabs);
    rdma_epoch_put(q->parent.region, q->epoch);
    rdma_number_give(q->parent.region, q->number);
    while ((op = QTAILQ_FIRST(&q->idle))) {
        QTAILQ_REMOVE(&q->idle, op, next);
        g_free(op);
    }
    qemu_vfree(q);
}

RemoteStoreQueue *rdma_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                  Error **errp)
{
    ERRP_GUARD();
    RdmaQueue *q = remote_store_alloc(sizeof(RdmaQueue));
    RdmaHello hello;

    q->parent.region = region;
    q->store = REMOTE_STORE_RDMA(region->store);
    q->number = rdma_number_take(region, errp);
    if (q->number < 0) {
        qemu_vfree(q);
        return NULL;
    }
    QTAILQ_INIT(&q->active);
    QTAILQ_INIT(&q->waiting);
    QTAILQ_INIT(&q->background);
    QTAILQ_INIT(&q->homeless);
    QTAILQ_INIT(&q->idle);
    QSIMPLEQ_INIT(&q->ended);
    q->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, queue_timer,
                             q);
    rdma_number_hello(region, q->number, &hello);
    q->link = rdma_link_new(&q->store->server, &hello, ctx, &link_ops, q);
    if (!rdma_link_open(q->link, errp)) {
        error_prepend(errp, "store '%s': property 'server': '%s': ",
                      remote_store_id(region->store), q->store->server.name);
        queue_free(q);
        return NULL;
    }
    rdma_store_count(q->store, 1, 0);
    return &q->parent;
}

void rdma_queue_close(RemoteStoreQueue *queue)
{
    RdmaQueue *q = container_of(queue, RdmaQueue, parent);

    assert(QTAILQ_EMPTY(&q->active));
    rdma_store_count(q->store, -1, -(int)q->down);
    queue_free(q);
}
