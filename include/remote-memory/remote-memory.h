/*
 * Remote memory: what the rest of QEMU calls
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_REMOTE_MEMORY_H
#define REMOTE_MEMORY_REMOTE_MEMORY_H

#include "qemu/typedefs.h"

/**
 * REMOTE_MEMORY_PAUSE_POLL_MS: how often pause_all_vcpus() looks again, in ms
 *
 * Pager threads never take the BQL, so they cannot signal the condition that
 * pause_all_vcpus() sleeps on when a vCPU gets stuck in a page fault.
 */
#define REMOTE_MEMORY_PAUSE_POLL_MS 100

/**
 * remote_memory_discard: drop a range of guest memory wherever it is
 * @rb: the block
 * @start: first byte within @rb, page-aligned
 * @length: in bytes, page-aligned
 * @ret: set to 0 or to a negative errno if the block is ours
 *
 * The range reads as zeros afterwards.  Called by ram_block_discard_range();
 * waits for the pager threads, which wait for nobody.  Any thread but a
 * pager's.
 *
 * Returns: false if @rb is not on a memory-backend-remote and nothing was
 * done.
 */
bool remote_memory_discard(RAMBlock *rb, uint64_t start, size_t length,
                           int *ret);

/**
 * remote_memory_serves: does a pager answer the faults of this memory?
 * @rb: the block
 *
 * Any thread but a pager's.  If so, QEMU's incoming postcopy must neither
 * register it with a userfaultfd of its own nor unregister it.
 */
bool remote_memory_serves(const RAMBlock *rb);

/**
 * remote_memory_place: a page of an incoming postcopy has come
 * @rb: the block
 * @host: where it belongs
 * @content: a page, or %NULL for zeros; copied
 * @ret: set to 0 if the block is ours
 *
 * Any thread but a pager's; may wait for room.  The page is placed soon, by
 * its pager, and never lost from here on.
 *
 * Returns: false if @rb is not on a memory-backend-remote and nothing was
 * done.
 */
bool remote_memory_place(RAMBlock *rb, const void *host, const void *content,
                         int *ret);

/**
 * remote_memory_settle_dirty: correct what has to be sent of a block
 * @rb: the block; the lock of its dirty bitmap is held
 *
 * If pages are handed over, none has to be sent before the VM stops, and only
 * those that the destination cannot find in the store after that.  Called by
 * the migration thread whenever the bitmap was brought up to date.
 *
 * Returns: by how many the number of dirty pages has changed, modulo 2^64.
 */
uint64_t remote_memory_settle_dirty(RAMBlock *rb);

/**
 * remote_memory_postcopy: postcopy begins, it will not be precopy
 *
 * In the migration thread, before the VM stops.
 */
void remote_memory_postcopy(void);

/**
 * remote_memory_hands_over: are pages of this block handed over?
 * @rb: the block
 *
 * In the migration thread.  Then the destination has nothing of it that would
 * have to be discarded before postcopy.
 */
bool remote_memory_hands_over(RAMBlock *rb);

/**
 * remote_memory_may_run: are the pages of the VM its own?
 *
 * With the BQL, before the VM runs.  After a migration that handed pages over,
 * they belong to who asks first; waits for the store.
 *
 * Returns: false if they belong to the VM at the other end, or nobody knows.
 */
bool remote_memory_may_run(void);

/**
 * remote_memory_is_gone: does the VM run at the destination?
 *
 * With the BQL, at the source of a postcopy, when its stream has failed after
 * all that the destination needs to run was sent.  If pages were handed over,
 * the store knows, or it is decided here that it must not.
 *
 * Returns: true if pages were handed over, and were taken.
 */
bool remote_memory_is_gone(void);

/**
 * remote_memory_may_load: may the source of a migration send this block?
 * @rb: the block
 *
 * In the main thread, before any of its pages comes.  If the destination
 * expects a hand-over, and its store may be the source's, it must not begin to
 * use that as if it were its own.
 *
 * Returns: false if the source does not hand anything over; reported.
 */
bool remote_memory_may_load(RAMBlock *rb);

/**
 * remote_memory_returns: can the VM go on here after all?
 *
 * Without the BQL, in the migration thread, when a postcopy has failed.  If
 * pages were handed over, it may be that the destination does not run.  Then
 * it must not any more, and nothing of the VM is there only.
 *
 * Returns: false if it runs, or pages were not handed over.
 */
bool remote_memory_returns(void);

/* Of migration/postcopy-ram.c: a thread begins to wait for a page. */
void mark_postcopy_blocktime_begin(uintptr_t addr, uint32_t ptid,
                                   RAMBlock *rb);

/**
 * remote_memory_vcpus_parked: may the VM count as paused?
 *
 * Called with the BQL held by pause_all_vcpus() when some vCPU has not stopped
 * for a while.  A vCPU that sleeps in a page fault whose page the store does
 * not give will not stop before the store is repaired, and "cont", which asks
 * for that, needs the VM to be stopped first.
 *
 * Such a vCPU is in the middle of an instruction, so this is only for stopping
 * the VM, and blocks migration until the VM runs again: a reset or a snapshot
 * has to wait for the vCPU.
 *
 * Returns: true if the VM is being stopped and every vCPU has stopped or
 * waits for such a page.
 */
bool remote_memory_vcpus_parked(void);

/**
 * remote_memory_defers: should nobody wait until a vCPU has done something?
 * @cpu: the vCPU
 * @data: what it is to be done with, or %NULL
 *
 * Called with the BQL held by run_on_cpu().  While it is said that the VM stops
 * or starts, a vCPU that waits for a page of a lost store is not waited for.
 */
bool remote_memory_defers(CPUState *cpu, void *data);

/**
 * remote_memory_visit_begin: this thread only passes through
 *
 * From here until remote_memory_visit_end(), or until the thread ends, a page
 * that it brings into local memory does not push out what the guest uses: the
 * page goes again as soon as room is needed, and reading it says nothing of
 * the guest.  For threads that read all of memory once, such as those of a
 * migration, and for whoever looks at memory from outside.  A page that
 * somebody else waits for too stays as usual.
 *
 * This is a hint: contents and the bound on local memory are the same without
 * it.  It does not nest.  Any thread but a pager's.
 *
 * Returns: false if nothing has changed, as when it said so before.
 */
bool remote_memory_visit_begin(void);

/**
 * remote_memory_visit_end: this thread stays again
 *
 * Does nothing if it did not say otherwise.
 */
void remote_memory_visit_end(void);

/* Whether it is the one that has begun. */
typedef bool RemoteMemoryVisit;

static inline void remote_memory_visit_leave(RemoteMemoryVisit *began)
{
    if (*began) {
        remote_memory_visit_end();
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RemoteMemoryVisit, remote_memory_visit_leave)

/**
 * REMOTE_MEMORY_VISIT: this thread only passes through, up to the end of the
 * block
 *
 * A declaration.  A visit that has begun before goes on after it.
 */
#define REMOTE_MEMORY_VISIT() \
    g_auto(RemoteMemoryVisit) remote_memory_visit G_GNUC_UNUSED = \
        remote_memory_visit_begin()

#endif
