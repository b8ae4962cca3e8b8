/*
 * Fetches: get remote pages, verify and place them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "content.h"
#include "recovery.h"
#include "shard.h"
#include "sweep.h"
#include "uffd-page.h"

static void fetch_complete(RemoteStoreRequest *req);

bool fetch_init(RemoteShard *s)
{
    s->fetch_mem = qemu_try_memalign(REMOTE_STORE_PAGE_SIZE,
                                     SHARD_FETCHES * REMOTE_STORE_PAGE_SIZE);
    if (!s->fetch_mem) {
        return false;
    }
    for (int i = 0; i < SHARD_FETCHES; i++) {
        ShardRequest *r = &s->requests[i];

        r->shard = s;
        r->req.op = REMOTE_STORE_GET;
        r->req.lend = true;
        r->req.buf = s->fetch_mem + i * REMOTE_STORE_PAGE_SIZE;
        r->req.complete = fetch_complete;
        QSLIST_INSERT_HEAD(&s->idle_fetches, r, next);
    }
    return true;
}

void fetch_for(RemoteShard *s, uint32_t index, bool visitor)
{
    Page *page = page_map_get(&s->map, index);

    if (visitor) {
        page->flags |= PAGE_VISITED;
    } else {
        page->flags &= ~PAGE_VISITED;
        replacement_fetched(&s->replacement, page, s->budget.target);
    }
}

bool fetch_start(RemoteShard *s, const Waiter *w)
{
    ShardRequest *r = QSLIST_FIRST(&s->idle_fetches);

    if (!r || shard_holds_back(s) ||
        s->fetching - s->prefetching >= budget_fetch_depth(&s->budget) ||
        !shard_take(s, w->visitor)) {
        return false;
    }
    fetch_for(s, w->page, w->visitor);
    shard_request_get(s, &s->idle_fetches, w->page);
    shard_move(s, w->page, PAGE_FETCHING);
    r->started = s->clock;
    histogram_add(&s->stats.times.stages[FAULT_STAGE_QUEUE],
                  s->clock - w->since);
    s->fetching++;
    s->batch[s->nr_batch++] = &r->req;
    return true;
}

void fetch_submit(RemoteShard *s)
{
    unsigned nr = s->nr_batch;

    if (nr) {
        s->nr_batch = 0;
        remote_store_submit(s->queue, s->batch, nr);
    }
}

bool fetch_verify(RemoteShard *s, ShardRequest *r)
{
    const Page *page = page_map_get(&s->map, r->page);

    if (r->req.result == REMOTE_STORE_OK && s->pager->verify &&
        content_hash(r->req.data) != page_hash(page)) {
        r->req.result = REMOTE_STORE_CORRUPT;
        r->req.reason = g_strdup_printf("page %" PRIu64 " does not have the "
                                        "content that was written",
                                        r->req.page);
    }
    return r->req.result == REMOTE_STORE_OK;
}

static void fetch_place(RemoteShard *s, ShardRequest *r)
{
    int ret = uffd_page_copy(s->uffd, shard_host(s, r->page), r->req.data);
    if (ret) {
        r->req.result = REMOTE_STORE_FAILED;
        r->req.reason = g_strdup_printf("cannot place page %" PRIu64
                                        " in guest RAM: %s", r->req.page,
                                        strerror(-ret));
    }
}

/* The page has been given back meanwhile: whatever came is void. */
static void fetch_void(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    page->flags &= ~PAGE_GIVEN_BACK;
    shard_move(s, index, PAGE_ZERO);
    sweep_mark(s, index);
    budget_release(&s->budget);
    fault_not_arrived(s, index);
}

/* That a page cannot be had is of interest to those who wait for it. */
static void fetch_failed(RemoteShard *s, ShardRequest *r)
{
    shard_move(s, r->page, PAGE_REMOTE);
    budget_release(&s->budget);
    if (r->req.background && !fault_awaited(s, r->page)) {
        shard_count(&s->stats.errors, 1);
        return;
    }
    recovery_failed(s, REMOTE_MEMORY_OPERATION_READ, r->req.result,
                    r->req.reason);
    fault_not_arrived(s, r->page);
}

void fetch_count(RemoteShard *s, uint32_t index)
{
    shard_count(&s->stats.fetched, 1);
    if (page_has(page_map_get(&s->map, index), PAGE_VISITED)) {
        shard_count(&s->stats.visited, 1);
    }
}

/* The RAM is going away, and so are those who may have waited for it. */
static void fetch_too_late(RemoteShard *s, uint32_t index)
{
    shard_move(s, index, PAGE_REMOTE);
    budget_release(&s->budget);
}

void fetch_settle(RemoteShard *s, ShardRequest *r)
{
    s->fetching--;
    if (s->stopping) {
        fetch_too_late(s, r->page);
        return;
    }
    if (page_has(page_map_get(&s->map, r->page), PAGE_GIVEN_BACK)) {
        fetch_void(s, r->page);
        return;
    }
    if (fetch_verify(s, r)) {
        fetch_place(s, r);
    }
    if (r->req.result == REMOTE_STORE_OK) {
        shard_move(s, r->page, PAGE_RESIDENT);
        fetch_count(s, r->page);
        if (!page_has(page_map_get(&s->map, r->page), PAGE_VISITED)) {
            shard_count(&s->stats.awaited, 1);
        }
        fault_arrived(s, r->page);
        recovery_succeeded(s, REMOTE_MEMORY_OPERATION_READ);
    } else {
        fetch_failed(s, r);
    }
}

/*
 * Is there something that could go on now?  Else a way through the event loop
 * is saved, for each fetch.
 */
static bool others_wait(const RemoteShard *s)
{
    return !QTAILQ_EMPTY(&s->for_room) || s->nr_parked || s->failed_ops ||
           budget_excess(&s->budget) || budget_shrinking(&s->budget);
}

static void fetch_complete(RemoteStoreRequest *req)
{
    ShardRequest *r = container_of(req, ShardRequest, req);
    RemoteShard *s = r->shard;
    Histogram *stages = s->stats.times.stages;
    bool kick = others_wait(s);
    int64_t came = shard_look_at_clock(s);

    histogram_add(&stages[FAULT_STAGE_STORE], came - r->started);
    fetch_settle(s, r);
    /* Whoever waited was answered just now. */
    histogram_add(&stages[FAULT_STAGE_PLACE], s->clock - came);
    shard_request_put(s, &s->idle_fetches, r);
    if (kick || others_wait(s)) {
        shard_kick(s);
    }
}
