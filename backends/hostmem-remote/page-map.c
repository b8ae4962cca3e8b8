/*
 * Page map of a shard: states, their ways, and the lists of resident pages
 *
 * The lists are intrusive, by 32-bit indices: a page can leave one in the
 * middle (given back, or rotated since a device is using it) at no cost, and
 * the links cost 8 bytes where pointers would cost 16.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "page-map.h"
#include "sparse.h"

QEMU_BUILD_BUG_ON(sizeof(Page) != 20);
QEMU_BUILD_BUG_ON(PAGE_ZERO != 0);
QEMU_BUILD_BUG_ON(PAGE_MAP_CHUNK > UINT16_MAX);

/* Flags that say on which list a RESIDENT page is; it has at most one. */
#define LIST_FLAGS (PAGE_PROTECTED | PAGE_VISITED)

#define WAY(to) (1u << (to))

/* For each state, the set of those that it may become; see page-map.h. */
static const unsigned ways[PAGE_STATES] = {
    [PAGE_ZERO]     = WAY(PAGE_RESIDENT) | WAY(PAGE_SOURCE) |
                      WAY(PAGE_REMOTE),
    [PAGE_RESIDENT] = WAY(PAGE_STANDBY) | WAY(PAGE_ZERO),
    [PAGE_STANDBY]  = WAY(PAGE_RESIDENT) | WAY(PAGE_REMOTE) | WAY(PAGE_ZERO),
    [PAGE_REMOTE]   = WAY(PAGE_FETCHING) | WAY(PAGE_ZERO),
    [PAGE_FETCHING] = WAY(PAGE_RESIDENT) | WAY(PAGE_STANDBY) |
                      WAY(PAGE_REMOTE) | WAY(PAGE_ZERO),
    [PAGE_SOURCE]   = WAY(PAGE_RESIDENT) | WAY(PAGE_ZERO),
};

static size_t used_size(const PageMap *map)
{
    return DIV_ROUND_UP(map->nr, PAGE_MAP_CHUNK) * sizeof(*map->used);
}

bool page_map_init(PageMap *map, uint32_t nr)
{
    assert(nr < PAGE_NONE);
    *map = (PageMap) {
        .pages = sparse_new(nr * sizeof(Page)),
        .nr = nr,
        .count[PAGE_ZERO] = nr,
        .probation = { .oldest = PAGE_NONE, .youngest = PAGE_NONE },
        .protected = { .oldest = PAGE_NONE, .youngest = PAGE_NONE },
        .visited = { .oldest = PAGE_NONE, .youngest = PAGE_NONE },
    };
    if (map->pages) {
        map->used = sparse_new(used_size(map));
    }
    return map->used;
}

void page_map_destroy(PageMap *map)
{
    sparse_free(map->pages, map->nr * sizeof(Page));
    sparse_free(map->used, used_size(map));
    map->pages = NULL;
    map->used = NULL;
}

uint64_t page_map_footprint(const PageMap *map)
{
    return map->nr * sizeof(Page) + used_size(map);
}

static PageList *list_of(PageMap *map, const Page *page)
{
    if (page_has(page, PAGE_VISITED)) {
        return &map->visited;
    }
    return page_has(page, PAGE_PROTECTED) ? &map->protected : &map->probation;
}

/* Link a page in front of a younger one of its list, or as the youngest. */
static void list_insert(PageMap *map, uint32_t index, uint32_t younger)
{
    Page *page = &map->pages[index];
    PageList *list = list_of(map, page);

    page->next = younger;
    page->prev = younger == PAGE_NONE ? list->youngest
                                      : map->pages[younger].prev;
    if (page->prev == PAGE_NONE) {
        list->oldest = index;
    } else {
        map->pages[page->prev].next = index;
    }
    if (younger == PAGE_NONE) {
        list->youngest = index;
    } else {
        map->pages[younger].prev = index;
    }
    list->nr++;
}

static void list_unlink(PageMap *map, uint32_t index)
{
    Page *page = &map->pages[index];
    PageList *list = list_of(map, page);

    if (page->prev == PAGE_NONE) {
        list->oldest = page->next;
    } else {
        map->pages[page->prev].next = page->next;
    }
    if (page->next == PAGE_NONE) {
        list->youngest = page->prev;
    } else {
        map->pages[page->next].prev = page->prev;
    }
    list->nr--;
}

/* Other threads read the counters for the statistics. */
static void count_add(PageMap *map, PageState state, int n)
{
    qatomic_set(&map->count[state], map->count[state] + n);
}

void page_map_move(PageMap *map, uint32_t index, PageState to)
{
    Page *page = page_map_get(map, index);
    PageState from = page->state;

    assert(ways[from] & WAY(to));
    if (from == PAGE_RESIDENT) {
        list_unlink(map, index);
    }
    if (to == PAGE_ZERO || to == PAGE_REMOTE) {
        page->flags &= ~PAGE_HISTORY;
    }
    if (to == PAGE_RESIDENT) {
        list_insert(map, index, PAGE_NONE);
    }
    page->state = to;
    map->used[index / PAGE_MAP_CHUNK] += (to != PAGE_ZERO) -
                                         (from != PAGE_ZERO);
    count_add(map, from, -1);
    count_add(map, to, 1);
}

