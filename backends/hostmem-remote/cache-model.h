/*
 * Model of a cache: what a cache of some size does with some of the pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_CACHE_MODEL_H
#define REMOTE_MEMORY_CACHE_MODEL_H

#include "page-map.h"
#include "replacement.h"
#include "standby.h"

/**
 * DOC: The model
 *
 * A shard's cache in small: page map, standby ring and replacement are the
 * real ones, but there is no memory behind them.  There is no reserve either,
 * and pages move one by one, so that a few dozen of them are enough.
 *
 * It has to be told of a use only if the page is not RESIDENT in it: nobody
 * sees the other uses, in a real cache either.
 */

/**
 * struct CacheModel - one cache
 * @map: all pages
 * @standby: of these, those that are on their way out
 * @replacement: which go first
 * @tried: a bit is set for each page that goes to standby; the owner's
 * @cache: how many pages may be local
 * @goal: how many of those are in standby, at best
 * @owed: evictions to be made up for pages that came; see budget.h
 */
typedef struct CacheModel {
    PageMap map;
    Standby standby;
    Replacement replacement;
    unsigned long *tried;
    uint32_t cache;
    uint32_t goal;
    uint32_t owed;
} CacheModel;

/**
 * cache_model_init: a cache with nothing in it, and room for nothing
 * @m: the model
 * @pages: how many there are
 * @tried: a bit for each of them
 *
 * Returns: false if there is no address space.
 */
bool cache_model_init(CacheModel *m, uint32_t pages, unsigned long *tried);

/** cache_model_destroy: free what cache_model_init() made, or began to make */
void cache_model_destroy(CacheModel *m);

/** cache_model_footprint: bytes reserved for @m, if all of it were touched */
uint64_t cache_model_footprint(const CacheModel *m);

/**
 * cache_model_resize: have room for more, or less
 * @m: the model
 * @cache: how many pages may be local; all, and nothing has ever to go
 * @goal: how many of these should be in standby, at most; above 0
 */
void cache_model_resize(CacheModel *m, uint32_t cache, uint32_t goal);

/**
 * cache_model_use: the guest uses a page
 *
 * Returns: whether it had to be fetched.
 */
bool cache_model_use(CacheModel *m, uint32_t page);

/** cache_model_forget: a page has no content any more */
void cache_model_forget(CacheModel *m, uint32_t page);

/** cache_model_remote: a ZERO page has been in the store since long ago */
void cache_model_remote(CacheModel *m, uint32_t page);

/** cache_model_sane: every invariant of the model; for tests */
bool cache_model_sane(const CacheModel *m);

#endif
