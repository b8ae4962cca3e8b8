/*
 * Balance: the cache moves to the shards that need it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "balance.h"

/* Of the giver's share, one in so many pages moves at a time. */
#define STEP_DIVISOR 16

/*
 * The taker fetches at least so many times what the giver does, and so many
 * pages more: what is less than that may be chance.
 */
#define FACTOR 2
#define DIFFERENCE 64

BalanceTransfer balance_choose(const BalanceShard *shards, unsigned nr)
{
    const BalanceShard *from = NULL, *to = NULL;
    BalanceTransfer transfer = { 0 };

    for (const BalanceShard *shard = shards; shard < shards + nr; shard++) {
        if (shard->share > shard->least &&
            (!from || shard->fetched < from->fetched)) {
            from = shard;
        }
        if (shard->share < shard->most &&
            (!to || shard->fetched > to->fetched)) {
            to = shard;
        }
    }
    if (from && to && to->fetched >= from->fetched * FACTOR + DIFFERENCE) {
        transfer.from = from - shards;
        transfer.to = to - shards;
        transfer.pages = MIN(MAX(from->share / STEP_DIVISOR, 1),
                             MIN(from->share - from->least,
                                 to->most - to->share));
    }
    return transfer;
}
