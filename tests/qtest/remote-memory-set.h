/*
 * QTest: a guest that works with a part of its memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SET_H
#define REMOTE_MEMORY_SET_H

#include "libqtest.h"

/* The pages that the guest has written; much more than the cache. */
#define SET_TOTAL 15000
#define SET_CACHE "2M"
#define SET_CACHE_PAGES 512

/* What it works with. */
#define SET_PAGES (SET_CACHE_PAGES / 2)

/** RmVisit: a way to read memory */
typedef void RmVisit(QTestState *qts);

/*
 * Of these, so many may be missed after a visit: what visitors have room for,
 * and what evictions lag behind (see the unit test of replacement).
 */
#define SET_MISSED (SET_CACHE_PAGES / 8)

/**
 * rm_set_work: let the guest work until what it works with is in its cache
 * @qts: the VM; the cache of its memory is SET_CACHE
 * @nr: how many pages it has written then, version 1
 */
void rm_set_work(QTestState *qts, uint32_t nr);

/**
 * rm_set_cost: work once more
 *
 * Returns: how many pages are fetched for that.
 */
uint64_t rm_set_cost(QTestState *qts);

/**
 * rm_set_check_stays: what the guest works with stays while somebody reads
 * @qts: the VM, after rm_set_work() with SET_TOTAL pages
 * @visit: reads memory, as one who only passes through
 * @least: so many pages have to be fetched for that
 */
void rm_set_check_stays(QTestState *qts, RmVisit *visit, uint64_t least);

#endif
