/*
 * Unit tests: the working set as it is in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "working-set.h"

/* A VM of 16 TiB, and how many pages of it a test has at most. */
#define NR_PAGES (1ull << 32)
#define MOST 20000

/* What a page by itself takes at most, on average; and a backend of its own. */
#define BYTES_PER_PAGE 6
#define BYTES_PER_BACKEND 32

/* How often something is damaged. */
#define TRIES 20000

static WorkingSetWriter new_writer(void)
{
    return (WorkingSetWriter) { .data = g_byte_array_new() };
}

static void put(WorkingSetWriter *w, const char *name, uint64_t nr_pages,
                const uint64_t *pages, uint32_t nr)
{
    working_set_begin(w, name, nr_pages);
    for (uint32_t i = 0; i < nr; i++) {
        working_set_add(w, pages[i]);
    }
    working_set_end(w);
}

/* The next backend has these pages, in this order.  Returns: runs. */
static uint32_t check(const uint8_t **data, size_t *size, const char *name,
                      uint64_t nr_pages, const uint64_t *pages, uint32_t nr)
{
    WorkingSetBackend b;
    WorkingSetRun run;
    uint32_t n = 0, runs = 0;
    int ret;

    g_assert_cmpint(working_set_next_backend(data, size, &b), ==, 1);
    g_assert_cmpstr(b.name, ==, name);
    g_assert_cmpuint(b.nr_pages, ==, nr_pages);
    while ((ret = working_set_next_run(&b, &run)) == 1) {
        runs++;
        for (uint64_t i = 0; i < run.nr; i++) {
            g_assert_cmpuint(n, <, nr);
            g_assert_cmpuint(run.down ? run.first - i : run.first + i, ==,
                             pages[n++]);
        }
    }
    g_assert_cmpint(ret, ==, 0);
    g_assert_cmpuint(n, ==, nr);
    return runs;
}

/* Write one backend and read it.  Returns: bytes. */
static size_t check_alone(uint64_t nr_pages, const uint64_t *pages,
                          uint32_t nr, uint32_t runs)
{
    WorkingSetWriter w = new_writer();
    const uint8_t *data;
    size_t size, left;

    put(&w, "ram0", nr_pages, pages, nr);
    data = w.data->data;
    size = left = w.data->len;
    g_assert_true(working_set_is_sane(data, size));
    g_assert_cmpuint(check(&data, &left, "ram0", nr_pages, pages, nr), ==,
                     runs);
    g_assert_cmpuint(left, ==, 0);
    g_byte_array_unref(w.data);
    return size;
}

/* If this fails, the first and the last page, or a way along them, is lost. */
static void test_edges(void)
{
    static const uint64_t all_up[] = { 0, 1, 2, 3 };
    static const uint64_t all_down[] = { 3, 2, 1, 0 };
    static const uint64_t turns[] = { 1, 2, 1, 0, 3 };
    static const uint64_t far[] = { NR_PAGES - 1, 0, NR_PAGES - 2, 1 };
    static const uint64_t after_zero[] = { 1, 0, NR_PAGES - 1, 5 };

    check_alone(4, NULL, 0, 0);
    check_alone(1, all_up, 1, 1);
    check_alone(4, all_up, 4, 1);
    check_alone(4, all_down, 4, 1);
    check_alone(5, turns, 5, 3);
    check_alone(NR_PAGES, far, 4, 4);
    check_alone(NR_PAGES, after_zero, 4, 3);
}

/*
 * Pages in any order, each once, as one might use them: alone, or neighbours.
 * Returns: how many.
 */
static uint32_t make_pages(uint64_t *pages, uint32_t most)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash,
                                                       g_int64_equal,
                                                       g_free, NULL);
    uint64_t page = 0;
    uint32_t nr = 0;
    int step = 1;

    while (nr < most) {
        if (!g_test_rand_int_range(0, 4)) {
            page = (uint64_t)(uint32_t)g_test_rand_int();
            step = g_test_rand_bit() ? 1 : -1;
        } else {
            page += step;
        }
        if (page < NR_PAGES &&
            g_hash_table_add(seen, g_memdup2(&page, sizeof(page)))) {
            pages[nr++] = page;
        }
    }
    return nr;
}

