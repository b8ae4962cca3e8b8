/*
 * If this fails, the times of faults that are shown are not those that were.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "histogram.h"

/* Bucket n has what is from 2^(n - 1) to below 2^n. */
static void test_buckets(void)
{
    Histogram h = { 0 };

    histogram_add(&h, 0);
    g_assert_cmpuint(h.buckets[0], ==, 1);
    for (int i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
        histogram_add(&h, 1ull << (i - 1));
        histogram_add(&h, (1ull << i) - 1);
        g_assert_cmpuint(h.buckets[i], ==, 2);
    }
    histogram_add(&h, 1ull << (HISTOGRAM_BUCKETS - 2));
    histogram_add(&h, UINT64_MAX);
    g_assert_cmpuint(h.buckets[HISTOGRAM_BUCKETS - 1], ==, 2);
}

static void test_merge(void)
{
    Histogram a = { 0 }, b = { 0 };

    histogram_add(&a, 5);
    histogram_add(&b, 4);
    histogram_add(&b, 100);
    histogram_merge(&a, &b);
    g_assert_cmpuint(a.buckets[3], ==, 2);
    g_assert_cmpuint(a.buckets[7], ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/histogram/buckets", test_buckets);
    g_test_add_func("/remote-memory/histogram/merge", test_merge);
    return g_test_run();
}
