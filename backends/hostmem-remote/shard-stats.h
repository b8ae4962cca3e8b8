/*
 * What a shard counts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_STATS_H
#define REMOTE_MEMORY_SHARD_STATS_H

#include "fault-times.h"
#include "qemu/atomic.h"

/**
 * struct ShardStats - counters, by cause
 *
 * Written by the shard's thread, read by any.  As in #RemoteMemoryInfo.
 */
typedef struct ShardStats {
    uint64_t faults;
    uint64_t refaults;
    uint64_t zero_fills;
    uint64_t fetched;
    uint64_t received;
    uint64_t awaited;       /* of these: the guest waited; see balance.h */
    uint64_t visited;       /* of these: for visitors only */
    uint64_t written;
    uint64_t evicted;
    uint64_t clean_drops;
    uint64_t zero_drops;
    uint64_t discarded;
    uint64_t pinned_skips;
    uint64_t over_limit;
    uint64_t prefetched;
    uint64_t probes;
    uint64_t probe_hits;
    uint64_t errors;
    uint64_t fault_time_ns;
    uint64_t guest_time_ns; /* of this: not of visitors, nor of errors */
    uint64_t waiting;       /* faults that are not answered yet */
    FaultTimes times;
    uint64_t sampled_refaults;
} ShardStats;

/** shard_count: add to a counter that other threads read */
static inline void shard_count(uint64_t *counter, uint64_t n)
{
    qatomic_set(counter, *counter + n);
}

#endif
