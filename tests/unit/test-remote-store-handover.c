/*
 * Unit tests: a pool and a mirror whose pages are handed over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "remote-store-harness.h"
#include "shared-store.h"

#define STRIPE "remote-store-stripe"
#define MIRROR "remote-store-mirror"

#define NR_SHARED 3
#define PAGES 1000

/* Their number differs from side to side, and so does whose a page is. */
#define MAX_QUEUES 3

/* For what a round of rebuilding brings, on a machine that is busy. */
#define PATIENT_MS 60000
/* Longer than it takes the rebuilding to begin. */
#define ROUND_US (1000 * 1000)

typedef struct Side Side;

/* What a queue is told, to find out which pages are its own. */
typedef struct GoOn {
    const Side *side;
    TestQueue *q;
    QemuEvent done;
} GoOn;

/* A process that has the pages, or had them. */
struct Side {
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *queues[MAX_QUEUES];
    GoOn go_on[MAX_QUEUES];
    unsigned nr;
};

typedef struct Fixture {
    const char *type;
    SharedStore *shared[NR_SHARED];
    Side from;
    Side to;
} Fixture;

static const char all[] = "{'stores':['shared0','shared1','shared2']}";

static TestQueue *queue_of(const Side *side, uint64_t page)
{
    return side->queues[page % side->nr];
}

static void side_open(Side *side, unsigned nr)
{
    side->nr = nr;
    for (unsigned i = 0; i < nr; i++) {
        side->queues[i] = queue_new(side->region);
    }
}

static void side_close(Side *side)
{
    for (unsigned i = 0; i < side->nr; i++) {
        queue_free(side->queues[i]);
    }
    remote_store_detach(side->region);
    store_delete(side->store);
    /* Events about its status keep it. */
    main_loop_wait(true);
    *side = (Side) { 0 };
}

static void put_all(const Side *side, uint32_t version)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_put(queue_of(side, page), page, version, false), ==,
                        REMOTE_STORE_OK);
    }
}

static void get_all(const Side *side, uint32_t version)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_get(queue_of(side, page), page, version), ==,
                        REMOTE_STORE_OK);
    }
}

static RemoteStoreResult put_mark(const Side *side, unsigned which,
                                  uint32_t version)
{
    return do_put(side->queues[0], PAGES + which, version, true);
}

static RemoteStoreResult get_mark(const Side *side, unsigned which,
                                  uint32_t version)
{
    return do_get(side->queues[0], PAGES + which, version);
}

static void offer(Fixture *f)
{
    for (unsigned i = 0; i < REMOTE_STORE_MARKS; i++) {
        g_assert_cmpint(put_mark(&f->from, i, 1), ==, REMOTE_STORE_OK);
    }
}

static RemoteStoreRegion *inherit(Fixture *f, RemoteStore *store,
                                  const void *data, size_t size, Error **errp)
{
    g_autoptr(GByteArray) state = g_byte_array_new();

    g_byte_array_append(state, data, size);
    return remote_store_inherit(store, &f->from.region->uuid, PAGES, state,
                                errp);
}

static void hand_over(Fixture *f)
{
    g_autoptr(GByteArray) state = NULL;

    offer(f);
    state = remote_store_save(f->from.region, &error_abort);
    f->to.store = store_new(f->type, "to", all);
    f->to.region = inherit(f, f->to.store, state->data, state->len,
                           &error_abort);
    side_open(&f->to, 3);
}

static bool uses(void *opaque, uint64_t page)
{
    GoOn *go_on = opaque;

    g_assert_cmpuint(page, <, PAGES);
    return queue_of(go_on->side, page) == go_on->q;
}

static void go_on_bh(void *opaque)
{
    GoOn *go_on = opaque;

    remote_store_go_on(go_on->q->queue, uses, go_on);
    qemu_event_set(&go_on->done);
}

/* Its VM runs. */
static void side_go_on(Side *side)
{
    for (unsigned i = 0; i < side->nr; i++) {
        GoOn *go_on = &side->go_on[i];

        go_on->side = side;
        go_on->q = side->queues[i];
        qemu_event_init(&go_on->done, false);
        aio_bh_schedule_oneshot(go_on->q->queue->ctx, go_on_bh, go_on);
        qemu_event_wait(&go_on->done);
        qemu_event_destroy(&go_on->done);
    }
}

static void setup(Fixture *f, gconstpointer type)
{
    f->type = type;
    for (int i = 0; i < NR_SHARED; i++) {
        g_autofree char *id = g_strdup_printf("shared%d", i);

        f->shared[i] = shared_store_new(id);
    }
    f->from.store = store_new(type, "from", all);
    f->from.region = region_new(f->from.store, PAGES);
    side_open(&f->from, 2);
}

