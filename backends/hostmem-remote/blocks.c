/*
 * Blocks: how many neighbours are fetched with a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"
#include "sparse.h"

/*
 * One fault in so many tries a neighbour where that is not known to be of use:
 * more often where such tries succeed, less often where they fail.  A try costs
 * about half a fault, so the longest period is a slow-down of 1 %.
 */
#define TRY_PERIOD_MIN 2
#define TRY_PERIOD_MAX 64

/*
 * Probes in favour, or against, beyond those that say the opposite, that
 * change an order: a few, so that a change is noticed soon, and more than
 * chance makes of a region that is used evenly.
 */
#define SCORE_UP 3
#define SCORE_DOWN (-2)

bool blocks_init(Blocks *b, uint32_t pages)
{
    uint32_t nr = DIV_ROUND_UP((uint64_t)pages, 1u << BLOCK_REGION_SHIFT);

    *b = (Blocks) {
        .regions = sparse_new(nr * sizeof(BlockRegion)),
        .nr = nr,
        .period = TRY_PERIOD_MAX,
    };
    return b->regions;
}

void blocks_destroy(Blocks *b)
{
    sparse_free(b->regions, b->nr * sizeof(BlockRegion));
    b->regions = NULL;
}

uint64_t blocks_footprint(const Blocks *b)
{
    return b->nr * sizeof(BlockRegion);
}

static BlockRegion *region_of(Blocks *b, uint32_t page)
{
    assert(page >> BLOCK_REGION_SHIFT < b->nr);
    return &b->regions[page >> BLOCK_REGION_SHIFT];
}

unsigned blocks_order(Blocks *b, uint32_t page, unsigned limit)
{
    unsigned order = region_of(b, page)->order;

    if (!order && ++b->untried >= b->period) {
        b->untried = 0;
        order = 1;
    }
    return MIN(order, limit);
}

void blocks_outcome(Blocks *b, uint32_t page, bool used)
{
    BlockRegion *region = region_of(b, page);

    if (!region->order) {
        b->period = used ? MAX(b->period / 2, TRY_PERIOD_MIN)
                         : MIN(b->period * 2, TRY_PERIOD_MAX);
    }
    region->score += used ? 1 : -1;
    if (region->score >= SCORE_UP) {
        region->order = MIN(region->order + 1, BLOCK_MAX_ORDER);
        region->score = 0;
    } else if (region->score <= SCORE_DOWN) {
        region->order -= region->order > 0;
        region->score = 0;
    }
}
