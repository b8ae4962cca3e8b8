/*
 * A shard's part in recording what the guest works with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_SNAPSHOT_H
#define REMOTE_MEMORY_SHARD_SNAPSHOT_H

#include "shard.h"

/** SHARD_RECALL_PAGES: so many pages at a time are a short time */
#define SHARD_RECALL_PAGES 4096

/**
 * shard_list_use: list pages in the order of their last use
 * @s: the shard
 * @pages: (uint32_t) their indices are added, that of the last one used first
 *
 * What is local for the guest, in the order in which it would go, the other way
 * round: protected, on probation, in standby.  Then what was dropped last, as
 * many pages as the cache has, in the classes of recency.h.
 *
 * Main thread, while the VM is stopped.
 */
void shard_list_use(RemoteShard *s, GArray *pages);

/** shard_forget_use: no page is known to be used.  Main thread */
void shard_forget_use(RemoteShard *s);

/**
 * shard_recall_use: pages were used, before those of which this was said
 * @s: the shard, after shard_forget_use()
 * @pages: their indices, that of the last one used first
 * @nr: how many, at most %SHARD_RECALL_PAGES
 * @since: of so many this was said since shard_forget_use()
 *
 * What is local is left as it is once as many pages were used since as the
 * cache has room for: then others should be there.
 *
 * Main thread.
 */
void shard_recall_use(RemoteShard *s, const uint32_t *pages, uint32_t nr,
                      uint32_t since);

#endif
