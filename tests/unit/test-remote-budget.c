/*
 * Unit tests: budget of a shard
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "budget.h"

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

/* Evicting what fits would be for nothing. */
static void test_all_fits(void)
{
    Budget b;

    budget_init(&b, 1000, 1000);
    take(&b, 1000);
    g_assert_cmpuint(budget_resident_goal(&b), ==, 1000);
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

/* Resident, standby and reserve have to fit together, however small. */
static void test_goals_fit(void)
{
    for (uint32_t target = BUDGET_MIN_PAGES; target < 5000; target++) {
        Budget b;

        budget_init(&b, PAGES, target);
        g_assert_cmpuint(budget_resident_goal(&b), >=, target / 2);
        g_assert_cmpuint(budget_resident_goal(&b) + budget_standby_goal(&b),
                         <, target);
        g_assert_cmpuint(budget_fetch_depth(&b), >=, 1);
        g_assert_cmpuint(budget_fetch_depth(&b), <, target);
    }
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

/* Shares that do not add up waste memory or break the bound. */
static void test_shares(void)
{
    for (unsigned n = 1; n < 10; n++) {
        for (uint64_t cache = 180; cache < 400; cache++) {
            uint64_t sum = 0;

            for (unsigned i = 0; i < n; i++) {
                sum += budget_share(cache, i * 100, 100, n * 100);
            }
            g_assert_cmpuint(sum, ==, cache);
        }
    }
}

/* A cache as large as the RAM holds all of it, however it is dealt. */
static void test_whole_shares(void)
{
    g_assert_cmpuint(budget_share(1000, 0, 700, 1000), ==, 700);
    g_assert_cmpuint(budget_share(1000, 700, 300, 1000), ==, 300);
    g_assert_cmpuint(budget_share(1ull << 36, 1ull << 35, 1ull << 35,
                                  1ull << 36), ==, 1ull << 35);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/budget/bound", test_bound);
    g_test_add_func("/remote-memory/budget/grant-ends", test_grant_ends);
    g_test_add_func("/remote-memory/budget/all-fits", test_all_fits);
    g_test_add_func("/remote-memory/budget/reserve", test_reserve);
    g_test_add_func("/remote-memory/budget/goals-fit", test_goals_fit);
    g_test_add_func("/remote-memory/budget/shrink-under-load",
                    test_shrink_under_load);
    g_test_add_func("/remote-memory/budget/grow", test_grow);
    g_test_add_func("/remote-memory/budget/shrink-unused",
                    test_shrink_unused);
    g_test_add_func("/remote-memory/budget/shares", test_shares);
    g_test_add_func("/remote-memory/budget/whole-shares", test_whole_shares);
    return g_test_run();
}
