/*
 * Batches: pages that are fetched together, ahead of need
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_BATCHES_H
#define REMOTE_MEMORY_BATCHES_H

#include "shard.h"

/**
 * DOC: Batches
 *
 * A batch is placed when all of it is there: neighbours by one call of the
 * kernel.  But a page that is asked for meanwhile is placed as soon as it
 * comes.
 *
 * Until it is placed a page is FETCHING, like any other that is fetched: it may
 * be asked for, or given back.  A fetch that fails without anybody waiting is
 * no error: the page still is where it was, and who needs it will try again.
 */

/** BATCH_PAGES: a fault that comes meanwhile waits for no more */
#define BATCH_PAGES 16
/** BATCHES: enough of them for one window of a stream and the next */
#define BATCHES 8

/**
 * enum BatchKind - why its pages are fetched
 * @BATCH_WINDOW: a stream is on its way to them
 * @BATCH_BLOCK: they are neighbours of a page that was asked for
 * @BATCH_WARM: they were local not long ago; see shard-warm.h
 * @BATCH_HINT: the guest has said that it will use them; see shard-hints.h
 */
typedef enum BatchKind {
    BATCH_WINDOW,
    BATCH_BLOCK,
    BATCH_WARM,
    BATCH_HINT,
} BatchKind;

/**
 * struct Batch - pages that are fetched together
 * @nr: how many
 * @pending: how many have not been answered; idle if 0
 * @ready: requests whose content came, and is not placed yet
 * @probes: requests for pages to be left in standby
 * @kind: what for
 * @tid: (window) of which thread's stream
 * @reqs: the requests
 */
struct Batch {
    unsigned nr;
    unsigned pending;
    uint32_t ready;
    uint32_t probes;
    BatchKind kind;
    uint32_t tid;
    ShardRequest reqs[BATCH_PAGES];
};

/* For the shard and its faults */

/** batches_init: make the buffers.  Returns: false without memory */
bool batches_init(RemoteShard *s);

/** batches_destroy: undo batches_init() */
void batches_destroy(RemoteShard *s);

/** batches_footprint: bytes reserved for each shard */
uint64_t batches_footprint(void);

/**
 * batches_wanted: somebody asks for a page that is FETCHING
 *
 * Returns: whether it had come, and waited for others to be placed with: it is
 * FETCHING no more.
 */
bool batches_wanted(RemoteShard *s, uint32_t index);

/* For those who fill them */

/** batch_idle: find one that can be filled, or %NULL */
Batch *batch_idle(RemoteShard *s);

/** batches_busy: how many of a kind are under way */
unsigned batches_busy(const RemoteShard *s, BatchKind kind);

/** batch_begin: no page is in it yet */
void batch_begin(Batch *batch, BatchKind kind, uint32_t tid);

/**
 * batch_add: add a page
 * @s: the shard
 * @batch: not full
 * @index: a REMOTE page, for which the budget has given room
 * @probe: leave it in standby, if nobody waits for it by then
 */
void batch_add(RemoteShard *s, Batch *batch, uint32_t index, bool probe);

/**
 * batch_turn: turn the order of the pages round
 *
 * Pages are placed, and evicted, upwards.
 */
void batch_turn(Batch *batch);

/** batch_submit: hand what was added to the store */
void batch_submit(RemoteShard *s, Batch *batch);

#endif
