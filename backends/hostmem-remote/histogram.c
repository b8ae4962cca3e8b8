/*
 * Histogram: how often something took how long
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "histogram.h"

void histogram_merge(Histogram *h, const Histogram *from)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        h->buckets[i] += from->buckets[i];
    }
}
