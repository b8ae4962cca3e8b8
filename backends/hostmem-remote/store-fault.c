/*
 * Remote stores: faults for tests
 *
 * A filter that hands requests to another store, and on the way delays them,
 * makes them fail, spoils what they read, or loses them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/atomic.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qom/object_interfaces.h"
#include "remote-memory/store.h"

#define TYPE_REMOTE_STORE_FAULT "remote-store-fault"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreFault, REMOTE_STORE_FAULT)

/* Rates are kept in parts per this, as integers, which can be atomic. */
#define RATE_ONE 1000000000u

/* A request that is lost takes at least this long to be found so. */
#define DROP_MIN_NS SCALE_MS

/*
 * @child_id, @child, @seed: constant once the object is complete
 * @delay_us, @error_rate, @corrupt_rate, @swap_rate, @replay_rate, @drop_rate:
 *     written by the main thread, read by the queues' threads; atomic
 * @nr_queues: queues opened so far.  Main thread only
 */
struct RemoteStoreFault {
    RemoteStore parent_obj;

    char *child_id;
    RemoteStore *child;
    uint64_t seed;
    uint32_t delay_us;
    uint32_t error_rate;
    uint32_t corrupt_rate;
    uint32_t swap_rate;
    uint32_t replay_rate;
    uint32_t drop_rate;
    uint64_t nr_queues;
};

typedef struct FaultRequest FaultRequest;

/* A page that was read. */
typedef struct FaultPage {
    bool valid;
    uint64_t page;
    uint8_t data[REMOTE_STORE_PAGE_SIZE];
} FaultPage;

/*
 * @child: the way into the store behind
 * @waiting: requests that end at a time, the earliest first
 * @timer: fires when the first of them does
 * @random: state of the random sequence
 * @read: the last two different pages that were read, for swaps
 * @newest: index in @read of the one that was read last
 * @old: what was written first of each page since pages are replayed, by page
 */
typedef struct FaultQueue {
    RemoteStoreQueue parent;
    RemoteStoreFault *fault;
    RemoteStoreQueue *child;
    QTAILQ_HEAD(, FaultRequest) waiting;
    QEMUTimer *timer;
    uint64_t random;
    FaultPage read[2];
    unsigned newest;
    GHashTable *old;
} FaultQueue;

/*
 * What becomes of one request.
 * @inner: what the store behind sees of it
 * @outer: what was submitted
 * @failed: ends as failed, whatever the store behind says
 * @due: when it ends, in ns of QEMU_CLOCK_REALTIME
 */
struct FaultRequest {
    RemoteStoreRequest inner;
    RemoteStoreRequest *outer;
    FaultQueue *queue;
    bool failed;
    int64_t due;
    QTAILQ_ENTRY(FaultRequest) next;
};

