/*
 * What a page contains
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "remote-memory/store.h"
#include "content.h"
/* Inline: the call is made for each page that comes or goes. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t content_hash(const void *page)
{
    return XXH3_64bits(page, REMOTE_STORE_PAGE_SIZE);
}

bool content_is_zero(const void *page)
{
    return buffer_is_zero(page, REMOTE_STORE_PAGE_SIZE);
}
