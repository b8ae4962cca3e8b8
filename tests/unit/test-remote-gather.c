/*
 * Unit tests: a pager and the threads that it serves on one CPU
 *
 * With real threads, which do nothing: as if they waited for each other all
 * the time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "gather.h"
#include "handoff.h"
#include "held.h"
#include "iothread.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "workers.h"
#include <sched.h>
#include <sys/wait.h>

#define THREADS 3

/* Between faults, in us: far less than PLACEMENT_WINDOW_NS for a window. */
#define FAULT_US 20

/* How often threads fault that compute in between. */
#define BURSTS 20

/*
 * A thread that is served.
 * @tid: which
 * @stop: it may end
 * @spins: until then it uses a CPU
 */
typedef struct Served {
    QemuThread thread;
    uint32_t tid;
    QemuSemaphore started;
    QemuSemaphore stop;
    bool spins;
    bool ended;
} Served;

/*
 * A pager.
 * @served: whom it serves
 * @nr: how many
 * @until: until when they are on one CPU
 * @since_ns: since when
 * @longest_ns: for how long they were there at a time
 */
typedef struct Pager {
    IOThread *iothread;
    AioContext *ctx;
    Gather *gather;
    Served *served;
    unsigned nr;
    int64_t until;
    int64_t since_ns;
    int64_t longest_ns;
} Pager;

static void *served_run(void *opaque)
{
    Served *served = opaque;

    served->tid = qemu_get_thread_id();
    qemu_sem_post(&served->started);
    while (qemu_sem_timedwait(&served->stop, served->spins ? 0 : 1000)) {
        /* Until it may end. */
    }
    return NULL;
}

static void served_start_as(Served *served, bool spins)
{
    served->spins = spins;
    served->ended = false;
    qemu_sem_init(&served->started, 0);
    qemu_sem_init(&served->stop, 0);
    qemu_thread_create(&served->thread, "served", served_run, served,
                       QEMU_THREAD_JOINABLE);
    qemu_sem_wait(&served->started);
}

static void served_start(Served *served)
{
    served_start_as(served, false);
}

static void served_end(Served *served)
{
    if (!served->ended) {
        qemu_sem_post(&served->stop);
        qemu_thread_join(&served->thread);
        qemu_sem_destroy(&served->started);
        qemu_sem_destroy(&served->stop);
        served->ended = true;
    }
}

static void pager_start(Pager *pager, Served *served, unsigned nr)
{
    *pager = (Pager) { .iothread = iothread_new(), .served = served,
                       .nr = nr };
    pager->ctx = iothread_get_aio_context(pager->iothread);
    /* As if a hand-off cost nothing, so that only work counts. */
    pager->gather = gather_new(pager->ctx, 0);
}

/* Faults of all in turn, one window full. */
static void window_bh(void *opaque)
{
    Pager *pager = opaque;

    for (int i = 0; i < PLACEMENT_WINDOW_FAULTS; i++) {
        gather_fault(pager->gather, pager->served[i % pager->nr].tid);
        g_usleep(FAULT_US);
    }
}

static void stop_bh(void *opaque)
{
    Pager *pager = opaque;

    gather_stop(pager->gather);
}

static void pager_stop(Pager *pager)
{
    aio_wait_bh_oneshot(pager->ctx, stop_bh, pager);
}

static void pager_end(Pager *pager)
{
    gather_free(pager->gather);
    iothread_join(pager->iothread);
}

static bool together(const Pager *pager)
{
    return pager->gather->placement.state == PLACEMENT_TOGETHER;
}

/* Windows until the pager has gathered those that it serves. */
static void pager_gather(Pager *pager)
{
    for (int i = 0; i < 100; i++) {
        aio_wait_bh_oneshot(pager->ctx, window_bh, pager);
        if (together(pager)) {
            return;
        }
    }
    g_assert_not_reached();
}

