/*
 * Unit tests: what caches of other sizes would fetch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-cache-sim.h"
#include "remote-uses.h"

/* 64 samples in the cache. */
#define CACHE (64 * ESTIMATE_GROUP)

static void use(void *opaque, uint32_t page)
{
    cache_sim_touch(opaque, page);
}

/* Run a program in a cache that was full, and count only at the end. */
static void run(const Program *program, CacheSim *sim, uint32_t cache,
                Estimate *estimate)
{
    Uses uses = {
        .use = use, .opaque = sim, .rand = g_rand_new_with_seed(1),
        .cache = CACHE,
    };
    uint32_t pages = program->pages * CACHE;

    cache_sim_init(sim, pages, cache);
    cache_sim_touch_range(sim, 0, pages);
    if (estimate) {
        g_assert_true(estimate_init(estimate, pages, cache,
                                    ESTIMATE_GROUP));
        while (estimate_begin(estimate, &sim->map, sim->replacement.drops,
                              cache, 100)) {
            /* As much as there is. */
        }
        sim->estimate = estimate;
    }
    for (int i = 0; i < program->warm; i++) {
        program->run(&uses);
    }
    cache_sim_reset(sim);
    if (estimate) {
        estimate_reset(estimate);
    }
    for (int i = 0; i < program->runs; i++) {
        program->run(&uses);
    }
    g_assert_true(cache_sim_sane(sim));
    g_rand_free(uses.rand);
}

static void check_size(const Program *program, const Estimate *estimate,
                       unsigned i)
{
    uint64_t predicted = estimate_fetched(estimate, i), off;
    CacheSim sim;

    run(program, &sim, estimate_size(i, CACHE, estimate->pages), NULL);
    off = MAX(predicted, sim.fetched) - MIN(predicted, sim.fetched);
    g_test_message("with %u pages: %" PRIu64 " fetched, %" PRIu64
                   " predicted (%+.1f %%)", sim.budget.target, sim.fetched,
                   predicted,
                   ((double)predicted / MAX(sim.fetched, 1) - 1) * 100);
    /* If next to nothing is fetched, that is what has to be predicted. */
    g_assert_cmpuint(off, <=, sim.fetched / 4 + sim.touches / 1000);
    cache_sim_destroy(&sim);
}

/* If this fails, who resizes a cache gets something else than he was told. */
static void test_predicts(gconstpointer opaque)
{
    const Program *program = opaque;
    Estimate estimate;
    CacheSim sim;

    run(program, &sim, CACHE, &estimate);
    g_assert_true(estimate_sane(&estimate));
    g_test_message("%s with %u pages: %" PRIu64 " uses, %" PRIu64 " fetched, %"
                   PRIu64 " refaulted; %" PRIu64 " tried, %" PRIu64
                   " of them refaulted", program->name, CACHE, sim.touches,
                   sim.fetched, sim.refaults, sim.tried, sim.tried_refaults);
    for (int i = 0; i < ESTIMATE_SIZES; i++) {
        check_size(program, &estimate, i);
    }
    cache_sim_destroy(&sim);
    estimate_destroy(&estimate);
}

static void tell_of_nothing(Estimate *e, uint32_t pages, uint32_t cache)
{
    PageMap map;

    g_assert_true(page_map_init(&map, pages));
    g_assert_true(estimate_init(e, pages, cache, ESTIMATE_GROUP));
    g_assert_true(estimate_begin(e, &map, 0, cache, 1));
    g_assert_false(estimate_begin(e, &map, 0, cache, pages));
    page_map_destroy(&map);
}

/* If this fails, some pages count for more than others, or for nothing. */
static void test_samples(void)
{
    static const uint32_t caches[] = {
        32 * ESTIMATE_GROUP, CACHE, 1u << 20, (1u << 20) + 12345, 1u << 24
    };

    for (int i = 0; i < ARRAY_SIZE(caches); i++) {
        /* The last group is not a whole one. */
        uint32_t pages = caches[i] * 3 + 77, group, nr = 0;
        Estimate e;

        tell_of_nothing(&e, pages, caches[i]);
        group = 1u << e.shift;
        for (uint32_t page = 0; page < pages; page++) {
            nr += estimate_has(&e, page);
            if (page % group == group - 1) {
                g_assert_cmpuint(nr, ==, page / group + 1);
            }
        }
        g_assert_cmpuint(nr, ==, pages / group);
        g_assert_cmpuint(caches[i], >=, estimate_min_cache(ESTIMATE_GROUP));
        g_assert_cmpuint(caches[i] / group, >=, 32);
        g_assert_cmpuint(caches[i] / group, <, 256);
        estimate_destroy(&e);
    }
}

