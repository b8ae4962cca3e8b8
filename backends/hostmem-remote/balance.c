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

/* Of @total parts of @amount, those from @before to @before + @parts. */
static uint64_t portion(uint64_t amount, uint64_t before, uint64_t parts,
                        uint64_t total)
{
    /* A product of two numbers of pages does not fit in 64 bits. */
    unsigned __int128 wide = amount;

    return (uint64_t)(wide * (before + parts) / total) -
           (uint64_t)(wide * before / total);
}

void balance_resize(BalanceShard *shards, unsigned nr, uint64_t cache)
{
    uint64_t sum = 0, lack = 0, spare = 0, before = 0;

    for (BalanceShard *shard = shards; shard < shards + nr; shard++) {
        sum += shard->share;
        lack += shard->most - shard->share;
        spare += shard->share - shard->least;
    }
    for (BalanceShard *shard = shards; shard < shards + nr; shard++) {
        uint64_t parts;

        if (cache > sum) {
            parts = shard->most - shard->share;
            shard->share += portion(cache - sum, before, parts, lack);
        } else if (cache < sum) {
            parts = shard->share - shard->least;
            shard->share -= portion(sum - cache, before, parts, spare);
        } else {
            return;
        }
        before += parts;
    }
}
