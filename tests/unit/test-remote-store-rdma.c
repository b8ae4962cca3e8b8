/*
 * Unit tests: what remote-store-rdma does when its server fails
 *
 * They need an address that RDMA can use; see server-process.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qobject/qdict.h"
#include "rdma-world.h"
#include "test-store.h"

#define NOBODY 65534

/*
 * A server that is killed has forgotten all, and must not be taken for one
 * that never had anything, nor for the one that had.
 */
static void test_killed(void)
{
    g_autofree char *reason = NULL;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    for (uint64_t page = 0; page < 200; page++) {
        g_assert_cmpint(do_put(w.q, page, 1, true), ==, REMOTE_STORE_OK);
    }
    server_process_kill(w.server);
    reason = do_get_reason(w.q, 7, REMOTE_STORE_FAILED);
    g_assert_cmpint(do_put(w.q, 8, 2, false), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_LOST);
    server_process_restart(w.server);
    world_put_again(&w, 300, 3);
    g_assert_cmpint(do_get(w.q, 300, 3), ==, REMOTE_STORE_OK);
    for (uint64_t page = 0; page < 200; page++) {
        g_assert_cmpint(do_get(w.q, page, 1), ==, REMOTE_STORE_MISSING);
    }
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_LOST);
    world_put_again(&w, 7, 4);
    g_assert_cmpint(do_get(w.q, 7, 4), ==, REMOTE_STORE_OK);
    world_free(&w);
}

/*
 * Requests that are on their way when the server dies all end, and those that
 * ended well before have had their effect.
 */
static void test_killed_busy(void)
{
    enum { NR = 1000 };
    g_autofree TestOp *ops = g_new0(TestOp, NR);
    TestBatch *batch;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    for (int i = 0; i < NR; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_PUT, .page = i, .version = 1,
                            .fresh = true };
    }
    batch = queue_start(w.q, ops, NR);
    server_process_kill(w.server);
    batch_wait(batch);
    for (int i = 0; i < NR; i++) {
        g_assert_true(ops[i].result == REMOTE_STORE_OK ||
                      ops[i].result == REMOTE_STORE_FAILED ||
                      ops[i].result == REMOTE_STORE_TIMEOUT);
        op_free(&ops[i]);
    }
    server_process_restart(w.server);
    world_put_again(&w, 0, 2);
    g_assert_cmpint(do_get(w.q, 0, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 1, 1), ==, REMOTE_STORE_MISSING);
    world_free(&w);
}

/*
 * The server's processor takes no part in reading and writing pages; only a
 * new slab has to wait for it, and not for good.
 */
