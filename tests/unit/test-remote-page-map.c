/*
 * Unit tests: page map of a shard
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "page-map.h"

#define NR 1000
/* Few enough to look at all of them after each step. */
#define NR_RANDOM 60

static void make_resident(PageMap *map, uint32_t index)
{
    page_map_move(map, index, PAGE_RESIDENT);
}

/* A wrong figure of metadata breaks the promise of 24 bytes per page. */
static void test_footprint(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    g_assert_cmpuint(page_map_footprint(&map), >=, NR * 20);
    g_assert_cmpuint(page_map_footprint(&map), <, NR * 24);
    page_map_destroy(&map);
}

/* A new map that is not all zero pages would hand out what was never put. */
static void test_new(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    g_assert_cmpuint(map.count[PAGE_ZERO], ==, NR);
    for (uint32_t i = 0; i < NR; i++) {
        g_assert_cmpint(page_map_get(&map, i)->state, ==, PAGE_ZERO);
        g_assert_false(page_has(page_map_get(&map, i), PAGE_STORED));
    }
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/* A terabyte of guest must not cost time or memory before it is used. */
static void test_huge(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, 1u << 28));
    make_resident(&map, (1u << 28) - 1);
    g_assert_cmpuint(map.probation.oldest, ==, (1u << 28) - 1);
    page_map_destroy(&map);
}

/* The wrong order of a list evicts what was just fetched. */
static void test_order(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 10; i++) {
        make_resident(&map, i * 7);
    }
    for (uint32_t i = 0; i < 10; i++) {
        g_assert_cmpuint(map.probation.oldest, ==, i * 7);
        page_map_move(&map, map.probation.oldest, PAGE_STANDBY);
    }
    g_assert_cmpuint(map.probation.oldest, ==, PAGE_NONE);
    g_assert_cmpuint(map.probation.youngest, ==, PAGE_NONE);
    page_map_destroy(&map);
}

/* A page that leaves the middle of a list must not tear it. */
static void test_middle(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 5; i++) {
        make_resident(&map, i);
    }
    page_map_move(&map, 2, PAGE_ZERO);
    page_map_rotate(&map, 0);
    page_map_rotate(&map, 4);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.probation.oldest, ==, 1);
    g_assert_cmpuint(map.pages[1].next, ==, 3);
    g_assert_cmpuint(map.pages[3].next, ==, 0);
    g_assert_cmpuint(map.probation.youngest, ==, 4);
    page_map_destroy(&map);
}

/* A page that came along with its neighbours has to leave alone. */
static void test_join(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 11; i < 14; i++) {
        make_resident(&map, i);
    }
    make_resident(&map, 20);
    /* Between its neighbours, before one that follows, after one before. */
    make_resident(&map, 10);
    page_map_join(&map, 10);
    make_resident(&map, 14);
    page_map_join(&map, 14);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.probation.oldest, ==, 10);
    for (uint32_t i = 10; i < 14; i++) {
        g_assert_cmpuint(map.pages[i].next, ==, i + 1);
    }
    g_assert_cmpuint(map.probation.youngest, ==, 20);
    /* Nobody there, somebody of another kind, the ends of the map. */
    page_map_get(&map, 15)->flags |= PAGE_PROTECTED;
    make_resident(&map, 15);
    page_map_join(&map, 15);
    make_resident(&map, NR - 1);
    page_map_join(&map, NR - 1);
    make_resident(&map, 0);
    page_map_join(&map, 0);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.protected.nr, ==, 1);
    g_assert_cmpuint(map.probation.youngest, ==, 0);
    page_map_destroy(&map);
}

