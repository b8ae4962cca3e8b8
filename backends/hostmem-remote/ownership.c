/*
 * Ownership: who may run a VM whose pages are in a store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "completion.h"
#include "ownership.h"
#include "qapi/error.h"
#include "qemu/memalign.h"
#include "shard.h"

/* How long the source waits for the destination to take its mark back. */
#define DECLINE_POLL_US 50000
#define DECLINE_TRIES 10

/*
 * What is written behind the pages; the rest of the page is zeros.
 * @magic: says what it is
 * @offer: the number of the offer
 * @taken: whether who writes here has the pages
 */
typedef struct Mark {
    char magic[16];
    QemuUUID offer;
    uint8_t taken;
} Mark;

static const char magic[16] = "QEMU page owner";

/* A request for a mark.  It lives on the stack of who waits for it. */
typedef struct MarkRequest {
    RemoteStoreRequest req;
    RemotePager *pager;
    Mark *mark;
    Completion answered;
} MarkRequest;

/* A page is used by one queue only. */
static RemoteShard *mark_shard(const RemotePager *pager)
{
    return &pager->shards[0];
}

static void mark_complete(RemoteStoreRequest *req)
{
    completion_signal(&container_of(req, MarkRequest, req)->answered);
}

static void mark_submit(void *opaque)
{
    MarkRequest *r = opaque;
    RemoteStoreRequest *reqs[] = { &r->req };

    remote_store_submit(mark_shard(r->pager)->queue, reqs, 1);
}

static void mark_begin(MarkRequest *r, RemotePager *pager, RemoteStoreOp op,
                       unsigned which)
{
    Mark *mark = qemu_memalign(REMOTE_STORE_PAGE_SIZE, REMOTE_STORE_PAGE_SIZE);

    memset(mark, 0, REMOTE_STORE_PAGE_SIZE);
    *r = (MarkRequest) {
        .req.op = op,
        .req.page = pager_nr_pages(pager) + which,
        .req.buf = mark,
        .req.fresh = true,
        .req.complete = mark_complete,
        .pager = pager,
        .mark = mark,
    };
}

static void mark_send(MarkRequest *r)
{
    aio_bh_schedule_oneshot(mark_shard(r->pager)->ctx, mark_submit, r);
}

/* Every request ends in bounded time. */
static bool mark_wait(MarkRequest *r, Error **errp)
{
    ERRP_GUARD();

    completion_wait(&r->answered);
    if (r->req.result != REMOTE_STORE_OK) {
        error_setg(errp, "memory backend '%s': cannot %s store '%s' to see "
                   "who has its pages: %s", r->pager->id,
                   r->req.op == REMOTE_STORE_GET ? "read" : "write",
                   remote_store_id(r->pager->store),
                   r->req.reason ?: "unknown error");
        error_append_hint(errp, "Repair the store, and continue the VM.\n");
        return false;
    }
    return true;
}

static void mark_end(MarkRequest *r)
{
    g_free(r->req.reason);
    qemu_vfree(r->mark);
}

static void mark_put(MarkRequest *r, RemotePager *pager, unsigned which,
                     bool taken)
{
    mark_begin(r, pager, REMOTE_STORE_PUT, which);
    memcpy(r->mark->magic, magic, sizeof(magic));
    r->mark->offer = pager->offer;
    r->mark->taken = taken;
    mark_send(r);
}

static bool mark_has_put(MarkRequest *r, Error **errp)
{
    bool ok = mark_wait(r, errp);

    r->pager->doubtful |= !ok;
    mark_end(r);
    return ok;
}

static bool mark_write(RemotePager *pager, unsigned which, bool taken,
                       Error **errp)
{
    MarkRequest r;

    mark_put(&r, pager, which, taken);
    return mark_has_put(&r, errp);
}

