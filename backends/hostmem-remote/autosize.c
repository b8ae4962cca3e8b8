/*
 * Autosize: which size should the cache have?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "autosize.h"
#include "qemu/timer.h"

/* What is waited, in parts of the target: grow above, grow to, shrink below. */
#define PERCENT_HIGH 125
#define PERCENT_GROWN 95
#define PERCENT_LOW 80

/*
 * A step down is such a part of the size, and made so often at most: each three
 * ticks of a second, which may be a little short.
 */
#define STEP_DIVISOR 32
#define STEP_NS (3 * NANOSECONDS_PER_SECOND - 50 * SCALE_MS)
/* What is known of a size holds for one that is no further away. */
#define NEAR_DIVISOR 16

/* Steps up where there is no curve. */
#define BLIND_DIVISOR 4
#define BLIND_NS (NANOSECONDS_PER_SECOND / 4)

/*
 * If no more is free than that, a cache is full.  Of a small one the reserve
 * (see budget.h) is a larger part; but it is filled soon.
 */
#define FREE_DIVISOR 8
#define SMALL_PAGES 1024

/*
 * So much of the size has to be fetched before a curve can be believed: of a
 * hundred samples or two in the cache that is about ten.
 */
#define KNOWN_DIVISOR 16

/* Of a size that fetches more than such a part of the pages there is no use. */
#define PERCENT_HELP 90
/* One that fetches only so much more than a larger one is as good. */
#define PERCENT_ALIKE 105

/* What is older than twice that has at most half of the weight. */
#define WINDOW_NS (30 * NANOSECONDS_PER_SECOND)

/*
 * When it has to grow so soon after a step down, that was the reason.  Then no
 * other is made that far, first for so long, and at last for an hour.
 */
#define REGRET_NS (30 * NANOSECONDS_PER_SECOND)
#define HOLD_MIN_NS (60 * NANOSECONDS_PER_SECOND)
#define HOLD_MAX_NS (3600 * NANOSECONDS_PER_SECOND)

/* What it takes to fetch a page, until it is known: to a network and back. */
#define COST_NS (100 * SCALE_US)

/*
 * What is in proportion to the pages that are fetched for the same work is not
 * the share of the time that is waited, but the ratio of this time to the time
 * in which the guest runs.  In millionths; more than the largest target needs
 * is as good as infinite.
 */
#define RATIO UINT64_C(1000000)
#define RATIO_MAX (1000 * RATIO)

static uint64_t ratio(uint64_t waited, uint64_t time)
{
    uint64_t waited_us = waited / SCALE_US;
    uint64_t runs_us = (time - MIN(time, waited)) / SCALE_US;

    if (waited_us / 1000 >= runs_us) {
        return waited_us ? RATIO_MAX : 0;
    }
    return waited_us * RATIO / runs_us;
}

static uint64_t target_ratio(const Autosize *a, unsigned percent)
{
    unsigned target = a->config.target;

    return target * RATIO / (1000 - target) * percent / 100;
}

/* The window: what was seen of late */

static uint64_t tick_ratio(const AutosizeTick *tick)
{
    return ratio(tick->waited, tick->passed * tick->vcpus);
}

/* What was counted of other sizes is taken to hold for those of now. */
static void add(AutosizeTick *window, const AutosizeTick *tick)
{
    AutosizeTick sum = *tick;

    /* What ends now may have begun before. */
    sum.waited = MIN(tick->waited, tick->passed * tick->vcpus);
    sum.passed += window->passed;
    sum.waited += window->waited;
    sum.fetched += window->fetched;
    for (unsigned i = 0; i < sum.nr_points; i++) {
        sum.curve[i].fetched += window->curve[i].fetched;
    }
    *window = sum;
}

static void halve(AutosizeTick *window)
{
    window->passed /= 2;
    window->waited /= 2;
    window->fetched /= 2;
    for (unsigned i = 0; i < window->nr_points; i++) {
        window->curve[i].fetched /= 2;
    }
}

