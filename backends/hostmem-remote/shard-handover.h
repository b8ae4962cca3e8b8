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
 * shard_freeze: put and discard nothing, and evict nothing
 *
 * With the BQL; waits for what is in flight.  Pages can still be fetched, with
 * room beyond the budget, since none can be made.
 */
void shard_freeze(RemoteShard *s);

/** shard_thaw: the other end of shard_freeze().  With the BQL */
void shard_thaw(RemoteShard *s);

/** shard_let_go: give memory back; its pages were discarded, it is frozen */
void shard_let_go(RemoteShard *s);

/**
 * struct ShardPages - part of a map
 * @shard: whose
 * @first: index of the first page
 * @nr: number of pages, within a stripe
 * @pages: what there is to say of them
 */
typedef struct ShardPages {
    RemoteShard *shard;
    uint32_t first;
    uint32_t nr;
    HandoverPage *pages;
} ShardPages;

/**
 * handover_place: where can this content be had, other than here?
 * @page: REMOTE_STORE_PAGE_SIZE bytes
 * @stored: the store has a copy of the page
 * @hash: the hash of that
 */
HandoverPlace handover_place(const void *page, bool stored, uint64_t hash);

/** shard_export: fill @pages in, while the shard is frozen */
void shard_export(ShardPages *pages);

/**
 * shard_import: take @pages for true
 *
 * While the shard is frozen, has nothing but ZERO pages, and no request is in
 * flight.
 */
void shard_import(ShardPages *pages);

/** shard_leave_store: forget a store in which nothing is of use any more */
void shard_leave_store(RemoteShard *s);

/**
 * shard_enter_store: use another one; frozen, after shard_leave_store()
 * @s: the shard
 * @region: its pages
 * @errp: set on failure
 */
bool shard_enter_store(RemoteShard *s, RemoteStoreRegion *region,
                       Error **errp);

#endif
