/*
 * Placement: should a pager share a CPU with the threads that it serves?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "placement.h"

/* With fewer faults in a window, hand-offs do not matter. */
#define FEW_FAULTS 16

void placement_init(Placement *p, int64_t now, int64_t handoff)
{
    *p = (Placement) {
        .since = now, .hold = PLACEMENT_HOLD_MIN_NS, .handoff = handoff,
    };
}

void placement_restart(Placement *p, int64_t now)
{
    p->faults = 0;
    p->flushes = 0;
    p->since = now;
}

static void decide(Placement *p, int64_t now, int64_t busy)
{
    int64_t overlap = busy - (now - p->since);
    bool much = overlap > p->handoff * (p->faults + p->flushes);
    PlacementState decision = much ? PLACEMENT_POLLING : PLACEMENT_TOGETHER;

    if (decision != p->decision) {
        p->hold = PLACEMENT_HOLD_MIN_NS;
    }
    p->decision = decision;
    p->state = decision;
    p->until = now + p->hold;
    p->hold = MIN(p->hold * 2, PLACEMENT_HOLD_MAX_NS);
}

PlacementState placement_advise(Placement *p, int64_t now, int64_t busy)
{
    if (p->faults < FEW_FAULTS) {
        p->state = PLACEMENT_APART;
        p->hold = PLACEMENT_HOLD_MIN_NS;
    } else if (p->state == PLACEMENT_APART) {
        decide(p, now, busy);
    } else if (now >= p->until) {
        p->state = PLACEMENT_APART;
    }
    placement_restart(p, now);
    return p->state;
}
