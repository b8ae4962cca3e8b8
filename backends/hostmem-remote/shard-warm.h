/*
 * A shard's part in warming up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_WARM_H
#define REMOTE_MEMORY_SHARD_WARM_H

#include "batches.h"
#include "recency.h"

/**
 * DOC: Warming up
 *
 * Pages that were local most recently are fetched (recency.h), as many as there
 * is room for that nobody would miss (budget_idle()).  They are on probation,
 * and older than all that the guest has asked for, in the order in which they
 * were dropped as far as that is known.
 *
 * Pages that are known to have been in use also take the place of what is local
 * and not known to be: what came by loading a snapshot (snapshot.h), what is
 * there for visitors beyond their room, and what the guest said to be cold.
 * These go the way of all others: what the store does not have is written
 * first, from standby, where a touch brings it back.  But they need not stay
 * there: they are dropped from between those that the guest has in standby.
 *
 * A page that cannot be fetched stays REMOTE.  Others are tried after a while,
 * and it once more when all were.
 */

/**
 * struct ShardWarm - a shard that warms up
 * @all: how many pages are wanted; read by the main thread
 * @done: how many have come; likewise
 * @failing: the last one that was answered could not be fetched; likewise
 * @ended: no request of it is in flight, and none will be; likewise
 * @stop: begin no more requests
 * @recency: which pages
 * @pages: those that were found and not asked for yet
 * @nr: how many
 * @in_flight: pages that were asked for and not answered yet
 * @at_end: no more are to be looked for
 * @failed: some could not be fetched
 * @awaits_room: it goes on when a slot of the standby ring may be dropped
 * @not_before: when the next may be asked for, in ms
 */
typedef struct ShardWarm {
    uint32_t all;
    uint32_t done;
    bool failing;
    bool ended;

    /* Shard thread only. */
    bool stop;
    Recency recency;
    uint32_t pages[BATCH_PAGES];
    unsigned nr;
    uint32_t in_flight;
    bool at_end;
    bool failed;
    bool awaits_room;
    int64_t not_before;
} ShardWarm;

/* For the shard and its batches */

/**
 * warm_run: fetch some pages, if the shard warms up and has room
 *
 * Returns: whether to call again soon.
 */
bool warm_run(RemoteShard *s);

/** warm_awaits_room: does warm_run() wait for a slot that may be dropped? */
static inline bool warm_awaits_room(const RemoteShard *s)
{
    return s->warm && s->warm->awaits_room;
}

/** warm_placed: pages of a batch are RESIDENT, neighbours from @index on */
void warm_placed(RemoteShard *s, uint32_t index, uint32_t nr);

/** warm_settled: one is RESIDENT, or gone, or (not @good) still REMOTE */
void warm_settled(RemoteShard *s, bool good);

/* For the job */

/** warm_begin: warm the shard up from now on.  Main thread */
void warm_begin(RemoteShard *s);

/** warm_stop: begin no more requests; @ended says when that is all.  Main */
void warm_stop(RemoteShard *s);

/** warm_end: forget about it; it is @ended, or the shard is stopped.  Main */
void warm_end(RemoteShard *s);

#endif
