/*
 * Eviction: take the oldest pages out of the guest, drop the oldest of those
 *
 * Which pages those are says replacement.c; how many, budget.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "shard.h"
#include "trace.h"
#include "uffd-page.h"
#include <sys/mman.h>

/*
 * Work per call, in pages and in calls of the kernel: the guest's faults wait
 * no longer than this takes.  Neighbours are moved, or dropped, by one call:
 * each may have to interrupt every processor that the guest runs on.
 */
#define EVICT_BATCH 128
#define EVICT_CALLS 16
/* While shrinking, standby may be larger, to keep the store busy. */
#define STANDBY_SLACK 256
/* When devices use what should go, look again after this, in ms. */
#define PINNED_RETRY_MS 50

/* A dropped slot's page is where its content is now. */
static void drop_slot(RemoteShard *s, const StandbySlot *slot)
{
    switch (slot->state) {
    case SLOT_CLEAN:
        prefetch_dropped(s, slot->page);
        shard_move(s, slot->page, PAGE_REMOTE);
        replacement_dropped(&s->replacement,
                            page_map_get(&s->map, slot->page));
        break;
    case SLOT_ZERO:
        shard_move(s, slot->page, PAGE_ZERO);
        sweep_mark(s, slot->page);
        break;
    default:
        break;
    }
}

/*
 * Drop up to @max pages in one run.  Returns: slots freed, with or without
 * memory; *@dropped is increased by those with.
 */
static uint32_t drop_run(RemoteShard *s, uint32_t max, uint32_t *dropped)
{
    uint32_t first, nr = standby_run(&s->standby, max, &first);
    uint64_t filled = s->standby.filled;

    for (uint32_t i = 0; i < nr; i++) {
        drop_slot(s, &s->standby.slots[first + i]);
    }
    standby_pop(&s->standby, nr);
    filled -= s->standby.filled;
    if (filled) {
        int ret = madvise(shard_slot_mem(s, first),
                          (size_t)nr * REMOTE_STORE_PAGE_SIZE, MADV_DONTNEED);

        assert(ret == 0);
        shard_flushed(s);
        budget_drop(&s->budget, filled);
        *dropped += filled;
    }
    return nr;
}

static uint32_t drop(RemoteShard *s, uint32_t max)
{
    uint32_t dropped = 0;

    while (dropped < max && drop_run(s, max - dropped, &dropped)) {
        /* Runs end at the end of the ring's memory. */
    }
    return dropped;
}

/*
 * How many pages from @first on are neighbours, in the guest and on the list,
 * that can be moved together.
 */
static uint32_t victims(RemoteShard *s, uint32_t first, uint32_t max)
{
    const unsigned flags = PAGE_PROTECTED | PAGE_REFERENCED;
    const Page *oldest = page_map_get(&s->map, first);
    uint32_t n;

    max = MIN(max, standby_room(&s->standby));
    for (n = 0; n < max && first + n < s->map.nr; n++) {
        const Page *page = oldest + n;

        if (page->state != PAGE_RESIDENT || page_has(page, PAGE_BUSY) ||
            (n > 0 && (page->prev != first + n - 1 ||
                       (page->flags & flags) != (oldest->flags & flags) ||
                       shard_stripe_begins(s, first + n)))) {
            break;
        }
    }
    return n;
}

/*
 * The victim cannot go now: it is the youngest from here on.  @error is the
 * kernel's answer, or 0 if a put of the page is in flight.
 */
static void skip_victim(RemoteShard *s, uint32_t index, int error)
{
    trace_remote_memory_skip(s->pager->id, shard_store_page(s, index), error);
    replacement_skipped(&s->replacement, &s->map, index);
    if (error) {
        shard_count(&s->stats.pinned_skips, 1);
    }
    if (error == -ENOENT) {
        recovery_vanished(s, index);
    }
}

/* Evict one run.  Returns: the number of pages evicted. */
static uint32_t evict_victims(RemoteShard *s, uint32_t max)
{
    uint32_t first = replacement_victim(&s->replacement, &s->map);
    uint32_t nr = victims(s, first, max), moved = 0;
    int ret = 0;

    if (nr) {
        uint32_t slot = standby_index(&s->standby, s->standby.head);

        ret = uffd_page_move(s->uffd, shard_slot_mem(s, slot),
                             shard_host(s, first), nr, &moved);
    }
    for (uint32_t i = 0; i < moved; i++) {
        shard_move(s, first + i, PAGE_STANDBY);
        s->map.pages[first + i].slot = standby_push(&s->standby, first + i);
    }
    if (moved) {
        s->lingered = true;
        shard_flushed(s);
        replacement_evicted(&s->replacement, page_map_get(&s->map, first),
                            moved);
        budget_evicted(&s->budget, moved);
        shard_count(&s->stats.evicted, moved);
    }
    if (moved < nr || !nr) {
        skip_victim(s, first + moved, ret);
    }
    return moved;
}

/* How many pages should be evicted now. */
static uint32_t evict_want(const RemoteShard *s)
{
    uint64_t most = budget_standby_goal(&s->budget) + STANDBY_SLACK;
    uint64_t have = s->standby.filled;

    if (have >= most || !standby_room(&s->standby)) {
        return 0;
    }
    return MIN(budget_evict_want(&s->budget, have), most - have);
}

static bool all_pinned(const RemoteShard *s)
{
    return replacement_stuck(&s->replacement, &s->map);
}

bool evict_stuck(const RemoteShard *s)
{
    return s->budget.used >= s->budget.limit && all_pinned(s) &&
           s->standby.filled == 0 && s->in_flight == 0;
}

bool evict_run(RemoteShard *s)
{
    uint32_t dropped, evicted = 0, want = 0;

    if (s->frozen) {
        return false;
    }
    dropped = drop(s, MIN(budget_excess(&s->budget), EVICT_BATCH));
    for (int i = 0; i < EVICT_CALLS && evicted < EVICT_BATCH; i++) {
        want = evict_want(s);
        if (!want || !s->map.count[PAGE_RESIDENT] ||
            (i > 0 && all_pinned(s))) {
            break;
        }
        evicted += evict_victims(s, MIN(want, EVICT_BATCH - evicted));
    }
    if (want && !evicted && all_pinned(s)) {
        shard_look_again(s, PINNED_RETRY_MS);
        return dropped;
    }
    return evict_want(s) || (dropped && budget_excess(&s->budget));
}
