/*
 * Handing pages over to another process: what a shard does for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "content.h"
#include "shard-handover.h"

/* Come to rest, and go on */

static void freeze_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->frozen = true;
    shard_retarget(s);
}

static void thaw_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->frozen = false;
    shard_retarget(s);
    shard_kick(s);
}

void shard_freeze(RemoteShard *s)
{
    shard_call(s, freeze_bh, s);
    while (qatomic_read(&s->writing)) {
        g_usleep(SHARD_POLL_US);
    }
}

void shard_thaw(RemoteShard *s)
{
    shard_call(s, thaw_bh, s);
}

static void let_go_bh(void *opaque)
{
    evict_drop(opaque);
}

void shard_let_go(RemoteShard *s)
{
    shard_call(s, let_go_bh, s);
}

/* The map, at the source */

HandoverPlace handover_place(const void *page, bool stored, uint64_t hash)
{
    if (content_is_zero(page)) {
        return HANDOVER_ZERO;
    }
    return stored && content_hash(page) == hash ? HANDOVER_STORE
                                                : HANDOVER_SENT;
}

/* Is there a copy in the store of what is in this slot? */
static HandoverPlace slot_place(RemoteShard *s, const Page *page)
{
    const void *mem = shard_slot_mem(s, page->slot);

    switch (s->standby.slots[page->slot].state) {
    case SLOT_CLEAN:
        return HANDOVER_STORE;
    case SLOT_ZERO:
        return HANDOVER_ZERO;
    default:
        return handover_place(mem, page_has(page, PAGE_STORED),
                              page_hash(page));
    }
}

static HandoverPlace page_place(RemoteShard *s, const Page *page)
{
    switch (page->state) {
    case PAGE_ZERO:
        return HANDOVER_ZERO;
    case PAGE_STANDBY:
        return slot_place(s, page);
    case PAGE_FETCHING:
        return page_has(page, PAGE_GIVEN_BACK) ? HANDOVER_ZERO
                                               : HANDOVER_STORE;
    case PAGE_REMOTE:
        return HANDOVER_STORE;
    case PAGE_RESIDENT:
        return HANDOVER_MAPPED;
    default:
        /* A VM that is still coming does not leave. */
        g_assert_not_reached();
    }
}

/* Pages that are local have been used since all others were dropped. */
static uint8_t page_age(const RemoteShard *s, const Page *page)
{
    uint32_t drops = s->replacement.drops - page->dropped;

    return page->state == PAGE_REMOTE && drops ? 31 - clz32(drops) : 0;
}

static void export_bh(void *opaque)
{
    ShardPages *pages = opaque;
    RemoteShard *s = pages->shard;

    for (uint32_t i = 0; i < pages->nr; i++) {
        const Page *page = page_map_get(&s->map, pages->first + i);

        pages->pages[i] = (HandoverPage) {
            .place = page_place(s, page),
            .stored = page_has(page, PAGE_STORED),
            .hash = page_hash(page),
            .age = page_age(s, page),
        };
    }
}

void shard_export(ShardPages *pages)
{
    shard_call(pages->shard, export_bh, pages);
}

/* The map, at the destination */

static void import_page(RemoteShard *s, uint32_t index,
                        const HandoverPage *from)
{
    Page *page = page_map_get(&s->map, index);

    /* The monitor may have read it since it was discarded. */
    if (page->state != PAGE_ZERO) {
        discard_range(s, index, 1);
    }
    /* What it knew of another namespace is void. */
    page->flags = 0;
    if (from->stored) {
        page_set_stored(page, from->hash);
    }
    if (from->place == HANDOVER_STORE) {
        shard_move(s, index, PAGE_REMOTE);
        page->dropped = s->replacement.drops - (1u << from->age);
    } else if (from->stored) {
        sweep_mark(s, index);
    }
}

static void import_bh(void *opaque)
{
    ShardPages *pages = opaque;
    RemoteShard *s = pages->shard;
    uint64_t stored = 0;

    for (uint32_t i = 0; i < pages->nr; i++) {
        import_page(s, pages->first + i, &pages->pages[i]);
        stored += pages->pages[i].stored;
    }
    remote_store_adopt(s->queue, stored);
}

void shard_import(ShardPages *pages)
{
    shard_call(pages->shard, import_bh, pages);
}

/* Another namespace, at the destination */

static void close_bh(void *opaque)
{
    RemoteShard *s = opaque;

    sweep_give_up(s);
    remote_store_close(g_steal_pointer(&s->queue));
}

void shard_leave_store(RemoteShard *s)
{
    shard_call(s, close_bh, s);
}

bool shard_enter_store(RemoteShard *s, RemoteStoreRegion *region, Error **errp)
{
    /* Nobody needs it before the map is there. */
    s->queue = remote_store_open(region, s->ctx, errp);
    return s->queue;
}
