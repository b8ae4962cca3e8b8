/*
 * QTest: a guest that works with a part of its memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory-lib.h"
#include "remote-memory-set.h"

/* The pages that it works with are apart, in an order that is no stream. */
#define STEP 16
#define ORDER 37

static void touch_set(QTestState *qts)
{
    for (uint32_t i = 0; i < SET_PAGES; i++) {
        rm_check_pages(qts, i * ORDER % SET_PAGES * STEP, 1, 1);
    }
}

uint64_t rm_set_cost(QTestState *qts)
{
    uint64_t before = rm_query_member(qts, "fetched-pages");

    touch_set(qts);
    return rm_query_member(qts, "fetched-pages") - before;
}

/* The guest touches much, and some of it again and again, until that stays. */
void rm_set_work(QTestState *qts, uint32_t nr)
{
    rm_write_pages(qts, 0, nr, 1);
    for (uint32_t i = 0; i < 8 || rm_set_cost(qts); i++) {
        touch_set(qts);
        for (uint32_t k = 0; k < SET_CACHE_PAGES / 8; k++) {
            rm_check_pages(qts, g_test_rand_int_range(nr / 2, nr), 1, 1);
        }
        g_assert_cmpuint(i, <, 1000);
    }
}

void rm_set_check_stays(QTestState *qts, RmVisit *visit, uint64_t least)
{
    uint64_t before = rm_query_member(qts, "visited-pages"), visited, missed;

    visit(qts);
    visited = rm_query_member(qts, "visited-pages") - before;
    missed = rm_set_cost(qts);
    g_test_message("%" PRIu64 " pages fetched for visitors, then %" PRIu64
                   " for %u pages in use", visited, missed, SET_PAGES);
    g_assert_cmpuint(missed, <=, SET_MISSED);
    g_assert_cmpuint(visited, >=, least);
    rm_check_pages(qts, 0, SET_TOTAL, 1);
    g_assert_cmpuint(rm_query_member(qts, "visited-pages"), ==,
                     before + visited);
    rm_check_sane(qts);
}
