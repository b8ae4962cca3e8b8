/*
 * Unit tests: should a pager share a CPU with the threads that it serves?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "placement.h"

#define US SCALE_US
#define MS SCALE_MS
/* Long enough to come to a decision, and to come back to it. */
#define LONG (10000ll * MS)

/*
 * A pager, as gather.c drives the policy.
 * @now: the time, in ns
 * @busy: CPU time used in this window, in ns
 * @together_ns: how long it was on one CPU with the others
 * @gathered, @released: how often that began, and ended
 * @last_hold: how long it lasted the last time
 */
typedef struct Pager {
    Placement placement;
    int64_t now;
    int64_t busy;
    int64_t window_end;
    int64_t gathered_at;
    int64_t together_ns;
    unsigned gathered;
    unsigned released;
    int64_t last_hold;
} Pager;

static void pager_init(Pager *p)
{
    *p = (Pager) { .now = 5 * MS, .window_end = 5 * MS + PLACEMENT_WINDOW_NS };
    placement_init(&p->placement, p->now, 0);
}

static bool together(const Pager *p)
{
    return p->placement.state == PLACEMENT_TOGETHER;
}

static void window_end(Pager *p)
{
    PlacementState before = p->placement.state, state;

    state = placement_advise(&p->placement, p->now, p->busy);
    g_assert_cmpint(state, ==, p->placement.state);
    /* Each look at how much time is used is a look from apart. */
    g_assert_true(state == before || state == PLACEMENT_APART ||
                  before == PLACEMENT_APART);
    if (state != before && state == PLACEMENT_TOGETHER) {
        p->gathered++;
        p->gathered_at = p->now;
    } else if (state != before && before == PLACEMENT_TOGETHER) {
        p->released++;
        p->last_hold = p->now - p->gathered_at;
    }
    p->busy = 0;
    p->window_end = p->now + PLACEMENT_WINDOW_NS;
}

/* Time passes, of which threads use @busy. */
static void pass(Pager *p, int64_t ns, int64_t busy)
{
    p->now += ns;
    p->busy += busy;
    p->together_ns += together(p) ? ns : 0;
}

/* A fault each @period, for @ns; threads use @percent of a CPU meanwhile. */
static void run(Pager *p, int64_t ns, int64_t period, int percent)
{
    int64_t end = p->now + ns;

    p->together_ns = 0;
    while (p->now < end) {
        bool full;

        pass(p, period, period * percent / 100);
        full = placement_fault(&p->placement);
        if (full || p->now >= p->window_end) {
            window_end(p);
        }
    }
}

static void idle(Pager *p, int64_t ns)
{
    for (int64_t end = p->now + ns; p->now < end; ) {
        pass(p, PLACEMENT_WINDOW_NS, 0);
        window_end(p);
    }
}

/*
 * If this fails, each fault of a guest that does nothing but fault wakes an
 * idle CPU twice.
 */
static void test_ping_pong(void)
{
    Pager p;

    pager_init(&p);
    run(&p, LONG, 40 * US, 60);
    g_test_message("together for %" PRId64 " of %lld ms", p.together_ns / MS,
                   LONG / MS);
    g_assert_cmpint(p.together_ns, >=, LONG * 95 / 100);
}

/* If this fails, a pager takes the CPU from a guest that has work to do. */
static void test_busy(void)
{
    Pager p;

    pager_init(&p);
    run(&p, LONG, 40 * US, 180);
    g_assert_cmpuint(p.gathered, ==, 0);
    /* Two vCPUs that fault now and then, and compute in between. */
    run(&p, LONG, 200 * US, 200);
    g_assert_cmpuint(p.gathered, ==, 0);
}

/* If this fails, threads are moved about for a few faults. */
static void test_few_faults(void)
{
    Pager p;

    pager_init(&p);
    run(&p, LONG, 2 * MS, 10);
    g_assert_cmpuint(p.gathered, ==, 0);
}

/* If this fails, threads stay on one CPU after the faults have ended. */
static void test_silence(void)
{
    Pager p;

    pager_init(&p);
    run(&p, 1000 * MS, 40 * US, 60);
    g_assert_true(together(&p) || p.released);
    p.together_ns = 0;
    idle(&p, 10 * PLACEMENT_WINDOW_NS);
    g_assert_false(together(&p));
    g_assert_cmpint(p.together_ns, <=, 2 * PLACEMENT_WINDOW_NS);
}

