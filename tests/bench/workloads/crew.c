/*
 * Threads that work for some time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "crew.h"

typedef struct Task {
    pthread_t thread;
    void (*work)(Worker *w);
    Worker worker;
} Task;

/* Not on the stack: large, and its pages are to be there already. */
static Task tasks[CREW_MAX_THREADS];

static uint64_t threads = 1;
static double warmup = 1;
static double seconds = 5;
static uint64_t buckets;

/* How often they have worked: so that no two times go the same way. */
static uint64_t times;

const Option crew_options[] = {
    { "threads", OPTION_SIZE, &threads, "number of threads" },
    { "warmup", OPTION_REAL, &warmup, "seconds before measuring" },
    { "seconds", OPTION_REAL, &seconds, "seconds to measure" },
    { "histogram", OPTION_SIZE, &buckets, "1: print all of it" },
    { }
};

static void *thread_main(void *opaque)
{
    Task *task = opaque;

    task->worker.before = ticks();
    task->work(&task->worker);
    return NULL;
}

static void sleep_for(double duration)
{
    struct timespec ts = {
        .tv_sec = duration,
        .tv_nsec = (duration - (time_t)duration) * 1e9,
    };
    int interrupted;

    do {
        interrupted = nanosleep(&ts, &ts);
    } while (interrupted);
}

static void work_for(double duration, void (*work)(Worker *w),
                     CrewResult *result)
{
    atomic_bool stop = false;
    double start;

    memset(result, 0, sizeof(*result));
    memset(tasks, 0, sizeof(tasks));
    start = now();
    for (unsigned i = 0; i < threads; i++) {
        tasks[i].work = work;
        tasks[i].worker.index = i;
        tasks[i].worker.threads = threads;
        tasks[i].worker.stop = &stop;
        tasks[i].worker.random = mix64(times * CREW_MAX_THREADS + i);
        if (pthread_create(&tasks[i].thread, NULL, thread_main, &tasks[i])) {
            die("cannot start a thread");
        }
    }
    sleep_for(duration);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(tasks[i].thread, NULL);
        result->ops += tasks[i].worker.ops;
        histogram_merge(&result->latency, &tasks[i].worker.latency);
    }
    result->seconds = now() - start;
    times++;
}

void crew_run(void (*work)(Worker *w), CrewResult *result)
{
    if (!threads || threads > CREW_MAX_THREADS) {
        die("threads=1 to %d, not %llu", CREW_MAX_THREADS,
            (unsigned long long)threads);
    }
    if (warmup) {
        work_for(warmup, work, result);
    }
    work_for(seconds, work, result);
}

void crew_print(const CrewResult *result)
{
    json_rate(result->ops, result->seconds);
    json_count("threads", threads);
    json_latency(&result->latency, buckets);
}