/* If this fails, a page comes back in the place of another one, or too late. */
static void test_round_trip(void)
{
    g_autofree uint64_t *pages = g_new(uint64_t, MOST);
    WorkingSetWriter w = new_writer();
    const uint32_t nrs[] = { MOST, 0, 1, 100 };
    const uint8_t *data;
    size_t size;

    make_pages(pages, MOST);
    for (int i = 0; i < ARRAY_SIZE(nrs); i++) {
        g_autofree char *name = g_strdup_printf("ram%d", i);

        put(&w, name, NR_PAGES - i, pages, nrs[i]);
    }
    data = w.data->data;
    size = w.data->len;
    g_assert_true(working_set_is_sane(data, size));
    for (int i = 0; i < ARRAY_SIZE(nrs); i++) {
        g_autofree char *name = g_strdup_printf("ram%d", i);

        check(&data, &size, name, NR_PAGES - i, pages, nrs[i]);
    }
    g_assert_cmpuint(size, ==, 0);
    g_byte_array_unref(w.data);
}

/* If this fails, a snapshot gets larger than it need be. */
static void test_size(void)
{
    g_autofree uint64_t *pages = g_new(uint64_t, MOST);
    size_t size;

    for (uint32_t i = 0; i < MOST; i++) {
        pages[i] = MOST - i;
    }
    size = check_alone(NR_PAGES, pages, MOST, 1);
    g_assert_cmpuint(size, <=, BYTES_PER_BACKEND);
    for (uint32_t i = 0; i < MOST; i++) {
        pages[i] = i * 0x9e3779b9ull % NR_PAGES;
    }
    size = check_alone(NR_PAGES, pages, MOST, MOST);
    g_assert_cmpuint(size, <=, BYTES_PER_BACKEND + MOST * BYTES_PER_PAGE);
}

/* A name longer than what a length of one byte can say. */
static void test_long_name(void)
{
    g_autofree char *name = g_strnfill(300, 'r');
    WorkingSetWriter w = new_writer();
    uint64_t page = 3;
    WorkingSetBackend b;
    const uint8_t *data;
    size_t size;

    put(&w, name, 4, &page, 1);
    data = w.data->data;
    size = w.data->len;
    g_assert_cmpint(working_set_next_backend(&data, &size, &b), ==, 1);
    g_assert_cmpuint(strlen(b.name), ==, 255);
    g_assert_cmpuint(size, ==, 0);
    g_byte_array_unref(w.data);
}

/* If this fails, what is cut off is read beyond its end, or taken for all. */
static void test_truncated(void)
{
    uint64_t pages[100];
    WorkingSetWriter w = new_writer();
    size_t first;

    put(&w, "ram0", NR_PAGES, pages, make_pages(pages, ARRAY_SIZE(pages)));
    first = w.data->len;
    put(&w, "ram1", NR_PAGES, pages, ARRAY_SIZE(pages));
    for (size_t size = 0; size <= w.data->len; size++) {
        /* So that whatever reads further is seen by who looks for that. */
        g_autofree uint8_t *cut = g_memdup2(w.data->data, size);

        g_assert_cmpint(working_set_is_sane(cut, size), ==,
                        size == 0 || size == first || size == w.data->len);
    }
    g_byte_array_unref(w.data);
}

