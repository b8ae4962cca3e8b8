/*
 * Recovery: what a shard does while its store fails
 *
 * A request that fails leaves its page where it was: a page that was to be
 * fetched is REMOTE, a page that was to be written is in its standby slot.
 * The shard then backs off from operations of this kind: faults that need a
 * page from the store, or room that only writing can make, are parked, and
 * tried again after a while.  After a few
 * tries in vain the pager is told, which sends an event and stops the VM.
 * Trying goes on all the same: threads other than vCPUs may be waiting, with
 * the BQL held, and then nobody could say "cont".
 *
 * Parked and held.  A vCPU that sleeps in a fault cannot be stopped, so
 * remote_memory_vcpus_parked() lets it count as paused, and holds it: until
 * the VM runs again its page is not placed, even if the store gives it.  The
 * main thread marks who is held, so @park_lock is needed to look at the marks;
 * the list itself is changed only by the shard's thread, under the lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "shard.h"
#include "trace.h"

/* Tries before the operator is told; then further ones, less often. */
#define TRIES 3
#define RETRY_FAST_MS 100
#define RETRY_SLOW_MS 1000

static void clear_error(RemoteShard *s)
{
    qatomic_set(&s->error, false);
    qemu_bh_schedule(s->pager->error_bh);
}

static void recovery_timer(void *opaque)
{
    RemoteShard *s = opaque;

    s->failed_ops = 0;
    if (s->error && !s->nr_parked && s->standby.scan == s->standby.head) {
        /* What failed is not needed any more. */
        clear_error(s);
    }
    shard_kick(s);
}

void recovery_init(RemoteShard *s)
{
    qemu_mutex_init(&s->park_lock);
    QTAILQ_INIT(&s->parked);
    s->retry_timer = aio_timer_new(s->ctx, QEMU_CLOCK_REALTIME, SCALE_MS,
                                   recovery_timer, s);
}

void recovery_destroy(RemoteShard *s)
{
    if (s->retry_timer) {
        timer_free(s->retry_timer);
        qemu_mutex_destroy(&s->park_lock);
    }
}

void recovery_look_again(RemoteShard *s, int ms)
{
    if (!timer_pending(s->retry_timer)) {
        timer_mod(s->retry_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
    }
}

void recovery_succeeded(RemoteShard *s, RemoteMemoryOperation op)
{
    s->failures[op] = 0;
    if (s->error && !s->failures[REMOTE_MEMORY_OPERATION_READ] &&
        !s->failures[REMOTE_MEMORY_OPERATION_WRITE]) {
        clear_error(s);
    }
}

/* Who waits for room waits for the store now. */
static void park_for_room(RemoteShard *s)
{
    Waiter *waiter;

    while ((waiter = QTAILQ_FIRST(&s->for_room))) {
        QTAILQ_REMOVE(&s->for_room, waiter, next);
        recovery_park(s, waiter);
    }
}


void recovery_failed(RemoteShard *s, RemoteMemoryOperation op,
                     RemoteStoreResult result, const char *reason)
{
    /* Many in flight fail together: that is one try. */
    if (!(s->failed_ops & (1u << op))) {
        s->failed_ops |= 1u << op;
        s->failures[op]++;
    }
    trace_remote_memory_error(s->pager->id, s->index,
                              RemoteMemoryOperation_str(op), reason ?: "");
    shard_count(&s->stats.errors, 1);
    if (result == REMOTE_STORE_MISSING) {
        /* Asking again does not bring it back. */
        s->failures[op] = MAX(s->failures[op], TRIES);
    }
    if (s->failures[op] >= TRIES) {
        qatomic_set(&s->error, true);
        pager_error(s->pager, op, reason);
    }
    timer_del(s->retry_timer);
    recovery_look_again(s, s->failures[op] >= TRIES ? RETRY_SLOW_MS
                                                    : RETRY_FAST_MS);
    if (op == REMOTE_MEMORY_OPERATION_WRITE) {
        park_for_room(s);
    }
}

void recovery_vanished(RemoteShard *s, uint32_t index)
{
    g_autofree char *reason =
        g_strdup_printf("page %" PRIu64 " was dropped from guest RAM by "
                        "something other than the pager",
                        shard_store_page(s, index));

    shard_count(&s->stats.errors, 1);
    qatomic_set(&s->error, true);
    s->failures[REMOTE_MEMORY_OPERATION_READ] = TRIES;
    pager_error(s->pager, REMOTE_MEMORY_OPERATION_READ, reason);
    recovery_look_again(s, RETRY_SLOW_MS);
}

void recovery_park(RemoteShard *s, Waiter *waiter)
{
    QEMU_LOCK_GUARD(&s->park_lock);

    waiter->held = false;
    QTAILQ_INSERT_TAIL(&s->parked, waiter, next);
    qatomic_set(&s->nr_parked, s->nr_parked + 1);
}

bool recovery_lock(RemoteShard *s)
{
    if (!s->nr_parked) {
        return false;
    }
    qemu_mutex_lock(&s->park_lock);
    return true;
}

void recovery_unlock(RemoteShard *s, bool locked)
{
    if (locked) {
        qemu_mutex_unlock(&s->park_lock);
    }
}

bool recovery_page_held(const RemoteShard *s, uint32_t index)
{
    Waiter *waiter;

    if (!s->nr_parked) {
        return false;
    }
    QTAILQ_FOREACH(waiter, &s->parked, next) {
        if (waiter->held && waiter->page == index) {
            return true;
        }
    }
    return false;
}

static void recovery_resume_bh(void *opaque)
{
    RemoteShard *s = opaque;

    if (!s->stopping) {
        memset(s->failures, 0, sizeof(s->failures));
        recovery_timer(s);
    }
}

void recovery_resume(RemoteShard *s)
{
    Waiter *waiter;

    WITH_QEMU_LOCK_GUARD(&s->park_lock) {
        QTAILQ_FOREACH(waiter, &s->parked, next) {
            waiter->held = false;
        }
    }
    aio_bh_schedule_oneshot(s->ctx, recovery_resume_bh, s);
}
