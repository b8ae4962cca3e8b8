/*
 * Pager: keeps a bounded part of a memory backend in local memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGER_H
#define REMOTE_MEMORY_PAGER_H

#include "balance.h"
#include "exec/ramlist.h"
#include "fault-times.h"
#include "qapi/qapi-types-remote-memory.h"
#include "qemu/notify.h"
#include "qemu/thread-context.h"
#include "qemu/uuid.h"
#include "remote-memory/store.h"
#include "system/iothread.h"
#include "system/runstate.h"

typedef struct RemoteShard RemoteShard;
typedef struct RemotePager RemotePager;
typedef struct PagerMap PagerMap;
typedef struct PagerMove PagerMove;

/** PAGER_MAX_SHARDS: more threads than that do not help */
#define PAGER_MAX_SHARDS 64

/**
 * struct PagerConfig - what a pager is made from
 * @id: name for messages
 * @host: the RAM, page-aligned, never touched
 * @size: its size in bytes, a multiple of the page size
 * @cache_size: target for local memory, in bytes
 * @store: where pages go
 * @iothreads: one per shard, or %NULL to make them
 * @nr_shards: how many shards, at least 1
 * @thread_context: where threads of the pager's own run, or %NULL
 * @prefetch: what to fetch ahead
 * @verify: check the hash of fetched pages
 * @on_error: what to do if the store fails
 * @record_working_set: see &struct RemotePager
 */
typedef struct PagerConfig {
    const char *id;
    void *host;
    uint64_t size;
    uint64_t cache_size;
    RemoteStore *store;
    IOThread **iothreads;
    unsigned nr_shards;
    ThreadContext *thread_context;
    RemoteMemoryPrefetch prefetch;
    bool verify;
    RemoteMemoryOnError on_error;
    bool record_working_set;
} PagerConfig;

/**
 * enum PagerEnd - how far a pager has come to its end
 * @PAGER_RUNS: it has not begun
 * @PAGER_DRAINS: the RAM is not touched any more; the last requests end
 * @PAGER_EMPTIES: the store discards what nobody needs
 * @PAGER_RESTS: the last discards end
 * @PAGER_ENDED: the queues are closed
 */
typedef enum PagerEnd {
    PAGER_RUNS,
    PAGER_DRAINS,
    PAGER_EMPTIES,
    PAGER_RESTS,
    PAGER_ENDED,
} PagerEnd;

/**
 * struct RemotePager - one backend's pager
 *
 * The RAM is cut into stripes of 2^@stripe_shift pages, dealt to the shards
 * in turn, so that each shard has its share of what is in use.
 */
struct RemotePager {
    /* Set at creation, never modified. */
    char *id;
    uint8_t *host;
    uint64_t size;
    unsigned stripe_shift;
    unsigned nr_shards;
    bool verify;
    RemoteMemoryOnError on_error;
    RemoteShard *shards;

    /* Main thread only. */
    RemoteStore *store;
    RemoteStoreRegion *region;
    /* Likewise; the shards read the first three when told to. */
    RemoteMemoryPrefetch prefetch;
    uint64_t cache_size;
    unsigned resize_wanted;
    unsigned resize_told;
    bool record_working_set; /* in a snapshot: see snapshot.h */
    uint32_t sample_pages;  /* see ESTIMATE_GROUP; read by shards */
    bool error_told;
    PagerEnd end;
    uint64_t end_left;      /* stretches of pages that the store still has */
    int64_t end_deadline;   /* when to give these up, as a monotonic time */
    QEMUTimer *end_timer;   /* once nobody else has the pager, or NULL */
    PagerMove *move;        /* or NULL: see set-store.c */
    /* With the BQL: see ownership.h and pager-handover.c. */
    int ownership;          /* a PagerOwnership */
    bool doubtful;          /* a mark may still be written, late */
    bool claimed;           /* we have written that we have it */
    bool declined;          /* and taken that back */
    QemuUUID offer;
    /* The migration thread's; see pager-map.h and pager_settle_dirty(). */
    PagerMap *map;          /* while it hands over, or NULL */
    bool settled;
    /* At a destination: what is sent comes before the VM runs. */
    bool fill;
    BalanceTransfer transfer;
    QEMUTimer *balance_timer;
    RAMBlockNotifier ram_notifier;
    VMChangeStateEntry *vm_change;
    Notifier exit_notifier;
    QTAILQ_ENTRY(RemotePager) next;

