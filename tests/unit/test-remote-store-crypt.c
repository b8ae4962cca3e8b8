/*
 * Unit tests: what a store can do with encrypted pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/init.h"
#include "page-crypt.h"
#include "qapi/error.h"
#include "qemu/memalign.h"
#include "remote-store-harness.h"

#define TYPE "remote-store-crypt"
#define PAGES 64

#define TYPE_REMOTE_STORE_SPY "remote-store-spy"

/* A store whose pages the tests look at, and change. */
typedef struct Spy {
    RemoteStore parent_obj;
} Spy;

static uint8_t spied[PAGES + REMOTE_STORE_MARKS][REMOTE_STORE_PAGE_SIZE];

static bool spy_start(RemoteStore *store, Error **errp)
{
    return true;
}

/* All regions are the same one. */
static bool spy_save(RemoteStoreRegion *region, GByteArray *state,
                     Error **errp)
{
    if (state) {
        g_byte_array_append(state, (const uint8_t *)"spy", 3);
    }
    return true;
}

static bool spy_attach(RemoteStoreRegion *region, Error **errp)
{
    const GByteArray *state = region->inherited;

    if (state && (state->len != 3 || memcmp(state->data, "spy", 3))) {
        error_setg(errp, "not the spy's");
        return false;
    }
    return true;
}

static RemoteStoreQueue *spy_open(RemoteStoreRegion *region, AioContext *ctx,
                                  Error **errp)
{
    return remote_store_alloc(sizeof(RemoteStoreQueue));
}

static void spy_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                       size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        if (reqs[i]->op == REMOTE_STORE_PUT) {
            memcpy(spied[reqs[i]->page], reqs[i]->buf, sizeof(spied[0]));
        } else if (reqs[i]->op == REMOTE_STORE_GET) {
            memcpy(reqs[i]->buf, spied[reqs[i]->page], sizeof(spied[0]));
        }
        remote_store_done(queue, reqs[i]);
    }
}

static void spy_close(RemoteStoreQueue *queue)
{
    qemu_vfree(queue);
}

static void spy_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = spy_start;
    rsc->attach = spy_attach;
    rsc->save = spy_save;
    rsc->open = spy_open;
    rsc->submit = spy_submit;
    rsc->close = spy_close;
}

static const TypeInfo spy_info = {
    .name = TYPE_REMOTE_STORE_SPY,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(Spy),
    .class_init = spy_class_init,
};

typedef struct Fixture {
    RemoteStore *spy;
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Fixture;

static void setup(Fixture *f, gconstpointer opaque)
{
    f->spy = store_new(TYPE_REMOTE_STORE_SPY, "spy0", "{}");
    f->store = store_new(TYPE, "s0", "{'store':'spy0'}");
    f->region = region_new(f->store, PAGES);
    f->q = queue_new(f->region);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_put(f->q, page, 1, true), ==, REMOTE_STORE_OK);
    }
}

static void teardown(Fixture *f, gconstpointer opaque)
{
    queue_free(f->q);
    remote_store_detach(f->region);
    store_delete(f->store);
    store_delete(f->spy);
}

/* Is it as random numbers would be?  Each byte then comes up 16 times. */
static bool is_noise(const uint8_t *page)
{
    unsigned count[256] = { 0 };

    for (int i = 0; i < REMOTE_STORE_PAGE_SIZE; i++) {
        count[page[i]]++;
    }
    for (int i = 0; i < 256; i++) {
        /* Such a deviation is one in more than 10^6 pages. */
        if (count[i] > 16 + 32) {
            return false;
        }
    }
    return true;
}

/* If this fails, a store sees what is in a page. */
static void test_noise(Fixture *f, gconstpointer opaque)
{
    uint8_t plain[REMOTE_STORE_PAGE_SIZE];

    /* Two of three have little content, see page_fill(). */
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_true(is_noise(spied[page]));
        g_assert_cmpint(do_get(f->q, page, 1), ==, REMOTE_STORE_OK);
    }
    page_fill(plain, 2, 1);
    g_assert_false(is_noise(plain));
}

