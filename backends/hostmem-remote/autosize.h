/*
 * Autosize: which size should the cache have?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_AUTOSIZE_H
#define REMOTE_MEMORY_AUTOSIZE_H

/**
 * DOC: Automatic sizing
 *
 * The user says which part of the guest's time may be spent on waiting for
 * pages, the *target*.  Time that is waited is what a cache that is too small
 * costs, whatever the store and the guest do; so it is what to steer by, as in
 * TMO (Weiner et al., "TMO: Transparent Memory Offloading in Datacenters",
 * ASPLOS 2022).  There a controller has to find out the effect of each step by
 * making it.  Here it is predicted by models of caches of other sizes (see
 * estimate.h), a curve that VMware ESX, with one sample size, has one point of
 * (Waldspurger, "Memory Resource Management in VMware ESX Server", OSDI 2002)::
 *
 *     wait  ^
 *           |\                 1.25  more than that: grow, at once, to where
 *           | \                      the curve meets the target
 *     1.25 -|--\-------------
 *     1    -|---\------------  0.8   if the curve is below that one small step
 *     0.8  -|----\__---------        to the left: make this step, and wait
 *           |       \_______
 *           +----------------> size
 *
 * What keeps it from going up and down: the distance between the two bounds;
 * that a step down is small, and predicted; that only what a full cache does
 * counts as pressure, not how it becomes full; and that after a step down which
 * turned out wrong no other is made to that size for some time, and for twice
 * that time if it turns out wrong again.
 *
 * If a larger cache would fetch as much, as for a scan of more memory than any
 * cache would hold, it does not grow.
 *
 * If threads wait and nobody gets a page, it is the store that hangs.  Neither
 * that time nor what is waited in all when it ends says anything of the size.
 *
 * Nobody uses the pages of an idle guest, so the curve is flat, and the cache
 * goes down to the least size step by step: to half in 66 seconds.
 *
 * Without a curve (the cache is tiny, or has never been full) it grows by a
 * quarter at a time, and a step down is made if little is waited.
 *
 * Pure policy: figures go in, a size comes out.  All is computed in integers.
 */

/** AUTOSIZE_POINTS: how many sizes the curve may have */
#define AUTOSIZE_POINTS 8

/** AUTOSIZE_TARGET_MAX: the largest target, in thousandths */
#define AUTOSIZE_TARGET_MAX 900

/**
 * struct AutosizeConfig - what the user wants
 * @min: the least size, in pages, above 0
 * @max: the largest, at least @min
 * @target: share of the guest's time that may be waited, in thousandths; from
 *     1 to AUTOSIZE_TARGET_MAX
 */
typedef struct AutosizeConfig {
    uint64_t min;
    uint64_t max;
    unsigned target;
} AutosizeConfig;

/**
 * struct AutosizePoint - what a cache of another size would do
 * @size: in pages
 * @fetched: pages that it would have fetched
 */
typedef struct AutosizePoint {
    uint64_t size;
    uint64_t fetched;
} AutosizePoint;

/**
 * struct AutosizeTick - what was seen since the tick before
 * @passed: time, in ns
 * @vcpus: how many threads there are that could have waited, above 0
 * @waiting: how many of them wait for a page now
 * @waited: time that they waited for pages that they have by now, summed up,
 *     in ns
 * @fetched: pages that they waited for
 * @size: of the cache now, in pages
 * @used: of these, now
 * @nr_points: of the curve, or 0 if there is none
 * @curve: in ascending order of sizes; one of them is @size
 */
typedef struct AutosizeTick {
    uint64_t passed;
    unsigned vcpus;
    unsigned waiting;
    uint64_t waited;
    uint64_t fetched;
    uint64_t size;
    uint64_t used;
    unsigned nr_points;
    AutosizePoint curve[AUTOSIZE_POINTS];
} AutosizeTick;

/**
 * struct Autosize - the controller
 * @config: what the user wants
 * @now: sum of all time that has passed, in ns
 * @window: sums since the size has changed by much, or the guest its ways; old
 *     figures count less
 * @recent: likewise, but since the size has changed at all
 * @full: whether the cache was full at the last tick
 * @hung: whether threads waited in vain at the last tick
 * @cost: time that was waited for a page of the curve when it was last known,
 *     in ns
 * @shrunk: when the last step down was made, or 0
 * @hold: after a wrong step down, none for so long, in ns
 * @held_until: no step below @floor until then
 * @floor: in pages
 */
typedef struct Autosize {
    AutosizeConfig config;
    uint64_t now;
    AutosizeTick window;
    AutosizeTick recent;
    bool full;
    bool hung;
    uint64_t cost;
    uint64_t shrunk;
    uint64_t hold;
    uint64_t held_until;
    uint64_t floor;
} Autosize;

/** autosize_init: begin, with nothing known */
void autosize_init(Autosize *a, const AutosizeConfig *config);

/** autosize_configure: the user wants something else now */
void autosize_configure(Autosize *a, const AutosizeConfig *config);

/**
 * autosize_tick: some time has passed
 * @a: the controller
 * @tick: what was seen; a second or less, so that it can act at once
 *
 * Returns: the size that the cache should have from now on, in pages; within
 * the bounds whatever the present one is.
 */
uint64_t autosize_tick(Autosize *a, const AutosizeTick *tick);

/**
 * autosize_share: which share of the time was waited of late?
 *
 * Returns: thousandths.
 */
unsigned autosize_share(const Autosize *a);

#endif