static void teardown(Fixture *f, gconstpointer type)
{
    if (f->to.store) {
        side_close(&f->to);
    }
    side_close(&f->from);
    for (int i = 0; i < NR_SHARED; i++) {
        store_delete(&f->shared[i]->parent_obj);
    }
}

/* Both */

/* If this fails, pages are lost when they are handed over. */
static void test_pages(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    g_assert_cmpint(do_discard(queue_of(&f->from, 7), 7), ==, REMOTE_STORE_OK);
    hand_over(f);
    g_assert_cmpint(do_get(queue_of(&f->to, 7), 7, 1), ==,
                    REMOTE_STORE_MISSING);
    g_assert_cmpint(do_put(queue_of(&f->to, 7), 7, 1, true), ==,
                    REMOTE_STORE_OK);
    get_all(&f->to, 1);
    side_go_on(&f->to);
    put_all(&f->to, 2);
    get_all(&f->to, 2);
    g_assert_cmpint(do_discard(queue_of(&f->to, 8), 8), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(queue_of(&f->to, 8), 8, 2), ==,
                    REMOTE_STORE_MISSING);
}

/* If this fails, one side cannot read what the other has noted. */
static void test_marks(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    hand_over(f);
    for (unsigned i = 0; i < REMOTE_STORE_MARKS; i++) {
        g_assert_cmpint(get_mark(&f->to, i, 1), ==, REMOTE_STORE_OK);
        g_assert_cmpint(put_mark(&f->to, i, 2), ==, REMOTE_STORE_OK);
        g_assert_cmpint(get_mark(&f->from, i, 2), ==, REMOTE_STORE_OK);
    }
    get_all(&f->to, 1);
}

/* If this fails, a source can make its destination read what it should not. */
static void test_malformed(Fixture *f, gconstpointer type)
{
    g_autoptr(GByteArray) state = NULL;
    const uint8_t more = 0;

    put_all(&f->from, 1);
    offer(f);
    state = remote_store_save(f->from.region, &error_abort);
    f->to.store = store_new(f->type, "to", all);
    f->to.region = region_new(f->to.store, PAGES);
    for (size_t size = 0; size < state->len; size++) {
        g_assert_null(inherit(f, f->to.store, state->data, size, NULL));
    }
    for (int i = 0; i < 1000; i++) {
        g_autofree uint8_t *other = g_memdup2(state->data, state->len);

        for (int k = 0; k < 3; k++) {
            other[g_test_rand_int_range(0, state->len)] =
                g_test_rand_int_range(0, 256);
        }
        remote_store_detach(inherit(f, f->to.store, other, state->len, NULL));
    }
    g_byte_array_append(state, &more, sizeof(more));
    g_assert_null(inherit(f, f->to.store, state->data, state->len, NULL));
}

static void assert_not_inherited(Fixture *f, const char *properties,
                                 const char *what)
{
    g_autoptr(GByteArray) state = remote_store_save(f->from.region,
                                                    &error_abort);
    RemoteStore *store = store_new(f->type, "other", properties);
    Error *err = NULL;

    g_assert_null(inherit(f, store, state->data, state->len, &err));
    g_test_message("%s", error_get_pretty(err));
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    error_free(err);
    store_delete(store);
}

/* If this fails, pages are looked for where they are not. */
static void test_other_stores(Fixture *f, gconstpointer type)
{
    offer(f);
    assert_not_inherited(f, "{'stores':['shared1','shared0','shared2']}",
                         "'shared0', remote-store-shared 'shared1', ");
    assert_not_inherited(f, "{'stores':['shared0','shared1']}", "'shared2'");
}

/* If this fails, a migration begins that cannot end. */
static void test_cannot(Fixture *f, gconstpointer type)
{
    RemoteStore *ram = store_new("remote-store-ram", "ram0", "{}");
    RemoteStore *store = store_new(type, "s0",
                                   "{'stores':['shared0','ram0']}");
    RemoteStoreRegion *region = region_new(store, PAGES);
    Error *err = NULL;

    g_assert_false(remote_store_check_save(region, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "'ram0'"));
    error_free(err);
    remote_store_detach(region);
    store_delete(store);
    store_delete(ram);
}

/* Pools */

/* If this fails, the two sides do not agree on where a page is. */
static void test_weights(Fixture *f, gconstpointer type)
{
    f->shared[0]->capacity = 1 << 30;
    f->shared[1]->capacity = 1 << 29;
    assert_not_inherited(f, all, "in another way");
}

