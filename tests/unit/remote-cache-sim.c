/*
 * Unit tests: a shard's cache without kernel, store and threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "remote-cache-sim.h"

/* As in evict.c and shard.c. */
#define EVICT_BATCH 128
#define STANDBY_SLACK 256
#define STANDBY_DIVISOR 3
#define STANDBY_MIN_SLOTS 64

void cache_sim_init(CacheSim *sim, uint32_t pages, uint32_t cache)
{
    *sim = (CacheSim) { 0 };
    g_assert_true(page_map_init(&sim->map, pages));
    g_assert_true(standby_init(&sim->standby,
                               pow2floor(MAX(pages / STANDBY_DIVISOR,
                                             STANDBY_MIN_SLOTS))));
    budget_init(&sim->budget, pages, cache);
}

void cache_sim_destroy(CacheSim *sim)
{
    page_map_destroy(&sim->map);
    standby_destroy(&sim->standby);
}

void cache_sim_reset(CacheSim *sim)
{
    sim->visits = 0;
    sim->touches = 0;
    sim->zero_fills = 0;
    sim->refaults = 0;
    sim->fetched = 0;
    sim->evicted = 0;
    sim->tried = 0;
    sim->tried_refaults = 0;
}

static uint32_t drop(CacheSim *sim, uint32_t max)
{
    uint32_t first, filled = sim->standby.filled;
    uint32_t nr = standby_run(&sim->standby, max, &first);

    for (uint32_t i = first; i < first + nr; i++) {
        const StandbySlot *slot = &sim->standby.slots[i];

        if (slot->state == SLOT_CLEAN) {
            replacement_dropped(&sim->replacement,
                                page_map_get(&sim->map, slot->page));
            page_map_move(&sim->map, slot->page, PAGE_REMOTE);
        }
    }
    standby_pop(&sim->standby, nr);
    filled -= sim->standby.filled;
    budget_drop(&sim->budget, filled);
    return filled;
}

static void let_go(CacheSim *sim, uint32_t index)
{
    page_map_move(&sim->map, index, PAGE_STANDBY);
    replacement_dropped(&sim->replacement, page_map_get(&sim->map, index));
    page_map_move(&sim->map, index, PAGE_REMOTE);
    budget_drop(&sim->budget, 1);
}

static void to_standby(CacheSim *sim, uint32_t index)
{
    Page *page = page_map_get(&sim->map, index);

    page_map_move(&sim->map, index, PAGE_STANDBY);
    page->slot = standby_push(&sim->standby, index);
    standby_set(&sim->standby, page->slot, SLOT_CLEAN);
}

static void evict(CacheSim *sim)
{
    uint32_t index = replacement_victim(&sim->replacement, &sim->map);
    Page *page = page_map_get(&sim->map, index);

    page_set_stored(page, index);
    replacement_evicted(&sim->replacement, page, 1);
    if (page_has(page, PAGE_VISITED)) {
        let_go(sim, index);
        return;
    }
    to_standby(sim, index);
    budget_evicted(&sim->budget, 1);
    sim->evicted++;
}

static void evict_visited(CacheSim *sim)
{
    replacement_visit(&sim->replacement, sim->visiting, sim->budget.target);
    while (budget_excess(&sim->budget) &&
           replacement_visited_surplus(&sim->replacement, &sim->map)) {
        evict(sim);
    }
}

static uint32_t evict_want(const CacheSim *sim)
{
    uint64_t most = budget_standby_goal(&sim->budget) + STANDBY_SLACK;
    uint64_t have = sim->standby.filled;

    if (have >= most || !standby_room(&sim->standby)) {
        return 0;
    }
    return MIN(budget_evict_want(&sim->budget, have), most - have);
}

/* As evict_run() does.  Returns: whether to call again. */
static bool evict_run(CacheSim *sim)
{
    uint32_t dropped;

    evict_visited(sim);
    dropped = drop(sim, MIN(budget_excess(&sim->budget), EVICT_BATCH));
    for (int i = 0; i < EVICT_BATCH && evict_want(sim) &&
                    sim->map.count[PAGE_RESIDENT]; i++) {
        evict(sim);
    }
    return evict_want(sim) || (dropped && budget_excess(&sim->budget));
}

