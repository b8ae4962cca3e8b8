/*
 * Unit tests: the store on a block node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/block.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "remote-store-harness.h"
#include "server-process.h"
#include "test-node.h"

#define TYPE "remote-store-block"
#define NODE "node0"
#define PAGES 1000

/* Short, for a server that does not answer anyway. */
#define IMPATIENT "{'node-name':'" NODE "','request-timeout-ms':300}"
#define PATIENT "{'node-name':'" NODE "','request-timeout-ms':30000}"

/* How often to try again with a server that may answer late. */
#define TRIES 1000

typedef struct Fixture {
    TestNode *node;
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

static bool setup(Fixture *f, TestNodeKind kind, const char *properties)
{
    *f = (Fixture) { 0 };
    f->node = test_node_new(kind, NODE);
    if (!f->node) {
        return false;
    }
    f->store = store_new(TYPE, "s0", properties);
    f->region = region_new(f->store, PAGES);
    f->q = queue_new(f->region);
    return true;
}

static void teardown(Fixture *f)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
    test_node_free(f->node);
}

static void put_until_done(Fixture *f, uint64_t page, uint32_t version)
{
    for (int i = 0; do_put(f->q, page, version, false); i++) {
        g_assert_cmpint(i, <, TRIES);
        g_usleep(10000);
    }
}

/*
 * If this fails, a server that hangs hangs the guest for ever; or a put that
 * was given up comes through after the one that followed.
 */
static void test_hang(void)
{
    Fixture f;

    if (!setup(&f, TEST_NODE_NBD, IMPATIENT)) {
        return;
    }
    for (uint64_t page = 0; page < 10; page++) {
        put_until_done(&f, page, 1);
    }
    for (uint32_t version = 2; version < 6; version++) {
        server_process_pause(test_node_server(f.node));
        g_assert_cmpint(do_put(f.q, 5, version, false), ==,
                        REMOTE_STORE_TIMEOUT);
        /* At once, not after another timeout. */
        g_assert_cmpint(do_put(f.q, 5, version + 100, false), ==,
                        REMOTE_STORE_TIMEOUT);
        g_assert_cmpint(do_discard(f.q, 5), ==, REMOTE_STORE_TIMEOUT);
        g_assert_cmpint(do_get(f.q, 6, 1), ==, REMOTE_STORE_TIMEOUT);
        server_process_resume(test_node_server(f.node));
        put_until_done(&f, 5, version + 200);
        for (uint64_t page = 0; page < 10; page++) {
            g_assert_cmpint(do_get(f.q, page, page == 5 ? version + 200 : 1),
                            ==, REMOTE_STORE_OK);
        }
    }
    teardown(&f);
}

/*
 * If this fails, a VM that stops because a server hangs takes the monitor with
 * it: it drains all nodes, and flushes them.
 */
static void test_drain(void)
{
    Fixture f;

    if (!setup(&f, TEST_NODE_NBD, IMPATIENT)) {
        return;
    }
    put_until_done(&f, 0, 1);
    server_process_pause(test_node_server(f.node));
    g_assert_cmpint(do_get(f.q, 0, 1), ==, REMOTE_STORE_TIMEOUT);
    g_assert_cmpint(do_put(f.q, 1, 1, true), ==, REMOTE_STORE_TIMEOUT);
    bdrv_drain_all();
    bdrv_flush_all();
    server_process_resume(test_node_server(f.node));
    put_until_done(&f, 1, 2);
    g_assert_cmpint(do_get(f.q, 0, 1), ==, REMOTE_STORE_OK);
    teardown(&f);
}

/* If this fails, a server that was restarted is of no use any more. */
static void test_restarted(void)
{
    Fixture f;

    if (!setup(&f, TEST_NODE_NBD, PATIENT)) {
        return;
    }
    g_assert_cmpint(do_put(f.q, 1, 1, true), ==, REMOTE_STORE_OK);
    server_process_kill(test_node_server(f.node));
    g_assert_cmpint(do_put(f.q, 1, 2, false), ==, REMOTE_STORE_FAILED);
    server_process_restart(test_node_server(f.node));
    put_until_done(&f, 1, 3);
    g_assert_cmpint(do_get(f.q, 1, 3), ==, REMOTE_STORE_OK);
    teardown(&f);
}