/* Set @taken; or fail if the mark belongs to another offer. */
static bool mark_read(RemotePager *pager, unsigned which, bool *taken,
                      Error **errp)
{
    ERRP_GUARD();
    MarkRequest r;
    bool ok;

    mark_begin(&r, pager, REMOTE_STORE_GET, which);
    mark_send(&r);
    ok = mark_wait(&r, errp);
    if (ok && (memcmp(r.mark->magic, magic, sizeof(magic)) ||
               !qemu_uuid_is_equal(&r.mark->offer, &pager->offer))) {
        error_setg(errp, "memory backend '%s': what store '%s' has is not, or "
                   "not any more, what this migration has handed over",
                   pager->id, remote_store_id(pager->store));
        error_append_hint(errp, "Both sides need a store on the same servers; "
                          "if that is so, quit this VM.\n");
        ok = false;
    }
    *taken = ok && r.mark->taken;
    mark_end(&r);
    return ok;
}

/* The source writes the first mark, the destination the second. */
static unsigned own_mark(const RemotePager *pager)
{
    return pager->ownership == PAGER_OFFERS ? 0 : 1;
}

/* At the same time: the guest stands still. */
static bool write_both(RemotePager *pager, Error **errp)
{
    MarkRequest r[2];
    bool first, second;

    mark_put(&r[0], pager, 0, false);
    mark_put(&r[1], pager, 1, false);
    first = mark_has_put(&r[0], errp);
    second = mark_has_put(&r[1], first ? errp : NULL);
    return first && second;
}

bool ownership_offer(RemotePager *pager, Error **errp)
{
    ERRP_GUARD();

    if (pager->doubtful) {
        error_setg(errp, "memory backend '%s': store '%s' failed when it was "
                   "to note who has the pages, and might do so late",
                   pager->id, remote_store_id(pager->store));
        error_append_hint(errp, "Move the pages to another store, or migrate "
                          "without the capability remote-memory.\n");
        return false;
    }
    qemu_uuid_generate(&pager->offer);
    pager->ownership = PAGER_OFFERS;
    pager->claimed = pager->declined = false;
    if (!write_both(pager, errp)) {
        pager->ownership = PAGER_OWNS;
        return false;
    }
    return true;
}

bool ownership_offered(RemotePager *pager, const QemuUUID *offer, Error **errp)
{
    bool taken;

    pager->offer = *offer;
    pager->ownership = PAGER_OFFERED;
    pager->claimed = pager->declined = false;
    return mark_read(pager, 0, &taken, errp);
}

/*
 * Who has written its own mark asks for the other one.  If both sides did so
 * at the same time, the destination is about to take its mark back.
 */
static bool other_has_it(RemotePager *pager, bool *taken, Error **errp)
{
    for (int tries = 0; ; tries++) {
        if (!mark_read(pager, !own_mark(pager), taken, errp)) {
            return false;
        }
        if (!*taken || pager->ownership == PAGER_OFFERED ||
            tries == DECLINE_TRIES) {
            return true;
        }
        g_usleep(DECLINE_POLL_US);
    }
}

static void belongs_to_other(const RemotePager *pager, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "memory backend '%s': its pages in store '%s' belong to "
               "the %s of the migration", pager->id,
               remote_store_id(pager->store),
               pager->ownership == PAGER_OFFERS ? "destination" : "source");
    error_append_hint(errp, "Only one of the two VMs can run; quit this "
                      "one.\n");
}

bool ownership_take(RemotePager *pager, Error **errp)
{
    ERRP_GUARD();
    unsigned own = own_mark(pager);
    bool taken;

    /* Who is far too late must not even write. */
    if (!mark_read(pager, own, &taken, errp)) {
        return false;
    }
    if (taken && !pager->claimed) {
        error_setg(errp, "memory backend '%s': its pages in store '%s' were "
                   "taken by another VM that got the same migration",
                   pager->id, remote_store_id(pager->store));
        error_append_hint(errp, "Quit this one.\n");
        return false;
    }
    pager->claimed = !pager->declined;
    if ((pager->claimed && !mark_write(pager, own, true, errp)) ||
        !other_has_it(pager, &taken, errp)) {
        return false;
    }
    if (taken || pager->declined) {
        if (pager->ownership == PAGER_OFFERED) {
            pager->declined = true;
            mark_write(pager, own, false, NULL);
        }
        belongs_to_other(pager, errp);
        return false;
    }
    pager->ownership = PAGER_OWNS;
    return true;
}

bool ownership_is_taken(RemotePager *pager)
{
    bool taken;

    return mark_read(pager, !own_mark(pager), &taken, NULL) && taken;
}
