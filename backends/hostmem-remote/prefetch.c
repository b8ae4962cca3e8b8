/*
 * Prefetch: bring pages before somebody waits for them
 *
 * What to bring is said by streams.c and blocks.c.  Here it is done, in small
 * batches, one for each turn of the event loop, behind whatever somebody waits
 * for and only with room that nobody waits for.  A batch is placed when all of
 * it is there: neighbours by one call of the kernel.  But a page that is asked
 * for meanwhile is placed as soon as it comes.
 *
 * Until it is placed a page is FETCHING, like any other that is fetched: it may
 * be asked for, or given back.  A fetch that fails without anybody waiting is
 * no error: the page still is where it was, and who needs it will try again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/memalign.h"
#include "blocks.h"
#include "shard.h"
#include "streams.h"
#include "trace.h"
#include "uffd-page.h"

/* Pages in a batch: a fault that comes meanwhile waits for no more. */
#define BATCH_PAGES 16
/* Enough of them for one window of a stream and the next. */
#define BATCHES 8
/* Windows and blocks that wait for their turn; what is beyond is forgotten. */
#define PLANS 8

/*
 * Of the cache, a window or block may take one in so many pages: a quarter of
 * standby, where markers wait until they are reached.
 */
#define WINDOW_DIVISOR 64

/**
 * struct Plan - what to bring
 * @window: the pages that are left
 * @tid: (window) for which thread
 * @probe: page to leave in standby, or -1 for the first that is fetched
 * @block: it is a block, not a stream's window
 * @witnessed: the window's witness was fetched, or there is none
 */
typedef struct Plan {
    StreamWindow window;
    uint32_t tid;
    bool block;
    bool witnessed;
    int64_t probe;
} Plan;

/**
 * struct Batch - pages that are fetched together
 * @nr: how many
 * @moves: pages, or runs of them, that were in standby on the way
 * @pending: how many have not been answered; idle if 0
 * @ready: requests whose content came, and is not placed yet
 * @probes: requests for pages to be left in standby
 * @block: and whether it is the probe of a block
 * @tid: or of which thread's stream
 * @reqs: the requests
 */
typedef struct Batch {
    unsigned nr;
    unsigned moves;
    unsigned pending;
    uint32_t ready;
    uint32_t probes;
    bool block;
    uint32_t tid;
    ShardRequest reqs[BATCH_PAGES];
} Batch;

struct Prefetch {
    RemoteMemoryPrefetch mode;
    Streams streams;
    Blocks blocks;
    unsigned nr_plans;
    Plan plans[PLANS];
    uint8_t *mem;
    Batch batches[BATCHES];
};

static void prefetch_complete(RemoteStoreRequest *req);

bool prefetch_init(RemoteShard *s)
{
    Prefetch *p = remote_store_alloc(sizeof(Prefetch));

    s->prefetch = p;
    p->mode = s->pager->prefetch;
    p->mem = qemu_try_memalign(REMOTE_STORE_PAGE_SIZE, BATCHES * BATCH_PAGES *
                               REMOTE_STORE_PAGE_SIZE);
    for (int i = 0; i < BATCHES * BATCH_PAGES; i++) {
        ShardRequest *r = &p->batches[i / BATCH_PAGES].reqs[i % BATCH_PAGES];

        r->shard = s;
        r->batch = &p->batches[i / BATCH_PAGES];
        r->req.op = REMOTE_STORE_GET;
        r->req.background = true;
        r->req.lend = true;
        r->req.buf = p->mem + (size_t)i * REMOTE_STORE_PAGE_SIZE;
        r->req.complete = prefetch_complete;
    }
    return p->mem && blocks_init(&p->blocks, s->map.nr);
}

void prefetch_destroy(RemoteShard *s)
{
    if (s->prefetch) {
        blocks_destroy(&s->prefetch->blocks);
        qemu_vfree(s->prefetch->mem);
        qemu_vfree(s->prefetch);
    }
}

uint64_t prefetch_footprint(const RemoteShard *s)
{
    return blocks_footprint(&s->prefetch->blocks) + sizeof(Prefetch);
}

/* Plans */

