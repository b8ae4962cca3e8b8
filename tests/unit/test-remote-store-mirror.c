/*
 * Unit tests: a mirror, when stores fail and come back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qnum.h"
#include "qemu/main-loop.h"
#include "qom/qom-qobject.h"
#include "remote-store-harness.h"
#include "server-process.h"

#define TYPE "remote-store-mirror"
#define COPIES 3
#define PAGES 500

/* For what a round of rebuilding brings, on a machine that is busy. */
#define PATIENT_MS 60000

/* Each copy can fail, and what it has can be counted. */
typedef struct Fixture {
    RemoteStore *rams[COPIES];
    RemoteStore *faults[COPIES];
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

static void setup(Fixture *f, gconstpointer opaque)
{
    for (int i = 0; i < COPIES; i++) {
        g_autofree char *ram = g_strdup_printf("ram%d", i);
        g_autofree char *fault = g_strdup_printf("fault%d", i);
        g_autofree char *properties =
            g_strdup_printf("{'store':'%s','seed':%d}", ram, i);

        f->rams[i] = store_new("remote-store-ram", ram, "{}");
        f->faults[i] = store_new("remote-store-fault", fault, properties);
    }
    f->store = store_new(TYPE, "s0", opaque);
    f->region = region_new(f->store, PAGES);
    f->q = queue_new(f->region);
}

static void teardown(Fixture *f, gconstpointer opaque)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
    /* Events about its status keep it. */
    main_loop_wait(true);
    for (int i = 0; i < COPIES; i++) {
        store_delete(f->faults[i]);
        store_delete(f->rams[i]);
    }
}

static void set_rate(Fixture *f, int copy, const char *rate, double value)
{
    object_property_set_qobject(OBJECT(f->faults[copy]), rate,
                                QOBJECT(qnum_from_double(value)),
                                &error_abort);
}

static RemoteStoreStatus status_of(RemoteStore *store)
{
    RemoteStoreInfo *info = remote_store_query(store);
    RemoteStoreStatus status = info->status;

    qapi_free_RemoteStoreInfo(info);
    return status;
}

static uint64_t pages_of(RemoteStore *store)
{
    RemoteStoreInfo *info = remote_store_query(store);
    uint64_t pages = info->pages;

    qapi_free_RemoteStoreInfo(info);
    return pages;
}

static void put_all(Fixture *f, uint32_t version)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_put(f->q, page, version, version == 1), ==,
                        REMOTE_STORE_OK);
    }
}

static void get_all(Fixture *f, uint32_t version)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_get(f->q, page, version), ==, REMOTE_STORE_OK);
    }
}

static void wait_connected(RemoteStore *store)
{
    int64_t end = g_get_monotonic_time() + PATIENT_MS * 1000ll;

    while (status_of(store) != REMOTE_STORE_STATUS_CONNECTED) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
}

static void wait_rebuilt(Fixture *f)
{
    wait_connected(f->store);
    /* A put that failed, but was done, is counted once more. */
    for (int i = 0; i < COPIES; i++) {
        g_assert_cmpuint(pages_of(f->rams[i]), >=, PAGES);
    }
}