/* Does what was seen before hold for now?  Once it has grown, not. */
static bool goes_on(const AutosizeTick *window, const AutosizeTick *tick)
{
    return tick->size <= window->size &&
           window->size - tick->size <= window->size / NEAR_DIVISOR &&
           window->nr_points == tick->nr_points &&
           window->vcpus == tick->vcpus;
}

static bool is_full(const AutosizeTick *tick)
{
    return tick->size < SMALL_PAGES ||
           tick->used >= tick->size - tick->size / FREE_DIVISOR;
}

/* Pressure that has just begun is not weighed against the quiet before. */
static bool begins_pressure(const Autosize *a, const AutosizeTick *tick)
{
    uint64_t high = target_ratio(a, PERCENT_HIGH);

    return tick_ratio(tick) > high && tick_ratio(&a->window) <= high;
}

static void look(Autosize *a, const AutosizeTick *tick)
{
    bool full = is_full(tick);

    if (!goes_on(&a->window, tick) || (full && !a->full) ||
        begins_pressure(a, tick)) {
        a->window = (AutosizeTick) { 0 };
    }
    if (tick->size != a->recent.size) {
        a->recent = (AutosizeTick) { 0 };
    }
    a->full = full;
    add(&a->window, tick);
    add(&a->recent, tick);
    if (a->window.passed > 2 * WINDOW_NS) {
        halve(&a->window);
    }
    if (a->recent.passed > 2 * STEP_NS) {
        halve(&a->recent);
    }
}

/* Who waited all that time has told of it only when it is over. */
static bool says_nothing(Autosize *a, const AutosizeTick *tick)
{
    bool hung = a->hung;

    a->hung = tick->waiting && !tick->waited;
    return hung || a->hung;
}

/* The curve */

/* What a cache of a size between two points would have fetched. */
static uint64_t would_fetch(const AutosizeTick *w, uint64_t size)
{
    const AutosizePoint *end = w->curve + w->nr_points;
    const AutosizePoint *right = w->curve, *left;

    while (right < end && right->size < size) {
        right++;
    }
    if (right == w->curve || right == end || right->size == size) {
        return right == end ? end[-1].fetched : right->fetched;
    }
    left = right - 1;
    if (left->fetched <= right->fetched) {
        return right->fetched;
    }
    return right->fetched + (left->fetched - right->fetched) *
                            (right->size - size) / (right->size - left->size);
}

/*
 * The least size above the present one that would have fetched no more than
 * @most, or 0.
 */
static uint64_t size_for(const AutosizeTick *w, uint64_t most)
{
    for (unsigned i = 1; i < w->nr_points; i++) {
        const AutosizePoint *right = &w->curve[i], *left = right - 1;

        if (right->size > w->size && right->fetched <= most) {
            return left->fetched <= most ? right->size :
                   right->size - (right->size - left->size) *
                                 (most - right->fetched) /
                                 (left->fetched - right->fetched);
        }
    }
    return 0;
}

static uint64_t enough(const AutosizeTick *w)
{
    return MAX(w->size / KNOWN_DIVISOR, 1);
}

static bool is_known(const AutosizeTick *w)
{
    return w->nr_points && would_fetch(w, w->size) >= enough(w);
}

/*
 * Where a little less room makes all the difference, a model may be on the
 * right side of the cliff when the cache is not.
 */
static bool is_wrong(const AutosizeTick *w)
{
    return w->fetched >= 2 * MAX(would_fetch(w, w->size), enough(w));
}

/* Up */

static uint64_t grown_by_curve(const Autosize *a)
{
    const AutosizeTick *w = &a->window;
    uint64_t fetched = would_fetch(w, w->size);
    uint64_t least = w->curve[w->nr_points - 1].fetched;
    uint64_t size = size_for(w, fetched * target_ratio(a, PERCENT_GROWN) /
                                tick_ratio(w));

    if (size) {
        return size;
    }
    if (least > fetched * PERCENT_HELP / 100) {
        return w->size;
    }
    return size_for(w, least * PERCENT_ALIKE / 100);
}

