/*
 * Recovery: what happens when a store fails
 *
 * In the shard's thread unless it says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RECOVERY_H
#define REMOTE_MEMORY_RECOVERY_H

#include "shard.h"

/** recovery_init: make timer and lock */
void recovery_init(RemoteShard *s);

/** recovery_destroy: undo recovery_init() */
void recovery_destroy(RemoteShard *s);

/** recovery_succeeded: a request of this kind went well */
void recovery_succeeded(RemoteShard *s, RemoteMemoryOperation op);

/**
 * recovery_failed: a request of this kind failed
 * @s: the shard
 * @op: what was tried
 * @result: how it failed
 * @reason: in words for the operator
 *
 * The page concerned is safe: it still is where it was.
 */
void recovery_failed(RemoteShard *s, RemoteMemoryOperation op,
                     RemoteStoreResult result, const char *reason);

/**
 * recovery_broken: something else than the store is wrong
 * @s: the shard
 * @reason: what, in words for the operator
 */
void recovery_broken(RemoteShard *s, const char *reason);

/** recovery_cannot_place: the kernel does not take a page: -@ret says why */
void recovery_cannot_place(RemoteShard *s, uint32_t index, int ret);

/**
 * recovery_vanished: a resident page is gone from the guest's RAM
 *
 * Somebody dropped it behind our back.  Nobody can bring it back, and it must
 * not read as zeros: who touches it waits for ever, and the operator is told.
 */
void recovery_vanished(RemoteShard *s, uint32_t index);

/**
 * recovery_park: this waiter has to wait until the store is well again
 * @s: the shard
 * @waiter: in no list
 */
void recovery_park(RemoteShard *s, Waiter *waiter);

/** recovery_unpark: the other end of recovery_park() */
void recovery_unpark(RemoteShard *s, Waiter *waiter);

/** recovery_waits: do requests of this kind wait for the next try? */
static inline bool recovery_waits(const RemoteShard *s,
                                  RemoteMemoryOperation op)
{
    return s->failed_ops & (1u << op);
}

/** recovery_resume: the VM runs: try everything again.  Main thread */
void recovery_resume(RemoteShard *s);

#endif
