/*
 * Held threads: on one CPU for a while
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "held.h"
#include "qemu/cutils.h"
#include "qemu/queue.h"
#include <sys/syscall.h>

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

QemuMutex held_lock;
/* Protected by @held_lock. */
static QLIST_HEAD(, Held) held_threads = QLIST_HEAD_INITIALIZER(held_threads);

static void __attribute__((constructor)) held_init(void)
{
    qemu_mutex_init(&held_lock);
}

/* A number may belong to somebody else by now. */
bool held_is_ours(uint32_t tid)
{
    return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}

bool held_allowed(uint32_t tid, cpu_set_t *set)
{
    return held_is_ours(tid) && !sched_getaffinity(tid, sizeof(*set), set);
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

int held_where(uint32_t tid)
{
    Held *held = held_find(tid);

    return held ? held->cpu : -1;
}

bool held_take(uint32_t tid, int cpu)
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
    if (!held_allowed(tid, &allowed) || !CPU_ISSET(cpu, &allowed) ||
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

GArray *held_list_tasks(void)
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

void held_free_children(const GArray *before, uint32_t parent)
{
    const Held *held = held_find(parent);
    g_autoptr(GArray) tasks = held && before ? held_list_tasks() : NULL;

    for (guint i = 0; tasks && i < tasks->len; i++) {
        uint32_t tid = g_array_index(tasks, uint32_t, i);
        cpu_set_t now;

        if (!is_in(before, tid) && !held_find(tid) &&
            held_allowed(tid, &now) && CPU_COUNT(&now) == 1 &&
            CPU_ISSET(held->cpu, &now)) {
            sched_setaffinity(tid, sizeof(held->allowed), &held->allowed);
        }
    }
}

void held_give_back(uint32_t tid)
{
    Held *held = held_find(tid);
    cpu_set_t now;

    if (!held || --held->holders) {
        return;
    }
    /* Not where it was put?  Then somebody else's word is newer. */
    if (held_allowed(tid, &now) && CPU_COUNT(&now) == 1 &&
        CPU_ISSET(held->cpu, &now)) {
        sched_setaffinity(tid, sizeof(held->allowed), &held->allowed);
    }
    QLIST_REMOVE(held, next);
    g_free(held);
}
