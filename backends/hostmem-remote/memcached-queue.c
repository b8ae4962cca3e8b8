/*
 * Queues to memcached: requests, and the links and lanes that they take
 *
 * A page's server is chosen here, by consistent hashing.  To each server lead
 * two ways, one for gets and one for writes, so that no write-back delays a
 * fetch, and no server that hangs delays the others.
 *
 * A get takes a link, in the queue's own thread, and is on its way at once.
 * There is one link for gets that somebody waits for, and one for those in the
 * background, so that the former never queue behind a batch of the latter.
 *
 * A get that finds its link closed, or that is given back by it, waits for a
 * lane, as do all writes.  A lane's work is done by a thread of the
 * AioContext's pool, which has it and its requests to itself until it ends.
 * When a get has ended well there, the thread also connects the link anew: so
 * nobody tries that while the server does not answer, and the request keeps
 * the queue from being closed meanwhile.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/thread-pool.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "memcached-connect.h"
#include "memcached-lane.h"
#include "memcached-link.h"
#include "memcached-queue.h"
#include "trace.h"

enum {
    LINK_DEMAND,
    LINK_BACKGROUND,
    NR_LINKS,
};

/*
 * Pages that a link may read and complete before the other one, and faults,
 * get their turn.  In the background, few: a page takes some microseconds.
 */
static const unsigned link_burst[NR_LINKS] = {
    [LINK_DEMAND] = 32,
    [LINK_BACKGROUND] = 8,
};

/*
 * To try in vain to connect a link delays a get by up to twice the server's
 * timeout.  So the next try is not before so many timeouts.
 */
#define CONNECT_PAUSE 10

/* Two, so that a demand fetch need not wait for a long batch to end. */
#define GET_LANES 2

/* Writes at once: per server, and to all of them. */
#define WRITE_LANES 4
#define WRITE_LANES_TOTAL 8

typedef struct McQueue McQueue;
typedef struct McWay McWay;

/*
 * @connect: which links to connect
 * @fds: their sockets, or -1
 *
 * All but @way and @busy belong to the worker thread while @busy.
 */
typedef struct McWorker {
    McWay *way;
    bool busy;
    McLane lane;
    size_t nr_items;
    McItem items[MC_BATCH];
    bool connect[NR_LINKS];
    int fds[NR_LINKS];
} McWorker;

/*
 * @links: (gets) NULL if it @writes
 * @wanted: (gets) links that were found closed, and are not being connected
 * @connect_at: (gets) when to try that, in ms
 * @waiting: requests that wait for a worker
 */
struct McWay {
    McQueue *queue;
    McServer *server;
    bool writes;
    McLink *links[NR_LINKS];
    bool wanted[NR_LINKS];
    int64_t connect_at;
    RemoteStoreRequestList waiting;
    size_t nr_waiting;
    McWorker *workers;
    size_t nr_workers;
};

/*
 * @nr_pages: pages that are not marks
 * @ring: libmemcached's choice of servers, NULL if there is only one
 * @gets, @writes: the ways to each server
 */
struct McQueue {
    RemoteStoreQueue parent;
    RemoteStoreMemcached *mc;
    McRegion *region;
    QemuUUID uuid;
    uint64_t nr_pages;
    McGenerations *generations;
    memcached_st *ring;
    McWay *gets;
    McWay *writes;
};

/*
 * The server of a page, by its first key: a page stays on its server when it
 * moves on to another generation.
 */
static size_t choose_server(McQueue *q, uint64_t page)
{
    McKey key;

    if (!q->ring) {
        return 0;
    }
    mc_key_page(&key, &q->uuid, page, 0);
    return memcached_generate_hash(q->ring, key.text, MC_KEY_LEN);
}

/* In a worker thread. */
static int worker_run(void *opaque)
{
    McWorker *worker = opaque;

    if (worker->way->writes) {
        mc_lane_write(&worker->lane, worker->items, worker->nr_items);
    } else {
        mc_lane_get(&worker->lane, worker->items, worker->nr_items);
    }
    for (int i = 0; i < NR_LINKS; i++) {
        worker->fds[i] = worker->connect[i] && !worker->lane.broken ?
                         mc_connect(worker->way->server) : -1;
    }
    return 0;
}

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

