/*
 * Handing pages over to another process: what a pager does for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGER_HANDOVER_H
#define REMOTE_MEMORY_PAGER_HANDOVER_H

#include "handover-page.h"
#include "pager.h"

/* At the source, in the migration thread; with the BQL where it says so. */

/** pager_can_offer: could the pages be handed over?  @errp says why not */
bool pager_can_offer(RemotePager *pager, Error **errp);

/**
 * pager_squeeze: let less be local, so that less has to be sent
 * @pager: the pager
 * @size: local memory, in bytes; 0 to allow the whole cache again
 *
 * Any thread but a pager's.  The cache's size for users does not change.
 */
void pager_squeeze(RemotePager *pager, uint64_t size);

/** pager_local_size: an upper bound of what would have to be sent, in bytes */
uint64_t pager_local_size(const RemotePager *pager);

/**
 * pager_freeze: put and discard nothing, and evict nothing
 *
 * With the BQL; waits for what is in flight.
 */
void pager_freeze(RemotePager *pager);

/** pager_thaw: the other end of pager_freeze().  With the BQL */
void pager_thaw(RemotePager *pager);

/**
 * pager_offer: from now on, somebody else may take the pages
 * @pager: the pager, frozen; the VM is stopped
 * @errp: set on failure; then everything is as it was
 *
 * With the BQL; waits for the store.  Returns: what remote_store_save() gave,
 * or %NULL.
 */
GByteArray *pager_offer(RemotePager *pager, Error **errp);

/**
 * pager_settle_dirty: pages that are handed over are not dirty
 * @pager: the pager
 * @dirty: the bitmap of pages to be sent
 *
 * Before the offer none has to be sent, but it is noted that they were written.
 * After it those of which that was said, which are set once.  With the lock of
 * @dirty.
 *
 * Returns: by how many the number of dirty pages has changed.
 */
int64_t pager_settle_dirty(RemotePager *pager, unsigned long *dirty);

/**
 * pager_let_go: the other side has the pages: they need no memory here
 * @pager: the pager, after pager_offer()
 *
 * Main thread; waits for the store.  The VM can never run again here, and its
 * memory reads as zeros.
 *
 * Returns: false if nobody has taken them yet, and nothing was done.
 */
bool pager_let_go(RemotePager *pager);

/* At the destination, in the main thread. */

/** pager_leave_store: nothing that is here or in the store is of use */
bool pager_leave_store(RemotePager *pager, Error **errp);

/**
 * pager_enter_store: go on in the source's namespace
 * @pager: the pager, after pager_leave_store()
 * @uuid: the namespace
 * @offer: number of the offer
 * @state: what pager_offer() returned
 * @errp: set on failure; then the pager is of no use any more
 */
bool pager_enter_store(RemotePager *pager, const QemuUUID *uuid,
                       const QemuUUID *offer, GByteArray *state,
                       Error **errp);

/**
 * pager_apply: take over part of the map
 * @pager: the pager, between pager_leave_store() and pager_enter_store()
 * @pages: what the source says, in the order of their numbers
 * @nr: how many
 */
void pager_apply(RemotePager *pager, HandoverPage *pages, uint32_t nr);

/* On both sides. */

/**
 * pager_take: take the pages that are on offer, for the VM is to run
 * @pager: the pager
 * @errp: set if they belong to the other side, or nobody knows
 *
 * With the BQL; waits for the store.  Returns: whether the VM may run.
 */
bool pager_take(RemotePager *pager, Error **errp);

#endif
