/*
 * Remote memory: what is known of pages that will be used, or will not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HINTS_H
#define REMOTE_MEMORY_HINTS_H

#include "qemu/typedefs.h"

/**
 * enum RemoteMemoryHint - what is said of pages
 * @REMOTE_MEMORY_HINT_WILLNEED: they will be used soon: fetch them
 * @REMOTE_MEMORY_HINT_COLD: they will not: they go before others
 * @REMOTE_MEMORY_HINT_FORGET: their content is needed no more
 */
typedef enum RemoteMemoryHint {
    REMOTE_MEMORY_HINT_WILLNEED,
    REMOTE_MEMORY_HINT_COLD,
    REMOTE_MEMORY_HINT_FORGET,
} RemoteMemoryHint;

/**
 * remote_memory_hint: somebody who knows says so
 * @rb: the block, in use
 * @start: first byte within @rb, page-aligned
 * @length: in bytes, page-aligned, within @rb
 * @hint: what is said
 *
 * Main thread.  WILLNEED and COLD take time in proportion to the number of
 * pager threads, and change no content.  They may be ignored: later, if there
 * is no room or the store fails.
 *
 * FORGET is done when it returns: the pages read as zeros.  It is refused
 * where a balloon would be inhibited: while a device has memory pinned for
 * good, and while an incoming postcopy has not ended.
 *
 * Returns: false if it is ignored now.
 */
bool remote_memory_hint(RAMBlock *rb, uint64_t start, uint64_t length,
                        RemoteMemoryHint hint);

#endif
