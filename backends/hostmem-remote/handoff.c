/*
 * Hand-off: how long does it take to wake another CPU?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handoff.h"
#include "qemu/event_notifier.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include <poll.h>
#include <sched.h>

#define ROUNDS 64
/* Longer than that is no property of the host, but others at work. */
#define MOST_NS (100 * SCALE_US)

/**
 * struct Player - one of two who throw a ball to each other
 * @thread: throws and catches
 * @cpu: where
 * @ball: is there if it was thrown
 * @other: who is at the other end
 * @serves: and measures
 * @rounds: how long each took, in ns
 */
typedef struct Player {
    QemuThread thread;
    int cpu;
    EventNotifier ball;
    struct Player *other;
    bool serves;
    int64_t rounds[ROUNDS];
} Player;

static bool stay_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return !sched_setaffinity(0, sizeof(set), &set);
}

/* It does not matter that it may say so more than once. */
static void catch(Player *player)
{
    struct pollfd pfd = {
        .fd = event_notifier_get_fd(&player->ball), .events = POLLIN,
    };

    while (!event_notifier_test_and_clear(&player->ball)) {
        poll(&pfd, 1, -1);
    }
}

static void *play(void *opaque)
{
    Player *player = opaque;

    /* Where that is forbidden it is the scheduler's choice. */
    stay_on(player->cpu);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t since = get_clock();

        if (player->serves) {
            event_notifier_set(&player->other->ball);
        }
        catch(player);
        if (!player->serves) {
            event_notifier_set(&player->other->ball);
        }
        player->rounds[i] = get_clock() - since;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* The lower quartile: others may be at work, too. */
static int64_t measure(Player players[2])
{
    for (int i = 0; i < 2; i++) {
        qemu_thread_create(&players[i].thread, "remote-memory-handoff", play,
                           &players[i], QEMU_THREAD_JOINABLE);
    }
    for (int i = 0; i < 2; i++) {
        qemu_thread_join(&players[i].thread);
    }
    qsort(players[0].rounds, ROUNDS, sizeof(int64_t), compare);
    /* There and back. */
    return MIN(players[0].rounds[ROUNDS / 4] / 2, MOST_NS);
}

/* Returns: how many of the CPUs that are asked for there are. */
static int find_cpus(Player players[2])
{
    cpu_set_t set;
    int nr = 0;

    if (!sched_getaffinity(0, sizeof(set), &set)) {
        for (int cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++) {
            if (CPU_ISSET(cpu, &set)) {
                players[nr++].cpu = cpu;
            }
        }
    }
    return nr;
}

static int64_t handoff_measure(void)
{
    Player players[2] = { { .serves = true } };
    int64_t ns = 0;

    if (find_cpus(players) < 2 || event_notifier_init(&players[0].ball, 0)) {
        return 0;
    }
    if (!event_notifier_init(&players[1].ball, 0)) {
        players[0].other = &players[1];
        players[1].other = &players[0];
        ns = measure(players);
        event_notifier_cleanup(&players[1].ball);
    }
    event_notifier_cleanup(&players[0].ball);
    return ns;
}

int64_t handoff_ns(void)
{
    static int64_t ns = -1;

    if (ns < 0) {
        ns = handoff_measure();
    }
    return ns;
}
