/*
 * Queues to memcached: requests, and the lanes that they take
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_QUEUE_H
#define HOSTMEM_REMOTE_MEMCACHED_QUEUE_H

#include "remote-memory/store.h"
#include "memcached-generation.h"
#include "memcached-server.h"

#define TYPE_REMOTE_STORE_MEMCACHED "remote-store-memcached"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreMemcached, REMOTE_STORE_MEMCACHED)

/**
 * struct RemoteStoreMemcached - the object
 * @server_names: property servers
 * @timeout_ms: property request-timeout-ms
 * @servers: the servers, constant once the object is complete
 * @nr_servers: how many
 * @nr_regions: regions attached.  Main thread only
 */
struct RemoteStoreMemcached {
    RemoteStore parent_obj;

    strList *server_names;
    uint32_t timeout_ms;
    McServer *servers;
    size_t nr_servers;
    unsigned nr_regions;
};

/**
 * struct McRegion - a namespace on the servers
 * @mark: key of its incarnation mark
 * @lock: protects @generations
 * @generations: what closed queues left behind
 */
typedef struct McRegion {
    McKey mark;
    QemuMutex lock;
    McGenerations *generations;
} McRegion;

/* For &struct RemoteStoreClass. */
RemoteStoreQueue *mc_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                Error **errp);
void mc_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                     size_t nr);
void mc_queue_close(RemoteStoreQueue *queue);

/**
 * mc_queues_collect: note in a region what its open queues know
 * @region: the region; no put or discard is in flight
 *
 * With the BQL.
 */
void mc_queues_collect(RemoteStoreRegion *region);

/**
 * mc_store_update_status: say how the store is, by its servers
 * @mc: the store
 *
 * Any thread.
 */
void mc_store_update_status(RemoteStoreMemcached *mc);

#endif
