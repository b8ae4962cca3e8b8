/*
 * Unit tests: budget of a shard
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-cache-sim.h"

#define PAGES 100000

static void take(Budget *budget, uint32_t n)
{
    while (n--) {
        g_assert_true(budget_take(budget));
    }
}

/* A budget that gives more than it has breaks the bound. */
static void test_bound(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 1000);
    g_assert_false(budget_take(&b));
    budget_release(&b);
    take(&b, 1);
    g_assert_false(budget_take(&b));
    g_assert_cmpuint(budget_grant(&b), ==, 1);
    g_assert_cmpuint(budget_grant(&b), ==, 0);
    take(&b, 1);
    g_assert_false(budget_take(&b));
}

/* What is granted beyond the bound has to come back. */
static void test_grant_ends(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 1000);
    for (int i = 0; i < 100; i++) {
        g_assert_cmpuint(budget_grant(&b), ==, 1);
        take(&b, 1);
    }
    g_assert_true(budget_shrinking(&b));
    budget_drop(&b, 200);
    g_assert_cmpuint(b.limit, ==, 1000);
}

/* Evicting what fits would be for nothing: by default, all of the RAM does. */
static void test_all_fits(void)
{
    CacheSim sim;

    cache_sim_init(&sim, 1000, 1000);
    for (int i = 0; i < 3; i++) {
        cache_sim_touch_range(&sim, 0, 1000);
    }
    g_assert_cmpuint(sim.evicted, ==, 0);
    g_assert_cmpuint(sim.zero_fills, ==, 1000);
    cache_sim_destroy(&sim);
}

/* A cache that has become large enough must not be used in part only. */
static void test_grow_to_all(void)
{
    CacheSim sim;

    cache_sim_init(&sim, 1000, 300);
    for (int i = 0; i < 3; i++) {
        cache_sim_touch_range(&sim, 0, 1000);
    }
    budget_set_target(&sim.budget, 1000);
    cache_sim_touch_range(&sim, 0, 1000);
    cache_sim_reset(&sim);
    cache_sim_touch_range(&sim, 0, 1000);
    g_assert_cmpuint(sim.refaults + sim.fetched + sim.evicted, ==, 0);
    cache_sim_destroy(&sim);
}

/*
 * If what the guest uses fits, it must not go on to fault on pages that were
 * put in standby when it did not.
 */
static void test_standby_drains(void)
{
    CacheSim sim;

    cache_sim_init(&sim, 4000, 1000);
    for (int i = 0; i < 3; i++) {
        cache_sim_touch_range(&sim, 0, 4000);
    }
    for (int i = 0; i < 10; i++) {
        cache_sim_touch_range(&sim, 1000, 900);
    }
    cache_sim_reset(&sim);
    cache_sim_touch_range(&sim, 1000, 900);
    g_assert_cmpuint(sim.refaults + sim.fetched + sim.evicted, ==, 0);
    g_assert_cmpuint(budget_evict_want(&sim.budget, sim.standby.filled), ==,
                     0);
    cache_sim_destroy(&sim);
}

/*
 * If there is more than fits, pages have to be in standby for some time before
 * they are dropped: without, there is neither a second chance nor time for
 * the store to take them.
 */
static void test_standby_fills(void)
{
    static const uint32_t caches[] = { 180, 1000, 8192, 65536 };

    for (int i = 0; i < ARRAY_SIZE(caches); i++) {
        uint32_t cache = caches[i];
        uint64_t sum = 0;
        CacheSim sim;

        cache_sim_init(&sim, 3 * cache, cache);
        cache_sim_touch_range(&sim, 0, 3 * cache);
        for (uint32_t j = 0; j < 3 * cache; j++) {
            cache_sim_touch(&sim, j);
            sum += sim.standby.filled;
        }
        g_test_message("cache of %u pages: %" PRIu64 " in standby", cache,
                       sum / (3 * cache));
        g_assert_cmpuint(sum / (3 * cache), >=,
                         budget_standby_goal(&sim.budget) / 4);
        g_assert_cmpuint(sum / (3 * cache), <=, cache / 4);
        cache_sim_destroy(&sim);
    }
}

/* Without a reserve each fault waits for an eviction. */
static void test_reserve(void)
{
    Budget b;
    uint32_t free;

    budget_init(&b, PAGES, 1000);
    while (!budget_excess(&b)) {
        take(&b, 1);
    }
    free = b.target - b.used;
    g_assert_cmpuint(free, >, 0);
    g_assert_cmpuint(budget_excess(&b), >, free);
    budget_drop(&b, budget_excess(&b));
    g_assert_cmpuint(budget_excess(&b), ==, 0);
    g_assert_cmpuint(b.target - b.used, >, free);
}

/* What is fetched ahead must not take the room of what is waited for. */
static void test_spare(void)
{
    for (uint32_t target = BUDGET_MIN_PAGES; target < 5000; target++) {
        uint32_t left = 0;
        Budget b;

        budget_init(&b, PAGES, target);
        while (budget_spare(&b) >= 1) {
            take(&b, 1);
        }
        g_assert_false(budget_spare(&b) >= 16);
        while (budget_take(&b)) {
            left++;
        }
        g_assert_cmpuint(left, >, 0);
        g_assert_cmpuint(left, <, target / 4);
    }
}

/* A cache that has to shrink must not be filled with what nobody asked for. */
static void test_spare_shrinking(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 900);
    budget_set_target(&b, 500);
    budget_drop(&b, 300);
    g_assert_false(budget_spare(&b) >= 1);
    budget_drop(&b, 500);
    g_assert_false(budget_shrinking(&b));
    g_assert_true(budget_spare(&b) >= 1);
}