    /* Scheduled by shards. */
    QEMUBH *error_bh;
    QEMUBH *resize_bh;

    QemuMutex error_lock;
    /* Protected by @error_lock: the error to report next. */
    RemoteMemoryOperation error_op;
    char *error_reason;
};

/** pager_default_shards: how many a backend of @size bytes gets by itself */
unsigned pager_default_shards(uint64_t size);

/** pager_min_cache_size: the smallest cache of a backend of @size bytes */
uint64_t pager_min_cache_size(uint64_t size, unsigned nr_shards);

/**
 * pager_check_cache_size: can a backend have this cache?
 * @id: the backend, for the message
 * @size: its size in bytes
 * @nr_shards: number of its shards
 * @cache_size: in bytes
 * @errp: says why not
 */
bool pager_check_cache_size(const char *id, uint64_t size, unsigned nr_shards,
                            uint64_t cache_size, Error **errp);

/**
 * pager_new: start paging
 * @config: copied as far as it is needed
 * @errp: set on failure
 *
 * Main thread.  Returns: the pager, or %NULL.
 */
RemotePager *pager_new(const PagerConfig *config, Error **errp);

/**
 * pager_free: a backend does without its pager
 * @pager: the RAM block is gone, or was never handed out.  May be %NULL
 *
 * With the BQL.  Returns at once; what is left to be done with the store is
 * done later, and the store is in use until then.
 */
void pager_free(RemotePager *pager);

/** pager_destroy: free a pager that has ended.  With the BQL */
void pager_destroy(RemotePager *pager);

/* pager-end.c */

/**
 * DOC: The end of a pager
 *
 * A backend can be deleted while the VM runs, when its store is slow, stands
 * still, or has many pages to forget.  None of that is waited for: the shards
 * let go of the RAM at once, whatever is in flight, and for the rest the pager
 * outlives its backend.  Only when QEMU ends is it waited for, in bounded time.
 */

/**
 * pager_end_begin: touch the RAM no more
 * @pager: nobody else does, either
 *
 * Requests may be in flight: what comes is not placed.
 */
void pager_end_begin(RemotePager *pager);

/** pager_end_later: come to the end, and be freed then.  With the BQL */
void pager_end_later(RemotePager *pager);

/** pager_end_wait: come to the end now, in bounded time */
void pager_end_wait(RemotePager *pager);

/** pager_end_at_exit: do that when QEMU ends, if it does so first */
void pager_end_at_exit(RemotePager *pager);

/**
 * pager_set_cache_size: set the target for local memory
 * @pager: the pager
 * @cache_size: in bytes
 * @errp: set if it is out of range
 *
 * Main thread.  Returns at once; REMOTE_MEMORY_CACHE_SIZE_CHANGE says when
 * it is reached.
 */
bool pager_set_cache_size(RemotePager *pager, uint64_t cache_size,
                          Error **errp);

/** pager_has_error: does a shard have to do without its store at the moment? */
bool pager_has_error(RemotePager *pager);

/**
 * pager_query: what query-remote-memory says
 * @pager: the pager
 * @times: how long faults took is added to this, or %NULL
 *
 * Main thread.  Each shard's figures are of one moment.
 */
RemoteMemoryInfo *pager_query(RemotePager *pager, FaultTimes *times);

/**
 * pager_shard_of: whose page it is
 * @pager: the pager
 * @page: page of the RAM
 * @index: set to its index within the shard
 */
RemoteShard *pager_shard_of(const RemotePager *pager, uint64_t page,
                            uint32_t *index);

/** pager_nr_pages: how many pages the RAM has */
static inline uint64_t pager_nr_pages(const RemotePager *pager)
{
    return pager->size / REMOTE_STORE_PAGE_SIZE;
}

