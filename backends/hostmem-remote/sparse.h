/*
 * Sparse memory: address space that turns into zeros where it is touched
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SPARSE_H
#define REMOTE_MEMORY_SPARSE_H

#include <sys/mman.h>

/**
 * sparse_new: reserve zeroed memory
 * @size: in bytes, above 0
 *
 * Takes no time and no memory to speak of, whatever @size is; nor does a touch
 * take more than a page, also where the host has large ones to give.
 * Returns: page-aligned, or %NULL if there is no address space (errno is set).
 */
static inline void *sparse_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, size, MADV_NOHUGEPAGE);
    return p;
}

/** sparse_free: give it back; @p may be %NULL */
static inline void sparse_free(void *p, size_t size)
{
    if (p) {
        munmap(p, size);
    }
}

#endif
