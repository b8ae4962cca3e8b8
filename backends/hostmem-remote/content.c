/*
 * What a page contains
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "remote-memory/store.h"
#include "content.h"

bool content_is_zero(const void *page)
{
    return buffer_is_zero(page, REMOTE_STORE_PAGE_SIZE);
}