/** pager_stripe_left: pages from @page on that are in the same stripe */
static inline uint64_t pager_stripe_left(const RemotePager *pager,
                                         uint64_t page)
{
    uint64_t stripe = 1ull << pager->stripe_shift;

    return MIN(stripe - page % stripe, pager_nr_pages(pager) - page);
}

/** pager_set_prefetch: fetch ahead in another way from now on.  Main thread */
void pager_set_prefetch(RemotePager *pager, RemoteMemoryPrefetch mode);

/* pager-move.c */

/**
 * pager_move_start: begin to move all pages to another store
 * @pager: the pager
 * @to: where to
 * @errp: set if that cannot be
 *
 * Main thread.  If a move did not come to an end, it is begun again, in the
 * direction of @to.
 */
bool pager_move_start(RemotePager *pager, RemoteStore *to, Error **errp);

/**
 * enum PagerMoveState - how far it is
 * @PAGER_MOVE_ENTERING: some shards do not write to both stores yet
 * @PAGER_MOVE_COPYING: pages are copied
 * @PAGER_MOVE_COPIED: the store to be kept has all
 * @PAGER_MOVE_EMPTYING: the other one is emptied
 * @PAGER_MOVE_EMPTIED: nothing is left there
 * @PAGER_MOVE_LEAVING: some shards still write to both
 * @PAGER_MOVE_LEFT: none does
 */
typedef enum PagerMoveState {
    PAGER_MOVE_ENTERING,
    PAGER_MOVE_COPYING,
    PAGER_MOVE_COPIED,
    PAGER_MOVE_EMPTYING,
    PAGER_MOVE_EMPTIED,
    PAGER_MOVE_LEAVING,
    PAGER_MOVE_LEFT,
} PagerMoveState;

/** pager_move_state: how far the move is.  Main thread */
PagerMoveState pager_move_state(RemotePager *pager);

/** pager_move_failing: the store that is of no use, or %NULL.  Main thread */
RemoteStore *pager_move_failing(RemotePager *pager);

/** pager_move_turn_back: keep the store where the pages were.  Main thread */
void pager_move_turn_back(RemotePager *pager);

/** pager_move_empty: it is COPIED: empty the other store.  Main thread */
void pager_move_empty(RemotePager *pager);

/** pager_move_leave: use the store that is kept by itself.  Main thread */
void pager_move_leave(RemotePager *pager);

/**
 * pager_move_end: the other store is not used any more
 * @pager: the pager, whose shards have left
 *
 * Main thread.  The pager's store is the one that was kept.
 */
void pager_move_end(RemotePager *pager);

/** pager_move_progress: pages that have moved, and all of them.  Main thread */
void pager_move_progress(RemotePager *pager, uint64_t *done, uint64_t *all);

/** pager_move_free: the shards are closed; for pager_free() */
void pager_move_free(RemotePager *pager);

/* pager-balance.c */

/** pager_balance_start: let room move between shards from now on */
void pager_balance_start(RemotePager *pager);

/** pager_balance_stop: no more */
void pager_balance_stop(RemotePager *pager);

/** pager_balance_resize: deal a cache of @cache_size to the shards */
void pager_balance_resize(RemotePager *pager);

/**
 * pager_discard: drop pages wherever they are
 * @pager: the pager
 * @first: first page of the RAM
 * @nr: number of pages
 *
 * Any thread but a pager's.  Returns: 0 or a negative errno.
 */
int pager_discard(RemotePager *pager, uint64_t first, uint64_t nr);

/**
 * pager_sane: check all invariants
 * @pager: the pager
 *
 * Main thread; takes time in proportion to the size.
 */
bool pager_sane(RemotePager *pager);

/**
 * pager_error: a shard could not do without its store
 * @pager: the pager
 * @op: what failed
 * @reason: why
 *
 * Pager threads.  The main loop sends the event and stops the VM if the
 * error policy says so and the error still lasts.
 */
void pager_error(RemotePager *pager, RemoteMemoryOperation op,
                 const char *reason);

#endif