/* A page on the wrong list is evicted although it is known to be in use. */
static void test_lists(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 6; i++) {
        make_resident(&map, i);
        page_map_move(&map, i, PAGE_STANDBY);
        if (i % 2) {
            page_map_get(&map, i)->flags |= PAGE_PROTECTED;
        }
        make_resident(&map, i);
    }
    g_assert_cmpuint(map.probation.nr, ==, 3);
    g_assert_cmpuint(map.protected.nr, ==, 3);
    g_assert_cmpuint(map.probation.oldest, ==, 0);
    g_assert_cmpuint(map.protected.oldest, ==, 1);
    page_map_rotate(&map, 1);
    g_assert_cmpuint(map.protected.oldest, ==, 3);
    g_assert_cmpuint(map.protected.youngest, ==, 1);
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/* A page that should be the next to go, and is not, takes another's place. */
static void test_expose(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 4; i++) {
        make_resident(&map, i);
        page_map_expose(&map, i);
        g_assert_cmpuint(map.probation.oldest, ==, i);
        g_assert_cmpuint(map.probation.youngest, ==, 0);
    }
    page_map_get(&map, 4)->flags |= PAGE_PROTECTED;
    make_resident(&map, 4);
    page_map_get(&map, 5)->flags |= PAGE_PROTECTED;
    make_resident(&map, 5);
    page_map_expose(&map, 5);
    page_map_expose(&map, 1);
    page_map_expose(&map, 1);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.protected.oldest, ==, 5);
    g_assert_cmpuint(map.probation.oldest, ==, 1);
    g_assert_cmpuint(map.pages[1].next, ==, 3);
    g_assert_cmpuint(map.pages[3].next, ==, 2);
    g_assert_cmpuint(map.pages[2].next, ==, 0);
    page_map_destroy(&map);
}

/* A page that the guest wants too, and that goes like one nobody wants. */
static void test_visited(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 6; i++) {
        if (i % 2) {
            page_map_get(&map, i)->flags |= PAGE_VISITED;
        }
        make_resident(&map, i);
    }
    g_assert_cmpuint(map.visited.nr, ==, 3);
    g_assert_cmpuint(map.visited.oldest, ==, 1);
    g_assert_cmpuint(map.visited.youngest, ==, 5);
    page_map_claim(&map, 3);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.visited.nr, ==, 2);
    g_assert_cmpuint(map.pages[1].next, ==, 5);
    g_assert_cmpuint(map.probation.youngest, ==, 3);
    g_assert_false(page_has(page_map_get(&map, 3), PAGE_VISITED));
    page_map_rotate(&map, 1);
    g_assert_cmpuint(map.visited.oldest, ==, 5);
    page_map_move(&map, 5, PAGE_ZERO);
    g_assert_false(page_has(page_map_get(&map, 5), PAGE_VISITED));
    page_map_move(&map, 1, PAGE_STANDBY);
    g_assert_cmpuint(map.visited.nr, ==, 0);
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/*
 * If this fails, a page that the guest needs no more stays, or one that it
 * needs goes in its place.
 */
