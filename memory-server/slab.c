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

static void *map_whole(size_t size)
{
    void *slab = NULL;

    if (size >= HUGE_PAGE_SIZE) {
        /* Those that the administrator has set aside, for this or others. */
        slab = map(size, MAP_HUGETLB | HUGE_PAGE_BITS << MAP_HUGE_SHIFT);
    }
    return slab ?: map_aligned(size);
}

void *slab_new(SlabPool *pool, size_t size)
{
    void *slab;

    assert(size > 0 && size <= pool->slab_size);
    if (pool->limit - pool->used < size) {
        return NULL;
    }
    slab = size == pool->slab_size ? map_whole(size) : map(size, 0);
    if (slab) {
        /* Of no use in a core dump, and not this program's to show. */
        madvise(slab, size, MADV_DONTDUMP);
        pool->used += size;
    }
    return slab;
}

void slab_free(SlabPool *pool, void *slab, size_t size)
{
    munmap(slab, size);
    pool->used -= size;
}