/* If this fails, who has the pages is not where the other side looks for it. */
static void test_first_has_marks(Fixture *f, gconstpointer type)
{
    uint64_t writes[NR_SHARED];

    for (int i = 0; i < NR_SHARED; i++) {
        writes[i] = shared_store_writes(f->shared[i]);
    }
    offer(f);
    g_assert_cmpuint(shared_store_writes(f->shared[0]), ==,
                     writes[0] + REMOTE_STORE_MARKS);
    for (int i = 1; i < NR_SHARED; i++) {
        g_assert_cmpuint(shared_store_writes(f->shared[i]), ==, writes[i]);
    }
}

/* Mirrors */

static void set_fails(Fixture *f, unsigned copy, bool fails)
{
    qatomic_set(&f->shared[copy]->fails, fails);
}

static RemoteStoreStatus status_of(RemoteStore *store)
{
    RemoteStoreInfo *info = remote_store_query(store);
    RemoteStoreStatus status = info->status;

    qapi_free_RemoteStoreInfo(info);
    return status;
}

static void wait_connected(RemoteStore *store)
{
    int64_t end = g_get_monotonic_time() + PATIENT_MS * 1000ll;

    while (status_of(store) != REMOTE_STORE_STATUS_CONNECTED) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(10000);
    }
}

/* If this fails, a copy is forgotten when it is handed over. */
static void test_copies(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    hand_over(f);
    g_assert_cmpint(status_of(f->to.store), ==, REMOTE_STORE_STATUS_CONNECTED);
    for (int i = 0; i < NR_SHARED; i++) {
        for (int k = 0; k < NR_SHARED; k++) {
            set_fails(f, k, k != i);
        }
        get_all(&f->to, 1);
    }
    for (int i = 0; i < NR_SHARED; i++) {
        set_fails(f, i, false);
    }
}

/*
 * If this fails, both sides may run: each has written to a copy that the other
 * one does not see.
 */
static void test_voters(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    hand_over(f);
    for (int i = 0; i < NR_SHARED; i++) {
        set_fails(f, i, true);
        g_assert_cmpint(put_mark(&f->to, 1, 2), ==, REMOTE_STORE_FAILED);
        g_assert_cmpint(put_mark(&f->from, 0, 2), ==, REMOTE_STORE_FAILED);
        /* What a whole copy says is true. */
        g_assert_cmpint(get_mark(&f->from, 1, 2), ==, REMOTE_STORE_OK);
        g_assert_cmpint(get_mark(&f->to, 0, 2), ==, REMOTE_STORE_OK);
        set_fails(f, i, false);
    }
    g_assert_cmpint(put_mark(&f->to, 1, 3), ==, REMOTE_STORE_OK);
    g_assert_cmpint(get_mark(&f->from, 1, 3), ==, REMOTE_STORE_OK);
}

/* If this fails, something is written that the other side does not know of. */
static void assert_quiet(Fixture *f)
{
    uint64_t writes[NR_SHARED];

    for (int i = 0; i < NR_SHARED; i++) {
        writes[i] = shared_store_writes(f->shared[i]);
    }
    g_usleep(ROUND_US);
    for (int i = 0; i < NR_SHARED; i++) {
        g_assert_cmpuint(shared_store_writes(f->shared[i]), ==, writes[i]);
    }
}

static void assert_all_there(const Side *side, Fixture *f, unsigned copy,
                             uint32_t version)
{
    for (unsigned i = 0; i < NR_SHARED; i++) {
        set_fails(f, i, i != copy);
    }
    get_all(side, version);
}

/*
 * If this fails, a mirror with a dead copy cannot go elsewhere; or it never
 * becomes whole again there; or the copy has a say although it knows nothing.
 */
static void test_dead_copy(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    set_fails(f, 2, true);
    hand_over(f);
    g_assert_cmpint(status_of(f->to.store), ==, REMOTE_STORE_STATUS_DEGRADED);
    g_assert_cmpint(put_mark(&f->to, 1, 2), ==, REMOTE_STORE_OK);
    set_fails(f, 2, false);
    g_assert_cmpint(put_mark(&f->to, 1, 3), ==, REMOTE_STORE_OK);
    assert_quiet(f);
    g_assert_false(shared_store_has(f->shared[2], PAGES + 1));
    /* That it has something is no reason to believe it. */
    get_all(&f->to, 1);
    side_go_on(&f->to);
    wait_connected(f->to.store);
    assert_all_there(&f->to, f, 2, 1);
}

/* If this fails, the source writes to pages that are not its own any more. */
static void test_rebuilding(Fixture *f, gconstpointer type)
{
    set_fails(f, 0, true);
    put_all(&f->from, 1);
    set_fails(f, 0, false);
    hand_over(f);
    assert_quiet(f);
    /* The destination has died; the source goes on where it was. */
    side_close(&f->to);
    assert_quiet(f);
    side_go_on(&f->from);
    wait_connected(f->from.store);
    assert_all_there(&f->from, f, 0, 1);
}

