/*
 * Histogram of times in nanoseconds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "histogram.h"

#define LINEAR (1u << HISTOGRAM_BITS)

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < LINEAR) {
        return ns;
    }
    if (ns >> HISTOGRAM_MAX_BITS) {
        return HISTOGRAM_BUCKETS - 1;
    }
    /* The bits that follow the highest one number the bucket. */
    shift = 63 - __builtin_clzll(ns) - HISTOGRAM_BITS;
    return ((shift + 1) << HISTOGRAM_BITS) + ((ns >> shift) - LINEAR);
}

static uint64_t lower_bound(unsigned bucket)
{
    unsigned shift = bucket >> HISTOGRAM_BITS;

    if (!shift) {
        return bucket;
    }
    return (uint64_t)(LINEAR + bucket % LINEAR) << (shift - 1);
}

void histogram_add(Histogram *h, uint64_t ns)
{
    h->count++;
    h->sum += ns;
    h->max = ns > h->max ? ns : h->max;
    h->bucket[bucket_of(ns)]++;
}

void histogram_merge(Histogram *h, const Histogram *other)
{
    h->count += other->count;
    h->sum += other->sum;
    h->max = other->max > h->max ? other->max : h->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->bucket[i] += other->bucket[i];
    }
}

double histogram_quantile(const Histogram *h, double share)
{
    double rank = share * h->count, before = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double n = h->bucket[i];

        if (n && before + n >= rank) {
            double low = lower_bound(i), high = lower_bound(i + 1);
            double value = low + (high - low) * (rank - before) / n;

            return value < h->max ? value : h->max;
        }
        before += n;
    }
    return h->max;
}

static void print_buckets(FILE *f, const Histogram *h)
{
    const char *separator = "";

    fputs(", \"buckets\": [", f);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->bucket[i]) {
            fprintf(f, "%s[%llu, %llu]", separator,
                    (unsigned long long)lower_bound(i),
                    (unsigned long long)h->bucket[i]);
            separator = ", ";
        }
    }
    fputc(']', f);
}

void histogram_print(FILE *f, const char *name, const Histogram *h,
                     int buckets)
{
    fprintf(f, "\"%s\": {\"count\": %llu, \"mean\": %.1f, \"p50\": %.1f, "
            "\"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %llu",
            name, (unsigned long long)h->count,
            h->count ? (double)h->sum / h->count : 0,
            histogram_quantile(h, 0.5), histogram_quantile(h, 0.9),
            histogram_quantile(h, 0.99), histogram_quantile(h, 0.999),
            (unsigned long long)h->max);
    if (buckets) {
        print_buckets(f, h);
    }
    fputc('}', f);
}
