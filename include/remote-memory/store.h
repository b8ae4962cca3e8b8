/*
 * Remote stores: where the pages of a memory-backend-remote live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STORE_H
#define REMOTE_MEMORY_STORE_H

#include "block/aio.h"
#include "qapi/qapi-types-remote-store.h"
#include "qemu/queue.h"
#include "qemu/thread.h"
#include "qemu/uuid.h"
#include "qom/object.h"

/**
 * DOC: The contract between a pager and a store
 *
 * A store keeps pages of %REMOTE_STORE_PAGE_SIZE bytes under an index.  The
 * objects, from the outside in::
 *
 *     RemoteStore         the user-creatable object, -object remote-store-X
 *       RemoteStoreRegion   the pages of one memory backend: a namespace of
 *                           its own, so that two never meet in one server
 *         RemoteStoreQueue    one shard's way in, bound to its AioContext
 *           RemoteStoreRequest  one page to get, put or discard
 *
 * Threads
 *   start, attach, open and detach run in the main thread and may block.
 *   submit and close run in the queue's AioContext and never block: they are
 *   on the way of a page fault.  Completions are delivered in the queue's
 *   AioContext, possibly before submit returns.  A driver neither takes the
 *   BQL nor waits for the main loop, for RCU or for a thread that may touch
 *   guest memory: such a thread may be waiting for this very page.
 *
 * Buffers
 *   @buf belongs to the driver from submit until completion and does not
 *   change in that time.  It is never guest memory.
 *
 * Order
 *   A pager has at most one request in flight for any one page.  Requests for
 *   different pages may complete in any order.
 *
 * Finality
 *   Every request completes in bounded time, and once it has completed, with
 *   whatever result, it has no further effect: a put that timed out must not
 *   overwrite a later put.  A driver whose server cannot promise that has to
 *   make it so, for example by never using that key again.
 *
 * What a result means to the page is said at &enum RemoteStoreResult.
 */

/** REMOTE_STORE_PAGE_SIZE: unit of transfer, in bytes */
#define REMOTE_STORE_PAGE_SIZE 4096

/**
 * REMOTE_STORE_ALIGN: memory of different threads that is aligned to this
 * shares no line of a cache, not even with what the processor fetches along
 * with it
 */
#define REMOTE_STORE_ALIGN 128

/**
 * REMOTE_STORE_MARKS: pages behind a backend's last one, if the store can hand
 * over: who has its namespace is written there.  For them, a put that failed
 * may take effect later, but none may go anywhere else.  See ownership.h
 */
#define REMOTE_STORE_MARKS 2

#define TYPE_REMOTE_STORE "remote-store"
OBJECT_DECLARE_TYPE(RemoteStore, RemoteStoreClass, REMOTE_STORE)

/**
 * enum RemoteStoreOp - what is asked of the store
 * @REMOTE_STORE_GET: read the page into the buffer
 * @REMOTE_STORE_PUT: keep the buffer as the page's content; complete only
 *     when the store has acknowledged it
 * @REMOTE_STORE_DISCARD: forget the page; forgetting what is not there is
 *     a success
 */
typedef enum RemoteStoreOp {
    REMOTE_STORE_GET,
    REMOTE_STORE_PUT,
    REMOTE_STORE_DISCARD,
} RemoteStoreOp;

/**
 * enum RemoteStoreResult - how a request ended
 * @REMOTE_STORE_OK: done
 * @REMOTE_STORE_MISSING: (get) the store answers and does not have the page:
 *     it is lost, retrying in the same incarnation does not help
 * @REMOTE_STORE_CORRUPT: (get) the store answered with something that cannot
 *     be the page; another try may help
 * @REMOTE_STORE_NOSPACE: (put) the store is full.  What it holds for the page
 *     now is unknown: the old content, or nothing
 * @REMOTE_STORE_TIMEOUT: no answer in time.  (put, discard) what the store
 *     holds now is unknown
 * @REMOTE_STORE_FAILED: the connection broke or the store reported an error.
 *     (put, discard) what the store holds now is unknown
 */
typedef enum RemoteStoreResult {
    REMOTE_STORE_OK,
    REMOTE_STORE_MISSING,
    REMOTE_STORE_CORRUPT,
    REMOTE_STORE_NOSPACE,
    REMOTE_STORE_TIMEOUT,
    REMOTE_STORE_FAILED,
} RemoteStoreResult;

typedef struct RemoteStoreRequest RemoteStoreRequest;
typedef struct RemoteStoreRegion RemoteStoreRegion;
typedef struct RemoteStoreQueue RemoteStoreQueue;

