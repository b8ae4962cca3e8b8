/*
 * Memory whose contents say themselves whether they are right
 *
 * A page is 64 lines of 64 bytes. Each line has a tag of its own, which a
 * touch verifies, and a counter, to which a write adds one. The sum of all
 * words of a page, less the counters, is a number of the page. The counters
 * of all pages sum to the number of writes that were made. So a page that is
 * zeros, torn, or another one's shows at once where it is read, and one that
 * is old shows when all of the arena is verified.
 *
 * Half of each line looks random and half is the same in all of the page's
 * lines: compressors make it about half as long, which is what they make of
 * most programs' memory. No two pages are equal.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H

#include "workload.h"

#define LINE_BYTES 64
#define PAGE_LINES (PAGE_BYTES / LINE_BYTES)
#define NOISE_WORDS 3
#define DULL_WORDS 4

typedef struct Line {
    uint32_t writes;        /* low half of the first word */
    uint32_t tag;
    uint64_t noise[NOISE_WORDS];
    uint64_t dull[DULL_WORDS];
} Line;

/* There is one. */
typedef struct Arena {
    uint64_t bytes;
    uint64_t lines;
    Line *line;
    uint64_t writes;        /* made so far, by all */
} Arena;

extern Arena arena;

/* For Workload.setup_options: the size. */
extern const Option arena_options[];

/* For Workload: make it, and verify that it is right and holds all writes. */
void arena_setup(void);
void arena_check(void);

void arena_mismatch(uint64_t line) __attribute__((noreturn));

static inline uint32_t line_tag(uint64_t line)
{
    return mix64(line + 1) >> 32;
}

/* What the words of a page sum to when it has not been written to */
static inline uint64_t page_sum(uint64_t page)
{
    return mix64(~page);
}

/* Read one line's first word; count a write there if it is one. */
static inline void arena_touch(uint64_t line, bool write)
{
    Line *l = &arena.line[line];

    if (l->tag != line_tag(line)) {
        arena_mismatch(line);
    }
    if (write) {
        __atomic_fetch_add(&l->writes, 1, __ATOMIC_RELAXED);
    }
}

/* Verify the words of one page; returns how many writes it holds. */
static inline uint64_t arena_read_page(uint64_t page)
{
    const Line *line = &arena.line[page * PAGE_LINES];
    uint64_t sum = 0, writes = 0;

    for (unsigned i = 0; i < PAGE_LINES; i++) {
        const uint64_t *word = (const uint64_t *)&line[i];

        for (unsigned j = 0; j < LINE_BYTES / sizeof(*word); j++) {
            sum += word[j];
        }
        writes += line[i].writes;
    }
    if (sum - writes != page_sum(page)) {
        arena_mismatch(page * PAGE_LINES);
    }
    return writes;
}

/* Count a write in each line of a page. */
static inline void arena_write_page(uint64_t page)
{
    Line *line = &arena.line[page * PAGE_LINES];

    for (unsigned i = 0; i < PAGE_LINES; i++) {
        line[i].writes++;
    }
}

#endif
