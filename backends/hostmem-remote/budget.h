/*
 * Budget of a shard: how much local memory it may use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_BUDGET_H
#define REMOTE_MEMORY_BUDGET_H

/**
 * DOC: The budget
 *
 * All figures are pages.  What counts as used is resident, standby and in
 * flight.  Two marks keep evictions off the path of a fault: when less than
 * the reserve r is left, evictions and drops go on until twice the reserve is
 * free, so that a burst of faults finds room and they come in batches::
 *
 *     0                    target - 2r   target - r   target
 *     |------- used -------->|<--- evict --|<- here --->|
 *
 * While the target is being lowered, the limit follows it down.  Each page
 * that is dropped lowers the limit by half a page: the other half is left to
 * the guest's faults.  So a busy guest neither stops the shrinking nor waits
 * for its end.
 */

/** BUDGET_MIN_PAGES: least local memory with which a shard works well */
#define BUDGET_MIN_PAGES 32

/**
 * struct Budget - local memory of a shard, in pages
 * @pages: the shard's share of the guest's RAM
 * @target: what was asked for
 * @limit: bound at this moment: @target, or on the way down to it, or more
 *     by budget_grant()
 * @used: pages taken
 * @debt: half pages by which @limit has still to go down (0 or 1)
 * @owed: evictions to be made up for pages that came
 */
typedef struct Budget {
    uint32_t pages;
    uint32_t target;
    uint32_t limit;
    uint32_t used;
    uint32_t debt;
    uint32_t owed;
} Budget;

/** budget_init: nothing used, @target of @pages allowed */
void budget_init(Budget *budget, uint32_t pages, uint32_t target);

/** budget_set_target: change the target, up or down */
void budget_set_target(Budget *budget, uint32_t target);

/** budget_open: let all pages be local, until budget_set_target() */
void budget_open(Budget *budget);

/** budget_take: use one more page.  Returns: false if there is no room */
bool budget_take(Budget *budget);

/**
 * budget_visit: the same, for a page that is local for visitors only
 *
 * No eviction is owed for it: it goes before others do.
 */
bool budget_visit(Budget *budget);

/**
 * budget_grant: let one more page be taken, whether there is room or not
 *
 * Returns: by how many pages the limit went up: 1, or 0 if there is room.
 */
unsigned budget_grant(Budget *budget);

/** budget_release: give a page back that was taken in vain */
void budget_release(Budget *budget);

/** budget_drop: @n pages were dropped; follows the target down */
void budget_drop(Budget *budget, uint32_t n);

/** budget_shrinking: may more be used than the target allows, for now? */
static inline bool budget_shrinking(const Budget *budget)
{
    return budget->limit > budget->target;
}

/**
 * budget_excess: how many pages to drop now
 * @budget: the budget
 *
 * Returns: 0 as long as the reserve is there.
 */
uint32_t budget_excess(const Budget *budget);

/**
 * budget_standby_goal: how many pages should be in standby at most
 * @budget: the budget
 *
 * Enough that the oldest are written by the time that their room is needed,
 * and that a page in use is refaulted before it is dropped.
 */
uint32_t budget_standby_goal(const Budget *budget);

/**
 * budget_evict_want: how many pages to evict now, at best
 * @budget: the budget
 * @standby: how many are in standby
 *
 * Returns: 0 as long as there is room for three times the reserve.
 */
uint32_t budget_evict_want(const Budget *budget, uint32_t standby);

/** budget_evicted: @n pages went to standby */
void budget_evicted(Budget *budget, uint32_t n);

/**
 * budget_spare: how much room is there for pages that nobody waits for?
 * @budget: the budget
 *
 * Half of the reserve is left to those that somebody waits for.
 */
uint32_t budget_spare(const Budget *budget);

/**
 * budget_idle: how much room is there that nobody would miss?
 * @budget: the budget
 *
 * If it is taken, still nothing has to be evicted.
 */
uint32_t budget_idle(const Budget *budget);

/** budget_fetch_depth: how many fetches may be in flight, at least 1 */
uint32_t budget_fetch_depth(const Budget *budget);

#endif
