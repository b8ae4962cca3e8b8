/*
 * Mirror: what moves the pages of a running VM to another store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "mirror-move.h"
#include "qemu/atomic.h"

static MirrorQueue *mirror_queue(RemoteStoreQueue *queue)
{
    return container_of(queue, MirrorQueue, parent);
}

RemoteStore *mirror_move_new(RemoteStoreRegion *from, RemoteStoreRegion *to)
{
    RemoteStoreMirror *mirror =
        REMOTE_STORE_MIRROR(object_new(TYPE_REMOTE_STORE_MIRROR));

    mirror->internal = true;
    mirror->given[MIRROR_FROM] = from;
    mirror->given[MIRROR_TO] = to;
    mirror->stores[MIRROR_FROM] = from->store;
    mirror->stores[MIRROR_TO] = to->store;
    mirror->nr = 2;
    mirror->nr_well = 2;
    mirror->parent_obj.started = true;
    return &mirror->parent_obj;
}

void mirror_move_adopt(RemoteStoreQueue *queue, RemoteStoreQueue *from,
                       MirrorKnown *known, void *opaque)
{
    MirrorQueue *q = mirror_queue(queue);

    q->parts[MIRROR_FROM] = from;
    q->known = known;
    q->known_opaque = opaque;
    mirror_lacking(q, 1u << MIRROR_TO);
}

bool mirror_move_has_all(RemoteStoreQueue *queue, unsigned copy)
{
    const MirrorQueue *q = mirror_queue(queue);
    const MirrorCopy *c = &q->region->mirror->copies[copy];

    return !(qatomic_read(&q->missed) & (1u << copy)) &&
           !qatomic_read(&c->doubted);
}

void mirror_move_retire(RemoteStoreQueue *queue, unsigned copy)
{
    MirrorQueue *q = mirror_queue(queue);

    q->retired |= 1u << copy;
    mirror_lacking(q, 1u << copy);
}

bool mirror_move_done(RemoteStoreQueue *queue)
{
    return !qatomic_read(&mirror_queue(queue)->torn);
}

bool mirror_move_failing(RemoteStoreQueue *queue, unsigned copy)
{
    const MirrorQueue *q = mirror_queue(queue);

    return qatomic_read(&q->region->mirror->copies[copy].failing) ||
           (copy == MIRROR_FROM && qatomic_read(&q->nr_lost));
}

void mirror_move_pause(RemoteStoreQueue *queue, bool pause)
{
    MirrorQueue *q = mirror_queue(queue);

    if (pause) {
        mirror_rebuild_stop(q->rebuild);
    } else {
        mirror_rebuild_resume(q->rebuild);
    }
}

bool mirror_move_is_busy(RemoteStoreQueue *queue)
{
    return mirror_rebuild_is_busy(mirror_queue(queue)->rebuild);
}

void mirror_move_progress(RemoteStoreQueue *queue, uint64_t *to,
                          uint64_t *from)
{
    MirrorQueue *q = mirror_queue(queue);

    *to = qatomic_read(&q->parts[MIRROR_TO]->pages);
    *from = MAX(qatomic_read(&q->parts[MIRROR_FROM]->pages), *to);
}

RemoteStoreQueue *mirror_move_release(RemoteStoreQueue *queue, unsigned copy)
{
    return g_steal_pointer(&mirror_queue(queue)->parts[copy]);
}
