/*
 * Sweep: pages that the store need not keep any more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SWEEP_H
#define REMOTE_MEMORY_SWEEP_H

#include "shard.h"

/** sweep_init: make the map of garbage.  Returns: false without memory */
bool sweep_init(RemoteShard *s);

/** sweep_mark: the ZERO page @index has a copy in the store */
void sweep_mark(RemoteShard *s, uint32_t index);

/** sweep_mark_all: no page is needed any more */
void sweep_mark_all(RemoteShard *s);

/** sweep_give_up: leave the garbage where it is */
void sweep_give_up(RemoteShard *s);

/**
 * sweep_run: discard some garbage in the store
 *
 * Returns: whether to call again soon.
 */
bool sweep_run(RemoteShard *s);

#endif
