/*
 * Keys of pages in memcached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_KEY_H
#define HOSTMEM_REMOTE_MEMCACHED_KEY_H

#include "qemu/uuid.h"

/** MC_KEY_LEN: length of every key, without the terminating NUL */
#define MC_KEY_LEN 30

/** MC_PAGE_BITS: width of a page index; enough for 256 TiB */
#define MC_PAGE_BITS 36

/** MC_GENERATION_BITS: width of a page's generation */
#define MC_GENERATION_BITS 12

/**
 * struct McKey - a key, as text
 * @text: the namespace's 128 bits in 22 characters of base64url, then
 *     generation and page index in 8 more, or a mark that cannot be one
 */
typedef struct McKey {
    char text[MC_KEY_LEN + 1];
} McKey;

/**
 * mc_key_page: key of a page
 * @key: the result
 * @uuid: the namespace
 * @page: index of the page, below 2^%MC_PAGE_BITS
 * @generation: below 2^%MC_GENERATION_BITS
 *
 * Different arguments give different keys.
 */
void mc_key_page(McKey *key, const QemuUUID *uuid, uint64_t page,
                 unsigned generation);

/**
 * mc_key_mark: key of the namespace's incarnation mark
 * @key: the result, which is no page's key
 * @uuid: the namespace
 */
void mc_key_mark(McKey *key, const QemuUUID *uuid);

#endif