static void test_stopped(void)
{
    World w;

    if (!world_init(&w, "--limit 16M", 3000)) {
        return;
    }
    g_assert_cmpint(do_put(w.q, 0, 1, true), ==, REMOTE_STORE_OK);
    server_process_pause(w.server);
    for (uint64_t page = 1; page < SLAB_PAGES; page++) {
        g_assert_cmpint(do_put(w.q, page, 2, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(w.q, page, 2), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_get(w.q, 0, 1), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(w.q, SLAB_PAGES, 3, true), ==, REMOTE_STORE_TIMEOUT);
    server_process_resume(w.server);
    world_put_again(&w, SLAB_PAGES, 4);
    g_assert_cmpint(do_get(w.q, SLAB_PAGES, 4), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 1, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_CONNECTED);
    world_free(&w);
}

/*
 * A connection that ends takes no page with it.  Here somebody else takes the
 * number of the queue: the server ends the former connection, as it does when
 * a client comes back of which it thought that it was still there.
 */
static void test_cut(void)
{
    RemoteStoreRegion *thief;
    TestQueue *q;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    for (uint64_t page = 0; page < 100; page++) {
        g_assert_cmpint(do_put(w.q, page, 1, true), ==, REMOTE_STORE_OK);
    }
    thief = remote_store_attach(w.store, &w.region->uuid, REGION_PAGES,
                                &error_abort);
    q = queue_new(thief);
    g_assert_cmpint(do_get(q, 0, 1), ==, REMOTE_STORE_MISSING);
    queue_free(q);
    world_put_again(&w, 100, 1);
    for (uint64_t page = 0; page <= 100; page++) {
        g_assert_cmpint(do_get(w.q, page, 1), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_CONNECTED);

    /* It gives the namespace back, which we have lost then. */
    remote_store_detach(thief);
    world_put_again(&w, 200, 2);
    g_assert_cmpint(do_get(w.q, 200, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 5, 1), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_LOST);
    world_free(&w);
}

/*
 * A server that is full says so; what it has is not affected, and what is
 * given back can be used again.
 */
static void test_full(void)
{
    World w;

    if (!world_init(&w, "--limit 512K", 10000)) {
        return;
    }
    g_assert_cmpuint(remote_store_capacity(w.store), ==, 512 * 1024);
    world_assert_stat(&w, "used", 0);
    g_assert_cmpint(do_put(w.q, 0, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(w.q, SLAB_PAGES, 1, true), ==, REMOTE_STORE_OK);
    world_assert_stat(&w, "used", 512 * 1024);
    g_assert_cmpint(do_put(w.q, 2 * SLAB_PAGES, 1, true), ==,
                    REMOTE_STORE_NOSPACE);
    g_assert_cmpint(do_get(w.q, 2 * SLAB_PAGES, 1), ==, REMOTE_STORE_MISSING);
    world_assert_stat(&w, "no-space", 1);
    g_assert_cmpint(do_put(w.q, 1, 2, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 0, 1), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 1, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_CONNECTED);

    queue_free(w.q);
    remote_store_detach(w.region);
    world_assert_stat(&w, "used", 0);
    world_assert_stat(&w, "released", 1);
    w.region = region_new(w.store, REGION_PAGES);
    w.q = queue_new(w.region);
    g_assert_cmpint(do_get(w.q, 0, 1), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_put(w.q, 2 * SLAB_PAGES, 3, true), ==, REMOTE_STORE_OK);
    world_free(&w);
}

/* What nobody is connected to any more ends, when the operator wants it to. */
static void test_expired(void)
{
    World w;

    if (!world_init(&w, "--limit 16M --expire 1", 10000)) {
        return;
    }
    g_assert_cmpint(do_put(w.q, 0, 1, true), ==, REMOTE_STORE_OK);
    queue_free(w.q);
    for (int i = 0; ; i++) {
        g_autoptr(QDict) dict = world_stats(&w);

        if (qdict_get_int(dict, "expired") == 1) {
            break;
        }
        g_assert_cmpint(i, <, WORLD_TRIES);
        g_usleep(100000);
    }
    world_assert_stat(&w, "used", 0);
    w.q = queue_new(w.region);
    g_assert_cmpint(do_get(w.q, 0, 1), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_put(w.q, 0, 2, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 0, 2), ==, REMOTE_STORE_OK);
    world_free(&w);
}

static void test_refusals(void)
{
    const char *host = server_process_rdma();
    RemoteStoreRegion *other;
    IOThread *iothread;
    Error *err = NULL;
    World w;

    if (!host || !world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    g_autofree char *nobody = g_strdup_printf("{'server':'%s:1'}", host);
    g_autofree char *device =
        g_strdup_printf("{'server':'%s:" RDMA_PORT "','device':'none0'}", host);

    store_assert_refused(RDMA_TYPE, nobody, "no memory server answers there");
    store_assert_refused(RDMA_TYPE, device, "there is no RDMA device 'none0'");
    store_assert_refused(RDMA_TYPE, "{'server':'host'}", "property 'server': ");

    other = remote_store_attach(w.store, &w.region->uuid, 1, &error_abort);
    iothread = iothread_create("refused", &error_abort);
    g_assert_null(remote_store_open(other, iothread_get_aio_context(iothread),
                                    &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "another size"));
    error_free(err);
    iothread_destroy(iothread);
    remote_store_detach(other);
    g_assert_cmpint(do_put(w.q, 0, 1, true), ==, REMOTE_STORE_OK);
    world_free(&w);
}

/* The device can be chosen; it has to lead to the server. */
static void test_device(void)
{
    g_autoptr(GDir) dir = g_dir_open("/sys/class/infiniband", 0, NULL);
    g_autofree char *properties = NULL;
    RemoteStoreRegion *region;
    RemoteStore *store;
    TestQueue *q;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    properties = g_strdup_printf("{'server':'%s:" RDMA_PORT "','device':'%s',"
                                 "'request-timeout-ms':10000}",
                                 server_process_rdma(), g_dir_read_name(dir));
    store = store_new(RDMA_TYPE, "s1", properties);
    region = region_new(store, REGION_PAGES);
    q = queue_new(region);
    g_assert_cmpint(do_put(q, 0, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, 0, 1), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(w.q, 0, 1), ==, REMOTE_STORE_MISSING);
    queue_free(q);
    remote_store_detach(region);
    store_delete(store);
    world_free(&w);
}

/*
 * Without the right to lock memory there is no RDMA, and the operator is told
 * which limit it is that he has to raise.
 */
static void test_memlock(void)
{
    const struct rlimit none = { 0 };
    const char *host = server_process_rdma();
    g_autofree char *properties = NULL;
    Error *err = NULL;
    World w;

    if (!host) {
        return;
    }
    properties = g_strdup_printf("{'server':'%s:" RDMA_PORT "'}", host);
    if (g_test_subprocess()) {
        g_assert_cmpint(setrlimit(RLIMIT_MEMLOCK, &none), ==, 0);
        g_assert_cmpint(setresuid(NOBODY, NOBODY, NOBODY), ==, 0);
        g_assert_null(store_try_new(RDMA_TYPE, "s0", properties, &err));
        error_report_err(err);
        return;
    }
    if (world_init(&w, "--limit 16M", 10000)) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        g_test_trap_assert_stderr("*property 'server': *: cannot register * "
                                  "bytes of memory*");
        g_test_trap_assert_stderr("*(ulimit -l), which is 0 bytes*");
        world_free(&w);
    }
}

/* These need no server, and no device. */
static void test_properties(void)
{
    store_assert_refused(RDMA_TYPE, "{'server':'a:1','request-timeout-ms':9}",
                         "property 'request-timeout-ms': 9 is less than 10");
    store_assert_refused(RDMA_TYPE, "{'server':'a:1','reconnect-ms':0}",
                         "property 'reconnect-ms': 0 is less than 10");
    if (access("/sys/class/infiniband", F_OK)) {
        store_assert_refused(RDMA_TYPE, "{'server':'a:1'}",
                             "this host has no RDMA device");
    }
}

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    g_test_add_func("/remote-store-rdma/properties", test_properties);
    g_test_add_func("/remote-store-rdma/refusals", test_refusals);
    if (!test_store_wanted("rdma")) {
        /* One that is skipped says so. */
        return g_test_run();
    }
    g_test_add_func("/remote-store-rdma/device", test_device);
    g_test_add_func("/remote-store-rdma/memlock", test_memlock);
    g_test_add_func("/remote-store-rdma/killed", test_killed);
    g_test_add_func("/remote-store-rdma/killed-busy", test_killed_busy);
    g_test_add_func("/remote-store-rdma/stopped", test_stopped);
    g_test_add_func("/remote-store-rdma/cut", test_cut);
    g_test_add_func("/remote-store-rdma/full", test_full);
    g_test_add_func("/remote-store-rdma/expired", test_expired);
    rdma_handover_tests();
    return g_test_run();
}
