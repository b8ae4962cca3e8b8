/*
 * Working sets of touchers: options, layout and contents
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "toucher.h"

const TouchOptions touch_defaults = {
    .set = 512 << 20,
    .stride = 16,
    .count = 100000,
    .threads = 1,
    .threshold = 1500,
};

static const char *const patterns[] = {
    "random", "sequential", "stride", "uniform", NULL,
};

static const char *const checks[] = { "page", "word", "none", NULL };

void touch_options(TouchOptions *o, Option *table)
{
    const Option rows[TOUCH_OPTIONS] = {
        option_size("set", &o->set, "working set, in bytes"),
        option_size("chunk", &o->chunk,
                    "bytes that lie together; default: all"),
        option_size("span", &o->span,
                    "bytes over which chunks are spread; default: no gaps"),
        option_choice("pattern", &o->pattern, "order", patterns),
        option_size("stride", &o->stride, "pages, of that pattern"),
        option_size("writes", &o->writes, "per cent of touches"),
        option_size("warm", &o->warm,
                    "touches of each thread that are not measured"),
        option_size("count", &o->count,
                    "touches of each thread; 0: any number"),
        option_real("seconds", &o->seconds, "longest time; 0: any"),
        option_size("threads", &o->threads, "that touch; chunks are dealt"),
        option_size("threshold", &o->threshold,
                    "ns: a longer touch is a fault"),
        option_choice("check", &o->check, "of contents", checks),
    };

    for (int i = 0; i < TOUCH_OPTIONS; i++) {
        table[i] = rows[i];
    }
}

static uint64_t chunk_bytes(const TouchOptions *o)
{
    return o->chunk ? o->chunk : o->set;
}

static uint64_t span_bytes(const TouchOptions *o)
{
    return o->span ? o->span : o->set;
}

const char *touch_check_options(const TouchOptions *o)
{
    uint64_t chunk = chunk_bytes(o), span = span_bytes(o), chunks;

    if (!chunk || o->set % chunk || chunk % PAGE_BYTES ||
        o->set / PAGE_BYTES > UINT32_MAX) {
        return "the set is not made of chunks, or those are not of pages";
    }
    chunks = o->set / chunk;
    if (span < o->set || span / chunks % PAGE_BYTES) {
        return "the span does not hold the chunks, or splits pages";
    }
    if (!o->threads || o->threads > TOUCH_MAX_THREADS || o->threads > chunks) {
        return "no thread, or too many; each needs a chunk";
    }
    return o->stride ? NULL : "the stride cannot be 0";
}

void touch_set_init(TouchSet *set, uint8_t *base, const TouchOptions *o)
{
    uint64_t chunk = chunk_bytes(o);

    *set = (TouchSet) {
        .base = base,
        .pages = o->set / PAGE_BYTES,
        .chunk = chunk / PAGE_BYTES,
        .distance = span_bytes(o) / (o->set / chunk) / PAGE_BYTES,
    };
    set->version = allocate(set->pages * sizeof(*set->version));
}

void touch_set_free(TouchSet *set)
{
    if (set->version) {
        munmap(set->version, set->pages * sizeof(*set->version));
        set->version = NULL;
    }
}

/* Contents: no page is like another, like zeros, or easy to compress. */

uint64_t touch_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* The first word tells the version, the others only the page. */
uint64_t touch_first_word(uint64_t page, uint32_t version)
{
    return touch_mix((page + 1) << 32 | version);
}

static inline uint64_t other_word(uint64_t seed, unsigned word)
{
    return seed ^ (word * 0x9e3779b97f4a7c15ull);
}

void touch_fill_page(void *at, uint64_t page)
{
    uint64_t *words = at, seed = touch_first_word(page, 0);

    words[0] = seed;
    for (unsigned i = 1; i < PAGE_WORDS; i++) {
        words[i] = other_word(seed, i);
    }
}

bool touch_page_is_right(const uint64_t *words, uint64_t page,
                         uint32_t version)
{
    uint64_t seed = touch_first_word(page, 0);
    uint64_t difference = words[0] ^ touch_first_word(page, version);

    for (unsigned i = 1; i < PAGE_WORDS; i++) {
        difference |= words[i] ^ other_word(seed, i);
    }
    return !difference;
}

void touch_fill(TouchSet *set)
{
    for (uint64_t page = 0; page < set->pages; page++) {
        touch_fill_page(touch_set_page(set, page), page);
        set->version[page] = 0;
    }
}

uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void *allocate(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        perror("no memory");
        exit(1);
    }
    return mem;
}