/* If this fails, a pager tries pages for ever, or none. */
static void test_next(void)
{
    uint32_t page, last = 0;
    Estimate e;

    tell_of_nothing(&e, 8 * CACHE, CACHE);
    while (estimate_next(&e, &page)) {
        g_assert_not_reached();
    }
    /* Too many for half of the cache, but not for the whole. */
    for (uint32_t i = 0; i < e.samples / 8 - 4; i++) {
        estimate_used(&e, estimate_sample(&e, i));
    }
    for (uint32_t i = 0; estimate_next(&e, &page); i++) {
        g_assert_true(estimate_has(&e, page));
        g_assert_true(!i || page > last);
        estimate_hide(&e, page);
        g_assert_true(estimate_hidden(&e, page));
        last = page;
    }
    g_assert_cmpuint(last, >, 0);
    g_assert_false(estimate_next(&e, &page));
    /* It comes back to the small model, from where something else has to go. */
    estimate_used(&e, estimate_sample(&e, 0));
    g_assert_false(estimate_hidden(&e, estimate_sample(&e, 0)));
    g_assert_cmpuint(estimate_fetched(&e, 0), ==, 1u << e.shift);
    g_assert_cmpuint(estimate_fetched(&e, ESTIMATE_SIZES - 1), ==, 0);
    g_assert_true(estimate_next(&e, &page));
    estimate_destroy(&e);
}

/* If this fails, so do the first minutes after each resize. */
static void test_begin(void)
{
    Estimate estimate;
    CacheSim sim;

    cache_sim_init(&sim, 4 * CACHE, CACHE);
    for (int i = 0; i < 2; i++) {
        cache_sim_touch_range(&sim, 0, 18 * CACHE / 10);
    }
    g_assert_true(estimate_init(&estimate, 4 * CACHE, CACHE,
                                ESTIMATE_GROUP));
    while (estimate_begin(&estimate, &sim.map, sim.replacement.drops, CACHE,
                          100)) {
        /* As much as there is. */
    }
    sim.estimate = &estimate;
    cache_sim_reset(&sim);
    cache_sim_touch_range(&sim, 0, 18 * CACHE / 10);
    g_assert_cmpuint(sim.fetched, >=, 17 * CACHE / 10);
    /* All of it would have been local. */
    g_assert_cmpuint(estimate_fetched(&estimate, ESTIMATE_SIZES - 1), <=,
                     sim.fetched / 50);
    g_assert_cmpuint(estimate_fetched(&estimate, 0), >=,
                     sim.fetched * 9 / 10);
    cache_sim_destroy(&sim);
    estimate_destroy(&estimate);
}

/* If this fails, time is lost after each resize, or most of the samples. */
static void test_fits(void)
{
    const uint32_t cache = 1u << 20;
    Estimate e;

    tell_of_nothing(&e, 8 * cache, cache);
    g_assert_true(estimate_fits(&e, cache, ESTIMATE_GROUP));
    g_assert_true(estimate_fits(&e, cache / 2, ESTIMATE_GROUP));
    g_assert_false(estimate_fits(&e, cache / 2 - 1, ESTIMATE_GROUP));
    g_assert_true(estimate_fits(&e, 7 * cache, ESTIMATE_GROUP));
    g_assert_false(estimate_fits(&e, 8 * cache, ESTIMATE_GROUP));
    estimate_destroy(&e);
    tell_of_nothing(&e, 20 * CACHE, CACHE);
    g_assert_true(estimate_fits(&e, CACHE / 2, ESTIMATE_GROUP));
    g_assert_false(estimate_fits(&e, CACHE / 2 - 1, ESTIMATE_GROUP));
    g_assert_false(estimate_fits(&e, 17 * CACHE, ESTIMATE_GROUP));
    estimate_destroy(&e);
}

/* Uses, resizes and pages that are given back, in any order. */
static void test_random(void)
{
    const uint32_t pages = 2 * CACHE + 5;
    Estimate e;

    tell_of_nothing(&e, pages, CACHE / 2);
    for (int i = 0; i < 20000; i++) {
        uint32_t page = estimate_sample(&e,
                                        g_test_rand_int_range(0, e.samples));

        switch (g_test_rand_int_range(0, 100)) {
        case 0:
            estimate_resize(&e, g_test_rand_int_range(1, pages + 1));
            break;
        case 1 ... 10:
            estimate_forget(&e, page);
            break;
        case 11 ... 60:
            estimate_next(&e, &page);
            break;
        default:
            estimate_used(&e, page);
            break;
        }
        g_assert_true(estimate_sane(&e));
    }
    estimate_destroy(&e);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/estimate/samples", test_samples);
    g_test_add_func("/remote-memory/estimate/next", test_next);
    g_test_add_func("/remote-memory/estimate/begin", test_begin);
    g_test_add_func("/remote-memory/estimate/fits", test_fits);
    g_test_add_func("/remote-memory/estimate/random", test_random);
    for (const Program *program = uses_programs; program->name; program++) {
        g_autofree char *path = g_strdup_printf("/remote-memory/estimate/%s",
                                                program->name);

        g_test_add_data_func(path, program, test_predicts);
    }
    return g_test_run();
}