/* If this fails, a store sees that a page has the content of another time. */
static void test_again(Fixture *f, gconstpointer opaque)
{
    uint8_t before[REMOTE_STORE_PAGE_SIZE];
    unsigned same = 0;

    memcpy(before, spied[2], sizeof(before));
    g_assert_cmpint(do_put(f->q, 2, 1, false), ==, REMOTE_STORE_OK);
    for (int i = 0; i < REMOTE_STORE_PAGE_SIZE; i++) {
        same += before[i] == spied[2][i];
    }
    /* One of 256 by chance. */
    g_assert_cmpuint(same, <, 64);
}

static void assert_corrupt(Fixture *f, uint64_t page)
{
    g_autofree char *reason = do_get_reason(f->q, page, REMOTE_STORE_CORRUPT);

    g_assert_nonnull(strstr(reason, "altered"));
}

/* If this fails, a store can alter a page. */
static void test_altered(Fixture *f, gconstpointer opaque)
{
    for (int i = 0; i < 100; i++) {
        int at = g_test_rand_int_range(0, REMOTE_STORE_PAGE_SIZE);
        uint8_t bit = 1 << g_test_rand_int_range(0, 8);

        spied[5][at] ^= bit;
        assert_corrupt(f, 5);
        spied[5][at] ^= bit;
    }
    g_assert_cmpint(do_get(f->q, 5, 1), ==, REMOTE_STORE_OK);
}

/* If this fails, a store can give one page for another. */
static void test_swapped(Fixture *f, gconstpointer opaque)
{
    uint8_t other[REMOTE_STORE_PAGE_SIZE];

    memcpy(other, spied[7], sizeof(other));
    memcpy(spied[7], spied[8], sizeof(other));
    assert_corrupt(f, 7);
    memcpy(spied[8], other, sizeof(other));
    assert_corrupt(f, 8);
}

/* If this fails, a store can bring the past back. */
static void test_replayed(Fixture *f, gconstpointer opaque)
{
    uint8_t old[REMOTE_STORE_PAGE_SIZE];

    memcpy(old, spied[9], sizeof(old));
    g_assert_cmpint(do_put(f->q, 9, 2, false), ==, REMOTE_STORE_OK);
    memcpy(spied[9], old, sizeof(old));
    assert_corrupt(f, 9);
    /* Nor is what was discarded there any more. */
    g_assert_cmpint(do_discard(f->q, 10), ==, REMOTE_STORE_OK);
    assert_corrupt(f, 10);
}

