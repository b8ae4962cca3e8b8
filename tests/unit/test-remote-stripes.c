/*
 * Unit tests: on which of several stores is a page?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "stripes.h"

#define WHOLE (STRIPES_CHUNK * STRIPES_PATTERN)

/* If this fails, two pages are at the same place, or there are gaps. */
static void check_places(const Stripes *s, uint64_t nr_pages)
{
    unsigned long *seen[STRIPES_MAX_STORES];
    uint64_t count[STRIPES_MAX_STORES] = { 0 };

    for (unsigned i = 0; i < s->nr; i++) {
        seen[i] = bitmap_new(nr_pages);
    }
    for (uint64_t page = 0; page < nr_pages; page++) {
        uint64_t inner;
        unsigned store = stripes_place(s, page, &inner);

        g_assert_cmpuint(store, <, s->nr);
        g_assert_cmpuint(inner, <, stripes_pages(s, store, nr_pages));
        g_assert_cmpuint(stripes_page(s, store, inner), ==, page);
        g_assert_false(test_and_set_bit(inner, seen[store]));
        count[store]++;
    }
    for (unsigned i = 0; i < s->nr; i++) {
        g_assert_cmpuint(count[i], ==, stripes_pages(s, i, nr_pages));
        g_free(seen[i]);
    }
}

static void test_places(void)
{
    for (int round = 0; round < 200; round++) {
        uint64_t weights[STRIPES_MAX_STORES];
        unsigned nr = g_test_rand_int_range(1, STRIPES_MAX_STORES + 1);
        Stripes s;

        for (unsigned i = 0; i < nr; i++) {
            weights[i] = g_test_rand_int_range(1, 1000);
        }
        stripes_init(&s, weights, nr);
        check_places(&s, g_test_rand_int_range(1, 3 * WHOLE));
    }
}

/* If this fails, a large store is left empty while a small one is full. */
static void test_weights(void)
{
    const uint64_t weights[] = { 1ull << 50, 1ull << 49, 1ull << 48, 1 };
    Stripes s;
    uint64_t pages[4];

    stripes_init(&s, weights, ARRAY_SIZE(weights));
    for (unsigned i = 0; i < 4; i++) {
        pages[i] = stripes_pages(&s, i, WHOLE * 1000ull);
        g_test_message("%" PRIu64, pages[i]);
    }
    g_assert_cmpuint(pages[0] * 100, >=, pages[1] * 195);
    g_assert_cmpuint(pages[0] * 100, <=, pages[1] * 205);
    g_assert_cmpuint(pages[1] * 100, >=, pages[2] * 195);
    g_assert_cmpuint(pages[1] * 100, <=, pages[2] * 205);
    /* Even the smallest has some. */
    g_assert_cmpuint(pages[3], ==, STRIPES_CHUNK * 1000);
}

/* If this fails, what is used together is on one store. */
static void test_spread(void)
{
    const uint64_t weights[] = { 2, 1, 1 };
    Stripes s;

    stripes_init(&s, weights, ARRAY_SIZE(weights));
    for (uint64_t chunk = 0; chunk < 1000; chunk++) {
        unsigned count[3] = { 0 };

        for (uint64_t i = 0; i < 8; i++) {
            uint64_t inner;

            count[stripes_place(&s, (chunk + i) * STRIPES_CHUNK, &inner)]++;
        }
        g_assert_cmpuint(count[0], >=, 3);
        g_assert_cmpuint(count[1], >=, 1);
        g_assert_cmpuint(count[2], >=, 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/stripes/places", test_places);
    g_test_add_func("/remote-memory/stripes/weights", test_weights);
    g_test_add_func("/remote-memory/stripes/spread", test_spread);
    return g_test_run();
}
