/*
 * Balance: the cache moves to the shards that need it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_BALANCE_H
#define REMOTE_MEMORY_BALANCE_H

/**
 * DOC: Balance
 *
 * Each shard begins with its part of the cache in proportion to its pages.  If
 * the guest uses the pages of one more than those of another, the one fetches
 * all the time what the other would have room for.  So from time to time some
 * room moves from the shard that fetches least to the one that fetches most,
 * until they fetch about as much.
 *
 * The bound holds all the time: the giver gives first, and the taker takes
 * when the giver is down to its new target.
 *
 * Pure policy: figures go in, a transfer comes out.
 */

/**
 * struct BalanceShard - a shard as seen at the end of a period
 * @share: its part of the cache, in pages
 * @least: it should keep so many
 * @most: it has no use for more
 * @fetched: pages that it fetched on demand in this period
 */
typedef struct BalanceShard {
    uint32_t share;
    uint32_t least;
    uint32_t most;
    uint64_t fetched;
} BalanceShard;

/**
 * struct BalanceTransfer - what to do
 * @from: number of the shard that gives
 * @to: number of the one that takes
 * @pages: how much, 0 for nothing
 */
typedef struct BalanceTransfer {
    unsigned from;
    unsigned to;
    uint32_t pages;
} BalanceTransfer;

/**
 * balance_choose: what to move
 * @shards: all shards
 * @nr: how many
 */
BalanceTransfer balance_choose(const BalanceShard *shards, unsigned nr);

/**
 * balance_resize: new shares for a cache of another size
 * @shards: all shards; the shares change
 * @nr: how many
 * @cache: in pages, from the sum of the least to that of the most
 *
 * If the cache grows, in proportion to what each lacks to the most; if it gets
 * smaller, to what each has beyond the least.  So no share goes the other way,
 * and no shard takes what another has not given yet.
 */
void balance_resize(BalanceShard *shards, unsigned nr, uint64_t cache);

#endif
