/*
 * Arrivals: pages that the source of a migration still has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "arrival.h"
#include "recovery.h"
#include "uffd-page.h"

/* Enough that who receives does not wait for a shard that is busy. */
#define ARRIVALS 64

/* Placed in one go: who faults, or asks the store, does not wait for long. */
#define PLACE_BATCH 16

/*
 * A VM that is about to run is not kept from it by pages that nobody waits for
 * yet.  But it may be told to wait, so not for longer than this, in ms.
 */
#define HOLD_MS 200

/* When the pipe was full, try again after this, in ms. */
#define ASK_RETRY_MS 1

/*
 * @page: index within the shard
 * @zero: nothing but zeros, @content is unused
 */
typedef struct Arrival {
    uint32_t page;
    bool zero;
    uint8_t *content;
    QTAILQ_ENTRY(Arrival) next;
} Arrival;

typedef QTAILQ_HEAD(, Arrival) ArrivalList;

struct Arrivals {
    /* Set at creation, never modified. */
    int ask;
    int64_t began;
    uint8_t *mem;

    /* Shard thread only: what waits for room. */
    ArrivalList waiting;

    /*
     * Held for no longer than it takes to move an entry, by the shard and by
     * threads that receive pages.  None of them touches guest memory then.
     */
    QemuMutex lock;
    QemuCond changed;
    ArrivalList come;
    ArrivalList idle;
    unsigned nr_idle;
    Arrival entries[ARRIVALS];
};

/* The receiving side */

static Arrival *arrival_get(Arrivals *a)
{
    Arrival *entry;

    QEMU_LOCK_GUARD(&a->lock);
    while (!(entry = QTAILQ_FIRST(&a->idle))) {
        qemu_cond_wait(&a->changed, &a->lock);
    }
    QTAILQ_REMOVE(&a->idle, entry, next);
    a->nr_idle--;
    return entry;
}

void arrival_put(RemoteShard *s, uint32_t index, const void *content)
{
    Arrivals *a = s->arrivals;
    Arrival *entry = arrival_get(a);

    entry->page = index;
    entry->zero = !content;
    if (content) {
        memcpy(entry->content, content, REMOTE_STORE_PAGE_SIZE);
    }
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        QTAILQ_INSERT_TAIL(&a->come, entry, next);
    }
    shard_kick(s);
}

void arrivals_drain(RemoteShard *s)
{
    Arrivals *a = s->arrivals;

    QEMU_LOCK_GUARD(&a->lock);
    while (a->nr_idle < ARRIVALS) {
        qemu_cond_wait(&a->changed, &a->lock);
    }
}

/* The shard's side */

bool arrival_ask(RemoteShard *s, const Waiter *waiter)
{
    struct uffd_msg msg = {
        .event = UFFD_EVENT_PAGEFAULT,
        .arg.pagefault.flags = waiter->write ? UFFD_PAGEFAULT_FLAG_WRITE : 0,
        .arg.pagefault.address = (uintptr_t)shard_host(s, waiter->page),
        .arg.pagefault.feat.ptid = waiter->tid,
    };

    /* A pipe takes such a message as a whole, or not at all. */
    QEMU_BUILD_BUG_ON(sizeof(msg) > PIPE_BUF);
    if (!s->arrivals ||
        write(s->arrivals->ask, &msg, sizeof(msg)) != sizeof(msg)) {
        shard_look_again(s, ASK_RETRY_MS);
        return false;
    }
    return true;
}

/*
 * Zeros that nobody waits for are nowhere, like all zeros.
 *
 * Returns: whether that is done; else there was no room.
 */
static bool arrival_place(RemoteShard *s, Arrival *entry, bool awaited)
{
    uint8_t *host = shard_host(s, entry->page);
    uint32_t filled;
    int ret;

    if (page_map_get(&s->map, entry->page)->state != PAGE_SOURCE) {
        /* It came twice: what the guest did with the first one counts. */
        return true;
    }
    if (entry->zero && !awaited) {
        shard_move(s, entry->page, PAGE_ZERO);
        return true;
    }
    if (awaited) {
        evict_unstick(s);
    }
    if (!budget_take(&s->budget)) {
        return false;
    }
    ret = entry->zero ? uffd_page_zero_run(s->uffd, host, 1, &filled)
                      : uffd_page_copy(s->uffd, host, entry->content);
    if (ret) {
        budget_release(&s->budget);
        recovery_cannot_place(s, entry->page, ret);
        return false;
    }
    shard_move(s, entry->page, PAGE_RESIDENT);
    return true;
}

