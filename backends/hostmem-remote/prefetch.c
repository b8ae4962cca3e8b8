/*
 * Prefetch: bring pages before somebody waits for them
 *
 * What to bring is said by streams.c and blocks.c.  Here it is done, in batches
 * (batches.c), one for each turn of the event loop, behind whatever somebody
 * waits for and only with room that nobody waits for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/memalign.h"
#include "batches.h"
#include "blocks.h"
#include "prefetch.h"
#include "streams.h"
#include "trace.h"
#include "uffd-page.h"

/* Windows and blocks that wait for their turn; what is beyond is forgotten. */
#define PLANS 8

/*
 * Of the cache, a window or block may take one in so many pages: a quarter of
 * standby, where markers wait until they are reached.  That of a visitor takes
 * half as many: several have to be in the room that replacement.c leaves.
 */
#define WINDOW_DIVISOR 64

/**
 * struct Plan - what to bring
 * @window: the pages that are left
 * @tid: (window) for which thread
 * @probe: page to leave in standby, or -1 for the first that is fetched
 * @visitor: (window) is it one
 * @block: it is a block, not a stream's window
 * @witnessed: the window's witness was fetched, or there is none
 */
typedef struct Plan {
    StreamWindow window;
    uint32_t tid;
    bool visitor;
    bool block;
    bool witnessed;
    int64_t probe;
} Plan;

struct Prefetch {
    RemoteMemoryPrefetch mode;
    Streams streams;
    Blocks blocks;
    unsigned nr_plans;
    Plan plans[PLANS];
};

bool prefetch_init(RemoteShard *s)
{
    Prefetch *p = remote_store_alloc(sizeof(Prefetch));

    s->prefetch = p;
    p->mode = s->pager->prefetch;
    return blocks_init(&p->blocks, s->map.nr);
}

void prefetch_destroy(RemoteShard *s)
{
    if (s->prefetch) {
        blocks_destroy(&s->prefetch->blocks);
        qemu_vfree(s->prefetch);
    }
}

uint64_t prefetch_footprint(const RemoteShard *s)
{
    return blocks_footprint(&s->prefetch->blocks) + sizeof(Prefetch);
}

/* Plans */

static uint32_t window_limit(const RemoteShard *s, bool visitor)
{
    return MIN(MAX(s->budget.target / WINDOW_DIVISOR >> visitor, 1),
               STREAM_PAGES);
}

/* What was fetched of a plan was fetched.  Who counts on more must know. */
static void plan_end(Prefetch *p, const Plan *plan)
{
    if (!plan->block && !plan->witnessed) {
        streams_no_witness(&p->streams, plan->tid, plan->window.witness);
    }
}

static void plan_pop(Prefetch *p)
{
    plan_end(p, p->plans);
    p->nr_plans--;
    memmove(p->plans, p->plans + 1, p->nr_plans * sizeof(Plan));
}

static void plan_add(RemoteShard *s, const Plan *plan)
{
    Prefetch *p = s->prefetch;

    if (p->nr_plans == PLANS) {
        /* It has waited for so long that its pages will have been needed. */
        plan_pop(p);
    }
    trace_remote_memory_prefetch(s->pager->id, plan->window.page,
                                 plan->window.stride, plan->window.nr);
    p->plans[p->nr_plans++] = *plan;
}

void prefetch_set_mode(RemoteShard *s, RemoteMemoryPrefetch mode)
{
    s->prefetch->mode = mode;
    while (s->prefetch->nr_plans) {
        plan_pop(s->prefetch);
    }
}

static void plan_block(RemoteShard *s, uint32_t index, uint32_t tid)
{
    Prefetch *p = s->prefetch;
    unsigned limit = 31 - clz32(window_limit(s, false));
    unsigned order = blocks_order(&p->blocks, index, limit);
    int64_t page = shard_store_page(s, index);
    uint32_t nr = 1u << order;
    Plan plan = {
        .window = {
            .page = page & ~(int64_t)(nr - 1),
            .stride = 1,
            .nr = nr,
            .witness = -1,
        },
        .block = true,
    };

    if (order) {
        plan.probe = blocks_probe(page, order);
        streams_block(&p->streams, tid, plan.window.page, nr);
        plan_add(s, &plan);
    }
}

/* What a visitor does says nothing of the blocks that the guest uses. */
void prefetch_fault(RemoteShard *s, const Waiter *fault)
{
    Prefetch *p = s->prefetch;
    PageState was = fault->was;
    Plan plan = { .tid = fault->tid, .visitor = fault->visitor, .probe = -1 };

    if (p->mode == REMOTE_MEMORY_PREFETCH_OFF || was == PAGE_ZERO ||
        was == PAGE_RESIDENT || was == PAGE_SOURCE) {
        return;
    }
    if (streams_fault(&p->streams, fault->tid,
                      shard_store_page(s, fault->page), p->mode,
                      window_limit(s, fault->visitor), &plan.window)) {
        if (plan.window.nr) {
            plan_add(s, &plan);
        }
    } else if (p->mode == REMOTE_MEMORY_PREFETCH_ADAPTIVE &&
               was == PAGE_REMOTE && !fault->visitor) {
        plan_block(s, fault->page, fault->tid);
    }
}

/* Probes */

static void probe_tells(RemoteShard *s, uint32_t index, bool used)
{
    if (page_has(page_map_get(&s->map, index), PAGE_BLOCK)) {
        blocks_outcome(&s->prefetch->blocks, index, used);
    }
    prefetch_spoilt(s, index);
}

