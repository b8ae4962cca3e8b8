/*
 * Queue into a mirror
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "content.h"
#include "mirror-handover.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "sparse.h"

/*
 * What a copy sees of a request.
 * @req: that
 * @owner: the request
 */
typedef struct MirrorPart {
    RemoteStoreRequest req;
    MirrorRequest *owner;
} MirrorPart;

/*
 * A request on its way.
 * @outer: what was submitted; NULL once it is done
 * @queue: to which queue
 * @op: what is done
 * @page: with which page
 * @since: (get) when the copy was asked, in ns
 * @tried: (get) bits of the copies that were asked
 * @pending: (put, discard) copies that have not answered
 * @good: (put, discard) copies that have answered well
 * @enough: (put) so many of those make it done; 0 for all
 * @result: how it ended at a copy where it ended badly
 * @reason: the same in words
 * @mem: (put) the content, if it may be done before all have it
 * @parts: what the copies see
 * @idle: in a list of the queue's
 * @next: likewise
 */
struct MirrorRequest {
    RemoteStoreRequest *outer;
    MirrorQueue *queue;
    RemoteStoreOp op;
    uint64_t page;
    int64_t since;
    unsigned tried;
    unsigned pending;
    unsigned good;
    unsigned enough;
    RemoteStoreResult result;
    char *reason;
    void *mem;
    MirrorPart parts[MIRROR_MAX];
    QSIMPLEQ_ENTRY(MirrorRequest) idle;
    QTAILQ_ENTRY(MirrorRequest) next;
};

/* Pages that are taken */

/* What is kept for one. */
enum {
    TAKEN = 1,
    TAKEN_WRITTEN,
};

static gpointer page_key(uint64_t page)
{
    QEMU_BUILD_BUG_ON(sizeof(gpointer) < sizeof(uint64_t));
    return (gpointer)(uintptr_t)page;
}

static void take(MirrorQueue *q, uint64_t page, int how)
{
    g_hash_table_insert(q->taken, page_key(page), GINT_TO_POINTER(how));
}

bool mirror_take(MirrorQueue *q, uint64_t page)
{
    MirrorRequest *mreq;

    QTAILQ_FOREACH(mreq, &q->active, next) {
        if (mreq->page == page) {
            return false;
        }
    }
    take(q, page, TAKEN);
    return true;
}

void mirror_let_read(MirrorQueue *q, uint64_t page)
{
    take(q, page, TAKEN_WRITTEN);
}

static bool must_wait(const MirrorQueue *q, const MirrorRequest *mreq)
{
    int how;

    if (!g_hash_table_size(q->taken)) {
        return false;
    }
    how = GPOINTER_TO_INT(g_hash_table_lookup(q->taken, page_key(mreq->page)));
    return how == TAKEN || (how && mreq->op != REMOTE_STORE_GET);
}

static void mreq_begin(MirrorRequest *mreq);
static void send_parts(MirrorQueue *q);

void mirror_release(MirrorQueue *q, uint64_t page)
{
    MirrorRequest *mreq;

    g_hash_table_remove(q->taken, page_key(page));
    QTAILQ_FOREACH(mreq, &q->waiting, next) {
        if (mreq->page == page) {
            QTAILQ_REMOVE(&q->waiting, mreq, next);
            mreq_begin(mreq);
            send_parts(q);
            /* There is one at most, and it may be over. */
            break;
        }
    }
}

/* Ends */

static void mreq_free(MirrorRequest *mreq)
{
    g_clear_pointer(&mreq->reason, g_free);
    QSIMPLEQ_INSERT_HEAD(&mreq->queue->idle, mreq, idle);
}

/* The completion may submit again. */
static void end_outer(MirrorRequest *mreq, bool well)
{
    RemoteStoreRequest *outer = g_steal_pointer(&mreq->outer);
    RemoteStoreQueue *queue = &mreq->queue->parent;

    if (well) {
        remote_store_done(queue, outer);
    } else {
        g_autofree char *reason = g_steal_pointer(&mreq->reason);

        remote_store_fail(queue, outer, mreq->result, "%s", reason);
    }
}

static void mreq_leave(MirrorRequest *mreq)
{
    QTAILQ_REMOVE(&mreq->queue->active, mreq, next);
    mirror_rebuild_go_on(mreq->queue->rebuild);
}

static void mreq_end(MirrorRequest *mreq, bool well)
{
    mreq_leave(mreq);
    end_outer(mreq, well);
    mreq_free(mreq);
}

