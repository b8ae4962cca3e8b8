/*
 * How many hints a guest may give: a token bucket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hint-limit.h"
#include "qemu/timer.h"

void hint_limit_init(HintLimit *limit, uint32_t rate, int64_t now)
{
    assert(rate);
    *limit = (HintLimit) { .rate = rate, .pages = rate, .since = now };
}

/* What is left of a page's time counts for the next one. */
static void fill(HintLimit *limit, int64_t now)
{
    uint64_t elapsed = now - limit->since, come;

    if (now < limit->since) {
        limit->since = now;
        return;
    }
    if (elapsed >= NANOSECONDS_PER_SECOND) {
        hint_limit_init(limit, limit->rate, now);
        return;
    }
    come = elapsed * limit->rate / NANOSECONDS_PER_SECOND;
    if (come >= limit->rate - limit->pages) {
        hint_limit_init(limit, limit->rate, now);
        return;
    }
    limit->pages += come;
    limit->since += DIV_ROUND_UP(come * NANOSECONDS_PER_SECOND, limit->rate);
}

uint32_t hint_limit_take(HintLimit *limit, uint32_t nr, int64_t now)
{
    fill(limit, now);
    nr = MIN(nr, limit->pages);
    limit->pages -= nr;
    return nr;
}
