/*
 * Stripes: on which of several stores is a page?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STRIPES_H
#define REMOTE_MEMORY_STRIPES_H

/**
 * DOC: Stripes over stores
 *
 * Pages are dealt to stores in chunks of STRIPES_CHUNK pages, after a pattern
 * of STRIPES_PATTERN chunks that repeats.  In the pattern each store has
 * chunks in proportion to its weight, as evenly spread as it can be.  So where
 * a page is can be computed, also on another host, and each store's pages are
 * numbered without gaps: a store of a fixed size need not be larger than its
 * share.
 *
 * Pure policy: weights go in, places come out.
 */

/** STRIPES_CHUNK: neighbours that stay together, so that a run can be one */
#define STRIPES_CHUNK 64
/** STRIPES_PATTERN: chunks after which it begins anew */
#define STRIPES_PATTERN 256
/** STRIPES_MAX_STORES: each has at least one chunk of the pattern */
#define STRIPES_MAX_STORES 64

/**
 * struct Stripes - the pattern
 * @nr: number of stores
 * @store: whose a chunk is
 * @rank: how many of the chunks before it are the same store's
 * @share: how many chunks a store has
 */
typedef struct Stripes {
    unsigned nr;
    uint8_t store[STRIPES_PATTERN];
    uint8_t rank[STRIPES_PATTERN];
    unsigned share[STRIPES_MAX_STORES];
} Stripes;

/**
 * stripes_init: make the pattern
 * @stripes: filled in
 * @weights: of each store, above 0
 * @nr: number of stores, from 1 to STRIPES_MAX_STORES
 */
void stripes_init(Stripes *stripes, const uint64_t *weights, unsigned nr);

/**
 * stripes_place: where a page is
 * @stripes: the pattern
 * @page: the page
 * @inner: set to its number there
 *
 * Returns: the number of the store.
 */
unsigned stripes_place(const Stripes *stripes, uint64_t page, uint64_t *inner);

/**
 * stripes_page: the other way round
 * @stripes: the pattern
 * @store: number of a store
 * @inner: number of a page there
 *
 * Returns: the page.
 */
uint64_t stripes_page(const Stripes *stripes, unsigned store, uint64_t inner);

/** stripes_pages: how many of the first @nr_pages pages a store has, at most */
uint64_t stripes_pages(const Stripes *stripes, unsigned store,
                       uint64_t nr_pages);

#endif
