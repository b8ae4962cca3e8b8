/*
 * Faults: answer them, or let them wait for what they need
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/userfaultfd.h"
#include "shard.h"
#include "trace.h"
#include "uffd-page.h"

/* In the page map of proc(5): the page is in memory, or in the host's swap. */
#define PAGEMAP_PRESENT (3ull << 62)

typedef enum FaultAnswer {
    FAULT_ANSWERED,     /* the thread goes on */
    FAULT_WAIT_ROOM,    /* there is no room for the page yet */
    FAULT_WAIT_FETCH,   /* it is being fetched */
    FAULT_PARK,         /* not before the store is well again */
} FaultAnswer;

static const uint8_t zero_page[REMOTE_STORE_PAGE_SIZE]
    QEMU_ALIGNED(REMOTE_STORE_PAGE_SIZE);

/*
 * Two threads fault on one page, and the second one's event is read after
 * the page was placed: it just has to be woken.  But if the page is not there
 * although we never took it out, somebody else did.
 */
static FaultAnswer fault_resident(RemoteShard *s, uint32_t index)
{
    uint8_t *host = shard_host(s, index);
    uint64_t entry;

    if (s->pager->pagemap_fd >= 0 &&
        pread(s->pager->pagemap_fd, &entry, sizeof(entry),
              (uintptr_t)host / REMOTE_STORE_PAGE_SIZE * sizeof(entry)) ==
        sizeof(entry) && !(entry & PAGEMAP_PRESENT)) {
        recovery_vanished(s, index);
        return FAULT_PARK;
    }
    uffd_wakeup(s->uffd, host, REMOTE_STORE_PAGE_SIZE);
    return FAULT_ANSWERED;
}

/*
 * A page of its own for a write: the zero page would have to be replaced at
 * once, by a second fault.
 */
static FaultAnswer fault_zero(RemoteShard *s, uint32_t index, bool write)
{
    uint8_t *host = shard_host(s, index);
    int ret;

    if (!budget_take(&s->budget)) {
        return FAULT_WAIT_ROOM;
    }
    ret = write ? uffd_page_copy(s->uffd, host, zero_page)
                : uffd_page_zero(s->uffd, host);
    if (ret == -EEXIST) {
        uffd_wakeup(s->uffd, host, REMOTE_STORE_PAGE_SIZE);
    } else if (ret) {
        /* The host is out of memory: later, perhaps. */
        budget_release(&s->budget);
        return FAULT_WAIT_ROOM;
    }
    shard_move(s, index, PAGE_RESIDENT);
    shard_count(&s->stats.zero_fills, 1);
    return FAULT_ANSWERED;
}

/*
 * The slot is being read by a put, so it has to stay as it is: the guest gets
 * a copy.  When the put is done the slot is STALE.
 */
static FaultAnswer refault_copy(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);

    if (!budget_take(&s->budget)) {
        return FAULT_WAIT_ROOM;
    }
    if (uffd_page_copy(s->uffd, shard_host(s, index),
                       shard_slot_mem(s, page->slot))) {
        budget_release(&s->budget);
        return FAULT_WAIT_ROOM;
    }
    shard_move(s, index, PAGE_RESIDENT);
    return FAULT_ANSWERED;
}

static FaultAnswer refault_move(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);
    uint32_t slot = page->slot, moved;

    uffd_page_move(s->uffd, shard_host(s, index), shard_slot_mem(s, slot), 1,
                   &moved);
    if (!moved) {
        /* Locked by somebody for long: try again. */
        shard_kick(s);
        return FAULT_WAIT_ROOM;
    }
    standby_set(&s->standby, slot, SLOT_EMPTY);
    shard_move(s, index, PAGE_RESIDENT);
    return FAULT_ANSWERED;
}

static FaultAnswer fault_standby(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);
    FaultAnswer answer;

    if (s->standby.slots[page->slot].state == SLOT_BUSY) {
        answer = refault_copy(s, index);
    } else {
        answer = refault_move(s, index);
    }
    if (answer == FAULT_ANSWERED) {
        shard_count(&s->stats.refaults, 1);
    }
    return answer;
}