/* SplitMix64: a counter, well mixed.  Good enough to choose victims. */
static uint64_t fault_random(FaultQueue *q)
{
    uint64_t z = q->random += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static bool fault_hits(FaultQueue *q, uint32_t *rate)
{
    return fault_random(q) % RATE_ONE < qatomic_read(rate);
}

static int64_t fault_delay_ns(FaultQueue *q)
{
    return (int64_t)qatomic_read(&q->fault->delay_us) * SCALE_US;
}

static void fault_end(FaultRequest *freq)
{
    FaultQueue *q = freq->queue;
    RemoteStoreRequest *outer = freq->outer;
    RemoteStoreResult result = freq->inner.result;
    g_autofree char *reason = freq->inner.reason;

    g_free(freq);
    if (result == REMOTE_STORE_OK) {
        remote_store_done(&q->parent, outer);
    } else {
        remote_store_fail(&q->parent, outer, result, "%s", reason);
    }
}

static void fault_set_timer(FaultQueue *q)
{
    FaultRequest *first = QTAILQ_FIRST(&q->waiting);

    if (first) {
        timer_mod(q->timer, first->due);
    }
}

static void fault_timer(void *opaque)
{
    FaultQueue *q = opaque;
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    FaultRequest *freq;

    while ((freq = QTAILQ_FIRST(&q->waiting)) && freq->due <= now) {
        QTAILQ_REMOVE(&q->waiting, freq, next);
        fault_end(freq);
    }
    fault_set_timer(q);
}

static void fault_end_after(FaultRequest *freq, int64_t ns)
{
    FaultQueue *q = freq->queue;
    FaultRequest *before;

    if (!ns) {
        fault_end(freq);
        return;
    }
    freq->due = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + ns;
    /* Out of order only after the delay was made shorter. */
    QTAILQ_FOREACH_REVERSE(before, &q->waiting, next) {
        if (before->due <= freq->due) {
            break;
        }
    }
    if (before) {
        QTAILQ_INSERT_AFTER(&q->waiting, before, freq, next);
    } else {
        QTAILQ_INSERT_HEAD(&q->waiting, freq, next);
    }
    fault_set_timer(q);
}

static void fault_set_result(FaultRequest *freq, RemoteStoreResult result,
                             const char *reason)
{
    g_free(freq->inner.reason);
    freq->inner.result = result;
    freq->inner.reason = g_strdup(reason);
}

static void fault_flip_bit(FaultQueue *q, uint8_t *buf)
{
    uint64_t bit = fault_random(q) % (REMOTE_STORE_PAGE_SIZE * BITS_PER_BYTE);

    buf[bit / BITS_PER_BYTE] ^= 1 << bit % BITS_PER_BYTE;
}

/* Keep what was read, unless it is the same page again. */
static void fault_keep_read(FaultQueue *q, const RemoteStoreRequest *inner)
{
    FaultPage *newest = &q->read[q->newest];

    if (newest->valid && newest->page != inner->page) {
        q->newest = !q->newest;
        newest = &q->read[q->newest];
    }
    newest->valid = true;
    newest->page = inner->page;
    memcpy(newest->data, inner->buf, REMOTE_STORE_PAGE_SIZE);
}

/* After fault_keep_read(): answer with the page that was read before. */
static void fault_swap(FaultQueue *q, uint8_t *buf)
{
    const FaultPage *other = &q->read[!q->newest];

    if (other->valid) {
        memcpy(buf, other->data, REMOTE_STORE_PAGE_SIZE);
    }
}

/* For a test it does not matter that all of them take memory. */
static void fault_keep_old(FaultQueue *q, const RemoteStoreRequest *inner)
{
    if (qatomic_read(&q->fault->replay_rate) &&
        !g_hash_table_contains(q->old, &inner->page)) {
        g_hash_table_insert(q->old,
                            g_memdup2(&inner->page, sizeof(inner->page)),
                            g_memdup2(inner->buf, REMOTE_STORE_PAGE_SIZE));
    }
}

static void fault_replay(FaultQueue *q, const RemoteStoreRequest *inner)
{
    const void *old = g_hash_table_lookup(q->old, &inner->page);

    if (old) {
        memcpy(inner->buf, old, REMOTE_STORE_PAGE_SIZE);
    }
}

/* Something was read well: spoil it, or not. */
static void fault_lie(FaultQueue *q, RemoteStoreRequest *inner)
{
    fault_keep_read(q, inner);
    if (fault_hits(q, &q->fault->swap_rate)) {
        fault_swap(q, inner->buf);
    }
    if (fault_hits(q, &q->fault->replay_rate)) {
        fault_replay(q, inner);
    }
    if (fault_hits(q, &q->fault->corrupt_rate)) {
        fault_flip_bit(q, inner->buf);
    }
}

static void fault_inner_complete(RemoteStoreRequest *inner)
{
    FaultRequest *freq = container_of(inner, FaultRequest, inner);
    FaultQueue *q = freq->queue;

    if (freq->failed) {
        fault_set_result(freq, REMOTE_STORE_FAILED, "injected error");
    } else if (inner->result == REMOTE_STORE_OK) {
        if (inner->op == REMOTE_STORE_GET) {
            fault_lie(q, inner);
        } else if (inner->op == REMOTE_STORE_PUT) {
            fault_keep_old(q, inner);
        }
    }
    fault_end_after(freq, fault_delay_ns(q));
}

/* Decide what becomes of @freq.  Returns: whether the child gets to see it. */
static bool fault_route(FaultQueue *q, FaultRequest *freq)
{
    if (fault_hits(q, &q->fault->drop_rate)) {
        fault_set_result(freq, REMOTE_STORE_TIMEOUT, "injected loss");
        fault_end_after(freq, MAX(fault_delay_ns(q), DROP_MIN_NS));
        return false;
    }
    if (fault_hits(q, &q->fault->error_rate)) {
        /*
         * A put or discard that failed may have taken effect or not: see to
         * it that nobody relies on either.
         */
        freq->failed = true;
        if (fault_random(q) & 1) {
            fault_set_result(freq, REMOTE_STORE_FAILED, "injected error");
            fault_end_after(freq, fault_delay_ns(q));
            return false;
        }
    }
    return true;
}

static FaultRequest *fault_request_new(FaultQueue *q,
                                       RemoteStoreRequest *outer)
{
    FaultRequest *freq = g_new0(FaultRequest, 1);

    freq->queue = q;
    freq->outer = outer;
    freq->inner.op = outer->op;
    freq->inner.page = outer->page;
    freq->inner.buf = outer->buf;
    freq->inner.fresh = outer->fresh;
    freq->inner.background = outer->background;
    freq->inner.complete = fault_inner_complete;
    return freq;
}

static void fault_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr)
{
    FaultQueue *q = container_of(queue, FaultQueue, parent);
    g_autofree FaultRequest **freqs = g_new(FaultRequest *, nr);
    g_autofree RemoteStoreRequest **inner = g_new(RemoteStoreRequest *, nr);
    size_t nr_inner = 0;

    /* A completion may submit again, with the same array. */
    for (size_t i = 0; i < nr; i++) {
        freqs[i] = fault_request_new(q, reqs[i]);
    }
    for (size_t i = 0; i < nr; i++) {
        if (fault_route(q, freqs[i])) {
            inner[nr_inner++] = &freqs[i]->inner;
        }
    }
    if (nr_inner) {
        remote_store_submit(q->child, inner, nr_inner);
    }
}

