/*
 * Sweeping: discard copies in the store that nobody needs
 *
 * A page that became zero, or that the guest gave back, may have left a copy
 * in the store.  That is harmless, so it is cleared away at leisure: a map
 * with one bit for 512 pages says where to look.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "recovery.h"
#include "shard.h"
#include "sweep.h"
#include "trace.h"

#define CHUNK_PAGES 512

static void discard_complete(RemoteStoreRequest *req);

static size_t nr_chunks(const RemoteShard *s)
{
    return DIV_ROUND_UP(s->map.nr, CHUNK_PAGES);
}

bool sweep_init(RemoteShard *s)
{
    for (int i = 0; i < SHARD_DISCARDS; i++) {
        ShardRequest *r = &s->requests[SHARD_FETCHES + SHARD_PUTS + i];

        r->shard = s;
        r->req.op = REMOTE_STORE_DISCARD;
        r->req.complete = discard_complete;
        QSLIST_INSERT_HEAD(&s->idle_discards, r, next);
    }
    s->garbage = bitmap_try_new(nr_chunks(s));
    return s->garbage;
}

static void mark_chunk(RemoteShard *s, size_t chunk)
{
    if (!test_and_set_bit(chunk, s->garbage)) {
        qatomic_set(&s->nr_garbage, s->nr_garbage + 1);
    }
}

static void unmark_chunk(RemoteShard *s, size_t chunk)
{
    if (test_and_clear_bit(chunk, s->garbage)) {
        qatomic_set(&s->nr_garbage, s->nr_garbage - 1);
    }
}

void sweep_mark(RemoteShard *s, uint32_t index)
{
    if (page_has(page_map_get(&s->map, index), PAGE_STORED)) {
        mark_chunk(s, index / CHUNK_PAGES);
    }
}

void sweep_mark_all(RemoteShard *s)
{
    for (size_t chunk = 0; chunk < nr_chunks(s); chunk++) {
        mark_chunk(s, chunk);
    }
}

void sweep_give_up(RemoteShard *s)
{
    bitmap_zero(s->garbage, nr_chunks(s));
    qatomic_set(&s->nr_garbage, 0);
}

/* Is this page's copy garbage?  All are, once the shard has come to rest. */
static bool is_garbage(const RemoteShard *s, const Page *page)
{
    return page_has(page, PAGE_STORED) &&
           (page->state == PAGE_ZERO || s->stopping);
}

static RemoteStoreRequest *discard_prepare(RemoteShard *s, uint32_t index)
{
    ShardRequest *r = shard_request_get(s, &s->idle_discards, index);
    Page *page = page_map_get(&s->map, index);

    page->flags &= ~PAGE_STORED;
    page->flags |= PAGE_BUSY;
    shard_changed(s, index);
    return &r->req;
}

/* Submit what is garbage in a chunk.  Returns: whether that was all. */
static bool sweep_chunk(RemoteShard *s, size_t chunk)
{
    RemoteStoreRequest *reqs[SHARD_DISCARDS];
    uint64_t index = (uint64_t)chunk * CHUNK_PAGES;
    uint64_t end = MIN(index + CHUNK_PAGES, s->map.nr);
    size_t nr = 0;

    for (; index < end; index++) {
        if (is_garbage(s, page_map_get(&s->map, index))) {
            if (QSLIST_EMPTY(&s->idle_discards)) {
                break;
            }
            reqs[nr++] = discard_prepare(s, index);
        }
    }
    if (nr) {
        remote_store_submit(s->queue, reqs, nr);
    }
    return index == end;
}

bool sweep_run(RemoteShard *s)
{
    size_t chunk;

    if (!s->nr_garbage || QSLIST_EMPTY(&s->idle_discards) ||
        shard_holds_back(s) || s->frozen ||
        recovery_waits(s, REMOTE_MEMORY_OPERATION_WRITE)) {
        return false;
    }
    chunk = find_first_bit(s->garbage, nr_chunks(s));
    if (chunk < nr_chunks(s) && sweep_chunk(s, chunk)) {
        unmark_chunk(s, chunk);
    }
    return s->nr_garbage && !QSLIST_EMPTY(&s->idle_discards);
}

/*
 * If it failed, the copy is there or not: nobody relies on it any more.  At
 * the end it is a sign not to wait for the rest.
 */
static void discard_complete(RemoteStoreRequest *req)
{
    ShardRequest *r = container_of(req, ShardRequest, req);
    RemoteShard *s = r->shard;

    page_map_get(&s->map, r->page)->flags &= ~PAGE_BUSY;
    if (req->result != REMOTE_STORE_OK) {
        shard_count(&s->stats.errors, 1);
        trace_remote_memory_error(s->pager->id, req->page, "discard",
                                  req->reason ?: "");
        if (s->stopping) {
            sweep_give_up(s);
        }
    }
    shard_request_put(s, &s->idle_discards, r);
    shard_kick(s);
}
