/*
 * Mirror: what it does when its pages are handed over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "completion.h"
#include "mirror-handover.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/lockable.h"

/* How often to look whether a queue has come to rest, in us. */
#define POLL_US 200

/* Marks */

typedef struct MarkRequest MarkRequest;

/* What a copy sees of it. */
typedef struct MarkPart {
    RemoteStoreRequest req;
    MarkRequest *owner;
} MarkPart;

/*
 * A request for a mark.
 * @outer: the request
 * @queue: to which queue
 * @targets: bits of the copies that are asked: by a put all of them, by a get
 *     one after the other
 * @pending: (put) those that have not answered
 * @result: how it ended at a copy where it ended badly
 * @reason: the same in words
 */
struct MarkRequest {
    RemoteStoreRequest *outer;
    MirrorQueue *queue;
    unsigned targets;
    unsigned pending;
    RemoteStoreResult result;
    char *reason;
    MarkPart parts[MIRROR_MAX];
};

static unsigned *acked_of(const MarkRequest *mark)
{
    MirrorRegion *r = mark->queue->region;

    return &r->acked[mark->outer->page - r->nr_pages];
}

static void mark_end(MarkRequest *mark, bool well)
{
    RemoteStoreQueue *queue = &mark->queue->parent;
    RemoteStoreRequest *outer = mark->outer;
    RemoteStoreResult result = mark->result;
    g_autofree char *reason = mark->reason;

    g_free(mark);
    if (well) {
        remote_store_done(queue, outer);
    } else {
        remote_store_fail(queue, outer, result, "%s", reason);
    }
}

static void note_failure(MarkRequest *mark, RemoteStoreRequest *req)
{
    g_free(mark->reason);
    mark->result = req->result;
    mark->reason = g_steal_pointer(&req->reason);
}

/* In an offer, all voters have to have it.  Before, they are being found. */
static void put_ended(MarkRequest *mark, unsigned copy)
{
    MirrorRegion *r = mark->queue->region;
    RemoteStoreRequest *req = &mark->parts[copy].req;
    unsigned *acked = acked_of(mark);

    if (req->result == REMOTE_STORE_OK) {
        *acked |= 1u << copy;
    } else {
        /* It may come to be written late, in the middle of another offer. */
        r->spoiled |= 1u << copy;
        note_failure(mark, req);
    }
    mark->pending &= ~(1u << copy);
    if (!mark->pending) {
        mark_end(mark, qatomic_read(&r->frozen) ? *acked == mark->targets
                                                : *acked);
    }
}

static void get_next(MarkRequest *mark);

static void get_ended(MarkRequest *mark, unsigned copy)
{
    RemoteStoreRequest *req = &mark->parts[copy].req;

    if (req->result == REMOTE_STORE_OK) {
        mark->outer->data = req->data;
        mark_end(mark, true);
        return;
    }
    note_failure(mark, req);
    mark->targets &= ~(1u << copy);
    if (mark->targets) {
        get_next(mark);
    } else {
        mark_end(mark, false);
    }
}

static void part_complete(RemoteStoreRequest *req)
{
    MarkPart *part = container_of(req, MarkPart, req);
    MarkRequest *mark = part->owner;
    unsigned copy = part - mark->parts;

    mirror_answered(mark->queue->region->mirror, copy, req->result);
    (req->op == REMOTE_STORE_GET ? get_ended : put_ended)(mark, copy);
}

static void part_submit(MarkRequest *mark, unsigned copy)
{
    MarkPart *part = &mark->parts[copy];
    RemoteStoreRequest *req = &part->req;

    part->owner = mark;
    part->req = (RemoteStoreRequest) {
        .op = mark->outer->op,
        .page = mark->outer->page,
        .buf = mark->outer->buf,
        .fresh = mark->outer->fresh,
        .complete = part_complete,
    };
    remote_store_submit(mark->queue->parts[copy], &req, 1);
}

static void get_next(MarkRequest *mark)
{
    part_submit(mark, ctz32(mark->targets));
}

static void put_all(MarkRequest *mark)
{
    unsigned targets = mark->targets;

    *acked_of(mark) = 0;
    mark->pending = targets;
    /* With the last answer, it is gone. */
    for (unsigned i = 0; i < MIRROR_MAX; i++) {
        if (targets & (1u << i)) {
            part_submit(mark, i);
        }
    }
}

/* Copies that could take part in an offer that begins now, as bits. */
static unsigned candidates(const MirrorRegion *r)
{
    unsigned copies = 0;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        copies |= !qatomic_read(&r->mirror->copies[i].failing) << i;
    }
    return copies & ~r->spoiled;
}

void mirror_mark(MirrorQueue *q, RemoteStoreRequest *outer)
{
    const MirrorRegion *r = q->region;
    MarkRequest *mark = g_new0(MarkRequest, 1);

    mark->outer = outer;
    mark->queue = q;
    mark->targets = qatomic_read(&r->frozen) ? r->voters : candidates(r);
    if (!mark->targets) {
        mark->result = REMOTE_STORE_FAILED;
        mark->reason = g_strdup("no copy can tell who has the pages");
        mark_end(mark, false);
    } else if (outer->op == REMOTE_STORE_GET) {
        get_next(mark);
    } else {
        put_all(mark);
    }
}

