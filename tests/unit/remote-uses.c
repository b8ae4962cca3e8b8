/*
 * Unit tests: the order in which programs use their pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <math.h>
#include "remote-uses.h"

/* Pages for each page of the cache. */
#define ZIPF_PAGES 8
#define SCAN_PAGES 3
#define SORT_PAGES 4

/* Of the graph: vertices by page of what is known of each, edges, and lists. */
#define VERTICES_PER_PAGE 64
#define EDGES 8
#define EDGES_PER_PAGE 512
#define QUEUE_PER_PAGE 1024

static void use(const Uses *uses, uint32_t page)
{
    uses->use(uses->opaque, page);
}

static uint32_t chance(const Uses *uses, uint32_t of)
{
    return g_rand_int_range(uses->rand, 0, of);
}

static void use_range(const Uses *uses, uint32_t first, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        use(uses, first + i);
    }
}

static void run_scan(const Uses *uses)
{
    use_range(uses, 0, SCAN_PAGES * uses->cache);
}

/* Not in half of the cache, but in one of twice the size. */
static void run_loop(const Uses *uses)
{
    use_range(uses, 0, uses->cache * 18 / 10);
}

static void run_uniform(const Uses *uses)
{
    for (uint32_t i = 0; i < 4 * uses->cache; i++) {
        use(uses, chance(uses, 4 * uses->cache));
    }
}

/*
 * The density of the places is as one divided by their rank, all but: then the
 * rank is an exponential of what is evenly distributed.  They are scattered.
 */
static void run_zipf(const Uses *uses)
{
    uint32_t pages = ZIPF_PAGES * uses->cache;

    for (uint32_t i = 0; i < pages; i++) {
        uint64_t rank = pow(pages, g_rand_double(uses->rand)) - 1;

        use(uses, rank * 0x9e3779b1 % pages);
    }
}

static void run_hot_and_cold(const Uses *uses)
{
    for (uint32_t i = 0; i < 8 * uses->cache; i++) {
        use(uses, chance(uses, i % 5 ? uses->cache * 7 / 10
                                     : 8 * uses->cache));
    }
}

/* One program that goes here and there, and one that scans. */
static void run_mixed(const Uses *uses)
{
    for (uint32_t i = 0; i < 3 * uses->cache; i++) {
        uint32_t pages = ZIPF_PAGES * uses->cache;

        for (int k = 0; k < 4; k++) {
            uint64_t rank = pow(pages, g_rand_double(uses->rand)) - 1;

            use(uses, rank * 0x9e3779b1 % pages);
        }
        use(uses, pages + i);
    }
}

static void merge(const Uses *uses, uint32_t from, uint32_t to, uint32_t nr,
                  uint32_t half)
{
    uint32_t left = 0, right = MIN(half, nr);

    for (uint32_t i = 0; i < nr; i++) {
        bool from_left = left < half && left < nr &&
                         (right == nr || chance(uses, 2));

        use(uses, from + (from_left ? left++ : right++));
        use(uses, to + i);
    }
}

static void run_merge_sort(const Uses *uses)
{
    uint32_t nr = SORT_PAGES / 2 * uses->cache, from = 0, to = nr;

    for (uint32_t half = 1; half < nr; half *= 2) {
        for (uint32_t i = 0; i < nr; i += 2 * half) {
            merge(uses, from + i, to + i, MIN(2 * half, nr - i), half);
        }
        from = nr - from;
        to = nr - to;
    }
}

static void quicksort(const Uses *uses, uint32_t first, uint32_t nr)
{
    uint32_t low = first, high = first + nr - 1, part;

    use(uses, first);
    while (low < high) {
        use(uses, chance(uses, 2) ? ++low : --high);
        use(uses, low);
        use(uses, high);
    }
    if (nr > 1) {
        part = MAX(nr * 3 / 8 + chance(uses, nr / 4 + 1), 1);
        quicksort(uses, first, MIN(part, nr - 1));
        quicksort(uses, first + MIN(part, nr - 1), nr - MIN(part, nr - 1));
    }
}

static void run_quicksort(const Uses *uses)
{
    quicksort(uses, 0, SORT_PAGES * uses->cache);
}

/* Where the edges of a vertex go: to few of the others often. */
static uint32_t neighbour(uint32_t vertex, unsigned edge, uint32_t vertices)
{
    uint64_t a = (vertex * EDGES + edge + 1) * 0x9e3779b97f4a7c15ull;
    uint64_t b = (a ^ a >> 29) * 0xbf58476d1ce4e5b9ull;

    return MIN((a >> 32) % vertices, (b >> 32) % vertices);
}

/*
 * First what is known of the vertices, then the edges of each, then the queue
 * of those to look at.
 */
static void run_search(const Uses *uses)
{
    uint32_t known = uses->cache, vertices = known * VERTICES_PER_PAGE;
    uint32_t lists = vertices / EDGES_PER_PAGE * EDGES, nr = 0;
    g_autofree uint32_t *queue = g_new(uint32_t, vertices);
    g_autofree bool *seen = g_new0(bool, vertices);

    queue[nr++] = chance(uses, vertices);
    seen[queue[0]] = true;
    for (uint32_t i = 0; i < nr; i++) {
        use(uses, known + lists + i / QUEUE_PER_PAGE);
        use(uses, known + (uint64_t)queue[i] * EDGES / EDGES_PER_PAGE);
        for (unsigned edge = 0; edge < EDGES; edge++) {
            uint32_t next = neighbour(queue[i], edge, vertices);

            use(uses, next / VERTICES_PER_PAGE);
            if (!seen[next]) {
                seen[next] = true;
                queue[nr++] = next;
            }
        }
    }
}

const Program uses_programs[] = {
    { "scan", SCAN_PAGES, 3, 4, run_scan },
    { "loop", 2, 4, 8, run_loop },
    { "uniform", 4, 4, 8, run_uniform },
    { "zipf", ZIPF_PAGES, 8, 12, run_zipf },
    { "hot-and-cold", 8, 4, 8, run_hot_and_cold },
    { "mixed", ZIPF_PAGES + 3, 3, 5, run_mixed },
    { "merge-sort", SORT_PAGES, 1, 1, run_merge_sort },
    { "quicksort", SORT_PAGES, 1, 3, run_quicksort },
    { "search", 3, 1, 2, run_search },
    { },
};
