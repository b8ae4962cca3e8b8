/*
 * Unit tests: which remote pages come back first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "recency.h"
#include "replacement.h"

#define NR 5000
/* Times that the map is gone through. */
#define ROUNDS 11
/* What comes first is this part of the oldest age. */
#define FIRST_DIVISOR 64

/* With so many drops of other pages between two, ages take all of 32 bits. */
#define FAR 400000

/*
 * A map and its clock, and what was found in it.
 * @gap: drops of pages that are not in the map, between two that are, at most
 */
typedef struct Sim {
    PageMap map;
    uint32_t now;
    uint32_t gap;
    uint32_t nr;
    uint32_t found[NR];
    uint32_t steps;
} Sim;

static void drop(Sim *sim, uint32_t index)
{
    PageMap *map = &sim->map;

    if (map->pages[index].state == PAGE_ZERO) {
        page_map_move(map, index, PAGE_RESIDENT);
    }
    page_map_move(map, index, PAGE_STANDBY);
    page_set_stored(page_map_get(map, index), 1);
    page_map_move(map, index, PAGE_REMOTE);
    page_map_get(map, index)->dropped = sim->now++;
    sim->now += g_test_rand_int_range(0, sim->gap + 1);
}

static void fetch(Sim *sim, uint32_t index)
{
    page_map_move(&sim->map, index, PAGE_FETCHING);
    page_map_move(&sim->map, index, PAGE_RESIDENT);
}

/* All pages were dropped in some order; then some were used once more. */
static void sim_init(Sim *sim, uint32_t now, uint32_t gap)
{
    uint32_t order[NR];

    *sim = (Sim) { .now = now, .gap = gap };
    g_assert_true(page_map_init(&sim->map, NR));
    for (uint32_t i = 0; i < NR; i++) {
        uint32_t k = g_test_rand_int_range(0, i + 1);

        order[i] = order[k];
        order[k] = i;
    }
    for (uint32_t i = 0; i < NR; i++) {
        drop(sim, order[i]);
    }
    for (uint32_t i = 0; i < NR; i++) {
        uint32_t index = g_test_rand_int_range(0, NR);

        if (sim->map.pages[index].state == PAGE_REMOTE) {
            fetch(sim, index);
        } else {
            drop(sim, index);
        }
    }
}

static uint32_t age(const Sim *sim, uint32_t now, uint32_t index)
{
    return now - sim->map.pages[index].dropped;
}

static int compare(const void *a, const void *b)
{
    return *(uint32_t *)a < *(uint32_t *)b ? -1 : 1;
}

/* The oldest age that is wanted, in the way that needs memory. */
static uint32_t oldest_wanted(const Sim *sim, uint32_t want)
{
    g_autofree uint32_t *ages = g_new(uint32_t, NR);
    uint32_t nr = 0;

    for (uint32_t i = 0; i < NR; i++) {
        if (sim->map.pages[i].state == PAGE_REMOTE) {
            ages[nr++] = age(sim, sim->now, i);
        }
    }
    qsort(ages, nr, sizeof(ages[0]), compare);
    return ages[MIN(want, nr) - 1];
}

/* Go on to the end, by @most pages at a time. */
static void find_rest(Sim *sim, Recency *r, uint32_t most)
{
    for (;;) {
        uint32_t steps = most, index;
        RecencyAnswer answer = recency_next(r, &sim->map, &steps, &index);

        sim->steps += most - steps;
        g_assert_cmpuint(sim->steps, <=, ROUNDS * NR);
        if (answer == RECENCY_END) {
            return;
        }
        if (answer == RECENCY_LATER) {
            g_assert_cmpuint(steps, ==, 0);
            continue;
        }
        g_assert_cmpuint(sim->map.pages[index].state, ==, PAGE_REMOTE);
        g_assert_cmpuint(sim->nr, <, NR);
        sim->found[sim->nr++] = index;
    }
}

static void find(Sim *sim, Recency *r, uint32_t want, uint32_t most)
{
    sim->nr = 0;
    sim->steps = 0;
    recency_begin(r, sim->now, want);
    find_rest(sim, r, most);
}

static void assert_each_once(const Sim *sim)
{
    g_autofree bool *seen = g_new0(bool, NR);

    for (uint32_t i = 0; i < sim->nr; i++) {
        g_assert_false(seen[sim->found[i]]);
        seen[sim->found[i]] = true;
    }
}

/*
 * If this fails, what the guest used last is left out for what it used long
 * ago; at the worst because the clock has begun anew meanwhile.
 */
static void test_selects(void)
{
    static const uint32_t clocks[] = {
        0, 0, 1u << 31, 1u << 31, UINT32_MAX - NR / 2, UINT32_MAX
    };
    static const uint32_t wants[] = { 1, 2, 16, 100, 1999 };
    Recency r;
    Sim sim;

    for (int c = 0; c < ARRAY_SIZE(clocks); c++) {
        sim_init(&sim, clocks[c], c % 2 ? FAR : 0);
        for (int w = 0; w < ARRAY_SIZE(wants); w++) {
            uint32_t oldest = oldest_wanted(&sim, wants[w]);

            find(&sim, &r, wants[w], 1 + w * 100);
            g_assert_cmpuint(sim.nr, ==, wants[w]);
            assert_each_once(&sim);
            for (uint32_t i = 0; i < sim.nr; i++) {
                g_assert_cmpuint(age(&sim, sim.now, sim.found[i]), <=,
                                 oldest);
            }
        }
        page_map_destroy(&sim.map);
    }
}