static void test_yield(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    for (uint32_t i = 0; i < 6; i++) {
        page_map_get(&map, i)->flags |= i % 2 ? PAGE_PROTECTED |
                                                PAGE_REFERENCED : 0;
        make_resident(&map, i);
    }
    page_map_yield(&map, 3);
    page_map_yield(&map, 2);
    page_map_yield(&map, 3);
    g_assert_true(page_map_sane(&map));
    g_assert_cmpuint(map.visited.oldest, ==, 2);
    g_assert_cmpuint(map.visited.youngest, ==, 3);
    g_assert_cmpuint(map.probation.nr, ==, 2);
    g_assert_cmpuint(map.protected.nr, ==, 2);
    g_assert_false(page_has(page_map_get(&map, 3),
                            PAGE_PROTECTED | PAGE_REFERENCED));
    page_map_claim(&map, 3);
    g_assert_cmpuint(map.probation.youngest, ==, 3);
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/*
 * What was known of a page that went, or that the guest gave back, says nothing
 * of the one that comes in its place; but the store's copy is known of.
 */
static void test_history(void)
{
    PageMap map;
    Page *page;

    g_assert_true(page_map_init(&map, NR));
    page = page_map_get(&map, 1);
    page_set_stored(page, 1);
    page->flags |= PAGE_HISTORY;
    make_resident(&map, 1);
    page_map_move(&map, 1, PAGE_ZERO);
    g_assert_cmphex(page->flags, ==, PAGE_STORED);
    make_resident(&map, 1);
    g_assert_cmpuint(map.protected.nr, ==, 0);
    page_map_move(&map, 1, PAGE_STANDBY);
    page->flags |= PAGE_HISTORY;
    page_map_move(&map, 1, PAGE_REMOTE);
    g_assert_cmphex(page->flags, ==, PAGE_STORED);
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/* A hash that comes back changed makes each fetch look corrupt. */
static void test_hash(void)
{
    PageMap map;
    Page *page;

    g_assert_true(page_map_init(&map, NR));
    page = page_map_get(&map, 3);
    page_set_stored(page, 0xfedcba9876543210ull);
    g_assert_true(page_has(page, PAGE_STORED));
    g_assert_cmphex(page_hash(page), ==, 0xfedcba9876543210ull);
    page_map_destroy(&map);
}

/* A way that is not in the table loses a page sooner or later. */
static void forbidden_way(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    page_map_move(&map, 0, PAGE_STANDBY);
}

static void test_forbidden(void)
{
    if (g_test_subprocess()) {
        forbidden_way();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

/* The checker has to see what it is there for. */
static void test_insane(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR));
    make_resident(&map, 1);
    make_resident(&map, 2);
    g_assert_true(page_map_sane(&map));
    map.count[PAGE_ZERO]--;
    g_assert_false(page_map_sane(&map));
    map.count[PAGE_ZERO]++;
    map.pages[2].prev = 7;
    g_assert_false(page_map_sane(&map));
    map.pages[2].prev = 1;
    map.pages[5].flags = PAGE_BUSY | PAGE_STORED;
    g_assert_false(page_map_sane(&map));
    map.pages[5].flags = 0;
    map.pages[6].state = PAGE_REMOTE;
    g_assert_false(page_map_sane(&map));
    map.pages[6].state = PAGE_ZERO;
    map.pages[6].flags = PAGE_PROTECTED;
    g_assert_false(page_map_sane(&map));
    map.pages[6].flags = 0;
    g_assert_true(page_map_sane(&map));
    map.pages[2].flags = PAGE_PROTECTED;
    g_assert_false(page_map_sane(&map));
    map.pages[2].flags = PAGE_VISITED;
    g_assert_false(page_map_sane(&map));
    map.pages[2].flags = 0;
    map.pages[5].flags = PAGE_VISITED;
    g_assert_false(page_map_sane(&map));
    page_map_destroy(&map);
}

/* Flags that may come and go with a page that is not in a list, on its way. */
static void random_history(Page *page)
{
    page->flags &= ~PAGE_HISTORY;
    if (g_test_rand_bit()) {
        page->flags |= PAGE_VISITED | (g_test_rand_int() & PAGE_PROBE);
    } else {
        page->flags |= g_test_rand_int() & PAGE_HISTORY & ~PAGE_VISITED;
    }
}

/* How a fetch ends: well, as a probe, failed, or given back meanwhile. */
static void random_arrival(PageMap *map, uint32_t index)
{
    static const PageState to[] = {
        PAGE_RESIDENT, PAGE_STANDBY, PAGE_REMOTE, PAGE_ZERO
    };
    Page *page = page_map_get(map, index);
    PageState next = to[g_test_rand_int_range(0, ARRAY_SIZE(to))];

    if (g_test_rand_bit()) {
        page->flags |= PAGE_GIVEN_BACK;
        return;
    }
    if (page_has(page, PAGE_GIVEN_BACK)) {
        page->flags &= ~PAGE_GIVEN_BACK;
        page_map_move(map, index, PAGE_ZERO);
        return;
    }
    random_history(page);
    page_map_move(map, index, next);
}

/* Where it is on which list. */
static void random_place(PageMap *map, uint32_t index)
{
    switch (g_test_rand_int_range(0, 5)) {
    case 0:
        page_map_rotate(map, index);
        break;
    case 1:
        page_map_expose(map, index);
        break;
    case 2:
        if (page_has(page_map_get(map, index), PAGE_VISITED)) {
            page_map_claim(map, index);
        }
        break;
    case 3:
        page_map_yield(map, index);
        break;
    }
}

/* One step of a random life; the states and flags that shards produce. */
static void random_step(PageMap *map, uint32_t index)
{
    Page *page = page_map_get(map, index);

    switch (page->state) {
    case PAGE_ZERO:
    case PAGE_SOURCE:
        page_map_move(map, index, PAGE_RESIDENT);
        break;
    case PAGE_RESIDENT:
        random_place(map, index);
        page_map_move(map, index, g_test_rand_int_range(0, 8) ? PAGE_STANDBY
                                                              : PAGE_ZERO);
        break;
    case PAGE_STANDBY:
        if (g_test_rand_bit()) {
            random_history(page);
            page_set_stored(page, g_test_rand_int());
            page_map_move(map, index, PAGE_REMOTE);
        } else {
            random_history(page);
            page_map_move(map, index, PAGE_RESIDENT);
        }
        break;
    case PAGE_REMOTE:
        page_map_move(map, index, g_test_rand_int_range(0, 8) ? PAGE_FETCHING
                                                              : PAGE_ZERO);
        break;
    case PAGE_FETCHING:
        random_arrival(map, index);
        break;
    }
}

/*
 * Pages that are taken for zero and are not would be left behind when memory
 * is given back; and if all were looked at, that would take long.
 */
static void test_zeros(void)
{
    PageMap map;
    uint32_t nr = 4 * PAGE_MAP_CHUNK + 3, second = PAGE_MAP_CHUNK;

    g_assert_true(page_map_init(&map, nr));
    g_assert_cmpuint(page_map_zeros(&map, 0, nr), ==, nr);
    g_assert_cmpuint(page_map_zeros(&map, 7, 5), ==, 5);
    g_assert_cmpuint(page_map_zeros(&map, nr - 1, 1), ==, 1);
    make_resident(&map, second + 9);
    make_resident(&map, second + 10);
    g_assert_cmpuint(page_map_zeros(&map, 0, nr), ==, second);
    g_assert_cmpuint(page_map_zeros(&map, second - 2, nr - second), ==, 2);
    g_assert_cmpuint(page_map_zeros(&map, second, nr - second), ==, 0);
    g_assert_cmpuint(page_map_zeros(&map, second + 11, 1), ==, 0);
    page_map_move(&map, second + 9, PAGE_ZERO);
    g_assert_cmpuint(page_map_zeros(&map, second, 1), ==, 0);
    /* Ways between other states change nothing. */
    page_map_move(&map, second + 10, PAGE_STANDBY);
    page_set_stored(page_map_get(&map, second + 10), 1);
    page_map_move(&map, second + 10, PAGE_REMOTE);
    g_assert_cmpuint(page_map_zeros(&map, second, 1), ==, 0);
    page_map_move(&map, second + 10, PAGE_ZERO);
    g_assert_cmpuint(page_map_zeros(&map, 0, nr), ==, nr);
    make_resident(&map, nr - 1);
    g_assert_cmpuint(page_map_zeros(&map, 0, nr), ==, nr - 3);
    g_assert_true(page_map_sane(&map));
    page_map_destroy(&map);
}

/* Counters and lists have to agree with the pages, whatever happens. */
static void test_random(void)
{
    PageMap map;

    g_assert_true(page_map_init(&map, NR_RANDOM));
    for (int i = 0; i < 100000; i++) {
        random_step(&map, g_test_rand_int_range(0, NR_RANDOM));
        g_assert_true(page_map_sane(&map));
    }
    page_map_destroy(&map);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/page-map/footprint", test_footprint);
    g_test_add_func("/remote-memory/page-map/new", test_new);
    g_test_add_func("/remote-memory/page-map/huge", test_huge);
    g_test_add_func("/remote-memory/page-map/order", test_order);
    g_test_add_func("/remote-memory/page-map/middle", test_middle);
    g_test_add_func("/remote-memory/page-map/join", test_join);
    g_test_add_func("/remote-memory/page-map/lists", test_lists);
    g_test_add_func("/remote-memory/page-map/expose", test_expose);
    g_test_add_func("/remote-memory/page-map/visited", test_visited);
    g_test_add_func("/remote-memory/page-map/yield", test_yield);
    g_test_add_func("/remote-memory/page-map/history", test_history);
    g_test_add_func("/remote-memory/page-map/hash", test_hash);
    g_test_add_func("/remote-memory/page-map/forbidden", test_forbidden);
    g_test_add_func("/remote-memory/page-map/insane", test_insane);
    g_test_add_func("/remote-memory/page-map/zeros", test_zeros);
    g_test_add_func("/remote-memory/page-map/random", test_random);
    return g_test_run();
}
