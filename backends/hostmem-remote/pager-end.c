/*
 * The end of a pager: see pager.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "ownership.h"
#include "pager.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "shard.h"
#include "system/system.h"

/* How long a store that discards nothing is waited for; at exit, any. */
#define RELEASE_TIMEOUT_MS 10000

/* How often to look, in ms, while others work and while nobody does. */
#define LOOK_MS 10
#define WAIT_MS 1

void pager_end_begin(RemotePager *pager)
{
    if (pager->end != PAGER_RUNS) {
        return;
    }
    pager->end = PAGER_DRAINS;
    pager_balance_stop(pager);
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_stop(&pager->shards[i]);
    }
}

static bool has_in_flight(const RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (shard_has_in_flight(&pager->shards[i])) {
            return true;
        }
    }
    return false;
}

static uint64_t garbage_left(const RemotePager *pager)
{
    uint64_t left = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        left += qatomic_read(&pager->shards[i].nr_garbage);
    }
    return left;
}

/* Pages that are another process's, or that go with the region, stay. */
static void begin_release(RemotePager *pager)
{
    bool release = !REMOTE_STORE_GET_CLASS(pager->store)->transient &&
                   pager->ownership == PAGER_OWNS;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_release(&pager->shards[i], release);
    }
    pager->end_left = UINT64_MAX;
}

/* Returns: whether to look again later. */
static bool still_empties(RemotePager *pager)
{
    uint64_t left = garbage_left(pager);
    int64_t now = g_get_monotonic_time();

    if (left < pager->end_left) {
        pager->end_left = left;
        pager->end_deadline = now + RELEASE_TIMEOUT_MS * 1000LL;
    }
    return left && now < pager->end_deadline;
}

static void give_up_release(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_release(&pager->shards[i], false);
    }
}

static void close_shards(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_close(&pager->shards[i]);
    }
}

/* As far as it goes without waiting.  Returns: whether that is the end. */
static bool end_step(RemotePager *pager)
{
    if (pager->end == PAGER_DRAINS && !has_in_flight(pager)) {
        begin_release(pager);
        pager->end = PAGER_EMPTIES;
    }
    if (pager->end == PAGER_EMPTIES && !still_empties(pager)) {
        give_up_release(pager);
        pager->end = PAGER_RESTS;
    }
    if (pager->end == PAGER_RESTS && !has_in_flight(pager)) {
        close_shards(pager);
        pager->end = PAGER_ENDED;
    }
    return pager->end == PAGER_ENDED;
}

void pager_end_wait(RemotePager *pager)
{
    int64_t end = g_get_monotonic_time() + RELEASE_TIMEOUT_MS * 1000LL;

    while (!end_step(pager)) {
        if (pager->end == PAGER_EMPTIES && g_get_monotonic_time() >= end) {
            pager->end_deadline = 0;
        } else {
            g_usleep(WAIT_MS * 1000);
        }
    }
}

static void end_and_destroy(RemotePager *pager)
{
    qemu_remove_exit_notifier(&pager->exit_notifier);
    timer_free(pager->end_timer);
    pager_destroy(pager);
}

static void end_timer(void *opaque)
{
    RemotePager *pager = opaque;

    if (end_step(pager)) {
        end_and_destroy(pager);
    } else {
        timer_mod(pager->end_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + LOOK_MS);
    }
}

void pager_end_later(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_leave_ram(&pager->shards[i]);
    }
    pager->end_timer = timer_new_ms(QEMU_CLOCK_REALTIME, end_timer, pager);
    end_timer(pager);
}

/* Free what the store holds for us; it may be a server that lives on. */
static void pager_exit(Notifier *n, void *data)
{
    RemotePager *pager = container_of(n, RemotePager, exit_notifier);

    pager_end_begin(pager);
    pager_end_wait(pager);
    if (pager->end_timer) {
        BQL_LOCK_GUARD();
        end_and_destroy(pager);
    }
}

void pager_end_at_exit(RemotePager *pager)
{
    pager->exit_notifier.notify = pager_exit;
    qemu_add_exit_notifier(&pager->exit_notifier);
}
