/*
 * zipf: go to places in memory, to few of them often
 *
 * The probability of an item is in proportion to 1 / rank^theta. All have the
 * same size, and are in memory in an order drawn by lot. An operation reads
 * and verifies one word of a random line of an item; a share of them writes,
 * too.
 *
 * How a rank is drawn: not by a formula with powers, which takes longer than
 * the access where the processor is emulated, but from a table. It begins with
 * a class for each of the first 32 ranks; from there on, 16 classes share the
 * ranks up to the next power of two, and within a class all ranks are equally
 * likely: none is off by more than 3 %. The table is small and always in use,
 * so it adds nothing to the working set.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <math.h>

#include "arena.h"
#include "crew.h"

#define EXACT_RANKS 32
#define CLASSES_PER_OCTAVE 16
#define MAX_CLASSES (EXACT_RANKS + CLASSES_PER_OCTAVE * 60)

typedef struct Class {
    uint64_t end;           /* of the random numbers that choose it */
    uint64_t first;         /* rank, from 0 */
    uint64_t ranks;
} Class;

static double theta = 0.99;
static uint64_t item_bytes = PAGE_BYTES;
static uint64_t percent = 10;

static const Option item_options[] = {
    { "theta", OPTION_REAL, &theta, "1 / rank^theta is the probability" },
    { "item", OPTION_SIZE, &item_bytes, "bytes of an item" },
    { }
};

static const Option zipf_options[] = {
    { "writes", OPTION_SIZE, &percent, "per cent that write" },
    { }
};

static uint64_t items;
static unsigned item_bits;      /* items <= 2^item_bits */
static Class class[MAX_CLASSES];
static unsigned classes;

/*
 * Sum of 1 / rank^theta over some ranks. Of more than one, it is taken as an
 * integral; beyond EXACT_RANKS that is right to one in 10000.
 */
static double weight(uint64_t first, uint64_t ranks)
{
    double low = first + 0.5, high = low + ranks;

    if (ranks == 1) {
        return pow(first + 1, -theta);
    } else if (theta == 1) {
        return log(high / low);
    }
    return (pow(high, 1 - theta) - pow(low, 1 - theta)) / (1 - theta);
}

static uint64_t class_ranks(uint64_t first)
{
    uint64_t ranks = 1;

    if (first >= EXACT_RANKS) {
        ranks = (1ull << (63 - __builtin_clzll(first))) / CLASSES_PER_OCTAVE;
    }
    return ranks < items - first ? ranks : items - first;
}

static void make_classes(void)
{
    double total = 0, sum = 0;

    for (uint64_t first = 0; first < items; first += class_ranks(first)) {
        class[classes].first = first;
        class[classes].ranks = class_ranks(first);
        total += weight(first, class_ranks(first));
        classes++;
    }
    for (unsigned i = 0; i < classes - 1; i++) {
        sum += weight(class[i].first, class[i].ranks);
        class[i].end = sum / total * 0x1p64;
    }
    class[classes - 1].end = UINT64_MAX;
}

static uint64_t draw_rank(uint64_t *random)
{
    uint64_t r = random_next(random);
    unsigned low = 0, high = classes - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (r > class[middle].end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return class[low].first + scale_to(random_next(random), class[low].ranks);
}

/* Where the item of a rank is: a permutation of less than a power of two */
static uint64_t place(uint64_t rank)
{
    const uint64_t key = 0x5eed;

    do {
        rank = shuffle(rank, item_bits, key);
    } while (rank >= items);
    return rank;
}

static void draw(Worker *w)
{
    uint64_t writes = 0;
    uint64_t threshold = (percent << 32) / 100;
    uint64_t item_lines = item_bytes / LINE_BYTES;

    while (worker_goes_on(w)) {
        uint64_t item = place(draw_rank(&w->random));
        uint64_t random = random_next(&w->random);
        bool write = (uint32_t)random < threshold;

        arena_touch(item * item_lines + scale_to(random, item_lines), write);
        writes += write;
        worker_done(w);
    }
    __atomic_fetch_add(&arena.writes, writes, __ATOMIC_RELAXED);
}

static void setup(void)
{
    if (!item_bytes || item_bytes % LINE_BYTES ||
        item_bytes > arena.bytes / 2) {
        die("item= in multiples of %d bytes, and much less than all",
            LINE_BYTES);
    }
    items = arena.bytes / item_bytes;
    while (1ull << item_bits < items) {
        item_bits++;
    }
    make_classes();
    arena_setup();
    json_count("items", items);
}

static void run(void)
{
    static CrewResult result;

    crew_run(draw, &result);
    crew_print(&result);
    json_real("theta", theta);
    json_count("items", items);
    json_count("bytes", arena.bytes);
    json_count("writes_percent", percent);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "zipf",
        .usage = "zipf [NAME=VALUE]...: go to some places more often",
        .setup_options = { arena_options, item_options },
        .run_options = { crew_options, zipf_options },
        .setup = setup,
        .run = run,
        .check = arena_check,
    };

    return workload_main(&workload, argc, argv);
}