/* Remember how it went wrong; what another try may cure is said rather. */
static void note_failure(MirrorRequest *mreq, RemoteStoreRequest *req)
{
    if (!mreq->reason || mreq->result == REMOTE_STORE_MISSING) {
        g_free(mreq->reason);
        mreq->result = req->result;
        mreq->reason = g_steal_pointer(&req->reason);
    }
    g_clear_pointer(&req->reason, g_free);
}

/* Parts */

static unsigned part_number(const MirrorPart *part)
{
    return part - part->owner->parts;
}

static void part_complete(RemoteStoreRequest *req);

/*
 * Goes with the next send_parts(), so that a batch stays one.  Nothing is lent:
 * the next request for the page may be one of the rebuilding.
 */
static void part_add(MirrorRequest *mreq, unsigned copy)
{
    MirrorQueue *q = mreq->queue;
    const RemoteStoreRequest *outer = mreq->outer;
    MirrorPart *part = &mreq->parts[copy];

    part->owner = mreq;
    part->req = (RemoteStoreRequest) {
        .op = mreq->op,
        .page = mreq->page,
        .buf = mreq->enough ? mreq->mem : outer->buf,
        .fresh = !test_bit(mreq->page, q->region->held[copy]),
        .background = outer->background,
        .complete = part_complete,
    };
    QSIMPLEQ_INSERT_TAIL(&q->out[copy], &part->req, entry);
    q->nr_out[copy]++;
}

/* Completions may come here again meanwhile, and add to it. */
static void send_parts(MirrorQueue *q)
{
    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        g_autofree RemoteStoreRequest **reqs = NULL;
        RemoteStoreRequest *req;
        size_t nr = 0;

        if (!q->nr_out[i]) {
            continue;
        }
        reqs = g_new(RemoteStoreRequest *, q->nr_out[i]);
        q->nr_out[i] = 0;
        while ((req = QSIMPLEQ_FIRST(&q->out[i]))) {
            QSIMPLEQ_REMOVE_HEAD(&q->out[i], entry);
            reqs[nr++] = req;
        }
        remote_store_submit(q->parts[i], reqs, nr);
    }
}

/* Gets */

/* The next copy that has the page.  Returns: whether there is one. */
static bool get_next(MirrorRequest *mreq)
{
    int copy = mirror_best(mreq->queue, mreq->page, mreq->tried);

    if (copy < 0) {
        return false;
    }
    mreq->tried |= 1u << copy;
    mreq->since = get_clock();
    part_add(mreq, copy);
    return true;
}

static void get_begin(MirrorRequest *mreq)
{
    if (!get_next(mreq)) {
        mreq->result = REMOTE_STORE_MISSING;
        mreq->reason = g_strdup_printf("no copy has page %" PRIu64, mreq->page);
        mreq_end(mreq, false);
    }
}

static void get_ended(MirrorPart *part)
{
    MirrorRequest *mreq = part->owner;
    MirrorQueue *q = mreq->queue;
    RemoteStoreMirror *mirror = q->region->mirror;
    unsigned copy = part_number(part);
    RemoteStoreRequest *req = &part->req;

    if (req->result == REMOTE_STORE_OK && !mirror_is_good(q, req)) {
        req->result = REMOTE_STORE_CORRUPT;
        req->reason = g_strdup_printf("store '%s' does not have page %" PRIu64
                                      " as it was put",
                                      remote_store_id(mirror->stores[copy]),
                                      req->page);
    }
    if (req->result == REMOTE_STORE_OK) {
        mirror_note_latency(q, copy, get_clock() - mreq->since);
        mreq->outer->data = req->data;
        mreq_end(mreq, true);
        return;
    }
    if (req->result == REMOTE_STORE_MISSING ||
        req->result == REMOTE_STORE_CORRUPT) {
        mirror_suspect(q, copy, req->page);
        mirror_doubt(mirror, copy);
    }
    note_failure(mreq, req);
    if (get_next(mreq)) {
        send_parts(q);
    } else {
        mreq_end(mreq, false);
    }
}

/* Puts and discards */

/* Enough have it, but not all: the rest goes on by itself. */
static void put_done_early(MirrorRequest *mreq)
{
    take(mreq->queue, mreq->page, TAKEN_WRITTEN);
    end_outer(mreq, true);
}

static void write_end(MirrorRequest *mreq)
{
    MirrorQueue *q = mreq->queue;
    uint64_t page = mreq->page;

    if (mreq->outer) {
        mreq_end(mreq, mreq->good >= MAX(mreq->enough, 1));
    } else {
        mreq_leave(mreq);
        mreq_free(mreq);
        mirror_release(q, page);
    }
}