static uint32_t window_limit(const RemoteShard *s)
{
    return MIN(MAX(s->budget.target / WINDOW_DIVISOR, 1), STREAM_PAGES);
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
    unsigned limit = 31 - clz32(window_limit(s));
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

void prefetch_fault(RemoteShard *s, uint32_t index, uint32_t tid,
                    PageState was)
{
    Prefetch *p = s->prefetch;
    Plan plan = { .tid = tid, .probe = -1 };

    if (p->mode == REMOTE_MEMORY_PREFETCH_OFF || was == PAGE_ZERO ||
        was == PAGE_RESIDENT || was == PAGE_SOURCE) {
        return;
    }
    if (streams_fault(&p->streams, tid, shard_store_page(s, index), p->mode,
                      window_limit(s), &plan.window)) {
        if (plan.window.nr) {
            plan_add(s, &plan);
        }
    } else if (p->mode == REMOTE_MEMORY_PREFETCH_ADAPTIVE &&
               was == PAGE_REMOTE) {
        plan_block(s, index, tid);
    }
}

/* Probes */

void prefetch_used(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    if (page_has(page, PAGE_BLOCK)) {
        blocks_outcome(&s->prefetch->blocks, index, true);
    }
    page->flags &= ~(PAGE_PROBE | PAGE_BLOCK);
    shard_count(&s->stats.probe_hits, 1);
}

void prefetch_dropped(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    if (page_has(page, PAGE_BLOCK)) {
        blocks_outcome(&s->prefetch->blocks, index, false);
    }
    page->flags &= ~(PAGE_PROBE | PAGE_BLOCK);
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

static Batch *idle_batch(Prefetch *p)
{
    for (int i = 0; i < BATCHES; i++) {
        if (!p->batches[i].pending) {
            return &p->batches[i];
        }
    }
    return NULL;
}

static void batch_add(RemoteShard *s, Batch *batch, Plan *plan,
                      uint32_t index)
{
    ShardRequest *r = &batch->reqs[batch->nr];

    r->page = index;
    r->req.page = plan->window.page;
    if (plan->probe < 0) {
        plan->probe = plan->window.page;
    }
    if (plan->probe == plan->window.page ||
        plan->window.witness == plan->window.page) {
        batch->probes |= 1u << batch->nr;
    }
    plan->witnessed |= plan->window.witness == plan->window.page;
    batch->nr++;
    if (!plan->block) {
        /* As if it had been waited for: it will hardly be missed. */
        replacement_fetched(&s->replacement, page_map_get(&s->map, index),
                            s->budget.target);
    }
    shard_move(s, index, PAGE_FETCHING);
    s->fetching++;
    s->prefetching++;
}

/*
 * Pages of a stream that are in standby are moved back, with as many of the
 * neighbours as follow in both places.  Returns: how many pages.
 */
static uint32_t bring_back(RemoteShard *s, Batch *batch,
                           const StreamWindow *window, uint32_t index)
{
    uint32_t slot = s->map.pages[index].slot, n, moved;
    uint32_t most = window->stride == 1 ? MIN(window->nr, BATCH_PAGES) : 1;

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
    batch->moves++;
    for (uint32_t i = 0; i < moved; i++) {
        standby_set(&s->standby, slot + i, SLOT_EMPTY);
        shard_move(s, index + i, PAGE_RESIDENT);
    }
    return MAX(moved, 1);
}

/* Look at the next page of a plan.  Returns: how many pages were passed. */
static uint32_t plan_step(RemoteShard *s, Batch *batch, Plan *plan)
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
        if (!budget_take(&s->budget)) {
            return plan->window.nr;
        }
        batch_add(s, batch, plan, index);
        return 1;
    case PAGE_STANDBY:
        return plan->block ? 1 : bring_back(s, batch, &plan->window, index);
    default:
        return 1;
    }
}

/* Downwards is where a plan goes; pages are placed, and evicted, upwards. */
static void batch_turn(Batch *batch)
{
    uint32_t probes = 0;

    for (unsigned i = 0, k = batch->nr - 1; i < batch->nr; i++, k--) {
        ShardRequest *a = &batch->reqs[i], *b = &batch->reqs[k];

        probes |= (batch->probes >> k & 1) << i;
        if (i < k) {
            uint32_t index = a->page;
            uint64_t page = a->req.page;

            a->page = b->page;
            a->req.page = b->req.page;
            b->page = index;
            b->req.page = page;
        }
    }
    batch->probes = probes;
}

static void batch_fill(RemoteShard *s, Batch *batch, Plan *plan, uint32_t max)
{
    batch->nr = 0;
    batch->moves = 0;
    batch->ready = 0;
    batch->probes = 0;
    batch->block = plan->block;
    batch->tid = plan->tid;
    while (plan->window.nr && batch->nr + batch->moves < max) {
        uint32_t n = plan_step(s, batch, plan);

        plan->window.page += (int64_t)n * plan->window.stride;
        plan->window.nr -= n;
    }
    if (plan->window.stride < 0) {
        batch_turn(batch);
    }
}

