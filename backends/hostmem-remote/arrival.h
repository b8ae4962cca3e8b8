/*
 * Arrivals: pages that the source of a migration still has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_ARRIVAL_H
#define REMOTE_MEMORY_ARRIVAL_H

#include "shard.h"

/**
 * DOC: Incoming postcopy
 *
 * While a VM runs here before all of its memory has come, the source of the
 * migration is one more place where a page can be: PAGE_SOURCE.  Faults on
 * such a page become requests to the source, written to a pipe that the
 * postcopy code of QEMU reads (see postcopy.c); pages that arrive are placed
 * by the shard, with room from its budget like all others::
 *
 *     fault --> arrival_ask() --> pipe --> QEMU's fault thread --> source
 *                                                                    |
 *     place <-- arrivals_run() <-- arrival_put() <-- QEMU's threads <-+
 *
 * The threads that receive pages do not wait for the shard: they leave the
 * content in a buffer and go on, so that pages come as fast as the network
 * gives them.  They wait only if all buffers are full, which they are when
 * pages cannot be evicted as fast as they come, or the store is lost.
 *
 * A page that somebody waits for is placed before those that only come.
 */

/**
 * arrivals_begin: from now on, pages may be with the source
 * @s: the shard
 * @ask: where requests are written, without blocking, as a struct uffd_msg
 *
 * Shard thread.  Returns: false without memory.
 */
bool arrivals_begin(RemoteShard *s, int ask);

/**
 * arrival_expect: the source has a page
 * @s: the shard
 * @index: the page; whatever it was, it is not any more
 *
 * Shard thread, while nobody touches it.  Returns: false if it is being
 * fetched, which does not last; then to be called again.
 */
bool arrival_expect(RemoteShard *s, uint32_t index);

/**
 * arrival_ask: somebody waits for a page that is PAGE_SOURCE
 * @s: the shard
 * @waiter: who, in no list; the first one who does
 *
 * Shard thread.  Returns: false if that was not possible now.
 */
bool arrival_ask(RemoteShard *s, const Waiter *waiter);

/**
 * arrival_put: a page has come
 * @s: the shard
 * @index: the page
 * @content: %REMOTE_STORE_PAGE_SIZE bytes, not of the guest's memory, or
 *     %NULL for zeros; copied
 *
 * Any thread but a pager's; waits if pages come faster than they can be
 * placed.
 */
void arrival_put(RemoteShard *s, uint32_t index, const void *content);

/**
 * arrivals_run: place what has come
 *
 * Shard thread.  Returns: whether some of it waits for room.
 */
bool arrivals_run(RemoteShard *s);

/** arrivals_drain: wait until all that has come is placed.  Any thread */
void arrivals_drain(RemoteShard *s);

/**
 * arrivals_end: nothing more will come
 * @s: the shard, after arrivals_drain()
 *
 * Any thread but a pager's.  Pages that never came stay what they are: who
 * touches one waits for ever, since nobody has it.
 */
void arrivals_end(RemoteShard *s);

/** arrivals_cancel: free everything; for shard_destroy() */
void arrivals_cancel(RemoteShard *s);

#endif