/* Do for a fault what can be done.  The page is not held. */
static FaultAnswer fault_answer(RemoteShard *s, uint32_t index, bool write)
{
    FaultAnswer answer;

    switch (page_map_get(&s->map, index)->state) {
    case PAGE_RESIDENT:
        return fault_resident(s, index);
    case PAGE_ZERO:
        answer = fault_zero(s, index, write);
        break;
    case PAGE_STANDBY:
        answer = fault_standby(s, index);
        break;
    case PAGE_FETCHING:
        return FAULT_WAIT_FETCH;
    case PAGE_REMOTE:
        if (recovery_waits(s, REMOTE_MEMORY_OPERATION_READ)) {
            return FAULT_PARK;
        }
        answer = fetch_start(s, index) ? FAULT_WAIT_FETCH : FAULT_WAIT_ROOM;
        break;
    default:
        g_assert_not_reached();
    }
    if (answer == FAULT_WAIT_ROOM &&
        recovery_waits(s, REMOTE_MEMORY_OPERATION_WRITE)) {
        /* While nothing can be written, no room will come. */
        return FAULT_PARK;
    }
    return answer;
}

/* The same, but who is held stays where it is, and so do others there. */
static FaultAnswer fault_try(RemoteShard *s, uint32_t index, bool write)
{
    bool locked = recovery_lock(s);
    FaultAnswer answer = recovery_page_held(s, index)
                       ? FAULT_PARK : fault_answer(s, index, write);

    recovery_unlock(s, locked);
    return answer;
}

/* Waiters */

static Waiter *waiter_find(WaiterList *list, uint32_t tid)
{
    Waiter *waiter;

    QTAILQ_FOREACH(waiter, list, next) {
        if (waiter->tid == tid) {
            return waiter;
        }
    }
    return NULL;
}

/*
 * A thread waits for one page at a time.  If it was interrupted by a signal
 * it faults once more, perhaps on another page: what it waited for before is
 * forgotten, so that nobody waits twice.
 */
static void waiter_forget(RemoteShard *s, uint32_t tid)
{
    WaiterList *lists[] = { &s->for_room, &s->for_fetch };

    for (int i = 0; i < ARRAY_SIZE(lists); i++) {
        Waiter *waiter = waiter_find(lists[i], tid);

        if (waiter) {
            QTAILQ_REMOVE(lists[i], waiter, next);
            QTAILQ_INSERT_HEAD(&s->idle_waiters, waiter, next);
        }
    }
}

/* As many as there are threads: kept for reuse, never given back. */
static Waiter *waiter_new(RemoteShard *s)
{
    Waiter *waiter = QTAILQ_FIRST(&s->idle_waiters);

    if (waiter) {
        QTAILQ_REMOVE(&s->idle_waiters, waiter, next);
        return waiter;
    }
    return g_new0(Waiter, 1);
}

static void waiter_done(RemoteShard *s, Waiter *waiter)
{
    shard_count(&s->stats.fault_time_ns, get_clock() - waiter->since);
    QTAILQ_INSERT_HEAD(&s->idle_waiters, waiter, next);
}

/* Put a waiter that is in no list where the answer says. */
static void waiter_queue(RemoteShard *s, Waiter *waiter, FaultAnswer answer)
{
    switch (answer) {
    case FAULT_ANSWERED:
        waiter_done(s, waiter);
        break;
    case FAULT_WAIT_ROOM:
        QTAILQ_INSERT_TAIL(&s->for_room, waiter, next);
        break;
    case FAULT_WAIT_FETCH:
        QTAILQ_INSERT_TAIL(&s->for_fetch, waiter, next);
        break;
    case FAULT_PARK:
        recovery_park(s, waiter);
        break;
    }
}

void fault_waiters_free(RemoteShard *s)
{
    WaiterList *lists[] = {
        &s->for_room, &s->for_fetch, &s->parked, &s->idle_waiters
    };

    for (int i = 0; i < ARRAY_SIZE(lists); i++) {
        Waiter *waiter, *tmp;

        QTAILQ_FOREACH_SAFE(waiter, lists[i], next, tmp) {
            QTAILQ_REMOVE(lists[i], waiter, next);
            g_free(waiter);
        }
    }
}

/* The way of a fault */

/* A thread that is parked already, and was woken by a signal meanwhile. */
static bool fault_is_parked(RemoteShard *s, uint32_t index, uint32_t tid)
{
    bool locked = recovery_lock(s);
    Waiter *waiter = locked ? waiter_find(&s->parked, tid) : NULL;

    if (waiter) {
        waiter->page = index;
    }
    recovery_unlock(s, locked);
    return waiter;
}

