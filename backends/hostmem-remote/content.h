/*
 * What a page contains: its hash, and whether it is all zeros
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_CONTENT_H
#define REMOTE_MEMORY_CONTENT_H

/**
 * content_hash: hash a page
 * @page: REMOTE_STORE_PAGE_SIZE bytes
 *
 * XXH3 with 64 bits.  It recognises accidents (a torn, mixed up or damaged
 * page), not an attacker: for that there is encryption.
 */
uint64_t content_hash(const void *page);

/**
 * content_is_zero: is a page all zeros?
 * @page: REMOTE_STORE_PAGE_SIZE bytes
 */
bool content_is_zero(const void *page);

#endif
