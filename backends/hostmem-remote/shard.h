/*
 * Shard: one pager thread's share of the guest's RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_H
#define REMOTE_MEMORY_SHARD_H

#include "budget.h"
#include "gather.h"
#include "page-map.h"
#include "pager.h"
#include "qemu/bitops.h"
#include "qemu/timer.h"
#include "remote-memory/store.h"
#include "replacement.h"
#include "shard-stats.h"
#include "standby.h"
#include "system/iothread.h"
#include "workers.h"
#include <linux/userfaultfd.h>

typedef struct Arrivals Arrivals;
typedef struct Batch Batch;
typedef struct Batches Batches;
typedef struct Prefetch Prefetch;
typedef struct ShardEstimate ShardEstimate;
typedef struct ShardHints ShardHints;
typedef struct ShardWarm ShardWarm;

/**
 * DOC: Shards
 *
 * A shard owns every n-th stripe of a backend's RAM: page map, standby ring,
 * userfaultfd, a queue into the store and an IOThread.  Nothing of it is
 * shared, so there is no lock on the way of a fault.  The files::
 *
 *     uffd --> shard.c --> fault.c --> fetch.c --> store
 *                |                       |
 *                |          placed <-----+
 *                +-------> arrival.c  --> source of a migration
 *                +-------> prefetch.c ahead of need --> batches.c --> store
 *                +-------> shard-hints.c what the guest says --> batches.c
 *                +-------> shard-warm.c what was local once --> batches.c
 *                +-------> evict.c --> writeback.c --> store
 *                |            |
 *                |            +--> drop
 *                +-------> shard-estimate.c what would other sizes cost?
 *                +-------> sweep.c   copies that nobody needs --> store
 *                +-------> discard.c pages that the guest gives back
 *                +-------> recovery.c what the store refuses: wait, retry,
 *                |                   stop the VM
 *                +-------> flush.c   is all written?
 *                +-------> shard-move.c the way into another store
 *
 * Rules of the shard's thread: it takes neither the BQL nor a lock that a
 * thread which touches guest memory may hold, waits for nobody, and never
 * touches guest memory itself: it is the one who would have to serve the
 * fault.  It reads standby slots, but only filled ones.
 */

/* Most events read in one go, so that evictions are not put off for long. */
#define SHARD_EVENTS 16
/* Reads without a look at anything else: completions, calls, write-back. */
#define SHARD_EVENT_ROUNDS 16
/*
 * Requests in flight.  A fetch holds a buffer of its own, so these are few;
 * a put reads the standby slot.
 */
#define SHARD_FETCHES 32
#define SHARD_PUTS 64
#define SHARD_DISCARDS 64

/* How often other threads look for what they wait for, in us. */
#define SHARD_POLL_US 500

/**
 * struct Waiter - a thread that waits for a page
 * @page: for which
 * @tid: who, as in gettid(2)
 * @was: where the page was when the fault was seen
 * @write: whether it wants to write
 * @visitor: whether it only passes through
 * @parked: whether it had to wait for a store that failed
 * @since: when its fault was seen, in ns
 * @next: in one of the shard's lists
 */
typedef struct Waiter {
    uint32_t page;
    uint32_t tid;
    PageState was;
    bool write;
    bool visitor;
    bool parked;
    int64_t since;
    QTAILQ_ENTRY(Waiter) next;
} Waiter;

typedef QTAILQ_HEAD(, Waiter) WaiterList;

/**
 * struct ShardRequest - a request to the store, and whom it concerns
 * @req: the request
 * @shard: whose
 * @page: index of the page within the shard
 * @slot: (put) the standby slot that is read
 * @hash: (put) hash of its content
 * @started: (get for a fault) when it was the turn of the store, in ns
 * @batch: (background get) what it is part of; see batches.h
 * @next: in a list of idle requests
 */
