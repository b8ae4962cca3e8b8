/*
 * Slabs: memory to be lent, in large pieces
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "slab.h"

#define HUGE_PAGE_BITS 21
#define HUGE_PAGE_SIZE (1ull << HUGE_PAGE_BITS)

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

bool slab_pool_init(SlabPool *pool, uint64_t slab_size, uint64_t limit,
                    Error **errp)
{
    if (!is_power_of_2(slab_size) || slab_size < SLAB_MIN_SIZE ||
        slab_size > SLAB_MAX_SIZE) {
        error_setg(errp, "--slab-size: %" PRIu64 " is not a power of 2 from %d "
                   "to %d", slab_size, SLAB_MIN_SIZE, SLAB_MAX_SIZE);
        return false;
    }
    if (limit < slab_size) {
        error_setg(errp, "--limit: %" PRIu64 " is less than a slab, which has "
                   "%" PRIu64, limit, slab_size);
        return false;
    }
    *pool = (SlabPool) { .slab_size = slab_size, .limit = limit };
    return true;
}

static void *map(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Aligned to its own size, so that the kernel can use huge pages for it. */
static void *map_aligned(size_t size)
{
    uint8_t *p = map(2 * size, MAP_NORESERVE);
    size_t before;

    if (!p) {
        return NULL;
    }
    before = ROUND_UP((uintptr_t)p, size) - (uintptr_t)p;
    if (before) {
        munmap(p, before);
    }
    munmap(p + before + size, size - before);
    p += before;
    madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void *slab_new(SlabPool *pool)
{
    void *slab = NULL;

    if (pool->limit - pool->used < pool->slab_size) {
        return NULL;
    }
    if (pool->slab_size >= HUGE_PAGE_SIZE) {
        /* Those that the administrator has set aside, for this or others. */
        slab = map(pool->slab_size,
                   MAP_HUGETLB | HUGE_PAGE_BITS << MAP_HUGE_SHIFT);
    }
    if (!slab) {
        slab = map_aligned(pool->slab_size);
    }
    if (slab) {
        /* Of no use in a core dump, and not this program's to show. */
        madvise(slab, pool->slab_size, MADV_DONTDUMP);
        pool->used += pool->slab_size;
    }
    return slab;
}

void slab_free(SlabPool *pool, void *slab)
{
    munmap(slab, pool->slab_size);
    pool->used -= pool->slab_size;
}
