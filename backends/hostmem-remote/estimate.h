/*
 * Estimate: what would caches of other sizes fetch?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_ESTIMATE_H
#define REMOTE_MEMORY_ESTIMATE_H

#include "cache-model.h"

/**
 * DOC: The estimate
 *
 * Of every so many pages one is a *sample*, chosen by chance within its group.
 * For each size of interest there is a model of a cache (cache-model.h) that is
 * as much smaller than that size, and holds samples only.  What it fetches,
 * times the size of a group, is what a cache of that size would (Waldspurger et
 * al., "Cache modeling and optimization using miniature simulations", USENIX
 * ATC 2017)::
 *
 *     uses of samples --+--> model of half the size       --> fetched
 *                       +--> model of the present size    --> fetched
 *                       +--> model of twice the size      --> fetched
 *                               |
 *     samples to be tried <-----+ what goes to standby there
 *
 * The guest's uses of pages that it has mapped cannot be seen.  Nor need they
 * be, as long as all models have the page mapped, too.  But when one of them
 * takes a sample out, it has to learn of the next use.  So the sample is to be
 * tried: to be taken out of the guest in earnest.  Then its next use is a
 * fault, which all models are told of.  Thus no use is missed that any of them
 * would see, and the samples are disturbed no more often than the models need.
 *
 * It takes about as many uses as the largest model has room for until what is
 * counted is right.
 *
 * Pure policy: uses go in, pages to try come out.
 */

/** ESTIMATE_SIZES: of how many sizes there are models */
#define ESTIMATE_SIZES 6

/**
 * ESTIMATE_GROUP: of so many pages no more than one is a sample, usually
 *
 * To try them takes time.
 */
#define ESTIMATE_GROUP 128

/**
 * struct Estimate - of a shard
 * @pages: of the shard
 * @samples: of these
 * @shift: of each 2^shift pages, one is a sample
 * @known: so many samples have been told of by estimate_begin()
 * @cursor: where to look for a sample to be tried
 * @models: one for each size
 * @fetched: samples that each has fetched
 * @waiting: whether there may be samples to be tried
 * @tried: which those are
 * @hidden: samples that were tried and have not been used since
 */
typedef struct Estimate {
    uint32_t pages;
    uint32_t samples;
    unsigned shift;
    uint32_t known;
    uint32_t cursor;
    CacheModel models[ESTIMATE_SIZES];
    uint64_t fetched[ESTIMATE_SIZES];
    bool waiting;
    unsigned long *tried;
    unsigned long *hidden;
} Estimate;

/** estimate_min_cache: a cache with fewer pages has too few samples */
uint32_t estimate_min_cache(uint32_t group);

/** estimate_size: what size model @i is of, for a cache of @cache of @pages */
uint64_t estimate_size(unsigned i, uint64_t cache, uint64_t pages);

/**
 * estimate_init: begin to estimate
 * @e: the estimate
 * @pages: how many there are
 * @cache: how many of them may be local now, at least estimate_min_cache()
 * @group: of so many pages no more than one is a sample; a power of two, no
 *     less than two
 *
 * Takes no time to speak of, nor memory before it is used.
 * Returns: false if there is no address space.
 */
bool estimate_init(Estimate *e, uint32_t pages, uint32_t cache,
                   uint32_t group);

/** estimate_destroy: free what estimate_init() made, or began to make */
void estimate_destroy(Estimate *e);

/** estimate_footprint: bytes reserved for @e, if all of it were touched */
uint64_t estimate_footprint(const Estimate *e);

/**
 * estimate_fits: can it go on with a cache of another size?
 * @e: the estimate
 * @cache: how many pages may be local
 * @group: as for estimate_init()
 *
 * Returns: false if a new one would have far more samples, or far fewer.
 */
bool estimate_fits(const Estimate *e, uint32_t cache, uint32_t group);

/** estimate_resize: the cache has another size now; so do all models */
void estimate_resize(Estimate *e, uint32_t cache);

/**
 * estimate_begin: take over what is where
 * @e: the estimate
 * @map: all pages, as they are now
 * @drops: the clock, see &struct Replacement.drops
 * @cache: how many pages may be local
 * @max: look at so many samples at most
 *
 * To be called until it returns false.  What happens to a sample before that
 * is of no concern.
 * Returns: whether there are more samples.
 */
bool estimate_begin(Estimate *e, const PageMap *map, uint32_t drops,
                    uint32_t cache, uint32_t max);

/** estimate_sample: the page that is the sample of its group */
static inline uint32_t estimate_sample(const Estimate *e, uint32_t group)
{
    /* Multiplied by the golden ratio, and the highest bits of that. */
    return (group << e->shift) + ((group * 0x9e3779b1u) >> (32 - e->shift));
}

/** estimate_has: is this page a sample that is known? */
static inline bool estimate_has(const Estimate *e, uint32_t page)
{
    uint32_t group = page >> e->shift;

    return estimate_sample(e, group) == page && group < e->known;
}

/** estimate_used: a sample was used, or is taken to be.  @page: which */
void estimate_used(Estimate *e, uint32_t page);

/** estimate_forget: a sample has no content any more */
void estimate_forget(Estimate *e, uint32_t page);

/**
 * estimate_next: which page should be tried?
 * @e: the estimate
 * @page: set to a sample that, if it is mapped, should be taken out
 *
 * Returns: false if there is none.
 */
bool estimate_next(Estimate *e, uint32_t *page);

/** estimate_hide: a sample was taken out just to be tried */
void estimate_hide(Estimate *e, uint32_t page);

/** estimate_hidden: is that the reason why a page is not mapped? */
bool estimate_hidden(const Estimate *e, uint32_t page);

/** estimate_fetched: how many pages a cache of size @i would have fetched */
static inline uint64_t estimate_fetched(const Estimate *e, unsigned i)
{
    return e->fetched[i] << e->shift;
}

/** estimate_reset: begin to count anew */
void estimate_reset(Estimate *e);

/** estimate_sane: every invariant; for tests */
bool estimate_sane(const Estimate *e);

#endif
