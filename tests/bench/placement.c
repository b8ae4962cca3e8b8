/*
 * On which CPUs the two sides of a hand-off run: who asks, and who answers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "placement.h"

static const char *const names[] = { "same", "split", "spin", "free", NULL };

Option placement_option(int *placement)
{
    return option_choice("placement", placement, "CPUs of both sides", names);
}

/* The CPUs that this process may use when it starts. */
static cpu_set_t allowed;

static void __attribute__((constructor)) placement_init(void)
{
    sched_getaffinity(0, sizeof(allowed), &allowed);
}

/* The n-th CPU that is allowed; they are used again when there are no more. */
static cpu_set_t nth_cpu(unsigned n)
{
    cpu_set_t set;

    n %= CPU_COUNT(&allowed);
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
            CPU_SET(cpu, &set);
            break;
        }
    }
    return set;
}

static void pin(pid_t tid, cpu_set_t set)
{
    if (sched_setaffinity(tid, sizeof(set), &set)) {
        perror("cannot choose a CPU");
        exit(1);
    }
}

void placement_ask(Placement placement, unsigned n)
{
    if (placement != PLACEMENT_FREE) {
        pin(0, nth_cpu(n));
    }
}

static unsigned answer_cpu(Placement placement, unsigned n)
{
    if (placement == PLACEMENT_SAME) {
        return n;
    }
    if (CPU_COUNT(&allowed) < 2) {
        fputs("there is only one CPU\n", stderr);
        exit(EXIT_SKIPPED);
    }
    return n + 1;
}

void placement_answer(Placement placement, unsigned n)
{
    if (placement != PLACEMENT_FREE) {
        pin(0, nth_cpu(answer_cpu(placement, n)));
    }
}

/* What to restore. */
static struct {
    pid_t pid;
    cpu_set_t set;
} moved;

static void pin_process(pid_t pid, cpu_set_t set)
{
    char path[64];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            sched_setaffinity(atoi(entry->d_name), sizeof(set), &set);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static void restore(void)
{
    pin_process(moved.pid, moved.set);
}

void placement_answer_process(Placement placement, pid_t pid)
{
    if (placement == PLACEMENT_FREE) {
        return;
    }
    if (sched_getaffinity(pid, sizeof(moved.set), &moved.set)) {
        perror("cannot find the server");
        exit(1);
    }
    moved.pid = pid;
    atexit(restore);
    pin_process(pid, nth_cpu(answer_cpu(placement, 0)));
}
