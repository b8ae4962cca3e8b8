/*
 * What the guest works with, in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/cpu-common.h"
#include "exec/ramblock.h"
#include "migration/ram.h"
#include "migration/vmstate.h"
#include "pagers.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "shard-snapshot.h"
#include "snapshot.h"
#include "working-set.h"

#define SECTION "remote-memory-working-set"

/* Pages of one shard that are taken at a time when their lists are merged. */
#define MERGE_PAGES 32

/*
 * No more than that is recorded of one backend, 256 GiB, so that the section is
 * far from 4 GiB.
 */
#define MAX_PAGES (1u << 26)
#define MAX_SIZE (1u << 30)

/*
 * The section, while it is saved or loaded.
 * @size: bytes of @data
 * @data: see working-set.h
 */
typedef struct Snapshot {
    uint32_t size;
    uint8_t *data;
} Snapshot;

static Snapshot snapshot;

static void forget(Snapshot *s)
{
    g_clear_pointer(&s->data, g_free);
    s->size = 0;
}

/* Saving */

/* Of which list the smallest part is @done; @nr if all are. */
static unsigned least_done(GArray **lists, const guint *done, unsigned nr)
{
    unsigned least = nr;

    for (unsigned i = 0; i < nr; i++) {
        if (done[i] < lists[i]->len &&
            (least == nr || (uint64_t)done[i] * lists[least]->len <
                            (uint64_t)done[least] * lists[i]->len)) {
            least = i;
        }
    }
    return least;
}

/*
 * The shards' pages in one order: nobody knows which of two pages of different
 * shards was used before the other, so it is taken to be the one that is
 * further up in its list.
 */
static void merge(WorkingSetWriter *w, RemotePager *pager, GArray **lists)
{
    g_autofree guint *done = g_new0(guint, pager->nr_shards);
    uint32_t left = MIN(MAX_PAGES, pager_nr_pages(pager));

    while (left) {
        unsigned i = least_done(lists, done, pager->nr_shards);
        uint32_t nr;

        if (i == pager->nr_shards) {
            return;
        }
        nr = MIN(MIN(lists[i]->len - done[i], MERGE_PAGES), left);
        left -= nr;
        while (nr--) {
            uint32_t index = g_array_index(lists[i], uint32_t, done[i]++);

            working_set_add(w, shard_store_page(&pager->shards[i], index));
        }
    }
}

static GArray **new_lists(const RemotePager *pager)
{
    GArray **lists = g_new(GArray *, pager->nr_shards);

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        lists[i] = g_array_new(false, false, sizeof(uint32_t));
    }
    return lists;
}

static void free_lists(const RemotePager *pager, GArray **lists)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        g_array_unref(lists[i]);
    }
    g_free(lists);
}

static void record_pager(RemotePager *pager, void *opaque)
{
    WorkingSetWriter w = { .data = opaque };
    RAMBlock *rb = pagers_block(pager);
    GArray **lists;

    if (!pager->record_working_set || !rb || !qemu_ram_is_migratable(rb) ||
        w.data->len > MAX_SIZE) {
        return;
    }
    lists = new_lists(pager);
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_list_use(&pager->shards[i], lists[i]);
    }
    working_set_begin(&w, rb->idstr, pager_nr_pages(pager));
    merge(&w, pager, lists);
    working_set_end(&w);
    free_lists(pager, lists);
}

void snapshot_begin(void)
{
    GByteArray *data = g_byte_array_new();

    forget(&snapshot);
    pagers_foreach(record_pager, data);
    snapshot.size = data->len;
    snapshot.data = g_byte_array_free(data, false);
}

void snapshot_end(void)
{
    forget(&snapshot);
}

static bool needed(void *opaque)
{
    const Snapshot *s = opaque;

    return s->size;
}

/* Loading */

static int pre_load(void *opaque)
{
    forget(opaque);
    return 0;
}

/* So that no memory is taken for what cannot be right. */
static bool size_makes_sense(void *opaque, int version)
{
    const Snapshot *s = opaque;

    return s->size <= ram_bytes_total();
}

static void add_run(RemotePager *pager, GArray **lists,
                    const WorkingSetRun *run)
{
    for (uint64_t i = 0; i < run->nr; i++) {
        uint64_t page = run->down ? run->first - i : run->first + i;
        uint32_t index;
        RemoteShard *s = pager_shard_of(pager, page, &index);

        g_array_append_val(lists[s->index], index);
    }
}

static void recall_shard(RemoteShard *s, const GArray *list)
{
    shard_forget_use(s);
    for (guint i = 0; i < list->len; i += SHARD_RECALL_PAGES) {
        shard_recall_use(s, &g_array_index(list, uint32_t, i),
                         MIN(list->len - i, SHARD_RECALL_PAGES), i);
    }
    shard_kick(s);
}

static void recall_pager(RemotePager *pager, WorkingSetBackend *b)
{
    GArray **lists = new_lists(pager);
    WorkingSetRun run;

    while (working_set_next_run(b, &run) == 1) {
        add_run(pager, lists, &run);
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        recall_shard(&pager->shards[i], lists[i]);
    }
    free_lists(pager, lists);
}

static void recall(const uint8_t *data, size_t size)
{
    WorkingSetBackend b;

    while (working_set_next_backend(&data, &size, &b) == 1) {
        RAMBlock *rb = qemu_ram_block_by_name(b.name);
        RemotePager *pager = rb ? pagers_find(rb) : NULL;

        if (!pager) {
            continue;
        }
        if (b.nr_pages == pager_nr_pages(pager)) {
            recall_pager(pager, &b);
        } else {
            warn_report("memory backend '%s': the working set in the snapshot "
                        "is that of other memory, and is not used", pager->id);
        }
    }
}

static int post_load(void *opaque, int version)
{
    Snapshot *s = opaque;
    bool sane = working_set_is_sane(s->data, s->size);

    if (sane) {
        recall(s->data, s->size);
    } else {
        error_report("the working set of remote memory in the snapshot makes "
                     "no sense: the snapshot is damaged");
    }
    forget(s);
    return sane ? 0 : -EINVAL;
}

static const VMStateDescription section = {
    .name = SECTION,
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = needed,
    .pre_load = pre_load,
    .post_load = post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(size, Snapshot),
        VMSTATE_VALIDATE("less than the memory that it is about",
                         size_makes_sense),
        VMSTATE_VBUFFER_ALLOC_UINT32(data, Snapshot, 1, NULL, size),
        VMSTATE_END_OF_LIST()
    }
};

/* Whether there is remote memory or not: it may be in a snapshot. */
static void snapshot_register(void)
{
    vmstate_register(NULL, 0, &section, &snapshot);
}

type_init(snapshot_register);
