/*
 * Replacement: which page of the cache has to go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "replacement.h"

#define LISTS 3

/* Of the resident pages, one in so many may be on probation. */
#define PROBATION_DIVISOR 10

/*
 * One victim in so many is a protected page, unless even fewer of the resident
 * pages are.
 */
#define PROTECTED_TURN 16
/* What is owed to either side is forgotten beyond that, in pages. */
#define OWED_MAX (16 * PROTECTED_TURN)

/*
 * A page is used again soon if fewer pages than that part of the cache were
 * dropped since it was.  It would have stayed, had it been protected.
 */
#define SOON_DIVISOR 2

/*
 * For visitors, one in so many pages of the cache: several streams of theirs,
 * each with the window that is being used and the next (see prefetch.c), and
 * as much again for pages that are nowhere.  For more than the threads of a
 * migration there is no use.
 */
#define VISIT_DIVISOR 16
#define VISIT_MAX 2048

void replacement_visit(Replacement *r, bool visiting, uint32_t cache)
{
    r->room = visiting ? MIN(MAX(cache / VISIT_DIVISOR, 1), VISIT_MAX) : 0;
}

uint32_t replacement_visited_surplus(const Replacement *r, const PageMap *map)
{
    return map->visited.nr > r->room && r->in_vain < map->visited.nr
           ? map->visited.nr - r->room : 0;
}

/* Who was refaulted keeps its place for another turn, if others can go. */
static bool pass_over(PageMap *map)
{
    uint32_t oldest = map->protected.oldest;

    if (!page_has(&map->pages[oldest], PAGE_REFERENCED)) {
        return false;
    }
    map->pages[oldest].flags &= ~PAGE_REFERENCED;
    page_map_rotate(map, oldest);
    return true;
}

/* The lists in turns, without those that are empty. */
static PageList *list_in_turn(const Replacement *r, PageMap *map)
{
    PageList *lists[LISTS] = { &map->probation, &map->protected,
                               &map->visited };
    unsigned i = r->in_vain % LISTS;

    for (int n = 1; n < LISTS && !lists[i]->nr; n++) {
        i = (i + 1) % LISTS;
    }
    return lists[i];
}

static PageList *victim_list(Replacement *r, PageMap *map)
{
    uint64_t resident = map->count[PAGE_RESIDENT];

    if (replacement_visited_surplus(r, map)) {
        return &map->visited;
    }
    if (!map->protected.nr || !map->probation.nr || r->in_vain >= resident) {
        /* If not one kind only: all of one list, perhaps, went in vain. */
        return list_in_turn(r, map);
    }
    if (r->owed >= PROTECTED_TURN - 1 &&
        map->protected.nr > resident / PROTECTED_TURN) {
        if (!pass_over(map)) {
            return &map->protected;
        }
        r->owed -= PROTECTED_TURN - 1;
    }
    return map->probation.nr > resident / PROBATION_DIVISOR
           ? &map->probation : &map->protected;
}

void replacement_evicted(Replacement *r, const Page *page, uint32_t nr)
{
    r->in_vain = 0;
    if (page_has(page, PAGE_VISITED)) {
        return;
    }
    if (page_has(page, PAGE_PROTECTED)) {
        r->owed = MAX(r->owed - (int32_t)(nr * (PROTECTED_TURN - 1)),
                      -OWED_MAX);
    } else {
        r->owed = MIN(r->owed + (int32_t)nr, OWED_MAX);
    }
}

void replacement_skipped(Replacement *r, PageMap *map, uint32_t index)
{
    r->in_vain++;
    page_map_rotate(map, index);
}

bool replacement_stuck(const Replacement *r, const PageMap *map)
{
    /* Once around, and then all lists in turns. */
    return r->in_vain >= (1 + LISTS) * map->count[PAGE_RESIDENT];
}

uint32_t replacement_victim(Replacement *r, PageMap *map)
{
    PageList *list = victim_list(r, map);

    while (list->oldest != PAGE_NONE &&
           page_has(&map->pages[list->oldest], PAGE_REFERENCED)) {
        map->pages[list->oldest].flags &= ~PAGE_REFERENCED;
        page_map_rotate(map, list->oldest);
    }
    return list->oldest;
}

void replacement_refaulted(Page *page)
{
    page->flags |= PAGE_PROTECTED | PAGE_REFERENCED;
}

void replacement_dropped(Replacement *r, Page *page)
{
    page->dropped = page_has(page, PAGE_VISITED)
                    ? r->drops - REPLACEMENT_LONG_AGO : r->drops++;
}

void replacement_fetched(Replacement *r, Page *page, uint32_t cache)
{
    if (r->drops - page->dropped < cache / SOON_DIVISOR) {
        page->flags |= PAGE_PROTECTED | PAGE_REFERENCED;
    }
}

void replacement_unused(const Replacement *r, PageMap *map, uint32_t index)
{
    Page *page = page_map_get(map, index);

    switch (page->state) {
    case PAGE_RESIDENT:
        page_map_yield(map, index);
        break;
    case PAGE_STANDBY:
        page->flags &= ~PAGE_HISTORY;
        page->flags |= PAGE_VISITED;
        break;
    case PAGE_REMOTE:
        page->dropped = r->drops - REPLACEMENT_LONG_AGO;
        break;
    default:
        break;
    }
}

void replacement_was_used(const Replacement *r, PageMap *map, uint32_t index,
                          uint32_t since)
{
    Page *page = page_map_get(map, index);

    if (page->state == PAGE_REMOTE) {
        page->dropped = r->drops - MIN(since, REPLACEMENT_LONG_AGO - 2) - 1;
    } else if (page->state == PAGE_RESIDENT) {
        if (page_has(page, PAGE_VISITED)) {
            page_map_claim(map, index);
        }
        page_map_expose(map, index);
    } else if (page->state == PAGE_STANDBY) {
        page->flags &= ~PAGE_VISITED;
    }
}
