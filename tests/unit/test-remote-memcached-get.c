/*
 * Unit tests: gets from memcached in the queue's own thread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "server-process.h"
#include "memcached-liar.h"
#include "remote-store-harness.h"

#define REGION_PAGES 10000

/* Pages that each test starts with, at version 1. */
#define PAGES 64

/* Long enough for a server that is alive, on a machine that is busy. */
#define PATIENT_MS 30000

/* Short, for servers that do not answer anyway. */
#define IMPATIENT_MS 300

/* What is still about IMPATIENT_MS, on a machine that is busy. */
#define BOUND_MS (20 * IMPATIENT_MS)

/* Either a liar or a memcached, if there is one. */
typedef struct Fixture {
    MemcachedLiar *liar;
    ServerProcess *daemon;
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

/* How to set up a test, and the test. */
typedef struct Case {
    const char *path;
    void (*fn)(Fixture *f);
    enum { LIAR, TCP_LIAR, DAEMON } server;
    unsigned timeout_ms;
} Case;

/* Get @nr pages from 0 on, in one batch. */
static void get_batch(Fixture *f, TestOp *ops, size_t nr, bool background)
{
    for (size_t i = 0; i < nr; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i, .version = 1,
                            .background = background };
    }
    queue_run(f->q, ops, nr);
}

static void assert_ops(TestOp *ops, size_t nr, RemoteStoreResult result)
{
    for (size_t i = 0; i < nr; i++) {
        if (ops[i].reason) {
            g_test_message("page %" PRIu64 ": %s", ops[i].page, ops[i].reason);
        }
        g_assert_cmpint(ops[i].result, ==, result);
        g_assert_cmpuint(ops[i].flipped, ==, 0);
        op_free(&ops[i]);
    }
}

static void assert_batch(Fixture *f, size_t nr, bool background)
{
    TestOp ops[PAGES];

    get_batch(f, ops, nr, background);
    assert_ops(ops, nr, REMOTE_STORE_OK);
}

/* The first get on each link takes another way, and opens it. */
static void open_links(Fixture *f)
{
    assert_batch(f, 1, false);
    assert_batch(f, 1, true);
}

static const char *start_server(Fixture *f, const Case *c)
{
    switch (c->server) {
    case LIAR:
        f->liar = memcached_liar_new();
        return memcached_liar_address(f->liar);
    case TCP_LIAR:
        f->liar = memcached_liar_new_tcp();
        return memcached_liar_address(f->liar);
    default:
        if (!server_process_available(MEMCACHED_GOOD)) {
            return NULL;
        }
        f->daemon = server_process_new(MEMCACHED_GOOD);
        return server_process_address(f->daemon);
    }
}

static void setup(Fixture *f, gconstpointer opaque)
{
    const Case *c = opaque;
    g_autofree char *properties = NULL;
    const char *address = start_server(f, c);

    if (!address) {
        return;
    }
    properties = g_strdup_printf("{'servers':['%s'],'request-timeout-ms':%u}",
                                 address, c->timeout_ms);
    f->store = store_new("remote-store-memcached", "s0", properties);
    f->region = region_new(f->store, REGION_PAGES);
    f->q = queue_new(f->region);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_put(f->q, page, 1, true), ==, REMOTE_STORE_OK);
    }
}

static void run(Fixture *f, gconstpointer opaque)
{
    const Case *c = opaque;

    if (f->store) {
        c->fn(f);
    }
}

static void teardown(Fixture *f, gconstpointer opaque)
{
    if (f->store) {
        queue_free(f->q);
        remote_store_detach(f->region);
        store_delete(f->store);
    }
    if (f->liar) {
        memcached_liar_free(f->liar);
    }
    if (f->daemon) {
        server_process_free(f->daemon);
    }
}

/*
 * Gets that all take the way for when something is wrong are right, and slow.
 * That way makes a connection each time.
 */
static void test_link(Fixture *f)
{
    unsigned nr_connections;

    open_links(f);
    nr_connections = memcached_liar_connections(f->liar);
    for (size_t nr = 1; nr <= PAGES; nr++) {
        assert_batch(f, nr, nr & 1);
        assert_batch(f, 1, false);
    }
    g_assert_cmpuint(memcached_liar_connections(f->liar), ==, nr_connections);
}

