/*
 * Unit tests: automatic sizing, in a simulated cache with a simulated clock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "autosize.h"
#include "qemu/timer.h"
#include "remote-cache-sim.h"
#include "remote-uses.h"

/* Of so many pages one is a sample: caches are small. */
#define GROUP 16

#define PAGES 65536
#define MIN_SIZE 1024
#define MAX_SIZE 49152
#define TARGET 100

/* How long the guest uses a page, and what faults take. */
#define USE_NS (100 * SCALE_US)
#define FETCH_NS (100 * SCALE_US)
#define REFAULT_NS (5 * SCALE_US)

#define TICK_NS (NANOSECONDS_PER_SECOND / 4)
#define MINUTE (60 * NANOSECONDS_PER_SECOND)

/*
 * @clock: time of the guest and of the controller, in ns
 * @ticked: when the last tick was
 * @waited: in all
 * @told: of this, what the controller knows
 * @told_fetched: pages that it knows of
 * @fetched: what it knows of the curve
 * @turns: how often it has grown after it had shrunk, or the reverse
 * @up: whether it grew the last time that it did anything
 * @smallest: size
 * @largest: size
 */
typedef struct Loop {
    CacheSim sim;
    Estimate estimate;
    Autosize autosize;
    GRand *rand;
    uint64_t clock;
    uint64_t ticked;
    uint64_t waited;
    uint64_t told;
    uint64_t told_fetched;
    uint64_t fetched[ESTIMATE_SIZES];
    unsigned turns;
    bool up;
    uint32_t smallest;
    uint32_t largest;
} Loop;

static uint32_t size_of(const Loop *l)
{
    return l->sim.budget.target;
}

/* The estimate, as in shard-estimate.c */

static void begin_estimate(Loop *l)
{
    g_assert_true(estimate_init(&l->estimate, PAGES, size_of(l), GROUP));
    while (estimate_begin(&l->estimate, &l->sim.map, l->sim.replacement.drops,
                          size_of(l), PAGES)) {
        /* As much as there is. */
    }
    estimate_reset(&l->estimate);
    memset(l->fetched, 0, sizeof(l->fetched));
    l->sim.estimate = &l->estimate;
}

static void end_estimate(Loop *l)
{
    if (l->sim.estimate) {
        estimate_destroy(&l->estimate);
        l->sim.estimate = NULL;
    }
}

static void resize_estimate(Loop *l)
{
    if (l->sim.estimate && !estimate_fits(&l->estimate, size_of(l), GROUP)) {
        end_estimate(l);
    } else if (l->sim.estimate) {
        estimate_resize(&l->estimate, size_of(l));
    }
}

static void fill_curve(Loop *l, AutosizeTick *tick)
{
    for (int i = 0; l->sim.estimate && i < ESTIMATE_SIZES; i++) {
        uint64_t fetched = estimate_fetched(&l->estimate, i);
        uint64_t size = estimate_size(i, size_of(l), PAGES);

        if (!i || size > tick->curve[tick->nr_points - 1].size) {
            tick->curve[tick->nr_points++] = (AutosizePoint) {
                .size = size, .fetched = fetched - l->fetched[i],
            };
        }
        l->fetched[i] = fetched;
    }
}

/* The loop */

static void resize(Loop *l, uint64_t size)
{
    bool up = size > size_of(l);

    g_assert_cmpuint(size, >=, l->autosize.config.min);
    g_assert_cmpuint(size, <=, l->autosize.config.max);
    l->turns += up != l->up;
    l->up = up;
    budget_set_target(&l->sim.budget, size);
    cache_sim_evict(&l->sim);
    resize_estimate(l);
}

static void tick(Loop *l)
{
    AutosizeTick tick = {
        .passed = l->clock - l->ticked,
        .vcpus = 1,
        .waited = l->waited - l->told,
        .fetched = l->sim.fetched - l->told_fetched,
        .size = size_of(l),
        .used = l->sim.budget.used,
    };
    uint64_t size;

    if (!l->sim.estimate && l->sim.evicted) {
        begin_estimate(l);
    }
    fill_curve(l, &tick);
    l->ticked = l->clock;
    l->told = l->waited;
    l->told_fetched = l->sim.fetched;
    size = autosize_tick(&l->autosize, &tick);
    if (size != size_of(l)) {
        resize(l, size);
    }
    l->smallest = MIN(l->smallest, size);
    l->largest = MAX(l->largest, size);
}