typedef struct ShardRequest {
    RemoteStoreRequest req;
    RemoteShard *shard;
    uint32_t page;
    uint32_t slot;
    uint64_t hash;
    int64_t started;
    Batch *batch;
    QSLIST_ENTRY(ShardRequest) next;
} ShardRequest;

typedef QSLIST_HEAD(, ShardRequest) ShardRequestList;

/* Whether a shard has left the mirror. */
typedef enum ShardKept {
    SHARD_KEPT_UNKNOWN,
    SHARD_PAUSED,
    SHARD_KEPT,
    SHARD_NOT_KEPT,
} ShardKept;

struct QEMU_ALIGNED(REMOTE_STORE_ALIGN) RemoteShard {
    /* Set at creation, never modified. */
    RemotePager *pager;
    unsigned index;
    IOThread *iothread;
    bool own_iothread;
    AioContext *ctx;
    int uffd;
    uint8_t *standby_mem;
    uint8_t *fetch_mem;
    QEMUBH *service_bh;
    QEMUTimer *again_timer;
    QEMUTimer *retry_timer;
    Gather *gather;         /* or NULL: placed by the user */

    /* Shard thread only; counters may be read by any. */
    PageMap map;
    Standby standby;
    Budget budget;
    Replacement replacement;
    Prefetch *prefetch;
    Batches *batches;
    ShardStats stats;
    int64_t clock;          /* see shard_look_at_clock() */
    KnownThreads known;

    /* Shard thread only: events read and not handled yet. */
    struct uffd_msg events[SHARD_EVENTS];
    int nr_events;

    /* Shard thread only: faults that could not be answered at once. */
    WaiterList for_room;
    WaiterList for_fetch;
    WaiterList idle_waiters;

    /* Shard thread only: requests, and where they go. */
    RemoteStoreQueue *queue;
    ShardRequest requests[SHARD_FETCHES + SHARD_PUTS + SHARD_DISCARDS];
    ShardRequestList idle_fetches;
    ShardRequestList idle_puts;
    ShardRequestList idle_discards;
    uint32_t fetching;      /* pages, and of those: */
    uint32_t prefetching;
    uint32_t in_flight;     /* read by the main thread */
    uint32_t writing;       /* puts and discards of these; likewise */
    RemoteStoreRequest *batch[SHARD_FETCHES];
    unsigned nr_batch;
    bool lingered;          /* somebody may have faulted meanwhile */
    bool stopping;
    bool frozen;            /* see shard_freeze() */

    /* Shard thread only: of all pages of the pager, or NULL; pager-map.h. */
    unsigned long *changed;
    /* Shard thread only, before the VM has come: copies that are ours... */
    uint64_t adopted;
    /* ... and pages where zeros were put for somebody who looked. */
    GArray *peeked;

    /* Shard thread only: see arrival.h.  NULL but in an incoming postcopy. */
    Arrivals *arrivals;

    /* Shard thread only: see shard-hints.h.  NULL until there are some. */
    ShardHints *hints;

    /* Shard thread only: see shard-estimate.h.  NULL until it evicts. */
    ShardEstimate *estimate;

    /* While it warms up, or NULL; see shard-warm.h for who may look. */
    ShardWarm *warm;

    /* Shard thread only: below, nothing in standby is unused; see evict.c. */
    uint64_t unused_from;

    /* Shard thread only: see flush.c. */
    uint64_t flush_from;
    uint64_t flush_to;
    uint64_t flush_left;    /* read by the main thread */

    /* Shard thread only: see sweep.c. */
    unsigned long *garbage;
    size_t nr_garbage;      /* read by the main thread */

    /* Shard thread only: see recovery.c. */
    unsigned failures[REMOTE_MEMORY_OPERATION__MAX];
    unsigned failed_ops;
    bool error;             /* read by any thread */

