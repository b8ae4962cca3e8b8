/*
 * Unit tests: standby ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "standby.h"

#define NR 16

static void fill(Standby *ring, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        standby_push(ring, 100 + i);
    }
}

/* Dropping a page that is not written yet loses it. */
static void test_run_stops(void)
{
    Standby ring;
    uint32_t first;

    g_assert_true(standby_init(&ring, NR));
    fill(&ring, 5);
    g_assert_cmpuint(standby_run(&ring, NR, &first), ==, 0);
    standby_set(&ring, 0, SLOT_CLEAN);
    standby_set(&ring, 1, SLOT_ZERO);
    standby_set(&ring, 2, SLOT_BUSY);
    standby_set(&ring, 3, SLOT_CLEAN);
    g_assert_cmpuint(standby_run(&ring, NR, &first), ==, 2);
    g_assert_cmpuint(first, ==, 0);
    standby_set(&ring, 2, SLOT_STALE);
    g_assert_cmpuint(standby_run(&ring, NR, &first), ==, 4);
    standby_destroy(&ring);
}

/* Dropping more than was asked for takes pages that are still in use. */
static void test_run_max(void)
{
    Standby ring;
    uint32_t first;

    g_assert_true(standby_init(&ring, NR));
    fill(&ring, 6);
    for (int i = 0; i < 6; i++) {
        standby_set(&ring, i, SLOT_CLEAN);
    }
    standby_set(&ring, 1, SLOT_EMPTY);
    /* Slot 1 is a hole, which costs nothing. */
    g_assert_cmpuint(standby_run(&ring, 2, &first), ==, 3);
    standby_pop(&ring, 3);
    g_assert_cmpuint(ring.filled, ==, 3);
    g_assert_cmpuint(standby_run(&ring, 1, &first), ==, 1);
    g_assert_cmpuint(first, ==, 3);
    standby_destroy(&ring);
}

/* A ring that hands out a slot in use overwrites a page. */
static void test_full(void)
{
    Standby ring;
    uint32_t first;

    g_assert_true(standby_init(&ring, NR));
    fill(&ring, NR);
    g_assert_cmpuint(standby_room(&ring), ==, 0);
    standby_set(&ring, 0, SLOT_EMPTY);
    /* A hole is no room before the tail has passed it. */
    g_assert_cmpuint(standby_room(&ring), ==, 0);
    standby_pop(&ring, standby_run(&ring, 1, &first));
    g_assert_cmpuint(standby_room(&ring), ==, 1);
    standby_destroy(&ring);
}

/* Room across the end of the memory is not one move. */
static void test_wrap(void)
{
    Standby ring;
    uint32_t first;

    g_assert_true(standby_init(&ring, NR));
    fill(&ring, NR - 2);
    for (int i = 0; i < NR - 2; i++) {
        standby_set(&ring, i, SLOT_CLEAN);
    }
    standby_pop(&ring, 10);
    g_assert_cmpuint(standby_room(&ring), ==, 2);
    fill(&ring, 2);
    g_assert_cmpuint(standby_room(&ring), ==, 10);
    g_assert_cmpuint(standby_push(&ring, 7), ==, 0);
    standby_set(&ring, NR - 2, SLOT_CLEAN);
    standby_set(&ring, NR - 1, SLOT_CLEAN);
    standby_set(&ring, 0, SLOT_CLEAN);
    g_assert_cmpuint(standby_run(&ring, NR, &first), ==, 6);
    standby_pop(&ring, 6);
    g_assert_cmpuint(standby_run(&ring, NR, &first), ==, 1);
    g_assert_cmpuint(first, ==, 0);
    standby_destroy(&ring);
}

