/*
 * Hints: what somebody knows of pages goes to the shards that have them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "migration/misc.h"
#include "pagers.h"
#include "shard-hints.h"

/* The way of a balloon, with its limits; see virtio_balloon_inhibited(). */
static bool forget(RAMBlock *rb, uint64_t start, uint64_t length)
{
    if (ram_block_discard_is_disabled() || migration_in_incoming_postcopy()) {
        return false;
    }
    return !ram_block_discard_range(rb, start, length);
}

/* What a shard has of a range of the RAM has no gaps, counted as it counts. */
static void post(RemotePager *pager, uint64_t first, uint64_t nr,
                 RemoteMemoryHint hint)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];
        uint64_t from = shard_pages_below(s, first);
        uint64_t to = shard_pages_below(s, first + nr);

        if (from < to) {
            hints_post(s, hint, from, to - from);
        }
    }
}

bool remote_memory_hint(RAMBlock *rb, uint64_t start, uint64_t length,
                        RemoteMemoryHint hint)
{
    RemotePager *pager = pagers_find(rb);

    if (!pager || start > pager->size || length > pager->size - start) {
        return false;
    }
    assert(start % REMOTE_STORE_PAGE_SIZE == 0 &&
           length % REMOTE_STORE_PAGE_SIZE == 0);
    if (hint == REMOTE_MEMORY_HINT_FORGET) {
        return forget(rb, start, length);
    }
    post(pager, start / REMOTE_STORE_PAGE_SIZE,
         length / REMOTE_STORE_PAGE_SIZE, hint);
    return true;
}
