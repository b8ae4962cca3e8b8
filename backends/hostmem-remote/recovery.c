/*
 * Recovery: what a shard does while its store fails
 *
 * A request that fails leaves its page where it was: a page that was to be
 * fetched is REMOTE, a page that was to be written is in its standby slot.
 * The shard then backs off from operations of this kind: faults that need a
 * page from the store, or room that only writing can make, are parked, and
 * tried again after a while.  After a few tries in vain the pager is told,
 * which sends an event and stops the VM.  Trying goes on all the same: threads
 * other than vCPUs may be waiting, with the BQL held, and then nobody could
 * say "cont".
 *
 * Parked.  A vCPU that sleeps in a fault cannot be stopped, so
 * remote_memory_vcpus_parked() lets it count as paused when the VM is being
 * stopped.  When its page comes after all, it finishes what it was at, at
 * most a translation block, sees that it is to stop, and stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "recovery.h"
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

static void retry_after(RemoteShard *s, int ms)
{
    timer_mod(s->retry_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
}

static bool nothing_to_try(const RemoteShard *s)
{
    return !s->nr_parked && s->standby.scan == s->standby.head;
}

static void recovery_timer(void *opaque)
{
    RemoteShard *s = opaque;

    if (s->stopping) {
        return;
    }
    s->failed_ops = 0;
    if (s->error && nothing_to_try(s)) {
        /* What failed is not needed any more. */
        memset(s->failures, 0, sizeof(s->failures));
        clear_error(s);
    }
    if (s->error) {
        retry_after(s, RETRY_SLOW_MS);
    }
    shard_kick(s);
}

void recovery_init(RemoteShard *s)
{
    qemu_mutex_init(&s->park_lock);
    QTAILQ_INIT(&s->for_source);
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
    if (s->stopping) {
        return;
    }
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
    retry_after(s, s->failures[op] >= TRIES ? RETRY_SLOW_MS : RETRY_FAST_MS);
    if (op == REMOTE_MEMORY_OPERATION_WRITE) {
        park_for_room(s);
    }
}

void recovery_broken(RemoteShard *s, const char *reason)
{
    trace_remote_memory_error(s->pager->id, s->index, "place", reason);
    shard_count(&s->stats.errors, 1);
    s->failures[REMOTE_MEMORY_OPERATION_READ] = TRIES;
    qatomic_set(&s->error, true);
    pager_error(s->pager, REMOTE_MEMORY_OPERATION_READ, reason);
    retry_after(s, RETRY_SLOW_MS);
}

/*
 * The host is out of memory, or something is wrong with the range.  Later,
 * perhaps; and the operator should know.
 */
void recovery_cannot_place(RemoteShard *s, uint32_t index, int ret)
{
    g_autofree char *reason =
        g_strdup_printf("cannot place page %" PRIu64 " in guest RAM: %s",
                        shard_store_page(s, index), strerror(-ret));

    recovery_broken(s, reason);
}

void recovery_vanished(RemoteShard *s, uint32_t index)
{
    g_autofree char *reason =
        g_strdup_printf("page %" PRIu64 " was dropped from guest RAM by "
                        "something other than the pager",
                        shard_store_page(s, index));

    recovery_broken(s, reason);
}

void recovery_park(RemoteShard *s, Waiter *waiter)
{
    QEMU_LOCK_GUARD(&s->park_lock);

    QTAILQ_INSERT_TAIL(&s->parked, waiter, next);
    waiter->parked = true;
    s->nr_parked++;
}

void recovery_unpark(RemoteShard *s, Waiter *waiter)
{
    QEMU_LOCK_GUARD(&s->park_lock);

    QTAILQ_REMOVE(&s->parked, waiter, next);
    s->nr_parked--;
}

static bool uses(void *opaque, uint64_t page)
{
    RemoteShard *s = opaque;
    uint32_t index;

    return pager_shard_of(s->pager, page, &index) == s;
}

static void recovery_resume_bh(void *opaque)
{
    RemoteShard *s = opaque;

    if (!s->stopping) {
        memset(s->failures, 0, sizeof(s->failures));
        recovery_timer(s);
    }
    /* A VM that runs has its pages, unless they are on offer again by now. */
    if (!s->stopping && !s->frozen) {
        remote_store_go_on(s->queue, uses, s);
    }
}

void recovery_resume(RemoteShard *s)
{
    aio_bh_schedule_oneshot(s->ctx, recovery_resume_bh, s);
}
