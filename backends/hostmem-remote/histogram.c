/*
 * Histogram: how often something took how long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "histogram.h"
#include "qemu/host-utils.h"

void histogram_add(Histogram *h, uint64_t value)
{
    unsigned bucket = MIN(64 - clz64(value), HISTOGRAM_BUCKETS - 1);

    h->buckets[bucket]++;
}

void histogram_merge(Histogram *h, const Histogram *from)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->buckets[i] += from->buckets[i];
    }
}