static cpu_set_t affinity(const Served *served)
{
    cpu_set_t set;

    g_assert_cmpint(sched_getaffinity(served->tid, sizeof(set), &set), ==, 0);
    return set;
}

static void assert_affinity(const Served *served, const cpu_set_t *want)
{
    cpu_set_t set = affinity(served);

    g_assert_true(CPU_EQUAL(&set, want));
}

static void assert_gathered(const Served *served)
{
    cpu_set_t set = affinity(served);

    g_assert_cmpint(CPU_COUNT(&set), ==, 1);
}

/* If this fails, threads are not gathered, or are bound to a CPU for ever. */
static void test_restore(void)
{
    Served served[THREADS];
    cpu_set_t before;
    Pager pager;

    for (int i = 0; i < THREADS; i++) {
        served_start(&served[i]);
    }
    before = affinity(&served[0]);
    pager_start(&pager, served, THREADS);
    pager_gather(&pager);
    for (int i = 0; i < THREADS; i++) {
        assert_gathered(&served[i]);
    }
    pager_stop(&pager);
    for (int i = 0; i < THREADS; i++) {
        assert_affinity(&served[i], &before);
        served_end(&served[i]);
    }
    pager_end(&pager);
}

/* If this fails, threads stay where they are after the faults have ended. */
static void test_silence(void)
{
    Served served;
    cpu_set_t before;
    Pager pager;

    served_start(&served);
    before = affinity(&served);
    pager_start(&pager, &served, 1);
    pager_gather(&pager);
    /* One window that is not full ends it; be patient with a busy machine. */
    for (int i = 0; i < 100; i++) {
        cpu_set_t now = affinity(&served);

        if (CPU_EQUAL(&now, &before)) {
            break;
        }
        g_usleep(PLACEMENT_WINDOW_NS / SCALE_US);
    }
    assert_affinity(&served, &before);
    pager_stop(&pager);
    served_end(&served);
    pager_end(&pager);
}

/* They are together since they were gathered the last time. */
static void note_hold(Pager *pager)
{
    const Placement *placement = &pager->gather->placement;
    int64_t now = get_clock();

    if (!together(pager) || placement->until != pager->until) {
        pager->until = placement->until;
        pager->since_ns = now;
    }
    pager->longest_ns = MAX(pager->longest_ns, now - pager->since_ns);
}

/* If this fails, threads are moved to and fro all the time. */
static void test_hold(void)
{
    Served served;
    Pager pager;

    served_start(&served);
    pager_start(&pager, &served, 1);
    pager.since_ns = get_clock();
    for (int i = 0; i < 400 && pager.longest_ns < PLACEMENT_HOLD_MIN_NS;
         i++) {
        aio_wait_bh_oneshot(pager.ctx, window_bh, &pager);
        note_hold(&pager);
    }
    g_test_message("together for %" PRId64 " ms",
                   pager.longest_ns / SCALE_MS);
    g_assert_cmpint(pager.longest_ns, >=, PLACEMENT_HOLD_MIN_NS);
    pager_stop(&pager);
    served_end(&served);
    pager_end(&pager);
}

static int64_t process_cpu_time(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
}

/*
 * If this fails, threads that compute, and fault together now and then, have to
 * share a CPU.  Where the machine has no more than one CPU for them, they may.
 */
static void test_busy(void)
{
    Served served[2];
    Pager pager;
    int gathered = 0, looks = 0;

    for (int i = 0; i < 2; i++) {
        served_start_as(&served[i], true);
    }
    pager_start(&pager, served, 2);
    for (int i = 0; i < BURSTS; i++) {
        int64_t cpu, wall;

        g_usleep(4 * PLACEMENT_WINDOW_NS / SCALE_US);
        cpu = process_cpu_time();
        wall = get_clock();
        aio_wait_bh_oneshot(pager.ctx, window_bh, &pager);
        cpu = process_cpu_time() - cpu;
        wall = get_clock() - wall;
        if (cpu > wall * 3 / 2) {
            looks++;
            gathered += together(&pager);
        }
    }
    g_test_message("gathered in %d of %d bursts with CPUs for all", gathered,
                   looks);
    g_assert_cmpint(gathered, <=, looks / 2);
    pager_stop(&pager);
    for (int i = 0; i < 2; i++) {
        served_end(&served[i]);
    }
    pager_end(&pager);
}

