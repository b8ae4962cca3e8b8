/*
 * A shard's part in moving its pages to another store
 *
 * The way into the store changes twice: to a mirror of both stores, and to the
 * one that is to stay.  Neither can be while requests are on their way: a page
 * may have one at a time, and the mirror does not know of those that it has
 * not seen.  So the shard begins with none until the last has ended, which
 * takes as long as the store takes for an answer, and changes then.  The main
 * thread takes no part in that: it may be waiting for a page itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "mirror-move.h"
#include "shard-move.h"

/* For a mirror: what the store has by way of this shard. */
static bool known(void *opaque, uint64_t store_page, bool *stored,
                  uint64_t *hash)
{
    RemoteShard *s = opaque;
    const Page *page;
    uint32_t index;

    if (pager_shard_of(s->pager, store_page, &index) != s) {
        return false;
    }
    page = page_map_get(&s->map, index);
    *stored = page_has(page, PAGE_STORED);
    *hash = page_hash(page);
    return true;
}

static void use_mirror(RemoteShard *s)
{
    mirror_move_adopt(s->mirror, s->queue, known, s);
    s->queue = s->mirror;
    qatomic_set(&s->mirrored, true);
}

static void use_one(RemoteShard *s)
{
    RemoteStoreQueue *kept;

    if (!mirror_move_has_all(s->mirror, s->mirror_keep)) {
        /* A request has failed meanwhile: some more of the mirror. */
        mirror_move_pause(s->mirror, false);
        qatomic_set(&s->mirror_kept, SHARD_NOT_KEPT);
        return;
    }
    kept = mirror_move_release(s->mirror, s->mirror_keep);
    s->queue = kept;
    remote_store_close(g_steal_pointer(&s->mirror));
    qatomic_set(&s->mirrored, false);
    qatomic_set(&s->mirror_kept, SHARD_KEPT);
}

void shard_idle_run(RemoteShard *s)
{
    void (*fn)(RemoteShard *s) = s->when_idle;

    if (fn && !s->in_flight) {
        s->when_idle = NULL;
        fn(s);
        shard_kick(s);
    }
}

static void mirror_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->when_idle = use_mirror;
    shard_kick(s);
}

void shard_mirror(RemoteShard *s, RemoteStoreQueue *mirror)
{
    s->mirror = mirror;
    shard_call(s, mirror_bh, s);
}

static void retire_bh(void *opaque)
{
    RemoteShard *s = opaque;

    mirror_move_retire(s->mirror, !s->mirror_keep);
}

void shard_mirror_retire(RemoteShard *s, unsigned keep)
{
    s->mirror_keep = keep;
    shard_call(s, retire_bh, s);
}

static void pause_bh(void *opaque)
{
    RemoteShard *s = opaque;

    mirror_move_pause(s->mirror, true);
}

void shard_mirror_pause(RemoteShard *s)
{
    shard_call(s, pause_bh, s);
}

static void unmirror_bh(void *opaque)
{
    RemoteShard *s = opaque;

    s->when_idle = use_one;
    shard_kick(s);
}

void shard_unmirror(RemoteShard *s)
{
    qatomic_set(&s->mirror_kept, SHARD_KEPT_UNKNOWN);
    shard_call(s, unmirror_bh, s);
}