/* Until it is known how far the rebuilding is. */
static void wait_progress(RemoteStore *store)
{
    int64_t end = g_get_monotonic_time() + PATIENT_MS * 1000ll;

    for (;;) {
        g_autoptr(RemoteStoreInfo) info = remote_store_query(store);

        if (info->rebuild) {
            g_assert_cmpuint(info->rebuild->total_progress, ==, PAGES);
            g_assert_cmpuint(info->rebuild->current_progress, <=, PAGES);
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
}

/* If this fails, one store that fails is one too many. */
static void test_one_fails(Fixture *f, gconstpointer opaque)
{
    put_all(f, 1);
    set_rate(f, 0, "error-rate", 1);
    get_all(f, 1);
    put_all(f, 2);
    get_all(f, 2);
    g_assert_cmpint(status_of(f->store), ==, REMOTE_STORE_STATUS_DEGRADED);
    wait_progress(f->store);
    set_rate(f, 0, "error-rate", 0);
}

/*
 * If this fails, what a store missed while it was away is missing, or old, when
 * it is the last one.
 */
static void test_rebuilt(Fixture *f, gconstpointer opaque)
{
    set_rate(f, 0, "error-rate", 1);
    put_all(f, 1);
    g_assert_cmpuint(pages_of(f->rams[0]), <, PAGES);
    set_rate(f, 0, "error-rate", 0);
    wait_rebuilt(f);
    set_rate(f, 1, "error-rate", 1);
    set_rate(f, 2, "error-rate", 1);
    get_all(f, 1);
    g_assert_cmpint(status_of(f->store), ==, REMOTE_STORE_STATUS_DEGRADED);
    set_rate(f, 1, "error-rate", 0);
    set_rate(f, 2, "error-rate", 0);
}

/* If this fails, a copy with something else in it is believed. */
static void test_corrupt(Fixture *f, gconstpointer opaque)
{
    put_all(f, 1);
    for (int i = 0; i < COPIES; i++) {
        set_rate(f, i, "corrupt-rate", 1);
        get_all(f, 1);
        set_rate(f, i, "corrupt-rate", 0);
        wait_rebuilt(f);
    }
}

/* If this fails, pages are lost because all copies were wrong for a moment. */
static void test_all_corrupt(Fixture *f, gconstpointer opaque)
{
    put_all(f, 1);
    for (int i = 0; i < COPIES; i++) {
        set_rate(f, i, "corrupt-rate", 1);
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        for (int i = 0; i < 3; i++) {
            g_assert_cmpint(do_get(f->q, page, 1), ==, REMOTE_STORE_CORRUPT);
        }
    }
    for (int i = 0; i < COPIES; i++) {
        set_rate(f, i, "corrupt-rate", 0);
    }
    get_all(f, 1);
    wait_rebuilt(f);
}

/* If this fails, stores that are all away at once stay away for ever. */
static void test_all_fail(Fixture *f, gconstpointer opaque)
{
    put_all(f, 1);
    for (int i = 0; i < COPIES; i++) {
        set_rate(f, i, "error-rate", 1);
    }
    g_assert_cmpint(do_get(f->q, 3, 1), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(do_put(f->q, 4, 2, false), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(status_of(f->store), ==, REMOTE_STORE_STATUS_LOST);
    for (int i = 0; i < COPIES; i++) {
        set_rate(f, i, "error-rate", 0);
    }
    g_assert_cmpint(do_put(f->q, 4, 1, false), ==, REMOTE_STORE_OK);
    get_all(f, 1);
}

/* If this fails, a page leaves local memory with fewer copies than wanted. */
static void test_quorum(Fixture *f, gconstpointer opaque)
{
    put_all(f, 1);
    set_rate(f, 1, "error-rate", 1);
    g_assert_cmpint(do_put(f->q, 7, 2, false), ==, REMOTE_STORE_OK);
    set_rate(f, 2, "error-rate", 1);
    g_assert_cmpint(do_put(f->q, 7, 3, false), ==, REMOTE_STORE_FAILED);
    g_assert_cmpint(status_of(f->store), ==, REMOTE_STORE_STATUS_LOST);
    set_rate(f, 1, "error-rate", 0);
    set_rate(f, 2, "error-rate", 0);
    wait_rebuilt(f);
    g_assert_cmpint(do_put(f->q, 7, 4, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, 7, 4), ==, REMOTE_STORE_OK);
}

/*
 * If this fails, there is a moment at which a page is wrong: requests, failures
 * and rebuilding at the same time.  One copy at a time may be away, and not
 * before those that were are complete again.
 */
static void test_torture(Fixture *f, gconstpointer opaque)
{
    uint32_t versions[PAGES];
    int away = 0;

    for (uint64_t page = 0; page < PAGES; page++) {
        versions[page] = 1;
    }
    put_all(f, 1);
    for (int round = 0; round < 6; round++) {
        away = g_test_rand_int_range(0, COPIES);
        set_rate(f, away, "error-rate", round % 2 ? 1 : 0.3);
        for (int i = 0; i < 3000; i++) {
            uint64_t page = g_test_rand_int_range(0, PAGES);

            if (i == 2000) {
                /* From here on it is being rebuilt. */
                set_rate(f, away, "error-rate", 0);
            }
            if (g_test_rand_int_range(0, 2)) {
                g_assert_cmpint(do_get(f->q, page, versions[page]), ==,
                                REMOTE_STORE_OK);
            } else {
                g_assert_cmpint(do_put(f->q, page, ++versions[page], false),
                                ==, REMOTE_STORE_OK);
            }
        }
        wait_rebuilt(f);
    }
    for (int i = 1; i < COPIES; i++) {
        set_rate(f, (away + i) % COPIES, "error-rate", 1);
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_get(f->q, page, versions[page]), ==,
                        REMOTE_STORE_OK);
    }
}

/* If this fails, an operator finds out too late, or not why. */
static void test_refused(void)
{
    static const struct {
        const char *properties;
        const char *error;
    } bad[] = {
        { "{'stores':[]}", "0 stores instead of 2 to 8" },
        { "{'stores':['ram0']}", "1 stores instead of 2 to 8" },
        { "{'stores':['ram0','none']}", "'stores'" },
        { "{'stores':['ram0','ram0']}", "'ram0' is given twice" },
        { "{'stores':['ram0','ram1'],'write-quorum':3}", "'write-quorum': 3" },
    };
    RemoteStore *rams[2] = { store_new("remote-store-ram", "ram0", "{}"),
                             store_new("remote-store-ram", "ram1", "{}") };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        store_assert_refused(TYPE, bad[i].properties, bad[i].error);
    }
    store_delete(rams[0]);
    store_delete(rams[1]);
}

/* A mirror of servers that can be stopped. */
typedef struct Servers {
    ServerProcess *servers[2];
    RemoteStore *stores[2];
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Servers;

/* Returns: false if the test was skipped. */
static bool servers_setup(Servers *f, const char *quorum)
{
    g_autofree char *properties =
        g_strdup_printf("{'stores':['mc0','mc1'],'write-quorum':%s}", quorum);

    if (!server_process_available(MEMCACHED_GOOD)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        g_autofree char *id = g_strdup_printf("mc%d", i);
        g_autofree char *mc = NULL;

        f->servers[i] = server_process_new(MEMCACHED_GOOD);
        mc = g_strdup_printf("{'servers':['%s'],'request-timeout-ms':%d}",
                             server_process_address(f->servers[i]),
                             PATIENT_MS);
        f->stores[i] = store_new("remote-store-memcached", id, mc);
    }
    f->store = store_new(TYPE, "s0", properties);
    f->region = region_new(f->store, PAGES);
    f->q = queue_new(f->region);
    return true;
}

static void servers_teardown(Servers *f)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
    main_loop_wait(true);
    for (int i = 0; i < 2; i++) {
        store_delete(f->stores[i]);
        server_process_free(f->servers[i]);
    }
}

static uint64_t errors_of(RemoteStore *store)
{
    RemoteStoreInfo *info = remote_store_query(store);
    uint64_t errors = info->errors;

    qapi_free_RemoteStoreInfo(info);
    return errors;
}

/*
 * If this fails, what has lost its contents is relied on: nobody has asked for
 * most of them before they are needed.
 */
static void test_restarted(void)
{
    Servers f;

    if (!servers_setup(&f, "0")) {
        return;
    }
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_put(f.q, page, 1, true), ==, REMOTE_STORE_OK);
    }
    for (int i = 0; i < 2; i++) {
        server_process_kill(f.servers[i]);
        g_assert_cmpint(do_put(f.q, 3, 1, false), ==, REMOTE_STORE_OK);
        g_assert_cmpint(status_of(f.store), ==, REMOTE_STORE_STATUS_DEGRADED);
        for (uint64_t page = 0; page < PAGES; page++) {
            g_assert_cmpint(do_get(f.q, page, 1), ==, REMOTE_STORE_OK);
        }
        server_process_restart(f.servers[i]);
        wait_connected(f.store);
    }
    servers_teardown(&f);
}

