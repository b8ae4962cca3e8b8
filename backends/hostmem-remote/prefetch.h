/*
 * Prefetch: bring pages before somebody waits for them
 *
 * All functions belong to the shard's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PREFETCH_H
#define REMOTE_MEMORY_PREFETCH_H

#include "shard.h"

/** prefetch_init: make the records.  Returns: false without memory */
bool prefetch_init(RemoteShard *s);

/** prefetch_destroy: undo prefetch_init() */
void prefetch_destroy(RemoteShard *s);

/** prefetch_footprint: bytes reserved, if all of them were touched */
uint64_t prefetch_footprint(const RemoteShard *s);

/** prefetch_set_mode: from now on */
void prefetch_set_mode(RemoteShard *s, RemoteMemoryPrefetch mode);

/**
 * prefetch_fault: learn from a fault, and plan
 * @s: the shard
 * @fault: who faults, and where
 */
void prefetch_fault(RemoteShard *s, const Waiter *fault);

/** prefetch_used: a probe was touched; before it moves */
void prefetch_used(RemoteShard *s, uint32_t index);

/** prefetch_spoilt: it is touched by a visitor, which tells nothing */
static inline void prefetch_spoilt(RemoteShard *s, uint32_t index)
{
    page_map_get(&s->map, index)->flags &= ~(PAGE_PROBE | PAGE_BLOCK);
}

/** prefetch_no_probe: a page that was to be one is RESIDENT, or not there */
void prefetch_no_probe(RemoteShard *s, const Batch *batch, uint64_t page);

/** prefetch_dropped: a page is dropped: if it is a probe, it was not used */
void prefetch_dropped(RemoteShard *s, uint32_t index);

/**
 * prefetch_bring_back: move pages back that are in standby, to be used soon
 * @s: the shard
 * @index: the first, in STANDBY
 * @nr: how many, at most; those that are neighbours in both places
 * @runs: counts calls of the kernel
 *
 * Returns: how many pages have been seen to, at least 1.
 */
uint32_t prefetch_bring_back(RemoteShard *s, uint32_t index, uint32_t nr,
                             unsigned *runs);

/**
 * prefetch_run: fetch some of what is planned, if there is room
 *
 * Returns: whether to call again soon.
 */
bool prefetch_run(RemoteShard *s);

#endif
