/*
 * Pager: all pages to another store, while the guest uses them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "mirror-move.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "ownership.h"
#include "shard-move.h"

/**
 * struct PagerMove - a move
 * @keep: the one of MIRROR_FROM and MIRROR_TO that is to have the pages
 * @regions: in the two stores
 * @mirror: the mirror of both
 * @region: in that
 * @emptying: the other store is being emptied
 * @leaving: shards were told to leave the mirror
 */
struct PagerMove {
    unsigned keep;
    RemoteStoreRegion *regions[2];
    RemoteStore *mirror;
    RemoteStoreRegion *region;
    bool emptying;
    bool leaving;
};

/* Beginning */

static bool attach_regions(RemotePager *pager, RemoteStore *to, Error **errp)
{
    PagerMove *move = pager->move;
    uint64_t nr_pages = pager->size / REMOTE_STORE_PAGE_SIZE;
    QemuUUID uuid;

    /* Of its own: both stores may lead to the same server. */
    qemu_uuid_generate(&uuid);
    move->regions[MIRROR_FROM] = pager->region;
    move->regions[MIRROR_TO] = remote_store_attach(to, &uuid, nr_pages, errp);
    if (!move->regions[MIRROR_TO]) {
        return false;
    }
    move->mirror = mirror_move_new(move->regions[MIRROR_FROM],
                                   move->regions[MIRROR_TO]);
    move->region = remote_store_attach(move->mirror, &uuid, nr_pages, errp);
    return move->region;
}

/* All before the first is used: then nothing can fail any more. */
static bool open_queues(RemotePager *pager, RemoteStoreQueue **queues,
                        Error **errp)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        queues[i] = remote_store_open(pager->move->region,
                                      pager->shards[i].ctx, errp);
        if (!queues[i]) {
            return false;
        }
    }
    return true;
}

static void close_queue(void *opaque)
{
    remote_store_close(opaque);
}

static bool enter(RemotePager *pager, RemoteStore *to, Error **errp)
{
    g_autofree RemoteStoreQueue **queues = g_new0(RemoteStoreQueue *,
                                                  pager->nr_shards);

    if (!attach_regions(pager, to, errp)) {
        return false;
    }
    if (!open_queues(pager, queues, errp)) {
        for (unsigned i = 0; i < pager->nr_shards; i++) {
            shard_call(&pager->shards[i], close_queue, queues[i]);
        }
        return false;
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_mirror(&pager->shards[i], queues[i]);
    }
    return true;
}

/* A move that did not come to an end: both stores are in use. */
static bool enter_again(RemotePager *pager, RemoteStore *to, Error **errp)
{
    PagerMove *move = pager->move;

    for (unsigned i = 0; i < ARRAY_SIZE(move->regions); i++) {
        if (move->regions[i]->store == to) {
            move->keep = i;
            return true;
        }
    }
    error_setg(errp, "memory backend '%s': pages are in '%s' and '%s': the "
               "last move did not end", pager->id,
               remote_store_id(move->regions[MIRROR_FROM]->store),
               remote_store_id(move->regions[MIRROR_TO]->store));
    error_append_hint(errp, "Move them to one of these two first.\n");
    return false;
}

bool pager_move_start(RemotePager *pager, RemoteStore *to, Error **errp)
{
    ERRP_GUARD();

    if (pager->map || pager->ownership != PAGER_OWNS) {
        error_setg(errp, "memory backend '%s': a migration hands its pages "
                   "over", pager->id);
        error_append_hint(errp, "Wait until it has ended, or cancel it.\n");
        return false;
    }
    if (pager->end != PAGER_RUNS) {
        error_setg(errp, "memory backend '%s' is not in use any more",
                   pager->id);
        return false;
    }
    if (pager->move) {
        return enter_again(pager, to, errp);
    }
    if (to == pager->store) {
        error_setg(errp, "memory backend '%s': its store is '%s' already",
                   pager->id, remote_store_id(to));
        return false;
    }
    pager->move = g_new0(PagerMove, 1);
    pager->move->keep = MIRROR_TO;
    if (!enter(pager, to, errp)) {
        pager_move_free(pager);
        return false;
    }
    return true;
}

