/*
 * On which CPUs the two sides of a hand-off run: who asks, and who answers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_PLACEMENT_H
#define BENCH_PLACEMENT_H

#include <sys/types.h>

#include "options.h"

/* Status of a program that cannot measure this on this machine. */
#define EXIT_SKIPPED 77

typedef enum Placement {
    PLACEMENT_SAME,     /* on one CPU: a hand-off is a context switch */
    PLACEMENT_SPLIT,    /* on two, which sleep when they have nothing to do */
    PLACEMENT_SPIN,     /* on two, and who answers never sleeps */
    PLACEMENT_FREE,     /* wherever the kernel wants */
} Placement;

/* A row in a table of options, for the index of a placement. */
Option placement_option(int *placement);

/* Choose the CPU of the calling thread: the n-th that asks, or answers. */
void placement_ask(Placement placement, unsigned n);
void placement_answer(Placement placement, unsigned n);

/*
 * Let all threads of another process answer; when this program ends they are
 * allowed again what they were before.
 */
void placement_answer_process(Placement placement, pid_t pid);

#endif