/* Come to rest, and go on */

typedef struct Rest {
    MirrorQueue *q;
    bool reached;
} Rest;

static void rest_bh(void *opaque)
{
    Rest *rest = opaque;

    rest->reached = !mirror_queue_is_writing(rest->q) &&
                    !mirror_rebuild_is_busy(rest->q->rebuild);
}

static bool is_at_rest(MirrorQueue *q)
{
    Rest rest = { .q = q };

    context_call(q->parent.ctx, rest_bh, &rest);
    return rest.reached;
}

/*
 * What the rebuilding has begun ends in bounded time, and so does a put that
 * was done before all copies had it.  The list changes with the BQL only.
 */
static void freeze(MirrorRegion *r)
{
    MirrorQueue *q;

    qatomic_set(&r->frozen, true);
    QLIST_FOREACH(q, &r->mirror->queues, next) {
        while (q->region == r && !is_at_rest(q)) {
            g_usleep(POLL_US);
        }
    }
}

static void thaw(MirrorRegion *r)
{
    MirrorQueue *q;

    if (!qatomic_xchg(&r->frozen, false)) {
        return;
    }
    QEMU_LOCK_GUARD(&r->mirror->lock);
    QLIST_FOREACH(q, &r->mirror->queues, next) {
        if (q->region == r) {
            mirror_rebuild_notify(q->rebuild);
        }
    }
}

void mirror_queue_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                        void *opaque)
{
    MirrorQueue *q = container_of(queue, MirrorQueue, parent);
    MirrorRegion *r = q->region;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        remote_store_go_on(q->parts[i], uses, opaque);
    }
    thaw(r);
    if (r->inherited && !q->learned) {
        q->uses = uses;
        q->uses_opaque = opaque;
        if (r->lacking) {
            mirror_lacking(q, r->lacking);
        }
    }
}

/* The state */

/*
 * What another process needs, behind what filters have in common: this, two
 * bitmaps for each copy as in &struct MirrorRegion, in little endian order, and
 * the hash of each page that a copy has, in big endian order.
 */
typedef struct QEMU_PACKED SavedMirror {
    uint8_t voters;
    uint8_t spoiled;
} SavedMirror;

/*
 * @any: bitmap of the pages that a copy has
 * @trusted: copies that have what they should, as bits.  Who may have lost
 *     something has nothing, and gets all of it anew
 */
typedef struct Snapshot {
    unsigned long *any;
    unsigned trusted;
} Snapshot;

static unsigned trusted_copies(const MirrorRegion *r)
{
    unsigned trusted = 0;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        const MirrorCopy *c = &r->mirror->copies[i];

        trusted |= (!qatomic_read(&c->failing) &&
                    !qatomic_read(&c->doubted)) << i;
    }
    return trusted;
}

static unsigned long *pages_of_any(const MirrorRegion *r)
{
    unsigned long *any = bitmap_new(r->nr_pages);

    for (size_t w = 0; w < BITS_TO_LONGS(r->nr_pages); w++) {
        any[w] = mirror_anywhere(r, w);
    }
    return any;
}

/*
 * Find out, as bits, which copies have all that any copy has, and which of them
 * have nothing else either.
 */
static void compare_copies(const MirrorRegion *r, const unsigned long *any,
                           unsigned *complete, unsigned *exact)
{
    *complete = *exact = (1u << r->mirror->nr) - 1;
    for (size_t w = 0; w < BITS_TO_LONGS(r->nr_pages); w++) {
        for (unsigned i = 0; i < r->mirror->nr; i++) {
            bool lacks = any[w] & ~qatomic_read(&r->current[i][w]);
            bool has_more = qatomic_read(&r->held[i][w]) & ~any[w];

            *complete &= ~((unsigned)lacks << i);
            *exact &= ~((unsigned)(lacks || has_more) << i);
        }
    }
}

static uint8_t *save_bitmap(const MirrorRegion *r, const unsigned long *bitmap,
                            uint8_t *data)
{
    size_t size = mirror_bitmap_size(r->nr_pages);
    g_autofree unsigned long *le = g_malloc0(size);

    if (bitmap) {
        bitmap_to_le(le, bitmap, r->nr_pages);
    }
    memcpy(data, le, size);
    return data + size;
}

/* What a copy has, to the best of our knowledge; NULL for nothing. */
static const unsigned long *current_of(const MirrorRegion *r,
                                       const Snapshot *snapshot, unsigned copy)
{
    unsigned bit = 1u << copy;

    /* Gets go on, and may find out otherwise; so will those over there. */
    return r->voters & bit ? snapshot->any :
           snapshot->trusted & bit ? r->current[copy] : NULL;
}

