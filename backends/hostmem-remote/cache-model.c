/*
 * Model of a cache: what a cache of some size does with some of the pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "cache-model.h"
#include "qemu/bitops.h"
#include "qemu/host-utils.h"

/* As in budget.c. */
#define EVICTIONS_PER_PAGE 2

/* The ring has room for the holes that refaults leave. */
#define RING_DIVISOR 2
#define RING_MIN 16

bool cache_model_init(CacheModel *m, uint32_t pages, unsigned long *tried)
{
    *m = (CacheModel) { .tried = tried };
    return page_map_init(&m->map, pages) &&
           standby_init(&m->standby,
                        pow2ceil(MAX(pages / RING_DIVISOR, RING_MIN)));
}

void cache_model_destroy(CacheModel *m)
{
    page_map_destroy(&m->map);
    standby_destroy(&m->standby);
}

uint64_t cache_model_footprint(const CacheModel *m)
{
    return page_map_footprint(&m->map) + standby_footprint(&m->standby);
}

static uint32_t local(const CacheModel *m)
{
    return m->map.count[PAGE_RESIDENT] + m->map.count[PAGE_STANDBY];
}

static void evict(CacheModel *m)
{
    uint32_t index = replacement_victim(&m->replacement, &m->map);
    Page *page = page_map_get(&m->map, index);

    replacement_evicted(&m->replacement, page, 1);
    page_map_move(&m->map, index, PAGE_STANDBY);
    page->slot = standby_push(&m->standby, index);
    standby_set(&m->standby, page->slot, SLOT_CLEAN);
    m->owed -= MIN(m->owed, 1);
    set_bit(index, m->tried);
}

/* Drop the oldest of standby.  Returns: false if there is none. */
static bool drop(CacheModel *m)
{
    uint64_t filled = m->standby.filled;
    uint32_t first, nr = standby_run(&m->standby, 1, &first);

    for (uint32_t i = first; i < first + nr; i++) {
        const StandbySlot *slot = &m->standby.slots[i];

        if (slot->state == SLOT_CLEAN) {
            Page *page = page_map_get(&m->map, slot->page);

            page_set_stored(page, 0);
            replacement_dropped(&m->replacement, page);
            page_map_move(&m->map, slot->page, PAGE_REMOTE);
        }
    }
    standby_pop(&m->standby, nr);
    return filled > m->standby.filled;
}

/* Make room for what came, and keep standby filled. */
static void settle(CacheModel *m)
{
    while (local(m) > m->cache) {
        if (!m->standby.filled) {
            evict(m);
        }
        drop(m);
    }
    while (local(m) == m->cache && m->owed && standby_room(&m->standby) &&
           m->standby.filled < m->goal) {
        evict(m);
    }
}

void cache_model_resize(CacheModel *m, uint32_t cache, uint32_t goal)
{
    m->cache = cache;
    m->goal = goal;
    m->owed = MIN(m->owed, goal);
    settle(m);
}

static void come(CacheModel *m)
{
    m->owed = MIN(m->owed + EVICTIONS_PER_PAGE, m->goal);
}

static void leave_standby(CacheModel *m, const Page *page)
{
    standby_set(&m->standby, page->slot, SLOT_EMPTY);
    if (!m->standby.filled) {
        drop(m);
    }
}

bool cache_model_use(CacheModel *m, uint32_t index)
{
    Page *page = page_map_get(&m->map, index);
    bool fetched = page->state == PAGE_REMOTE;

    switch (page->state) {
    case PAGE_ZERO:
        come(m);
        break;
    case PAGE_STANDBY:
        replacement_refaulted(page);
        leave_standby(m, page);
        break;
    case PAGE_REMOTE:
        come(m);
        replacement_fetched(&m->replacement, page, m->cache);
        page_map_move(&m->map, index, PAGE_FETCHING);
        break;
    default:
        return false;
    }
    page_map_move(&m->map, index, PAGE_RESIDENT);
    settle(m);
    return fetched;
}

void cache_model_forget(CacheModel *m, uint32_t index)
{
    Page *page = page_map_get(&m->map, index);

    if (page->state == PAGE_STANDBY) {
        leave_standby(m, page);
    }
    if (page->state != PAGE_ZERO) {
        page_map_move(&m->map, index, PAGE_ZERO);
    }
}

void cache_model_remote(CacheModel *m, uint32_t index)
{
    Page *page = page_map_get(&m->map, index);

    page_set_stored(page, 0);
    page->flags |= PAGE_VISITED;
    replacement_dropped(&m->replacement, page);
    page_map_move(&m->map, index, PAGE_REMOTE);
}

bool cache_model_sane(const CacheModel *m)
{
    return page_map_sane(&m->map) && local(m) <= m->cache &&
           m->standby.filled == m->map.count[PAGE_STANDBY];
}
