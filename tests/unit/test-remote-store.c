/*
 * Unit tests: what every store has to do
 *
 * One suite, run over all drivers, and over all filters on each of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/memalign.h"
#include "qom/object_interfaces.h"
#include "remote-store-harness.h"
#include "test-store.h"

#define REGION_PAGES 4096
#define MAX_BATCH 64

/* A store under test. */
typedef struct Kind {
    const char *driver;
    const char *filter;
} Kind;

/* @store is NULL if the machine lacks what it takes. */
typedef struct Fixture {
    TestStore *all;
    RemoteStore *store;
} Fixture;

static void setup(Fixture *f, gconstpointer opaque)
{
    const Kind *kind = opaque;

    f->all = test_store_new(kind->driver, kind->filter);
    f->store = f->all ? test_store_get(f->all) : NULL;
}

static void teardown(Fixture *f, gconstpointer opaque)
{
    test_store_free(f->all);
}

/* A page that does not come back as it was put corrupts the guest. */
static void test_page(Fixture *f, gconstpointer opaque)
{
    g_autofree char *reason = NULL;
    RemoteStoreRegion *region;
    TestQueue *q;

    if (!f->store) {
        return;
    }
    region = region_new(f->store, REGION_PAGES);
    q = queue_new(region);
    for (uint64_t page = 0; page < 6; page++) {
        g_assert_cmpint(do_get(q, page, 1), ==, REMOTE_STORE_MISSING);
        g_assert_cmpint(do_discard(q, page), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_put(q, page, 1, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(q, page, 1), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_put(q, page, 2, false), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(q, page, 2), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(q, page, 2), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_discard(q, 3), ==, REMOTE_STORE_OK);
    reason = do_get_reason(q, 3, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_get(q, 2, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, 4, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(q, REGION_PAGES - 1, 7, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, REGION_PAGES - 1, 7), ==, REMOTE_STORE_OK);
    queue_free(q);
    remote_store_detach(region);
}

/*
 * What a queue's pages should be: @versions[i] is that of page @first +
 * i * @step, 0 if the store does not have it.
 */
typedef struct Model {
    GRand *rand;
    uint64_t first;
    uint64_t step;
    uint32_t next_version;
    uint32_t versions[MAX_BATCH * 2];
} Model;

static void model_init(Model *m, uint32_t seed, uint64_t first, uint64_t step)
{
    *m = (Model) { .rand = g_rand_new_with_seed(seed), .first = first,
                   .step = step };
}

/* @nr random requests for different pages, in random order. */
static void model_ops(Model *m, TestOp *ops, size_t nr)
{
    const size_t nr_pages = ARRAY_SIZE(m->versions);
    uint32_t at = g_rand_int_range(m->rand, 0, nr_pages);
    /* Odd, so that it comes around to each. */
    uint32_t stride = g_rand_boolean(m->rand) ? 1 :
                      g_rand_int_range(m->rand, 0, nr_pages) | 1;

    for (size_t i = 0; i < nr; i++) {
        ops[i] = (TestOp) {
            .op = g_rand_int_range(m->rand, 0, 3),
            .page = m->first + at * m->step,
            .version = m->versions[at],
            .fresh = !m->versions[at],
            .background = g_rand_boolean(m->rand),
        };
        if (ops[i].op == REMOTE_STORE_PUT) {
            ops[i].version = m->versions[at] = ++m->next_version;
        } else if (ops[i].op == REMOTE_STORE_DISCARD) {
            m->versions[at] = 0;
        }
        at = (at + stride) % nr_pages;
    }
}

static void model_check(TestOp *ops, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        bool missing = ops[i].op == REMOTE_STORE_GET && !ops[i].version;

        g_assert_cmpint(ops[i].result, ==,
                        missing ? REMOTE_STORE_MISSING : REMOTE_STORE_OK);
        g_assert_cmpuint(ops[i].flipped, ==, 0);
        op_free(&ops[i]);
    }
}

/* Requests in one batch must not get into each other's way. */
static void test_batches(Fixture *f, gconstpointer opaque)
{
    RemoteStoreRegion *region;
    TestQueue *q;
    Model m;

    if (!f->store) {
        return;
    }
    region = region_new(f->store, REGION_PAGES);
    q = queue_new(region);
    model_init(&m, 1, 100, 1);
    for (size_t nr = 1; nr <= MAX_BATCH; nr++) {
        TestOp ops[MAX_BATCH];

        model_ops(&m, ops, nr);
        queue_run(q, ops, nr);
        model_check(ops, nr);
    }
    g_rand_free(m.rand);
    queue_free(q);
    remote_store_detach(region);
}

/* Shards work at the same time, on pages that lie between each other. */
static void test_queues(Fixture *f, gconstpointer opaque)
{
    enum { QUEUES = 4, ROUNDS = 100 };
    RemoteStoreRegion *region;
    TestQueue *queues[QUEUES];
    Model models[QUEUES];

    if (!f->store) {
        return;
    }
    region = region_new(f->store, REGION_PAGES);
    for (int i = 0; i < QUEUES; i++) {
        queues[i] = queue_new(region);
        model_init(&models[i], i, i, QUEUES);
    }
    for (int round = 0; round < ROUNDS; round++) {
        TestOp ops[QUEUES][MAX_BATCH];
        TestBatch *batches[QUEUES];
        size_t nr = 1 + round % MAX_BATCH;

        for (int i = 0; i < QUEUES; i++) {
            model_ops(&models[i], ops[i], nr);
            batches[i] = queue_start(queues[i], ops[i], nr);
        }
        for (int i = 0; i < QUEUES; i++) {
            batch_wait(batches[i]);
            model_check(ops[i], nr);
        }
    }
    for (int i = 0; i < QUEUES; i++) {
        g_rand_free(models[i].rand);
        queue_free(queues[i]);
    }
    remote_store_detach(region);
}

/* Two VMs that share a store must never see each other's pages. */
static void test_regions(Fixture *f, gconstpointer opaque)
{
    RemoteStoreRegion *regions[2];
    TestQueue *queues[2];

    if (!f->store) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        regions[i] = region_new(f->store, REGION_PAGES);
        queues[i] = queue_new(regions[i]);
    }
    g_assert_cmpint(do_put(queues[0], 5, 10, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(queues[1], 5, 10), ==, REMOTE_STORE_MISSING);
    g_assert_cmpint(do_put(queues[1], 5, 11, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_put(queues[1], 6, 12, true), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(queues[0], 5, 10), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_discard(queues[0], 6), ==, REMOTE_STORE_OK);
    queue_free(queues[0]);
    remote_store_detach(regions[0]);
    g_assert_cmpint(do_get(queues[1], 5, 11), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(queues[1], 6, 12), ==, REMOTE_STORE_OK);
    queue_free(queues[1]);
    remote_store_detach(regions[1]);
}

static void assert_info(RemoteStore *store, uint64_t pages, uint64_t read,
                        uint64_t written, uint64_t errors)
{
    RemoteStoreInfo *info = remote_store_query(store);

    g_assert_cmpstr(info->id, ==, "s0");
    g_assert_cmpint(info->status, ==, REMOTE_STORE_STATUS_CONNECTED);
    g_assert_cmpuint(info->pages, ==, pages);
    g_assert_cmpuint(info->bytes_read, ==, read * REMOTE_STORE_PAGE_SIZE);
    g_assert_cmpuint(info->bytes_written, ==,
                     written * REMOTE_STORE_PAGE_SIZE);
    g_assert_cmpuint(info->errors, ==, errors);
    qapi_free_RemoteStoreInfo(info);
}

/* Operators watch the counters; they outlive queues, but not the pages. */
static void test_counters(Fixture *f, gconstpointer opaque)
{
    RemoteStoreRegion *region;
    TestQueue *q, *q2;

    if (!f->store) {
        return;
    }
    assert_info(f->store, 0, 0, 0, 0);
    region = region_new(f->store, REGION_PAGES);
    q = queue_new(region);
    q2 = queue_new(region);
    for (uint64_t page = 0; page < 10; page++) {
        g_assert_cmpint(do_put(q, page, 1, true), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_put(q, 0, 2, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, 0, 2), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, 99, 2), ==, REMOTE_STORE_MISSING);
    assert_info(f->store, 10, 1, 11, 1);
    queue_free(q);
    assert_info(f->store, 10, 1, 11, 1);
    g_assert_cmpint(do_discard(q2, 4), ==, REMOTE_STORE_OK);
    assert_info(f->store, 9, 1, 11, 1);
    queue_free(q2);
    remote_store_detach(region);
    assert_info(f->store, 0, 1, 11, 1);
}

/* A store that is in use must stay. */
static void test_deletion(Fixture *f, gconstpointer opaque)
{
    UserCreatable *uc;
    RemoteStoreRegion *region;

    if (!f->store) {
        return;
    }
    uc = USER_CREATABLE(f->store);
    g_assert_true(user_creatable_can_be_deleted(uc));
    region = region_new(f->store, REGION_PAGES);
    g_assert_false(user_creatable_can_be_deleted(uc));
    remote_store_detach(region);
    g_assert_true(user_creatable_can_be_deleted(uc));
    for (unsigned i = 0; test_store_behind(f->all, i); i++) {
        uc = USER_CREATABLE(test_store_behind(f->all, i));
        g_assert_false(user_creatable_can_be_deleted(uc));
    }
}

/* Memory must be paid for when it is used: 1 TiB attaches at no cost. */
static void test_large(Fixture *f, gconstpointer opaque)
{
    const uint64_t nr_pages = 1ull << 28;
    uint64_t before = resident_bytes();
    RemoteStoreRegion *region;
    TestQueue *q;

    if (!f->store) {
        return;
    }
    region = region_new(f->store, nr_pages);
    q = queue_new(region);
    for (uint64_t page = nr_pages - 1; page; page >>= 1) {
        g_assert_cmpint(do_put(q, page, 3, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(q, page, 3), ==, REMOTE_STORE_OK);
    }
    g_assert_cmpint(do_get(q, 1ull << 27, 3), ==, REMOTE_STORE_MISSING);
#ifndef QEMU_SANITIZE_ADDRESS
    g_assert_cmpuint(resident_bytes(), <, before + 32 * 1024 * 1024);
#endif
    queue_free(q);
    remote_store_detach(region);
}

/* A completion that submits the next request, from the same array. */
typedef struct Chain {
    RemoteStoreRequest req;
    RemoteStoreRequest *array[1];
    RemoteStoreQueue *queue;
    unsigned nr_left;
    QemuEvent done;
} Chain;

static void chain_complete(RemoteStoreRequest *req)
{
    Chain *chain = container_of(req, Chain, req);

    g_assert_cmpint(req->result, ==, REMOTE_STORE_OK);
    if (!chain->nr_left--) {
        qemu_event_set(&chain->done);
        return;
    }
    req->op = (req->op + 1) % 3;
    if (req->op == REMOTE_STORE_GET) {
        req->op = REMOTE_STORE_PUT;
    }
    remote_store_submit(chain->queue, chain->array, 1);
}

static void chain_bh(void *opaque)
{
    Chain *chain = opaque;

    remote_store_submit(chain->queue, chain->array, 1);
}

/* A pager goes on from one request to the next in a completion. */
static void test_chain(Fixture *f, gconstpointer opaque)
{
    RemoteStoreRegion *region;
    TestQueue *q;
    Chain chain = { .nr_left = 50 };

    if (!f->store) {
        return;
    }
    region = region_new(f->store, REGION_PAGES);
    q = queue_new(region);
    qemu_event_init(&chain.done, false);
    chain.queue = q->queue;
    chain.array[0] = &chain.req;
    chain.req.op = REMOTE_STORE_PUT;
    chain.req.complete = chain_complete;
    chain.req.buf = qemu_memalign(REMOTE_STORE_PAGE_SIZE,
                                  REMOTE_STORE_PAGE_SIZE);
    page_fill(chain.req.buf, 0, 1);
    aio_bh_schedule_oneshot(q->queue->ctx, chain_bh, &chain);
    qemu_event_wait(&chain.done);
    qemu_vfree(chain.req.buf);
    qemu_event_destroy(&chain.done);
    queue_free(q);
    remote_store_detach(region);
}

static const struct {
    const char *name;
    void (*fn)(Fixture *f, gconstpointer opaque);
} tests[] = {
    { "page", test_page },
    { "batches", test_batches },
    { "queues", test_queues },
    { "regions", test_regions },
    { "counters", test_counters },
    { "deletion", test_deletion },
    { "large", test_large },
    { "chain", test_chain },
};

/* The first @nr tests. */
static void add_kind(const char *driver, const char *filter, int nr)
{
    /* Never freed: the tests refer to it. */
    Kind *kind = g_new(Kind, 1);

    *kind = (Kind) { driver, filter };
    for (int i = 0; i < nr; i++) {
        g_autofree char *path =
            g_strdup_printf("/remote-store/%s%s%s/%s", filter ?: "",
                            filter ? "-on-" : "", driver, tests[i].name);

        g_test_add(path, Fixture, kind, setup, tests[i].fn, teardown);
    }
}

/* Every driver, and every filter on every driver. */
int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    for (int i = 0; test_store_drivers[i]; i++) {
        const char *driver = test_store_drivers[i];

        if (!test_store_wanted(driver)) {
            /* One that is skipped says so. */
            add_kind(driver, NULL, 1);
            continue;
        }
        add_kind(driver, NULL, ARRAY_SIZE(tests));
        for (int j = 0; test_store_filters[j]; j++) {
            add_kind(driver, test_store_filters[j], ARRAY_SIZE(tests));
        }
    }
    return g_test_run();
}
