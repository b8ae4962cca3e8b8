/*
 * Held threads: on one CPU for a while
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HELD_H
#define REMOTE_MEMORY_HELD_H

#include "qemu/thread.h"
#include <sched.h>

/**
 * DOC: Held threads
 *
 * A thread may be served by several pagers, so who holds it is kept in one
 * list for the process: the first puts it on its CPU, the others follow, and
 * the last one lets it go.
 *
 * A thread inherits the affinity of the one that makes it, for good.  So those
 * that were made by somebody who was held, such as workers of a thread pool,
 * have to be found and let go, too: they are new, and where they should be is
 * that one CPU.
 */

/** held_lock: for all functions below.  Taken a few times a second */
extern QemuMutex held_lock;

/** held_is_ours: is this a thread of this process?  Takes no lock */
bool held_is_ours(uint32_t tid);

/**
 * held_allowed: where a thread may run
 * @tid: a thread of this process, which may have ended
 * @set: filled in
 *
 * Takes no lock.  Returns: whether it is known.
 */
bool held_allowed(uint32_t tid, cpu_set_t *set);

/** held_where: the CPU on which a thread is held, or -1.  With held_lock */
int held_where(uint32_t tid);

/**
 * held_take: put a thread on a CPU, or join those who did
 * @tid: the thread
 * @cpu: the CPU
 *
 * With held_lock.  Returns: false if it may not be there, or is held elsewhere.
 */
bool held_take(uint32_t tid, int cpu);

/**
 * held_give_back: the other end of held_take()
 * @tid: the thread, which may have ended
 *
 * With held_lock.  Who was moved elsewhere meanwhile stays there.
 */
void held_give_back(uint32_t tid);

/** held_list_tasks: the numbers of all threads of this process, or %NULL */
GArray *held_list_tasks(void);

/**
 * held_free_children: let threads go that were made by those who are held
 * @before: the threads that there were before, or %NULL
 * @parent: who is held where they are, and was allowed to be where they may be
 *
 * With held_lock.
 */
void held_free_children(const GArray *before, uint32_t parent);

#endif