static void batch_submit(RemoteShard *s, Batch *batch)
{
    RemoteStoreRequest *reqs[BATCH_PAGES];

    for (unsigned i = 0; i < batch->nr; i++) {
        reqs[i] = &batch->reqs[i].req;
    }
    batch->pending = batch->nr;
    shard_in_flight(s, batch->nr);
    if (batch->nr) {
        s->lingered = true;
        remote_store_submit(s->queue, reqs, batch->nr);
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
    batch = idle_batch(p);
    if (!p->nr_plans || !batch || !room || shard_holds_back(s)) {
        return false;
    }
    batch_fill(s, batch, plan, MIN(room, BATCH_PAGES));
    if (!plan->window.nr) {
        plan_pop(p);
    }
    batch_submit(s, batch);
    return p->nr_plans;
}

/* What comes */

/* May the page be placed with others, at leisure? */
static bool request_waits(const Batch *batch, unsigned i)
{
    const ShardRequest *r = &batch->reqs[i];

    return batch->ready & (1u << i) &&
           !page_has(page_map_get(&r->shard->map, r->page), PAGE_GIVEN_BACK);
}

/* Requests from @i on whose pages are neighbours, in the guest and here. */
static unsigned run_length(const RemoteShard *s, const Batch *batch,
                           unsigned i)
{
    const ShardRequest *first = &batch->reqs[i];
    unsigned n;

    for (n = 1; i + n < batch->nr; n++) {
        const ShardRequest *r = first + n;

        if (!request_waits(batch, i + n) ||
            batch->probes & (1u << (i + n)) ||
            r->page != first->page + n ||
            shard_stripe_begins(s, r->page) ||
            r->req.data != first->req.data + n * REMOTE_STORE_PAGE_SIZE) {
            break;
        }
    }
    return n;
}

static void page_arrived(RemoteShard *s, Batch *batch, unsigned i,
                         PageState to)
{
    uint32_t index = batch->reqs[i].page;

    batch->ready &= ~(1u << i);
    s->fetching--;
    s->prefetching--;
    shard_move(s, index, to);
    shard_count(&s->stats.fetched, 1);
    shard_count(&s->stats.prefetched, 1);
}

static unsigned place_run(RemoteShard *s, Batch *batch, unsigned i)
{
    unsigned n = run_length(s, batch, i);
    uint32_t index = batch->reqs[i].page;
    uint32_t copied;

    uffd_page_copy_run(s->uffd, shard_host(s, index),
                       batch->reqs[i].req.data, n, &copied);
    for (unsigned k = 0; k < copied; k++) {
        page_arrived(s, batch, i + k, PAGE_RESIDENT);
        fault_arrived(s, index + k);
    }
    return copied;
}

/* The probe is clean: the store has it. */
static bool place_probe(RemoteShard *s, Batch *batch, unsigned i)
{
    ShardRequest *r = &batch->reqs[i];
    Page *page = page_map_get(&s->map, r->page);
    uint32_t slot = standby_index(&s->standby, s->standby.head);

    if (fault_awaited(s, r->page) || !standby_room(&s->standby) ||
        uffd_page_copy(s->uffd, shard_slot_mem(s, slot), r->req.data)) {
        streams_no_witness(&s->prefetch->streams, batch->tid, r->req.page);
        return false;
    }
    page_arrived(s, batch, i, PAGE_STANDBY);
    page->slot = standby_push(&s->standby, r->page);
    standby_set(&s->standby, slot, SLOT_CLEAN);
    page->flags |= PAGE_PROBE | (batch->block ? PAGE_BLOCK : 0);
    shard_count(&s->stats.probes, 1);
    return true;
}

/*
 * Placed by itself, because somebody waits for it; or not at all, which leaves
 * room for others.
 */
static void page_settle(RemoteShard *s, Batch *batch, unsigned i)
{
    RemoteStoreRequest *req = &batch->reqs[i].req;

    batch->ready &= ~(1u << i);
    s->prefetching--;
    fetch_settle(s, &batch->reqs[i]);
    g_clear_pointer(&req->reason, g_free);
    shard_kick(s);
}

static void batch_place(RemoteShard *s, Batch *batch)
{
    unsigned i = 0, n;

    while (i < batch->nr) {
        if (!(batch->ready & (1u << i))) {
            n = 1;
        } else if (batch->probes & (1u << i) && request_waits(batch, i) &&
                   place_probe(s, batch, i)) {
            n = 1;
        } else {
            n = request_waits(batch, i) ? place_run(s, batch, i) : 0;
            if (!n) {
                page_settle(s, batch, i);
                n = 1;
            }
        }
        i += n;
    }
}

bool prefetch_wanted(RemoteShard *s, uint32_t index)
{
    for (int b = 0; b < BATCHES; b++) {
        Batch *batch = &s->prefetch->batches[b];

        for (unsigned i = 0; batch->pending && i < batch->nr; i++) {
            if (batch->ready & (1u << i) && batch->reqs[i].page == index) {
                page_settle(s, batch, i);
                return true;
            }
        }
    }
    return false;
}

static void prefetch_complete(RemoteStoreRequest *req)
{
    ShardRequest *r = container_of(req, ShardRequest, req);
    RemoteShard *s = r->shard;
    Batch *batch = r->batch;
    unsigned i = r - batch->reqs;

    if (req->result == REMOTE_STORE_OK && !fault_awaited(s, r->page) &&
        fetch_verify(s, r)) {
        batch->ready |= 1u << i;
    } else {
        page_settle(s, batch, i);
    }
    shard_in_flight(s, -1);
    if (batch->pending == 1) {
        batch_place(s, batch);
        shard_kick(s);
    }
    batch->pending--;
}