static void write_ended(MirrorPart *part)
{
    MirrorRequest *mreq = part->owner;
    RemoteStoreRequest *req = &part->req;

    if (req->result == REMOTE_STORE_OK) {
        mreq->good++;
        mirror_part_done(mreq->queue, part_number(part), req);
    } else {
        mirror_stale(mreq->queue, part_number(part), req->page);
        note_failure(mreq, req);
    }
    if (!--mreq->pending) {
        write_end(mreq);
    } else if (mreq->outer && mreq->enough && mreq->good >= mreq->enough) {
        put_done_early(mreq);
    }
}

/*
 * The copies to write to, as bits.  If too few are well, all are tried: one of
 * them may be again.  What has no page need not discard it.
 */
static unsigned write_targets(const MirrorRequest *mreq)
{
    const MirrorRegion *r = mreq->queue->region;
    const RemoteStoreMirror *mirror = r->mirror;
    unsigned retired = mreq->queue->retired;
    unsigned wanted = 0, well = 0;

    for (unsigned i = 0; i < mirror->nr; i++) {
        bool want = mreq->op == REMOTE_STORE_PUT ?
                    !(retired & (1u << i)) : test_bit(mreq->page, r->held[i]);

        wanted |= want << i;
        well |= (want && !qatomic_read(&mirror->copies[i].failing)) << i;
    }
    return ctpop32(well) < MAX(mirror->quorum, 1) ? wanted : well;
}

/* From now on no copy has the page, until it has it again. */
static void forget_page(MirrorQueue *q, uint64_t page)
{
    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        clear_bit_atomic(page, q->region->current[i]);
    }
}

static void put_begin(MirrorRequest *mreq)
{
    MirrorRegion *r = mreq->queue->region;
    void *buf = mreq->outer->buf;

    r->hash[mreq->page] = content_hash(buf);
    mreq->enough = r->mirror->quorum;
    if (mreq->enough) {
        mreq->mem = mreq->mem ?: qemu_memalign(REMOTE_STORE_PAGE_SIZE,
                                               REMOTE_STORE_PAGE_SIZE);
        memcpy(mreq->mem, buf, REMOTE_STORE_PAGE_SIZE);
    }
}

static void write_begin(MirrorRequest *mreq)
{
    MirrorQueue *q = mreq->queue;
    unsigned targets = write_targets(mreq);

    if (mreq->op == REMOTE_STORE_PUT) {
        put_begin(mreq);
    }
    forget_page(q, mreq->page);
    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        if (targets & (1u << i)) {
            part_add(mreq, i);
            mreq->pending++;
        } else if (mreq->op == REMOTE_STORE_PUT ||
                   test_bit(mreq->page, q->region->held[i])) {
            mirror_lacking(q, 1u << i);
        }
    }
    /* A discard of what no copy has. */
    if (!targets) {
        mreq_end(mreq, true);
    }
}

/* Requests */

static void part_complete(RemoteStoreRequest *req)
{
    MirrorPart *part = container_of(req, MirrorPart, req);

    mirror_answered(part->owner->queue->region->mirror, part_number(part),
                    req->result);
    (req->op == REMOTE_STORE_GET ? get_ended : write_ended)(part);
}

static MirrorRequest *mreq_new(MirrorQueue *q, RemoteStoreRequest *outer)
{
    MirrorRequest *mreq = QSIMPLEQ_FIRST(&q->idle);

    if (mreq) {
        QSIMPLEQ_REMOVE_HEAD(&q->idle, idle);
    } else {
        mreq = g_new0(MirrorRequest, 1);
        mreq->queue = q;
    }
    mreq->outer = outer;
    mreq->op = outer->op;
    mreq->page = outer->page;
    mreq->tried = 0;
    mreq->pending = 0;
    mreq->good = 0;
    mreq->enough = 0;
    return mreq;
}

/*
 * Whoever knows about the page has forgotten what is in the store, because of
 * this very request; but it tells whether there is something.
 */
static void learn(MirrorQueue *q, MirrorRequest *mreq)
{
    mirror_learn(q, mreq->page);
    set_bit(mreq->page, q->mine);
    if (q->known && (mreq->op == REMOTE_STORE_DISCARD ||
                     (mreq->op == REMOTE_STORE_PUT && !mreq->outer->fresh))) {
        set_bit_atomic(mreq->page, q->region->held[0]);
    }
}

