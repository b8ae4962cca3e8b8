/*
 * Unit tests: which pages stay in the cache
 *
 * By what a guest would notice: how often it has to wait for the store.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-cache-sim.h"

/* From the smallest cache that is allowed to one of 32 MiB. */
static const uint32_t caches[] = { 32, 180, 1000, 8192 };

/* A VM with twelve times the cache, all of it in use: that is where it gets. */
static void init_full(CacheSim *sim, uint32_t cache)
{
    cache_sim_init(sim, 12 * cache, cache);
    cache_sim_touch_range(sim, 0, 12 * cache);
    cache_sim_reset(sim);
}

static void touch_random(CacheSim *sim, uint32_t first, uint32_t nr,
                         uint32_t times)
{
    while (times--) {
        cache_sim_touch(sim, first + g_test_rand_int_range(0, nr));
    }
}

/*
 * If this fails, a backup that reads all of memory once throws out what the
 * guest works with meanwhile.
 */
static void check_scan(uint32_t cache)
{
    uint32_t hot = cache / 4, scan = 10 * cache;
    uint64_t hot_fetched = 0;
    CacheSim sim;

    init_full(&sim, cache);
    touch_random(&sim, 0, hot, 8 * cache);
    for (uint32_t i = 0; i < scan; i++) {
        uint64_t before;

        cache_sim_touch(&sim, 2 * cache + i);
        before = sim.fetched;
        cache_sim_touch(&sim, i % hot);
        hot_fetched += sim.fetched - before;
    }
    g_test_message("cache of %u pages: %" PRIu64 " of %u scanned pages cost "
                   "one in use", cache, hot_fetched, scan);
    /* First in, first out: one of four. */
    g_assert_cmpuint(hot_fetched, <=, scan / 8);
    g_assert_cmpuint(cache_sim_local(&sim, 0, hot), >=, hot - hot / 8);
    g_assert_true(cache_sim_sane(&sim));
    cache_sim_destroy(&sim);
}

/* What visitors may have: a 16th of the cache, and what evictions lag by. */
static uint32_t visit_room(uint32_t cache)
{
    return cache / 16 + 1 + 2 * (cache / 64 + 4);
}

/*
 * If this fails, a migration throws out what the guest works with, at once or
 * when the guest goes on.
 */
static void check_visitor(uint32_t cache)
{
    uint32_t set = cache / 2, local, room;
    CacheSim sim;

    init_full(&sim, cache);
    room = visit_room(cache);
    touch_random(&sim, 0, set, 16 * cache);
    touch_random(&sim, 2 * cache, 2 * cache, cache);
    touch_random(&sim, 0, set, 16 * cache);
    local = cache_sim_local(&sim, 0, 12 * cache);
    g_assert_cmpuint(cache_sim_local(&sim, 0, set), ==, set);
    sim.visiting = true;
    for (uint32_t i = 0; i < 12 * cache; i++) {
        cache_sim_visit(&sim, i);
        g_assert_cmpuint(sim.map.visited.nr, <=, room);
    }
    g_assert_cmpuint(sim.visits, >=, 12 * cache - local);
    g_assert_cmpuint(cache_sim_local(&sim, 0, set), ==, set);
    sim.visiting = false;
    cache_sim_reset(&sim);
    cache_sim_touch_range(&sim, 0, set);
    g_assert_cmpuint(sim.fetched, ==, 0);
    /* What they left goes before anything else. */
    touch_random(&sim, 2 * cache, 10 * cache, 3 * room);
    g_assert_cmpuint(sim.map.visited.nr, ==, 0);
    g_assert_true(cache_sim_sane(&sim));
    cache_sim_destroy(&sim);
}