/**
 * struct RemoteStoreRequest - one page to move
 * @op: what to do
 * @page: index of the page within its region, in pages
 * @buf: %REMOTE_STORE_PAGE_SIZE bytes, page-aligned; read by a put, written
 *     by a get (in any way, also when it fails), unused by a discard
 * @fresh: (put) the store holds no copy of the page yet; for the statistics
 * @background: (get) nobody waits for the page yet.  A hint: such a get should
 *     not delay those that somebody waits for, at whatever cost to itself
 * @lend: (get) the content may be left in memory of the driver's own
 * @complete: called once when the request has ended
 * @result: how it ended, valid from @complete on
 * @data: (get) where the content is: @buf, or if @lend, memory that does not
 *     change before the next request for this page is submitted
 * @reason: what went wrong, in words for the operator, or %NULL; owned by the
 *     request's owner, who frees it with g_free()
 * @entry: for the driver, from submit until completion
 *
 * Set up by the owner before submit; the driver changes @result, @data, @reason
 * and @entry only.
 */
struct RemoteStoreRequest {
    RemoteStoreOp op;
    bool fresh;
    bool background;
    bool lend;
    uint64_t page;
    void *buf;
    void (*complete)(RemoteStoreRequest *req);
    RemoteStoreResult result;
    const void *data;
    char *reason;
    QSIMPLEQ_ENTRY(RemoteStoreRequest) entry;
};

typedef QSIMPLEQ_HEAD(, RemoteStoreRequest) RemoteStoreRequestList;

/**
 * struct RemoteStoreRegion - the pages of one memory backend in one store
 * @store: the store
 * @uuid: random namespace of 128 bits
 * @nr_pages: number of pages; indices are below it
 * @nr_marks: so many of them, the last ones, are marks
 * @inherited: the namespace exists, and this is what the driver saved of it in
 *     another process; else %NULL.  Valid while it is attached only
 * @left: the namespace goes on in another process: leave in the store what is
 *     there, when it is detached
 * @opaque: for the driver
 * @pages: pages that the store holds by way of queues that were closed,
 *     protected by &RemoteStore.lock
 *
 * Constant from attach until detach but for @left and @pages.
 */
struct RemoteStoreRegion {
    RemoteStore *store;
    QemuUUID uuid;
    uint64_t nr_pages;
    unsigned nr_marks;
    GByteArray *inherited;
    bool left;
    void *opaque;
    uint64_t pages;
};

/**
 * struct RemoteStoreQueue - one shard's way into a store
 * @region: what it leads to
 * @ctx: where submit is called and completions are delivered
 * @pages: pages that the store holds by way of this queue
 * @bytes_read: payload got, in bytes
 * @bytes_written: payload put and acknowledged, in bytes
 * @errors: requests that did not end well
 * @rebuild_done: (mirror) pages that have been looked at, of
 * @rebuild_total: so many, while lost copies are rebuilt; else 0
 * @next: in &RemoteStore.queues, protected by &RemoteStore.lock
 *
 * Drivers embed it as their first member, in what remote_store_alloc() gives,
 * so that queues are not in each other's way.  The counters are written by
 * @ctx's thread only and read by any thread with qatomic_read().
 */
struct QEMU_ALIGNED(REMOTE_STORE_ALIGN) RemoteStoreQueue {
    RemoteStoreRegion *region;
    AioContext *ctx;
    uint64_t pages;
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t errors;
    uint64_t rebuild_done;
    uint64_t rebuild_total;
    QLIST_ENTRY(RemoteStoreQueue) next;
};

/**
 * struct RemoteStore - base of all stores
 * @id: the object's id, or %NULL for a store that a backend made; constant
 * @started: the properties were accepted; those that cannot change are fixed.
 *     Main thread only.
 * @users: regions attached and remote_store_use(); the object cannot be
 *     deleted while there are any.  Main thread only.
 * @lock: protects the fields below; never held while blocking
 * @status: as last set by remote_store_set_status()
 * @reported: as last sent in an event
 * @queues: the open queues
 * @retired: counters of the queues that were closed
 */
struct RemoteStore {
    Object parent_obj;

    char *id;
    bool started;
    unsigned users;

    QemuMutex lock;
    RemoteStoreStatus status;
    RemoteStoreStatus reported;
    QLIST_HEAD(, RemoteStoreQueue) queues;
    RemoteStoreQueue retired;
};

/**
 * typedef RemoteStoreUses - is a page used by way of a queue?
 * @opaque: as given to remote_store_go_on()
 * @page: the page
 */
