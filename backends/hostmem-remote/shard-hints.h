/*
 * A shard's part in what the guest says of its pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SHARD_HINTS_H
#define REMOTE_MEMORY_SHARD_HINTS_H

#include "remote-memory/hints.h"
#include "shard.h"

/**
 * DOC: Hints
 *
 * A program in the guest that knows what it will use, and what not, says so
 * (hw/misc/remote-memory-hints.c).  Nothing depends on that being true:
 *
 * WILLNEED
 *     is prefetch, with a plan that came from outside: in the background, with
 *     room that nobody waits for, and with half of the batches, since streams
 *     of other programs should go on.  Pages are fetched in the order of the
 *     hints.  They are as young as pages that were waited for, because they
 *     were asked for.  Property 'prefetch' is about guesses, and has no say.
 *
 * COLD
 *     puts resident pages among those that go before any other.  They go when
 *     room is needed, not before.
 *
 * Each kind has a queue of ranges.  If one is full, the oldest is forgotten:
 * those pages will have been used by now, or are not worth the wait.
 */

/**
 * hints_post: a part of a hint concerns this shard
 * @s: the shard
 * @hint: WILLNEED or COLD
 * @first: index of the first page
 * @nr: number of pages, above 0
 *
 * Main thread.  Returns at once.
 */
void hints_post(RemoteShard *s, RemoteMemoryHint hint, uint32_t first,
                uint32_t nr);

/**
 * hints_run: do what was said, if there is time and room
 *
 * Shard thread.  Returns: whether to call again soon.
 */
bool hints_run(RemoteShard *s);

/** hints_destroy: forget all of it; the shard is stopped */
void hints_destroy(RemoteShard *s);

#endif
