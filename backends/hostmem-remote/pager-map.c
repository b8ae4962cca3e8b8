/*
 * The map of a pager, as a hand-over says it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "pagers.h"
#include "pager-map.h"
#include "qemu/bitmap.h"
#include "qemu/rcu.h"
#include "shard-handover.h"

/*
 * One bit for each page.
 * @changed: its entry is not what was said; set by the shards
 * @written: its content may not be what was said; the migration thread's
 * @sent: the last thing that was said is %HANDOVER_SENT; likewise
 */
struct PagerMap {
    unsigned long *changed;
    unsigned long *written;
    unsigned long *sent;
};

void pager_map_begin(RemotePager *pager)
{
    uint64_t nr = pager_nr_pages(pager);
    PagerMap *map = g_new(PagerMap, 1);

    *map = (PagerMap) {
        .changed = bitmap_new(nr),
        .written = bitmap_new(nr),
        .sent = bitmap_new(nr),
    };
    bitmap_set(map->written, 0, nr);
    pager->map = map;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_watch(&pager->shards[i], map->changed);
    }
}

void pager_map_end(RemotePager *pager)
{
    PagerMap *map = g_steal_pointer(&pager->map);

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_watch(&pager->shards[i], NULL);
    }
    g_free(map->changed);
    g_free(map->written);
    g_free(map->sent);
    g_free(map);
}

uint64_t pager_map_written(RemotePager *pager, unsigned long *dirty)
{
    uint64_t nr = pager_nr_pages(pager);
    uint64_t written = bitmap_count_one(dirty, nr);

    if (written) {
        bitmap_or(pager->map->written, pager->map->written, dirty, nr);
        bitmap_zero(dirty, nr);
    }
    return written;
}

const unsigned long *pager_map_sent(const RemotePager *pager)
{
    return pager->map->sent;
}

/*
 * The first page from @from on of which there is something to say.  Window by
 * window, since one of the two bitmaps may be empty for long.
 */
static uint64_t next_page(const PagerMap *map, uint64_t from, uint64_t end)
{
    while (from < end) {
        uint64_t window = MIN(QEMU_ALIGN_UP(from + 1, PAGER_MAP_PAGES), end);
        uint64_t page = find_next_bit(map->written, window, from);

        page = find_next_bit(map->changed, page, from);
        if (page < window) {
            return page;
        }
        from = window;
    }
    return end;
}

/* Pages of one stripe of which there is something to say. */
static uint32_t gather(PagerMap *map, uint64_t from, uint64_t end,
                       HandoverPage *pages)
{
    uint32_t nr = 0;

    while (nr < PAGER_MAP_PAGES) {
        uint64_t page = next_page(map, from, end);

        if (page == end) {
            break;
        }
        clear_bit_atomic(page, map->changed);
        pages[nr++].page = page;
        from = page + 1;
    }
    return nr;
}

/*
 * Some accelerators go on to call a page dirty until they are told that this
 * was heard.
 */
static void clear_log(RemotePager *pager, uint64_t first, uint64_t last)
{
    RCU_READ_LOCK_GUARD();
    memory_region_clear_dirty_bitmap(pagers_block(pager)->mr,
                                     first * REMOTE_STORE_PAGE_SIZE,
                                     (last + 1 - first) *
                                     REMOTE_STORE_PAGE_SIZE);
}

static void look_at(RemotePager *pager, PagerMapLook look, HandoverPage *page)
{
    bool written = test_and_clear_bit(page->page, pager->map->written);

    if (page->place == HANDOVER_MAPPED) {
        page->place = written && look == PAGER_MAP_BELIEVE
                      ? HANDOVER_SENT
                      : handover_place(pager->host + page->page *
                                       REMOTE_STORE_PAGE_SIZE,
                                       page->stored, page->hash);
    }
    if (page->place == HANDOVER_SENT) {
        set_bit(page->page, pager->map->sent);
    } else {
        clear_bit(page->page, pager->map->sent);
    }
}

uint32_t pager_map_next(RemotePager *pager, uint64_t *from, PagerMapLook look,
                        HandoverPage *pages)
{
    uint64_t end = pager_nr_pages(pager);
    uint64_t first = next_page(pager->map, *from, end);
    uint32_t nr;

    if (first == end) {
        return 0;
    }
    nr = gather(pager->map, first, first + pager_stripe_left(pager, first),
                pages);
    *from = pages[nr - 1].page + 1;
    shard_export(pager, pages, nr);
    clear_log(pager, first, pages[nr - 1].page);
    for (uint32_t i = 0; i < nr; i++) {
        look_at(pager, look, &pages[i]);
    }
    return nr;
}
