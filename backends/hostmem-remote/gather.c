/*
 * Gathering: a pager and the threads that it serves on one CPU
 *
 * A thread may be served by several pagers, so who holds it is kept in one
 * list for the process: the first puts it on its CPU, the others follow, and
 * the last one lets it go.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "gather.h"
#include "trace.h"
#include <sched.h>
#include <sys/syscall.h>

/* As IOThreads have by default. */
#define POLL_MAX_NS 32768

/**
 * struct Held - a thread whose affinity was changed
 * @tid: which
 * @holders: how many pagers hold it
 * @cpu: where it is
 * @allowed: where it was allowed to be
 */
typedef struct Held {
    uint32_t tid;
    unsigned holders;
    int cpu;
    cpu_set_t allowed;
    QLIST_ENTRY(Held) next;
} Held;

/* Taken by pagers only, a few times a second. */
static QemuMutex held_lock;
static QLIST_HEAD(, Held) held_threads = QLIST_HEAD_INITIALIZER(held_threads);

static void __attribute__((constructor)) gather_init(void)
{
    qemu_mutex_init(&held_lock);
}

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

/* A number may belong to somebody else by now. */
static bool thread_is_ours(uint32_t tid)
{
    return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}

static bool thread_allowed(uint32_t tid, cpu_set_t *set)
{
    return thread_is_ours(tid) && !sched_getaffinity(tid, sizeof(*set), set);
}

static bool thread_move(uint32_t tid, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return !sched_setaffinity(tid, sizeof(set), &set);
}

static Held *held_find(uint32_t tid)
{
    Held *held;

    QLIST_FOREACH(held, &held_threads, next) {
        if (held->tid == tid) {
            return held;
        }
    }
    return NULL;
}

/* Put a thread on a CPU, if it may be there.  With held_lock. */
static bool held_take(uint32_t tid, int cpu)
{
    Held *held = held_find(tid);
    cpu_set_t allowed;

    if (held) {
        if (held->cpu != cpu) {
            return false;
        }
        held->holders++;
        return true;
    }
    if (!thread_allowed(tid, &allowed) || !CPU_ISSET(cpu, &allowed) ||
        !thread_move(tid, cpu)) {
        return false;
    }
    held = g_new(Held, 1);
    *held = (Held) {
        .tid = tid, .holders = 1, .cpu = cpu, .allowed = allowed,
    };
    QLIST_INSERT_HEAD(&held_threads, held, next);
    return true;
}

/*
 * A thread inherits the affinity of the one that makes it, for good.  So those
 * that were made by somebody who was held, such as workers of a thread pool,
 * have to be found and let go, too: they are new, and where they should be is
 * one CPU.
 */
static GArray *list_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    GArray *tasks;

    if (!dir) {
        return NULL;
    }
    tasks = g_array_new(false, false, sizeof(uint32_t));
    while ((entry = readdir(dir))) {
        unsigned long number;
        uint32_t tid;

        if (!qemu_strtoul(entry->d_name, NULL, 10, &number)) {
            tid = number;
            g_array_append_val(tasks, tid);
        }
    }
    closedir(dir);
    return tasks;
}

static bool is_in(const GArray *tasks, uint32_t tid)
{
    for (guint i = 0; i < tasks->len; i++) {
        if (g_array_index(tasks, uint32_t, i) == tid) {
            return true;
        }
    }
    return false;
}

/* Let threads go that are not among @before.  With held_lock. */
static void free_children(const GArray *before, int cpu,
                          const cpu_set_t *allowed)
{
    g_autoptr(GArray) tasks = list_tasks();

    for (guint i = 0; tasks && i < tasks->len; i++) {
        uint32_t tid = g_array_index(tasks, uint32_t, i);
        cpu_set_t now;

        if (!is_in(before, tid) && !held_find(tid) &&
            thread_allowed(tid, &now) && CPU_COUNT(&now) == 1 &&
            CPU_ISSET(cpu, &now)) {
            sched_setaffinity(tid, sizeof(*allowed), allowed);
        }
    }
}

/* With held_lock. */
static void held_give_back(uint32_t tid)
{
    Held *held = held_find(tid);
    cpu_set_t now;

    if (!held || --held->holders) {
        return;
    }
    /* Not where it was put?  Then somebody else's word is newer. */
    if (thread_allowed(tid, &now) && CPU_COUNT(&now) == 1 &&
        CPU_ISSET(held->cpu, &now)) {
        sched_setaffinity(tid, sizeof(held->allowed), &held->allowed);
    }
    QLIST_REMOVE(held, next);
    g_free(held);
}

/*
 * Where to meet: where a thread is already, because another pager holds it or
 * because it may be nowhere else; or else here.
 */
static int meeting_place(Gather *g, int here)
{
    for (unsigned i = 0; i < g->nr; i++) {
        Held *held = held_find(g->threads[i].tid);
        cpu_set_t allowed;

        if (held) {
            return held->cpu;
        }
        if (thread_allowed(g->threads[i].tid, &allowed) &&
            !CPU_ISSET(here, &allowed)) {
            int cpu = 0;

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
        g->tasks = list_tasks();
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
        Held *pager = held_find(g->pager_tid);

        for (unsigned i = 0; i < g->nr; i++) {
            if (g->threads[i].held) {
                held_give_back(g->threads[i].tid);
                g->threads[i].held = false;
            }
        }
        if (pager && g->tasks) {
            free_children(g->tasks, pager->cpu, &pager->allowed);
        }
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
        g->cpu_time = thread_cpu_time(g->pager_tid);
    }
}

static int64_t window_busy(Gather *g)
{
    int64_t busy = thread_cpu_time(g->pager_tid) - g->cpu_time;

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
    if (g->nr < GATHER_THREADS && g->placement.state != PLACEMENT_TOGETHER) {
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
    placement_init(&g->placement, get_clock());
    window_begin(g);
    /* With one CPU there is nothing to choose. */
    g->one_cpu = thread_allowed(g->pager_tid, &allowed) &&
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

Gather *gather_new(AioContext *ctx)
{
    Gather *g = g_new0(Gather, 1);

    g->ctx = ctx;
    g->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                             window_timer, g);
    return g;
}

void gather_stop(Gather *g)
{
    timer_del(g->timer);
    leave(g, g->placement.state);
    placement_init(&g->placement, get_clock());
}

void gather_free(Gather *g)
{
    if (g) {
        timer_free(g->timer);
        g_free(g);
    }
}