/*
 * If this fails, what the guest used last comes last, when there may be no
 * room any more; or neighbours do not come together.
 */
static void test_order(void)
{
    uint32_t oldest, in_order = 0;
    Recency r;
    Sim sim;

    sim_init(&sim, 0, FAR);
    oldest = oldest_wanted(&sim, 1500);
    find(&sim, &r, 1500, NR);
    for (uint32_t i = 0; i < sim.nr; i++) {
        uint32_t first = age(&sim, sim.now, sim.found[i]);

        for (uint32_t j = i + 1; j < sim.nr; j++) {
            g_assert_cmpuint(first, <=,
                             MAX(2 * age(&sim, sim.now, sim.found[j]) + 1,
                                 oldest / FIRST_DIVISOR + 1));
        }
        in_order += i && sim.found[i] > sim.found[i - 1];
    }
    /* In each class but the first few, of which there are seven. */
    g_assert_cmpuint(in_order, >=, sim.nr - 7);
    page_map_destroy(&sim.map);
}

/* If this fails, pages are left out although there is room for all. */
static void test_all(void)
{
    Recency r;
    Sim sim;

    sim_init(&sim, 77, FAR);
    find(&sim, &r, NR, 64);
    g_assert_cmpuint(sim.nr, ==, sim.map.count[PAGE_REMOTE]);
    assert_each_once(&sim);
    page_map_destroy(&sim.map);
}

/*
 * If this fails, pages that the guest has got by itself are fetched again, or
 * those that have to go meanwhile are brought back, to push out the next ones.
 */
static void test_meanwhile(void)
{
    uint32_t steps = 3 * NR + 1, index, begun;
    Recency r;
    Sim sim;

    sim_init(&sim, 0, 0);
    begun = sim.now;
    recency_begin(&r, begun, 1000);
    while (recency_next(&r, &sim.map, &steps, &index) != RECENCY_PAGE) {
        steps = 1;
    }
    /* What goes first is what has not been come to yet. */
    for (uint32_t i = NR; i-- > 0; ) {
        if (sim.map.pages[i].state == PAGE_RESIDENT) {
            drop(&sim, i);
        } else if (i % 2) {
            fetch(&sim, i);
        }
    }
    find_rest(&sim, &r, 100);
    g_assert_cmpuint(sim.nr, >, 0);
    for (uint32_t i = 0; i < sim.nr; i++) {
        g_assert_cmpuint(sim.map.pages[sim.found[i]].dropped, <, begun);
    }
    page_map_destroy(&sim.map);
}

/*
 * Half of the pages were dropped when a visitor had read them.  If this fails,
 * they come before what the guest has used, or at the same time; or are left
 * out although there is room for them.
 */
static void test_long_ago(void)
{
    uint32_t known = 0, index;
    Recency r;
    Sim sim;

    sim_init(&sim, 0, 0);
    for (uint32_t i = 0; i < NR; i++) {
        Page *page = page_map_get(&sim.map, i);

        if (page->state == PAGE_REMOTE && i % 2) {
            page->dropped = sim.now - REPLACEMENT_LONG_AGO;
        } else if (page->state == PAGE_REMOTE) {
            known++;
        }
    }
    find(&sim, &r, NR, 100);
    g_assert_cmpuint(sim.nr, ==, sim.map.count[PAGE_REMOTE]);
    assert_each_once(&sim);
    for (uint32_t i = 0; i < sim.nr; i++) {
        g_assert_cmpuint(sim.found[i] % 2, ==, i >= known);
    }
    /* The classes are those of what is known. */
    g_assert_cmpuint(age(&sim, sim.now, sim.found[0]), <=,
                     2 * NR / FIRST_DIVISOR + 1);
    /* Who wants no others need not come to them. */
    find(&sim, &r, known, 100);
    g_assert_cmpuint(sim.nr, ==, known);
    recency_begin(&r, sim.now, NR);
    for (uint32_t i = 0; i < known; i++) {
        uint32_t steps = UINT32_MAX;

        g_assert_cmpint(recency_next(&r, &sim.map, &steps, &index), ==,
                        RECENCY_PAGE);
        g_assert_true(recency_is_known(&r));
    }
    sim.nr = sim.steps = 0;
    find_rest(&sim, &r, NR);
    g_assert_false(recency_is_known(&r));
    page_map_destroy(&sim.map);
}

/* If this fails, a page that could not be fetched at first is left out. */
static void test_again(void)
{
    uint32_t left = 0;
    Recency r;
    Sim sim;

    sim_init(&sim, 0, 0);
    find(&sim, &r, 1000, 100);
    for (uint32_t i = 0; i < sim.nr; i++) {
        if (i % 10) {
            fetch(&sim, sim.found[i]);
        } else {
            left++;
        }
    }
    recency_again(&r);
    sim.nr = 0;
    sim.steps = 0;
    find_rest(&sim, &r, 100);
    g_assert_cmpuint(sim.nr, ==, left);
    assert_each_once(&sim);
    page_map_destroy(&sim.map);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/recency/selects", test_selects);
    g_test_add_func("/remote-memory/recency/order", test_order);
    g_test_add_func("/remote-memory/recency/all", test_all);
    g_test_add_func("/remote-memory/recency/meanwhile", test_meanwhile);
    g_test_add_func("/remote-memory/recency/long-ago", test_long_ago);
    g_test_add_func("/remote-memory/recency/again", test_again);
    return g_test_run();
}
