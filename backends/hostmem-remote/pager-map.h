/*
 * The map of a pager, as a hand-over says it: at first all of it, and then what
 * has changed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGER_MAP_H
#define REMOTE_MEMORY_PAGER_MAP_H

#include "handover-page.h"
#include "pager.h"

/**
 * DOC: What there is still to say
 *
 * The map is said while the guest runs, so that little is left to be said when
 * it has stopped.  What was said of a page is true until
 *
 * - its entry in the page map changes: the shard's thread sets a bit, see
 *   shard_changed();
 * - the guest writes to it: RAM's dirty bitmap says so, whenever it is brought
 *   up to date, see pager_map_written().
 *
 * Bits are cleared before a page is looked at.  So what changes meanwhile, or
 * later, is said again.
 */

/** PAGER_MAP_PAGES: the map is handled in parts of so many pages at most */
#define PAGER_MAP_PAGES 4096

/**
 * enum PagerMapLook - which pages to read that are mapped in the guest
 * @PAGER_MAP_LOOK: all, to see whether they are as they were put
 * @PAGER_MAP_BELIEVE: not those that the guest has written: they are not
 */
typedef enum PagerMapLook {
    PAGER_MAP_LOOK,
    PAGER_MAP_BELIEVE,
} PagerMapLook;

/** pager_map_begin: nothing has been said.  With the BQL */
void pager_map_begin(RemotePager *pager);

/** pager_map_end: nothing is to be said any more.  With the BQL */
void pager_map_end(RemotePager *pager);

/**
 * pager_map_written: take over what the guest has written
 * @pager: the pager, after pager_map_begin()
 * @dirty: the bitmap of dirty pages, which were not seen yet; cleared
 *
 * In the migration thread.  Returns: how many there were.
 */
uint64_t pager_map_written(RemotePager *pager, unsigned long *dirty);

/**
 * pager_map_next: what there is to say of some pages
 * @pager: the pager, after pager_map_begin()
 * @from: where to begin to look; set to where to go on
 * @look: which pages to read
 * @pages: room for %PAGER_MAP_PAGES; filled in, in order, all of one stripe
 *
 * In the migration thread.  Returns: how many; 0 if there is nothing to be
 * said from there on.
 */
uint32_t pager_map_next(RemotePager *pager, uint64_t *from, PagerMapLook look,
                        HandoverPage *pages);

/**
 * pager_map_sent: which pages were said to be sent
 * @pager: the pager, after pager_map_begin()
 *
 * Returns: a bitmap, owned by @pager.
 */
const unsigned long *pager_map_sent(const RemotePager *pager);

#endif
