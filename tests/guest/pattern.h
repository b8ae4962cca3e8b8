/*
 * Contents of test pages: seed, page number and version decide every byte
 *
 * A page is two halves with a version each, and a step of the page's version
 * renews one of them: so pages get rewritten in part as well as in whole, and
 * a page that comes back old, empty, torn or in the wrong place shows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef GUEST_PATTERN_H
#define GUEST_PATTERN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PAGE_BYTES 4096
#define PAGE_WORDS (PAGE_BYTES / 8)
#define HALF_WORDS (PAGE_WORDS / 2)

/* What a page looks like to something that compresses it. */
typedef enum PageKind {
    KIND_ZERO,    /* zeros while its version is even, random while it is odd */
    KIND_TEXT,    /* long runs: compresses well */
    KIND_RANDOM,  /* does not compress */
    KIND_MIXED,   /* each page is one of the above, 1 : 2 : 2 */
} PageKind;

typedef struct Pattern {
    uint64_t seed;
    PageKind kind;
} Pattern;

/* Spread @x over all 64 bits: two multiplications, three shifts, a bijection */
static inline uint64_t mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    return x ^ x >> 32;
}

static inline PageKind pattern_kind(const Pattern *p, uint64_t page)
{
    static const PageKind share[] = {
        KIND_ZERO, KIND_TEXT, KIND_TEXT, KIND_RANDOM, KIND_RANDOM,
    };

    if (p->kind != KIND_MIXED) {
        return p->kind;
    }
    return share[mix64(p->seed ^ page * 3) % 5];
}

/* Version of one half of a page at @version: the halves take turns */
static inline uint32_t half_version(uint32_t version, unsigned half)
{
    return (version + 1 - half) / 2;
}

/* One half of a page at a version of that half into @out */
static inline void pattern_half(const Pattern *p, uint64_t page, unsigned half,
                                uint32_t version, uint64_t *out)
{
    PageKind kind = pattern_kind(p, page);
    uint64_t x = mix64(p->seed + mix64(page * 2 + half) + version);

    if (kind == KIND_ZERO && version % 2 == 0) {
        memset(out, 0, HALF_WORDS * 8);
        return;
    }
    for (unsigned i = 0; i < HALF_WORDS; i++) {
        out[i] = x;
        if (kind != KIND_TEXT || i % 64 == 63) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
    }
}

/* A whole page of PAGE_WORDS words at @version into @out */
static inline void pattern_page(const Pattern *p, uint64_t page,
                                uint32_t version, uint64_t *out)
{
    for (unsigned half = 0; half < 2; half++) {
        pattern_half(p, page, half, half_version(version, half),
                     out + half * HALF_WORDS);
    }
}

/*
 * The @i-th of 2^@bits numbers in an order that @key decides: a bijection, so
 * that every number comes once, and without a table.
 */
static inline uint64_t shuffle(uint64_t i, unsigned bits, uint64_t key)
{
    uint64_t mask = (1ull << bits) - 1;

    for (unsigned round = 0; round < 4; round++) {
        i = (i * (mix64(key + round) | 1) + (key >> round)) & mask;
        i ^= i >> (bits / 2 + 1);
    }
    return i;
}

#endif