/* If this fails, what is used often has to be fetched as often as the rest. */
static void check_hot_and_cold(uint32_t cache)
{
    uint32_t hot = cache / 2, hot_touches = 0;
    uint64_t hot_fetched = 0;
    CacheSim sim;

    init_full(&sim, cache);
    for (uint32_t i = 0; i < 80 * cache; i++) {
        bool is_hot = i % 5;
        uint64_t before = sim.fetched;

        touch_random(&sim, 0, is_hot ? hot : sim.map.nr, 1);
        if (is_hot && i > 40 * cache) {
            hot_touches++;
            hot_fetched += sim.fetched - before;
        }
    }
    g_test_message("cache of %u pages: %" PRIu64 " of %u touches of the hot "
                   "half", cache, hot_fetched, hot_touches);
    g_assert_cmpuint(hot_fetched, <, hot_touches / 10);
    cache_sim_destroy(&sim);
}

/* If this fails, a guest that fits in its cache never comes to rest. */
static void check_loop_that_fits(uint32_t cache)
{
    uint32_t loop = cache * 9 / 10;
    CacheSim sim;

    init_full(&sim, cache);
    /* Standby is as full, and pages are as protected, as they ever are. */
    touch_random(&sim, 0, 4 * cache, 16 * cache);
    for (int i = 0; i < 30; i++) {
        cache_sim_touch_range(&sim, 0, loop);
    }
    cache_sim_reset(&sim);
    cache_sim_touch_range(&sim, 0, loop);
    g_assert_cmpuint(sim.fetched, ==, 0);
    g_assert_cmpuint(sim.refaults, ==, 0);
    g_assert_cmpuint(sim.evicted, ==, 0);
    cache_sim_destroy(&sim);
}

/*
 * If this fails, what was in use once keeps the cache, and who works with
 * other pages now waits for the store for ever.
 */
static void check_phase_change(uint32_t cache)
{
    uint32_t set = cache * 8 / 10;
    CacheSim sim;

    init_full(&sim, cache);
    /* Under pressure, so that the old set is protected as far as it can be. */
    for (uint32_t i = 0; i < 40 * cache; i++) {
        touch_random(&sim, 0, i % 5 ? set : 2 * cache, 1);
    }
    for (int i = 0; i < 10; i++) {
        touch_random(&sim, 2 * cache, set, set);
    }
    cache_sim_reset(&sim);
    touch_random(&sim, 2 * cache, set, 8 * set);
    g_test_message("cache of %u pages: %" PRIu64 " of %" PRIu64 " touches",
                   cache, sim.fetched, sim.touches);
    g_assert_cmpuint(sim.fetched, <=, sim.touches / 50);
    g_assert_cmpuint(cache_sim_local(&sim, 2 * cache, set), >=,
                     set - set / 10);
    cache_sim_destroy(&sim);
}

/*
 * If this fails, a page that has shown that it is in use goes before one that
 * came at the same time and has not.
 */
static void test_refaulted_stays(void)
{
    uint32_t used = 0, unused = 11999, next = 2000;
    CacheSim sim;

    init_full(&sim, 1000);
    g_assert_cmpuint(sim.map.probation.youngest, ==, unused);
    while (!sim.map.count[PAGE_STANDBY]) {
        cache_sim_touch(&sim, next++);
    }
    used = sim.standby.slots[standby_index(&sim.standby,
                                           sim.standby.head - 1)].page;
    cache_sim_touch(&sim, used);
    while (cache_sim_local(&sim, unused, 1)) {
        g_assert_cmpuint(cache_sim_local(&sim, used, 1), ==, 1);
        cache_sim_touch(&sim, next++);
    }
    cache_sim_destroy(&sim);
}

/* If this fails, a page that is used once is never let go. */
static void test_all_go(void)
{
    CacheSim sim;

    init_full(&sim, 180);
    touch_random(&sim, 0, 90, 4000);
    for (int i = 0; i < 64 * 180; i++) {
        cache_sim_touch(&sim, 180 + i % (11 * 180));
    }
    g_assert_cmpuint(cache_sim_local(&sim, 0, 90), ==, 0);
    cache_sim_destroy(&sim);
}