/* If this fails, two queues can use the same nonce. */
static void test_queues(Fixture *f, gconstpointer opaque)
{
    TestQueue *q = queue_new(f->region);

    memset(spied, 0, sizeof(spied));
    /* The same page, content and count: only the queue differs. */
    g_assert_cmpint(do_put(q, 3, 1, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(do_get(q, 3, 1), ==, REMOTE_STORE_OK);
    queue_free(q);
    q = queue_new(f->region);
    memcpy(spied[0], spied[3], sizeof(spied[0]));
    g_assert_cmpint(do_put(q, 3, 1, false), ==, REMOTE_STORE_OK);
    g_assert_cmpint(memcmp(spied[0], spied[3], sizeof(spied[0])), !=, 0);
    queue_free(q);
}

/* Another process that goes on with the pages, and has a key of its own. */
typedef struct Heir {
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} Heir;

static void heir_init(Heir *heir, Fixture *f, const char *id,
                      RemoteStoreRegion *from)
{
    g_autoptr(GByteArray) state = remote_store_save(from, &error_abort);

    heir->store = store_new(TYPE, id, "{'store':'spy0'}");
    heir->region = remote_store_inherit(heir->store, &f->region->uuid, PAGES,
                                        state, &error_abort);
    /* The number of queues has nothing to do with that of the source. */
    queue_free(queue_new(heir->region));
    heir->q = queue_new(heir->region);
}

static void heir_clear(Heir *heir)
{
    queue_free(heir->q);
    remote_store_detach(heir->region);
    store_delete(heir->store);
}

/* If this fails, pages are lost when they are handed over. */
static void test_inherited(Fixture *f, gconstpointer opaque)
{
    Heir heir[2];

    g_assert_cmpint(do_discard(f->q, 10), ==, REMOTE_STORE_OK);
    heir_init(&heir[0], f, "s1", f->region);
    for (uint64_t page = 0; page < PAGES; page += 2) {
        if (page != 10) {
            g_assert_cmpint(do_get(heir[0].q, page, 1), ==, REMOTE_STORE_OK);
        }
        g_assert_cmpint(do_put(heir[0].q, page, 2, false), ==,
                        REMOTE_STORE_OK);
        /* What the source knows is the past. */
        assert_corrupt(f, page);
    }
    /* Some pages are of the first, some of the second; and some go on. */
    heir_init(&heir[1], f, "s2", heir[0].region);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(do_get(heir[1].q, page, page % 2 ? 1 : 2), ==,
                        REMOTE_STORE_OK);
    }
    heir_clear(&heir[1]);
    heir_clear(&heir[0]);
}

/*
 * If this fails, two processes that both believe to have the pages use the same
 * nonce with the same key, and the store can read what they write.
 */
static void test_forked(Fixture *f, gconstpointer opaque)
{
    enum { SIDES = 4 };
    g_autofree uint8_t *written = g_malloc(SIDES * REMOTE_STORE_PAGE_SIZE);
    Heir heir[3];

    /* Two of the same offer, and one of a later one. */
    heir_init(&heir[0], f, "s1", f->region);
    heir_init(&heir[1], f, "s2", f->region);
    heir_init(&heir[2], f, "s3", heir[0].region);
    for (int i = 0; i < SIDES; i++) {
        TestQueue *q = i ? heir[i - 1].q : f->q;

        g_assert_cmpint(do_put(q, 3, 1, false), ==, REMOTE_STORE_OK);
        memcpy(written + i * REMOTE_STORE_PAGE_SIZE, spied[3],
               REMOTE_STORE_PAGE_SIZE);
        for (int k = 0; k < i; k++) {
            g_assert_cmpint(memcmp(written + k * REMOTE_STORE_PAGE_SIZE,
                                   spied[3], REMOTE_STORE_PAGE_SIZE), !=, 0);
        }
    }
    for (int i = 2; i >= 0; i--) {
        heir_clear(&heir[i]);
    }
}

/* If this fails, one side cannot read what the other has noted. */
static void test_marks(Fixture *f, gconstpointer opaque)
{
    Heir heir;

    heir_init(&heir, f, "s1", f->region);
    for (uint64_t i = PAGES; i < PAGES + REMOTE_STORE_MARKS; i++) {
        g_assert_cmpint(do_put(f->q, i, 1, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(heir.q, i, 1), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_put(heir.q, i, 2, true), ==, REMOTE_STORE_OK);
        g_assert_cmpint(do_get(f->q, i, 2), ==, REMOTE_STORE_OK);
    }
    heir_clear(&heir);
}

static void assert_not_inherited(Fixture *f, const void *data, size_t size,
                                 const char *what)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    Error *err = NULL;

    g_byte_array_append(state, data, size);
    g_assert_null(remote_store_inherit(f->store, &f->region->uuid, PAGES, state,
                                       &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    error_free(err);
}

static void do_get_any(TestQueue *q, uint64_t page)
{
    TestOp op = { .op = REMOTE_STORE_GET, .page = page };

    queue_run(q, &op, 1);
    op_free(&op);
}

/* If this fails, a source can make its destination read what it should not. */
static void test_malformed(Fixture *f, gconstpointer opaque)
{
    g_autoptr(GByteArray) state = remote_store_save(f->region, &error_abort);
    const uint8_t more = 0;

    for (size_t size = 0; size < state->len; size++) {
        assert_not_inherited(f, state->data, size, "");
    }
    g_byte_array_append(state, &more, sizeof(more));
    assert_not_inherited(f, state->data, state->len, "makes no sense");
    for (int i = 0; i < 1000; i++) {
        g_autoptr(GByteArray) other = g_byte_array_new();
        RemoteStoreRegion *region;

        g_byte_array_append(other, state->data, state->len - 1);
        for (int k = 0; k < 3; k++) {
            other->data[g_test_rand_int_range(0, other->len)] =
                g_test_rand_int_range(0, 256);
        }
        region = remote_store_inherit(f->store, &f->region->uuid, PAGES, other,
                                      NULL);
        if (region) {
            TestQueue *q = queue_new(region);

            /* Which ever they are, seals lead nowhere else. */
            do_get_any(q, g_test_rand_int_range(0, PAGES));
            queue_free(q);
        }
        remote_store_detach(region);
    }
}

/* If this fails, pages are looked for where they are not. */
static void test_other_stores(Fixture *f, gconstpointer opaque)
{
    g_autoptr(GByteArray) state = remote_store_save(f->region, &error_abort);
    RemoteStore *spy = store_new(TYPE_REMOTE_STORE_SPY, "spy1", "{}");
    RemoteStore *store = store_new(TYPE, "s1", "{'store':'spy1'}");
    Error *err = NULL;

    g_assert_null(remote_store_inherit(store, &f->region->uuid, PAGES, state,
                                       &err));
    g_assert_nonnull(strstr(error_get_pretty(err),
                            TYPE_REMOTE_STORE_SPY " 'spy0'"));
    error_free(err);
    store_delete(store);
    store_delete(spy);
}

/* If this fails, a migration begins that cannot end. */
static void test_cannot(void)
{
    RemoteStore *ram = store_new("remote-store-ram", "ram0", "{}");
    RemoteStore *store = store_new(TYPE, "s0", "{'store':'ram0'}");
    RemoteStoreRegion *region = region_new(store, PAGES);
    Error *err = NULL;

    g_assert_false(remote_store_check_save(region, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "'ram0'"));
    error_free(err);
    remote_store_detach(region);
    store_delete(store);
    store_delete(ram);
}

/* If this fails, two regions have the same key. */
static void test_keys(void)
{
    uint8_t key[PAGE_CRYPT_KEY_LEN] = { 1, 2, 3 }, derived[4][sizeof(key)];

    g_assert_true(page_crypt_derive(key, "a", 1, derived[0]));
    g_assert_true(page_crypt_derive(key, "b", 1, derived[1]));
    key[31] = 1;
    g_assert_true(page_crypt_derive(key, "a", 1, derived[2]));
    key[31] = 0;
    g_assert_true(page_crypt_derive(key, "a", 1, derived[3]));
    g_assert_cmpmem(derived[0], sizeof(key), derived[3], sizeof(key));
    for (int i = 1; i < 3; i++) {
        g_assert_cmpint(memcmp(derived[0], derived[i], sizeof(key)), !=, 0);
    }
    page_crypt_forget(key);
    for (int i = 0; i < sizeof(key); i++) {
        g_assert_cmpuint(key[i], ==, 0);
    }
}

/* If this fails, an operator finds out too late, or not why. */
static void test_refused(void)
{
    static const struct {
        const char *properties;
        const char *error;
    } bad[] = {
        { "{}", "'store' is missing" },
        { "{'store':'none'}", "'store'" },
        { "{'store':'spy0','key-secret':'none'}", "'key-secret'" },
        { "{'store':'spy0','key-secret':'short'}", "5 bytes instead of 32" },
    };
    RemoteStore *spy = store_new(TYPE_REMOTE_STORE_SPY, "spy0", "{}");
    Object *secret = object_new_with_props("secret", object_get_objects_root(),
                                           "short", &error_abort, "data",
                                           "short", NULL);

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        store_assert_refused(TYPE, bad[i].properties, bad[i].error);
    }
    object_unparent(secret);
    store_delete(spy);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*fn)(Fixture *f, gconstpointer opaque);
    } tests[] = {
        { "/remote-memory/store-crypt/noise", test_noise },
        { "/remote-memory/store-crypt/again", test_again },
        { "/remote-memory/store-crypt/altered", test_altered },
        { "/remote-memory/store-crypt/swapped", test_swapped },
        { "/remote-memory/store-crypt/replayed", test_replayed },
        { "/remote-memory/store-crypt/queues", test_queues },
        { "/remote-memory/store-crypt/inherited", test_inherited },
        { "/remote-memory/store-crypt/forked", test_forked },
        { "/remote-memory/store-crypt/marks", test_marks },
        { "/remote-memory/store-crypt/malformed", test_malformed },
        { "/remote-memory/store-crypt/other-stores", test_other_stores },
    };

    store_test_init(&argc, &argv);
    qcrypto_init(&error_abort);
    type_register_static(&spy_info);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    g_test_add_func("/remote-memory/store-crypt/keys", test_keys);
    g_test_add_func("/remote-memory/store-crypt/refused", test_refused);
    g_test_add_func("/remote-memory/store-crypt/cannot", test_cannot);
    return g_test_run();
}