/*
 * If this fails, a guest that begins to compute is kept on one CPU for longer
 * than it can be noticed.
 */
static void test_change(void)
{
    Pager p;

    pager_init(&p);
    run(&p, LONG, 40 * US, 60);
    run(&p, 2 * PLACEMENT_HOLD_MAX_NS, 40 * US, 180);
    g_assert_cmpint(p.together_ns, <=, PLACEMENT_HOLD_MAX_NS);
    g_assert_false(together(&p));
    p.gathered = 0;
    run(&p, 1000 * MS, 40 * US, 180);
    g_assert_cmpuint(p.gathered, ==, 0);
    /* And back again. */
    run(&p, PLACEMENT_HOLD_MAX_NS, 40 * US, 60);
    run(&p, 1000 * MS, 40 * US, 60);
    g_assert_cmpint(p.together_ns, >=, 900 * MS);
}

/*
 * If this fails, threads are moved to and fro all the time; or so rarely that
 * it is never noticed that it has become useless.
 */
static void test_hold(void)
{
    int64_t hold = PLACEMENT_HOLD_MIN_NS;
    Pager p;

    pager_init(&p);
    for (unsigned i = 0; i < 10; i++) {
        while (p.released == i) {
            run(&p, 1 * MS, 40 * US, 60);
        }
        g_assert_cmpint(p.last_hold, >=, hold);
        g_assert_cmpint(p.last_hold, <=, hold + PLACEMENT_WINDOW_NS);
        hold = MIN(2 * hold, PLACEMENT_HOLD_MAX_NS);
    }
    /* After a silence nothing is known any more. */
    idle(&p, 10 * PLACEMENT_WINDOW_NS);
    p.released = 0;
    while (!p.released) {
        run(&p, 1 * MS, 40 * US, 60);
    }
    g_assert_cmpint(p.last_hold, <=, PLACEMENT_HOLD_MIN_NS +
                                     PLACEMENT_WINDOW_NS);
}

/*
 * If this fails, a guest that computes, and faults now and then, waits for
 * CPUs to wake up where that takes longer than what the pager has to do; or
 * has to share one where it does not.
 */
static void test_handoff(void)
{
    Pager p;

    pager_init(&p);
    p.placement.handoff = 20 * US;
    run(&p, LONG, 100 * US, 115);
    g_assert_cmpint(p.together_ns, >=, LONG * 95 / 100);

    pager_init(&p);
    p.placement.handoff = 3 * US;
    run(&p, LONG, 100 * US, 115);
    g_assert_cmpuint(p.gathered, ==, 0);
}

/* If this fails, it does not matter how often the guest is interrupted. */
static void test_flushes(void)
{
    Placement p;

    for (int flushes = 0; flushes <= 100; flushes += 100) {
        placement_init(&p, 0, 10 * US);
        for (int i = 0; i < 20; i++) {
            placement_fault(&p);
        }
        for (int i = 0; i < flushes; i++) {
            placement_flush(&p);
        }
        g_assert_cmpint(placement_advise(&p, 10 * MS, 11 * MS), ==,
                        flushes ? PLACEMENT_TOGETHER : PLACEMENT_POLLING);
        g_assert_cmpuint(p.flushes, ==, 0);
    }
}

/* If this fails, a clock that stands still, or a long sleep, is a surprise. */
static void test_clock(void)
{
    Placement p;

    placement_init(&p, 0, 0);
    g_assert_cmpint(placement_advise(&p, 0, 0), ==, PLACEMENT_APART);
    for (int i = 0; i < PLACEMENT_WINDOW_FAULTS; i++) {
        placement_fault(&p);
    }
    placement_advise(&p, INT64_MAX / 1000, INT64_MAX / 1000);
    g_assert_cmpuint(p.faults, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/placement/ping-pong", test_ping_pong);
    g_test_add_func("/remote-memory/placement/busy", test_busy);
    g_test_add_func("/remote-memory/placement/few-faults", test_few_faults);
    g_test_add_func("/remote-memory/placement/silence", test_silence);
    g_test_add_func("/remote-memory/placement/change", test_change);
    g_test_add_func("/remote-memory/placement/hold", test_hold);
    g_test_add_func("/remote-memory/placement/handoff", test_handoff);
    g_test_add_func("/remote-memory/placement/flushes", test_flushes);
    g_test_add_func("/remote-memory/placement/clock", test_clock);
    return g_test_run();
}