/* If this fails, a thread that has ended is a surprise. */
static void test_ended(void)
{
    Served served[THREADS];
    cpu_set_t before;
    Pager pager;

    for (int i = 0; i < THREADS; i++) {
        served_start(&served[i]);
    }
    before = affinity(&served[0]);
    pager_start(&pager, served, THREADS);
    pager_gather(&pager);
    served_end(&served[0]);
    pager_stop(&pager);
    assert_affinity(&served[1], &before);
    /* Its last fault may come after its end. */
    aio_wait_bh_oneshot(pager.ctx, window_bh, &pager);
    pager_stop(&pager);
    served_end(&served[1]);
    served_end(&served[2]);
    pager_end(&pager);
}

/* If this fails, what an operator does with taskset(1) is undone. */
static void test_somebody_else(void)
{
    Served served;
    cpu_set_t all, other;
    Pager pager;

    served_start(&served);
    all = affinity(&served);
    pager_start(&pager, &served, 1);
    pager_gather(&pager);
    other = affinity(&served);
    CPU_XOR(&other, &all, &other);
    g_assert_cmpint(sched_setaffinity(served.tid, sizeof(other), &other), ==,
                    0);
    pager_stop(&pager);
    assert_affinity(&served, &other);
    served_end(&served);
    pager_end(&pager);
}

/* If this fails, a thread that two pagers serve is torn between them. */
static void test_two_pagers(void)
{
    Served served;
    cpu_set_t before;
    Pager pagers[2];

    served_start(&served);
    before = affinity(&served);
    for (int i = 0; i < 2; i++) {
        pager_start(&pagers[i], &served, 1);
    }
    for (int i = 0; i < 2; i++) {
        pager_gather(&pagers[i]);
    }
    for (int i = 0; i < 2; i++) {
        pager_stop(&pagers[i]);
    }
    assert_affinity(&served, &before);
    served_end(&served);
    for (int i = 0; i < 2; i++) {
        pager_end(&pagers[i]);
    }
}

/* If this fails, a thread leaves the CPUs that it is allowed to use. */
static void test_allowed(void)
{
    Served served[2];
    cpu_set_t all, one[2];
    Pager pager;
    int cpu = 0;

    for (int i = 0; i < 2; i++) {
        served_start(&served[i]);
        all = affinity(&served[i]);
        for (; !CPU_ISSET(cpu, &all); cpu++) {
            /* The next one that may be used. */
        }
        CPU_ZERO(&one[i]);
        CPU_SET(cpu++, &one[i]);
        g_assert_cmpint(sched_setaffinity(served[i].tid, sizeof(one[i]),
                                          &one[i]), ==, 0);
    }
    pager_start(&pager, served, 2);
    pager_gather(&pager);
    for (int i = 0; i < 2; i++) {
        assert_affinity(&served[i], &one[i]);
    }
    pager_stop(&pager);
    for (int i = 0; i < 2; i++) {
        assert_affinity(&served[i], &one[i]);
        served_end(&served[i]);
    }
    pager_end(&pager);
}

/* If this fails, decisions rest on a number that cannot be. */
static void test_handoff(void)
{
    int64_t first = handoff_ns();

    g_test_message("%" PRId64 " ns", first);
    /* A system call or two, up to where others are in the way. */
    g_assert_cmpint(first, >, 100);
    g_assert_cmpint(first, <=, 100 * SCALE_US);
    g_assert_cmpint(handoff_ns(), ==, first);
}

