/*
 * Unit tests: the store that injects faults
 *
 * What it does wrong is what the pager's tests rely on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/opts-visitor.h"
#include "qapi/qapi-visit-qom.h"
#include "qemu/option.h"
#include "qom/object_interfaces.h"
#include "remote-store-harness.h"

#define TYPE "remote-store-fault"
#define REGION_PAGES 4096
#define NR 1000

typedef struct Fixture {
    RemoteStore *below;
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

static void setup(Fixture *f, gconstpointer properties)
{
    f->below = store_new("remote-store-ram", "below0", "{}");
    f->store = store_new(TYPE, "s0", properties);
    f->region = region_new(f->store, REGION_PAGES);
    f->q = queue_new(f->region);
}

static void teardown(Fixture *f, gconstpointer properties)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
    store_delete(f->below);
}

static void set_rate(Fixture *f, const char *name, const char *rate)
{
    object_property_parse(OBJECT(f->store), name, rate, &error_abort);
}

/* Do @op with many pages at once; returns how many ended as @result. */
static unsigned run_many(Fixture *f, RemoteStoreOp op, uint32_t version,
                         RemoteStoreResult result, bool *which)
{
    g_autofree TestOp *ops = g_new0(TestOp, NR);
    unsigned nr = 0;

    for (int i = 0; i < NR; i++) {
        ops[i].op = op;
        ops[i].page = i;
        ops[i].version = version;
    }
    queue_run(f->q, ops, NR);
    for (int i = 0; i < NR; i++) {
        nr += ops[i].result == result;
        if (which) {
            which[i] = ops[i].result == result && !ops[i].flipped;
        }
        op_free(&ops[i]);
    }
    return nr;
}

/* A lost request that reached the store would not be a lost one. */
static void test_drop(Fixture *f, gconstpointer properties)
{
    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_OK, NULL),
                     ==, NR);
    set_rate(f, "drop-rate", "1");
    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 2, REMOTE_STORE_TIMEOUT,
                              NULL), ==, NR);
    g_assert_cmpuint(run_many(f, REMOTE_STORE_DISCARD, 0, REMOTE_STORE_TIMEOUT,
                              NULL), ==, NR);
    g_assert_cmpuint(run_many(f, REMOTE_STORE_GET, 1, REMOTE_STORE_TIMEOUT,
                              NULL), ==, NR);
    set_rate(f, "drop-rate", "0");
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(do_get(f->q, i, 1), ==, REMOTE_STORE_OK);
    }
}

/* Failed writes must have taken effect in some cases, and not in others. */
static void test_error(Fixture *f, gconstpointer properties)
{
    g_autofree bool *which = g_new0(bool, NR);
    unsigned nr_old = 0;

    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_OK, NULL),
                     ==, NR);
    set_rate(f, "error-rate", "1");
    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 2, REMOTE_STORE_FAILED,
                              NULL), ==, NR);
    g_assert_cmpuint(run_many(f, REMOTE_STORE_GET, 2, REMOTE_STORE_FAILED,
                              NULL), ==, NR);
    set_rate(f, "error-rate", "0");
    run_many(f, REMOTE_STORE_GET, 1, REMOTE_STORE_OK, which);
    for (int i = 0; i < NR; i++) {
        nr_old += which[i];
    }
    g_assert_cmpuint(nr_old, >, NR / 4);
    g_assert_cmpuint(nr_old, <, NR * 3 / 4);
}

/* One bit is the smallest error: who finds that, finds all. */
static void test_corrupt(Fixture *f, gconstpointer properties)
{
    g_autofree TestOp *ops = g_new0(TestOp, NR);

    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_OK, NULL),
                     ==, NR);
    set_rate(f, "corrupt-rate", "1");
    for (int i = 0; i < NR; i++) {
        ops[i] = (TestOp) { .op = REMOTE_STORE_GET, .page = i, .version = 1 };
    }
    queue_run(f->q, ops, NR);
    for (int i = 0; i < NR; i++) {
        g_assert_cmpint(ops[i].result, ==, REMOTE_STORE_OK);
        g_assert_cmpuint(ops[i].flipped, ==, 1);
    }
    set_rate(f, "corrupt-rate", "0");
    g_assert_cmpint(do_get(f->q, 0, 1), ==, REMOTE_STORE_OK);
}

/* How many bits of a page are not as they should be. */
static unsigned get_flipped(Fixture *f, uint64_t page)
{
    TestOp op = { .op = REMOTE_STORE_GET, .page = page, .version = 1 };

    queue_run(f->q, &op, 1);
    g_assert_cmpint(op.result, ==, REMOTE_STORE_OK);
    op_free(&op);
    return op.flipped;
}

/* Another page must come also to those who ask again for the same. */
static void test_swap(Fixture *f, gconstpointer properties)
{
    g_assert_cmpuint(run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_OK, NULL),
                     ==, NR);
    set_rate(f, "swap-rate", "1");
    g_assert_cmpuint(get_flipped(f, 0), ==, 0);
    g_assert_cmpuint(get_flipped(f, 0), ==, 0);
    for (int i = 1; i < 10; i++) {
        g_assert_cmpuint(get_flipped(f, i), >, 1);
        g_assert_cmpuint(get_flipped(f, i), >, 1);
    }
    set_rate(f, "swap-rate", "0");
    g_assert_cmpuint(get_flipped(f, 9), ==, 0);
}

/* What comes back must be a version of the page that once was right. */
static void test_replay(Fixture *f, gconstpointer properties)
{
    g_assert_cmpint(do_put(f->q, 0, 1, true), ==, REMOTE_STORE_OK);
    set_rate(f, "replay-rate", "1");
    g_assert_cmpint(do_get(f->q, 0, 1), ==, REMOTE_STORE_OK);
    for (int version = 2; version < 10; version++) {
        g_assert_cmpint(do_put(f->q, 0, version, false), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(f->q, 0, 2), ==, REMOTE_STORE_OK);
    }
    set_rate(f, "replay-rate", "0");
    g_assert_cmpint(do_get(f->q, 0, 9), ==, REMOTE_STORE_OK);
}