/* If this fails, an empty cache, or one full of pages in use, hangs a pager. */
static void test_corners(void)
{
    Replacement r = { 0 };
    PageMap map;

    g_assert_true(page_map_init(&map, 100));
    for (int i = 0; i < 64; i++) {
        g_assert_cmpuint(replacement_victim(&r, &map), ==, PAGE_NONE);
    }
    for (uint32_t i = 0; i < 100; i++) {
        Page *page = page_map_get(&map, i);

        replacement_refaulted(page);
        page_map_move(&map, i, PAGE_RESIDENT);
    }
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t victim = replacement_victim(&r, &map);

        g_assert_cmpuint(victim, <, 100);
        page_map_move(&map, victim, PAGE_STANDBY);
        g_assert_true(page_map_sane(&map));
    }
    g_assert_cmpuint(replacement_victim(&r, &map), ==, PAGE_NONE);
    page_map_destroy(&map);
}

/*
 * A map with @nr resident pages; the first @protected of them are protected,
 * and the last @visited, of those that are not.
 */
static void resident_map(PageMap *map, uint32_t nr, uint32_t protected,
                         uint32_t visited)
{
    g_assert_true(page_map_init(map, nr));
    for (uint32_t i = 0; i < nr; i++) {
        if (i < protected) {
            page_map_get(map, i)->flags |= PAGE_PROTECTED;
        } else if (i >= nr - visited) {
            page_map_get(map, i)->flags |= PAGE_VISITED;
        }
        page_map_move(map, i, PAGE_RESIDENT);
    }
}

/* If this fails, pages that a visitor has read go after those it will read. */
static void test_visited_order(void)
{
    Replacement r = { 0 };
    PageMap map;

    g_assert_true(page_map_init(&map, 400));
    for (uint32_t i = 0; i < 400; i++) {
        if (i >= 200) {
            page_map_get(&map, i)->flags |= PAGE_VISITED;
        } else if (i >= 100) {
            page_map_get(&map, i)->flags |= PAGE_PROTECTED;
        }
        page_map_move(&map, i, PAGE_RESIDENT);
    }
    replacement_visit(&r, true, 160);
    g_assert_cmpuint(replacement_visited_surplus(&r, &map), ==, 190);
    for (uint32_t i = 200; i < 390; i++) {
        g_assert_cmpuint(replacement_victim(&r, &map), ==, i);
        replacement_evicted(&r, page_map_get(&map, i), 1);
        page_map_move(&map, i, PAGE_STANDBY);
    }
    g_assert_cmpint(r.owed, ==, 0);
    g_assert_cmpuint(replacement_visited_surplus(&r, &map), ==, 0);
    g_assert_cmpuint(replacement_victim(&r, &map), <, 200);
    /* They leave: so does what is there for them. */
    replacement_visit(&r, false, 160);
    g_assert_cmpuint(replacement_victim(&r, &map), ==, 390);
    page_map_destroy(&map);
}

/*
 * All pages of a cache were there before, but only some were in use, in another
 * order.  If this fails, those go before others, or not in that order.
 */
static void test_recall(void)
{
    static const uint32_t used[] = { 7, 30, 12, 50, 1 };
    const unsigned history = PAGE_PROTECTED | PAGE_REFERENCED;
    Replacement r = { .drops = 5 };
    PageMap map;

    g_assert_true(page_map_init(&map, 100));
    for (uint32_t i = 0; i < 80; i++) {
        if (i % 3 == 0) {
            page_map_get(&map, i)->flags |= history;
        }
        page_map_move(&map, i, PAGE_RESIDENT);
    }
    for (uint32_t i = 60; i < 80; i++) {
        page_map_move(&map, i, PAGE_STANDBY);
    }
    for (uint32_t i = 0; i < 100; i++) {
        replacement_unused(&r, &map, i);
        g_assert_false(page_has(page_map_get(&map, i), history));
        g_assert_cmpint(page_has(page_map_get(&map, i), PAGE_VISITED), ==,
                        i < 80);
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(used); i++) {
        replacement_was_used(&r, &map, used[i], i);
    }
    /* Nor does what could not be brought back count as unused. */
    replacement_was_used(&r, &map, 70, ARRAY_SIZE(used));
    g_assert_false(page_has(page_map_get(&map, 70), PAGE_VISITED));
    /* Once more is no mistake. */
    replacement_was_used(&r, &map, used[ARRAY_SIZE(used) - 1], 0);
    g_assert_true(page_map_sane(&map));
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t index = replacement_victim(&r, &map);

        if (i >= 60 - ARRAY_SIZE(used)) {
            g_assert_cmpuint(index, ==, used[59 - i]);
        }
        replacement_evicted(&r, page_map_get(&map, index), 1);
        page_map_move(&map, index, PAGE_STANDBY);
    }
    page_map_destroy(&map);
}