/* If this fails, neighbours that go together are mixed up. */
static void test_runs(void)
{
    enum { MOST = 200 };
    g_autofree TestOp *ops = g_new0(TestOp, MOST);
    Fixture f;

    g_assert_true(setup(&f, TEST_NODE_FILE, PATIENT));
    for (int round = 0; round < 50; round++) {
        size_t nr = g_test_rand_int_range(1, MOST + 1);
        uint64_t first = g_test_rand_int_range(0, PAGES - nr + 1);

        for (int op = 0; op < 2; op++) {
            for (size_t i = 0; i < nr; i++) {
                ops[i] = (TestOp) {
                    .op = op ? REMOTE_STORE_GET : REMOTE_STORE_PUT,
                    .page = first + i, .version = round + 1,
                };
            }
            queue_run(f.q, ops, nr);
            for (size_t i = 0; i < nr; i++) {
                g_assert_cmpint(ops[i].result, ==, REMOTE_STORE_OK);
                g_assert_cmpuint(ops[i].flipped, ==, 0);
                op_free(&ops[i]);
            }
        }
    }
    teardown(&f);
}

/* If this fails, backends that come and go get each other's pages, or none. */
static void test_ranges(void)
{
    RemoteStoreRegion *regions[4];
    TestQueue *queues[4];
    TestNode *node = test_node_new(TEST_NODE_FILE, NODE);
    RemoteStore *store = store_new(TYPE, "s0", PATIENT);

    for (int i = 0; i < 4; i++) {
        regions[i] = region_new(store, PAGES + i);
        queues[i] = queue_new(regions[i]);
    }
    for (int round = 0; round < 100; round++) {
        int i = g_test_rand_int_range(0, 4);

        queue_free(queues[i]);
        remote_store_detach(regions[i]);
        regions[i] = region_new(store, g_test_rand_int_range(10, PAGES));
        queues[i] = queue_new(regions[i]);
        for (int k = 0; k < 4; k++) {
            uint64_t last = regions[k]->nr_pages - regions[k]->nr_marks - 1;

            g_assert_cmpint(do_put(queues[k], 0, 10 + k, false), ==,
                            REMOTE_STORE_OK);
            g_assert_cmpint(do_put(queues[k], last, 20 + k, false), ==,
                            REMOTE_STORE_OK);
        }
        for (int k = 0; k < 4; k++) {
            uint64_t last = regions[k]->nr_pages - regions[k]->nr_marks - 1;

            g_assert_cmpint(do_get(queues[k], 0, 10 + k), ==, REMOTE_STORE_OK);
            g_assert_cmpint(do_get(queues[k], last, 20 + k), ==,
                            REMOTE_STORE_OK);
        }
    }
    for (int i = 0; i < 4; i++) {
        queue_free(queues[i]);
        remote_store_detach(regions[i]);
    }
    store_delete(store);
    test_node_free(node);
}

/* If this fails, a backend that does not fit is found out when it is full. */
static void test_no_room(void)
{
    TestNode *node = test_node_new(TEST_NODE_FILE, NODE);
    RemoteStore *store = store_new(TYPE, "s0", PATIENT);
    Error *err = NULL;
    QemuUUID uuid;

    qemu_uuid_generate(&uuid);
    g_assert_null(remote_store_attach(store, &uuid, 1ull << 50, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "has no room for"));
    error_free(err);
    store_delete(store);
    test_node_free(node);
}

/* If this fails, an operator finds out too late, or not why. */
static void test_refused(void)
{
    static const struct {
        const char *properties;
        const char *error;
    } bad[] = {
        { "{}", "'node-name' is missing" },
        { "{'node-name':'none'}", "there is no block node 'none'" },
        { "{'node-name':'" NODE "','request-timeout-ms':1}",
          "'request-timeout-ms': 1" },
    };
    TestNode *node = test_node_new(TEST_NODE_FILE, NODE);
    RemoteStore *store;

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        store_assert_refused(TYPE, bad[i].properties, bad[i].error);
    }
    /* Two stores would write over each other's pages. */
    store = store_new(TYPE, "s0", PATIENT);
    store_assert_refused(TYPE, PATIENT, "cannot use block node");
    store_delete(store);
    test_node_free(node);
}

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    g_test_add_func("/remote-memory/store-block/hang", test_hang);
    g_test_add_func("/remote-memory/store-block/drain", test_drain);
    g_test_add_func("/remote-memory/store-block/restarted", test_restarted);
    g_test_add_func("/remote-memory/store-block/runs", test_runs);
    g_test_add_func("/remote-memory/store-block/ranges", test_ranges);
    g_test_add_func("/remote-memory/store-block/no-room", test_no_room);
    g_test_add_func("/remote-memory/store-block/refused", test_refused);
    return g_test_run();
}
