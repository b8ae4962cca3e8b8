/*
 * A shard's part in warming up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "shard-warm.h"

/* Entries of the page map to look at while others wait: 10 us or so. */
#define STEPS 4096
/* Half of the batches: the others are left to what a stream needs. */
#define IN_FLIGHT_MAX (BATCHES / 2 * BATCH_PAGES)
/* After a page that cannot be fetched. */
#define RETRY_MS 100

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* What comes */

void warm_settled(RemoteShard *s, bool good)
{
    ShardWarm *w = s->warm;

    w->in_flight--;
    qatomic_set(&w->failing, !good);
    if (good) {
        qatomic_set(&w->done, w->done + 1);
    } else {
        w->failed = true;
        w->not_before = now_ms() + RETRY_MS;
    }
}

/* The last one first: who has neighbours is evicted along with them. */
void warm_placed(RemoteShard *s, uint32_t index, uint32_t nr)
{
    while (nr--) {
        page_map_expose(&s->map, index + nr);
        warm_settled(s, true);
    }
}

/* What goes */

static void find_pages(RemoteShard *s, ShardWarm *w)
{
    uint32_t steps = STEPS;

    while (w->nr < BATCH_PAGES && !w->at_end) {
        switch (recency_next(&w->recency, &s->map, &steps, &w->pages[w->nr])) {
        case RECENCY_PAGE:
            w->nr++;
            break;
        case RECENCY_LATER:
            return;
        case RECENCY_END:
            w->at_end = true;
            break;
        }
    }
}

/* Some of those that were found may have gone another way meanwhile. */
static void fetch_pages(RemoteShard *s, ShardWarm *w, Batch *batch)
{
    batch_begin(batch, BATCH_WARM, 0);
    for (unsigned i = 0; i < w->nr; i++) {
        if (page_map_get(&s->map, w->pages[i])->state == PAGE_REMOTE &&
            budget_take(&s->budget)) {
            batch_add(s, batch, w->pages[i], false);
        }
    }
    w->nr = 0;
    w->in_flight += batch->nr;
    batch_submit(s, batch);
}

/* All were looked at; those that failed are tried once more. */
static bool round_ended(ShardWarm *w)
{
    if (w->failed) {
        w->failed = false;
        w->at_end = false;
        recency_again(&w->recency);
        return true;
    }
    qatomic_set(&w->failing, false);
    qatomic_set(&w->ended, true);
    return false;
}

/* Has the store, or what others want of it, to be waited for? */
static bool must_wait(RemoteShard *s, ShardWarm *w)
{
    if (now_ms() < w->not_before) {
        shard_look_again(s, RETRY_MS);
        return true;
    }
    return s->failed_ops || s->frozen || shard_holds_back(s);
}

/* What is known to have been in use may take the place of what is not. */
static bool may_replace(RemoteShard *s, const ShardWarm *w)
{
    return recency_is_known(&w->recency) && !budget_shrinking(&s->budget) &&
           evict_has_unused(s);
}

/* Is there room for those that were found?  If not, make some. */
static bool has_room(RemoteShard *s, ShardWarm *w, bool *again)
{
    w->awaits_room = budget_idle(&s->budget) < BATCH_PAGES &&
                     may_replace(s, w);
    *again = !w->awaits_room || evict_unused(s);
    return !w->awaits_room;
}

/* Returns: whether to call again soon. */
static bool next_batch(RemoteShard *s, ShardWarm *w)
{
    Batch *batch = batch_idle(s);
    bool again;

    if (!batch || w->in_flight + BATCH_PAGES > IN_FLIGHT_MAX ||
        must_wait(s, w)) {
        return false;
    }
    if (has_room(s, w, &again)) {
        find_pages(s, w);
        if (w->nr == BATCH_PAGES || w->at_end) {
            w->nr = MIN(w->nr, budget_idle(&s->budget));
            fetch_pages(s, w, batch);
        }
    }
    return again;
}

bool warm_run(RemoteShard *s)
{
    ShardWarm *w = s->warm;

    if (!w || w->ended) {
        return false;
    }
    if (w->stop || (!budget_idle(&s->budget) && !may_replace(s, w))) {
        w->at_end = true;
        w->failed = false;
        w->nr = 0;
    }
    if (w->at_end && !w->nr) {
        w->awaits_room = false;
        return !w->in_flight && round_ended(w);
    }
    return next_batch(s, w);
}

/* The main thread's side */

/* How many pages there may be room for. */
static uint64_t room_in_all(RemoteShard *s)
{
    uint64_t room = budget_idle(&s->budget);

    if (evict_has_unused(s)) {
        room += s->map.visited.nr + s->map.count[PAGE_STANDBY];
    }
    return room;
}

static void begin_bh(void *opaque)
{
    RemoteShard *s = opaque;
    ShardWarm *w = remote_store_alloc(sizeof(ShardWarm));

    assert(!s->warm);
    s->warm = w;
    s->unused_from = 0;
    w->all = MIN(room_in_all(s), s->map.count[PAGE_REMOTE]);
    if (w->all) {
        recency_begin(&w->recency, s->replacement.drops, w->all);
    } else {
        w->at_end = true;
    }
    shard_kick(s);
}

void warm_begin(RemoteShard *s)
{
    shard_call(s, begin_bh, s);
}

static void stop_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->warm->stop = true;
    shard_kick(s);
}

void warm_stop(RemoteShard *s)
{
    shard_call(s, stop_bh, s);
}

static void end_bh(void *opaque)
{
    RemoteShard *s = opaque;

    g_clear_pointer(&s->warm, qemu_vfree);
}

void warm_end(RemoteShard *s)
{
    shard_call(s, end_bh, s);
}