/* Where an answer is cut into pieces is up to the network. */
static void test_bytes(Fixture *f)
{
    unsigned nr_connections;

    open_links(f);
    nr_connections = memcached_liar_connections(f->liar);
    memcached_liar_lie(f->liar, LIE_BYTES);
    assert_batch(f, 3, false);
    assert_batch(f, 3, true);
    g_assert_cmpuint(memcached_liar_connections(f->liar), ==, nr_connections);
}

/* One answer that is wrong, and requests need not notice. */
static void test_once(Fixture *f)
{
    static const Lie lies[] = {
        LIE_EMPTY, LIE_CLOSE, LIE_SHORT, LIE_LONG, LIE_KEY, LIE_LONG_KEY,
        LIE_TWICE, LIE_ERROR, LIE_GARBAGE, LIE_HUGE, LIE_BYTES, LIE_HALF,
        LIE_HANG_UP,
    };

    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        g_test_message("lie %d", lies[i]);
        open_links(f);
        memcached_liar_lie_once(f->liar, lies[i]);
        assert_batch(f, 1, i & 1);
        open_links(f);
        memcached_liar_lie_once(f->liar, lies[i]);
        assert_batch(f, 10, i & 1);
    }
}

/* A server that does not go on must not keep anybody waiting for ever. */
static void test_silence(Fixture *f)
{
    static const Lie lies[] = { LIE_SILENCE, LIE_CUT };

    for (int i = 0; i < ARRAY_SIZE(lies); i++) {
        int64_t start;
        TestOp ops[10];

        open_links(f);
        memcached_liar_lie_once(f->liar, lies[i]);
        start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
        get_batch(f, ops, ARRAY_SIZE(ops), i & 1);
        g_assert_nonnull(strstr(ops[0].reason, "did not answer within 300 ms"));
        assert_ops(ops, ARRAY_SIZE(ops), REMOTE_STORE_TIMEOUT);
        start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - start;
        g_assert_cmpint(start, >=, IMPATIENT_MS);
        g_assert_cmpint(start, <, BOUND_MS);
    }
}

/* Neither must one that goes on byte by byte. */
static void test_trickle(Fixture *f)
{
    int64_t start;
    TestOp op;

    open_links(f);
    memcached_liar_lie_once(f->liar, LIE_TRICKLE);
    start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    get_batch(f, &op, 1, false);
    start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - start;
    g_assert_cmpint(start, <, BOUND_MS);
    assert_ops(&op, 1, REMOTE_STORE_TIMEOUT);
}

/* A get of the test's own, whose buffer outlives it. */
typedef struct Get {
    RemoteStoreRequest req;
    RemoteStoreRequest *array[1];
    RemoteStoreQueue *queue;
    unsigned nr_more;
    QemuEvent done;
} Get;

static void get_submit(void *opaque)
{
    Get *get = opaque;

    remote_store_submit(get->queue, get->array, 1);
}

static void get_start(Get *get, Fixture *f,
                      void (*complete)(RemoteStoreRequest *req))
{
    *get = (Get) {
        .req.op = REMOTE_STORE_GET,
        .req.page = 1,
        .req.buf = qemu_memalign(REMOTE_STORE_PAGE_SIZE,
                                 REMOTE_STORE_PAGE_SIZE),
        .req.complete = complete,
        .queue = f->q->queue,
    };
    get->array[0] = &get->req;
    qemu_event_init(&get->done, false);
}

static void get_end(Get *get)
{
    g_free(get->req.reason);
    qemu_vfree(get->req.buf);
    qemu_event_destroy(&get->done);
}

static void get_complete(RemoteStoreRequest *req)
{
    Get *get = container_of(req, Get, req);

    /* From now on the buffer is somebody else's. */
    memset(req->buf, 0x5a, REMOTE_STORE_PAGE_SIZE);
    qemu_event_set(&get->done);
}

