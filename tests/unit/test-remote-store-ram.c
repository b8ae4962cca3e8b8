/*
 * Unit tests: the store in this process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "qapi/error.h"
#include "remote-store-harness.h"

#define TYPE "remote-store-ram"
#define REGION_PAGES 4096

typedef struct Fixture {
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

static void setup(Fixture *f, gconstpointer properties)
{
    f->store = store_new(TYPE, "s0", properties);
    f->region = region_new(f->store, REGION_PAGES);
    f->q = queue_new(f->region);
}

static void teardown(Fixture *f, gconstpointer properties)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
}

/* A store that takes more than it may starves the host. */
static void test_full(Fixture *f, gconstpointer properties)
{
    for (uint64_t page = 0; page < 10; page++) {
        g_assert_cmpint(do_put(f->q, page * 3, 1, true), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_put(f->q, 99, 1, true), ==, REMOTE_STORE_NOSPACE);
    g_assert_cmpint(do_get(f->q, 99, 1), ==, REMOTE_STORE_MISSING);
    /* What is there can still be overwritten by what is not larger. */
    g_assert_cmpint(do_put(f->q, 3, 2, false), ==, REMOTE_STORE_OK);
    /* Room that is given back can be taken. */
    g_assert_cmpint(do_discard(f->q, 0), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(f->q, 99, 1, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(f->q, 0, 1, true), ==, REMOTE_STORE_NOSPACE);
    g_assert_cmpint(do_get(f->q, 3, 2), ==, REMOTE_STORE_OK);
}

/* Room that a region had must come back when it goes. */
static void test_full_detach(Fixture *f, gconstpointer properties)
{
    for (uint64_t page = 0; page < 10; page++) {
        g_assert_cmpint(do_put(f->q, page * 3, 1, true), ==, REMOTE_STORE_OK);
    }
    teardown(f, properties);
    setup(f, properties);
    test_full(f, properties);
}

/* @nr pages that do not compress, from page 300 on. */
static void put_raw(TestQueue *q, unsigned nr)
{
    while (nr--) {
        g_assert_cmpint(do_put(q, 300 + 3 * nr, 1, true), ==, REMOTE_STORE_OK);
    }
}

static void complete_nothing(RemoteStoreRequest *req)
{
}

static void submit_bh(void *opaque)
{
    void **args = opaque;
    RemoteStoreRequest *req = args[1];

    remote_store_submit(args[0], &req, 1);
}

/* Put other content than page_fill()'s. */
static RemoteStoreResult put_random(TestQueue *q, uint64_t page)
{
    RemoteStoreRequest req = { .op = REMOTE_STORE_PUT, .page = page,
                               .complete = complete_nothing };
    void *args[] = { q->queue, &req };

    req.buf = g_malloc(REMOTE_STORE_PAGE_SIZE);
    /* Page 0 is one that does not compress. */
    page_fill(req.buf, 0, 77);
    aio_wait_bh_oneshot(q->queue->ctx, submit_bh, args);
    g_free(req.buf);
    g_free(req.reason);
    return req.result;
}

/*
 * Overwriting a page that compresses with one that does not takes room: if
 * there is none, the old content must still be there.
 */
static void test_full_overwrite(Fixture *f, gconstpointer properties)
{
    g_assert_cmpint(do_put(f->q, 2, 1, true), ==, REMOTE_STORE_OK);
    put_raw(f->q, 9);
    g_assert_cmpint(put_random(f->q, 2), ==, REMOTE_STORE_NOSPACE);
    g_assert_cmpint(do_get(f->q, 2, 1), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_discard(f->q, 300), ==, REMOTE_STORE_OK);
    g_assert_cmpint(put_random(f->q, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(f->q, 2, 2, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(f->q, 2, 2), ==, REMOTE_STORE_OK);
}

/* Memory of pages that are discarded must go back to the host. */
static void test_give_back(Fixture *f, gconstpointer properties)
{
    enum { BATCH = 64 };
    const uint64_t size = (uint64_t)REGION_PAGES * REMOTE_STORE_PAGE_SIZE;
    const RemoteStoreOp sequence[] = { REMOTE_STORE_PUT, REMOTE_STORE_DISCARD };
    uint64_t resident[ARRAY_SIZE(sequence)];

    for (int i = 0; i < ARRAY_SIZE(sequence); i++) {
        for (uint64_t page = 0; page < REGION_PAGES; page += BATCH) {
            TestOp ops[BATCH];

            for (int j = 0; j < BATCH; j++) {
                ops[j] = (TestOp) { .op = sequence[i], .page = page + j,
                                    .version = 1, .fresh = true };
            }
            queue_run(f->q, ops, BATCH);
        }
        resident[i] = resident_bytes();
    }
    g_assert_cmpuint(resident[0], >, resident[1] + size / 2);
    g_assert_cmpint(do_get(f->q, 7, 1), ==, REMOTE_STORE_MISSING);
}

/* A typing error must not turn into another configuration. */
static void test_properties(void)
{
    RemoteStore *store;
    Error *err = NULL;

    store_assert_refused(TYPE, "{'compress':'gzip'}", "compress");
    store_assert_refused(TYPE, "{'max-size':4095}",
                         "store 'bad0': property 'max-size': 4095 is");
    store = store_new(TYPE, "s0", "{'max-size':8192,'compress':'zstd'}");
    g_assert_false(object_property_set_int(OBJECT(store), "max-size", 4096,
                                           &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "store 's0': property "
                    "'max-size' cannot be changed once the object exists");
    error_free(err);
    g_assert_cmpint(object_property_get_int(OBJECT(store), "max-size",
                                            &error_abort), ==, 8192);
    store_delete(store);
}

static void add(const char *path, const char *properties,
                void (*fn)(Fixture *f, gconstpointer properties))
{
    g_test_add(path, Fixture, properties, setup, fn, teardown);
}

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    add("/remote-store-ram/full", "{'max-size':40960}", test_full);
    add("/remote-store-ram/full-lz4",
        "{'max-size':40960,'compress':'lz4'}", test_full);
    add("/remote-store-ram/full-detach", "{'max-size':40960}",
        test_full_detach);
    add("/remote-store-ram/full-detach-zstd",
        "{'max-size':40960,'compress':'zstd'}", test_full_detach);
    add("/remote-store-ram/full-overwrite-lz4",
        "{'max-size':40000,'compress':'lz4'}", test_full_overwrite);
    add("/remote-store-ram/give-back", "{}", test_give_back);
    g_test_add_func("/remote-store-ram/properties", test_properties);
    return g_test_run();
}
