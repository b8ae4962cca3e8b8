/*
 * Recency: which remote pages were local most recently
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "recency.h"
#include "replacement.h"

#define DIGITS (1u << RECENCY_DIGIT_BITS)
/* Three digits are more than 32 bits: the highest has ten. */
#define HIGHEST_SHIFT (2 * RECENCY_DIGIT_BITS)

/* Classes, less one: each is as wide as all before it. */
#define HALVINGS 6

/*
 * Ages from which on nothing is known, and of what was dropped since
 * recency_begin(): its time is ahead of that.
 */
#define LONG_AGO (REPLACEMENT_LONG_AGO - 1)
#define IN_FUTURE (LONG_AGO + LONG_AGO / 2)

void recency_begin(Recency *r, uint32_t now, uint32_t want)
{
    assert(want);
    *r = (Recency) { .now = now, .rank = want, .shift = HIGHEST_SHIFT };
}

void recency_again(Recency *r)
{
    assert(r->counted);
    r->long_ago = false;
    r->halvings = HALVINGS;
    r->cursor = 0;
}

static uint32_t age_of(const Recency *r, const Page *page)
{
    return r->now - 1 - page->dropped;
}

/* By the digit in question, of those that have the same ones above it. */
static void count_page(Recency *r, uint32_t age)
{
    unsigned above = r->shift + RECENCY_DIGIT_BITS;

    if (age < LONG_AGO &&
        (uint64_t)age >> above == (uint64_t)r->cutoff >> above) {
        r->count[(age >> r->shift) & (DIGITS - 1)]++;
    }
}

/*
 * All are counted by this digit.  If there are not as many as are wanted, it is
 * the oldest that there is.
 */
static void digit_known(Recency *r)
{
    uint32_t digit = 0, oldest = 0;

    while (digit < DIGITS && r->count[digit] < r->rank) {
        oldest = r->count[digit] ? digit : oldest;
        r->rank -= r->count[digit++];
    }
    if (digit == DIGITS) {
        r->more = true;
        r->rank = r->count[oldest];
        digit = oldest;
    }
    r->cutoff |= digit << r->shift;
    memset(r->count, 0, sizeof(r->count));
    if (r->shift) {
        r->shift -= RECENCY_DIGIT_BITS;
        r->cursor = 0;
    } else {
        r->counted = true;
        recency_again(r);
    }
}

static bool in_class(const Recency *r, uint32_t age)
{
    if (r->long_ago) {
        return age >= LONG_AGO && age < IN_FUTURE;
    }
    return age <= r->cutoff >> r->halvings &&
           (r->halvings == HALVINGS || age > r->cutoff >> (r->halvings + 1));
}

/* Once through the map.  Returns: whether once more. */
static bool round_ended(Recency *r)
{
    if (!r->counted) {
        digit_known(r);
        return true;
    }
    if (r->halvings) {
        r->halvings--;
    } else if (r->more && !r->long_ago) {
        r->long_ago = true;
    } else {
        return false;
    }
    r->cursor = 0;
    return true;
}

RecencyAnswer recency_next(Recency *r, const PageMap *map, uint32_t *steps,
                           uint32_t *index)
{
    while (*steps) {
        const Page *page;

        if (r->cursor == map->nr && !round_ended(r)) {
            return RECENCY_END;
        }
        (*steps)--;
        page = &map->pages[r->cursor++];
        if (page->state != PAGE_REMOTE) {
            continue;
        }
        if (!r->counted) {
            count_page(r, age_of(r, page));
        } else if (in_class(r, age_of(r, page))) {
            *index = r->cursor - 1;
            return RECENCY_PAGE;
        }
    }
    return RECENCY_LATER;
}
