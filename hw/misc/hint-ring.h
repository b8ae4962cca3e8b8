/*
 * The ring of remote-memory-hints, as the device sees it
 *
 * Pure: what the guest wrote goes in, and what of it makes sense comes out.
 * The guest is not trusted, and may write to the ring at any time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_HINT_RING_H
#define HW_MISC_HINT_RING_H

#include "remote-memory/hint-protocol.h"
#include "remote-memory/hints.h"

/**
 * struct HintRing - how far it is
 * @posted: descriptors that the guest has posted, modulo 2^32
 * @done: those that were looked at
 */
typedef struct HintRing {
    uint32_t posted;
    uint32_t done;
} HintRing;

/**
 * struct Hint - a descriptor that makes sense
 * @hint: what is said
 * @frame: of which page, and those that follow
 * @nr: how many, at least 1; @frame + @nr pages are less than 2^64 bytes
 */
typedef struct Hint {
    RemoteMemoryHint hint;
    uint64_t frame;
    uint32_t nr;
} Hint;

/**
 * hint_ring_post: the guest has written POSTED
 *
 * Returns: false if that makes no sense.  Then nothing is left to be done.
 */
bool hint_ring_post(HintRing *ring, uint32_t posted);

/**
 * hint_ring_next: take a slot
 * @ring: the ring
 * @slot: set to its number
 *
 * Returns: false if there is none.
 */
bool hint_ring_next(HintRing *ring, unsigned *slot);

/** hint_ring_clear: pass over what is left */
void hint_ring_clear(HintRing *ring);

/**
 * hint_decode: understand a descriptor
 * @descriptor: a copy, out of the guest's reach
 * @ops: bits of those #HintOp that are allowed
 * @hint: filled in
 *
 * Returns: false if there is no sense in it.
 */
bool hint_decode(const struct HintDescriptor *descriptor, uint32_t ops,
                 Hint *hint);

#endif