static void prepare_item(McQueue *q, McItem *item, RemoteStoreRequest *req)
{
    unsigned generation = mc_generation_current(q->generations, req->page);

    item->req = req;
    mc_key_page(&item->key, &q->uuid, req->page, generation);
    item->has_garbage = mc_generation_garbage(q->generations, req->page,
                                              &generation);
    if (item->has_garbage) {
        mc_key_page(&item->garbage, &q->uuid, req->page, generation);
    }
}

/* How many of the waiting requests the next of @nr_idle lanes gets. */
static size_t share(McWay *way, size_t nr_idle)
{
    /* Gets share one exchange, writes have one each: spread those. */
    size_t nr = way->writes ? DIV_ROUND_UP(way->nr_waiting, nr_idle) :
                              way->nr_waiting;

    return MIN(nr, MC_BATCH);
}

static void worker_done(void *opaque, int ret);

static void start_worker(McWorker *worker, size_t nr)
{
    McWay *way = worker->way;

    for (size_t i = 0; i < nr; i++) {
        RemoteStoreRequest *req = QSIMPLEQ_FIRST(&way->waiting);

        QSIMPLEQ_REMOVE_HEAD(&way->waiting, entry);
        prepare_item(way->queue, &worker->items[i], req);
    }
    way->nr_waiting -= nr;
    worker->nr_items = nr;
    worker->busy = true;
    for (int i = 0; i < NR_LINKS; i++) {
        worker->connect[i] = way->wanted[i] && now_ms() >= way->connect_at;
        way->wanted[i] = false;
    }
    thread_pool_submit_aio(worker_run, worker, worker_done, worker);
}

/* Put lanes to work as long as there is some. */
static void dispatch(McWay *way)
{
    size_t nr_idle = 0;

    for (size_t i = 0; i < way->nr_workers; i++) {
        nr_idle += !way->workers[i].busy;
    }
    for (size_t i = 0; i < way->nr_workers && way->nr_waiting; i++) {
        if (!way->workers[i].busy) {
            start_worker(&way->workers[i], share(way, nr_idle--));
        }
    }
}

/* Draw the conclusions from how an item ended. */
static void settle_item(McQueue *q, McItem *item)
{
    if (item->clean) {
        mc_generation_cleaned(q->generations, item->req->page);
    }
    /* A mark has to stay where the other side looks for it. */
    if (item->ambiguous && item->req->page < q->nr_pages) {
        trace_remote_store_memcached_retire(remote_store_id(&q->mc->parent_obj),
                                            item->req->page);
        mc_generation_retire(q->generations, item->req->page);
    }
}

/*
 * Let the requests that wait end like those on the lane that broke: to find
 * out about each of them anew would take a timeout for each batch.
 */
static void fail_waiting(McWay *way, const McLane *lane,
                         RemoteStoreRequestList *ended)
{
    RemoteStoreRequest *req;

    QSIMPLEQ_FOREACH(req, &way->waiting, entry) {
        req->result = lane->result;
        req->reason = g_strdup(lane->reason);
    }
    QSIMPLEQ_CONCAT(ended, &way->waiting);
    way->nr_waiting = 0;
}

static void deliver(McQueue *q, RemoteStoreRequestList *ended)
{
    RemoteStoreRequest *req;

    while ((req = QSIMPLEQ_FIRST(ended))) {
        QSIMPLEQ_REMOVE_HEAD(ended, entry);
        if (req->result == REMOTE_STORE_OK) {
            remote_store_done(&q->parent, req);
        } else {
            g_autofree char *reason = g_steal_pointer(&req->reason);

            remote_store_fail(&q->parent, req, req->result, "%s", reason);
        }
    }
}