/* What is remote counts as dropped in the order in which it was used. */
static void test_recall_remote(void)
{
    Replacement r = { .drops = 5 };
    PageMap map;

    g_assert_true(page_map_init(&map, 3));
    for (uint32_t i = 0; i < 3; i++) {
        page_set_stored(page_map_get(&map, i), 1);
        page_map_move(&map, i, PAGE_REMOTE);
        page_map_get(&map, i)->dropped = i;
        replacement_unused(&r, &map, i);
    }
    replacement_was_used(&r, &map, 2, 0);
    replacement_was_used(&r, &map, 0, UINT32_MAX);
    g_assert_cmpuint(r.drops - map.pages[2].dropped, ==, 1);
    g_assert_cmpuint(r.drops - map.pages[0].dropped, <, REPLACEMENT_LONG_AGO);
    g_assert_cmpuint(r.drops - map.pages[1].dropped, ==,
                     REPLACEMENT_LONG_AGO);
    page_map_destroy(&map);
}

/* If this fails, a page is held for used again since a visitor has read it. */
static void test_visit_is_no_use(void)
{
    Replacement r = { .drops = 5 };
    Page page = { .state = PAGE_REMOTE, .flags = PAGE_VISITED };

    replacement_dropped(&r, &page);
    g_assert_cmpuint(r.drops, ==, 5);
    page.flags = 0;
    replacement_fetched(&r, &page, 1u << 30);
    g_assert_cmphex(page.flags, ==, 0);
    replacement_dropped(&r, &page);
    g_assert_cmpuint(r.drops, ==, 6);
    replacement_fetched(&r, &page, 1u << 30);
    g_assert_cmphex(page.flags, ==, PAGE_PROTECTED | PAGE_REFERENCED);
}

/*
 * If this fails, pages that lie side by side, and so go many at a time, drive
 * out others that are used more.
 */
static void test_runs(void)
{
    uint32_t went[2] = { 0 };
    Replacement r = { 0 };
    PageMap map;

    resident_map(&map, 10000, 5000, 0);
    for (int i = 0; i < 10000; i++) {
        uint32_t victim = replacement_victim(&r, &map);
        const Page *page = page_map_get(&map, victim);
        bool protected = page_has(page, PAGE_PROTECTED);
        uint32_t nr = protected ? 16 : 2;

        /* The pages are not moved, only counted. */
        replacement_evicted(&r, page, nr);
        went[protected] += nr;
    }
    g_test_message("%u on probation, %u protected", went[0], went[1]);
    g_assert_cmpuint(went[1], >, 0);
    g_assert_cmpuint(went[1] * 14, <=, went[0]);
    g_assert_cmpuint(went[1] * 16, >=, went[0] - 16 * 16);
    page_map_destroy(&map);
}

/* If this fails, the cache grows although there is a page that could go. */
static void test_one_can_go(void)
{
    const uint32_t nr = 1000, lists[] = { 0, 1, 50, 500, 950, 999, 1000 };
    const uint32_t visited[] = { 0, 20, 1000 };

    for (int i = 0; i < 2 * ARRAY_SIZE(lists) * ARRAY_SIZE(visited); i++) {
        uint32_t free_page = g_test_rand_int_range(0, nr), victim;
        Replacement r = { .room = i % 2 * 30 };
        PageMap map;

        resident_map(&map, nr, lists[i / 2 % ARRAY_SIZE(lists)],
                     visited[i / 2 / ARRAY_SIZE(lists)]);
        while ((victim = replacement_victim(&r, &map)) != free_page) {
            replacement_skipped(&r, &map, victim);
            g_assert_false(replacement_stuck(&r, &map));
        }
        replacement_evicted(&r, page_map_get(&map, victim), 1);
        page_map_move(&map, victim, PAGE_STANDBY);
        for (uint32_t k = 0; !replacement_stuck(&r, &map); k++) {
            g_assert_cmpuint(k, <=, 5 * nr);
            replacement_skipped(&r, &map, replacement_victim(&r, &map));
        }
        page_map_destroy(&map);
    }
}

