/*
 * Hash of a page, by the library: with the widest vectors of the processor
 *
 * Each page that comes or goes is hashed.  What a compiler makes for any
 * x86-64 takes several times as long.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory/store.h"
#include "content.h"
#include <xxh_x86dispatch.h>

uint64_t content_hash(const void *page)
{
    return XXH3_64bits_dispatch(page, REMOTE_STORE_PAGE_SIZE);
}