/*
 * If this fails, a thread that is made by one that is held stays on its CPU
 * for ever; or one that there was before, and is there by somebody's will, is
 * moved.
 */
static void test_children(void)
{
    Served parent, child, other;
    cpu_set_t all, one;
    int cpu = 0;

    served_start(&parent);
    served_start(&other);
    all = affinity(&parent);
    while (!CPU_ISSET(cpu, &all)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(other.tid, sizeof(one), &one);
    WITH_QEMU_LOCK_GUARD(&held_lock) {
        g_autoptr(GArray) before = held_list_tasks();

        g_assert_true(held_take(parent.tid, cpu));
        served_start(&child);
        /* As if its parent had made it. */
        sched_setaffinity(child.tid, sizeof(one), &one);
        held_free_children(before, parent.tid);
        assert_affinity(&child, &all);
        assert_affinity(&other, &one);
        assert_affinity(&parent, &one);
        held_give_back(parent.tid);
        assert_affinity(&parent, &all);
    }
    served_end(&child);
    served_end(&other);
    served_end(&parent);
}

/* If this fails, more threads than are counted are taken for idle. */
static void test_crowd(void)
{
    Served served[GATHER_THREADS + 1];
    Pager pager;

    for (int i = 0; i < ARRAY_SIZE(served); i++) {
        served_start(&served[i]);
    }
    pager_start(&pager, served, ARRAY_SIZE(served));
    for (int i = 0; i < 10; i++) {
        aio_wait_bh_oneshot(pager.ctx, window_bh, &pager);
        g_assert_false(together(&pager));
    }
    pager_stop(&pager);
    for (int i = 0; i < ARRAY_SIZE(served); i++) {
        served_end(&served[i]);
    }
    pager_end(&pager);
}

/*
 * If this fails, a pager is bound to a CPU for nothing when the kernel's
 * workers wait in the place of vCPUs.
 */
static void test_workers(void)
{
    Served workers = { .tid = WORKERS };
    Pager pager;

    pager_start(&pager, &workers, 1);
    for (int i = 0; i < 10; i++) {
        aio_wait_bh_oneshot(pager.ctx, window_bh, &pager);
        g_assert_false(together(&pager));
    }
    pager_stop(&pager);
    pager_end(&pager);
}

/* If this fails, faults of one vCPU are taken for those of several threads. */
static void test_who(void)
{
    KnownThreads known = { };
    uint32_t here = qemu_get_thread_id();
    Served served;
    pid_t child = fork();

    if (!child) {
        pause();
    }
    served_start(&served);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(workers_or_thread(&known, here), ==, here);
        g_assert_cmpint(workers_or_thread(&known, served.tid), ==,
                        served.tid);
        g_assert_cmpint(workers_or_thread(&known, child), ==, WORKERS);
    }
    served_end(&served);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*func)(void);
    } tests[] = {
        { "/remote-memory/gather/restore", test_restore },
        { "/remote-memory/gather/silence", test_silence },
        { "/remote-memory/gather/hold", test_hold },
        { "/remote-memory/gather/busy", test_busy },
        { "/remote-memory/gather/ended", test_ended },
        { "/remote-memory/gather/somebody-else", test_somebody_else },
        { "/remote-memory/gather/two-pagers", test_two_pagers },
        { "/remote-memory/gather/allowed", test_allowed },
        { "/remote-memory/gather/handoff", test_handoff },
        { "/remote-memory/gather/children", test_children },
        { "/remote-memory/gather/crowd", test_crowd },
        { "/remote-memory/gather/workers", test_workers },
        { "/remote-memory/gather/who", test_who },
    };
    cpu_set_t set;

    g_test_init(&argc, &argv, NULL);
    qemu_init_main_loop(&error_abort);
    if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 2) {
        g_printerr("There is but one CPU.\n");
        return 77;
    }
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_test_add_func(tests[i].path, tests[i].func);
    }
    return g_test_run();
}
