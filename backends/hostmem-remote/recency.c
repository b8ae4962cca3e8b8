/*
 * Recency: which remote pages were local most recently
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "recency.h"

#define DIGITS (1u << RECENCY_DIGIT_BITS)
/* Three digits are more than 32 bits: the highest has ten. */
#define HIGHEST_SHIFT (2 * RECENCY_DIGIT_BITS)

/* Classes, less one: each is as wide as all before it. */
#define HALVINGS 6

void recency_begin(Recency *r, uint32_t now, uint32_t want)
{
    assert(want);
    *r = (Recency) { .now = now, .rank = want, .shift = HIGHEST_SHIFT };
}

void recency_again(Recency *r)
{
    assert(r->counted);
    r->halvings = HALVINGS;
    r->cursor = 0;
}

/* What was dropped since recency_begin() is the oldest of all. */
static uint32_t age_of(const Recency *r, const Page *page)
{
    return r->now - 1 - page->dropped;
}

/* By the digit in question, of those that have the same ones above it. */
static void count_page(Recency *r, uint32_t age)
{
    unsigned above = r->shift + RECENCY_DIGIT_BITS;

    if ((uint64_t)age >> above == (uint64_t)r->cutoff >> above) {
        r->count[(age >> r->shift) & (DIGITS - 1)]++;
    }
}

/*
 * All are counted by this digit.  If there are not as many as are wanted, any
 * age will do.
 */
static void digit_known(Recency *r)
{
    uint32_t digit = 0;

    while (digit < DIGITS - 1 && r->count[digit] < r->rank) {
        r->rank -= r->count[digit++];
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
    if (!r->halvings) {
        return false;
    }
    r->halvings--;
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
