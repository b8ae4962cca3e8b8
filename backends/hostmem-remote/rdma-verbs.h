/*
 * What a connection by RDMA takes of the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_VERBS_H
#define REMOTE_MEMORY_RDMA_VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

/**
 * struct RdmaVerbs - all of it
 * @id: the connection; its queue pair is @id->qp
 * @pd: protection domain
 * @channel: tells of completions
 * @cq: the completions
 * @mr: the memory that is used to send and receive
 * @depth: pages that can be on their way at a time
 * @reads: of these, gets that the device can have on their way
 *
 * Made and destroyed together, for each connection anew: nothing of an earlier
 * one can show up in a later one.
 */
typedef struct RdmaVerbs {
    struct rdma_cm_id *id;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_mr *mr;
    unsigned depth;
    uint8_t reads;
} RdmaVerbs;

/**
 * rdma_verbs_make: make it
 * @v: zeroed but for @id, which has an address
 * @memory: page-aligned
 * @size: its size
 * @depth: pages that should be on their way at a time.  A device that cannot
 *     do that gets less
 * @spare: other work requests, in each direction
 * @errp: set on failure; then @v is to be destroyed all the same
 */
bool rdma_verbs_make(RdmaVerbs *v, void *memory, size_t size, unsigned depth,
                     unsigned spare, Error **errp);

/**
 * rdma_verbs_destroy: give all back, with @id
 * @v: made or not
 *
 * From then on the device neither reads nor writes the memory.
 */
void rdma_verbs_destroy(RdmaVerbs *v);

#endif
