/*
 * A shard's part in moving all pages to another store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_MOVE_H
#define REMOTE_MEMORY_SHARD_MOVE_H

#include "shard.h"

/**
 * shard_mirror: let requests go to a mirror, soon
 * @s: the shard; its @mirrored says when it is so
 * @mirror: a queue for mirror_move_adopt(), which is the shard's from now on
 *
 * Main thread.
 */
void shard_mirror(RemoteShard *s, RemoteStoreQueue *mirror);

/** shard_mirror_retire: empty the copy that is not @keep.  Main thread */
void shard_mirror_retire(RemoteShard *s, unsigned keep);

/** shard_mirror_pause: begin to rebuild no more pages.  Main thread */
void shard_mirror_pause(RemoteShard *s);

/**
 * shard_unmirror: let requests go to the copy that is to be kept, soon
 * @s: the shard, whose mirror is paused and not busy; its @mirror_kept says
 *     when it is so, or that it cannot be
 *
 * Main thread.
 */
void shard_unmirror(RemoteShard *s);

#endif