    /* Shard thread only: to be done once no request is in flight. */
    void (*when_idle)(RemoteShard *s);
    /* While pages move to another store; see shard-move.c. */
    RemoteStoreQueue *mirror;   /* changed by whoever's turn it is */
    unsigned mirror_keep;       /* main thread */
    bool mirrored;              /* shard thread; read by the main thread */
    int mirror_kept;            /* likewise: a ShardKept */

    /* Main thread only. */
    bool started;
    uint64_t balance_fetched;
    /* Set by the main thread, read by the shard's: its part of the cache. */
    uint32_t share;
    /* Set by a migration thread, likewise: no more than that; or 0. */
    uint32_t squeeze;
    /* Shard thread only: number of the last resize that was asked for... */
    unsigned resize_wanted;
    /* ... and of the last one that is reached; read by the main thread. */
    unsigned resize_reached;

    /*
     * Taken by the shard's thread to let somebody wait for the store or for
     * the source of a migration, and by remote_memory_vcpus_parked() to see
     * who does.
     */
    QemuMutex park_lock;
    /* Changed by the shard's thread under @park_lock, read by it without. */
    WaiterList for_source;
    WaiterList parked;
    unsigned nr_parked;
};

/* shard.c */

/**
 * shard_start: set a shard up and let it serve faults
 * @s: zeroed but for @pager and @index
 * @iothread: its thread, or %NULL to make one
 * @context: where one that is made runs, or %NULL
 * @errp: set on failure
 *
 * Main thread.  After a failure shard_stop() and shard_destroy() clean up.
 */
bool shard_start(RemoteShard *s, IOThread *iothread, ThreadContext *context,
                 Error **errp);

/**
 * shard_stop: serve no more faults, and touch the RAM no more
 * @s: nobody touches its memory any more
 *
 * Requests may still be in flight.
 */
void shard_stop(RemoteShard *s);

/**
 * shard_leave_ram: let go of the RAM, which nobody can reach any more
 * @s: the shard, after shard_stop()
 *
 * A thread that began to wait for a page before that does not wait on.
 */
void shard_leave_ram(RemoteShard *s);

/**
 * shard_release: begin or end to discard in the store what is of no use
 * @s: the shard, after shard_stop(); nothing is in flight when it begins
 * @release: begin to; else give up what is left
 *
 * @nr_garbage says what is left.
 */
void shard_release(RemoteShard *s, bool release);

/** shard_has_in_flight: are there requests that have not ended? */
bool shard_has_in_flight(const RemoteShard *s);

/** shard_close: close its queue; nothing is in flight */
void shard_close(RemoteShard *s);

/** shard_destroy: free everything; the RAM is unmapped, or never was used */
void shard_destroy(RemoteShard *s);

/**
 * shard_call: run a function in a shard's thread and wait for it
 * @s: the shard
 * @fn: what to run; it must not wait
 * @opaque: handed to @fn
 *
 * Any thread but a pager's.  The BQL may be held.
 */
void shard_call(RemoteShard *s, QEMUBHFunc *fn, void *opaque);

/** shard_kick: do what can be done now, soon.  Any thread */
void shard_kick(RemoteShard *s);

/** shard_retarget: take over a new target for local memory.  Shard thread */
void shard_retarget(RemoteShard *s);

/** shard_look_again: do so after @ms milliseconds.  Shard thread */
void shard_look_again(RemoteShard *s, int ms);

/**
 * shard_request_get: take an idle request for a page; it counts as in flight
 * @s: the shard
 * @idle: where from, not empty
 * @index: the page
 */
ShardRequest *shard_request_get(RemoteShard *s, ShardRequestList *idle,
                                uint32_t index);

/** shard_request_put: give a request back that has ended */
void shard_request_put(RemoteShard *s, ShardRequestList *idle,
                       ShardRequest *r);

/** shard_move: page_map_move() with a trace */
void shard_move(RemoteShard *s, uint32_t index, PageState to);

/** shard_host: where a page is in this process */
uint8_t *shard_host(const RemoteShard *s, uint32_t index);

