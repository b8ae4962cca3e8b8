/*
 * Unit tests: the store on memcached, when servers fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "server-process.h"
#include "memcached-lane.h"
#include "memcached-liar.h"
#include "remote-store-harness.h"

#define TYPE "remote-store-memcached"
#define REGION_PAGES 100000
#define MAX_SERVERS 3

/* Long enough for a server that is alive, on a machine that is busy. */
#define PATIENT_MS 30000

/* Short, for servers that do not answer anyway.  Others may miss it, too. */
#define IMPATIENT_MS 300

/* How often to try again with a server that may. */
#define TRIES 100

typedef struct Fixture {
    ServerProcess *daemons[MAX_SERVERS];
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

/* How to set up a test, and the test. */
typedef struct Case {
    const char *path;
    void (*fn)(Fixture *f);
    unsigned nr_servers;
    const char *command;
    unsigned timeout_ms;
} Case;

static RemoteStore *make_store(const char **addresses, unsigned timeout_ms)
{
    g_autofree char *list = g_strjoinv("','", (char **)addresses);
    g_autofree char *properties =
        g_strdup_printf("{'servers':['%s'],'request-timeout-ms':%u}", list,
                        timeout_ms);

    return store_new(TYPE, "s0", properties);
}

static void setup(Fixture *f, gconstpointer opaque)
{
    const Case *c = opaque;
    const char *addresses[MAX_SERVERS + 1] = { NULL };

    if (!server_process_available(MEMCACHED_GOOD)) {
        return;
    }
    for (unsigned i = 0; i < c->nr_servers; i++) {
        f->daemons[i] = server_process_new(c->command);
        addresses[i] = server_process_address(f->daemons[i]);
    }
    f->store = make_store(addresses, c->timeout_ms);
    f->region = region_new(f->store, REGION_PAGES);
    f->q = queue_new(f->region);
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
    for (unsigned i = 0; i < MAX_SERVERS; i++) {
        if (f->daemons[i]) {
            server_process_free(f->daemons[i]);
        }
    }
}

static void assert_status(Fixture *f, RemoteStoreStatus status)
{
    RemoteStoreInfo *info = remote_store_query(f->store);

    g_assert_cmpint(info->status, ==, status);
    qapi_free_RemoteStoreInfo(info);
}

static void assert_reason(Fixture *f, uint64_t page, RemoteStoreResult result,
                          const char *what)
{
    g_autofree char *reason = do_get_reason(f->q, page, result);

    g_assert_nonnull(strstr(reason, what));
    g_assert_nonnull(strstr(reason, "server unix:/"));
}

/* Do all of @ops, again until the server answers to each in time. */
static void run_all(Fixture *f, TestOp *ops, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        int tries = 0;

        do {
            g_assert_cmpint(tries++, <, TRIES);
            op_free(&ops[i]);
            queue_run(f->q, &ops[i], 1);
        } while (ops[i].result == REMOTE_STORE_TIMEOUT ||
                 ops[i].result == REMOTE_STORE_FAILED);
        g_assert_cmpuint(ops[i].flipped, ==, 0);
    }
}

static void assert_op(Fixture *f, RemoteStoreOp op, uint64_t page,
                      uint32_t version, RemoteStoreResult result)
{
    TestOp one = { .op = op, .page = page, .version = version };

    run_all(f, &one, 1);
    g_assert_cmpint(one.result, ==, result);
    op_free(&one);
}

static void assert_put(Fixture *f, uint64_t page, uint32_t version)
{
    assert_op(f, REMOTE_STORE_PUT, page, version, REMOTE_STORE_OK);
}

static void assert_get(Fixture *f, uint64_t page, uint32_t version)
{
    assert_op(f, REMOTE_STORE_GET, page, version, REMOTE_STORE_OK);
}

static void assert_missing(Fixture *f, uint64_t page)
{
    assert_op(f, REMOTE_STORE_GET, page, 0, REMOTE_STORE_MISSING);
}

/* A lane of the test's own, to do things behind the store's back. */
static void back_door(Fixture *f, unsigned server, McLane *lane, McServer *s)
{
    g_assert_true(mc_server_parse(s, server_process_address(
                                         f->daemons[server]), &error_abort));
    s->timeout_ms = PATIENT_MS;
    mc_lane_init(lane, s, NULL);
}