static void note_health(McWay *way, bool failing, bool lost)
{
    if (failing == qatomic_read(&way->server->failing) && !lost) {
        return;
    }
    qatomic_set(&way->server->failing, failing);
    if (lost) {
        qatomic_set(&way->server->lost, true);
    }
    mc_store_update_status(way->queue->mc);
}

static void open_links(McWorker *worker)
{
    McWay *way = worker->way;

    for (int i = 0; i < NR_LINKS; i++) {
        if (worker->fds[i] >= 0) {
            mc_link_open(way->links[i], worker->fds[i]);
        } else if (worker->connect[i] && !worker->lane.broken) {
            way->connect_at = now_ms() +
                              CONNECT_PAUSE * way->server->timeout_ms;
        }
    }
}

static void worker_done(void *opaque, int ret)
{
    McWorker *worker = opaque;
    McWay *way = worker->way;
    McQueue *q = way->queue;
    RemoteStoreRequestList ended = QSIMPLEQ_HEAD_INITIALIZER(ended);

    for (size_t i = 0; i < worker->nr_items; i++) {
        settle_item(q, &worker->items[i]);
        QSIMPLEQ_INSERT_TAIL(&ended, worker->items[i].req, entry);
    }
    trace_remote_store_memcached_batch(remote_store_id(&q->mc->parent_obj),
                                       way->server->name, way->writes,
                                       worker->nr_items, worker->lane.broken);
    note_health(way, worker->lane.broken, worker->lane.lost);
    if (worker->lane.broken) {
        fail_waiting(way, &worker->lane, &ended);
    }
    open_links(worker);
    worker->busy = false;
    dispatch(way);
    /* Last, because a completion may submit, or close the queue. */
    deliver(q, &ended);
}

/* What became of gets on a link. */

static void link_ended(void *opaque, RemoteStoreRequestList *reqs)
{
    McWay *way = opaque;
    bool late = false;
    RemoteStoreRequest *req;

    QSIMPLEQ_FOREACH(req, reqs, entry) {
        if (req->result != REMOTE_STORE_OK) {
            late = true;
            req->reason = g_strdup_printf(MC_LATE_FORMAT, way->server->name,
                                          way->server->timeout_ms);
        }
    }
    note_health(way, late, false);
    deliver(way->queue, reqs);
}

static void link_given_back(void *opaque, RemoteStoreRequestList *reqs)
{
    McWay *way = opaque;
    RemoteStoreRequest *req;

    QSIMPLEQ_FOREACH(req, reqs, entry) {
        way->wanted[req->background] = true;
        way->nr_waiting++;
    }
    QSIMPLEQ_CONCAT(&way->waiting, reqs);
    dispatch(way);
}

static const McLinkOps link_ops = {
    .ended = link_ended,
    .given_back = link_given_back,
};

/* Whether @req is on a link. */
static bool take_link(McQueue *q, McWay *way, RemoteStoreRequest *req)
{
    unsigned generation;
    McKey key;

    if (req->op != REMOTE_STORE_GET) {
        return false;
    }
    generation = mc_generation_current(q->generations, req->page);
    mc_key_page(&key, &q->uuid, req->page, generation);
    if (mc_link_get(way->links[req->background], req, &key)) {
        return true;
    }
    way->wanted[req->background] = true;
    return false;
}

void mc_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                     size_t nr)
{
    McQueue *q = container_of(queue, McQueue, parent);
    McWay *ways;

    for (size_t i = 0; i < nr; i++) {
        McWay *way;

        ways = reqs[i]->op == REMOTE_STORE_GET ? q->gets : q->writes;
        way = &ways[choose_server(q, reqs[i]->page)];
        if (!take_link(q, way, reqs[i])) {
            QSIMPLEQ_INSERT_TAIL(&way->waiting, reqs[i], entry);
            way->nr_waiting++;
        }
    }
    for (size_t i = 0; i < q->mc->nr_servers; i++) {
        for (int j = 0; j < NR_LINKS; j++) {
            mc_link_flush(q->gets[i].links[j]);
        }
        dispatch(&q->gets[i]);
        dispatch(&q->writes[i]);
    }
}

