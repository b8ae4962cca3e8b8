/*
 * Mirror: what moves the pages of a running VM to another store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MIRROR_MOVE_H
#define HOSTMEM_REMOTE_MIRROR_MOVE_H

#include "mirror.h"

/**
 * DOC: Moving
 *
 * While pages move, a mirror with two copies stands between the pager and the
 * stores: the one where the pages are, and the one where they are to go, which
 * lacks all of them.  From then on a put goes to both, and the rebuilding
 * brings the second what it lacks.  When it has all, the first is retired: it
 * is emptied, and the mirror is taken away again.  To cancel is to retire the
 * second instead.  So at any moment one of the two has all there is, and
 * usually either would do.
 *
 * The mirror is made by the pager, has regions and queues that were there
 * before, and gives back those that are to stay.  What the first copy has, and
 * with what hash, is asked page by page of whoever used it until then.
 */

/** MIRROR_FROM: the copy where pages are when a move begins */
#define MIRROR_FROM 0
/** MIRROR_TO: the copy where they are to go */
#define MIRROR_TO 1

/**
 * mirror_move_new: make a mirror of two stores
 * @from: the region where pages are
 * @to: another one, empty and of the same size
 *
 * Main thread.  Both have to outlive it.  Returns: the store, for
 * object_unref().
 */
RemoteStore *mirror_move_new(RemoteStoreRegion *from, RemoteStoreRegion *to);

/**
 * mirror_move_adopt: take the way to the first copy over
 * @queue: a queue of such a mirror, not used so far
 * @from: the queue to the first copy; no request of it is in flight
 * @known: tells what is there
 * @opaque: handed to @known
 *
 * The queue's thread, as all of the following unless they say otherwise.
 */
void mirror_move_adopt(RemoteStoreQueue *queue, RemoteStoreQueue *from,
                       MirrorKnown *known, void *opaque);

/**
 * mirror_move_has_all: does a copy have everything?
 * @queue: the queue
 * @copy: which
 *
 * Any thread.  It may cease to be true if requests to the copy fail.
 */
bool mirror_move_has_all(RemoteStoreQueue *queue, unsigned copy);

/** mirror_move_retire: empty a copy; the other one has everything */
void mirror_move_retire(RemoteStoreQueue *queue, unsigned copy);

/**
 * mirror_move_done: is nothing left to be done?
 * @queue: the queue
 *
 * Any thread.
 */
bool mirror_move_done(RemoteStoreQueue *queue);

/**
 * mirror_move_failing: is a copy of no use at the moment?
 * @queue: the queue
 * @copy: which
 *
 * Any thread.  The last request to it failed, or it is where pages are and some
 * of them are not.
 */
bool mirror_move_failing(RemoteStoreQueue *queue, unsigned copy);

/** mirror_move_pause: begin with no more pages, or do again */
void mirror_move_pause(RemoteStoreQueue *queue, bool pause);

/** mirror_move_is_busy: are pages on their way all the same?  Any thread */
bool mirror_move_is_busy(RemoteStoreQueue *queue);

/**
 * mirror_move_progress: what was moved, in pages
 * @queue: the queue
 * @to: set to how many pages are there
 * @from: set to how many there are to move, with those
 *
 * Main thread.
 */
void mirror_move_progress(RemoteStoreQueue *queue, uint64_t *to,
                          uint64_t *from);

/**
 * mirror_move_release: take the way to a copy out, to be used by itself
 * @queue: the queue; only remote_store_close() is to follow.  No request of it
 *     is in flight, and it is not busy
 * @copy: which
 */
RemoteStoreQueue *mirror_move_release(RemoteStoreQueue *queue, unsigned copy);

#endif
