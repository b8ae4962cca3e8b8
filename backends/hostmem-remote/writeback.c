/*
 * Write-back: see that the content of standby slots is kept by the store
 *
 * Nothing tells whether the guest has written to a page: tracking that costs
 * a fault for each first write.  Instead the content's hash is compared with
 * that of the copy in the store when the page is on its way out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "content.h"
#include "recovery.h"
#include "shard-warm.h"
#include "sweep.h"

static void put_complete(RemoteStoreRequest *req);

void writeback_init(RemoteShard *s)
{
    for (int i = 0; i < SHARD_PUTS; i++) {
        ShardRequest *r = &s->requests[SHARD_FETCHES + i];

        r->shard = s;
        r->req.op = REMOTE_STORE_PUT;
        r->req.complete = put_complete;
        QSLIST_INSERT_HEAD(&s->idle_puts, r, next);
    }
}

SlotState writeback_examine(const Page *page, const void *mem, uint64_t *hash)
{
    if (content_is_zero(mem)) {
        return SLOT_ZERO;
    }
    *hash = content_hash(mem);
    return page_has(page, PAGE_STORED) && page_hash(page) == *hash
           ? SLOT_CLEAN : SLOT_DIRTY;
}

void writeback_spared(RemoteShard *s, SlotState content)
{
    shard_count(content == SLOT_ZERO ? &s->stats.zero_drops
                                     : &s->stats.clean_drops, 1);
}

/* Must the content of this DIRTY slot be put?  If not, it may be dropped. */
static bool put_needed(RemoteShard *s, uint32_t slot, uint64_t *hash)
{
    const Page *page = page_map_get(&s->map, s->standby.slots[slot].page);
    SlotState content = writeback_examine(page, shard_slot_mem(s, slot), hash);

    if (content == SLOT_DIRTY) {
        return true;
    }
    standby_set(&s->standby, slot, content);
    writeback_spared(s, content);
    return false;
}

/*
 * From here until the answer, nobody knows what the store has for this page:
 * it is not STORED.
 */
static RemoteStoreRequest *put_prepare(RemoteShard *s, uint32_t slot,
                                       uint64_t hash)
{
    uint32_t index = s->standby.slots[slot].page;
    ShardRequest *r = shard_request_get(s, &s->idle_puts, index);
    Page *page = page_map_get(&s->map, index);

    r->slot = slot;
    r->hash = hash;
    r->req.fresh = !page_has(page, PAGE_STORED);
    r->req.buf = shard_slot_mem(s, slot);
    page->flags &= ~PAGE_STORED;
    page->flags |= PAGE_BUSY;
    shard_changed(s, index);
    standby_set(&s->standby, slot, SLOT_BUSY);
    return &r->req;
}

/* Is it of use to somebody, at once, that a slot may be dropped? */
static bool room_awaited(const RemoteShard *s)
{
    return !QTAILQ_EMPTY(&s->for_room) || s->nr_parked ||
           budget_shrinking(&s->budget) || warm_awaits_room(s);
}

/*
 * A put that ends lets others go on.  For slots that need none nothing ends:
 * there may not be another occasion to look at them.
 */
void writeback_run(RemoteShard *s)
{
    RemoteStoreRequest *puts[SHARD_PUTS];
    size_t nr = 0;
    bool spared = false;
    uint64_t hash;
    uint32_t slot;

    if (s->frozen) {
        return;
    }
    for (int i = 0; i < SHARD_PUTS && !shard_holds_back(s); i++) {
        if (recovery_waits(s, REMOTE_MEMORY_OPERATION_WRITE) ||
            QSLIST_EMPTY(&s->idle_puts) ||
            !standby_next_dirty(&s->standby, &slot)) {
            break;
        }
        if (put_needed(s, slot, &hash)) {
            puts[nr++] = put_prepare(s, slot, hash);
        } else {
            spared = true;
        }
    }
    if (nr) {
        remote_store_submit(s->queue, puts, nr);
    }
    if (spared && room_awaited(s)) {
        shard_kick(s);
    }
    if (!recovery_waits(s, REMOTE_MEMORY_OPERATION_WRITE) &&
        !shard_holds_back(s) && !QSLIST_EMPTY(&s->idle_puts) &&
        standby_next_dirty(&s->standby, &slot)) {
        shard_kick(s);
    }
}

/*
 * The slot still holds its page, unless that was refaulted or given back
 * meanwhile: then nobody needs the slot any more.
 */
static void put_settle_slot(RemoteShard *s, const ShardRequest *r, bool good)
{
    const Page *page = page_map_get(&s->map, r->page);

    if (page->state != PAGE_STANDBY) {
        standby_set(&s->standby, r->slot, SLOT_STALE);
    } else {
        assert(page->slot == r->slot);
        standby_set(&s->standby, r->slot, good ? SLOT_CLEAN : SLOT_DIRTY);
    }
}

static void put_complete(RemoteStoreRequest *req)
{
    ShardRequest *r = container_of(req, ShardRequest, req);
    RemoteShard *s = r->shard;
    Page *page = page_map_get(&s->map, r->page);
    bool good = req->result == REMOTE_STORE_OK;

    page->flags &= ~PAGE_BUSY;
    put_settle_slot(s, r, good);
    if (good) {
        page_set_stored(page, r->hash);
        shard_changed(s, r->page);
        if (page->state == PAGE_ZERO) {
            sweep_mark(s, r->page);
        }
        shard_count(&s->stats.written, 1);
        recovery_succeeded(s, REMOTE_MEMORY_OPERATION_WRITE);
    } else {
        recovery_failed(s, REMOTE_MEMORY_OPERATION_WRITE, req->result,
                        req->reason);
    }
    shard_request_put(s, &s->idle_puts, r);
    shard_kick(s);
}
