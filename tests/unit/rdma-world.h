/*
 * Unit tests: a memory server and a store on it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_RDMA_WORLD_H
#define TEST_RDMA_WORLD_H

#include "qobject/qdict.h"
#include "remote-store-harness.h"
#include "server-process.h"

#define RDMA_TYPE "remote-store-rdma"
#define RDMA_PORT "7471"
#define SLAB_PAGES 64
#define REGION_PAGES (64 * SLAB_PAGES)

/** WORLD_TRIES: how long things may take, in steps of 100 ms */
#define WORLD_TRIES 600

/**
 * struct World - a server, a store on it, and a region with one queue
 */
typedef struct World {
    ServerProcess *server;
    RemoteStore *store;
    RemoteStoreRegion *region;
    TestQueue *q;
} World;

/**
 * world_init: make it
 * @w: the world
 * @options: of the server
 * @timeout_ms: of the store
 *
 * Returns: false if this machine has no RDMA.
 */
bool world_init(World *w, const char *options, unsigned timeout_ms);

/** world_free: end it */
void world_free(World *w);

/** world_store: another store on the server, as another process has one */
RemoteStore *world_store(const char *id, unsigned timeout_ms);

/** world_status: how the store is */
RemoteStoreStatus world_status(const World *w);

/** world_put_again: put until that goes well: the queue is connected again */
void world_put_again(World *w, uint64_t page, uint32_t version);

/** world_stats: what the server says of itself */
QDict *world_stats(World *w);

/** world_assert_stat: the server says @value of @name */
void world_assert_stat(World *w, const char *name, int64_t value);

/** rdma_handover_tests: add those of handing over */
void rdma_handover_tests(void);

#endif
