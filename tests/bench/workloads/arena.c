/*
 * Memory whose contents say themselves whether they are right
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "arena.h"

_Static_assert(sizeof(Line) == LINE_BYTES, "a line is one cache line");

Arena arena = { .bytes = 512 << 20 };
static uint64_t spoil;

const Option arena_options[] = {
    { "size", OPTION_SIZE, &arena.bytes, "bytes of memory" },
    { "spoil", OPTION_SIZE, &spoil,
      "1: change a bit, to see that it is noticed" },
    { }
};

static void fill_page(uint64_t page)
{
    uint64_t first = page * PAGE_LINES, dull = mix64(page << 32);
    uint64_t *word = (uint64_t *)&arena.line[first];
    uint64_t random = page, sum = 0;
    Line line = { .dull = { dull, dull, dull, dull } };

    for (unsigned i = 0; i < PAGE_LINES; i++) {
        line.tag = line_tag(first + i);
        for (unsigned j = 0; j < NOISE_WORDS; j++) {
            line.noise[j] = random_next(&random);
        }
        arena.line[first + i] = line;
    }
    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        sum += word[i];
    }
    /* The last word makes the sum what it is to be. */
    word[PAGE_WORDS - 1] += page_sum(page) - sum;
}

void arena_setup(void)
{
    arena.bytes &= ~(uint64_t)(PAGE_BYTES - 1);
    arena.lines = arena.bytes / LINE_BYTES;
    if (!arena.lines) {
        die("size= of at least a page");
    }
    arena.line = map_memory(arena.bytes);
    for (uint64_t page = 0; page < arena.bytes / PAGE_BYTES; page++) {
        fill_page(page);
    }
    if (spoil) {
        arena.line[arena.lines / 2].noise[0] ^= 1;
    }
    json_count("bytes", arena.bytes);
}

/* Say what is there instead, as far as it can be told */
void arena_mismatch(uint64_t line)
{
    static const Line zeros;
    const Line *got = &arena.line[line];
    const char *what = "the right tag, so what is wrong is elsewhere";

    if (!memcmp(got, &zeros, sizeof(zeros))) {
        what = "zeros";
    } else if (got->tag != line_tag(line)) {
        what = "something else";
    }
    mismatch("page=%llu line=%llu holds %s",
             (unsigned long long)line / PAGE_LINES,
             (unsigned long long)line % PAGE_LINES, what);
}

void arena_check(void)
{
    /* A counter that has overflowed is right in its low half. */
    uint32_t writes = 0;

    for (uint64_t line = 0; line < arena.lines; line++) {
        if (line % PAGE_LINES == 0) {
            writes += arena_read_page(line / PAGE_LINES);
        }
        if (arena.line[line].tag != line_tag(line)) {
            arena_mismatch(line);
        }
    }
    if (writes != (uint32_t)arena.writes) {
        mismatch("the memory holds %u writes, not %u", writes,
                 (uint32_t)arena.writes);
    }
    json_count("bytes", arena.bytes);
    json_count("writes", arena.writes);
}
