/*
 * Batches: pages that are fetched together, ahead of need
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "prefetch.h"
#include "qemu/memalign.h"
#include "shard-warm.h"
#include "uffd-page.h"

struct Batches {
    uint8_t *mem;
    Batch batches[BATCHES];
};

static void batch_complete(RemoteStoreRequest *req);

bool batches_init(RemoteShard *s)
{
    Batches *b = remote_store_alloc(sizeof(Batches));

    s->batches = b;
    b->mem = qemu_try_memalign(REMOTE_STORE_PAGE_SIZE, BATCHES * BATCH_PAGES *
                               REMOTE_STORE_PAGE_SIZE);
    for (int i = 0; i < BATCHES * BATCH_PAGES; i++) {
        ShardRequest *r = &b->batches[i / BATCH_PAGES].reqs[i % BATCH_PAGES];

        r->shard = s;
        r->batch = &b->batches[i / BATCH_PAGES];
        r->req.op = REMOTE_STORE_GET;
        r->req.background = true;
        r->req.lend = true;
        r->req.buf = b->mem + (size_t)i * REMOTE_STORE_PAGE_SIZE;
        r->req.complete = batch_complete;
    }
    return b->mem;
}

void batches_destroy(RemoteShard *s)
{
    if (s->batches) {
        qemu_vfree(s->batches->mem);
        qemu_vfree(s->batches);
    }
}

uint64_t batches_footprint(void)
{
    return sizeof(Batches);
}

/* What goes */

Batch *batch_idle(RemoteShard *s)
{
    for (int i = 0; i < BATCHES; i++) {
        if (!s->batches->batches[i].pending) {
            return &s->batches->batches[i];
        }
    }
    return NULL;
}

unsigned batches_busy(const RemoteShard *s, BatchKind kind)
{
    unsigned busy = 0;

    for (int i = 0; i < BATCHES; i++) {
        const Batch *batch = &s->batches->batches[i];

        busy += batch->pending && batch->kind == kind;
    }
    return busy;
}

void batch_begin(Batch *batch, BatchKind kind, uint32_t tid)
{
    batch->nr = 0;
    batch->ready = 0;
    batch->probes = 0;
    batch->kind = kind;
    batch->tid = tid;
}

void batch_add(RemoteShard *s, Batch *batch, uint32_t index, bool probe)
{
    ShardRequest *r = &batch->reqs[batch->nr];

    r->page = index;
    r->req.page = shard_store_page(s, index);
    batch->probes |= (uint32_t)probe << batch->nr;
    batch->nr++;
    shard_move(s, index, PAGE_FETCHING);
    s->fetching++;
    s->prefetching++;
}

void batch_turn(Batch *batch)
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

void batch_submit(RemoteShard *s, Batch *batch)
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

/* What comes */

/* May the page be placed with others, at leisure? */
static bool request_waits(const Batch *batch, unsigned i)
{
    const ShardRequest *r = &batch->reqs[i];

    return batch->ready & (1u << i) && !r->shard->stopping &&
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
    fetch_count(s, index);
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
    if (batch->kind == BATCH_WARM) {
        warm_placed(s, index, copied);
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
        prefetch_no_probe(s, batch, r->req.page);
        return false;
    }
    page_arrived(s, batch, i, PAGE_STANDBY);
    page->slot = standby_push(&s->standby, r->page);
    standby_set(&s->standby, slot, SLOT_CLEAN);
    page->flags |= PAGE_PROBE | (batch->kind == BATCH_BLOCK ? PAGE_BLOCK : 0);
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
    if (batch->kind == BATCH_WARM) {
        warm_settled(s, req->result == REMOTE_STORE_OK);
    }
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

bool batches_wanted(RemoteShard *s, uint32_t index)
{
    for (int b = 0; b < BATCHES; b++) {
        Batch *batch = &s->batches->batches[b];

        for (unsigned i = 0; batch->pending && i < batch->nr; i++) {
            if (batch->ready & (1u << i) && batch->reqs[i].page == index) {
                page_settle(s, batch, i);
                return true;
            }
        }
    }
    return false;
}

static void batch_complete(RemoteStoreRequest *req)
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
