/*
 * Faults: answer them, or let them wait for what they need
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/userfaultfd.h"
#include "arrival.h"
#include "batches.h"
#include "prefetch.h"
#include "recovery.h"
#include "shard-estimate.h"
#include "trace.h"
#include "uffd-page.h"
#include "visitors.h"

/* When the kernel could not move a page, try again after this, in ms. */
#define MOVE_RETRY_MS 1

/* Pages without contents that are filled together for a visitor. */
#define VISIT_ZEROS 32

typedef enum FaultAnswer {
    FAULT_ANSWERED,     /* the thread goes on */
    FAULT_WAIT_ROOM,    /* there is no room for the page yet */
    FAULT_WAIT_FETCH,   /* it is being fetched */
    FAULT_WAIT_SOURCE,  /* the source of a migration was asked for it */
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

    if (!uffd_page_present(host)) {
        recovery_vanished(s, index);
        return FAULT_PARK;
    }
    uffd_wakeup(s->uffd, host, REMOTE_STORE_PAGE_SIZE);
    return FAULT_ANSWERED;
}

static FaultAnswer fault_cannot_place(RemoteShard *s, uint32_t index, int ret)
{
    recovery_cannot_place(s, index, ret);
    return FAULT_PARK;
}

/*
 * A visitor goes on to what follows.  Much of a guest's memory was never
 * touched, and a fault for each page of that would take longer than to send it.
 */
static uint32_t zeros_ahead(const RemoteShard *s, const Waiter *w)
{
    uint32_t most = MIN(budget_spare(&s->budget), VISIT_ZEROS), n = 1;

    while (w->visitor && !w->write && n < most && w->page + n < s->map.nr &&
           s->map.pages[w->page + n].state == PAGE_ZERO &&
           !shard_stripe_begins(s, w->page + n)) {
        n++;
    }
    return n;
}

static void filled(RemoteShard *s, uint32_t index, bool visitor)
{
    if (visitor) {
        page_map_get(&s->map, index)->flags |= PAGE_VISITED;
    }
    shard_move(s, index, PAGE_RESIDENT);
}

/*
 * A page of its own for a write: the zero page would have to be replaced at
 * once, by a second fault.
 */
static FaultAnswer fault_zero(RemoteShard *s, const Waiter *w)
{
    uint8_t *host = shard_host(s, w->page);
    uint32_t nr = zeros_ahead(s, w);
    int ret;

    if (!shard_take(s, w->visitor)) {
        return FAULT_WAIT_ROOM;
    }
    if (w->write) {
        ret = uffd_page_copy(s->uffd, host, zero_page);
        nr = !ret;
    } else {
        ret = uffd_page_zero_run(s->uffd, host, nr, &nr);
    }
    if (!nr) {
        budget_release(&s->budget);
        return fault_cannot_place(s, w->page, ret);
    }
    filled(s, w->page, w->visitor);
    for (uint32_t i = 1; i < nr; i++) {
        bool room = shard_take(s, w->visitor);

        assert(room);
        filled(s, w->page + i, w->visitor);
    }
    shard_count(&s->stats.zero_fills, 1);
    return FAULT_ANSWERED;
}

void fault_fill(RemoteShard *s, uint32_t index)
{
    fault_zero(s, &(Waiter) { .page = index, .write = true });
}

/*
 * Somebody touched a page in standby: it is in use, or was rightly fetched
 * ahead or for a visitor, which says nothing of a second use; or it was there
 * for the sake of an estimate, before its time.  A probe will not be missed
 * before those that were fetched along with it.
 */
static void refaulted(RemoteShard *s, uint32_t index, bool sampled)
{
    Page *page = page_map_get(&s->map, index);
    bool probe = page_has(page, PAGE_PROBE);
    bool first = probe || page_has(page, PAGE_VISITED);

    page->flags &= ~PAGE_VISITED;
    if (probe) {
        prefetch_used(s, index);
    }
    if (!first && !sampled) {
        replacement_refaulted(page);
    }
    shard_move(s, index, PAGE_RESIDENT);
    if (probe) {
        page_map_join(&s->map, index);
    }
}

