/*
 * Memory that QEMU has registered with userfaultfds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ranges.h"

/* Stripes of all shards, and their standby memory. */
#define MAX_RANGES 16384

typedef struct Range {
    uint64_t start;
    uint64_t length;
    int uffd;
} Range;

static Range ranges[MAX_RANGES];
static unsigned nr_ranges;
static pthread_mutex_t ranges_lock = PTHREAD_MUTEX_INITIALIZER;

static int compare(const void *a, const void *b)
{
    const Range *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

void ranges_note(const struct uffdio_range *range, int uffd)
{
    pthread_mutex_lock(&ranges_lock);
    if (nr_ranges < MAX_RANGES) {
        ranges[nr_ranges++] = (Range) { range->start, range->len, uffd };
        qsort(ranges, nr_ranges, sizeof(*ranges), compare);
    }
    pthread_mutex_unlock(&ranges_lock);
}

/*
 * How many ranges from this one on make up RAM of this size; 0 if they do not.
 * The stripes of one backend have one length, but for the last. Standby memory
 * may lie beside them, but has another.
 */
static unsigned count_stripes(unsigned first, uint64_t size)
{
    uint64_t length = ranges[first].length, sum = 0;
    unsigned i;

    for (i = first; i < nr_ranges && sum < size; i++) {
        bool last = sum + ranges[i].length == size;

        if (ranges[i].start != ranges[first].start + sum ||
            ranges[i].length > length ||
            (ranges[i].length < length && !last)) {
            return 0;
        }
        sum += ranges[i].length;
    }
    return sum == size ? i - first : 0;
}

/* The first range of RAM of this size, or -1. */
static int find_stripes(uint64_t size)
{
    int found = -1;

    for (unsigned i = 0; i < nr_ranges; i++) {
        if (count_stripes(i, size)) {
            found = i;
        }
    }
    return found;
}

uint8_t *ranges_find(uint64_t size)
{
    uint8_t *ram = NULL;
    int first;

    pthread_mutex_lock(&ranges_lock);
    first = find_stripes(size);
    if (first >= 0) {
        ram = (uint8_t *)(uintptr_t)ranges[first].start;
    }
    pthread_mutex_unlock(&ranges_lock);
    return ram;
}

void ranges_print(FILE *f, uint64_t size)
{
    unsigned nr = 0;
    int first;

    pthread_mutex_lock(&ranges_lock);
    first = find_stripes(size);
    if (first >= 0) {
        nr = count_stripes(first, size);
    }
    fputc('[', f);
    for (unsigned i = first; i < first + nr; i++) {
        fprintf(f, "%s[%llu, %llu, %d]", i > (unsigned)first ? ", " : "",
                (unsigned long long)(ranges[i].start - ranges[first].start),
                (unsigned long long)ranges[i].length, ranges[i].uffd);
    }
    fputc(']', f);
    pthread_mutex_unlock(&ranges_lock);
}