/* A run that cannot be repeated cannot be debugged. */
static void test_seed(Fixture *f, gconstpointer properties)
{
    g_autofree bool *first = g_new0(bool, NR);
    g_autofree bool *second = g_new0(bool, NR);
    unsigned nr;

    nr = run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_FAILED, first);
    g_assert_cmpuint(nr, >, NR / 5);
    g_assert_cmpuint(nr, <, NR / 2);
    run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_FAILED, second);
    g_assert_false(!memcmp(first, second, sizeof(bool) * NR));
    teardown(f, properties);
    setup(f, properties);
    run_many(f, REMOTE_STORE_PUT, 1, REMOTE_STORE_FAILED, second);
    g_assert_cmpmem(first, sizeof(bool) * NR, second, sizeof(bool) * NR);
}

/* Tests turn faults on and off under a guest that runs. */
static void test_live(Fixture *f, gconstpointer properties)
{
    for (int round = 0; round < 50; round++) {
        g_autofree TestOp *ops = g_new0(TestOp, NR);
        TestBatch *batch;

        for (int i = 0; i < NR; i++) {
            ops[i] = (TestOp) { .op = REMOTE_STORE_PUT, .page = i,
                                .version = 1 };
        }
        batch = queue_start(f->q, ops, NR);
        set_rate(f, "delay-us", round % 2 ? "50" : "2000");
        set_rate(f, "drop-rate", round % 3 ? "0.5" : "0");
        set_rate(f, "error-rate", round % 5 ? "0.1" : "0");
        batch_wait(batch);
        for (int i = 0; i < NR; i++) {
            op_free(&ops[i]);
        }
    }
}

/* A wrong rate must be refused, at the start and later. */
static void test_properties(void)
{
    RemoteStore *below = store_new("remote-store-ram", "below0", "{}");
    g_autofree char *rate = NULL;
    RemoteStore *store;
    Error *err = NULL;

    store_assert_refused(TYPE, "{}", "store 'bad0': property 'store'");
    store_assert_refused(TYPE, "{'store':'none'}", "'none' does not exist");
    store_assert_refused(TYPE, "{'store':'below0','error-rate':1.5}",
                         "property 'error-rate': 1.5 is not between 0 and 1");
    store_assert_refused(TYPE, "{'store':'below0','drop-rate':-1}",
                         "property 'drop-rate': -1 is not");
    /* A failed attempt must not hold the store behind. */
    g_assert_true(user_creatable_can_be_deleted(USER_CREATABLE(below)));
    store = store_new(TYPE, "s0", "{'store':'below0','drop-rate':0.1}");
    g_assert_false(user_creatable_can_be_deleted(USER_CREATABLE(below)));
    g_assert_false(object_property_parse(OBJECT(store), "drop-rate", "2",
                                         &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "store 's0': property "
                    "'drop-rate': 2 is not between 0 and 1");
    error_free(err);
    err = NULL;
    g_assert_false(object_property_set_str(OBJECT(store), "store", "s0",
                                           &err));
    error_free(err);
    rate = object_property_print(OBJECT(store), "drop-rate", false,
                                 &error_abort);
    g_assert_cmpfloat(g_ascii_strtod(rate, NULL), ==, 0.1);
    store_delete(store);
    g_assert_true(user_creatable_can_be_deleted(USER_CREATABLE(below)));
    store_delete(below);
}

/* Rates must be understood in all forms of -object, too. */
static void test_options(void)
{
    static QemuOptsList list = {
        .name = "object",
        .implied_opt_name = "qom-type",
        .head = QTAILQ_HEAD_INITIALIZER(list.head),
        .desc = { { /* any name */ } },
    };
    QemuOpts *opts = qemu_opts_parse(&list, TYPE ",id=s0,store=below0,"
                                     "drop-rate=0.25,error-rate=1e-3", true,
                                     &error_abort);
    Visitor *v = opts_visitor_new(opts);
    ObjectOptions *options;
    RemoteStoreFaultProperties *properties;

    visit_type_ObjectOptions(v, NULL, &options, &error_abort);
    properties = &options->u.remote_store_fault;
    g_assert_cmpfloat(properties->drop_rate, ==, 0.25);
    g_assert_cmpfloat(properties->error_rate, ==, 0.001);
    g_assert_false(properties->has_corrupt_rate);
    qapi_free_ObjectOptions(options);
    visit_free(v);
    qemu_opts_del(opts);
}

static void add(const char *path, const char *properties,
                void (*fn)(Fixture *f, gconstpointer properties))
{
    g_test_add(path, Fixture, properties, setup, fn, teardown);
}

int main(int argc, char **argv)
{
    store_test_init(&argc, &argv);
    add("/remote-store-fault/drop", "{'store':'below0'}", test_drop);
    add("/remote-store-fault/error", "{'store':'below0'}", test_error);
    add("/remote-store-fault/corrupt", "{'store':'below0'}", test_corrupt);
    add("/remote-store-fault/swap", "{'store':'below0'}", test_swap);
    add("/remote-store-fault/replay", "{'store':'below0'}", test_replay);
    add("/remote-store-fault/seed",
        "{'store':'below0','seed':5,'error-rate':0.3}", test_seed);
    add("/remote-store-fault/live", "{'store':'below0'}", test_live);
    g_test_add_func("/remote-store-fault/properties", test_properties);
    g_test_add_func("/remote-store-fault/options", test_options);
    return g_test_run();
}
