/*
 * Unit tests: a shard's cache without kernel, store and threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_REMOTE_CACHE_SIM_H
#define TEST_REMOTE_CACHE_SIM_H

#include "budget.h"
#include "estimate.h"
#include "page-map.h"
#include "replacement.h"
#include "standby.h"

/**
 * DOC: The simulation
 *
 * Page map, standby ring, budget and replacement, put together as fault.c and
 * evict.c do it.  Faults are answered at once; what is on its way out is clean
 * as soon as it is in standby; evictions are made after each fault.  Visitors
 * change nothing.  What an estimate asks for is tried at once.
 */

/**
 * struct CacheSim - the cache, and what it has cost so far
 * @visiting: whether there are visitors; changed by the test
 * @visits: pages that were fetched for them
 * @touches: how often a page was touched
 * @zero_fills: how often it had never been touched before
 * @refaults: how often it was in standby
 * @fetched: how often it was remote
 * @evicted: pages that went to standby
 * @tried: and those that went there for the estimate
 * @tried_refaults: how often one of these was used while it was there
 * @estimate: or %NULL; the test's
 */
typedef struct CacheSim {
    PageMap map;
    Standby standby;
    Budget budget;
    Replacement replacement;
    bool visiting;
    uint64_t visits;
    uint64_t touches;
    uint64_t zero_fills;
    uint64_t refaults;
    uint64_t fetched;
    uint64_t evicted;
    uint64_t tried;
    uint64_t tried_refaults;
    Estimate *estimate;
} CacheSim;

/**
 * cache_sim_init: a cache with nothing in it
 * @sim: the cache
 * @pages: of the guest's RAM
 * @cache: how many of them may be local
 */
void cache_sim_init(CacheSim *sim, uint32_t pages, uint32_t cache);

/** cache_sim_destroy: free what cache_sim_init() made */
void cache_sim_destroy(CacheSim *sim);

/**
 * cache_sim_touch: the guest uses a page
 *
 * Whatever happens, no more is used than the limit allows.
 */
void cache_sim_touch(CacheSim *sim, uint32_t page);

/** cache_sim_touch_range: touch @nr pages from @first on, in order */
void cache_sim_touch_range(CacheSim *sim, uint32_t first, uint32_t nr);

/** cache_sim_visit: a visitor reads a page */
void cache_sim_visit(CacheSim *sim, uint32_t page);

/** cache_sim_evict: make all evictions that are due, as after a resize */
void cache_sim_evict(CacheSim *sim);

/** cache_sim_reset: begin to count anew */
void cache_sim_reset(CacheSim *sim);

/** cache_sim_local: how many of @nr pages from @first on are local */
uint32_t cache_sim_local(const CacheSim *sim, uint32_t first, uint32_t nr);

/** cache_sim_sane: every invariant of the cache */
bool cache_sim_sane(const CacheSim *sim);

#endif