/*
 * A visitor did.  If the page is not here for visitors only, it was on its way
 * out by itself, and goes on from there: it is the next of its list.
 */
static void revisited(RemoteShard *s, uint32_t index)
{
    const Page *page = page_map_get(&s->map, index);

    if (page_has(page, PAGE_VISITED)) {
        if (page_has(page, PAGE_PROBE)) {
            prefetch_used(s, index);
        }
        shard_move(s, index, PAGE_RESIDENT);
    } else {
        prefetch_spoilt(s, index);
        shard_move(s, index, PAGE_RESIDENT);
        page_map_expose(&s->map, index);
    }
}

/* Give the guest a copy; what is in the slot is needed no more. */
static FaultAnswer refault_copy(RemoteShard *s, uint32_t index, bool visitor)
{
    Page *page = page_map_get(&s->map, index);
    uint32_t slot = page->slot;
    int ret;

    if (!shard_take(s, visitor)) {
        return FAULT_WAIT_ROOM;
    }
    ret = uffd_page_copy(s->uffd, shard_host(s, index),
                         shard_slot_mem(s, slot));
    if (ret) {
        budget_release(&s->budget);
        return fault_cannot_place(s, index, ret);
    }
    if (s->standby.slots[slot].state != SLOT_BUSY) {
        standby_set(&s->standby, slot, SLOT_STALE);
    }
    return FAULT_ANSWERED;
}

static FaultAnswer refault_move(RemoteShard *s, uint32_t index)
{
    Page *page = page_map_get(&s->map, index);
    uint32_t slot = page->slot, moved;
    int ret = uffd_page_move(s->uffd, shard_host(s, index),
                             shard_slot_mem(s, slot), 1, &moved);

    if (ret == -EAGAIN || ret == -EBUSY) {
        /* The kernel is busy with the page, which does not last. */
        shard_look_again(s, MOVE_RETRY_MS);
        return FAULT_WAIT_ROOM;
    }
    if (ret) {
        return fault_cannot_place(s, index, ret);
    }
    standby_set(&s->standby, slot, SLOT_EMPTY);
    shard_flushed(s);
    return FAULT_ANSWERED;
}

/*
 * A slot that is being read by a put has to stay as it is.  A marker is better
 * copied, too: a move interrupts every processor that the guest runs on, while
 * the slot goes along with others.  But a visitor leaves no slots behind, which
 * would take the place of what the guest has in standby.
 */
static bool copy_preferred(RemoteShard *s, const Page *page, bool visitor)
{
    return s->standby.slots[page->slot].state == SLOT_BUSY ||
           (page_has(page, PAGE_PROBE) && !visitor &&
            budget_spare(&s->budget));
}

static FaultAnswer fault_standby(RemoteShard *s, const Waiter *w)
{
    bool sampled = shard_estimate_hidden(s, w->page);
    FaultAnswer answer;

    if (copy_preferred(s, page_map_get(&s->map, w->page), w->visitor)) {
        answer = refault_copy(s, w->page, w->visitor);
    } else {
        answer = refault_move(s, w->page);
    }
    if (answer == FAULT_ANSWERED) {
        if (w->visitor) {
            revisited(s, w->page);
        } else {
            refaulted(s, w->page, sampled);
        }
        shard_count(sampled ? &s->stats.sampled_refaults
                            : &s->stats.refaults, 1);
    }
    return answer;
}

void fault_bring_back(RemoteShard *s, uint32_t index)
{
    fault_standby(s, &(Waiter) { .page = index });
}

/*
 * A VM that is still on its way here has no content yet, and its store may not
 * be asked.  Who looks sees zeros, which are forgotten when it has come.
 */
static FaultAnswer fault_peek(RemoteShard *s, const Waiter *w)
{
    uint32_t nr;
    int ret = uffd_page_zero_run(s->uffd, shard_host(s, w->page), 1, &nr);

    if (ret == -EEXIST) {
        return fault_resident(s, w->page);
    }
    if (ret) {
        return fault_cannot_place(s, w->page, ret);
    }
    g_array_append_val(s->peeked, w->page);
    return FAULT_ANSWERED;
}

