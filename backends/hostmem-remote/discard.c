/*
 * Pages that the guest gives back: balloon, free page reporting, virtio-mem
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "shard.h"
#include "sweep.h"
#include <sys/mman.h>

/*
 * Pages that are given back in one go, so that faults wait half a millisecond
 * at most.  One that is mapped counts as several: its memory has to be freed.
 */
#define DISCARD_PAGES 4096
#define DISCARD_MAPPED_COST 4

/* Forget a page wherever it is. */
static void discard_page(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    switch (page->state) {
    case PAGE_FETCHING:
        /* The request cannot be called back: see fetch_void(). */
        if (!page_has(page, PAGE_GIVEN_BACK)) {
            page->flags |= PAGE_GIVEN_BACK;
            shard_changed(s, index);
            shard_count(&s->stats.discarded, 1);
        }
        return;
    case PAGE_STANDBY:
        if (s->standby.slots[page->slot].state != SLOT_BUSY) {
            standby_set(&s->standby, page->slot, SLOT_STALE);
        }
        break;
    case PAGE_RESIDENT:
        budget_drop(&s->budget, 1);
        break;
    case PAGE_ZERO:
        return;
    case PAGE_SOURCE:
        /* It will come, and nobody knows what with: that is as good. */
        return;
    }
    shard_move(s, index, PAGE_ZERO);
    sweep_mark(s, index);
    shard_count(&s->stats.discarded, 1);
}

/*
 * Forget pages from @first on, until it is enough for one go.  Pages that were
 * never touched, or all given back before, do not count.  Returns: how many.
 */
static uint32_t discard_some(RemoteShard *s, uint32_t first, uint32_t nr)
{
    uint32_t done = 0, cost = 0;

    while (done < nr) {
        uint32_t zeros = page_map_zeros(&s->map, first + done, nr - done);

        if (zeros) {
            done += zeros;
        } else if (cost < DISCARD_PAGES) {
            cost += page_map_get(&s->map, first + done)->state == PAGE_RESIDENT
                    ? DISCARD_MAPPED_COST : 1;
            discard_page(s, first + done++);
        } else {
            break;
        }
    }
    return done;
}

int discard_range(RemoteShard *s, uint32_t first, uint32_t *nr)
{
    int ret = 0;

    *nr = discard_some(s, first, *nr);
    /*
     * In this thread, so that map and memory agree: a page that is touched
     * now faults, and its event is read after this.
     */
    if (madvise(shard_host(s, first), (size_t)*nr * REMOTE_STORE_PAGE_SIZE,
                MADV_DONTNEED)) {
        ret = -errno;
    }
    shard_kick(s);
    return ret;
}