/* If this fails, a slow copy slows all, or ends up with something else. */
static void test_straggler(void)
{
    int64_t end = g_get_monotonic_time() + PATIENT_MS * 1000ll;
    Servers f;

    if (!servers_setup(&f, "1")) {
        return;
    }
    server_process_pause(f.servers[1]);
    g_assert_cmpint(do_put(f.q, 5, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f.q, 5, 1), ==, REMOTE_STORE_OK);
    /* It has not even been late. */
    g_assert_cmpuint(errors_of(f.stores[1]), ==, 0);
    server_process_resume(f.servers[1]);
    /* This one waits for the one before. */
    g_assert_cmpint(do_put(f.q, 5, 2, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(f.q, 5, 3, false), ==, REMOTE_STORE_OK);
    server_process_kill(f.servers[0]);
    /* The last one may be on its way to the copy that is left. */
    while (do_get(f.q, 5, 3) != REMOTE_STORE_OK) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
    servers_teardown(&f);
}

int main(int argc, char **argv)
{
    static const char three[] = "{'stores':['fault0','fault1','fault2']}";
    static const char two_of_three[] =
        "{'stores':['fault0','fault1','fault2'],'write-quorum':2}";
    static const struct {
        const char *path;
        void (*fn)(Fixture *f, gconstpointer opaque);
        const char *properties;
    } tests[] = {
        { "/remote-memory/store-mirror/one-fails", test_one_fails, three },
        { "/remote-memory/store-mirror/rebuilt", test_rebuilt, three },
        { "/remote-memory/store-mirror/corrupt", test_corrupt, three },
        { "/remote-memory/store-mirror/all-corrupt", test_all_corrupt, three },
        { "/remote-memory/store-mirror/all-fail", test_all_fail, three },
        { "/remote-memory/store-mirror/quorum", test_quorum, two_of_three },
        { "/remote-memory/store-mirror/torture", test_torture, three },
    };

    store_test_init(&argc, &argv);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_test_add(tests[i].path, Fixture, tests[i].properties, setup,
                   tests[i].fn, teardown);
    }
    g_test_add_func("/remote-memory/store-mirror/restarted", test_restarted);
    g_test_add_func("/remote-memory/store-mirror/straggler", test_straggler);
    g_test_add_func("/remote-memory/store-mirror/refused", test_refused);
    return g_test_run();
}