typedef bool RemoteStoreUses(void *opaque, uint64_t page);

/**
 * struct RemoteStoreClass - what a driver implements
 * @transient: the pages die with this process: nobody has to discard them
 *     when the namespace is given back
 * @start: check the properties and connect; the object is refused on failure
 * @capacity: how much it can hold, in bytes, 0 if that is not known
 *     (optional: not known)
 * @attach: prepare for @region's pages, which may be there already (optional:
 *     nothing to prepare)
 * @save: append to @state what @attach needs to know in another process, if
 *     that has a store on the same servers; no put or discard is in flight.  Or
 *     if @state is %NULL, only say whether that is possible, at any time.  From
 *     then on, marks can be put (optional: its pages cannot be handed over).
 *     Both marks of an offer are put before @state is asked for; after that,
 *     nothing else is written until @go_on
 * @go_on: (for what writes by itself) after @save or @attach of what was
 *     inherited, the pages turned out to be this process's; see
 *     remote_store_go_on() (optional)
 * @detach: undo @attach (optional); no queue is open any more.  What the store
 *     still holds of the region has been discarded as far as it was possible
 * @open: make a queue; the caller fills in the base fields afterwards, but
 *     @region and @ctx are given
 * @submit: start @nr requests, in any mixture of operations
 * @close: free a queue; none of its requests is in flight
 */
struct RemoteStoreClass {
    ObjectClass parent_class;

    bool transient;
    bool (*start)(RemoteStore *store, Error **errp);
    uint64_t (*capacity)(RemoteStore *store);
    bool (*attach)(RemoteStoreRegion *region, Error **errp);
    bool (*save)(RemoteStoreRegion *region, GByteArray *state, Error **errp);
    void (*go_on)(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                  void *opaque);
    void (*detach)(RemoteStoreRegion *region);
    RemoteStoreQueue *(*open)(RemoteStoreRegion *region, AioContext *ctx,
                              Error **errp);
    void (*submit)(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                   size_t nr);
    void (*close)(RemoteStoreQueue *queue);
};

/* For pagers and for stores that stand on other stores. */

/**
 * remote_store_use: find a store by its id and keep it from being deleted
 * @id: the id
 * @errp: set if there is no such store
 *
 * Main thread.  Returns: the store, for remote_store_unuse(), or %NULL.
 */
RemoteStore *remote_store_use(const char *id, Error **errp);

/**
 * remote_store_unuse: let go of a store
 * @store: from remote_store_use().  May be %NULL
 *
 * Main thread.
 */
void remote_store_unuse(RemoteStore *store);

/**
 * remote_store_attach: take a namespace in a store
 * @store: the store; a reference is held until remote_store_detach()
 * @uuid: the namespace
 * @nr_pages: number of pages
 * @errp: set on failure
 *
 * Main thread.  If the store can hand over, the region has marks behind them.
 * Returns: the region, or %NULL.
 */
RemoteStoreRegion *remote_store_attach(RemoteStore *store,
                                       const QemuUUID *uuid,
                                       uint64_t nr_pages, Error **errp);

/**
 * remote_store_inherit: take a namespace over from another process
 * @store: the store; a reference is held until remote_store_detach()
 * @uuid: the namespace
 * @nr_pages: number of pages, without marks
 * @state: what remote_store_save() gave there
 * @errp: set on failure
 *
 * Main thread.  Returns: the region, or %NULL.
 */
RemoteStoreRegion *remote_store_inherit(RemoteStore *store,
                                        const QemuUUID *uuid,
                                        uint64_t nr_pages, GByteArray *state,
                                        Error **errp);

/**
 * remote_store_check_save: can these pages be handed over?
 * @region: the pages
 * @errp: says why not
 */
bool remote_store_check_save(RemoteStoreRegion *region, Error **errp);

/**
 * remote_store_save: what another process needs to know of a namespace
 * @region: no put or discard is in flight, or will be submitted before it is
 *     known that the other process does not take it
 * @errp: set on failure
 *
 * With the BQL.  Returns: for remote_store_inherit() there, or %NULL.
 */
GByteArray *remote_store_save(RemoteStoreRegion *region, Error **errp);

/**
 * remote_store_adopt: pages that the store has by way of this queue
 * @queue: the queue; no request was submitted yet
 * @nr: how many more; for the statistics
 *
 * In @queue's context.
 */
void remote_store_adopt(RemoteStoreQueue *queue, uint64_t nr);

