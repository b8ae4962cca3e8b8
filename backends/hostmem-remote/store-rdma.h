/*
 * A store on a memory server, by RDMA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STORE_RDMA_H
#define REMOTE_MEMORY_STORE_RDMA_H

#include "qemu/bitmap.h"
#include "remote-memory/store.h"
#include "rdma-link.h"

/**
 * RDMA_MAX_QUEUES: of one memory backend, as many as it can have threads; a
 * power of 2
 */
#define RDMA_MAX_QUEUES 1024

#define TYPE_REMOTE_STORE_RDMA "remote-store-rdma"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreRdma, REMOTE_STORE_RDMA)

/**
 * struct RemoteStoreRdma - the store
 * @server: properties, and where the server is; constant once started
 * @limit: what the server lends, in bytes; constant once started
 * @lock: protects what follows
 * @nr_queues: that are open
 * @nr_down: of these, those without a connection
 * @lost: a server has forgotten pages
 * @nr_regions: that are attached
 */
struct RemoteStoreRdma {
    RemoteStore parent_obj;

    RdmaServer server;
    uint64_t limit;
    QemuMutex lock;
    unsigned nr_queues;
    unsigned nr_down;
    bool lost;
    unsigned nr_regions;
};

/**
 * struct RdmaEpoch - what a namespace has had in one life of it
 * @incarnation: which
 * @present: bitmap of the pages that were put and are there
 * @used: there ever were any
 * @users: queues that go by it
 * @next: in a list of the region's
 *
 * A server that forgets a namespace makes another one under its name.  What
 * the former one had is gone then, but not all queues notice it at once: each
 * looks at the bitmap of the life that it is connected to.
 */
typedef struct RdmaEpoch {
    uint64_t incarnation;
    unsigned long *present;
    bool used;
    unsigned users;
    QLIST_ENTRY(RdmaEpoch) next;
} RdmaEpoch;

/**
 * struct RdmaRegion - a namespace
 * @nr_pages: its size
 * @first: what the server calls the queue of number 0.  While a namespace is
 *     handed over, two processes are connected, and neither may be taken for
 *     the other: each has %RDMA_MAX_QUEUES numbers to itself
 * @inherited: it was begun by another process
 * @incarnation: (inherited) the life that it had there
 * @lock: protects what follows
 * @epochs: its lives, the latest in front
 * @numbers: of queues, a bit for each that is in use
 * @late: of queues, a bit for each of which the server may still get what was
 *     written by a connection that has ended
 */
typedef struct RdmaRegion {
    uint64_t nr_pages;
    uint32_t first;
    bool inherited;
    uint64_t incarnation;
    QemuMutex lock;
    QLIST_HEAD(, RdmaEpoch) epochs;
    DECLARE_BITMAP(numbers, RDMA_MAX_QUEUES);
    DECLARE_BITMAP(late, RDMA_MAX_QUEUES);
} RdmaRegion;

/**
 * rdma_epoch_get: the life of a namespace that a queue is connected to
 * @region: the namespace
 * @incarnation: which
 * @former: the one before, or %NULL if the queue is connected for the first
 *     time; then a namespace that was handed over has to be as it was
 * @errp: set on failure
 *
 * Any thread.  Returns: to be given to rdma_epoch_put(), or %NULL.
 */
RdmaEpoch *rdma_epoch_get(RemoteStoreRegion *region, uint64_t incarnation,
                          const RdmaEpoch *former, Error **errp);

/** rdma_epoch_put: do without it.  @epoch may be %NULL */
void rdma_epoch_put(RemoteStoreRegion *region, RdmaEpoch *epoch);

/**
 * rdma_number_take: a number for a queue
 * @region: the namespace
 * @errp: set if there is none
 *
 * The lowest that is free, so that what the former queue of it has left is
 * ended by the server.  Any thread.  Returns: the number, or -1.
 */
int rdma_number_take(RemoteStoreRegion *region, Error **errp);

/** rdma_number_give: do without it.  Any thread */
void rdma_number_give(RemoteStoreRegion *region, int number);

/**
 * rdma_number_set_late: a connection has ended, or has come
 * @region: the namespace
 * @number: of the queue
 * @late: the server may still get what was written by it; or it has accepted
 *     another one, and so does not
 *
 * Any thread.
 */
void rdma_number_set_late(RemoteStoreRegion *region, int number, bool late);

/** rdma_number_hello: what to say to the server.  Any thread */
void rdma_number_hello(RemoteStoreRegion *region, int number,
                       RdmaHello *hello);

/**
 * rdma_store_set_lost: a server has forgotten pages
 * @store: the store
 * @lost: or nobody is left who had any
 *
 * Any thread.
 */
void rdma_store_set_lost(RemoteStoreRdma *store, bool lost);

/**
 * rdma_store_count: queues have come, gone, or changed
 * @store: the store
 * @queues: how many more there are
 * @down: how many more of them have no connection
 *
 * Any thread.
 */
void rdma_store_count(RemoteStoreRdma *store, int queues, int down);

/* rdma-region.c, rdma-queue.c: methods of &struct RemoteStoreClass */

bool rdma_region_attach(RemoteStoreRegion *region, Error **errp);
bool rdma_region_save(RemoteStoreRegion *region, GByteArray *state,
                      Error **errp);
void rdma_region_detach(RemoteStoreRegion *region);

RemoteStoreQueue *rdma_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                  Error **errp);
void rdma_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                       size_t nr);
void rdma_queue_close(RemoteStoreQueue *queue);

#endif
