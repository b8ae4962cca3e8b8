/*
 * Gathering: a pager and the threads that it serves on one CPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_GATHER_H
#define REMOTE_MEMORY_GATHER_H

#include "block/aio.h"
#include "placement.h"

/** GATHER_THREADS: faulting threads that are looked at in a window */
#define GATHER_THREADS 8

/**
 * struct GatherThread - a thread that faulted in this window
 * @tid: which, as in gettid(2)
 * @cpu_time: what it had used when it was first seen, in ns
 * @held: it was put on the pager's CPU, and has to be let go
 */
typedef struct GatherThread {
    uint32_t tid;
    bool held;
    int64_t cpu_time;
} GatherThread;

/**
 * struct Gather - what one pager does about placement
 * @placement: the decisions
 * @ctx: the pager's
 * @handoff: what it costs to wake another CPU, in ns
 * @timer: ends windows in which little happens
 * @timer_set: it runs
 * @one_cpu: the pager's thread may run on one CPU only
 * @cpu_time: what the pager's thread had used when the window began, in ns
 * @pager_tid: the pager's thread
 * @tasks: all threads of this process when they were gathered, or %NULL
 * @crowd: there are more than @threads has room for, or some that cannot be
 *     moved
 * @nr: how many of @threads are known
 * @threads: those that faulted
 *
 * Pager's thread only.
 */
typedef struct Gather {
    Placement placement;
    AioContext *ctx;
    int64_t handoff;
    QEMUTimer *timer;
    bool timer_set;
    bool one_cpu;
    int64_t cpu_time;
    uint32_t pager_tid;
    GArray *tasks;
    bool crowd;
    unsigned nr;
    GatherThread threads[GATHER_THREADS];
} Gather;

/**
 * gather_new: begin to look after the placement of a pager
 * @ctx: the pager's context, which nobody else uses
 * @handoff: what it costs to wake another CPU, in ns; see handoff_ns()
 *
 * Any thread.  Gathering changes the CPU affinity of the pager's thread and of
 * up to GATHER_THREADS that fault, for less than a second at a time and always
 * within what each is allowed, and gives it back, unless somebody else has
 * changed it meanwhile.  Where that is forbidden, nothing happens.
 */
Gather *gather_new(AioContext *ctx, int64_t handoff);

/** gather_fault: thread @tid, or WORKERS, waits for the pager; its thread */
void gather_fault(Gather *g, uint32_t tid);

/** gather_flush: all CPUs were interrupted, to forget an address */
static inline void gather_flush(Gather *g)
{
    placement_flush(&g->placement);
}

/** gather_stop: let everybody go; no more faults.  Pager's thread */
void gather_stop(Gather *g);

/** gather_free: free what gather_new() made.  May be %NULL */
void gather_free(Gather *g);

#endif