/* If this fails, so do the first pages after four billion drops. */
static void test_wrap(void)
{
    CacheSim sim;

    cache_sim_init(&sim, 12000, 1000);
    sim.replacement.drops = UINT32_MAX - 2000;
    cache_sim_touch_range(&sim, 0, 12000);
    touch_random(&sim, 0, 500, 8000);
    cache_sim_reset(&sim);
    touch_random(&sim, 0, 500, 8000);
    g_assert_cmpuint(sim.fetched, ==, 0);
    g_assert_true(cache_sim_sane(&sim));
    cache_sim_destroy(&sim);
}

static void random_resize(CacheSim *sim)
{
    budget_set_target(&sim->budget, g_test_rand_int_range(BUDGET_MIN_PAGES,
                                                          sim->map.nr + 1));
    cache_sim_evict(sim);
}

/* Touches and resizes in any order: nothing is lost, and nothing hangs. */
static void test_random(void)
{
    CacheSim sim;

    cache_sim_init(&sim, 300, 60);
    for (int i = 0; i < 50000; i++) {
        uint32_t first = g_test_rand_int_range(0, 300);

        switch (g_test_rand_int_range(0, 40)) {
        case 0:
            random_resize(&sim);
            break;
        case 2:
            sim.visiting = !sim.visiting;
            break;
        case 3 ... 15:
            cache_sim_visit(&sim, first);
            break;
        case 1:
            cache_sim_touch_range(&sim, first,
                                  g_test_rand_int_range(0, 300 - first + 1));
            break;
        default:
            cache_sim_touch(&sim, first);
            break;
        }
        g_assert_true(cache_sim_sane(&sim));
    }
    cache_sim_destroy(&sim);
}

static void test_cache(gconstpointer opaque)
{
    void (*check)(uint32_t cache) = opaque;

    for (int i = 0; i < ARRAY_SIZE(caches); i++) {
        check(caches[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/remote-memory/replacement/scan", check_scan,
                         test_cache);
    g_test_add_data_func("/remote-memory/replacement/visitor", check_visitor,
                         test_cache);
    g_test_add_data_func("/remote-memory/replacement/hot-and-cold",
                         check_hot_and_cold, test_cache);
    g_test_add_data_func("/remote-memory/replacement/loop-that-fits",
                         check_loop_that_fits, test_cache);
    g_test_add_data_func("/remote-memory/replacement/phase-change",
                         check_phase_change, test_cache);
    g_test_add_func("/remote-memory/replacement/refaulted-stays",
                    test_refaulted_stays);
    g_test_add_func("/remote-memory/replacement/all-go", test_all_go);
    g_test_add_func("/remote-memory/replacement/corners", test_corners);
    g_test_add_func("/remote-memory/replacement/visited-order",
                    test_visited_order);
    g_test_add_func("/remote-memory/replacement/visit-is-no-use",
                    test_visit_is_no_use);
    g_test_add_func("/remote-memory/replacement/recall", test_recall);
    g_test_add_func("/remote-memory/replacement/recall-remote",
                    test_recall_remote);
    g_test_add_func("/remote-memory/replacement/runs", test_runs);
    g_test_add_func("/remote-memory/replacement/one-can-go", test_one_can_go);
    g_test_add_func("/remote-memory/replacement/wrap", test_wrap);
    g_test_add_func("/remote-memory/replacement/random", test_random);
    return g_test_run();
}
