/*
 * Toucher: threads that touch pages and measure each touch
 *
 * The same code measures the bare mechanism (uffd-floor.c), and the pager in
 * QEMU (preload.c), where a toucher is to the pager what a vCPU's thread is.
 *
 * A working set is a number of pages in chunks, which are evenly spread over
 * a span of memory. Each page holds what its number and version say, and is
 * checked after it was touched, outside of the time measured.
 *
 * How a touch that hit is told from one that faulted: by its time. A hit takes
 * some hundred nanoseconds at most (the page tables' and the page's own cache
 * lines), a fault that a thread has to answer some thousand. All touches and
 * faults are reported apart, and so is how many faults the kernel has counted:
 * where both numbers are about the same, the threshold was well chosen.
 *
 * How each touch is made to be a fault: the patterns random, sequential and
 * stride are cycles, which visit each page once before they visit one again.
 * If the cycle has more pages than the cache, and old pages are evicted first,
 * then each page is gone by the time that it is visited again. A cache that
 * keeps other pages than the youngest has hits, which are reported as such.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_TOUCHER_H
#define BENCH_TOUCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "options.h"

#define PAGE_BYTES 4096
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define TOUCH_MAX_THREADS 64

typedef enum TouchPattern {
    TOUCH_RANDOM,       /* a cycle in an order drawn by lot */
    TOUCH_SEQUENTIAL,   /* a cycle in order */
    TOUCH_STRIDE,       /* a cycle: every n-th page, then their neighbours */
    TOUCH_UNIFORM,      /* each touch is drawn by lot: hits and faults */
} TouchPattern;

typedef enum TouchCheck {
    CHECK_PAGE,         /* the whole page, after the touch */
    CHECK_WORD,         /* the word that was touched */
    CHECK_NONE,
} TouchCheck;

typedef struct TouchOptions {
    uint64_t set;       /* bytes */
    uint64_t chunk;     /* bytes; 0: one chunk */
    uint64_t span;      /* bytes; 0: the same as the set */
    int pattern;
    uint64_t stride;    /* pages */
    uint64_t writes;    /* per cent */
    uint64_t warm;      /* touches of each thread before it measures */
    uint64_t count;     /* touches of each thread; 0: until time is up */
    double seconds;     /* 0: until all are counted */
    uint64_t threads;
    uint64_t threshold; /* ns: a touch that takes longer is a fault */
    int check;
} TouchOptions;

/* Defaults, and the rows of a table of options for them. */
extern const TouchOptions touch_defaults;
#define TOUCH_OPTIONS 12
void touch_options(TouchOptions *o, Option *table);

typedef struct TouchSet {
    uint8_t *base;
    uint64_t pages;
    uint64_t chunk;         /* pages */
    uint64_t distance;      /* from chunk to chunk, in pages */
    uint32_t *version;      /* how often each page was written */
    uint64_t position[TOUCH_MAX_THREADS]; /* in each thread's cycle */
} TouchSet;

/*
 * Called by a toucher, outside of the time measured, when it has touched
 * these pages of the set.
 */
typedef void TouchHook(void *opaque, const uint32_t *pages, unsigned nr);

typedef struct TouchPlan {
    TouchOptions options;
    TouchHook *hook;
    void *opaque;
    /* Called by each thread first, to choose its CPU. */
    void (*place)(void *opaque, unsigned thread);
} TouchPlan;

typedef struct TouchResult {
    Histogram hits;
    Histogram faults;
    uint64_t kernel_faults; /* as getrusage(2) counts them */
    uint64_t wrong;         /* pages with wrong contents */
    double seconds;         /* of the slowest thread */
} TouchResult;

/* Returns a message if options make no sense together. */
const char *touch_check_options(const TouchOptions *o);

/* Lay a set out from @base on, by options that have been checked. */
void touch_set_init(TouchSet *set, uint8_t *base, const TouchOptions *o);
void touch_set_free(TouchSet *set);

/* Where a page of the set is. */
static inline uint8_t *touch_set_page(const TouchSet *set, uint64_t page)
{
    return set->base + (page / set->chunk * set->distance +
                        page % set->chunk) * PAGE_BYTES;
}

/* Write what a page holds in the beginning, at whatever address. */
void touch_fill_page(void *at, uint64_t page);

/* What a page's first word is when it was written so many times. */
uint64_t touch_first_word(uint64_t page, uint32_t version);

/* Is this what the page holds? */
bool touch_page_is_right(const uint64_t *words, uint64_t page,
                         uint32_t version);

/* A number that looks as if it was drawn by lot, for each number. */
uint64_t touch_mix(uint64_t x);

/* Write all pages of a set. */
void touch_fill(TouchSet *set);

/*
 * Touch. Chunks are dealt to the threads in turn. Positions are kept, so that
 * another run goes on in the cycle where this one ends.
 */
void touch_run(TouchSet *set, const TouchPlan *plan, TouchResult *result);

/* Print the members of a JSON object. */
void touch_print(FILE *f, const TouchResult *result);

/* The time in ns. */
uint64_t now_ns(void);

/* What a large block of memory is taken by; ends the program if it cannot. */
void *allocate(size_t bytes);

#endif
