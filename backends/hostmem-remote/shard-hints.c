/*
 * A shard's part in what the guest says of its pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "batches.h"
#include "prefetch.h"
#include "qemu/memalign.h"
#include "shard-hints.h"
#include "trace.h"

/* Some times as many as the device's ring: it is emptied at once. */
#define RANGES 1024
/* Entries of the page map to look at while others wait: 10 us or so. */
#define STEPS 1024
/* The other batches are left to streams. */
#define MAX_BATCHES (BATCHES / 2)

typedef struct HintRange {
    uint32_t first;
    uint32_t nr;
} HintRange;

/* A ring: @nr ranges from @head on. */
typedef struct HintQueue {
    unsigned head;
    unsigned nr;
    HintRange ranges[RANGES];
} HintQueue;

struct ShardHints {
    HintQueue willneed;
    HintQueue cold;
};

/* Queues */

static HintRange *queue_first(HintQueue *q)
{
    return &q->ranges[q->head];
}

static void queue_pop(HintQueue *q)
{
    q->head = (q->head + 1) % RANGES;
    q->nr--;
}

static void queue_push(HintQueue *q, HintRange range)
{
    if (q->nr == RANGES) {
        queue_pop(q);
    }
    q->ranges[(q->head + q->nr++) % RANGES] = range;
}

/* So many pages of the first range were seen to. */
static void queue_pass(HintQueue *q, uint32_t nr)
{
    HintRange *range = queue_first(q);

    range->first += nr;
    range->nr -= nr;
    if (!range->nr) {
        queue_pop(q);
    }
}

/* What comes */

typedef struct HintPost {
    RemoteShard *shard;
    RemoteMemoryHint hint;
    HintRange range;
} HintPost;

static void post_bh(void *opaque)
{
    g_autofree HintPost *post = opaque;
    RemoteShard *s = post->shard;

    if (s->stopping) {
        return;
    }
    if (!s->hints) {
        s->hints = remote_store_alloc(sizeof(ShardHints));
    }
    trace_remote_memory_hint(s->pager->id,
                             shard_store_page(s, post->range.first),
                             post->hint, post->range.nr);
    queue_push(post->hint == REMOTE_MEMORY_HINT_COLD ? &s->hints->cold
                                                     : &s->hints->willneed,
               post->range);
    shard_kick(s);
}

void hints_post(RemoteShard *s, RemoteMemoryHint hint, uint32_t first,
                uint32_t nr)
{
    HintPost *post = g_new(HintPost, 1);

    assert(nr && first < s->map.nr && nr <= s->map.nr - first);
    *post = (HintPost) {
        .shard = s, .hint = hint, .range = { .first = first, .nr = nr },
    };
    aio_bh_schedule_oneshot(s->ctx, post_bh, post);
}

void hints_destroy(RemoteShard *s)
{
    qemu_vfree(s->hints);
}

/* What is done */

static bool cold_run(RemoteShard *s, HintQueue *q)
{
    for (uint32_t steps = STEPS; q->nr && steps; steps--) {
        uint32_t index = queue_first(q)->first;

        if (page_map_get(&s->map, index)->state == PAGE_RESIDENT) {
            page_map_yield(&s->map, index);
        }
        queue_pass(q, 1);
    }
    return q->nr;
}

/*
 * See to the first page of the queue, and to those beyond if that is as easy.
 * Returns: how many pages, or 0 if there is no room.
 */
static uint32_t willneed_step(RemoteShard *s, Batch *batch,
                              const HintRange *range, unsigned *runs)
{
    uint32_t index = range->first;
    const Page *page = page_map_get(&s->map, index);

    switch (page->state) {
    case PAGE_REMOTE:
        if (!shard_take(s, false)) {
            return 0;
        }
        fetch_for(s, index, false);
        batch_add(s, batch, index, false);
        return 1;
    case PAGE_STANDBY:
        return prefetch_bring_back(s, index, range->nr, runs);
    case PAGE_RESIDENT:
        if (page_has(page, PAGE_VISITED)) {
            page_map_claim(&s->map, index);
        }
        return 1;
    default:
        return 1;
    }
}

static void willneed_fill(RemoteShard *s, Batch *batch, HintQueue *q,
                          uint32_t max)
{
    unsigned runs = 0;

    batch_begin(batch, BATCH_HINT, 0);
    for (uint32_t steps = STEPS;
         q->nr && steps && batch->nr + runs < max; steps--) {
        uint32_t n = willneed_step(s, batch, queue_first(q), &runs);

        if (!n) {
            break;
        }
        queue_pass(q, n);
    }
}

static bool willneed_run(RemoteShard *s, HintQueue *q)
{
    uint32_t room = budget_spare(&s->budget);
    Batch *batch;

    if (s->failed_ops) {
        /* As any other prefetch. */
        q->nr = 0;
    }
    if (!q->nr || !room || s->frozen || shard_holds_back(s) ||
        batches_busy(s, BATCH_HINT) >= MAX_BATCHES) {
        return false;
    }
    batch = batch_idle(s);
    if (!batch) {
        return false;
    }
    willneed_fill(s, batch, q, MIN(room, BATCH_PAGES));
    batch_submit(s, batch);
    return q->nr;
}

bool hints_run(RemoteShard *s)
{
    ShardHints *h = s->hints;
    bool again;

    if (!h) {
        return false;
    }
    again = cold_run(s, &h->cold);
    return willneed_run(s, &h->willneed) || again;
}
