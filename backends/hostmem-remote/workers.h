/*
 * Workers: threads of the kernel that wait for pages in the place of others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_WORKERS_H
#define REMOTE_MEMORY_WORKERS_H

/**
 * DOC: Workers
 *
 * Under KVM, a vCPU that touches a page which is not there hands the wait to a
 * worker of the kernel, if the guest can be interrupted, and goes on or halts.
 * The event then has the number of that worker.  The kernel takes any that is
 * idle, so neighbouring faults of one vCPU have several numbers, and one number
 * has faults of several vCPUs.  So they say nothing, and all workers count as
 * one thread: its streams are those of all vCPUs.
 *
 * Nor can a worker be moved to another CPU, so it is not gathered; see
 * gather.h.
 */

/** WORKERS: the number that stands for all of them */
#define WORKERS UINT32_MAX
/** WORKERS_KNOWN: threads that are not looked up each time */
#define WORKERS_KNOWN 16

/**
 * struct KnownThreads - threads of this process that have faulted
 * @tid: some of them, each at its number modulo WORKERS_KNOWN
 *
 * Zeroed at first.  Used by one thread.
 */
typedef struct KnownThreads {
    uint32_t tid[WORKERS_KNOWN];
} KnownThreads;

/**
 * workers_or_thread: who faults
 * @known: filled on the way
 * @tid: a thread, as the event has it
 *
 * A number that is in @known may be a worker's by now, which is no harm; the
 * same holds for a worker of another PID namespace with a number of ours.
 *
 * Returns: @tid if it is a thread of this process, else WORKERS.
 */
uint32_t workers_or_thread(KnownThreads *known, uint32_t tid);

#endif