/** shard_store_page: index of a page in the store */
uint64_t shard_store_page(const RemoteShard *s, uint32_t index);

/** shard_pages_below: how many of the first @page pages of the RAM it has */
uint64_t shard_pages_below(const RemoteShard *s, uint64_t page);

/** shard_changed: what a hand-over has said of a page is not true any more */
static inline void shard_changed(RemoteShard *s, uint32_t index)
{
    if (unlikely(s->changed)) {
        set_bit_atomic(shard_store_page(s, index), s->changed);
    }
}

/** shard_nr_pages: how many pages are the shard's */
uint64_t shard_nr_pages(const RemoteShard *s);

/** shard_slot_mem: memory of a standby slot */
static inline uint8_t *shard_slot_mem(const RemoteShard *s, uint32_t slot)
{
    return s->standby_mem + (size_t)slot * REMOTE_STORE_PAGE_SIZE;
}

/** shard_stripe_begins: is the page before @index no neighbour in the RAM? */
static inline bool shard_stripe_begins(const RemoteShard *s, uint32_t index)
{
    return index % (1ull << s->pager->stripe_shift) == 0;
}

/**
 * shard_look_at_clock: what time is it, in ns?
 * @s: the shard
 *
 * To look takes longer than to count what took how long.  So the shard keeps
 * what it has seen, for those who do not need to know better.
 */
static inline int64_t shard_look_at_clock(RemoteShard *s)
{
    s->clock = get_clock();
    return s->clock;
}

/** shard_take: use one more page.  Returns: false if there is no room */
static inline bool shard_take(RemoteShard *s, bool visitor)
{
    return visitor ? budget_visit(&s->budget) : budget_take(&s->budget);
}

/** shard_flushed: all CPUs that run the guest were told to forget an address */
static inline void shard_flushed(RemoteShard *s)
{
    if (s->gather) {
        gather_flush(s->gather);
    }
}

/** shard_sane: every invariant of a shard; for assertions and tests */
bool shard_sane(const RemoteShard *s);

/* fault.c */

/**
 * shard_fault: a thread waits for a page
 * @s: the shard
 * @index: the page
 * @tid: the thread
 * @write: whether it wants to write
 */
void shard_fault(RemoteShard *s, uint32_t index, uint32_t tid, bool write);

/**
 * fault_fill: put zeros where a ZERO page is, for who is about to write to it
 *
 * It is no harm if there is no room: then that will be a fault.
 */
void fault_fill(RemoteShard *s, uint32_t index);

/**
 * fault_bring_back: bring a page back that is in STANDBY, as if it was touched
 *
 * It stays there if that is not possible now.
 */
void fault_bring_back(RemoteShard *s, uint32_t index);

/**
 * fault_retry: answer those who wait for room, as far as there is some
 *
 * Returns: whether somebody still waits.
 */
bool fault_retry(RemoteShard *s);

/** fault_awaited: does somebody wait for this page, which is to come? */
bool fault_awaited(const RemoteShard *s, uint32_t index);

/** fault_arrived: the page was fetched and placed: nobody waits any more */
void fault_arrived(RemoteShard *s, uint32_t index);

/** fault_not_arrived: it was not: who waits for it has to go on waiting */
void fault_not_arrived(RemoteShard *s, uint32_t index);

/** fault_received: it came from the source of a migration, and is placed */
void fault_received(RemoteShard *s, uint32_t index);

/** fault_waiters_free: forget all waiters */
void fault_waiters_free(RemoteShard *s);

/* fetch.c */

/** fetch_init: make the buffers.  Returns: false without memory */
bool fetch_init(RemoteShard *s);

/** fetch_for: a page is fetched for the guest, or for a visitor */
void fetch_for(RemoteShard *s, uint32_t index, bool visitor);

/**
 * fetch_start: get a REMOTE page, with the next fetch_submit()
 * @s: the shard
 * @w: the first who waits for it
 *
 * Returns: false if there is no room for it now.
 */