/* What comes after a get has timed out must not be written anywhere. */
static void test_half(Fixture *f)
{
    Get get;

    get_start(&get, f, get_complete);
    open_links(f);
    memcached_liar_lie(f->liar, LIE_HALF);
    aio_bh_schedule_oneshot(f->q->queue->ctx, get_submit, &get);
    qemu_event_wait(&get.done);
    g_assert_cmpint(get.req.result, ==, REMOTE_STORE_TIMEOUT);
    memcached_liar_lie(f->liar, LIE_NONE);
    for (int i = 0; i < 20; i++) {
        open_links(f);
        g_usleep(1000);
    }
    for (int i = 0; i < REMOTE_STORE_PAGE_SIZE; i++) {
        g_assert_cmpint(((char *)get.req.buf)[i], ==, 0x5a);
    }
    get_end(&get);
}

static void get_complete_chain(RemoteStoreRequest *req)
{
    Get *get = container_of(req, Get, req);

    g_assert_cmpint(req->result, ==, REMOTE_STORE_OK);
    if (get->nr_more--) {
        req->background = !req->background;
        remote_store_submit(get->queue, get->array, 1);
    } else {
        remote_store_close(get->queue);
        qemu_event_set(&get->done);
    }
}

/* A completion may submit, and the last one may close the queue. */
static void test_chain(Fixture *f)
{
    Get get;

    get_start(&get, f, get_complete_chain);
    get.nr_more = 100;
    aio_bh_schedule_oneshot(f->q->queue->ctx, get_submit, &get);
    qemu_event_wait(&get.done);
    f->q->queue = NULL;
    get_end(&get);
}

/* A batch that nobody waits for must not be in the way of a page that is. */
static void test_background(Fixture *f)
{
    TestOp ops[PAGES];
    TestBatch *batch;

    open_links(f);
    memcached_liar_lie(f->liar, LIE_BATCHES);
    for (int i = 0; i < PAGES; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i, .version = 1,
                            .background = true };
    }
    batch = queue_start(f->q, ops, PAGES);
    for (uint64_t page = 0; page < 20; page++) {
        g_assert_cmpint(do_get(f->q, page, 1), ==, REMOTE_STORE_OK);
    }
    batch_wait(batch);
    assert_ops(ops, PAGES, REMOTE_STORE_TIMEOUT);
}

/* In one batch, both kinds reach their own buffers. */
static void test_mixed(Fixture *f)
{
    open_links(f);
    for (int round = 0; round < 100; round++) {
        TestOp ops[PAGES];

        for (int i = 0; i < PAGES; i++) {
            ops[i] = (TestOp) {
                .op = REMOTE_STORE_GET, .page = i, .version = 1,
                .background = g_test_rand_bit(),
            };
        }
        queue_run(f->q, ops, PAGES);
        assert_ops(ops, PAGES, REMOTE_STORE_OK);
    }
}

static void shuffle(TestOp *ops, size_t nr)
{
    for (size_t i = nr - 1; i > 0; i--) {
        size_t j = g_test_rand_int_range(0, i + 1);
        TestOp tmp = ops[i];

        ops[i] = ops[j];
        ops[j] = tmp;
    }
}

/* A page that is missing must not cost others in its batch anything. */
static void test_misses(Fixture *f)
{
    for (int round = 0; round < 20; round++) {
        TestOp ops[PAGES];

        for (int i = 0; i < PAGES; i++) {
            ops[i] = (TestOp) {
                .op = REMOTE_STORE_GET, .page = i, .version = 1,
                .background = g_test_rand_bit(),
            };
        }
        for (int i = 0; i < round; i++) {
            do_discard(f->q, ops[i * 3].page);
            ops[i * 3].version = 0;
        }
        shuffle(ops, PAGES);
        queue_run(f->q, ops, PAGES);
        for (int i = 0; i < PAGES; i++) {
            assert_ops(&ops[i], 1, ops[i].version ? REMOTE_STORE_OK :
                                   REMOTE_STORE_MISSING);
        }
    }
}

/*
 * More requests than fit into the socket, because the server does not read
 * them: they have to be kept, and sent later.
 */
