/*
 * Histogram: how often something took how long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HISTOGRAM_H
#define REMOTE_MEMORY_HISTOGRAM_H

#include "qemu/host-utils.h"

/** HISTOGRAM_BUCKETS: the last one begins at 2^38 ns, which is 275 s */
#define HISTOGRAM_BUCKETS 40

/**
 * struct Histogram - counts by binary logarithm
 * @buckets: the first is of 0, bucket n is of values from 2^(n - 1) to below
 *     2^n, and the last one is of all that are larger, too: what query-stats
 *     calls a log2-histogram
 *
 * Used by one thread at a time.
 */
typedef struct Histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
} Histogram;

/** histogram_add: count a value, in any unit */
static inline void histogram_add(Histogram *h, uint64_t value)
{
    unsigned bucket = MIN(64 - clz64(value), HISTOGRAM_BUCKETS - 1);

    h->buckets[bucket]++;
}

/** histogram_merge: add what is in *@from */
void histogram_merge(Histogram *h, const Histogram *from);

#endif