static void pass(Loop *l, uint64_t ns)
{
    l->clock += ns;
    while (l->clock - l->ticked >= TICK_NS) {
        tick(l);
    }
}

static void use(void *opaque, uint32_t page)
{
    Loop *l = opaque;
    uint64_t fetched = l->sim.fetched, ns;
    uint64_t refaults = l->sim.refaults + l->sim.tried_refaults;

    cache_sim_touch(&l->sim, page);
    ns = (l->sim.fetched - fetched) * FETCH_NS +
         (l->sim.refaults + l->sim.tried_refaults - refaults) * REFAULT_NS;
    l->waited += ns;
    pass(l, USE_NS + ns);
}

static void begin(Loop *l, uint32_t size)
{
    AutosizeConfig config = {
        .min = MIN_SIZE, .max = MAX_SIZE, .target = TARGET,
    };

    *l = (Loop) {
        .rand = g_rand_new_with_seed(1), .smallest = size, .largest = size,
    };
    cache_sim_init(&l->sim, PAGES, size);
    autosize_init(&l->autosize, &config);
}

static void end(Loop *l)
{
    g_assert_true(cache_sim_sane(&l->sim));
    end_estimate(l);
    cache_sim_destroy(&l->sim);
    g_rand_free(l->rand);
}

/* Run a program made for @pages.  Returns: thousandths of time waited. */
static unsigned run(Loop *l, const char *name, uint32_t pages,
                    unsigned minutes)
{
    uint64_t start = l->clock, waited = l->waited;
    const Program *program = uses_programs;
    Uses uses = {
        .use = use, .opaque = l, .rand = l->rand, .cache = pages,
    };
    unsigned share;

    while (strcmp(program->name, name)) {
        program++;
    }
    while (l->clock - start < minutes * MINUTE) {
        program->run(&uses);
    }
    share = (l->waited - waited) * 1000 / (l->clock - start);
    g_test_message("%.0f s: %s %u: waited %u, size %u, %u turns",
                   l->clock / 1e9, name, pages, share, size_of(l), l->turns);
    return share;
}

/* It goes from one size to the other and stays there. */
static unsigned settle_and_run(Loop *l, const char *name, uint32_t pages)
{
    unsigned turns = l->turns, share;

    run(l, name, pages, 3);
    g_assert_cmpuint(l->turns - turns, <=, 4);
    turns = l->turns;
    share = run(l, name, pages, 5);
    g_assert_cmpuint(l->turns - turns, <=, 2);
    return share;
}

/* If this fails, a guest does not get what its user asked for. */
static void test_target(gconstpointer name)
{
    uint32_t small = 0, large = 0;
    Loop l;

    begin(&l, 2048);
    for (int i = 0; i < 4; i++) {
        unsigned share = settle_and_run(&l, name, 1024 << i % 2);

        g_assert_cmpuint(share, >=, TARGET * 2 / 3);
        g_assert_cmpuint(share, <=, TARGET * 3 / 2);
        if (i % 2) {
            large = size_of(&l);
            g_assert_cmpuint(large, >, small * 3 / 2);
        } else {
            small = size_of(&l);
            g_assert_true(!large || small < large * 2 / 3);
        }
    }
    end(&l);
}

/*
 * What is used in turn fits, or all of it has to be fetched all the time: the
 * target cannot be met from both sides.  If this fails, such a guest thrashes,
 * or its cache goes up and down.
 */
static void test_cliff(void)
{
    Loop l;

    begin(&l, 2048);
    for (int i = 0; i < 4; i++) {
        uint32_t pages = 2048 << i % 2;

        g_assert_cmpuint(settle_and_run(&l, "loop", pages), <=, TARGET * 3 / 2);
        g_assert_cmpuint(size_of(&l), <=, pages * 18 / 10 * 3 / 2);
    }
    end(&l);
}