static RemoteStoreQueue *fault_open(RemoteStoreRegion *region, AioContext *ctx,
                                    Error **errp)
{
    RemoteStoreFault *fault = REMOTE_STORE_FAULT(region->store);
    RemoteStoreQueue *child = remote_store_open(region->opaque, ctx, errp);
    FaultQueue *q;

    if (!child) {
        return NULL;
    }
    q = remote_store_alloc(sizeof(FaultQueue));
    q->fault = fault;
    q->child = child;
    q->random = fault->seed + fault->nr_queues++;
    q->old = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                   g_free);
    QTAILQ_INIT(&q->waiting);
    q->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fault_timer,
                             q);
    return &q->parent;
}

static void fault_close(RemoteStoreQueue *queue)
{
    FaultQueue *q = container_of(queue, FaultQueue, parent);

    assert(QTAILQ_EMPTY(&q->waiting));
    timer_free(q->timer);
    g_hash_table_unref(q->old);
    remote_store_close(q->child);
    qemu_vfree(q);
}

static bool fault_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreFault *fault = REMOTE_STORE_FAULT(region->store);

    region->opaque = remote_store_attach(fault->child, &region->uuid,
                                         region->nr_pages, errp);
    return region->opaque;
}

static void fault_detach(RemoteStoreRegion *region)
{
    remote_store_detach(region->opaque);
}

static bool fault_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreFault *fault = REMOTE_STORE_FAULT(store);

    if (!fault->child_id) {
        error_setg(errp, "store '%s': property 'store' is missing",
                   remote_store_id(store));
        error_append_hint(errp, "It is the id of the store behind.\n");
        return false;
    }
    fault->child = remote_store_use(fault->child_id, errp);
    if (!fault->child) {
        error_prepend(errp, "store '%s': property 'store': ",
                      remote_store_id(store));
    }
    return fault->child;
}

static void fault_finalize(Object *obj)
{
    RemoteStoreFault *fault = REMOTE_STORE_FAULT(obj);

    remote_store_unuse(fault->child);
    g_free(fault->child_id);
}

/* Properties */

static char *fault_get_store(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_FAULT(obj)->child_id);
}

