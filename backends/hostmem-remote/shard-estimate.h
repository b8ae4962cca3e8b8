/*
 * A shard's part in estimating what caches of other sizes would fetch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_ESTIMATE_H
#define REMOTE_MEMORY_SHARD_ESTIMATE_H

#include "estimate.h"
#include "shard.h"

/**
 * DOC: Estimating
 *
 * A shard begins to estimate (estimate.h) when it has to evict for the first
 * time.  When the cache is given another size, it begins to count anew, with
 * the models as they are, or with new ones if they do not fit.  A page that
 * becomes RESIDENT counts as used, whether somebody waited for it or it was
 * fetched ahead: the models so count what "fetched-pages" does.
 *
 * Pages that the models ask for are moved to standby, a thousand each second
 * at most.  From there they go the way of all others: they are refaulted,
 * which counts apart and says nothing of their use to the shard's own
 * replacement, or written and dropped.  If more should be tried, some uses are
 * missed, and what is counted can be too low.
 */

/** shard_estimate_run: try what is to be tried.  Shard thread, as all below */
void shard_estimate_run(RemoteShard *s);

/** shard_estimate_note: a page has changed its state */
void shard_estimate_note(RemoteShard *s, uint32_t index, PageState to);

/** shard_estimate_moved: the same, if anybody is interested */
static inline void shard_estimate_moved(RemoteShard *s, uint32_t index,
                                        PageState to)
{
    if (s->estimate && (to == PAGE_RESIDENT || to == PAGE_ZERO)) {
        shard_estimate_note(s, index, to);
    }
}

/** shard_estimate_hidden: is a page in standby just to be tried? */
bool shard_estimate_hidden(const RemoteShard *s, uint32_t index);

/** shard_estimate_query: add what is known to @info */
void shard_estimate_query(RemoteShard *s, RemoteMemoryInfo *info);

/** shard_estimate_footprint: bytes that are reserved, or 0 */
uint64_t shard_estimate_footprint(const RemoteShard *s);

/** shard_estimate_sane: every invariant; for assertions and tests */
bool shard_estimate_sane(const RemoteShard *s);

/** shard_estimate_destroy: forget all of it; the shard is stopped */
void shard_estimate_destroy(RemoteShard *s);

#endif