static void idle(Loop *l, unsigned minutes)
{
    for (uint64_t i = 0; i < minutes * MINUTE / TICK_NS; i++) {
        pass(l, TICK_NS);
    }
}

/* If this fails, nobody else can have what an idle guest has no need of. */
static void test_idle(void)
{
    uint32_t busy;
    Loop l;

    begin(&l, 2048);
    run(&l, "zipf", 2048, 5);
    busy = size_of(&l);
    idle(&l, 1);
    g_assert_cmpuint(size_of(&l), <, 3 * busy / 4);
    g_assert_cmpuint(size_of(&l), >, busy / 4);
    idle(&l, 10);
    g_assert_cmpuint(size_of(&l), ==, MIN_SIZE);
    run(&l, "zipf", 2048, 1);
    g_assert_cmpuint(size_of(&l), >, 2 * busy / 3);
    end(&l);
}

/* If this fails, one backup of a guest's disk takes all of a host's memory. */
static void test_scan(void)
{
    Loop l;

    begin(&l, 4096);
    /* More than the largest cache holds. */
    g_assert_cmpuint(run(&l, "scan", 21000, 10), >, 400);
    g_assert_cmpuint(l.largest, <=, 4096 * 5 / 4);
    end(&l);
}

/* Without pressure there is no curve: the cache has room for all. */
static void test_never_full(void)
{
    Loop l;

    begin(&l, MAX_SIZE);
    run(&l, "loop", 4096, 20);
    g_assert_cmpuint(size_of(&l), <, 4096 * 18 / 10 * 5 / 4);
    g_assert_cmpuint(run(&l, "loop", 4096, 10), <=, TARGET * 3 / 2);
    end(&l);
}

/* The controller by itself */

static AutosizeTick tick_of(uint64_t size, unsigned share)
{
    return (AutosizeTick) {
        .passed = NANOSECONDS_PER_SECOND, .vcpus = 4, .size = size,
        .waited = 4 * NANOSECONDS_PER_SECOND / 1000 * share, .used = size,
    };
}

/* If this fails, the cache is not within what the user has set. */
static void test_bounds(void)
{
    AutosizeConfig config = { .min = 100, .max = 200, .target = 50 };
    AutosizeTick low = tick_of(1, 0), high = tick_of(1000, 1000);
    Autosize a;

    autosize_init(&a, &config);
    g_assert_cmpuint(autosize_tick(&a, &low), ==, 100);
    g_assert_cmpuint(autosize_tick(&a, &high), ==, 200);
    high.size = 200;
    g_assert_cmpuint(autosize_tick(&a, &high), ==, 200);
    high.size = 190;
    g_assert_cmpuint(autosize_tick(&a, &high), ==, 200);
    low.size = 101;
    for (int i = 0; i < 3; i++) {
        g_assert_cmpuint(low.size, ==, 101);
        low.size = autosize_tick(&a, &low);
    }
    g_assert_cmpuint(low.size, ==, 100);
    config = (AutosizeConfig) { .min = 300, .max = 300, .target = 1 };
    autosize_configure(&a, &config);
    g_assert_cmpuint(autosize_tick(&a, &low), ==, 300);
}

/* Seconds until the next step down from @size, which is wrong. */
static unsigned until_wrong_step(Autosize *a, uint64_t size)
{
    unsigned seconds = 0;
    AutosizeTick low = tick_of(size, 0), high;
    uint64_t to = size;

    while (to == size) {
        g_assert_cmpuint(++seconds, <, 10000);
        to = autosize_tick(a, &low);
    }
    g_assert_cmpuint(to, <, size);
    high = tick_of(to, 900);
    g_assert_cmpuint(autosize_tick(a, &high), >, to);
    return seconds;
}