/* A page whose put failed and that is not examined again never leaves. */
static void test_scan(void)
{
    Standby ring;
    uint32_t index;

    g_assert_true(standby_init(&ring, NR));
    g_assert_false(standby_next_dirty(&ring, &index));
    fill(&ring, 4);
    for (uint32_t i = 0; i < 4; i++) {
        g_assert_true(standby_next_dirty(&ring, &index));
        g_assert_cmpuint(index, ==, i);
        standby_set(&ring, index, SLOT_BUSY);
    }
    g_assert_false(standby_next_dirty(&ring, &index));
    standby_set(&ring, 3, SLOT_DIRTY);
    standby_set(&ring, 1, SLOT_DIRTY);
    g_assert_true(standby_next_dirty(&ring, &index));
    g_assert_cmpuint(index, ==, 1);
    standby_set(&ring, 1, SLOT_CLEAN);
    g_assert_true(standby_next_dirty(&ring, &index));
    g_assert_cmpuint(index, ==, 3);
    standby_destroy(&ring);
}

/*
 * If this fails, an evacuation ends while pages are still here only; or never,
 * because a guest that runs has new ones all the time.
 */
static void test_written(void)
{
    Standby ring;
    uint64_t from = 0, to;

    g_assert_true(standby_init(&ring, NR));
    g_assert_true(standby_written(&ring, &from, 0));
    fill(&ring, 5);
    to = ring.head;
    fill(&ring, 3);
    standby_set(&ring, 0, SLOT_CLEAN);
    standby_set(&ring, 1, SLOT_BUSY);
    g_assert_false(standby_written(&ring, &from, to));
    g_assert_cmpuint(from, ==, 1);
    standby_set(&ring, 2, SLOT_ZERO);
    standby_set(&ring, 3, SLOT_EMPTY);
    /* The put has failed. */
    standby_set(&ring, 1, SLOT_DIRTY);
    g_assert_false(standby_written(&ring, &from, to));
    standby_set(&ring, 1, SLOT_CLEAN);
    g_assert_false(standby_written(&ring, &from, to));
    g_assert_cmpuint(from, ==, 4);
    standby_set(&ring, 4, SLOT_STALE);
    /* The tail may be past it, and slots be used again. */
    standby_pop(&ring, 5);
    fill(&ring, 8);
    g_assert_true(standby_written(&ring, &from, to));
    g_assert_cmpuint(from, ==, to);
    standby_destroy(&ring);
}

/* Whatever happens, the counter is that of the slots. */
static void test_random(void)
{
    Standby ring;

    g_assert_true(standby_init(&ring, NR));
    for (int i = 0; i < 100000; i++) {
        uint32_t index = g_test_rand_int_range(0, NR), first;
        uint64_t filled = 0;

        switch (g_test_rand_int_range(0, 3)) {
        case 0:
            if (standby_room(&ring)) {
                standby_push(&ring, i);
            }
            break;
        case 1:
            if (ring.slots[index].state != SLOT_EMPTY) {
                standby_set(&ring, index, g_test_rand_int_range(SLOT_EMPTY,
                                                                SLOT_STALE));
            }
            break;
        default:
            standby_pop(&ring, standby_run(&ring, index, &first));
        }
        for (int j = 0; j < NR; j++) {
            filled += ring.slots[j].state != SLOT_EMPTY;
        }
        g_assert_cmpuint(filled, ==, ring.filled);
        g_assert_cmpuint(ring.tail, <=, ring.scan);
        g_assert_cmpuint(ring.scan, <=, ring.head);
        g_assert_cmpuint(ring.head - ring.tail, <=, NR);
    }
    standby_destroy(&ring);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/standby/run-stops", test_run_stops);
    g_test_add_func("/remote-memory/standby/run-max", test_run_max);
    g_test_add_func("/remote-memory/standby/full", test_full);
    g_test_add_func("/remote-memory/standby/wrap", test_wrap);
    g_test_add_func("/remote-memory/standby/scan", test_scan);
    g_test_add_func("/remote-memory/standby/written", test_written);
    g_test_add_func("/remote-memory/standby/random", test_random);
    return g_test_run();
}
