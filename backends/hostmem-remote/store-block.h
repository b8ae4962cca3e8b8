/*
 * A store on a block node
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STORE_BLOCK_H
#define REMOTE_MEMORY_STORE_BLOCK_H

#include "remote-memory/store.h"
#include "system/block-backend.h"
#include "system/iothread.h"

#define TYPE_REMOTE_STORE_BLOCK "remote-store-block"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreBlock, REMOTE_STORE_BLOCK)

/**
 * struct BlockRegion - a region's place on the node
 * @first: its first page on the node
 * @nr_pages: how many, without marks
 * @present: bitmap of the pages that were put, marks behind the others
 * @marks: where its marks are, or %NULL as long as there need be none
 * @next: in order of @first
 */
typedef struct BlockRegion {
    uint64_t first;
    uint64_t nr_pages;
    unsigned long *present;
    struct BlockRegion *marks;
    QLIST_ENTRY(BlockRegion) next;
} BlockRegion;

/**
 * struct RemoteStoreBlock - the store
 * @node_name: property "node-name"
 * @timeout_ms: property "request-timeout-ms"
 * @home: thread of the node, so that nothing of it needs the main loop
 * @blk: our use of the node
 * @nr_pages: its size
 * @is_cached: other hosts may see late what was written
 * @regions: what is taken of it.  Main thread only.
 * @failing: requests fail; written by any queue's thread
 *
 * Constant once started but for the last two.
 */
struct RemoteStoreBlock {
    RemoteStore parent_obj;

    char *node_name;
    uint32_t timeout_ms;
    IOThread *home;
    BlockBackend *blk;
    uint64_t nr_pages;
    bool is_cached;
    QLIST_HEAD(, BlockRegion) regions;
    bool failing;
};

/* block-queue.c: the methods of &struct RemoteStoreClass of these names */

RemoteStoreQueue *block_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                   Error **errp);
void block_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                        size_t nr);
void block_queue_close(RemoteStoreQueue *queue);

#endif
