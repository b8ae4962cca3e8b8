/*
 * Blocks: how many neighbours are fetched with a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_BLOCKS_H
#define REMOTE_MEMORY_BLOCKS_H

/**
 * DOC: Elastic blocks
 *
 * A block is 2^order pages, aligned to its size, that are fetched together.
 * Each region of memory has an order of its own, which follows from whether
 * neighbours turn out to be used.  Nothing tells whether a page that is mapped
 * is used; so of each block one page is not mapped but put in standby, as a
 * probe: the page that differs from the one asked for in the highest bit, in
 * the other half of the block.  If it is touched, the block is not too large;
 * if it is dropped untouched, the other half was fetched in vain::
 *
 *     order 3:   . . f . . . p .      f: fault    p: probe = f ^ 4
 *
 * In a region of order 0, a block of two is tried now and then, so that it is
 * noticed when its use changes.
 *
 * After the idea of elastic blocks in "Disaggregated cloud memory with elastic
 * block management" (Koh et al., IEEE Transactions on Computers 68(1), 2019).
 *
 * Pure policy: page indices and outcomes go in, orders come out.
 */

/** BLOCK_MAX_ORDER: largest block: 2^6 pages, 256 KiB */
#define BLOCK_MAX_ORDER 6
/** BLOCK_REGION_SHIFT: pages in a region: 2^9, 2 MiB, as a guest's huge page */
#define BLOCK_REGION_SHIFT 9

/**
 * struct BlockRegion - a region's order and what speaks for another, 2 bytes
 * @order: of its blocks
 * @score: probes that were used less those that were not, since @order last
 *     changed
 */
typedef struct BlockRegion {
    uint8_t order;
    int8_t score;
} BlockRegion;

/**
 * struct Blocks - the regions of a shard
 * @regions: memory is populated as it is touched
 * @nr: how many
 * @untried: faults in regions of order 0 since a neighbour was last tried
 * @period: after how many of them the next one is
 */
typedef struct Blocks {
    BlockRegion *regions;
    uint32_t nr;
    uint32_t untried;
    uint32_t period;
} Blocks;

/**
 * blocks_init: all regions have order 0
 * @b: the blocks
 * @pages: number of pages
 *
 * Returns: false if there is no address space (errno is set).
 */
bool blocks_init(Blocks *b, uint32_t pages);

/** blocks_destroy: free what blocks_init() made */
void blocks_destroy(Blocks *b);

/** blocks_footprint: bytes reserved for @b, if all of it were touched */
uint64_t blocks_footprint(const Blocks *b);

/**
 * blocks_order: how large a block to fetch with a page that is asked for
 * @b: the blocks
 * @page: the page
 * @limit: largest order that there is room for
 *
 * Returns: the order of the block, 0 for the page alone.
 */
unsigned blocks_order(Blocks *b, uint32_t page, unsigned limit);

/** blocks_probe: the page of @page's block that shows whether it is used */
static inline uint64_t blocks_probe(uint64_t page, unsigned order)
{
    return page ^ (1ull << (order - 1));
}

/** blocks_outcome: the probe @page was @used, or was dropped without that */
void blocks_outcome(Blocks *b, uint32_t page, bool used);

#endif