static uint64_t grown(const Autosize *a)
{
    const AutosizeTick *w = &a->window;

    if (!a->full || tick_ratio(w) <= target_ratio(a, PERCENT_HIGH)) {
        return w->size;
    }
    if (!w->nr_points) {
        return w->passed < BLIND_NS ? w->size
                                    : w->size + MAX(w->size / BLIND_DIVISOR, 1);
    }
    if (is_wrong(w)) {
        return w->size + MAX(w->size / NEAR_DIVISOR, 1);
    }
    return is_known(w) ? grown_by_curve(a) : w->size;
}

static void regret(Autosize *a)
{
    if (a->shrunk && a->now - a->shrunk <= REGRET_NS) {
        a->hold = MIN(MAX(2 * a->hold, HOLD_MIN_NS), HOLD_MAX_NS);
        a->held_until = a->now + a->hold;
        a->floor = a->window.size + a->window.size / NEAR_DIVISOR;
        a->shrunk = 0;
    }
}

/* Down */

static void learn_cost(Autosize *a)
{
    const AutosizeTick *w = &a->window;

    if (is_known(w)) {
        a->cost = w->waited / would_fetch(w, w->size);
    }
}

/* What would have been waited with a cache of a smaller size. */
static uint64_t ratio_with(const Autosize *a, uint64_t size)
{
    const AutosizeTick *w = &a->window;
    uint64_t now = 0, then = 0;

    if (w->nr_points) {
        now = would_fetch(w, w->size);
        then = MAX(would_fetch(w, size), now);
    }
    return ratio(w->waited + (then - now) * a->cost,
                 w->passed * w->vcpus + (then - now) * a->cost);
}

static uint64_t shrunk(const Autosize *a)
{
    const AutosizeTick *w = &a->window;
    uint64_t low = target_ratio(a, PERCENT_LOW);
    uint64_t size = w->size - DIV_ROUND_UP(w->size, STEP_DIVISOR);

    if (MIN(w->passed, a->recent.passed) < STEP_NS ||
        tick_ratio(&a->recent) > low || ratio_with(a, size) > low ||
        (size < a->floor && a->now < a->held_until)) {
        return w->size;
    }
    return size;
}

/* Who gets that far, or had no reason for so long, uses less than before. */
static void forgive(Autosize *a)
{
    if (a->now > a->held_until && (a->window.size < a->floor / 2 ||
                                   a->now - a->held_until > a->hold)) {
        a->hold = 0;
    }
}

/* Both */

void autosize_init(Autosize *a, const AutosizeConfig *config)
{
    *a = (Autosize) { .cost = COST_NS };
    autosize_configure(a, config);
}

void autosize_configure(Autosize *a, const AutosizeConfig *config)
{
    assert(config->min && config->min <= config->max);
    assert(config->target && config->target <= AUTOSIZE_TARGET_MAX);
    a->config = *config;
}

uint64_t autosize_tick(Autosize *a, const AutosizeTick *tick)
{
    uint64_t size, min = a->config.min, max = a->config.max;

    assert(tick->vcpus && tick->nr_points <= AUTOSIZE_POINTS);
    a->now += tick->passed;
    size = MIN(MAX(tick->size, min), max);
    if (says_nothing(a, tick)) {
        return size;
    }
    look(a, tick);
    learn_cost(a);
    if (size != tick->size) {
        return size;
    }
    size = MIN(grown(a), max);
    if (size > tick->size) {
        regret(a);
        return size;
    }
    size = MAX(shrunk(a), min);
    if (size < tick->size) {
        forgive(a);
        a->shrunk = a->now;
    }
    return size;
}

unsigned autosize_share(const Autosize *a)
{
    uint64_t time = a->window.passed * a->window.vcpus;

    return time ? MIN(a->window.waited / MAX(time / 1000, 1), 1000) : 0;
}