/* How it goes on */

static bool all_shards(RemotePager *pager,
                       bool (*is_so)(RemotePager *pager, RemoteShard *s))
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (!is_so(pager, &pager->shards[i])) {
            return false;
        }
    }
    return true;
}

static bool entered(RemotePager *pager, RemoteShard *s)
{
    return qatomic_read(&s->mirrored);
}

static bool copied(RemotePager *pager, RemoteShard *s)
{
    return mirror_move_has_all(s->mirror, pager->move->keep);
}

static bool emptied(RemotePager *pager, RemoteShard *s)
{
    return mirror_move_done(s->mirror);
}

static bool has_left(RemotePager *pager, RemoteShard *s)
{
    return qatomic_read(&s->mirror_kept) == SHARD_KEPT;
}

PagerMoveState pager_move_state(RemotePager *pager)
{
    const PagerMove *move = pager->move;

    if (move->leaving) {
        return all_shards(pager, has_left) ? PAGER_MOVE_LEFT :
                                             PAGER_MOVE_LEAVING;
    }
    if (move->emptying) {
        return all_shards(pager, emptied) ? PAGER_MOVE_EMPTIED :
                                            PAGER_MOVE_EMPTYING;
    }
    if (!all_shards(pager, entered)) {
        return PAGER_MOVE_ENTERING;
    }
    return all_shards(pager, copied) ? PAGER_MOVE_COPIED : PAGER_MOVE_COPYING;
}

/* The first shard that is still there knows as well as any. */
RemoteStore *pager_move_failing(RemotePager *pager)
{
    PagerMove *move = pager->move;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];

        for (unsigned k = 0; qatomic_read(&s->mirrored) && k < 2; k++) {
            if (mirror_move_failing(s->mirror, k)) {
                return move->regions[k]->store;
            }
        }
    }
    return NULL;
}

void pager_move_turn_back(RemotePager *pager)
{
    assert(!pager->move->emptying);
    pager->move->keep = MIRROR_FROM;
}

void pager_move_empty(RemotePager *pager)
{
    pager->move->emptying = true;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_mirror_retire(&pager->shards[i], pager->move->keep);
    }
}

/*
 * To be called again until all have left: one whose last pages are on their way
 * to the other store, or that cannot do without that now, does so later.
 */
void pager_move_leave(RemotePager *pager)
{
    bool first = !pager->move->leaving;

    pager->move->leaving = true;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];
        ShardKept kept = qatomic_read(&s->mirror_kept);

        if (kept == SHARD_KEPT) {
            continue;
        }
        if (first || (kept == SHARD_NOT_KEPT &&
                      mirror_move_has_all(s->mirror, pager->move->keep))) {
            qatomic_set(&s->mirror_kept, SHARD_PAUSED);
            shard_mirror_pause(s);
        } else if (kept == SHARD_PAUSED && !mirror_move_is_busy(s->mirror)) {
            shard_unmirror(s);
        }
    }
}

void pager_move_progress(RemotePager *pager, uint64_t *done, uint64_t *all)
{
    *done = *all = 0;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        uint64_t to, from;

        mirror_move_progress(pager->shards[i].mirror, &to, &from);
        *done += to;
        *all += from;
    }
}

/* The end */

void pager_move_end(RemotePager *pager)
{
    PagerMove *move = pager->move;

    pager->region = move->regions[move->keep];
    pager->store = pager->region->store;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        pager->shards[i].mirror_kept = SHARD_KEPT_UNKNOWN;
    }
    pager_move_free(pager);
}

void pager_move_free(RemotePager *pager)
{
    PagerMove *move = pager->move;

    if (!move) {
        return;
    }
    remote_store_detach(move->region);
    if (move->mirror) {
        object_unref(OBJECT(move->mirror));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(move->regions); i++) {
        if (move->regions[i] != pager->region) {
            remote_store_detach(move->regions[i]);
        }
    }
    g_free(move);
    pager->move = NULL;
}
