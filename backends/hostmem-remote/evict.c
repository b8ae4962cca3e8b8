/*
 * Eviction: take the oldest pages out of the guest, drop the oldest of those
 *
 * Which pages those are says replacement.c; how many, budget.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "prefetch.h"
#include "recovery.h"
#include "sweep.h"
#include "trace.h"
#include "uffd-page.h"
#include "visitors.h"
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

/* A page in STANDBY is dropped: it is where its content is now. */
static void drop_page(RemoteShard *s, uint32_t index, SlotState content)
{
    switch (content) {
    case SLOT_CLEAN:
        prefetch_dropped(s, index);
        replacement_dropped(&s->replacement, page_map_get(&s->map, index));
        shard_move(s, index, PAGE_REMOTE);
        break;
    case SLOT_ZERO:
        shard_move(s, index, PAGE_ZERO);
        sweep_mark(s, index);
        break;
    default:
        break;
    }
}

/* Free the memory of slots, @filled of which have some. */
static void drop_memory(RemoteShard *s, uint32_t first, uint32_t nr,
                        uint32_t filled)
{
    int ret = madvise(shard_slot_mem(s, first),
                      (size_t)nr * REMOTE_STORE_PAGE_SIZE, MADV_DONTNEED);

    assert(ret == 0);
    shard_flushed(s);
    budget_drop(&s->budget, filled);
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
        const StandbySlot *slot = &s->standby.slots[first + i];

        drop_page(s, slot->page, slot->state);
    }
    standby_pop(&s->standby, nr);
    filled -= s->standby.filled;
    if (filled) {
        drop_memory(s, first, nr, filled);
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

void evict_drop(RemoteShard *s)
{
    drop(s, s->standby.filled);
}

/*
 * How many pages from @first on are neighbours, in the guest and on the list,
 * that can be moved together.
 */
static uint32_t victims(RemoteShard *s, uint32_t first, uint32_t max)
{
    const unsigned flags = PAGE_PROTECTED | PAGE_REFERENCED | PAGE_VISITED;
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

/* Pages are in slots from the head on. */
static void push_victims(RemoteShard *s, uint32_t first, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        shard_move(s, first + i, PAGE_STANDBY);
        s->map.pages[first + i].slot = standby_push(&s->standby, first + i);
    }
    budget_evicted(&s->budget, nr);
}

/*
 * Pages were there for visitors only, and are in slots from @slot on, which is
 * the head.  Nobody will miss them: if none of them was changed, they go at
 * once, and the slots stay free.  So what the guest may still need stays in
 * standby for as long as it would have.  Returns: whether they are gone.
 */
static bool let_go(RemoteShard *s, uint32_t first, uint32_t nr, uint32_t slot)
{
    SlotState contents[EVICT_BATCH];
    uint64_t hash;

    for (uint32_t i = 0; i < nr; i++) {
        contents[i] = writeback_examine(page_map_get(&s->map, first + i),
                                        shard_slot_mem(s, slot + i), &hash);
        if (contents[i] == SLOT_DIRTY) {
            return false;
        }
    }
    drop_memory(s, slot, nr, nr);
    for (uint32_t i = 0; i < nr; i++) {
        shard_move(s, first + i, PAGE_STANDBY);
        drop_page(s, first + i, contents[i]);
        writeback_spared(s, contents[i]);
    }
    return true;
}

static void evicted(RemoteShard *s, uint32_t first, uint32_t nr, uint32_t slot)
{
    const Page *page = page_map_get(&s->map, first);

    s->lingered = true;
    shard_flushed(s);
    shard_count(&s->stats.evicted, nr);
    replacement_evicted(&s->replacement, page, nr);
    if (!page_has(page, PAGE_VISITED) || !let_go(s, first, nr, slot)) {
        push_victims(s, first, nr);
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
        if (moved) {
            evicted(s, first, moved, slot);
        }
    }
    if (moved < nr || !nr) {
        skip_victim(s, first + moved, ret);
    }
    return moved;
}

/*
 * If all that the guest uses fits, nothing has to be dropped: what is tried and
 * not used would hold up the holes that others leave, until the ring is full.
 */
bool evict_can_try(RemoteShard *s)
{
    if (!standby_room(&s->standby)) {
        drop(s, 1);
    }
    return standby_room(&s->standby);
}

bool evict_try(RemoteShard *s, uint32_t index)
{
    uint32_t slot = standby_index(&s->standby, s->standby.head), moved;
    const Page *page = page_map_get(&s->map, index);

    if (page->state != PAGE_RESIDENT ||
        page_has(page, PAGE_BUSY | PAGE_VISITED)) {
        return false;
    }
    uffd_page_move(s->uffd, shard_slot_mem(s, slot), shard_host(s, index), 1,
                   &moved);
    if (!moved) {
        return false;
    }
    s->lingered = true;
    shard_flushed(s);
    shard_move(s, index, PAGE_STANDBY);
    s->map.pages[index].slot = standby_push(&s->standby, index);
    return true;
}

/* How many pages there may be in standby beyond those that are there. */
static uint32_t standby_left(const RemoteShard *s)
{
    uint64_t most = budget_standby_goal(&s->budget) + STANDBY_SLACK;

    return most - MIN(most, s->standby.filled);
}

/* How many pages should be evicted now. */
static uint32_t evict_want(const RemoteShard *s)
{
    return standby_room(&s->standby)
           ? MIN(budget_evict_want(&s->budget, s->standby.filled),
                 standby_left(s)) : 0;
}

static bool all_pinned(const RemoteShard *s)
{
    return replacement_stuck(&s->replacement, &s->map);
}

void evict_unstick(RemoteShard *s)
{
    if (s->budget.used >= s->budget.limit && all_pinned(s) &&
        s->standby.filled == 0 && s->in_flight == 0) {
        shard_count(&s->stats.over_limit, budget_grant(&s->budget));
    }
}

/* What is there for visitors only, beyond their room. */
static uint32_t visited_surplus(RemoteShard *s)
{
    replacement_visit(&s->replacement, visitors_any(), s->budget.target);
    return replacement_visited_surplus(&s->replacement, &s->map);
}

/*
 * What is there for visitors only makes room first, before what the guest left
 * in standby is dropped.  Returns: the number of pages evicted.
 */
static uint32_t evict_visited(RemoteShard *s)
{
    uint32_t nr = 0, want;

    for (int i = 0; i < EVICT_CALLS && nr < EVICT_BATCH; i++) {
        want = MIN(budget_excess(&s->budget), visited_surplus(s));
        if (!want || !standby_room(&s->standby)) {
            break;
        }
        nr += evict_victims(s, MIN(want, EVICT_BATCH - nr));
    }
    return nr;
}

/* Will nobody miss what is in this slot, now or when its put has ended? */
static bool slot_is_unused(const RemoteShard *s, uint32_t index)
{
    const StandbySlot *slot = &s->standby.slots[index];
    const Page *page = &s->map.pages[slot->page];

    return slot->state != SLOT_EMPTY &&
           (slot->state == SLOT_STALE || page->state != PAGE_STANDBY ||
            page->slot != index || page_has(page, PAGE_VISITED));
}

/* A run of such slots that may be dropped, from position @pos on. */
static uint32_t unused_run(const RemoteShard *s, uint64_t pos, uint32_t max)
{
    uint32_t first = standby_index(&s->standby, pos), n;

    max = MIN(max, MIN(s->standby.head - pos, s->standby.capacity - first));
    for (n = 0; n < max; n++) {
        SlotState state = s->standby.slots[first + n].state;

        if (state == SLOT_DIRTY || state == SLOT_BUSY ||
            !slot_is_unused(s, first + n)) {
            break;
        }
    }
    return n;
}

/*
 * The oldest of them, or the head.  What was passed is not looked at again: the
 * ring can be full of holes.
 */
static uint64_t first_unused(RemoteShard *s)
{
    uint64_t pos = MAX(s->unused_from, s->standby.tail);

    while (pos < s->standby.head &&
           !slot_is_unused(s, standby_index(&s->standby, pos))) {
        pos++;
    }
    s->unused_from = pos;
    return pos;
}

/*
 * Drop what nobody will miss from wherever it is in the ring: what the guest
 * may miss is in between, and stays.  Returns: the number of pages.
 */
static uint32_t drop_unused(RemoteShard *s)
{
    uint32_t dropped = 0, calls = 0, nr;

    for (uint64_t pos = first_unused(s);
         pos < s->standby.head && dropped < EVICT_BATCH && calls < EVICT_CALLS;
         pos += MAX(nr, 1)) {
        uint32_t first = standby_index(&s->standby, pos);

        nr = unused_run(s, pos, EVICT_BATCH - dropped);
        for (uint32_t i = 0; i < nr; i++) {
            const StandbySlot *slot = &s->standby.slots[first + i];

            drop_page(s, slot->page, slot->state);
            standby_set(&s->standby, first + i, SLOT_EMPTY);
        }
        if (nr) {
            drop_memory(s, first, nr, nr);
            dropped += nr;
            calls++;
        }
    }
    /* The ring need not remember those at its tail. */
    drop_run(s, 0, &dropped);
    return dropped;
}

bool evict_has_unused(RemoteShard *s)
{
    return (visited_surplus(s) && standby_left(s)) ||
           first_unused(s) < s->standby.head;
}

bool evict_unused(RemoteShard *s)
{
    uint32_t nr = 0, want, dropped = drop_unused(s);

    for (int i = 0; i < EVICT_CALLS && nr < EVICT_BATCH; i++) {
        want = MIN(visited_surplus(s), standby_left(s));
        if (!want || !evict_can_try(s)) {
            break;
        }
        nr += evict_victims(s, MIN(want, EVICT_BATCH - nr));
        if (!nr) {
            shard_look_again(s, PINNED_RETRY_MS);
        }
    }
    return dropped || nr;
}

bool evict_run(RemoteShard *s)
{
    uint32_t dropped, nr = 0, want = 0;

    if (s->frozen) {
        return false;
    }
    dropped = evict_visited(s);
    dropped += drop(s, MIN(budget_excess(&s->budget), EVICT_BATCH));
    for (int i = 0; i < EVICT_CALLS && nr < EVICT_BATCH; i++) {
        want = evict_want(s);
        if (!want || !s->map.count[PAGE_RESIDENT] ||
            (i > 0 && all_pinned(s))) {
            break;
        }
        nr += evict_victims(s, MIN(want, EVICT_BATCH - nr));
    }
    if (want && !nr && all_pinned(s)) {
        shard_look_again(s, PINNED_RETRY_MS);
        return dropped;
    }
    return evict_want(s) || (dropped && budget_excess(&s->budget));
}