/* Even weights, and nothing ever ejected: only names decide. */
static memcached_st *ring_new(RemoteStoreMemcached *mc)
{
    memcached_st *ring = memcached_create(NULL);

    memcached_behavior_set(ring, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    for (size_t i = 0; i < mc->nr_servers; i++) {
        McServer *server = &mc->servers[i];

        if (server->path) {
            memcached_server_add_unix_socket_with_weight(ring, server->path,
                                                         1);
        } else {
            memcached_server_add_with_weight(ring, server->host, server->port,
                                             1);
        }
    }
    assert(memcached_server_count(ring) == mc->nr_servers);
    return ring;
}

static McWay *ways_new(McQueue *q, bool writes, size_t nr_workers)
{
    McWay *ways = g_new0(McWay, q->mc->nr_servers);

    for (size_t i = 0; i < q->mc->nr_servers; i++) {
        McWay *way = &ways[i];

        way->queue = q;
        way->server = &q->mc->servers[i];
        way->writes = writes;
        QSIMPLEQ_INIT(&way->waiting);
        way->nr_workers = nr_workers;
        way->workers = g_new0(McWorker, nr_workers);
        for (size_t j = 0; j < nr_workers; j++) {
            way->workers[j].way = way;
            mc_lane_init(&way->workers[j].lane, way->server,
                         &q->region->mark);
        }
    }
    return ways;
}

static void add_links(McQueue *q, AioContext *ctx)
{
    for (size_t i = 0; i < q->mc->nr_servers; i++) {
        McWay *way = &q->gets[i];

        for (int j = 0; j < NR_LINKS; j++) {
            way->links[j] = mc_link_new(way->server, ctx, link_burst[j],
                                        &link_ops, way);
        }
    }
}

static void ways_free(McQueue *q, McWay *ways)
{
    for (size_t i = 0; i < q->mc->nr_servers; i++) {
        for (size_t j = 0; j < ways[i].nr_workers; j++) {
            assert(!ways[i].workers[j].busy);
            mc_lane_cleanup(&ways[i].workers[j].lane);
        }
        assert(QSIMPLEQ_EMPTY(&ways[i].waiting));
        g_free(ways[i].workers);
        for (int j = 0; j < NR_LINKS; j++) {
            mc_link_free(ways[i].links[j]);
        }
    }
    g_free(ways);
}

RemoteStoreQueue *mc_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                Error **errp)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);
    McQueue *q = remote_store_alloc(sizeof(McQueue));
    size_t nr_writers = WRITE_LANES_TOTAL / mc->nr_servers;

    q->mc = mc;
    q->region = region->opaque;
    q->uuid = region->uuid;
    q->nr_pages = region->nr_pages - region->nr_marks;
    q->generations = mc_generations_new();
    WITH_QEMU_LOCK_GUARD(&q->region->lock) {
        mc_generations_merge(q->generations, q->region->generations);
    }
    q->ring = mc->nr_servers > 1 ? ring_new(mc) : NULL;
    q->gets = ways_new(q, false, GET_LANES);
    add_links(q, ctx);
    q->writes = ways_new(q, true, MAX(MIN(nr_writers, WRITE_LANES), 1));
    return &q->parent;
}

static void queue_collect(McQueue *q)
{
    QEMU_LOCK_GUARD(&q->region->lock);
    mc_generations_merge(q->region->generations, q->generations);
}

void mc_queues_collect(RemoteStoreRegion *region)
{
    RemoteStoreQueue *queue;

    QEMU_LOCK_GUARD(&region->store->lock);
    QLIST_FOREACH(queue, &region->store->queues, next) {
        if (queue->region == region) {
            queue_collect(container_of(queue, McQueue, parent));
        }
    }
}

void mc_queue_close(RemoteStoreQueue *queue)
{
    McQueue *q = container_of(queue, McQueue, parent);

    ways_free(q, q->gets);
    ways_free(q, q->writes);
    if (q->ring) {
        memcached_free(q->ring);
    }
    queue_collect(q);
    mc_generations_free(q->generations);
    qemu_vfree(q);
}