/* If this fails, nobody is left to say whose the pages are. */
static void test_none_whole(Fixture *f, gconstpointer type)
{
    Error *err = NULL;

    put_all(&f->from, 1);
    for (int i = 0; i < NR_SHARED - 1; i++) {
        set_fails(f, i, true);
        g_assert_cmpint(do_put(queue_of(&f->from, i), i, 2, false), ==,
                        REMOTE_STORE_OK);
        set_fails(f, i, false);
    }
    shared_store_lose(f->shared[NR_SHARED - 1], PAGES - 1);
    g_assert_cmpint(do_get(queue_of(&f->from, PAGES - 1), PAGES - 1, 1), ==,
                    REMOTE_STORE_OK);
    g_assert_false(remote_store_check_save(f->from.region, NULL));
    offer(f);
    g_assert_null(remote_store_save(f->from.region, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "no copy is sure"));
    error_free(err);
    /* It did not come to rest for ever. */
    wait_connected(f->from.store);
    hand_over(f);
    g_assert_cmpint(do_get(queue_of(&f->to, 1), 1, 2), ==, REMOTE_STORE_OK);
}

/*
 * If this fails, a mark that was given up spoils a later offer: the copy had
 * it all along.
 */
static void test_spoiled(Fixture *f, gconstpointer type)
{
    put_all(&f->from, 1);
    hand_over(f);
    set_fails(f, 0, true);
    g_assert_cmpint(put_mark(&f->from, 0, 2), ==, REMOTE_STORE_FAILED);
    set_fails(f, 0, false);
    side_close(&f->to);
    side_go_on(&f->from);
    wait_connected(f->from.store);
    hand_over(f);
    /* It is not asked any more. */
    set_fails(f, 0, true);
    g_assert_cmpint(put_mark(&f->to, 1, 3), ==, REMOTE_STORE_OK);
    g_assert_cmpint(get_mark(&f->from, 1, 3), ==, REMOTE_STORE_OK);
    set_fails(f, 0, false);
}

/*
 * If this fails, a mirror below a pool does not find out which of its pages are
 * a queue's, and is never whole again.
 */
static void test_below_pool(Fixture *f, gconstpointer type)
{
    static const char both[] = "{'stores':['mirror0','shared2']}";
    RemoteStore *mirror = store_new(MIRROR, "mirror0",
                                    "{'stores':['shared0','shared1']}");
    g_autoptr(GByteArray) state = NULL;

    side_close(&f->from);
    f->from.store = store_new(STRIPE, "from", both);
    f->from.region = region_new(f->from.store, PAGES);
    side_open(&f->from, 2);
    set_fails(f, 1, true);
    put_all(&f->from, 1);
    offer(f);
    state = remote_store_save(f->from.region, &error_abort);
    f->to.store = store_new(STRIPE, "to", both);
    f->to.region = inherit(f, f->to.store, state->data, state->len,
                           &error_abort);
    side_open(&f->to, 3);
    f->from.region->left = true;
    side_close(&f->from);
    set_fails(f, 1, false);
    side_go_on(&f->to);
    wait_connected(mirror);
    set_fails(f, 0, true);
    get_all(&f->to, 1);
    side_close(&f->to);
    store_delete(mirror);
    /* For teardown(). */
    f->from.store = store_new(STRIPE, "from", all);
    f->from.region = region_new(f->from.store, PAGES);
}

typedef struct Test {
    const char *name;
    void (*fn)(Fixture *f, gconstpointer type);
} Test;

static void add_tests(const char *type, const Test *tests)
{
    for (; tests->name; tests++) {
        g_autofree char *path =
            g_strdup_printf("/remote-memory/store-handover/%s/%s",
                            type + strlen("remote-store-"), tests->name);

        g_test_add(path, Fixture, type, setup, tests->fn, teardown);
    }
}

int main(int argc, char **argv)
{
    static const Test both[] = {
        { "pages", test_pages },
        { "marks", test_marks },
        { "malformed", test_malformed },
        { "other-stores", test_other_stores },
        { "cannot", test_cannot },
        { }
    };
    static const Test stripes[] = {
        { "weights", test_weights },
        { "first-has-marks", test_first_has_marks },
        { }
    };
    static const Test mirrors[] = {
        { "copies", test_copies },
        { "voters", test_voters },
        { "dead-copy", test_dead_copy },
        { "rebuilding", test_rebuilding },
        { "none-whole", test_none_whole },
        { "spoiled", test_spoiled },
        { "below-pool", test_below_pool },
        { }
    };

    store_test_init(&argc, &argv);
    shared_store_register();
    add_tests(STRIPE, both);
    add_tests(STRIPE, stripes);
    add_tests(MIRROR, both);
    add_tests(MIRROR, mirrors);
    return g_test_run();
}
