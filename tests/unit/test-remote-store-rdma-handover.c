/*
 * Unit tests: handing pages over that are on a memory server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "rdma-world.h"

/* Another process, as far as the server can tell: a store of its own. */
typedef struct Heir {
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Heir;

static GByteArray *save(World *w)
{
    return remote_store_save(w->region, &error_abort);
}

static void heir_init(Heir *h, World *w, GByteArray *state)
{
    h->store = world_store("s1", 10000);
    h->region = remote_store_inherit(h->store, &w->region->uuid,
                                     REGION_PAGES, state, &error_abort);
    h->q = queue_new(h->region);
}

static void heir_free(Heir *h)
{
    queue_free(h->q);
    remote_store_detach(h->region);
    store_delete(h->store);
}

/* Pages of a queue of its own, and others by another queue; both marks. */
static void put_all(World *w)
{
    TestQueue *other = queue_new(w->region);

    for (uint64_t page = 0; page < 100; page++) {
        g_assert_cmpint(do_put(w->q, page, 1, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_put(other, 200 + page, 2, true), ==,
                        REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_discard(w->q, 99), ==, REMOTE_STORE_OK);
    queue_free(other);
    for (unsigned i = 0; i < w->region->nr_marks; i++) {
        g_assert_cmpint(do_put(w->q, REGION_PAGES + i, 3, true), ==,
                        REMOTE_STORE_OK);
    }
}

static void assert_all(TestQueue *q)
{
    for (uint64_t page = 0; page < 99; page++) {
        g_assert_cmpint(do_get(q, page, 1), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(q, 200 + page, 2), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_get(q, 99, 1), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_get(q, 100, 1), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_get(q, REGION_PAGES, 3), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, REGION_PAGES + 1, 3), ==, REMOTE_STORE_OK);
}

/*
 * Two processes are connected to a namespace at the same time, and neither ends
 * what the other has, however often one comes and goes.
 */
static void test_heir_gone(void)
{
    g_autoptr(GByteArray) state = NULL;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    put_all(&w);
    /* The marks do not take a slab of the whole size. */
    world_assert_stat(&w, "used", 4 * SLAB_PAGES * REMOTE_STORE_PAGE_SIZE +
                      REMOTE_STORE_MARKS * REMOTE_STORE_PAGE_SIZE);
    state = save(&w);
    for (int i = 0; i < 2; i++) {
        Heir h;

        heir_init(&h, &w, state);
        assert_all(h.q);
        assert_all(w.q);
        g_assert_cmpint(do_put(h.q, REGION_PAGES + 1, 3, false), ==,
                        REMOTE_STORE_OK);
        h.region->left = true;
        heir_free(&h);
        assert_all(w.q);
    }
    world_assert_stat(&w, "released", 0);
    /* The queue, one more, and one of each heir. */
    world_assert_stat(&w, "accepted", 4);
    g_assert_cmpint(do_put(w.q, 100, 4, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(world_status(&w), ==, REMOTE_STORE_STATUS_CONNECTED);
    world_free(&w);
}

/* Who has the namespace at the end gives it back, and only then it goes. */
static void test_heir_stays(void)
{
    g_autoptr(GByteArray) state = NULL;
    World w;
    Heir h;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    put_all(&w);
    state = save(&w);
    heir_init(&h, &w, state);
    queue_free(w.q);
    w.region->left = true;
    remote_store_detach(w.region);
    world_assert_stat(&w, "released", 0);
    assert_all(h.q);
    g_assert_cmpint(do_put(h.q, 5, 7, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(h.q, 2000, 7, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(h.q, 5, 7), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(h.q, 2000, 7), ==, REMOTE_STORE_OK);
    heir_free(&h);
    world_assert_stat(&w, "released", 1);
    world_assert_stat(&w, "used", 0);
    store_delete(w.store);
    server_process_free(w.server);
}

static void assert_no_heir(World *w, RemoteStore *store, GByteArray *state,
                           const char *what)
{
    IOThread *iothread = iothread_create("refused", &error_abort);
    RemoteStoreRegion *region;
    Error *err = NULL;

    region = remote_store_inherit(store, &w->region->uuid, REGION_PAGES,
                                  state, &err);
    if (region) {
        g_assert_null(remote_store_open(region,
                                        iothread_get_aio_context(iothread),
                                        &err));
        region->left = true;
        remote_store_detach(region);
    }
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    error_free(err);
    iothread_destroy(iothread);
}

/* Pages that are gone are not taken for there, nor nonsense for pages. */
static void test_heir_refused(void)
{
    g_autoptr(GByteArray) state = NULL;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    put_all(&w);
    state = save(&w);
    server_process_kill(w.server);
    server_process_restart(w.server);
    assert_no_heir(&w, w.store, state, "or it has forgotten them");
    g_byte_array_set_size(state, state->len - 1);
    assert_no_heir(&w, w.store, state, "makes no sense");
    world_free(&w);
}

/*
 * A queue that has gone with its connection broken may have left something
 * that is late.  It is not handed over before the server has ended that.
 */
static void test_late(void)
{
    g_autoptr(GByteArray) state = NULL;
    Error *err = NULL;
    TestQueue *other;
    World w;

    if (!world_init(&w, "--limit 16M", 3000)) {
        return;
    }
    put_all(&w);
    other = queue_new(w.region);
    world_assert_stat(&w, "accepted", 3);
    server_process_pause(w.server);
    g_assert_cmpint(do_put(other, 10 * SLAB_PAGES, 3, true), ==,
                    REMOTE_STORE_TIMEOUT);
    queue_free(other);
    g_assert_null(remote_store_save(w.region, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "no answer"));
    error_free(err);
    server_process_resume(w.server);
    for (int i = 0; !(state = remote_store_save(w.region, NULL)); i++) {
        g_assert_cmpint(i, <, WORLD_TRIES);
        g_usleep(100000);
    }
    assert_all(w.q);
    world_free(&w);
}

/*
 * A mark is there whatever became of its last put; else nobody could tell who
 * has the pages.
 */
static void test_marks(void)
{
    enum { NR = 500 };
    g_autofree TestOp *ops = g_new0(TestOp, NR);
    RemoteStoreRegion *thief;
    TestBatch *batch;
    TestQueue *q;
    World w;

    if (!world_init(&w, "--limit 16M", 10000)) {
        return;
    }
    put_all(&w);
    for (int i = 0; i < NR; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_PUT, .page = 300 + i,
                            .version = 3, .fresh = true };
    }
    ops[NR / 2].page = REGION_PAGES;
    ops[NR - 1].page = REGION_PAGES + 1;
    thief = remote_store_attach(w.store, &w.region->uuid, REGION_PAGES,
                                &error_abort);
    batch = queue_start(w.q, ops, NR);
    q = queue_new(thief);
    batch_wait(batch);
    for (int i = 0; i < NR; i++) {
        op_free(&ops[i]);
    }
    queue_free(q);
    world_put_again(&w, 2000, 1);
    assert_all(w.q);
    thief->left = true;
    remote_store_detach(thief);
    world_free(&w);
}

void rdma_handover_tests(void)
{
    g_test_add_func("/remote-store-rdma/heir-gone", test_heir_gone);
    g_test_add_func("/remote-store-rdma/heir-stays", test_heir_stays);
    g_test_add_func("/remote-store-rdma/heir-refused", test_heir_refused);
    g_test_add_func("/remote-store-rdma/late", test_late);
    g_test_add_func("/remote-store-rdma/marks", test_marks);
}
