/*
 * Estimate: what would caches of other sizes fetch?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "budget.h"
#include "estimate.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "sparse.h"

/*
 * The sizes, in eighths of the present one.  The closest one is where the next
 * steps down of autosize.h lead.
 */
static const uint8_t eighths[ESTIMATE_SIZES] = { 4, 6, 7, 8, 12, 16 };

/*
 * So many samples are in the cache: with fewer, chance has a say.  But if there
 * are not that many pages, a quarter of them must do.
 */
#define SAMPLES 128
#define SAMPLES_MIN (SAMPLES / 4)

static size_t bitmap_size(const Estimate *e)
{
    return BITS_TO_LONGS(e->samples) * sizeof(unsigned long);
}

uint32_t estimate_min_cache(uint32_t group)
{
    return SAMPLES_MIN * group;
}

uint64_t estimate_size(unsigned i, uint64_t cache, uint64_t pages)
{
    return MIN(cache * eighths[i] / 8, pages);
}

static unsigned shift_for(uint32_t cache, uint32_t group)
{
    return ctz32(MAX(pow2floor(cache / SAMPLES), group));
}

bool estimate_init(Estimate *e, uint32_t pages, uint32_t cache,
                   uint32_t group)
{
    bool ok;

    assert(is_power_of_2(group) && group > 1);
    assert(cache >= estimate_min_cache(group) && cache <= pages);
    *e = (Estimate) {
        .pages = pages,
        .shift = shift_for(cache, group),
    };
    e->samples = pages >> e->shift;
    e->tried = sparse_new(bitmap_size(e));
    e->hidden = sparse_new(bitmap_size(e));
    ok = e->tried && e->hidden;
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        ok = cache_model_init(&e->models[i], e->samples, e->tried) && ok;
    }
    if (ok) {
        estimate_resize(e, cache);
    }
    return ok;
}

void estimate_destroy(Estimate *e)
{
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        cache_model_destroy(&e->models[i]);
    }
    sparse_free(e->tried, bitmap_size(e));
    sparse_free(e->hidden, bitmap_size(e));
}

uint64_t estimate_footprint(const Estimate *e)
{
    uint64_t size = sizeof(*e) + 2 * bitmap_size(e);

    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        size += cache_model_footprint(&e->models[i]);
    }
    return size;
}

bool estimate_fits(const Estimate *e, uint32_t cache, uint32_t group)
{
    unsigned shift;

    if (cache < estimate_min_cache(group) || cache >= e->pages) {
        return false;
    }
    shift = shift_for(cache, group);
    return e->shift <= shift + 1 && shift <= e->shift + 2;
}

/* A real cache keeps once to twice its reserve free, and a model nothing. */
static void model_resize(Estimate *e, CacheModel *m, uint32_t size)
{
    Budget full = { .pages = e->pages, .target = size, .used = size };
    uint32_t local = size < e->pages ? size - budget_excess(&full) * 3 / 4
                                     : size;

    cache_model_resize(m, DIV_ROUND_UP(local, 1u << e->shift),
                       MAX(budget_standby_goal(&full) >> e->shift, 1));
}

void estimate_resize(Estimate *e, uint32_t cache)
{
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        model_resize(e, &e->models[i], estimate_size(i, cache, e->pages));
    }
    e->waiting = true;
}

/* A page that is not local would be in a cache that is so much larger. */
static bool would_be_local(const Page *page, uint32_t drops, uint32_t cache,
                           uint32_t size)
{
    return size > cache && drops - page->dropped < size - cache;
}

static void begin_sample(Estimate *e, uint32_t sample, const Page *page,
                         uint32_t drops, uint32_t cache)
{
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        uint32_t size = estimate_size(i, cache, e->pages);

        if (page->state == PAGE_REMOTE &&
            !would_be_local(page, drops, cache, size)) {
            cache_model_remote(&e->models[i], sample);
        } else if (page->state != PAGE_ZERO && page->state != PAGE_SOURCE) {
            cache_model_use(&e->models[i], sample);
        }
    }
}

bool estimate_begin(Estimate *e, const PageMap *map, uint32_t drops,
                    uint32_t cache, uint32_t max)
{
    for (; max && e->known < e->samples; max--) {
        uint32_t page = estimate_sample(e, e->known);

        if (!page_map_zeros(map, page, 1)) {
            begin_sample(e, e->known, &map->pages[page], drops, cache);
        }
        e->known++;
        e->waiting = true;
    }
    return e->known < e->samples;
}

void estimate_used(Estimate *e, uint32_t page)
{
    uint32_t sample = page >> e->shift;

    clear_bit(sample, e->tried);
    clear_bit(sample, e->hidden);
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        e->fetched[i] += cache_model_use(&e->models[i], sample);
    }
    e->waiting = true;
}

void estimate_forget(Estimate *e, uint32_t page)
{
    uint32_t sample = page >> e->shift;

    clear_bit(sample, e->tried);
    clear_bit(sample, e->hidden);
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        cache_model_forget(&e->models[i], sample);
    }
}

bool estimate_next(Estimate *e, uint32_t *page)
{
    uint32_t sample = e->samples;

    if (e->waiting) {
        sample = find_next_bit(e->tried, e->samples, e->cursor);
    }
    if (e->waiting && sample == e->samples) {
        sample = find_first_bit(e->tried, e->samples);
    }
    if (sample == e->samples) {
        e->waiting = false;
        return false;
    }
    clear_bit(sample, e->tried);
    e->cursor = sample;
    *page = estimate_sample(e, sample);
    return true;
}

void estimate_hide(Estimate *e, uint32_t page)
{
    set_bit(page >> e->shift, e->hidden);
}

bool estimate_hidden(const Estimate *e, uint32_t page)
{
    return estimate_has(e, page) && test_bit(page >> e->shift, e->hidden);
}

void estimate_reset(Estimate *e)
{
    memset(e->fetched, 0, sizeof(e->fetched));
}

bool estimate_sane(const Estimate *e)
{
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        if (!cache_model_sane(&e->models[i])) {
            return false;
        }
    }
    return true;
}