bool fetch_start(RemoteShard *s, const Waiter *w);

/**
 * fetch_verify: is what came what was put?
 * @s: the shard
 * @r: a get that has ended; its result becomes CORRUPT if not
 *
 * Whatever the store, the network or another client of the store did.
 */
bool fetch_verify(RemoteShard *s, ShardRequest *r);

/** fetch_settle: verify and place what came, or see to it that nothing did */
void fetch_settle(RemoteShard *s, ShardRequest *r);

/** fetch_count: a page was fetched and placed */
void fetch_count(RemoteShard *s, uint32_t index);

/** fetch_submit: hand the fetches that were started to the store */
void fetch_submit(RemoteShard *s);

/* evict.c */

/**
 * evict_run: evict and drop a batch, if the budget asks for it
 *
 * Returns: whether to call again soon.
 */
bool evict_run(RemoteShard *s);

/**
 * evict_can_try: is there room in the standby ring for evict_try()?
 *
 * Makes some, if it has to and can.
 */
bool evict_can_try(RemoteShard *s);

/**
 * evict_try: put a page in standby, to see whether it is used
 *
 * Returns: false if it is not RESIDENT, or cannot go now.
 */
bool evict_try(RemoteShard *s, uint32_t index);

/**
 * evict_has_unused: is there something local that nobody will miss?
 *
 * So that evict_unused() could make room of it, now or when puts have ended.
 */
bool evict_has_unused(RemoteShard *s);

/**
 * evict_unused: take some of it out of the guest, and drop what can be dropped
 *
 * Returns: whether it did; if not, there is nothing to do before something else
 * happens.
 */
bool evict_unused(RemoteShard *s);

/** evict_drop: drop what is in standby and need not be written, now */
void evict_drop(RemoteShard *s);

/**
 * evict_unstick: somebody waits for room; if none can be made, allow for more
 *
 * That is so if devices use all resident pages at the same time: unless one of
 * the waiters goes on, no page is ever let go.
 */
void evict_unstick(RemoteShard *s);

/* writeback.c */

/** writeback_init: fill the list of idle puts */
void writeback_init(RemoteShard *s);

/**
 * writeback_examine: must this be put?
 * @page: a page on its way out
 * @mem: its content
 * @hash: set to the hash of that, unless it is all zeros
 *
 * Returns: SLOT_ZERO or SLOT_CLEAN if not, SLOT_DIRTY if so.
 */
SlotState writeback_examine(const Page *page, const void *mem, uint64_t *hash);

/** writeback_spared: count a page that need not be put, and why */
void writeback_spared(RemoteShard *s, SlotState content);

/** writeback_run: examine DIRTY slots, and write those that must be */
void writeback_run(RemoteShard *s);

/* discard.c */

/**
 * discard_range: the guest gave pages back
 * @s: the shard
 * @first: index of the first page
 * @nr: number of pages, within a stripe; changed to how many of them are done:
 *     no more than takes a short time
 *
 * Returns: 0 or a negative errno.
 */
int discard_range(RemoteShard *s, uint32_t first, uint32_t *nr);

/** discard_one: the same for one page */
static inline int discard_one(RemoteShard *s, uint32_t index)
{
    uint32_t nr = 1;

    return discard_range(s, index, &nr);
}

/* shard-move.c */

/** shard_holds_back: should no request be begun now? */
static inline bool shard_holds_back(const RemoteShard *s)
{
    return s->when_idle;
}

/** shard_in_flight: so many more requests are in flight, or less */
static inline void shard_in_flight(RemoteShard *s, int nr)
{
    qatomic_set(&s->in_flight, s->in_flight + nr);
    if (!s->in_flight && shard_holds_back(s)) {
        shard_kick(s);
    }
}

/** shard_idle_run: do what waits for the end of all requests, if that is now */
void shard_idle_run(RemoteShard *s);

#endif
