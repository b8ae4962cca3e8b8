/*
 * Slabs: memory to be lent, in large pieces
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MEMORY_SERVER_SLAB_H
#define MEMORY_SERVER_SLAB_H

/**
 * struct SlabPool - all slabs together
 * @slab_size: of a whole one, in bytes, a power of 2
 * @limit: most memory that slabs may take, in bytes
 * @used: what they take
 */
typedef struct SlabPool {
    size_t slab_size;
    uint64_t limit;
    uint64_t used;
} SlabPool;

/** SLAB_MIN_SIZE: smallest size of a slab, in bytes */
#define SLAB_MIN_SIZE (64 * 1024)

/** SLAB_MAX_SIZE: largest, which is made while nobody else is answered */
#define SLAB_MAX_SIZE (1024 * 1024 * 1024)

/**
 * slab_pool_init: an empty pool
 * @pool: the pool
 * @slab_size: in bytes
 * @limit: in bytes
 * @errp: set if they make no sense
 */
bool slab_pool_init(SlabPool *pool, uint64_t slab_size, uint64_t limit,
                    Error **errp);

/**
 * slab_new: memory that is all zeros, in huge pages if there are any
 * @pool: the pool
 * @size: in bytes; less than a whole slab if the rest is of no use to anybody
 *
 * Returns: %NULL if the limit, or the host's memory, does not allow it.
 */
void *slab_new(SlabPool *pool, size_t size);

/** slab_free: give it back to the host; @size is that which it was made with */
void slab_free(SlabPool *pool, void *slab, size_t size);

#endif