/* What could be read is pages that exist, and no more than there are. */
static void check_bounds(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    WorkingSetBackend b;

    while (working_set_next_backend(&data, &size, &b) == 1) {
        uint64_t left = b.nr_pages;
        WorkingSetRun run;

        g_assert_true(data <= end && size == end - data);
        while (working_set_next_run(&b, &run) == 1) {
            g_assert_cmpuint(run.nr, >, 0);
            g_assert_cmpuint(run.nr, <=, left);
            left -= run.nr;
            g_assert_cmpuint(run.first, <, b.nr_pages);
            if (run.down) {
                g_assert_cmpuint(run.nr, <=, run.first + 1);
            } else {
                g_assert_cmpuint(run.nr, <=, b.nr_pages - run.first);
            }
        }
    }
}

/* If this fails, a damaged snapshot crashes who loads it. */
static void test_nonsense(void)
{
    uint64_t pages[50];
    WorkingSetWriter w = new_writer();

    put(&w, "ram0", 1 << 20, pages, 0);
    for (int i = 0; i < ARRAY_SIZE(pages); i++) {
        pages[i] = g_test_rand_int_range(0, 1 << 20);
    }
    put(&w, "ram1", 1 << 20, pages, ARRAY_SIZE(pages));
    for (int i = 0; i < TRIES; i++) {
        g_autofree uint8_t *data = g_memdup2(w.data->data, w.data->len);

        for (int k = g_test_rand_int_range(1, 5); k; k--) {
            data[g_test_rand_int_range(0, w.data->len)] = g_test_rand_int();
        }
        check_bounds(data, w.data->len);
    }
    for (int i = 0; i < TRIES; i++) {
        uint8_t data[64];

        for (int k = 0; k < sizeof(data); k++) {
            data[k] = g_test_rand_int();
        }
        check_bounds(data, g_test_rand_int_range(0, sizeof(data) + 1));
    }
    g_byte_array_unref(w.data);
}

/* One backend of @nr_pages with these runs. */
static bool runs_are_sane(uint64_t nr_pages, const void *runs, uint32_t size)
{
    WorkingSetWriter w = new_writer();
    bool sane;

    working_set_begin(&w, "ram0", nr_pages);
    g_byte_array_append(w.data, runs, size);
    working_set_end(&w);
    sane = working_set_is_sane(w.data->data, w.data->len);
    g_byte_array_unref(w.data);
    return sane;
}

/* If this fails, one of the ways to be wrong is not noticed. */
static void test_refused(void)
{
    static const uint8_t endless[] = {
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00
    };

    /* Page 2, and two pages from there: all there is. */
    g_assert_true(runs_are_sane(4, "\x04\x02", 2));
    /* Three pages upwards, one of which does not exist; but downwards. */
    g_assert_false(runs_are_sane(4, "\x04\x04", 2));
    g_assert_true(runs_are_sane(4, "\x04\x05", 2));
    g_assert_false(runs_are_sane(4, "\x04\x07", 2));
    /* Page 4, and page -1. */
    g_assert_false(runs_are_sane(4, "\x08\x00", 2));
    g_assert_false(runs_are_sane(4, "\x01\x00", 2));
    /* All pages, and one more. */
    g_assert_false(runs_are_sane(4, "\x00\x06\x01\x00", 4));
    /* Half a run, and numbers that do not end. */
    g_assert_false(runs_are_sane(4, "\x04", 1));
    g_assert_false(runs_are_sane(4, "\x04\x80", 2));
    g_assert_false(runs_are_sane(4, endless, sizeof(endless)));
    /* More pages than can be counted. */
    g_assert_false(runs_are_sane(UINT64_MAX, "\x04\x02", 2));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/working-set/edges", test_edges);
    g_test_add_func("/remote-memory/working-set/round-trip", test_round_trip);
    g_test_add_func("/remote-memory/working-set/size", test_size);
    g_test_add_func("/remote-memory/working-set/long-name", test_long_name);
    g_test_add_func("/remote-memory/working-set/truncated", test_truncated);
    g_test_add_func("/remote-memory/working-set/nonsense", test_nonsense);
    g_test_add_func("/remote-memory/working-set/refused", test_refused);
    return g_test_run();
}