static bool save_tables(const MirrorRegion *r, const Snapshot *snapshot,
                        GByteArray *state)
{
    const SavedMirror saved = { .voters = r->voters, .spoiled = r->spoiled };
    uint64_t nr = bitmap_count_one(snapshot->any, r->nr_pages);
    uint64_t size = sizeof(saved) + nr * sizeof(uint64_t) +
                    2 * r->mirror->nr * mirror_bitmap_size(r->nr_pages);
    size_t begin = state->len;
    uint8_t *data;

    if (size > UINT32_MAX - begin) {
        return false;
    }
    g_byte_array_set_size(state, begin + size);
    data = state->data + begin;
    memcpy(data, &saved, sizeof(saved));
    data += sizeof(saved);
    for (unsigned i = 0; i < r->mirror->nr; i++) {
        data = save_bitmap(r, current_of(r, snapshot, i), data);
        data = save_bitmap(r, r->held[i], data);
    }
    for (uint64_t page = find_first_bit(snapshot->any, r->nr_pages);
         page < r->nr_pages;
         page = find_next_bit(snapshot->any, r->nr_pages, page + 1)) {
        stq_be_p(data, r->hash[page]);
        data += sizeof(uint64_t);
    }
    return true;
}

static bool check_voters(const RemoteStoreRegion *region, unsigned voters,
                         Error **errp)
{
    ERRP_GUARD();

    if (!voters) {
        error_setg(errp, "store '%s': no copy is sure to have all pages, and "
                   "to tell whose they are", remote_store_id(region->store));
        error_append_hint(errp, "Wait until it is not degraded any more, or "
                          "move the pages to another store.\n");
    }
    return voters;
}

static bool save_frozen(RemoteStoreRegion *region, GByteArray *state,
                        Error **errp)
{
    ERRP_GUARD();
    MirrorRegion *r = region->opaque;
    g_autofree unsigned long *any = pages_of_any(r);
    Snapshot snapshot = { .any = any, .trusted = trusted_copies(r) };
    unsigned complete, exact;

    compare_copies(r, any, &complete, &exact);
    r->voters = complete & snapshot.trusted & r->acked[0] & r->acked[1];
    if (!check_voters(region, r->voters, errp) ||
        !filter_save_parts(r->parts, r->mirror->nr, state, errp)) {
        return false;
    }
    if (!save_tables(r, &snapshot, state)) {
        error_setg(errp, "store '%s': what is known of its pages is too much "
                   "to be handed over", remote_store_id(region->store));
        error_append_hint(errp, "Migrate without the capability "
                          "remote-memory.\n");
        return false;
    }
    return true;
}

bool mirror_save(RemoteStoreRegion *region, GByteArray *state, Error **errp)
{
    MirrorRegion *r = region->opaque;

    if (!state) {
        /* Which of them lack a page may be different when it comes to it. */
        return check_voters(region, trusted_copies(r) & ~r->spoiled, errp) &&
               filter_save_parts(r->parts, r->mirror->nr, NULL, errp);
    }
    freeze(r);
    if (!save_frozen(region, state, errp)) {
        thaw(r);
        return false;
    }
    return true;
}

/* Returns: whether it makes sense. */
static bool load_bitmap(const MirrorRegion *r, unsigned long *bitmap,
                        FilterState *state)
{
    size_t size = mirror_bitmap_size(r->nr_pages);
    const void *data = filter_take(state, size);
    g_autofree unsigned long *le = g_memdup2(data, size);

    if (!data) {
        return false;
    }
    bitmap_from_le(bitmap, le, r->nr_pages);
    return !(bitmap[BITS_TO_LONGS(r->nr_pages) - 1] &
             ~BITMAP_LAST_WORD_MASK(r->nr_pages));
}

static bool load_hashes(MirrorRegion *r, const unsigned long *any,
                        FilterState *state)
{
    for (uint64_t page = find_first_bit(any, r->nr_pages); page < r->nr_pages;
         page = find_next_bit(any, r->nr_pages, page + 1)) {
        const void *hash = filter_take(state, sizeof(uint64_t));

        if (!hash) {
            return false;
        }
        r->hash[page] = ldq_be_p(hash);
    }
    return true;
}

bool mirror_load(MirrorRegion *r, FilterState *state)
{
    const SavedMirror *saved = filter_take(state, sizeof(*saved));
    g_autofree unsigned long *any = NULL;
    unsigned complete, exact;

    if (!saved) {
        return false;
    }
    r->voters = saved->voters;
    r->spoiled = saved->spoiled;
    for (unsigned i = 0; i < r->mirror->nr; i++) {
        if (!load_bitmap(r, r->current[i], state) ||
            !load_bitmap(r, r->held[i], state)) {
            return false;
        }
    }
    any = pages_of_any(r);
    if (!load_hashes(r, any, state)) {
        return false;
    }
    compare_copies(r, any, &complete, &exact);
    r->lacking = ~exact & ((1u << r->mirror->nr) - 1);
    r->inherited = true;
    r->frozen = true;
    /* Whoever votes has all pages. */
    return r->voters && !(r->voters & ~complete) &&
           !(r->voters & r->spoiled);
}
