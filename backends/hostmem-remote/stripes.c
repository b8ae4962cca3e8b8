/*
 * Stripes: on which of several stores is a page?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "stripes.h"

/*
 * Each store gets one chunk, and the rest goes, one by one, to whom it is due
 * most: the highest ratio of weight to chunks (the method of D'Hondt).
 */
static void deal_shares(Stripes *stripes, const uint64_t *weights)
{
    for (unsigned i = 0; i < stripes->nr; i++) {
        stripes->share[i] = 1;
    }
    for (unsigned n = stripes->nr; n < STRIPES_PATTERN; n++) {
        unsigned due = 0;

        for (unsigned i = 1; i < stripes->nr; i++) {
            if ((unsigned __int128)weights[i] * (stripes->share[due] + 1) >
                (unsigned __int128)weights[due] * (stripes->share[i] + 1)) {
                due = i;
            }
        }
        stripes->share[due]++;
    }
}

/*
 * Spread them: each chunk goes to the store that is furthest behind its share
 * of the chunks so far.
 */
void stripes_init(Stripes *stripes, const uint64_t *weights, unsigned nr)
{
    unsigned dealt[STRIPES_MAX_STORES] = { 0 };

    assert(nr > 0 && nr <= STRIPES_MAX_STORES);
    stripes->nr = nr;
    deal_shares(stripes, weights);
    for (unsigned n = 0; n < STRIPES_PATTERN; n++) {
        int furthest = INT_MIN;
        unsigned due = 0;

        for (unsigned i = 0; i < nr; i++) {
            int behind = (int)(stripes->share[i] * (n + 1)) -
                         (int)(dealt[i] * STRIPES_PATTERN);

            if (dealt[i] < stripes->share[i] && behind > furthest) {
                furthest = behind;
                due = i;
            }
        }
        stripes->store[n] = due;
        stripes->rank[n] = dealt[due]++;
    }
}

unsigned stripes_place(const Stripes *stripes, uint64_t page, uint64_t *inner)
{
    uint64_t chunk = page / STRIPES_CHUNK;
    unsigned n = chunk % STRIPES_PATTERN;
    unsigned store = stripes->store[n];

    *inner = (chunk / STRIPES_PATTERN * stripes->share[store] +
              stripes->rank[n]) * STRIPES_CHUNK + page % STRIPES_CHUNK;
    return store;
}

uint64_t stripes_page(const Stripes *stripes, unsigned store, uint64_t inner)
{
    uint64_t chunk = inner / STRIPES_CHUNK;
    unsigned rank = chunk % stripes->share[store];
    unsigned n = 0;

    while (stripes->store[n] != store || stripes->rank[n] != rank) {
        n++;
    }
    return (chunk / stripes->share[store] * STRIPES_PATTERN + n) *
           STRIPES_CHUNK + inner % STRIPES_CHUNK;
}

uint64_t stripes_pages(const Stripes *stripes, unsigned store,
                       uint64_t nr_pages)
{
    const uint64_t whole = STRIPES_CHUNK * STRIPES_PATTERN;
    uint64_t rest = nr_pages % whole;
    uint64_t pages = nr_pages / whole * stripes->share[store] * STRIPES_CHUNK;

    for (unsigned n = 0; n * STRIPES_CHUNK < rest; n++) {
        if (stripes->store[n] == store) {
            pages += MIN(STRIPES_CHUNK, rest - n * STRIPES_CHUNK);
        }
    }
    return pages;
}
