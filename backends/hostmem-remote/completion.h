/*
 * Completion: wait until another thread has done something
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_COMPLETION_H
#define REMOTE_MEMORY_COMPLETION_H

#include "block/aio.h"

/**
 * struct Completion - on the stack of who waits; new ones are all zeros
 * @done: it has been done
 *
 * Unlike aio_wait_bh_oneshot(), waiting runs no other handlers of the main
 * loop; so only for what waits for nobody else, and rarely: all completions
 * share a lock.
 */
typedef struct Completion {
    bool done;
} Completion;

/** completion_signal: it is done; *@c may be gone when this returns */
void completion_signal(Completion *c);

/** completion_wait: until it is done; what was written before is seen then */
void completion_wait(Completion *c);

/**
 * context_call: have a function run in a thread, and wait for it
 * @ctx: of another thread than this
 * @fn: the function
 * @opaque: for it
 */
void context_call(AioContext *ctx, QEMUBHFunc *fn, void *opaque);

#endif
