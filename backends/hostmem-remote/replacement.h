/*
 * Replacement: which page of the cache has to go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_REPLACEMENT_H
#define REMOTE_MEMORY_REPLACEMENT_H

#include "page-map.h"

/**
 * DOC: Which page has to go
 *
 * Userspace cannot see which pages a guest uses, only which ones it faults
 * on.  So a page is tried: it is taken out of the guest into standby, where a
 * touch is a fault, but not a fetch.  What is known of use is known from that::
 *
 *     fetched ---> PROBATION ---+--> standby ---> dropped
 *                      (a tenth)|       |            |
 *                               |       | refaulted  | fetched again soon
 *                               |       v            v
 *                               +--- PROTECTED <-----+
 *                                   (the rest)
 *
 * A page that is fetched has to show that it is used again before it takes
 * room from those that have shown it: while more than a tenth of the resident
 * pages are on probation, the oldest of them goes.  A scan so passes through a
 * tenth of the cache.  Protected pages are tried in turn all the same, one for
 * every sixteen others, so that what was used once does not stay for ever; and
 * who was refaulted since the last time is passed over once.
 *
 * A thread that only passes through, such as one that sends all of memory
 * elsewhere, says nothing of what the guest uses (see visitors.h).  What is
 * local for such threads alone is on a third list, VISITED, from which pages go
 * before any other, in the order in which they came.  As long as somebody
 * visits, that list has a little room: what was fetched ahead has to stay until
 * it is read.  A page of it that has not been written to needs no second
 * chance, and is dropped without a time in standby.  Its coming and going
 * counts neither as a drop nor as a use.  A page in standby that is visited
 * becomes the oldest of the list that it was on: it is tried once more.
 *
 * That is the scheme of 2Q (Johnson and Shasha, "2Q: a low overhead high
 * performance buffer management replacement algorithm", VLDB 1994) and S3-FIFO
 * (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023)
 * with standby in the place of the accessed bit (Turner and Levy, "Segmented
 * FIFO page replacement", SIGMETRICS 1981).  The distance between drop and
 * fetch is counted as Linux counts it for files (mm/workingset.c).
 *
 * The constants are those that did best on simulated Zipf, hot-and-cold, loop
 * and scan patterns, alone and mixed, with caches of half to an eighth; half or
 * double of each changes little.
 */

/**
 * REPLACEMENT_LONG_AGO: when a page was dropped of whose use nothing is known:
 * so many drops ago, which is not soon before whatever comes now
 */
#define REPLACEMENT_LONG_AGO (UINT32_MAX / 2)

/**
 * struct Replacement - of a shard
 * @drops: pages dropped so far; wraps
 * @in_vain: victims in a row that could not go
 * @owed: pages on probation that went since it was last a protected one's turn;
 *     negative if more of these went
 * @room: pages that are VISITED and need not go before others
 */
typedef struct Replacement {
    uint32_t drops;
    uint32_t in_vain;
    int32_t owed;
    uint32_t room;
} Replacement;

/**
 * replacement_visit: have room for those who visit
 * @r: the replacement
 * @visiting: whether there is anybody
 * @cache: the size of the cache, in pages
 */
void replacement_visit(Replacement *r, bool visiting, uint32_t cache);

/**
 * replacement_visited_surplus: VISITED pages that go before any other
 *
 * Returns: how many, or 0 if all of them have been tried in vain.
 */
uint32_t replacement_visited_surplus(const Replacement *r, const PageMap *map);

/**
 * replacement_victim: the resident page that has to go next
 * @r: the replacement
 * @map: the page map; pages that are passed over get younger
 *
 * Returns: its index, or PAGE_NONE if no page is resident.
 */
uint32_t replacement_victim(Replacement *r, PageMap *map);

/**
 * replacement_evicted: the victim went
 * @r: the replacement
 * @page: the victim
 * @nr: with how many of its kind, together
 */
void replacement_evicted(Replacement *r, const Page *page, uint32_t nr);

/** replacement_skipped: the victim cannot go now: others are tried first */
void replacement_skipped(Replacement *r, PageMap *map, uint32_t index);

/** replacement_stuck: have all resident pages been tried in vain? */
bool replacement_stuck(const Replacement *r, const PageMap *map);

/** replacement_refaulted: a page in STANDBY was touched; before it moves */
void replacement_refaulted(Page *page);

/** replacement_dropped: a page in STANDBY becomes REMOTE; before it moves */
void replacement_dropped(Replacement *r, Page *page);

/**
 * replacement_fetched: a page that was REMOTE is touched; before it is RESIDENT
 * @r: the replacement
 * @page: the page
 * @cache: the size of the cache, in pages
 */
void replacement_fetched(Replacement *r, Page *page, uint32_t cache);

/**
 * replacement_unused: nobody is known to use a page, wherever it is
 *
 * If it is local, it goes as if it was there for visitors only.
 */
void replacement_unused(const Replacement *r, PageMap *map, uint32_t index);

/**
 * replacement_was_used: a page was in use, before those of which this was said
 * @r: the replacement
 * @map: the page map
 * @index: the page; if it is RESIDENT, it becomes the oldest of its list
 * @since: so many others were used since
 */
void replacement_was_used(const Replacement *r, PageMap *map, uint32_t index,
                          uint32_t since);

#endif