void prefetch_used(RemoteShard *s, uint32_t index)
{
    probe_tells(s, index, true);
    shard_count(&s->stats.probe_hits, 1);
}

void prefetch_no_probe(RemoteShard *s, const Batch *batch, uint64_t page)
{
    if (batch->kind == BATCH_WINDOW) {
        streams_no_witness(&s->prefetch->streams, batch->tid, page);
    }
}

void prefetch_dropped(RemoteShard *s, uint32_t index)
{
    probe_tells(s, index, false);
}

/* A stream that runs into another shard's stripe */

typedef struct HandOver {
    RemoteShard *to;
    Plan plan;
} HandOver;

static void hand_over_bh(void *opaque)
{
    HandOver *h = opaque;
    RemoteShard *s = h->to;

    if (!s->stopping && s->prefetch->mode != REMOTE_MEMORY_PREFETCH_OFF) {
        if (h->plan.tid) {
            streams_handed_over(&s->prefetch->streams, h->plan.tid,
                                &h->plan.window);
        }
        plan_add(s, &h->plan);
        shard_kick(s);
    }
    g_free(h);
}

static void hand_over(RemoteShard *to, const Plan *plan)
{
    HandOver *h = g_new(HandOver, 1);

    *h = (HandOver) { .to = to, .plan = *plan };
    if (!plan->block) {
        /* The other shard has a marker of its own. */
        h->plan.probe = -1;
    }
    aio_bh_schedule_oneshot(to->ctx, hand_over_bh, h);
}

/* Batches */

static void plan_fetch(RemoteShard *s, Batch *batch, Plan *plan,
                       uint32_t index)
{
    int64_t page = plan->window.page;

    if (plan->probe < 0) {
        plan->probe = page;
    }
    if (!plan->block) {
        /* As if it had been waited for: it will hardly be missed. */
        fetch_for(s, index, plan->visitor);
    }
    plan->witnessed |= plan->window.witness == page;
    batch_add(s, batch, index,
              plan->probe == page || plan->window.witness == page);
}

uint32_t prefetch_bring_back(RemoteShard *s, uint32_t index, uint32_t nr,
                             unsigned *runs)
{
    uint32_t slot = s->map.pages[index].slot, n, moved;
    uint32_t most = MIN(nr, BATCH_PAGES);

    for (n = 0; n < most && index + n < s->map.nr; n++) {
        const Page *page = page_map_get(&s->map, index + n);

        if (page->state != PAGE_STANDBY || page->slot != slot + n ||
            page_has(page, PAGE_PROBE) ||
            s->standby.slots[slot + n].state == SLOT_BUSY ||
            (n && shard_stripe_begins(s, index + n))) {
            break;
        }
    }
    if (!n) {
        return 1;
    }
    uffd_page_move(s->uffd, shard_host(s, index), shard_slot_mem(s, slot), n,
                   &moved);
    shard_flushed(s);
    (*runs)++;
    for (uint32_t i = 0; i < moved; i++) {
        standby_set(&s->standby, slot + i, SLOT_EMPTY);
        page_map_get(&s->map, index + i)->flags &= ~PAGE_VISITED;
        shard_move(s, index + i, PAGE_RESIDENT);
    }
    return MAX(moved, 1);
}

/* Look at the next page of a plan.  Returns: how many pages were passed. */
static uint32_t plan_step(RemoteShard *s, Batch *batch, Plan *plan,
                          unsigned *runs)
{
    int64_t page = plan->window.page;
    RemoteShard *owner;
    uint32_t index;

    if (page < 0 || page >= s->pager->size / REMOTE_STORE_PAGE_SIZE) {
        return plan->window.nr;
    }
    owner = pager_shard_of(s->pager, page, &index);
    if (owner != s) {
        hand_over(owner, plan);
        return plan->window.nr;
    }
    switch (page_map_get(&s->map, index)->state) {
    case PAGE_REMOTE:
        if (!shard_take(s, plan->visitor)) {
            return plan->window.nr;
        }
        plan_fetch(s, batch, plan, index);
        return 1;
    case PAGE_STANDBY:
        return plan->block || plan->visitor
               ? 1 : prefetch_bring_back(s, index, plan->window.stride == 1
                                         ? plan->window.nr : 1, runs);
    default:
        return 1;
    }
}

static void batch_fill(RemoteShard *s, Batch *batch, Plan *plan, uint32_t max)
{
    unsigned runs = 0;

    batch_begin(batch, plan->block ? BATCH_BLOCK : BATCH_WINDOW, plan->tid);
    while (plan->window.nr && batch->nr + runs < max) {
        uint32_t n = plan_step(s, batch, plan, &runs);

        plan->window.page += (int64_t)n * plan->window.stride;
        plan->window.nr -= n;
    }
    if (plan->window.stride < 0) {
        batch_turn(batch);
    }
}

bool prefetch_run(RemoteShard *s)
{
    Prefetch *p = s->prefetch;
    uint32_t room = budget_spare(&s->budget);
    Plan *plan = p->plans;
    Batch *batch;

    while (s->failed_ops && p->nr_plans) {
        plan_pop(p);
    }
    batch = batch_idle(s);
    if (!p->nr_plans || !batch || !room || s->frozen || shard_holds_back(s)) {
        return false;
    }
    batch_fill(s, batch, plan, MIN(room, BATCH_PAGES));
    if (!plan->window.nr) {
        plan_pop(p);
    }
    batch_submit(s, batch);
    return p->nr_plans;
}
