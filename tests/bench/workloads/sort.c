/*
 * sort: quicksort of random numbers
 *
 * Measured is the time to sort numbers of 32 bits. Before that, not measured,
 * new ones are drawn; after that, not measured either, they must be in order
 * and have the sum that they had. It is a sum of what mix64() makes of them,
 * so that no change makes up for another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "workload.h"

/* Another program of the same source, sort64, has larger ones. */
#ifndef NUMBER_BITS
#define NUMBER_BITS 32
#endif

#if NUMBER_BITS == 64
typedef uint64_t Number;
#else
typedef uint32_t Number;
#endif

/* Below this many, insertion takes fewer steps than partition. */
#define FEW 24

static uint64_t bytes = 256 << 20;
static uint64_t spoil;

static const Option sort_options[] = {
    { "size", OPTION_SIZE, &bytes, "bytes of numbers" },
    { "spoil", OPTION_SIZE, &spoil,
      "1: change a bit, to see that it is noticed" },
    { }
};

static Number *numbers;
static uint64_t count;
static uint64_t seed;
static uint64_t sum;

static void insertion_sort(Number *low, Number *high)
{
    for (Number *at = low + 1; at <= high; at++) {
        Number x = *at, *to = at;

        for (; to > low && to[-1] > x; to--) {
            *to = to[-1];
        }
        *to = x;
    }
}

static inline void swap(Number *a, Number *b)
{
    Number x = *a;

    *a = *b;
    *b = x;
}

static inline void put_in_order(Number *a, Number *b)
{
    if (*a > *b) {
        swap(a, b);
    }
}

/*
 * Returns the last of those that are at most the pivot; there are some above,
 * too. The pivot is the median of three, of which the outer ones end both
 * searches.
 */
static Number *partition(Number *low, Number *high)
{
    Number *middle = low + (high - low) / 2, pivot;

    put_in_order(low, middle);
    put_in_order(middle, high);
    put_in_order(low, middle);
    pivot = *middle;
    for (;;) {
        do {
            low++;
        } while (*low < pivot);
        do {
            high--;
        } while (*high > pivot);
        if (low >= high) {
            return high;
        }
        swap(low, high);
    }
}

/* Recurses into the smaller part: at most as deep as the logarithm */
static void quicksort(Number *low, Number *high)
{
    while (high - low >= FEW) {
        Number *last = partition(low, high);

        if (last - low < high - last) {
            quicksort(low, last);
            low = last + 1;
        } else {
            quicksort(last + 1, high);
            high = last;
        }
    }
    insertion_sort(low, high);
}

static void draw_numbers(void)
{
    uint64_t random = mix64(++seed);

    sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = random_next(&random);
        sum += mix64(numbers[i]);
    }
}

/* Verify the sum and, if @sorted, the order */
static void verify(bool sorted)
{
    uint64_t got = 0;
    Number last = 0;

    for (uint64_t i = 0; i < count; i++) {
        if (sorted && numbers[i] < last) {
            mismatch("number %llu is less than the one before",
                     (unsigned long long)i);
        }
        last = numbers[i];
        got += mix64(last);
    }
    if (got != sum) {
        mismatch("the sum has changed");
    }
}

static void setup(void)
{
    count = bytes / sizeof(*numbers);
    if (!count) {
        die("size= of at least a page");
    }
    numbers = map_memory(bytes);
    draw_numbers();
    json_count("bytes", bytes);
}

static void run(void)
{
    double start;

    draw_numbers();
    start = now();
    quicksort(numbers, numbers + count - 1);
    json_rate(count, now() - start);
    json_count("bytes", bytes);
    json_count("bits", NUMBER_BITS);
    numbers[count / 2] ^= spoil;
    verify(true);
}

static void check(void)
{
    numbers[count / 2] ^= spoil;
    verify(false);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "sort",
        .usage = "sort [NAME=VALUE]...: quicksort of random numbers",
        .setup_options = { sort_options },
        .setup = setup,
        .run = run,
        .check = check,
    };

    return workload_main(&workload, argc, argv);
}