/* Resident, standby and reserve have to fit together, however small. */
static void test_goals_fit(void)
{
    for (uint32_t target = BUDGET_MIN_PAGES; target < 5000; target++) {
        Budget b;

        budget_init(&b, PAGES, target);
        g_assert_cmpuint(budget_fetch_depth(&b), >=, 1);
        g_assert_cmpuint(budget_fetch_depth(&b), <, target);
        g_assert_cmpuint(budget_evict_want(&b, 0), ==, 0);
        take(&b, target);
        g_assert_cmpuint(budget_evict_want(&b, 0), >, 0);
        g_assert_cmpuint(budget_evict_want(&b, 0), <=, target / 2);
        g_assert_cmpuint(budget_standby_goal(&b) + budget_excess(&b), <=,
                         target / 2);
    }
}

/*
 * If this fails, pages that nobody has asked for push out what the guest uses;
 * or room stays unused for ever.
 */
static void test_idle(void)
{
    static const uint32_t targets[] = { 32, 180, 1000, 20000, PAGES };

    for (int i = 0; i < ARRAY_SIZE(targets); i++) {
        uint32_t target = targets[i], idle;
        Budget b;

        budget_init(&b, PAGES, target);
        take(&b, target / 4);
        idle = budget_idle(&b);
        g_assert_cmpuint(idle, >=, target / 4);
        g_assert_true(target < 1000 || idle >= target * 7 / 10);
        take(&b, idle);
        g_assert_cmpuint(budget_idle(&b), ==, 0);
        g_assert_cmpuint(budget_excess(&b), ==, 0);
        g_assert_cmpuint(budget_evict_want(&b, 0), ==, 0);
        take(&b, b.limit - b.used);
        g_assert_cmpuint(budget_idle(&b), ==, 0);
        budget_set_target(&b, target / 2);
        g_assert_cmpuint(budget_idle(&b), ==, 0);
    }
}

/* What is owed has an end, whatever was evicted. */
static void test_owed(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 1000);
    g_assert_cmpuint(b.owed, <=, budget_standby_goal(&b));
    budget_evicted(&b, 10000);
    g_assert_cmpuint(b.owed, ==, 0);
    /* Nothing to make up for: only what is needed for the reserve. */
    g_assert_cmpuint(budget_evict_want(&b, budget_excess(&b)), ==, 0);
    g_assert_cmpuint(budget_evict_want(&b, 0), ==, budget_excess(&b));
}

/*
 * A guest that faults all the time must not keep the cache from shrinking,
 * and the shrinking must not keep the guest from going on.
 */
static void test_shrink_under_load(void)
{
    Budget b;
    uint64_t served = 0, dropped = 0;

    budget_init(&b, PAGES, 50000);
    take(&b, 50000);
    budget_set_target(&b, 45);
    while (budget_shrinking(&b)) {
        uint32_t limit = b.limit;

        budget_drop(&b, 1);
        dropped++;
        while (budget_take(&b)) {
            served++;
        }
        g_assert_cmpuint(b.limit, <=, limit);
        g_assert_cmpuint(b.used, <=, b.limit);
        g_assert_cmpuint(dropped, <=, 2 * 50000);
    }
    g_assert_cmpuint(served, >, 40000);
    g_assert_cmpuint(b.limit, ==, 45);
}

/* If this fails, who was told that a target is reached finds more in use. */
static void test_reached_is_held(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 1000);
    budget_set_target(&b, 100);
    while (budget_shrinking(&b)) {
        budget_drop(&b, 1);
    }
    while (budget_take(&b)) {
        g_assert_cmpuint(b.used, <=, 100);
    }
    g_assert_cmpuint(b.used, ==, 100);
    g_assert_false(budget_shrinking(&b));
}

/* Growing is at once, also while shrinking. */
static void test_grow(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 1000);
    budget_set_target(&b, 100);
    budget_drop(&b, 10);
    budget_set_target(&b, 2000);
    g_assert_false(budget_shrinking(&b));
    take(&b, 1010);
    g_assert_false(budget_take(&b));
}

/* Unused room is not kept when the target goes down. */
static void test_shrink_unused(void)
{
    Budget b;

    budget_init(&b, PAGES, 1000);
    take(&b, 10);
    budget_set_target(&b, 100);
    g_assert_cmpuint(b.limit, ==, 100);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/budget/bound", test_bound);
    g_test_add_func("/remote-memory/budget/grant-ends", test_grant_ends);
    g_test_add_func("/remote-memory/budget/all-fits", test_all_fits);
    g_test_add_func("/remote-memory/budget/standby-drains",
                    test_standby_drains);
    g_test_add_func("/remote-memory/budget/standby-fills",
                    test_standby_fills);
    g_test_add_func("/remote-memory/budget/reserve", test_reserve);
    g_test_add_func("/remote-memory/budget/spare", test_spare);
    g_test_add_func("/remote-memory/budget/spare-shrinking",
                    test_spare_shrinking);
    g_test_add_func("/remote-memory/budget/grow-to-all", test_grow_to_all);
    g_test_add_func("/remote-memory/budget/goals-fit", test_goals_fit);
    g_test_add_func("/remote-memory/budget/idle", test_idle);
    g_test_add_func("/remote-memory/budget/owed", test_owed);
    g_test_add_func("/remote-memory/budget/shrink-under-load",
                    test_shrink_under_load);
    g_test_add_func("/remote-memory/budget/reached-is-held",
                    test_reached_is_held);
    g_test_add_func("/remote-memory/budget/grow", test_grow);
    g_test_add_func("/remote-memory/budget/shrink-unused",
                    test_shrink_unused);
    return g_test_run();
}
