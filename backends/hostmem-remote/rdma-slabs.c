/*
 * Where the slabs of a namespace are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory/rdma-protocol.h"
#include "rdma-slabs.h"
#include "sparse.h"

struct RdmaSlab {
    uint64_t addr;
    uint32_t rkey;
    bool known;
};

static size_t table_size(const RdmaSlabs *slabs)
{
    return slabs->nr * sizeof(RdmaSlab);
}

bool rdma_slabs_init(RdmaSlabs *slabs, uint64_t nr_pages, uint32_t slab_pages)
{
    slabs->slab_pages = slab_pages;
    slabs->nr = DIV_ROUND_UP(nr_pages, slab_pages);
    slabs->slabs = sparse_new(table_size(slabs));
    return slabs->slabs;
}

void rdma_slabs_free(RdmaSlabs *slabs)
{
    sparse_free(slabs->slabs, table_size(slabs));
    *slabs = (RdmaSlabs) { 0 };
}

uint64_t rdma_slabs_number(const RdmaSlabs *slabs, uint64_t page)
{
    return page / slabs->slab_pages;
}

void rdma_slabs_set(RdmaSlabs *slabs, uint64_t number, uint64_t addr,
                    uint32_t rkey)
{
    assert(number < slabs->nr);
    slabs->slabs[number] = (RdmaSlab) {
        .addr = addr, .rkey = rkey, .known = true,
    };
}

bool rdma_slabs_find(const RdmaSlabs *slabs, uint64_t page, uint64_t *addr,
                     uint32_t *rkey)
{
    const RdmaSlab *slab = &slabs->slabs[rdma_slabs_number(slabs, page)];

    *addr = slab->addr + page % slabs->slab_pages * RDMA_PAGE_SIZE;
    *rkey = slab->rkey;
    return slab->known;
}