void cache_sim_evict(CacheSim *sim)
{
    while (evict_run(sim)) {
        g_assert_cmpuint(sim->map.count[PAGE_RESIDENT], >, 0);
    }
}

static void take(CacheSim *sim, bool visitor)
{
    for (int i = 0; !(visitor ? budget_visit(&sim->budget)
                              : budget_take(&sim->budget)); i++) {
        /* Room has to come by evictions, and soon. */
        g_assert_cmpint(i, <, 10);
        evict_run(sim);
    }
    g_assert_cmpuint(sim->budget.used, <=, sim->budget.limit);
}

/* Who was only tried, at another time than others, is not younger for that. */
static void refault(CacheSim *sim, uint32_t index)
{
    Page *page = page_map_get(&sim->map, index);

    if (sim->estimate && estimate_hidden(sim->estimate, index)) {
        sim->tried_refaults++;
    } else {
        replacement_refaulted(page);
        sim->refaults++;
    }
    standby_set(&sim->standby, page->slot, SLOT_EMPTY);
}

/* As in shard-estimate.c. */
static void used(CacheSim *sim, uint32_t index)
{
    Estimate *e = sim->estimate;

    if (!e || !estimate_has(e, index)) {
        return;
    }
    estimate_used(e, index);
    while (estimate_next(e, &index)) {
        Page *page = page_map_get(&sim->map, index);

        if (page->state == PAGE_RESIDENT && standby_room(&sim->standby)) {
            page_set_stored(page, index);
            to_standby(sim, index);
            estimate_hide(e, index);
            sim->tried++;
        }
    }
}

void cache_sim_touch(CacheSim *sim, uint32_t index)
{
    Page *page = page_map_get(&sim->map, index);

    sim->touches++;
    switch (page->state) {
    case PAGE_ZERO:
        take(sim, false);
        sim->zero_fills++;
        break;
    case PAGE_STANDBY:
        refault(sim, index);
        break;
    case PAGE_REMOTE:
        take(sim, false);
        replacement_fetched(&sim->replacement, page, sim->budget.target);
        page_map_move(&sim->map, index, PAGE_FETCHING);
        sim->fetched++;
        break;
    default:
        return;
    }
    page_map_move(&sim->map, index, PAGE_RESIDENT);
    used(sim, index);
    cache_sim_evict(sim);
}

void cache_sim_visit(CacheSim *sim, uint32_t index)
{
    Page *page = page_map_get(&sim->map, index);

    switch (page->state) {
    case PAGE_STANDBY:
        standby_set(&sim->standby, page->slot, SLOT_EMPTY);
        page_map_move(&sim->map, index, PAGE_RESIDENT);
        page_map_expose(&sim->map, index);
        break;
    case PAGE_REMOTE:
        take(sim, true);
        page->flags |= PAGE_VISITED;
        page_map_move(&sim->map, index, PAGE_FETCHING);
        page_map_move(&sim->map, index, PAGE_RESIDENT);
        sim->visits++;
        break;
    default:
        return;
    }
    cache_sim_evict(sim);
}

void cache_sim_touch_range(CacheSim *sim, uint32_t first, uint32_t nr)
{
    for (uint32_t i = first; i < first + nr; i++) {
        cache_sim_touch(sim, i);
    }
}

uint32_t cache_sim_local(const CacheSim *sim, uint32_t first, uint32_t nr)
{
    uint32_t local = 0;

    for (uint32_t i = first; i < first + nr; i++) {
        local += sim->map.pages[i].state == PAGE_RESIDENT ||
                 sim->map.pages[i].state == PAGE_STANDBY;
    }
    return local;
}

bool cache_sim_sane(const CacheSim *sim)
{
    return page_map_sane(&sim->map) &&
           sim->standby.filled == sim->map.count[PAGE_STANDBY] &&
           sim->budget.used == sim->map.count[PAGE_RESIDENT] +
                               sim->standby.filled &&
           sim->budget.used <= sim->budget.limit;
}
