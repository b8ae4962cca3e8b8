/*
 * Recency: which remote pages were local most recently
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RECENCY_H
#define REMOTE_MEMORY_RECENCY_H

#include "page-map.h"

/**
 * DOC: Which pages come back first
 *
 * The page map says of each REMOTE page when it was dropped, on a clock that
 * counts the pages that were.  Nothing else is looked at, so the map can come
 * from another host.
 *
 * The map may be large, and it changes meanwhile: it cannot be sorted, and must
 * be gone through in small steps.  So it is gone through ten or eleven times,
 * and next to no memory is needed.  First, three times, pages are counted by
 * one digit of their age after the other, from the highest on: then it is known
 * exactly how old the oldest page is for which there is room.  After that, what
 * is not older is given out: at first what has at most a 64th of that age, then
 * what has at most a 32th, and so on.  What is within one of these classes
 * comes in the order in which it is in memory, so that neighbours come
 * together::
 *
 *     age  0    1/64 1/32  1/16    1/8       1/4           1/2        cutoff
 *          |-------|--|------|------|---------|-------------|------------|
 *              1    2    3      4        5           6            7
 *
 * Of some pages nothing is known but that their use is long ago (see
 * %REPLACEMENT_LONG_AGO).  They have no part in this, and come after all
 * others, if more are wanted than those.
 *
 * Pages that are dropped while this goes on are not given out: if they were
 * brought back at once, the same ones would come and go.  After 2^31 drops, a
 * page is one whose use is long ago; after 2^32 the clock begins anew, and what
 * is that old is taken for younger than it is.
 */

#define RECENCY_DIGIT_BITS 11

/**
 * struct Recency - a way through the page map; set by recency_begin()
 * @now: the clock, when it was begun
 * @cutoff: the oldest age that is wanted; digits from @shift on are not known
 * @rank: how many of those with these digits are wanted
 * @shift: where the digit is that is being counted
 * @counted: all digits are known
 * @more: these are less than what is wanted
 * @long_ago: what is given out is of no known age
 * @halvings: the class that is given out: up to @cutoff halved so many times
 * @cursor: the page to look at next
 * @count: pages by that digit
 */
typedef struct Recency {
    uint32_t now;
    uint32_t cutoff;
    uint32_t rank;
    unsigned shift;
    bool counted;
    bool more;
    bool long_ago;
    unsigned halvings;
    uint32_t cursor;
    uint32_t count[1 << RECENCY_DIGIT_BITS];
} Recency;

/**
 * enum RecencyAnswer - what recency_next() found
 * @RECENCY_PAGE: a page
 * @RECENCY_LATER: nothing yet
 * @RECENCY_END: there is none left
 */
typedef enum RecencyAnswer {
    RECENCY_PAGE,
    RECENCY_LATER,
    RECENCY_END,
} RecencyAnswer;

/**
 * recency_begin: look for the pages that were dropped last
 * @r: set up
 * @now: the clock, see &struct Replacement.drops
 * @want: how many pages, at least 1
 */
void recency_begin(Recency *r, uint32_t now, uint32_t want);

/**
 * recency_next: look for the next page
 * @r: set up by recency_begin()
 * @map: the page map
 * @steps: at most so many pages are looked at; reduced by those that were
 * @index: set to a page that is REMOTE and was not found before
 */
RecencyAnswer recency_next(Recency *r, const PageMap *map, uint32_t *steps,
                           uint32_t *index);

/** recency_is_known: is what comes next known to have been local lately? */
static inline bool recency_is_known(const Recency *r)
{
    return !r->long_ago;
}

/**
 * recency_again: go through the same pages once more
 * @r: which has come to %RECENCY_END, or has found a page
 *
 * For those that are still REMOTE.
 */
void recency_again(Recency *r);

#endif