static void fault_set_store(Object *obj, const char *value, Error **errp)
{
    RemoteStoreFault *fault = REMOTE_STORE_FAULT(obj);

    if (remote_store_can_set(REMOTE_STORE(obj), "store", errp)) {
        g_free(fault->child_id);
        fault->child_id = g_strdup(value);
    }
}

static void fault_get_seed(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &REMOTE_STORE_FAULT(obj)->seed, errp);
}

static void fault_set_seed(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    uint64_t value;

    if (visit_type_uint64(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        REMOTE_STORE_FAULT(obj)->seed = value;
    }
}

static void fault_get_delay(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &REMOTE_STORE_FAULT(obj)->delay_us, errp);
}

static void fault_set_delay(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp)) {
        qatomic_set(&REMOTE_STORE_FAULT(obj)->delay_us, value);
    }
}

/* A rate's @opaque is the offset of its field. */
static uint32_t *fault_rate(Object *obj, void *opaque)
{
    return (void *)((char *)REMOTE_STORE_FAULT(obj) + (uintptr_t)opaque);
}

static void fault_get_rate(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    double value = (double)*fault_rate(obj, opaque) / RATE_ONE;

    visit_type_number(v, name, &value, errp);
}

static void fault_set_rate(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    double value;

    if (!visit_type_number(v, name, &value, errp)) {
        return;
    }
    /* Written so that NaN is refused. */
    if (!(value >= 0 && value <= 1)) {
        /* Before it has started, the object does not know its id. */
        RemoteStore *store = REMOTE_STORE(obj);

        error_setg(errp, "store '%s': property '%s': %g is not between 0 "
                   "and 1", store->started ? remote_store_id(store) :
                   TYPE_REMOTE_STORE_FAULT, name, value);
        return;
    }
    qatomic_set(fault_rate(obj, opaque), value * RATE_ONE + 0.5);
}

static void fault_add_rate(ObjectClass *oc, const char *name, size_t offset,
                           const char *description)
{
    object_class_property_add(oc, name, "number", fault_get_rate,
                              fault_set_rate, NULL, (void *)offset);
    object_class_property_set_description(oc, name, description);
}

static void fault_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = fault_start;
    rsc->attach = fault_attach;
    rsc->detach = fault_detach;
    rsc->open = fault_open;
    rsc->submit = fault_submit;
    rsc->close = fault_close;

    object_class_property_add_str(oc, "store", fault_get_store,
                                  fault_set_store);
    object_class_property_set_description(oc, "store",
        "ID of the store behind (required)");
    object_class_property_add(oc, "seed", "uint64", fault_get_seed,
                              fault_set_seed, NULL, NULL);
    object_class_property_set_description(oc, "seed",
        "start of the random sequence, for repeatable runs (default: 0)");
    object_class_property_add(oc, "delay-us", "uint32", fault_get_delay,
                              fault_set_delay, NULL, NULL);
    object_class_property_set_description(oc, "delay-us",
        "delay of each completion, in microseconds (default: 0)");
    fault_add_rate(oc, "error-rate", offsetof(RemoteStoreFault, error_rate),
        "share of the requests that fail, from 0 to 1 (default: 0)");
    fault_add_rate(oc, "corrupt-rate", offsetof(RemoteStoreFault, corrupt_rate),
        "share of the pages read that come back with a flipped bit, "
        "from 0 to 1 (default: 0)");
    fault_add_rate(oc, "swap-rate", offsetof(RemoteStoreFault, swap_rate),
        "share of the pages read that come back as another page, "
        "from 0 to 1 (default: 0)");
    fault_add_rate(oc, "replay-rate", offsetof(RemoteStoreFault, replay_rate),
        "share of the pages read that come back as they were first written "
        "after this was set, from 0 to 1 (default: 0)");
    fault_add_rate(oc, "drop-rate", offsetof(RemoteStoreFault, drop_rate),
        "share of the requests that get lost and end as timed out, "
        "from 0 to 1 (default: 0)");
}

static const TypeInfo fault_info = {
    .name = TYPE_REMOTE_STORE_FAULT,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreFault),
    .instance_finalize = fault_finalize,
    .class_init = fault_class_init,
};

static void fault_register_types(void)
{
    type_register_static(&fault_info);
}

type_init(fault_register_types);
