/*
 * Where the slabs of a namespace are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_SLABS_H
#define REMOTE_MEMORY_RDMA_SLABS_H

typedef struct RdmaSlab RdmaSlab;

/**
 * struct RdmaSlabs - a table
 * @slab_pages: pages in a slab
 * @nr: number of slabs
 * @slabs: the table, or %NULL
 */
typedef struct RdmaSlabs {
    uint32_t slab_pages;
    uint64_t nr;
    RdmaSlab *slabs;
} RdmaSlabs;

/**
 * rdma_slabs_init: a table that knows of no slab yet
 * @slabs: the table
 * @nr_pages: size of the namespace, above 0
 * @slab_pages: pages in a slab, above 0
 *
 * Returns: whether there is memory for it, of which it takes little at first.
 */
bool rdma_slabs_init(RdmaSlabs *slabs, uint64_t nr_pages, uint32_t slab_pages);

/** rdma_slabs_free: forget all.  It may have been forgotten before */
void rdma_slabs_free(RdmaSlabs *slabs);

/** rdma_slabs_number: which slab a page is in */
uint64_t rdma_slabs_number(const RdmaSlabs *slabs, uint64_t page);

/** rdma_slabs_set: where a slab begins, and the key to it */
void rdma_slabs_set(RdmaSlabs *slabs, uint64_t number, uint64_t addr,
                    uint32_t rkey);

/**
 * rdma_slabs_find: where a page is
 * @slabs: the table
 * @page: of the namespace
 * @addr: set to its address at the server
 * @rkey: set to the key
 *
 * Returns: false if its slab is not known.
 */
bool rdma_slabs_find(const RdmaSlabs *slabs, uint64_t page, uint64_t *addr,
                     uint32_t *rkey);

#endif
