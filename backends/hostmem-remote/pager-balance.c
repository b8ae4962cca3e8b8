/*
 * Pager: room moves between shards
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "balance.h"
#include "qemu/timer.h"
#include "shard.h"
#include "trace.h"

/* How often to look, in ms, while pages are fetched and while none are. */
#define BUSY_MS 100
#define IDLE_MS 1000

/* In the shard's thread: make what the main thread says the target. */
static void shard_new_target(void *opaque)
{
    RemoteShard *s = opaque;

    shard_retarget(s);
    shard_kick(s);
}

static void set_share(RemoteShard *s, uint32_t share)
{
    qatomic_set(&s->share, share);
    aio_bh_schedule_oneshot(s->ctx, shard_new_target, s);
}

/* The giver is down to its new share: the room is the taker's. */
static void finish_transfer(RemotePager *pager)
{
    RemoteShard *from = &pager->shards[pager->transfer.from];
    RemoteShard *to = &pager->shards[pager->transfer.to];

    if (qatomic_read(&from->budget.limit) <= from->share) {
        set_share(to, to->share + pager->transfer.pages);
        pager->transfer.pages = 0;
    }
}

static void begin_transfer(RemotePager *pager, const BalanceShard *shards)
{
    RemoteShard *from;

    pager->transfer = balance_choose(shards, pager->nr_shards);
    if (pager->transfer.pages) {
        from = &pager->shards[pager->transfer.from];
        trace_remote_memory_balance(pager->id, pager->transfer.from,
                                    pager->transfer.to,
                                    pager->transfer.pages);
        set_share(from, from->share - pager->transfer.pages);
    }
}

static BalanceShard balance_shard(const RemoteShard *s)
{
    uint32_t pages = shard_nr_pages(s);

    return (BalanceShard) {
        .share = s->share,
        .least = MIN(BUDGET_MIN_PAGES, pages),
        .most = pages,
    };
}

/* What the shards did since the last time.  Returns: whether anything. */
static bool look_at_shards(RemotePager *pager, BalanceShard *shards)
{
    bool busy = false;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];
        uint64_t fetched = qatomic_read(&s->stats.awaited);

        shards[i] = balance_shard(s);
        shards[i].fetched = fetched - s->balance_fetched;
        s->balance_fetched = fetched;
        busy |= shards[i].fetched;
    }
    return busy;
}

/* While the cache is being resized, or a store fails, is no time for it. */
static bool at_rest(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];

        if (qatomic_read(&s->resize_reached) != pager->resize_wanted ||
            qatomic_read(&s->error)) {
            return false;
        }
    }
    return true;
}

static void balance_timer(void *opaque)
{
    RemotePager *pager = opaque;
    g_autofree BalanceShard *shards = g_new(BalanceShard, pager->nr_shards);
    bool busy = look_at_shards(pager, shards);

    if (pager->transfer.pages) {
        finish_transfer(pager);
    } else if (at_rest(pager)) {
        begin_transfer(pager, shards);
    }
    timer_mod(pager->balance_timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              (busy ? BUSY_MS : IDLE_MS));
}

void pager_balance_start(RemotePager *pager)
{
    if (pager->nr_shards > 1) {
        pager->balance_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                            balance_timer, pager);
        timer_mod(pager->balance_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + IDLE_MS);
    }
}

void pager_balance_stop(RemotePager *pager)
{
    timer_free(pager->balance_timer);
    pager->balance_timer = NULL;
}

/* What a transfer has taken goes back: nobody has got it yet. */
static void cancel_transfer(RemotePager *pager)
{
    if (pager->transfer.pages) {
        pager->shards[pager->transfer.from].share += pager->transfer.pages;
        pager->transfer.pages = 0;
    }
}

void pager_balance_resize(RemotePager *pager)
{
    g_autofree BalanceShard *shards = g_new(BalanceShard, pager->nr_shards);

    cancel_transfer(pager);
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shards[i] = balance_shard(&pager->shards[i]);
        /* At first they have none. */
        shards[i].share = MAX(shards[i].share, shards[i].least);
    }
    balance_resize(shards, pager->nr_shards,
                   pager->cache_size / REMOTE_STORE_PAGE_SIZE);
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        qatomic_set(&pager->shards[i].share, shards[i].share);
    }
}
