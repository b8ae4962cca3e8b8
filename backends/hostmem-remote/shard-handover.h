/*
 * Handing pages over to another process: what a shard does for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_HANDOVER_H
#define REMOTE_MEMORY_SHARD_HANDOVER_H

#include "handover-page.h"
#include "shard.h"

/**
 * shard_freeze: put and discard nothing more, and evict nothing
 *
 * With the BQL; what is in flight is still RemoteShard.writing.  Pages can be
 * fetched, with room beyond the budget, since none can be made.
 */
void shard_freeze(RemoteShard *s);

/** shard_thaw: the other end of shard_freeze().  With the BQL */
void shard_thaw(RemoteShard *s);

/** shard_let_go: give memory back; its pages were discarded, it is frozen */
void shard_let_go(RemoteShard *s);

/**
 * handover_place: where can this content be had, other than here?
 * @page: REMOTE_STORE_PAGE_SIZE bytes
 * @stored: the store has a copy of the page
 * @hash: the hash of that
 */
HandoverPlace handover_place(const void *page, bool stored, uint64_t hash);

/**
 * shard_watch: note which pages change, or do not any more
 * @s: the shard
 * @changed: one bit for each page of the pager, set atomically; or %NULL
 */
void shard_watch(RemoteShard *s, unsigned long *changed);

/**
 * shard_export: what the page map says of some pages
 * @pager: the pager
 * @pages: filled in but for their numbers, which are in order and in one stripe
 * @nr: how many
 */
void shard_export(RemotePager *pager, HandoverPage *pages, uint32_t nr);

/**
 * shard_import: the other way round; once for each page, and then again
 * @pager: after shard_leave_store()
 * @pages: in order and in one stripe
 * @nr: how many
 */
void shard_import(RemotePager *pager, HandoverPage *pages, uint32_t nr);

/** shard_leave_store: forget a store in which nothing is of use any more */
void shard_leave_store(RemoteShard *s);

/**
 * shard_enter_store: use another one, which has what was imported
 * @s: the shard, after shard_leave_store(), and still frozen
 * @region: its pages
 * @errp: set on failure
 */
bool shard_enter_store(RemoteShard *s, RemoteStoreRegion *region,
                       Error **errp);

#endif
