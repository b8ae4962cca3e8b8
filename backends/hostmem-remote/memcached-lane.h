/*
 * Lanes to a memcached server: one connection, one thread at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_LANE_H
#define HOSTMEM_REMOTE_MEMCACHED_LANE_H

#include <libmemcached/memcached.h>
#include "remote-memory/store.h"
#include "memcached-server.h"

/** MC_BATCH: most requests that a lane works on at once */
#define MC_BATCH 32

/**
 * struct McItem - one request on a lane
 * @req: the request; the lane sets its result and reason
 * @key: where the page is
 * @garbage: a key to delete once @req succeeded
 * @has_garbage: whether there is one
 * @done: the result is set
 * @ambiguous: a put or discard that was sent and not answered: the server may
 *     do it later
 * @clean: @garbage was deleted
 */
typedef struct McItem {
    RemoteStoreRequest *req;
    McKey key;
    McKey garbage;
    bool has_garbage;
    bool done;
    bool ambiguous;
    bool clean;
} McItem;

/**
 * struct McLane - one connection to one server
 * @server: the server
 * @mark: key of the incarnation mark to look for; empty for none
 * @handle: libmemcached's; %NULL while not connected
 * @broken: the last operation ended with the connection's
 * @lost: the mark was missing when the lane connected
 * @result: why it is broken
 * @reason: the same in words
 *
 * Blocks, and is used by one thread at a time.  An operation ends within a
 * few times the server's timeout, and the time that it takes to look the host
 * up.  The lane knows nothing about queues, and touches only itself and the
 * items that it is given.
 */
typedef struct McLane {
    const McServer *server;
    McKey mark;
    memcached_st *handle;
    bool broken;
    bool lost;
    RemoteStoreResult result;
    char *reason;
} McLane;

/** typedef McStatFunc - takes one line of statistics */
typedef void McStatFunc(const char *name, const char *value, void *opaque);

/**
 * mc_lane_init: prepare a lane; connects when it is first used
 * @lane: the lane
 * @server: where to
 * @mark: key of the mark, or %NULL for none
 */
void mc_lane_init(McLane *lane, const McServer *server, const McKey *mark);

/**
 * mc_lane_cleanup: close the connection and free what the lane holds
 * @lane: the lane
 */
void mc_lane_cleanup(McLane *lane);

/**
 * mc_lane_get: do a batch of gets
 * @lane: the lane
 * @items: the gets
 * @nr: how many, at most %MC_BATCH
 *
 * On a connection of its own, which shows how the server is now: gets come
 * here when something is wrong, or when nothing is known yet.
 */
void mc_lane_get(McLane *lane, McItem *items, size_t nr);

/**
 * mc_lane_write: do a batch of puts and discards, one after the other
 * @lane: the lane
 * @items: the puts and discards
 * @nr: how many, at most %MC_BATCH
 */
void mc_lane_write(McLane *lane, McItem *items, size_t nr);

/**
 * mc_lane_set: write one value
 * @lane: the lane
 * @key: its key
 * @data: the value
 * @len: its length in bytes
 *
 * Returns: %REMOTE_STORE_OK, or why not; then @lane.reason is set.
 */
RemoteStoreResult mc_lane_set(McLane *lane, const McKey *key, const void *data,
                              size_t len);

/**
 * mc_lane_delete: delete one value, which need not exist
 * @lane: the lane
 * @key: its key
 *
 * Returns: %REMOTE_STORE_OK, or why not; then @lane.reason is set.
 */
RemoteStoreResult mc_lane_delete(McLane *lane, const McKey *key);

/**
 * mc_lane_stats: read statistics
 * @lane: the lane
 * @what: which ones, such as "settings", or %NULL for the general ones
 * @fn: called for each line
 * @opaque: passed to @fn
 *
 * Returns: %REMOTE_STORE_OK, or why not; then @lane.reason is set.
 */
RemoteStoreResult mc_lane_stats(McLane *lane, const char *what, McStatFunc *fn,
                                void *opaque);

#endif