/*
 * Place what is on a list, but for what there is no room for.  Returns: whether
 * that was all.
 */
static bool arrivals_place(RemoteShard *s, ArrivalList *list, bool only_awaited,
                           ArrivalList *done)
{
    Arrival *entry, *tmp;
    int nr = 0;

    QTAILQ_FOREACH_SAFE(entry, list, next, tmp) {
        bool awaited = fault_awaited(s, entry->page);

        if (only_awaited && !awaited) {
            continue;
        }
        if (nr == PLACE_BATCH) {
            return false;
        }
        if (arrival_place(s, entry, awaited)) {
            fault_received(s, entry->page);
            shard_count(&s->stats.received, 1);
            QTAILQ_REMOVE(list, entry, next);
            QTAILQ_INSERT_TAIL(done, entry, next);
            nr++;
        }
    }
    return true;
}

static void arrivals_take(Arrivals *a)
{
    Arrival *entry;

    QEMU_LOCK_GUARD(&a->lock);
    while ((entry = QTAILQ_FIRST(&a->come))) {
        QTAILQ_REMOVE(&a->come, entry, next);
        QTAILQ_INSERT_TAIL(&a->waiting, entry, next);
    }
}

static void arrivals_give_back(Arrivals *a, ArrivalList *done)
{
    Arrival *entry;

    QEMU_LOCK_GUARD(&a->lock);
    while ((entry = QTAILQ_FIRST(done))) {
        QTAILQ_REMOVE(done, entry, next);
        QTAILQ_INSERT_TAIL(&a->idle, entry, next);
        a->nr_idle++;
    }
    qemu_cond_broadcast(&a->changed);
}

/* Who waits for a page may have to wait for those that come before it. */
static bool arrivals_hold(RemoteShard *s)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (!s->frozen || !QTAILQ_EMPTY(&s->for_source) ||
        now - s->arrivals->began >= HOLD_MS) {
        return false;
    }
    shard_look_again(s, HOLD_MS);
    return true;
}

bool arrivals_run(RemoteShard *s)
{
    Arrivals *a = s->arrivals;
    ArrivalList done = QTAILQ_HEAD_INITIALIZER(done);

    if (!a) {
        return false;
    }
    arrivals_take(a);
    if (QTAILQ_EMPTY(&a->waiting)) {
        return false;
    }
    if (!arrivals_place(s, &a->waiting, true, &done) ||
        (!arrivals_hold(s) &&
         !arrivals_place(s, &a->waiting, false, &done))) {
        shard_kick(s);
    }
    if (!QTAILQ_EMPTY(&done)) {
        arrivals_give_back(a, &done);
    }
    return !QTAILQ_EMPTY(&a->waiting);
}

bool arrival_expect(RemoteShard *s, uint32_t index)
{
    PageState state = page_map_get(&s->map, index)->state;

    if (state == PAGE_FETCHING) {
        return false;
    }
    if (state == PAGE_SOURCE) {
        return true;
    }
    if (state != PAGE_ZERO) {
        discard_one(s, index);
    }
    shard_move(s, index, PAGE_SOURCE);
    return true;
}

/* Life cycle */

bool arrivals_begin(RemoteShard *s, int ask)
{
    Arrivals *a = g_new0(Arrivals, 1);

    a->mem = qemu_try_memalign(REMOTE_STORE_PAGE_SIZE,
                               ARRIVALS * REMOTE_STORE_PAGE_SIZE);
    if (!a->mem) {
        g_free(a);
        return false;
    }
    a->ask = ask;
    a->began = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    QTAILQ_INIT(&a->waiting);
    QTAILQ_INIT(&a->come);
    QTAILQ_INIT(&a->idle);
    qemu_mutex_init(&a->lock);
    qemu_cond_init(&a->changed);
    for (int i = 0; i < ARRIVALS; i++) {
        a->entries[i].content = a->mem + i * REMOTE_STORE_PAGE_SIZE;
        QTAILQ_INSERT_TAIL(&a->idle, &a->entries[i], next);
    }
    a->nr_idle = ARRIVALS;
    s->arrivals = a;
    return true;
}

void arrivals_cancel(RemoteShard *s)
{
    Arrivals *a = s->arrivals;

    if (a) {
        s->arrivals = NULL;
        qemu_cond_destroy(&a->changed);
        qemu_mutex_destroy(&a->lock);
        qemu_vfree(a->mem);
        g_free(a);
    }
}

static void arrivals_end_bh(void *opaque)
{
    arrivals_cancel(opaque);
}

void arrivals_end(RemoteShard *s)
{
    shard_call(s, arrivals_end_bh, s);
}
