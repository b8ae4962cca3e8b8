/*
 * Handing pages over to another process: what a shard does for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/host-utils.h"
#include "content.h"
#include "shard-handover.h"
#include "sweep.h"

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

/*
 * struct Part - pages of one stripe, for the thread that they are the business
 * of
 */
typedef struct Part {
    RemoteShard *shard;
    uint32_t index;         /* of the first one */
    uint32_t nr;
    HandoverPage *pages;
} Part;

static uint32_t part_index(const Part *part, uint32_t i)
{
    return part->index + (part->pages[i].page - part->pages[0].page);
}

static void call_part(RemotePager *pager, QEMUBHFunc *fn, HandoverPage *pages,
                      uint32_t nr)
{
    Part part = { .nr = nr, .pages = pages };

    part.shard = pager_shard_of(pager, pages->page, &part.index);
    shard_call(part.shard, fn, &part);
}

static void export_bh(void *opaque)
{
    Part *part = opaque;
    RemoteShard *s = part->shard;

    for (uint32_t i = 0; i < part->nr; i++) {
        const Page *page = page_map_get(&s->map, part_index(part, i));

        part->pages[i] = (HandoverPage) {
            .page = part->pages[i].page,
            .place = page_place(s, page),
            .stored = page_has(page, PAGE_STORED),
            .hash = page_hash(page),
            .age = page_age(s, page),
        };
    }
}

void shard_export(RemotePager *pager, HandoverPage *pages, uint32_t nr)
{
    call_part(pager, export_bh, pages, nr);
}

typedef struct Watch {
    RemoteShard *shard;
    unsigned long *changed;
} Watch;

static void watch_bh(void *opaque)
{
    Watch *watch = opaque;

    watch->shard->changed = watch->changed;
}

void shard_watch(RemoteShard *s, unsigned long *changed)
{
    Watch watch = { .shard = s, .changed = changed };

    shard_call(s, watch_bh, &watch);
}

/* The map, at the destination */

/*
 * There may have been something else to say of the page before.  Or the monitor
 * has read it since it was discarded.
 */
static void forget_page(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    if (page->state == PAGE_REMOTE) {
        shard_move(s, index, PAGE_ZERO);
    } else if (page->state != PAGE_ZERO) {
        discard_one(s, index);
    }
    s->adopted -= page_has(page, PAGE_STORED);
    page->flags = 0;
}

static void import_page(RemoteShard *s, uint32_t index,
                        const HandoverPage *from)
{
    Page *page = page_map_get(&s->map, index);

    forget_page(s, index);
    if (from->stored) {
        page_set_stored(page, from->hash);
        s->adopted++;
    }
    if (from->place == HANDOVER_STORE) {
        shard_move(s, index, PAGE_REMOTE);
        page->dropped = s->replacement.drops - (1u << from->age);
    } else if (from->stored) {
        sweep_mark(s, index);
    }
    if (from->place == HANDOVER_SENT && s->pager->fill) {
        fault_fill(s, index);
    }
}

static void import_bh(void *opaque)
{
    Part *part = opaque;

    for (uint32_t i = 0; i < part->nr; i++) {
        import_page(part->shard, part_index(part, i), &part->pages[i]);
    }
}

void shard_import(RemotePager *pager, HandoverPage *pages, uint32_t nr)
{
    call_part(pager, import_bh, pages, nr);
}

/* Another namespace, at the destination */

/*
 * What is in the page map is of the other one, too.  What was never written of
 * it takes no memory, and should not.
 */
static void leave_bh(void *opaque)
{
    RemoteShard *s = opaque;

    sweep_give_up(s);
    remote_store_close(g_steal_pointer(&s->queue));
    for (uint32_t i = 0; i < s->map.nr; i++) {
        if (s->map.pages[i].flags) {
            s->map.pages[i].flags = 0;
        }
    }
    s->adopted = 0;
    g_clear_pointer(&s->peeked, g_array_unref);
    s->peeked = g_array_new(false, false, sizeof(uint32_t));
}

void shard_leave_store(RemoteShard *s)
{
    shard_call(s, leave_bh, s);
}

/* The zeros that were put in place of pages that had not come. */
static void forget_peeked(RemoteShard *s)
{
    for (guint i = 0; i < s->peeked->len; i++) {
        uint32_t index = g_array_index(s->peeked, uint32_t, i);

        madvise(shard_host(s, index), REMOTE_STORE_PAGE_SIZE, MADV_DONTNEED);
    }
    g_array_unref(g_steal_pointer(&s->peeked));
}

typedef struct Enter {
    RemoteShard *shard;
    RemoteStoreQueue *queue;
} Enter;

static void enter_bh(void *opaque)
{
    Enter *enter = opaque;
    RemoteShard *s = enter->shard;

    s->queue = enter->queue;
    remote_store_adopt(s->queue, s->adopted);
    forget_peeked(s);
}

bool shard_enter_store(RemoteShard *s, RemoteStoreRegion *region, Error **errp)
{
    Enter enter = {
        .shard = s,
        .queue = remote_store_open(region, s->ctx, errp),
    };

    if (!enter.queue) {
        return false;
    }
    shard_call(s, enter_bh, &enter);
    return true;
}
