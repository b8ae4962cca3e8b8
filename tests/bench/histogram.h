/*
 * Histogram of times in nanoseconds
 *
 * Log-linear: each power of two has the same number of buckets, so that a
 * percentile is exact to one in 2^HISTOGRAM_BITS of itself, and better within
 * a bucket by interpolation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_BITS 6
/* The longest time that is told from others: 2^40 ns are 18 minutes. */
#define HISTOGRAM_MAX_BITS 40
#define HISTOGRAM_BUCKETS \
    ((HISTOGRAM_MAX_BITS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

typedef struct Histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t bucket[HISTOGRAM_BUCKETS];
} Histogram;

/* Count a time. */
void histogram_add(Histogram *h, uint64_t ns);

/* Count all times of another one. */
void histogram_merge(Histogram *h, const Histogram *other);

/* The time that a share of all, from 0 to 1, do not exceed; 0 if empty. */
double histogram_quantile(const Histogram *h, double share);

/*
 * Print as a member of a JSON object: "name": {"count", "mean", "p50", "p90",
 * "p99", "p999", "max"}; and, if asked for, "buckets", a list of [lower bound,
 * count] of those that are not empty.
 */
void histogram_print(FILE *f, const char *name, const Histogram *h,
                     int buckets);

#endif
