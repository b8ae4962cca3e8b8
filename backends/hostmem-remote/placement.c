/*
 * Placement: should a pager share a CPU with the threads that it serves?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "placement.h"

/*
 * Of one CPU, in percent, what may be in use for sharing it to be of use: the
 * rest is what hand-offs cost at least, when they are few and cheap.
 */
#define BUSY_PERCENT 75

void placement_init(Placement *p, int64_t now)
{
    *p = (Placement) { .since = now, .hold = PLACEMENT_HOLD_MIN_NS };
}

static PlacementAdvice leave(Placement *p)
{
    p->together = false;
    return PLACEMENT_RELEASE;
}

static PlacementAdvice advise_together(Placement *p, int64_t now, bool many)
{
    if (!many) {
        p->hold = PLACEMENT_HOLD_MIN_NS;
        return leave(p);
    }
    return now >= p->until ? leave(p) : PLACEMENT_KEEP;
}

static PlacementAdvice advise_apart(Placement *p, int64_t now, int64_t busy,
                                    bool many)
{
    int64_t elapsed = now - p->since;

    if (!many || busy * 100 > elapsed * BUSY_PERCENT) {
        p->hold = PLACEMENT_HOLD_MIN_NS;
        return PLACEMENT_KEEP;
    }
    p->together = true;
    p->until = now + p->hold;
    p->hold = MIN(p->hold * 2, PLACEMENT_HOLD_MAX_NS);
    return PLACEMENT_GATHER;
}

PlacementAdvice placement_advise(Placement *p, int64_t now, int64_t busy)
{
    bool many = p->faults >= PLACEMENT_WINDOW_FAULTS;
    PlacementAdvice advice = p->together ? advise_together(p, now, many)
                                         : advise_apart(p, now, busy, many);

    p->faults = 0;
    p->since = now;
    return advice;
}