/**
 * remote_store_go_on: the pages are this process's, and nobody else's
 * @queue: the queue
 * @uses: tells about each page without marks, also later.  What was inherited
 *     is not known to be any queue's, before it is used
 * @opaque: handed to @uses
 *
 * In @queue's context; for all queues, and as often as one likes.
 */
void remote_store_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                        void *opaque);

/**
 * remote_store_detach: give the namespace back and free @region
 * @region: from remote_store_attach(); its queues are closed.  May be %NULL
 *
 * Main thread.
 */
void remote_store_detach(RemoteStoreRegion *region);

/**
 * remote_store_open: open a queue
 * @region: where to
 * @ctx: context for requests and completions
 * @errp: set on failure
 *
 * Main thread.  Returns: the queue, or %NULL.
 */
RemoteStoreQueue *remote_store_open(RemoteStoreRegion *region,
                                    AioContext *ctx, Error **errp);

/**
 * remote_store_submit: start requests
 * @queue: the queue
 * @reqs: the requests; the array itself may be reused at once, also by a
 *     completion that runs before submit returns
 * @nr: how many, at least 1
 *
 * In @queue's context.  Requests may be complete when it returns.
 */
void remote_store_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr);

/**
 * remote_store_close: free a queue
 * @queue: no request of it is in flight.  May be %NULL
 *
 * In @queue's context.
 */
void remote_store_close(RemoteStoreQueue *queue);

/**
 * remote_store_id: name of a store for messages
 * @store: the store
 *
 * Returns: its id, or "(default)" for the one that a backend made itself;
 * owned by @store.
 */
const char *remote_store_id(RemoteStore *store);

/**
 * remote_store_capacity: how much a store can hold
 * @store: the store
 *
 * Main thread.  Returns: bytes, or 0 if that is not known.
 */
uint64_t remote_store_capacity(RemoteStore *store);

/**
 * remote_store_query: what query-remote-stores says of a store
 * @store: the store
 *
 * Any thread.  Returns: a new #RemoteStoreInfo.
 */
RemoteStoreInfo *remote_store_query(RemoteStore *store);

/* For drivers. */

/**
 * remote_store_can_set: for setters of properties that are constant
 * @store: the store
 * @name: the property
 * @errp: set if the store has started
 *
 * Main thread.  Returns: whether the property may still be set.
 */
bool remote_store_can_set(RemoteStore *store, const char *name, Error **errp);

/**
 * remote_store_take_requests: what was submitted, as a list
 * @list: set to the requests, in their order
 * @reqs: the requests
 * @nr: how many
 *
 * For a driver that ends requests while it goes through them: a completion may
 * submit again, with the same array.
 */
static inline void remote_store_take_requests(RemoteStoreRequestList *list,
                                              RemoteStoreRequest **reqs,
                                              size_t nr)
{
    QSIMPLEQ_INIT(list);
    for (size_t i = 0; i < nr; i++) {
        QSIMPLEQ_INSERT_TAIL(list, reqs[i], entry);
    }
}

/**
 * remote_store_bad_state: what was inherited cannot be what was saved
 * @region: the region that is being attached
 * @errp: set
 */
void remote_store_bad_state(const RemoteStoreRegion *region, Error **errp);

/**
 * remote_store_alloc: memory for what a driver writes for each request
 * @size: in bytes
 *
 * Returns: zeroed, aligned to %REMOTE_STORE_ALIGN; freed by qemu_vfree().
 */
void *remote_store_alloc(size_t size);

/**
 * remote_store_done: end a request well
 * @queue: the queue it was submitted to
 * @req: the request; not to be touched by the driver afterwards
 *
 * In @queue's context.
 */
void remote_store_done(RemoteStoreQueue *queue, RemoteStoreRequest *req);

/**
 * remote_store_fail: end a request badly
 * @queue: the queue it was submitted to
 * @req: the request; not to be touched by the driver afterwards
 * @result: not %REMOTE_STORE_OK
 * @fmt: what went wrong, one line without a final stop or newline
 *
 * In @queue's context.
 */
void remote_store_fail(RemoteStoreQueue *queue, RemoteStoreRequest *req,
                       RemoteStoreResult result, const char *fmt, ...)
    G_GNUC_PRINTF(4, 5);

/**
 * remote_store_set_status: say how the store is
 * @store: the store
 * @status: new status; a change sends the event REMOTE_STORE_STATUS_CHANGE
 *
 * Any thread; does not block.
 */
void remote_store_set_status(RemoteStore *store, RemoteStoreStatus status);

#endif
