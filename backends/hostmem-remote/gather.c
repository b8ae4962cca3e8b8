/*
 * Gathering: a pager and the threads that it serves on one CPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "gather.h"
#include "held.h"
#include "trace.h"
#include "workers.h"
#include <sys/syscall.h>

/* As IOThreads have by default. */
#define POLL_MAX_NS 32768

/* CPU time of a thread of this process, in ns; 0 if it has ended. */
static int64_t thread_cpu_time(uint32_t tid)
{
    /* How Linux numbers the clocks of threads; see clock_getcpuclockid(3). */
    clockid_t clock = (~(clockid_t)tid << 3) | 6;
    struct timespec ts;

    return clock_gettime(clock, &ts) ? 0
                                     : ts.tv_sec * NANOSECONDS_PER_SECOND +
                                       ts.tv_nsec;
}

/*
 * Where to meet: where a thread is already, because another pager holds it or
 * because it may be nowhere else; or else here.
 */
static int meeting_place(Gather *g, int here)
{
    for (unsigned i = 0; i < g->nr; i++) {
        int cpu = held_where(g->threads[i].tid);
        cpu_set_t allowed;

        if (cpu >= 0) {
            return cpu;
        }
        if (held_allowed(g->threads[i].tid, &allowed) &&
            !CPU_ISSET(here, &allowed)) {
            cpu = 0;
            while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) {
                cpu++;
            }
            return cpu;
        }
    }
    return here;
}

static void gather_together(Gather *g)
{
    unsigned cpu, moved = 0;

    if (syscall(SYS_getcpu, &cpu, NULL, NULL)) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&held_lock) {
        cpu = meeting_place(g, cpu);
        if (!held_take(g->pager_tid, cpu)) {
            return;
        }
        g->tasks = held_list_tasks();
        for (unsigned i = 0; i < g->nr; i++) {
            g->threads[i].held = held_take(g->threads[i].tid, cpu);
            moved += g->threads[i].held;
        }
    }
    trace_remote_memory_gather(g->pager_tid, cpu, moved);
}

static void gather_apart(Gather *g)
{
    WITH_QEMU_LOCK_GUARD(&held_lock) {
        for (unsigned i = 0; i < g->nr; i++) {
            if (g->threads[i].held) {
                held_give_back(g->threads[i].tid);
                g->threads[i].held = false;
            }
        }
        held_free_children(g->tasks, g->pager_tid);
        g_clear_pointer(&g->tasks, g_array_unref);
        held_give_back(g->pager_tid);
    }
    trace_remote_memory_gather(g->pager_tid, -1, 0);
}

/* Who polls keeps those on its CPU from running, and seems to be at work. */
static void set_polling(Gather *g, bool on)
{
    aio_context_set_poll_params(g->ctx, on ? POLL_MAX_NS : 0, 0, 0,
                                &error_abort);
}

static void enter(Gather *g, PlacementState state)
{
    if (state == PLACEMENT_TOGETHER) {
        gather_together(g);
    } else if (state == PLACEMENT_POLLING) {
        set_polling(g, true);
    }
}

static void leave(Gather *g, PlacementState state)
{
    if (state == PLACEMENT_TOGETHER) {
        gather_apart(g);
    } else if (state == PLACEMENT_POLLING) {
        set_polling(g, false);
    }
}

/* Windows */

static void window_begin(Gather *g)
{
    /* Those that are held have to be known when they are let go. */
    if (g->placement.state != PLACEMENT_TOGETHER) {
        g->nr = 0;
        g->crowd = false;
        g->cpu_time = thread_cpu_time(g->pager_tid);
    }
}

static int64_t window_busy(Gather *g)
{
    int64_t busy = thread_cpu_time(g->pager_tid) - g->cpu_time;

    if (g->crowd) {
        return INT64_MAX;
    }
    for (unsigned i = 0; i < g->nr; i++) {
        busy += thread_cpu_time(g->threads[i].tid) - g->threads[i].cpu_time;
    }
    return busy;
}

static void window_end(Gather *g)
{
    PlacementState was = g->placement.state, state;

    state = placement_advise(&g->placement, get_clock(),
                             was == PLACEMENT_APART ? window_busy(g) : 0);
    if (state != was) {
        leave(g, was);
        enter(g, state);
    }
    window_begin(g);
}

static void timer_start(Gather *g)
{
    timer_mod(g->timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) +
                        PLACEMENT_WINDOW_NS);
    g->timer_set = true;
}

static void window_timer(void *opaque)
{
    Gather *g = opaque;
    bool idle = !g->placement.faults &&
                g->placement.state == PLACEMENT_APART;

    g->timer_set = false;
    /* A window that began a moment ago says nothing yet. */
    if (get_clock() - g->placement.since >= PLACEMENT_WINDOW_NS) {
        window_end(g);
    }
    if (!idle) {
        timer_start(g);
    }
}

static void thread_seen(Gather *g, uint32_t tid)
{
    for (unsigned i = 0; i < g->nr; i++) {
        if (g->threads[i].tid == tid) {
            return;
        }
    }
    if (g->placement.state == PLACEMENT_TOGETHER) {
        return;
    }
    if (tid == WORKERS || g->nr == GATHER_THREADS) {
        g->crowd = true;
    } else {
        g->threads[g->nr++] = (GatherThread) {
            .tid = tid,
            .cpu_time = thread_cpu_time(tid),
        };
    }
}

static void first_fault(Gather *g)
{
    cpu_set_t allowed;

    g->pager_tid = qemu_get_thread_id();
    placement_init(&g->placement, get_clock(), g->handoff);
    window_begin(g);
    /* With one CPU there is nothing to choose. */
    g->one_cpu = held_allowed(g->pager_tid, &allowed) &&
                 CPU_COUNT(&allowed) == 1;
    set_polling(g, false);
}

void gather_fault(Gather *g, uint32_t tid)
{
    if (!g->pager_tid) {
        first_fault(g);
    }
    if (g->one_cpu) {
        return;
    }
    if (!g->timer_set) {
        timer_start(g);
        placement_restart(&g->placement, get_clock());
        window_begin(g);
    }
    thread_seen(g, tid);
    if (placement_fault(&g->placement)) {
        window_end(g);
    }
}

Gather *gather_new(AioContext *ctx, int64_t handoff)
{
    Gather *g = g_new0(Gather, 1);

    g->ctx = ctx;
    g->handoff = handoff;
    g->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                             window_timer, g);
    return g;
}

void gather_stop(Gather *g)
{
    timer_del(g->timer);
    leave(g, g->placement.state);
    placement_init(&g->placement, get_clock(), g->handoff);
}

void gather_free(Gather *g)
{
    if (g) {
        timer_free(g->timer);
        g_free(g);
    }
}
