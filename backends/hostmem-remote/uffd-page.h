/*
 * Placing pages in a range and taking them out, by userfaultfd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_UFFD_PAGE_H
#define REMOTE_MEMORY_UFFD_PAGE_H

/*
 * Beside util/userfaultfd.c, whose functions report every failure: here most
 * failures are a normal part of a page's life, and the caller decides.
 *
 * All return 0 or a negative errno.  EAGAIN, by which the kernel asks for
 * another try while the address space changes, is dealt with inside.
 *
 *   -EEXIST  there is a page at the destination already
 *   -EBUSY   (move) the page is pinned by a device, or shared
 *   -ENOENT  (move) there is no page at the source; or the destination range
 *            is not registered any more
 *   -EAGAIN  (move) the page stayed locked however often it was tried
 */

/**
 * uffd_page_supported: can this kernel, and this process, do what we need?
 * @errp: says what is missing and what to do about it
 */
bool uffd_page_supported(Error **errp);

/**
 * uffd_page_open: make a userfaultfd for one shard
 * @errp: set on failure
 *
 * Returns: a non-blocking descriptor, or -1.
 */
int uffd_page_open(Error **errp);

/** uffd_page_copy: place a copy of @src at @dst and wake who waits for it */
int uffd_page_copy(int fd, void *dst, const void *src);

/**
 * uffd_page_copy_run: the same for neighbours
 * @fd: @dst is registered with it
 * @dst: where to; nothing is there
 * @src: where from
 * @nr: how many pages, at least 1
 * @copied: set to the number that were placed, also on failure
 */
int uffd_page_copy_run(int fd, void *dst, const void *src, uint32_t nr,
                       uint32_t *copied);

/** uffd_page_present: is a page mapped at @addr, or swapped out by the host? */
bool uffd_page_present(const void *addr);

/**
 * uffd_page_zero_run: place the zero page and wake who waits for it
 * @fd: @dst is registered with it
 * @dst: where to; nothing is there
 * @nr: at how many neighbours, at least 1
 * @filled: set to the number that were filled, also on failure
 */
int uffd_page_zero_run(int fd, void *dst, uint32_t nr, uint32_t *filled);

/**
 * uffd_page_move: move pages without copying
 * @fd: @dst is registered with it
 * @dst: where to; nothing is there
 * @src: where from
 * @nr: how many neighbours, at least 1
 * @moved: set to the number that were moved, also on failure
 *
 * Atomic for each page: who touches it at the old place meanwhile either sees
 * it or faults.  Wakes who waits for it at the new place.
 */
int uffd_page_move(int fd, void *dst, void *src, uint32_t nr,
                   uint32_t *moved);

#endif