/* The source is asked once for a page, whoever waits for it. */
static FaultAnswer fault_source(RemoteShard *s, const Waiter *w)
{
    return fault_awaited(s, w->page) || arrival_ask(s, w)
           ? FAULT_WAIT_SOURCE : FAULT_WAIT_ROOM;
}

/* Somebody who stays wants a page that was here for visitors only. */
static void claim(RemoteShard *s, uint32_t index)
{
    PageState state = page_map_get(&s->map, index)->state;

    if (state == PAGE_RESIDENT) {
        page_map_claim(&s->map, index);
    } else if (state == PAGE_FETCHING) {
        fetch_for(s, index, false);
    }
}

/* Do for a fault what can be done. */
static FaultAnswer fault_answer(RemoteShard *s, const Waiter *w)
{
    const Page *page = page_map_get(&s->map, w->page);
    FaultAnswer answer;

    if (!w->visitor && page_has(page, PAGE_VISITED)) {
        claim(s, w->page);
    }
    switch (page->state) {
    case PAGE_RESIDENT:
        return fault_resident(s, w->page);
    case PAGE_ZERO:
        answer = fault_zero(s, w);
        break;
    case PAGE_STANDBY:
        answer = fault_standby(s, w);
        break;
    case PAGE_FETCHING:
        return batches_wanted(s, w->page) ? fault_answer(s, w)
                                          : FAULT_WAIT_FETCH;
    case PAGE_SOURCE:
        return fault_source(s, w);
    case PAGE_REMOTE:
        if (!s->queue) {
            return fault_peek(s, w);
        }
        if (recovery_waits(s, REMOTE_MEMORY_OPERATION_READ)) {
            return FAULT_PARK;
        }
        answer = fetch_start(s, w) ? FAULT_WAIT_FETCH : FAULT_WAIT_ROOM;
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

/* Waiters */

static Waiter *waiter_find(WaiterList *list, uint32_t tid, uint32_t index)
{
    Waiter *waiter;

    QTAILQ_FOREACH(waiter, list, next) {
        if (waiter->tid == tid && waiter->page == index) {
            return waiter;
        }
    }
    return NULL;
}

/*
 * A thread that was interrupted by a signal faults once more.  Only the same
 * page is the same fault: what is left of another one does no harm, it wakes
 * nobody when its page is there.
 */
static bool waiter_known(RemoteShard *s, uint32_t tid, uint32_t index)
{
    return waiter_find(&s->for_room, tid, index) ||
           waiter_find(&s->for_fetch, tid, index) ||
           waiter_find(&s->for_source, tid, index) ||
           waiter_find(&s->parked, tid, index);
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

static void count_answered(RemoteShard *s, const Waiter *waiter)
{
    int64_t ns = shard_look_at_clock(s) - waiter->since;

    shard_count(&s->stats.fault_time_ns, ns);
    if (!waiter->visitor && !waiter->parked) {
        shard_count(&s->stats.guest_time_ns, ns);
    }
    histogram_add(&s->stats.times.latency[waiter->was], ns);
}

static void waiter_done(RemoteShard *s, Waiter *waiter)
{
    count_answered(s, waiter);
    shard_count(&s->stats.waiting, -1);
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
    case FAULT_WAIT_SOURCE:
        WITH_QEMU_LOCK_GUARD(&s->park_lock) {
            QTAILQ_INSERT_TAIL(&s->for_source, waiter, next);
        }
        break;
    case FAULT_PARK:
        recovery_park(s, waiter);
        break;
    }
}

void fault_waiters_free(RemoteShard *s)
{
    WaiterList *lists[] = {
        &s->for_room, &s->for_fetch, &s->for_source, &s->parked,
        &s->idle_waiters
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

static void fault_wait(RemoteShard *s, const Waiter *fault, FaultAnswer answer)
{
    Waiter *waiter = waiter_new(s);

    *waiter = *fault;
    shard_count(&s->stats.waiting, 1);
    waiter_queue(s, waiter, answer);
}

void shard_fault(RemoteShard *s, uint32_t index, uint32_t tid, bool write)
{
    Waiter fault = {
        .page = index,
        .tid = tid,
        .was = page_map_get(&s->map, index)->state,
        .write = write,
        .visitor = visitors_has(tid),
        .since = shard_look_at_clock(s),
    };
    FaultAnswer answer;

    trace_remote_memory_fault(s->pager->id, shard_store_page(s, index), tid,
                              fault.was);
    if (waiter_known(s, tid, index)) {
        return;
    }
    shard_count(&s->stats.faults, 1);
    answer = fault_answer(s, &fault);
    if (answer == FAULT_ANSWERED) {
        count_answered(s, &fault);
    } else {
        fault_wait(s, &fault, answer);
    }
    /* So far it was a matter of who waits; now, of who uses the page. */
    fault.tid = workers_or_thread(&s->known, tid);
    if (s->gather) {
        gather_fault(s->gather, fault.tid);
    }
    prefetch_fault(s, &fault);
}

/*
 * Pages that have come in a batch and are awaited by now are placed, which
 * answers all who wait for them: below, who is parked must stay in the list.
 */
static void settle_parked(RemoteShard *s)
{
    Waiter *waiter = QTAILQ_FIRST(&s->parked);

    while (waiter) {
        bool settled =
            page_map_get(&s->map, waiter->page)->state == PAGE_FETCHING &&
            batches_wanted(s, waiter->page);

        waiter = settled ? QTAILQ_FIRST(&s->parked) : QTAILQ_NEXT(waiter, next);
    }
}

/*
 * Those that are parked stay so until they are answered, also while their
 * page is fetched: the VM can be paused all that time.  Returns: whether one
 * of them waits for room only.
 */
static bool fault_retry_parked(RemoteShard *s)
{
    Waiter *waiter, *tmp;
    bool need_room = false;

    settle_parked(s);
    QTAILQ_FOREACH_SAFE(waiter, &s->parked, next, tmp) {
        FaultAnswer answer = fault_answer(s, waiter);

        need_room |= answer == FAULT_WAIT_ROOM;
        if (answer == FAULT_ANSWERED) {
            recovery_unpark(s, waiter);
            waiter_done(s, waiter);
        }
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
        waiter_queue(s, waiter, fault_answer(s, waiter));
    } while (waiter != last);
    return !QTAILQ_EMPTY(&s->for_room);
}

bool fault_retry(RemoteShard *s)
{
    bool parked;

    if (s->nr_parked || !QTAILQ_EMPTY(&s->for_room)) {
        evict_unstick(s);
        shard_look_at_clock(s);
    }
    /* Those that were parked have waited longest. */
    parked = fault_retry_parked(s);
    return fault_retry_for_room(s) || parked;
}

bool fault_awaited(const RemoteShard *s, uint32_t index)
{
    const WaiterList *lists[] = { &s->for_fetch, &s->for_source, &s->parked };

    for (int i = 0; i < ARRAY_SIZE(lists); i++) {
        const Waiter *waiter;

        QTAILQ_FOREACH(waiter, lists[i], next) {
            if (waiter->page == index) {
                return true;
            }
        }
    }
    return false;
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
    Waiter *waiter, *tmp;

    fetch_ended(s, index, FAULT_ANSWERED);
    QTAILQ_FOREACH_SAFE(waiter, &s->parked, next, tmp) {
        if (waiter->page == index) {
            recovery_unpark(s, waiter);
            waiter_done(s, waiter);
        }
    }
}

void fault_not_arrived(RemoteShard *s, uint32_t index)
{
    fetch_ended(s, index, recovery_waits(s, REMOTE_MEMORY_OPERATION_READ)
                          ? FAULT_PARK : FAULT_WAIT_ROOM);
}

void fault_received(RemoteShard *s, uint32_t index)
{
    Waiter *waiter, *tmp;

    QTAILQ_FOREACH_SAFE(waiter, &s->for_source, next, tmp) {
        if (waiter->page == index) {
            WITH_QEMU_LOCK_GUARD(&s->park_lock) {
                QTAILQ_REMOVE(&s->for_source, waiter, next);
            }
            waiter_done(s, waiter);
        }
    }
}