static void set_behind(Fixture *f, uint64_t page, unsigned generation,
                       const void *data, size_t len)
{
    McServer server;
    McLane lane;
    McKey key;

    mc_key_page(&key, &f->region->uuid, page, generation);
    back_door(f, 0, &lane, &server);
    g_assert_cmpint(mc_lane_set(&lane, &key, data, len), ==, REMOTE_STORE_OK);
    mc_lane_cleanup(&lane);
    mc_server_clear(&server);
}

static void delete_behind(Fixture *f, uint64_t page)
{
    McServer server;
    McLane lane;
    McKey key;

    mc_key_page(&key, &f->region->uuid, page, 0);
    back_door(f, 0, &lane, &server);
    g_assert_cmpint(mc_lane_delete(&lane, &key), ==, REMOTE_STORE_OK);
    mc_lane_cleanup(&lane);
    mc_server_clear(&server);
}

/* A page that somebody deleted must be missed, and for that reason. */
static void test_deleted(Fixture *f)
{
    g_assert_cmpint(do_put(f->q, 1, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(f->q, 2, 1, true), ==, REMOTE_STORE_OK);
    delete_behind(f, 1);
    assert_reason(f, 1, REMOTE_STORE_MISSING, "no longer has the page");
    assert_status(f, REMOTE_STORE_STATUS_CONNECTED);
    g_assert_cmpint(do_get(f->q, 2, 1), ==, REMOTE_STORE_OK);
}

/* A value of another size is no page. */
static void test_wrong_size(Fixture *f)
{
    g_assert_cmpint(do_put(f->q, 1, 1, true), ==, REMOTE_STORE_OK);
    set_behind(f, 1, 0, "abc", 3);
    assert_reason(f, 1, REMOTE_STORE_CORRUPT, "3 bytes");
    g_assert_cmpint(do_put(f->q, 1, 2, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, 1, 2), ==, REMOTE_STORE_OK);
}

/* A server that comes back empty must not be taken for one that is fine. */
static void test_restarted(Fixture *f)
{
    g_assert_cmpint(do_put(f->q, 1, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, 1, 1), ==, REMOTE_STORE_OK);
    server_process_kill(f->daemons[0]);
    assert_reason(f, 1, REMOTE_STORE_FAILED, "no connection to server");
    assert_status(f, REMOTE_STORE_STATUS_LOST);
    g_assert_cmpint(do_get(f->q, 1, 1), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(do_put(f->q, 2, 1, true), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(do_discard(f->q, 3), ==, REMOTE_STORE_FAILED);
    server_process_restart(f->daemons[0]);
    assert_reason(f, 1, REMOTE_STORE_MISSING,
                  "was restarted and lost its contents");
    assert_status(f, REMOTE_STORE_STATUS_LOST);
    /* What is put from now on is there. */
    g_assert_cmpint(do_put(f->q, 2, 2, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, 2, 2), ==, REMOTE_STORE_OK);
}

/* Neither must one that was restarted while nobody looked. */
static void test_restarted_unseen(Fixture *f)
{
    g_assert_cmpint(do_put(f->q, 1, 1, true), ==, REMOTE_STORE_OK);
    server_process_kill(f->daemons[0]);
    server_process_restart(f->daemons[0]);
    assert_reason(f, 1, REMOTE_STORE_MISSING,
                  "was restarted and lost its contents");
    assert_status(f, REMOTE_STORE_STATUS_LOST);
    /* A region that starts anew has lost nothing. */
    queue_free(f->q);
    remote_store_detach(f->region);
    f->region = region_new(f->store, REGION_PAGES);
    f->q = queue_new(f->region);
    assert_status(f, REMOTE_STORE_STATUS_CONNECTED);
    assert_reason(f, 1, REMOTE_STORE_MISSING, "no longer has the page");
}

/* Requests to a server that hangs must end, all of them, as timed out. */
static void test_hang(Fixture *f)
{
    enum { NR = 200 };
    TestOp ops[NR];

    for (int i = 0; i < NR; i++) {
        ops[i] = (TestOp) { .op = i % 3, .page = i, .version = 1,
                            .fresh = true };
        if (ops[i].op == REMOTE_STORE_GET) {
            assert_put(f, i, 1);
        }
    }
    server_process_pause(f->daemons[0]);
    for (int round = 0; round < 2; round++) {
        queue_run(f->q, ops, NR);
        for (int i = 0; i < NR; i++) {
            g_assert_cmpint(ops[i].result, ==, REMOTE_STORE_TIMEOUT);
            g_assert_nonnull(strstr(ops[i].reason, "did not answer"));
            op_free(&ops[i]);
        }
        assert_status(f, REMOTE_STORE_STATUS_LOST);
    }
    server_process_resume(f->daemons[0]);
    run_all(f, ops, NR);
    for (int i = 0; i < NR; i++) {
        g_assert_cmpint(ops[i].result, ==, REMOTE_STORE_OK);
    }
    assert_status(f, REMOTE_STORE_STATUS_CONNECTED);
}

/*
 * A put that timed out and is done by the server later must not replace what
 * was put after it.
 */
static void test_late_put(Fixture *f)
{
    g_autofree void *late = g_malloc(REMOTE_STORE_PAGE_SIZE);

    assert_put(f, 1, 1);
    server_process_pause(f->daemons[0]);
    g_assert_cmpint(do_put(f->q, 1, 2, false), ==, REMOTE_STORE_TIMEOUT);
    server_process_resume(f->daemons[0]);
    /* Until it is put again the page is not there, whatever is. */
    assert_missing(f, 1);
    assert_put(f, 1, 3);
    assert_get(f, 1, 3);
    /* The server was even slower than that. */
    page_fill(late, 1, 2);
    set_behind(f, 1, 0, late, REMOTE_STORE_PAGE_SIZE);
    assert_get(f, 1, 3);
    assert_op(f, REMOTE_STORE_DISCARD, 1, 0, REMOTE_STORE_OK);
    assert_missing(f, 1);
    assert_put(f, 1, 4);
    set_behind(f, 1, 0, late, REMOTE_STORE_PAGE_SIZE);
    assert_get(f, 1, 4);
    /* Another queue has to know. */
    queue_free(f->q);
    f->q = queue_new(f->region);
    assert_get(f, 1, 4);
}

/* Nor may a discard that timed out delete what was put after it. */
static void test_late_discard(Fixture *f)
{
    assert_put(f, 1, 1);
    server_process_pause(f->daemons[0]);
    g_assert_cmpint(do_discard(f->q, 1), ==, REMOTE_STORE_TIMEOUT);
    server_process_resume(f->daemons[0]);
    assert_put(f, 1, 2);
    delete_behind(f, 1);
    assert_get(f, 1, 2);
}

/* What may be done to a server; the last two undo the first two. */
static void (*const disturbances[])(ServerProcess *daemon) = {
    server_process_pause, server_process_kill,
    server_process_resume, server_process_restart,
};

/*
 * Whatever happens to a server: a page is as it was last acknowledged, or the
 * get says that it is not.  @versions is 0 where a write is in doubt.
 */
static void test_torture(Fixture *f)
{
    enum { ROUNDS = 60, NR = 64 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    uint32_t versions[NR] = { 0 }, next = 0;
    TestOp ops[NR] = { 0 };

    for (int round = 0; round < ROUNDS; round++) {
        int what = g_rand_int_range(rand, 0, 2);
        TestBatch *batch;

        for (int i = 0; i < NR; i++) {
            bool get = versions[i] && g_rand_boolean(rand);

            ops[i] = (TestOp) {
                .op = get ? REMOTE_STORE_GET : REMOTE_STORE_PUT, .page = i,
                .version = get ? versions[i] : ++next,
            };
        }
        batch = queue_start(f->q, ops, NR);
        g_usleep(g_rand_int_range(rand, 0, 1000));
        disturbances[what](f->daemons[0]);
        batch_wait(batch);
        disturbances[what + 2](f->daemons[0]);
        for (int i = 0; i < NR; i++) {
            g_assert_cmpuint(ops[i].flipped, ==, 0);
            if (ops[i].op == REMOTE_STORE_PUT) {
                versions[i] = ops[i].result ? 0 : ops[i].version;
            }
            op_free(&ops[i]);
        }
    }
}

/* A full server says so, and keeps what it has acknowledged. */
static void test_full(Fixture *f)
{
    RemoteStoreResult result = REMOTE_STORE_OK;
    uint64_t nr;

    for (nr = 0; result == REMOTE_STORE_OK && nr < REGION_PAGES; nr++) {
        result = do_put(f->q, nr, 1, true);
    }
    g_assert_cmpint(result, ==, REMOTE_STORE_NOSPACE);
    nr--;
    g_assert_cmpuint(nr, >, 100);
    assert_status(f, REMOTE_STORE_STATUS_CONNECTED);
    for (uint64_t page = 0; page < nr; page++) {
        g_assert_cmpint(do_get(f->q, page, 1), ==, REMOTE_STORE_OK);
    }
    for (uint64_t page = 0; page < 10; page++) {
        g_assert_cmpint(do_discard(f->q, page), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_put(f->q, nr, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, nr, 1), ==, REMOTE_STORE_OK);
}

/* Get all pages at once; returns how many did not come in time. */
static unsigned count_late(Fixture *f, TestOp *ops, unsigned nr)
{
    unsigned nr_late = 0;

    for (unsigned i = 0; i < nr; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i, .version = 1 };
    }
    queue_run(f->q, ops, nr);
    for (unsigned i = 0; i < nr; i++) {
        if (ops[i].result != REMOTE_STORE_OK) {
            g_assert_cmpint(ops[i].result, ==, REMOTE_STORE_TIMEOUT);
            nr_late++;
        }
        g_assert_cmpuint(ops[i].flipped, ==, 0);
        op_free(&ops[i]);
    }
    return nr_late;
}

/* One server of several that fails must not take the others' pages along. */
static void test_one_of_three(Fixture *f)
{
    enum { NR = 300 };
    unsigned nr_late;
    TestOp ops[NR];
    int tries = 0;

    for (uint64_t page = 0; page < NR; page++) {
        assert_put(f, page, 1);
    }
    server_process_pause(f->daemons[1]);
    /* By hashing, but evenly. */
    do {
        g_assert_cmpint(tries++, <, TRIES);
        nr_late = count_late(f, ops, NR);
        g_assert_cmpuint(nr_late, >, NR / 6);
    } while (nr_late > NR / 2);
    assert_status(f, REMOTE_STORE_STATUS_DEGRADED);
    server_process_resume(f->daemons[1]);
    for (uint64_t page = 0; page < NR; page++) {
        assert_get(f, page, 1);
    }
    assert_status(f, REMOTE_STORE_STATUS_CONNECTED);
}

/* A server that may lose pages must not get any. */
static void test_refused(gconstpointer opaque)
{
    static const struct {
        const char *command;
        const char *error;
    } bad[] = {
        { MEMCACHED "-m 64", "throws old pages away" },
        { MEMCACHED "-M -m 64 -I 2k -o slab_chunk_max=2048",
          "values of 4096" },
        { MEMCACHED "-M -m 64 -o slab_chunk_max=2048",
          "cuts pages into chunks" },
    };

    if (!server_process_available(MEMCACHED_GOOD)) {
        return;
    }
    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        ServerProcess *daemon = server_process_new(bad[i].command);
        g_autofree char *properties =
            g_strdup_printf("{'servers':['%s']}",
                            server_process_address(daemon));

        store_assert_refused(TYPE, properties, bad[i].error);
        server_process_free(daemon);
    }
}

/* A typing error must be found at the start, and named. */
static void test_properties(void)
{
    static const struct {
        const char *properties;
        const char *error;
    } bad[] = {
        { "{}", "'servers' is empty" },
        { "{'servers':[]}", "'servers' is empty" },
        { "{'servers':['host']}", "'host': the port is missing" },
        { "{'servers':['host:']}", "'host:': the port is not a number" },
        { "{'servers':['host:0']}", "the port is not a number" },
        { "{'servers':['host:65536']}", "the port is not a number" },
        { "{'servers':['host:11211x']}", "the port is not a number" },
        { "{'servers':[':11211']}", "the host is missing" },
        { "{'servers':['::1:11211']}", "needs brackets" },
        { "{'servers':['unix:']}", "the path of the socket is missing" },
        { "{'servers':['unix:/no/such/socket']}",
          "no connection to server unix:/no/such/socket: No such file" },
        { "{'servers':['x:1'],'request-timeout-ms':9}",
          "'request-timeout-ms': 9 is less than 10" },
    };
    McServer server;

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        store_assert_refused(TYPE, bad[i].properties, bad[i].error);
    }
    g_assert_true(mc_server_parse(&server, "[fe80::1%eth0]:11211",
                                  &error_abort));
    g_assert_cmpstr(server.host, ==, "fe80::1%eth0");
    g_assert_cmpint(server.port, ==, 11211);
    mc_server_clear(&server);
}

/* A reply that is wrong must not turn into a page, nor into a lost one. */
static void test_liar(gconstpointer opaque)
{
    static const RemoteStoreResult expected[] = {
        [LIE_NONE] = REMOTE_STORE_OK,
        [LIE_SILENCE] = REMOTE_STORE_TIMEOUT,
        [LIE_EMPTY] = REMOTE_STORE_FAILED,
        [LIE_CUT] = REMOTE_STORE_TIMEOUT,
        [LIE_CLOSE] = REMOTE_STORE_FAILED,
        [LIE_SHORT] = REMOTE_STORE_CORRUPT,
        [LIE_LONG] = REMOTE_STORE_CORRUPT,
        [LIE_KEY] = REMOTE_STORE_FAILED,
        [LIE_LONG_KEY] = REMOTE_STORE_FAILED,
        [LIE_TWICE] = REMOTE_STORE_OK,
        [LIE_ERROR] = REMOTE_STORE_FAILED,
        [LIE_GARBAGE] = REMOTE_STORE_FAILED,
        [LIE_HUGE] = REMOTE_STORE_FAILED,
    };
    MemcachedLiar *liar = memcached_liar_new();
    const char *addresses[] = { memcached_liar_address(liar), NULL };
    Fixture f = { .store = make_store(addresses, IMPATIENT_MS) };

    f.region = region_new(f.store, REGION_PAGES);
    f.q = queue_new(f.region);
    for (uint64_t page = 0; page < 10; page++) {
        assert_put(&f, page, 1);
    }
    for (Lie lie = 0; lie < ARRAY_SIZE(expected); lie++) {
        int tries = 0;

        memcached_liar_lie(liar, lie);
        g_test_message("lie %d", lie);
        while (do_get(f.q, 1, 1) != expected[lie]) {
            g_assert_cmpint(tries++, <, TRIES);
        }
        for (int batch = 0; batch < 3; batch++) {
            TestOp ops[10];

            for (int i = 0; i < 10; i++) {
                ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i,
                                    .version = 1 };
            }
            queue_run(f.q, ops, ARRAY_SIZE(ops));
            for (int i = 0; i < 10; i++) {
                g_assert_cmpint(ops[i].result, !=, REMOTE_STORE_MISSING);
                g_assert_cmpuint(ops[i].flipped, ==, 0);
                op_free(&ops[i]);
            }
        }
        memcached_liar_lie(liar, LIE_NONE);
        for (uint64_t page = 0; page < 10; page++) {
            assert_get(&f, page, 1);
        }
    }
    teardown(&f, NULL);
    memcached_liar_free(liar);
}

static const Case cases[] = {
    { "deleted", test_deleted, 1, MEMCACHED_GOOD, PATIENT_MS },
    { "wrong-size", test_wrong_size, 1, MEMCACHED_GOOD, PATIENT_MS },
    { "restarted", test_restarted, 1, MEMCACHED_GOOD, PATIENT_MS },
    { "restarted-unseen", test_restarted_unseen, 1, MEMCACHED_GOOD,
      PATIENT_MS },
    { "hang", test_hang, 1, MEMCACHED_GOOD, IMPATIENT_MS },
    { "late-put", test_late_put, 1, MEMCACHED_GOOD, IMPATIENT_MS },
    { "late-discard", test_late_discard, 1, MEMCACHED_GOOD,
      IMPATIENT_MS },
    { "torture", test_torture, 1, MEMCACHED_GOOD, IMPATIENT_MS / 10 },
    { "full", test_full, 1, MEMCACHED "-M -n 4137 -m 8", PATIENT_MS },
    { "one-of-three", test_one_of_three, 3, MEMCACHED_GOOD,
      IMPATIENT_MS },
};

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path = g_strdup_printf("/remote-store-memcached/%s",
                                                cases[i].path);

        g_test_add(path, Fixture, &cases[i], setup, run, teardown);
    }
    g_test_add_data_func("/remote-store-memcached/refused", NULL,
                         test_refused);
    g_test_add_func("/remote-store-memcached/properties", test_properties);
    g_test_add_data_func("/remote-store-memcached/liar", NULL, test_liar);
    return g_test_run();
}