uint32_t page_map_zeros(const PageMap *map, uint32_t index, uint32_t max)
{
    uint64_t next = index, end = (uint64_t)index + max;

    while (next < end && !map->used[next / PAGE_MAP_CHUNK]) {
        next = QEMU_ALIGN_DOWN(next, PAGE_MAP_CHUNK) + PAGE_MAP_CHUNK;
    }
    return MIN(next, end) - index;
}

void page_map_rotate(PageMap *map, uint32_t index)
{
    assert(page_map_get(map, index)->state == PAGE_RESIDENT);
    list_unlink(map, index);
    list_insert(map, index, PAGE_NONE);
}

void page_map_expose(PageMap *map, uint32_t index)
{
    Page *page = page_map_get(map, index);

    assert(page->state == PAGE_RESIDENT);
    list_unlink(map, index);
    list_insert(map, index, list_of(map, page)->oldest);
}

void page_map_claim(PageMap *map, uint32_t index)
{
    Page *page = page_map_get(map, index);

    assert(page->state == PAGE_RESIDENT && page_has(page, PAGE_VISITED));
    list_unlink(map, index);
    page->flags &= ~PAGE_VISITED;
    list_insert(map, index, PAGE_NONE);
}

void page_map_yield(PageMap *map, uint32_t index)
{
    Page *page = page_map_get(map, index);

    assert(page->state == PAGE_RESIDENT);
    list_unlink(map, index);
    page->flags &= ~PAGE_HISTORY;
    page->flags |= PAGE_VISITED;
    list_insert(map, index, PAGE_NONE);
}

static bool on_same_list(PageMap *map, uint32_t a, uint32_t b)
{
    return b < map->nr && map->pages[b].state == PAGE_RESIDENT &&
           list_of(map, &map->pages[a]) == list_of(map, &map->pages[b]);
}

void page_map_join(PageMap *map, uint32_t index)
{
    assert(page_map_get(map, index)->state == PAGE_RESIDENT);
    if (on_same_list(map, index, index + 1)) {
        list_unlink(map, index);
        list_insert(map, index, index + 1);
    } else if (index && on_same_list(map, index, index - 1)) {
        list_unlink(map, index);
        list_insert(map, index, map->pages[index - 1].next);
    }
}

/* What is not here has no history: its next arrival begins a new one. */
static bool history_sane(const Page *page)
{
    if (page->state == PAGE_ZERO || page->state == PAGE_REMOTE) {
        return !page_has(page, PAGE_HISTORY);
    }
    return !page_has(page, PAGE_VISITED) ||
           !page_has(page, PAGE_PROTECTED | PAGE_REFERENCED | PAGE_BLOCK);
}

static bool page_sane(const Page *page)
{
    if (!history_sane(page)) {
        return false;
    }
    switch (page->state) {
    case PAGE_REMOTE:
        return page_has(page, PAGE_STORED) && !page_has(page, PAGE_BUSY) &&
               !page_has(page, PAGE_GIVEN_BACK);
    case PAGE_FETCHING:
        return page_has(page, PAGE_STORED) && !page_has(page, PAGE_BUSY);
    default:
        return page->state < PAGE_STATES &&
               !page_has(page, PAGE_GIVEN_BACK) &&
               !(page_has(page, PAGE_BUSY) && page_has(page, PAGE_STORED));
    }
}

static bool list_sane(const PageMap *map, const PageList *list, unsigned flag)
{
    uint32_t prev = PAGE_NONE, n = 0;

    for (uint32_t i = list->oldest; i != PAGE_NONE; i = map->pages[i].next) {
        const Page *page = &map->pages[i];

        if (page->state != PAGE_RESIDENT || page->prev != prev ||
            (page->flags & LIST_FLAGS) != flag || ++n > list->nr) {
            return false;
        }
        prev = i;
    }
    return prev == list->youngest && n == list->nr;
}

/* Add up the states of a chunk's pages. */
static bool chunk_sane(const PageMap *map, uint32_t first, uint64_t *count)
{
    uint32_t nr = MIN(map->nr - first, PAGE_MAP_CHUNK), used = 0;

    for (uint32_t i = first; i < first + nr; i++) {
        if (!page_sane(&map->pages[i])) {
            return false;
        }
        count[map->pages[i].state]++;
        used += map->pages[i].state != PAGE_ZERO;
    }
    return used == map->used[first / PAGE_MAP_CHUNK];
}

bool page_map_sane(const PageMap *map)
{
    uint64_t count[PAGE_STATES] = { 0 };

    for (uint64_t i = 0; i < map->nr; i += PAGE_MAP_CHUNK) {
        if (!chunk_sane(map, i, count)) {
            return false;
        }
    }
    return !memcmp(count, map->count, sizeof(count)) &&
           list_sane(map, &map->probation, 0) &&
           list_sane(map, &map->protected, PAGE_PROTECTED) &&
           list_sane(map, &map->visited, PAGE_VISITED) &&
           map->probation.nr + map->protected.nr + map->visited.nr ==
           count[PAGE_RESIDENT];
}
