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

static uint8_t spied[PAGES][REMOTE_STORE_PAGE_SIZE];

static bool spy_start(RemoteStore *store, Error **errp)
{
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
    };

    store_test_init(&argc, &argv);
    qcrypto_init(&error_abort);
    type_register_static(&spy_info);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    g_test_add_func("/remote-memory/store-crypt/keys", test_keys);
    g_test_add_func("/remote-memory/store-crypt/refused", test_refused);
    return g_test_run();
}
