/*
 * Budget of a shard: room, reserve and the way down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "budget.h"

/*
 * The reserve: 1/64 of the cache, so that it costs little, but at least what
 * one instruction can touch and at most what a burst of faults uses up while
 * a batch of evictions is made.
 */
#define RESERVE_SHIFT 6
#define RESERVE_MIN 4
#define RESERVE_MAX 256

/*
 * Standby: 1/16 of the cache.  With 1/8, guests that run Zipf accesses or a
 * breadth-first search in half of their memory fetch as much (within 2 %), but
 * refault twice as often, which makes 6 to 13 and 17 % more faults.  With
 * less, puts have less time, and a page in use is more often fetched once more
 * before it is known to be.
 */
#define STANDBY_SHIFT 4
/* At least what a stream's marker needs to be there when it is reached. */
#define STANDBY_MIN 16
#define STANDBY_MIN_SHIFT 2

/*
 * Evictions for each page that comes, until standby is full: one replaces what
 * had to be dropped for it, the others make up for refaults.  So when more
 * pages are refaulted than come, standby gets smaller, down to nothing if what
 * the guest uses fits in the cache.
 */
#define EVICTIONS_PER_PAGE 2

/* Standby is refilled by so many at a time, at least: batches cost less. */
#define REFILL_MIN 64

/* While there is more room than so many reserves, it is not. */
#define REFILL_RESERVES 3

/* Fetches that have no room to arrive in must not take the whole cache. */
#define FETCH_SHIFT 2

static uint32_t reserve(const Budget *budget)
{
    if (budget->target >= budget->pages) {
        /* All fit, but for slots that nobody needs any more. */
        return 1;
    }
    return MIN(MAX(budget->target >> RESERVE_SHIFT, RESERVE_MIN), RESERVE_MAX);
}

void budget_init(Budget *budget, uint32_t pages, uint32_t target)
{
    *budget = (Budget) { .pages = pages, .target = target, .limit = target };
}

/*
 * On the way down, room that is not used is given back.  What was reached is
 * held from then on.
 */
static void lower_limit(Budget *budget, uint32_t limit)
{
    budget->limit = budget->used > budget->target
                    ? MIN(limit, budget->used + reserve(budget))
                    : budget->target;
}

void budget_set_target(Budget *budget, uint32_t target)
{
    budget->target = target;
    lower_limit(budget, budget->limit);
    budget->debt = 0;
}

void budget_open(Budget *budget)
{
    /* More than all pages: slots that nobody needs any more come on top. */
    budget->target = budget->limit = UINT32_MAX;
    budget->debt = 0;
}

static void set_used(Budget *budget, uint32_t used)
{
    /* Read by other threads for the statistics. */
    qatomic_set(&budget->used, used);
}

bool budget_visit(Budget *budget)
{
    if (budget->used >= budget->limit) {
        return false;
    }
    set_used(budget, budget->used + 1);
    return true;
}

bool budget_take(Budget *budget)
{
    if (!budget_visit(budget)) {
        return false;
    }
    budget->owed = MIN(budget->owed + EVICTIONS_PER_PAGE,
                       budget_standby_goal(budget));
    return true;
}

unsigned budget_grant(Budget *budget)
{
    if (budget->used < budget->limit) {
        return 0;
    }
    budget->limit = budget->used + 1;
    return 1;
}

void budget_release(Budget *budget)
{
    assert(budget->used > 0);
    set_used(budget, budget->used - 1);
    lower_limit(budget, budget->limit);
}

void budget_drop(Budget *budget, uint32_t n)
{
    uint32_t down;

    assert(budget->used >= n);
    set_used(budget, budget->used - n);
    if (budget->limit > budget->target) {
        budget->debt += n;
        down = MIN(budget->debt / 2, budget->limit - budget->target);
        budget->debt %= 2;
        lower_limit(budget, budget->limit - down);
    }
}

uint32_t budget_excess(const Budget *budget)
{
    uint32_t r = reserve(budget);

    if (budget->used + r <= budget->target) {
        return 0;
    }
    return budget->used + 2 * r - budget->target;
}

uint32_t budget_standby_goal(const Budget *budget)
{
    return MAX(budget->target >> STANDBY_SHIFT,
               MIN(STANDBY_MIN, budget->target >> STANDBY_MIN_SHIFT));
}

uint32_t budget_evict_want(const Budget *budget, uint32_t standby)
{
    uint32_t excess = budget_excess(budget);
    uint32_t goal = budget_standby_goal(budget);
    uint32_t need = excess > standby ? excess - standby : 0;
    uint32_t refill = goal > standby ? MIN(goal - standby, budget->owed) : 0;

    if (budget->target >= budget->pages) {
        return 0;
    }
    if (budget->used + REFILL_RESERVES * reserve(budget) < budget->target ||
        refill < MIN(REFILL_MIN, goal / 2)) {
        refill = 0;
    }
    return MAX(need, refill);
}

void budget_evicted(Budget *budget, uint32_t n)
{
    budget->owed -= MIN(budget->owed, n);
}

uint32_t budget_spare(const Budget *budget)
{
    uint32_t others = budget->used + reserve(budget) / 2;

    return budget->limit == budget->target && others < budget->limit
           ? budget->limit - others : 0;
}

uint32_t budget_idle(const Budget *budget)
{
    bool all_fit = budget->target >= budget->pages;
    uint32_t kept = reserve(budget) * (all_fit ? 1 : REFILL_RESERVES) +
                    !all_fit;
    uint32_t others = budget->used + kept;

    return budget->limit == budget->target && others < budget->limit
           ? budget->limit - others : 0;
}

uint32_t budget_fetch_depth(const Budget *budget)
{
    return MAX(budget->limit >> FETCH_SHIFT, 1);
}
