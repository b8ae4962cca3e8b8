/*
 * Hash of a page, inline: with the vectors that the compiler may use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory/store.h"
#include "content.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t content_hash(const void *page)
{
    return XXH3_64bits(page, REMOTE_STORE_PAGE_SIZE);
}
