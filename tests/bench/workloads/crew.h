/*
 * Threads that work for some time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdatomic.h>
#include <stdint.h>

#include "workload.h"

#define CREW_MAX_THREADS 16

typedef struct Worker {
    unsigned index;         /* of @threads */
    unsigned threads;
    atomic_bool *stop;      /* time is up */
    uint64_t random;        /* state for random_next() */
    uint64_t ops;           /* what the thread has done */
    uint64_t before;        /* ticks() at the end of the last operation */
    Histogram latency;
} Worker;

/* What all threads have done. */
typedef struct CrewResult {
    uint64_t ops;
    double seconds;
    Histogram latency;
} CrewResult;

/* For Workload.run_options: how many threads, and how long they work. */
extern const Option crew_options[];

/*
 * Let threads work, first to warm up and then to be measured. @work calls
 * worker_goes_on() before each operation.
 */
void crew_run(void (*work)(Worker *w), CrewResult *result);

/* Members for what was measured. */
void crew_print(const CrewResult *result);

/* Count an operation that has ended; the next one begins. */
static inline void worker_done(Worker *w)
{
    uint64_t after = ticks();

    histogram_add(&w->latency, ticks_to_ns(after - w->before));
    w->before = after;
    w->ops++;
}

static inline bool worker_goes_on(const Worker *w)
{
    return !atomic_load_explicit(w->stop, memory_order_relaxed);
}

#endif
