/*
 * Unit tests: compression of single pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "page-compress.h"

#define PAGE REMOTE_STORE_PAGE_SIZE

/* Output is written in front of these, which must not change. */
#define GUARD_SIZE 64
#define GUARD 0xa5

typedef struct Guarded {
    uint8_t data[PAGE];
    uint8_t guard[GUARD_SIZE];
} Guarded;

static void guard_init(Guarded *g, size_t len)
{
    memset(g, GUARD, sizeof(*g));
    memset(g->data, 0, len);
}

static void guard_check(const Guarded *g, size_t len)
{
    const uint8_t *p = (const uint8_t *)g;

    for (size_t i = len; i < sizeof(*g); i++) {
        g_assert_cmpuint(p[i], ==, GUARD);
    }
}

static RemoteStoreCompression method_of(gconstpointer opaque)
{
    return GPOINTER_TO_UINT(opaque);
}

/* The first @nr bytes are random, the rest is not. */
static void fill(uint8_t *page, size_t nr, GRand *rand)
{
    memset(page, 0x42, PAGE);
    for (size_t i = 0; i < nr; i++) {
        page[i] = g_rand_int(rand);
    }
}

/* A page that changes on the way corrupts the guest. */
static void test_round_trip(gconstpointer opaque)
{
    PageCodec *codec = page_codec_new(method_of(opaque));
    GRand *rand = g_rand_new_with_seed(1);
    uint8_t page[PAGE];

    for (size_t nr = 0; nr <= PAGE; nr += 37) {
        Guarded out, back;
        size_t len;

        fill(page, nr, rand);
        guard_init(&out, PAGE_COMPRESS_MAX);
        len = page_codec_compress(codec, page, out.data);
        guard_check(&out, PAGE_COMPRESS_MAX);
        g_assert_cmpuint(len, <=, PAGE_COMPRESS_MAX);
        if (nr < PAGE / 2) {
            g_assert_cmpuint(len, >, 0);
        }
        if (len) {
            guard_init(&back, PAGE);
            g_assert_true(page_codec_decompress(codec, out.data, len,
                                                back.data));
            guard_check(&back, PAGE);
            g_assert_cmpmem(back.data, PAGE, page, PAGE);
        } else {
            g_assert_cmpuint(nr, >, PAGE / 2);
        }
    }
    g_rand_free(rand);
    page_codec_free(codec);
}

/* What does not compress must be reported so, not cut off. */
static void test_incompressible(gconstpointer opaque)
{
    PageCodec *codec = page_codec_new(method_of(opaque));
    GRand *rand = g_rand_new_with_seed(2);
    uint8_t page[PAGE];
    Guarded out;

    fill(page, PAGE, rand);
    guard_init(&out, PAGE_COMPRESS_MAX);
    g_assert_cmpuint(page_codec_compress(codec, page, out.data), ==, 0);
    guard_check(&out, PAGE_COMPRESS_MAX);
    g_rand_free(rand);
    page_codec_free(codec);
}

/* A length that is wrong must be found out, not read or written beyond. */
static void test_lengths(gconstpointer opaque)
{
    PageCodec *codec = page_codec_new(method_of(opaque));
    GRand *rand = g_rand_new_with_seed(3);
    uint8_t page[PAGE], out[PAGE_COMPRESS_MAX];
    size_t len;

    fill(page, 1000, rand);
    len = page_codec_compress(codec, page, out);
    g_assert_cmpuint(len, >, 0);
    for (size_t wrong = 0; wrong < len; wrong++) {
        /* Of its own, so that reading beyond it is noticed. */
        g_autofree uint8_t *in = g_memdup2(out, wrong ?: 1);
        Guarded back;

        guard_init(&back, PAGE);
        g_assert_false(page_codec_decompress(codec, in, wrong, back.data));
        guard_check(&back, PAGE);
    }
    g_assert_false(page_codec_decompress(codec, out, PAGE_COMPRESS_MAX + 1,
                                         page));
    g_assert_false(page_codec_decompress(codec, out, SIZE_MAX, page));
    g_rand_free(rand);
    page_codec_free(codec);
}

/* Neither may anything else that memory or a server can turn it into. */
static void test_garbage(gconstpointer opaque)
{
    PageCodec *codec = page_codec_new(method_of(opaque));
    GRand *rand = g_rand_new_with_seed(4);
    uint8_t page[PAGE], out[PAGE_COMPRESS_MAX];
    size_t len;

    fill(page, 600, rand);
    len = page_codec_compress(codec, page, out);
    for (int i = 0; i < 20000; i++) {
        g_autofree uint8_t *in = g_memdup2(out, len);
        Guarded back;

        for (int flips = g_rand_int_range(rand, 1, 8); flips; flips--) {
            in[g_rand_int_range(rand, 0, i % 2 ? 32 : len)] = g_rand_int(rand);
        }
        guard_init(&back, PAGE);
        /* Either answer is right; what counts is the bounds. */
        page_codec_decompress(codec, in, len, back.data);
        guard_check(&back, PAGE);
    }
    /* And it still works. */
    g_assert_true(page_codec_decompress(codec, out, len, page));
    g_rand_free(rand);
    page_codec_free(codec);
}

/* A larger page than ours, well compressed, must not come out. */
static void test_too_large(gconstpointer opaque)
{
    PageCodec *codec = page_codec_new(method_of(opaque));
    uint8_t page[PAGE], twice[PAGE_COMPRESS_MAX];
    Guarded back;
    size_t len;

    memset(page, 0, sizeof(page));
    len = page_codec_compress(codec, page, twice);
    g_assert_cmpuint(len * 2, <, sizeof(twice));
    memcpy(twice + len, twice, len);
    guard_init(&back, PAGE);
    g_assert_false(page_codec_decompress(codec, twice, len * 2, back.data));
    guard_check(&back, PAGE);
    page_codec_free(codec);
}

static const struct {
    const char *name;
    void (*fn)(gconstpointer opaque);
} tests[] = {
    { "round-trip", test_round_trip },
    { "incompressible", test_incompressible },
    { "lengths", test_lengths },
    { "garbage", test_garbage },
    { "too-large", test_too_large },
};

int main(int argc, char **argv)
{
    static const RemoteStoreCompression methods[] = {
        REMOTE_STORE_COMPRESSION_LZ4, REMOTE_STORE_COMPRESSION_ZSTD,
    };

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(methods); i++) {
        for (int j = 0; j < ARRAY_SIZE(tests); j++) {
            g_autofree char *path =
                g_strdup_printf("/remote-compress/%s/%s",
                                RemoteStoreCompression_str(methods[i]),
                                tests[j].name);

            g_test_add_data_func(path, GUINT_TO_POINTER(methods[i]),
                                 tests[j].fn);
        }
    }
    return g_test_run();
}