static void mreq_begin(MirrorRequest *mreq)
{
    MirrorQueue *q = mreq->queue;

    if (must_wait(q, mreq)) {
        QTAILQ_INSERT_TAIL(&q->waiting, mreq, next);
        return;
    }
    QTAILQ_INSERT_TAIL(&q->active, mreq, next);
    if (!test_bit(mreq->page, q->mine)) {
        learn(q, mreq);
    }
    (mreq->op == REMOTE_STORE_GET ? get_begin : write_begin)(mreq);
}

void mirror_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr)
{
    MirrorQueue *q = container_of(queue, MirrorQueue, parent);
    MirrorRequestList list = QSIMPLEQ_HEAD_INITIALIZER(list);
    RemoteStoreRequestList marks = QSIMPLEQ_HEAD_INITIALIZER(marks);
    RemoteStoreRequest *mark;
    MirrorRequest *mreq;

    /* A completion may submit again, with the same array. */
    for (size_t i = 0; i < nr; i++) {
        if (reqs[i]->page >= q->region->nr_pages) {
            QSIMPLEQ_INSERT_TAIL(&marks, reqs[i], entry);
        } else {
            mreq = mreq_new(q, reqs[i]);
            QSIMPLEQ_INSERT_TAIL(&list, mreq, idle);
        }
    }
    while ((mark = QSIMPLEQ_FIRST(&marks))) {
        QSIMPLEQ_REMOVE_HEAD(&marks, entry);
        mirror_mark(q, mark);
    }
    while ((mreq = QSIMPLEQ_FIRST(&list))) {
        QSIMPLEQ_REMOVE_HEAD(&list, idle);
        mreq_begin(mreq);
    }
    send_parts(q);
}

bool mirror_queue_is_writing(const MirrorQueue *q)
{
    const MirrorRequest *mreq;

    QTAILQ_FOREACH(mreq, &q->active, next) {
        if (mreq->op != REMOTE_STORE_GET) {
            return true;
        }
    }
    return false;
}

/* Beginning and end of a queue */

static void queue_free(MirrorQueue *q)
{
    MirrorRequest *mreq;

    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        remote_store_close(q->parts[i]);
    }
    while ((mreq = QSIMPLEQ_FIRST(&q->idle))) {
        QSIMPLEQ_REMOVE_HEAD(&q->idle, idle);
        qemu_vfree(mreq->mem);
        g_free(mreq);
    }
    if (q->rebuild) {
        mirror_rebuild_free(q->rebuild);
    }
    sparse_free(q->mine, mirror_bitmap_size(q->region->nr_pages));
    g_hash_table_unref(q->taken);
    qemu_vfree(q);
}

/* What goes on by itself ends in bounded time, as requests do. */
void mirror_queue_close(RemoteStoreQueue *queue)
{
    MirrorQueue *q = container_of(queue, MirrorQueue, parent);

    mirror_rebuild_stop(q->rebuild);
    while (!QTAILQ_EMPTY(&q->active) || mirror_rebuild_is_busy(q->rebuild)) {
        aio_poll(queue->ctx, true);
    }
    mirror_remove(q->region->mirror, q);
    queue_free(q);
}

/* The way to the first copy of a mirror that moves pages is there already. */
static bool open_parts(MirrorQueue *q, AioContext *ctx, Error **errp)
{
    for (unsigned i = q->region->mirror->internal;
         i < q->region->mirror->nr; i++) {
        q->parts[i] = remote_store_open(q->region->parts[i], ctx, errp);
        if (!q->parts[i]) {
            return false;
        }
    }
    q->mine = sparse_new(mirror_bitmap_size(q->region->nr_pages));
    if (!q->mine) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages",
                         remote_store_id(&q->region->mirror->parent_obj));
    }
    return q->mine;
}

RemoteStoreQueue *mirror_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                    Error **errp)
{
    MirrorQueue *q = remote_store_alloc(sizeof(MirrorQueue));

    q->region = region->opaque;
    QSIMPLEQ_INIT(&q->idle);
    QTAILQ_INIT(&q->active);
    QTAILQ_INIT(&q->waiting);
    q->taken = g_hash_table_new(NULL, NULL);
    for (unsigned i = 0; i < MIRROR_MAX; i++) {
        QSIMPLEQ_INIT(&q->out[i]);
    }
    if (!open_parts(q, ctx, errp)) {
        queue_free(q);
        return NULL;
    }
    q->rebuild = mirror_rebuild_new(q, ctx);
    mirror_add(q->region->mirror, q);
    if (q->region->lacking) {
        mirror_lacking(q, q->region->lacking);
    }
    return &q->parent;
}