/* If this fails, a guest with a cliff is pushed over it all the time. */
static void test_regret(void)
{
    AutosizeConfig config = { .min = 100, .max = 10000, .target = 50 };
    unsigned seconds, last = 0;
    Autosize a;

    autosize_init(&a, &config);
    for (int i = 0; i < 12; i++) {
        seconds = until_wrong_step(&a, 5000);
        g_assert_cmpuint(seconds + 5, >=, MIN(last * 2, 3600));
        last = seconds;
    }
    g_assert_cmpuint(last, <=, 3610);
    /* What is right in the end is done as usual. */
    for (uint64_t size = 5000; size > 100; last++) {
        AutosizeTick low = tick_of(size, 0);

        size = autosize_tick(&a, &low);
    }
    g_assert_cmpuint(until_wrong_step(&a, 5000), <=, 4);
    g_assert_cmpuint(until_wrong_step(&a, 5000), <=, 70);
}

/* If this fails, a store that hangs is taken for a cache of the wrong size. */
static void test_hung(void)
{
    AutosizeConfig config = { .min = 100, .max = 10000, .target = 50 };
    AutosizeTick low = tick_of(5000, 0), late = tick_of(5000, 0);
    Autosize a;

    autosize_init(&a, &config);
    low.waiting = 2;
    for (int i = 0; i < 100; i++) {
        g_assert_cmpuint(autosize_tick(&a, &low), ==, 5000);
    }
    late.waited = 2 * 100 * NANOSECONDS_PER_SECOND;
    g_assert_cmpuint(autosize_tick(&a, &late), ==, 5000);
    g_assert_cmpuint(autosize_share(&a), ==, 0);
    /* Those who are slow are not hung. */
    g_assert_cmpuint(until_wrong_step(&a, 5000), <=, 4);
    late.waiting = 2;
    g_assert_cmpuint(autosize_tick(&a, &late), >, 5000);
    g_assert_cmpuint(autosize_share(&a), <=, 1000);
}

/* Nothing that may be told makes it fail. */
static void test_random(void)
{
    AutosizeConfig config = { .min = 10, .max = 1u << 28, .target = 1 };
    uint64_t size = 1u << 20;
    Autosize a;

    autosize_init(&a, &config);
    for (int i = 0; i < 200000; i++) {
        AutosizeTick tick = tick_of(size, g_test_rand_int_range(0, 3000));

        tick.passed >>= g_test_rand_int_range(0, 60);
        tick.vcpus = g_test_rand_int_range(1, 1025);
        tick.waiting = g_test_rand_int_range(0, 3);
        tick.fetched = tick.waited / g_test_rand_int_range(1, 100000);
        tick.used = size / g_test_rand_int_range(1, 3);
        tick.nr_points = g_test_rand_int_range(0, 2) ? 5 : 0;
        for (unsigned k = 0; k < tick.nr_points; k++) {
            tick.curve[k].size = size * (k + 1) / 3;
            tick.curve[k].fetched = g_test_rand_int_range(0, INT32_MAX) >>
                                    g_test_rand_int_range(0, 32);
        }
        size = autosize_tick(&a, &tick);
        g_assert_cmpuint(size, >=, config.min);
        g_assert_cmpuint(size, <=, config.max);
        g_assert_cmpuint(autosize_share(&a), <=, 1000);
        if (!g_test_rand_int_range(0, 1000)) {
            config.target = g_test_rand_int_range(1, AUTOSIZE_TARGET_MAX + 1);
            autosize_configure(&a, &config);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/autosize/bounds", test_bounds);
    g_test_add_func("/remote-memory/autosize/regret", test_regret);
    g_test_add_func("/remote-memory/autosize/hung", test_hung);
    g_test_add_func("/remote-memory/autosize/random", test_random);
    g_test_add_data_func("/remote-memory/autosize/zipf", "zipf", test_target);
    g_test_add_data_func("/remote-memory/autosize/hot-and-cold", "hot-and-cold",
                         test_target);
    g_test_add_func("/remote-memory/autosize/cliff", test_cliff);
    g_test_add_func("/remote-memory/autosize/idle", test_idle);
    g_test_add_func("/remote-memory/autosize/scan", test_scan);
    g_test_add_func("/remote-memory/autosize/never-full", test_never_full);
    return g_test_run();
}