static void fault_wait(RemoteShard *s, uint32_t index, uint32_t tid,
                       bool write, int64_t since, FaultAnswer answer)
{
    Waiter *waiter;

    waiter_forget(s, tid);
    waiter = waiter_new(s);
    *waiter = (Waiter) {
        .page = index,
        .tid = tid,
        .write = write,
        .since = since,
    };
    waiter_queue(s, waiter, answer);
}

void shard_fault(RemoteShard *s, uint32_t index, uint32_t tid, bool write)
{
    int64_t since = get_clock();
    FaultAnswer answer;

    trace_remote_memory_fault(s->pager->id, shard_store_page(s, index), tid,
                              s->map.pages[index].state);
    shard_count(&s->stats.faults, 1);
    if (fault_is_parked(s, index, tid)) {
        return;
    }
    answer = fault_try(s, index, write);
    if (answer == FAULT_ANSWERED) {
        shard_count(&s->stats.fault_time_ns, get_clock() - since);
    } else {
        fault_wait(s, index, tid, write, since, answer);
    }
}

/*
 * The same for those that were parked, once the store is well again.  They
 * stay parked until they are answered, also while their page is fetched: the
 * VM can be paused all that time.
 */
static bool fault_retry_parked(RemoteShard *s)
{
    WaiterList answered = QTAILQ_HEAD_INITIALIZER(answered);
    Waiter *waiter, *tmp;
    bool locked, need_room = false;

    locked = recovery_lock(s);
    if (!locked) {
        return false;
    }
    QTAILQ_FOREACH_SAFE(waiter, &s->parked, next, tmp) {
        FaultAnswer answer = FAULT_PARK;

        if (!recovery_page_held(s, waiter->page)) {
            answer = fault_answer(s, waiter->page, waiter->write);
        }
        need_room |= answer == FAULT_WAIT_ROOM;
        if (answer == FAULT_ANSWERED) {
            QTAILQ_REMOVE(&s->parked, waiter, next);
            qatomic_set(&s->nr_parked, s->nr_parked - 1);
            QTAILQ_INSERT_TAIL(&answered, waiter, next);
        }
    }
    recovery_unlock(s, locked);
    while ((waiter = QTAILQ_FIRST(&answered))) {
        QTAILQ_REMOVE(&answered, waiter, next);
        waiter_done(s, waiter);
    }
    return need_room;
}

static bool fault_retry_for_room(RemoteShard *s)
{
    Waiter *waiter, *last = QTAILQ_LAST(&s->for_room);

    if (!last) {
        return false;
    }
    /* Who still has to wait goes to the end: once around. */
    do {
        waiter = QTAILQ_FIRST(&s->for_room);
        QTAILQ_REMOVE(&s->for_room, waiter, next);
        waiter_queue(s, waiter, fault_try(s, waiter->page, waiter->write));
    } while (waiter != last);
    return !QTAILQ_EMPTY(&s->for_room);
}

bool fault_retry(RemoteShard *s)
{
    bool parked, for_room;

    if ((s->nr_parked || !QTAILQ_EMPTY(&s->for_room)) && evict_stuck(s)) {
        /* Unless one of the waiters goes on, no page is ever let go. */
        budget_grant(&s->budget);
        shard_count(&s->stats.over_limit, 1);
    }
    /* Those that were parked have waited longest. */
    parked = fault_retry_parked(s);
    for_room = fault_retry_for_room(s);
    return parked || for_room;
}

/* What happens now to those who wait for a fetch of this page. */
static void fetch_ended(RemoteShard *s, uint32_t index, FaultAnswer answer)
{
    Waiter *waiter, *tmp;

    QTAILQ_FOREACH_SAFE(waiter, &s->for_fetch, next, tmp) {
        if (waiter->page == index) {
            QTAILQ_REMOVE(&s->for_fetch, waiter, next);
            waiter_queue(s, waiter, answer);
        }
    }
}

void fault_arrived(RemoteShard *s, uint32_t index)
{
    fetch_ended(s, index, FAULT_ANSWERED);
}

void fault_not_arrived(RemoteShard *s, uint32_t index)
{
    fetch_ended(s, index, recovery_waits(s, REMOTE_MEMORY_OPERATION_READ)
                          ? FAULT_PARK : FAULT_WAIT_ROOM);
}