static void test_flood(Fixture *f)
{
    enum { NR = 3000 };
    g_autofree TestOp *ops = g_new0(TestOp, NR);
    g_autofree TestBatch **batches = g_new(TestBatch *, NR);

    open_links(f);
    assert_batch(f, 10, false);
    assert_batch(f, 20, true);
    server_process_pause(f->daemon);
    for (int i = 0; i < NR; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i % PAGES,
                            .version = 1, .background = i & 1 };
        batches[i] = queue_start(f->q, &ops[i], 1);
    }
    server_process_resume(f->daemon);
    for (int i = 0; i < NR; i++) {
        batch_wait(batches[i]);
    }
    assert_ops(ops, NR, REMOTE_STORE_OK);
}

/* A connection that was closed meanwhile is no reason to fail. */
static void test_hang_up(Fixture *f)
{
    for (int round = 0; round < 20; round++) {
        open_links(f);
        memcached_liar_hang_up(f->liar);
        /* Sometimes it is known before the get, sometimes not. */
        g_usleep(round % 2 * 1000);
        assert_batch(f, 1 + round, round & 4);
    }
}

/* A reset is how the end of a server looks to whoever waits for a reply. */
static void test_reset(Fixture *f)
{
    for (int i = 0; i < 10; i++) {
        TestOp ops[10];

        memcached_liar_lie(f->liar, LIE_RESET);
        get_batch(f, ops, ARRAY_SIZE(ops), i & 1);
        assert_ops(ops, ARRAY_SIZE(ops), REMOTE_STORE_FAILED);
        g_assert_cmpint(do_put(f->q, 0, 1, false), ==, REMOTE_STORE_FAILED);
        memcached_liar_lie(f->liar, LIE_NONE);
        g_assert_cmpint(do_put(f->q, 0, 1, false), ==, REMOTE_STORE_OK);
        assert_batch(f, 10, i & 1);
    }
}

/* The server comes back without the pages, and gets new ones. */
static void test_restart(Fixture *f)
{
    TestOp ops[PAGES];

    open_links(f);
    server_process_kill(f->daemon);
    server_process_restart(f->daemon);
    get_batch(f, ops, PAGES, false);
    g_assert_nonnull(strstr(ops[0].reason, "was restarted and lost"));
    assert_ops(ops, PAGES, REMOTE_STORE_MISSING);
    for (uint64_t page = 0; page < PAGES; page++) {
        /* The first one may find out that its connection is broken. */
        while (do_put(f->q, page, 1, false) != REMOTE_STORE_OK) {
            g_assert_cmpint(page, <, 10);
        }
    }
    open_links(f);
    assert_batch(f, PAGES, false);
    assert_batch(f, PAGES, true);
}

/* A server that takes no more connections is asked on those that it has. */
static void test_no_link(Fixture *f)
{
    int64_t start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    memcached_liar_lie(f->liar, LIE_NO_VERSION);
    for (int i = 0; i < 30; i++) {
        assert_batch(f, 1, i & 1);
    }
    start = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - start;
    g_assert_cmpint(start, <, BOUND_MS);
}

static const Case cases[] = {
    { "link", test_link, LIAR, PATIENT_MS },
    { "link-tcp", test_link, TCP_LIAR, PATIENT_MS },
    { "bytes", test_bytes, LIAR, PATIENT_MS },
    { "bytes-tcp", test_bytes, TCP_LIAR, PATIENT_MS },
    { "once", test_once, LIAR, PATIENT_MS },
    { "silence", test_silence, LIAR, IMPATIENT_MS },
    { "trickle", test_trickle, LIAR, IMPATIENT_MS },
    { "half", test_half, LIAR, IMPATIENT_MS },
    { "chain", test_chain, LIAR, PATIENT_MS },
    { "background", test_background, LIAR, IMPATIENT_MS },
    { "mixed", test_mixed, DAEMON, PATIENT_MS },
    { "misses", test_misses, DAEMON, PATIENT_MS },
    { "flood", test_flood, DAEMON, PATIENT_MS },
    { "hang-up", test_hang_up, LIAR, PATIENT_MS },
    { "reset", test_reset, TCP_LIAR, PATIENT_MS },
    { "restart", test_restart, DAEMON, PATIENT_MS },
    { "no-link", test_no_link, LIAR, IMPATIENT_MS },
};

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path =
            g_strdup_printf("/remote-memcached-get/%s", cases[i].path);

        g_test_add(path, Fixture, &cases[i], setup, run, teardown);
    }
    return g_test_run();
}
