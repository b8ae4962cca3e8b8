/*
 * A shard's part in recording what the guest works with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "recency.h"
#include "shard-snapshot.h"

/* Entries of the page map to look at in one go; the guest is stopped. */
#define STEPS (1u << 18)

/* What was used */

typedef struct ListUse {
    RemoteShard *shard;
    GArray *pages;
    Recency recency;
    bool end;
} ListUse;

static void list_resident(GArray *pages, const PageMap *map,
                          const PageList *list)
{
    for (uint32_t i = list->youngest; i != PAGE_NONE; i = map->pages[i].prev) {
        g_array_append_val(pages, i);
    }
}

/* From the head of the ring on; what visitors or nobody wants is left out. */
static void list_standby(GArray *pages, const PageMap *map,
                         const Standby *ring)
{
    for (uint64_t pos = ring->head; pos-- > ring->tail; ) {
        uint32_t slot = standby_index(ring, pos);
        uint32_t index = ring->slots[slot].page;
        const Page *page = &map->pages[index];

        if (ring->slots[slot].state != SLOT_EMPTY &&
            ring->slots[slot].state != SLOT_STALE &&
            page->state == PAGE_STANDBY && page->slot == slot &&
            !page_has(page, PAGE_VISITED)) {
            g_array_append_val(pages, index);
        }
    }
}

static void list_local_bh(void *opaque)
{
    ListUse *use = opaque;
    RemoteShard *s = use->shard;

    list_resident(use->pages, &s->map, &s->map.protected);
    list_resident(use->pages, &s->map, &s->map.probation);
    list_standby(use->pages, &s->map, &s->standby);
    recency_begin(&use->recency, s->replacement.drops, s->budget.target);
}

static void list_remote_bh(void *opaque)
{
    ListUse *use = opaque;
    uint32_t steps = STEPS, index;
    RecencyAnswer answer;

    do {
        answer = recency_next(&use->recency, &use->shard->map, &steps, &index);
        use->end = answer == RECENCY_END || !recency_is_known(&use->recency);
        if (answer == RECENCY_PAGE && !use->end) {
            g_array_append_val(use->pages, index);
        }
    } while (answer == RECENCY_PAGE && !use->end);
}

void shard_list_use(RemoteShard *s, GArray *pages)
{
    g_autofree ListUse *use = g_new0(ListUse, 1);

    use->shard = s;
    use->pages = pages;
    shard_call(s, list_local_bh, use);
    while (!use->end) {
        shard_call(s, list_remote_bh, use);
    }
}

/* What is known to have been used */

typedef struct ForgetUse {
    RemoteShard *shard;
    uint32_t from;
} ForgetUse;

static void forget_bh(void *opaque)
{
    ForgetUse *forget = opaque;
    RemoteShard *s = forget->shard;
    uint32_t i = forget->from, end = i + MIN(s->map.nr - i, STEPS);

    while (i < end) {
        uint32_t zeros = page_map_zeros(&s->map, i, end - i);

        if (!zeros) {
            replacement_unused(&s->replacement, &s->map, i);
        }
        i += MAX(zeros, 1);
    }
    s->unused_from = 0;
    forget->from = end;
}

void shard_forget_use(RemoteShard *s)
{
    ForgetUse forget = { .shard = s };

    while (forget.from < s->map.nr) {
        shard_call(s, forget_bh, &forget);
    }
}

typedef struct RecallUse {
    RemoteShard *shard;
    const uint32_t *pages;
    uint32_t nr;
    uint32_t since;
} RecallUse;

static void recall_bh(void *opaque)
{
    RecallUse *recall = opaque;
    RemoteShard *s = recall->shard;

    for (uint32_t i = 0; i < recall->nr; i++) {
        uint32_t index = recall->pages[i], since = recall->since + i;
        PageState state = page_map_get(&s->map, index)->state;

        if (since >= s->budget.target && state != PAGE_REMOTE) {
            continue;
        }
        if (state == PAGE_STANDBY) {
            fault_bring_back(s, index);
        }
        replacement_was_used(&s->replacement, &s->map, index, since);
    }
}

void shard_recall_use(RemoteShard *s, const uint32_t *pages, uint32_t nr,
                      uint32_t since)
{
    RecallUse recall = {
        .shard = s, .pages = pages, .nr = nr, .since = since,
    };

    shard_call(s, recall_bh, &recall);
}
