/*
 * The ring of remote-memory-hints, as the device sees it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hint-ring.h"
#include "qemu/bswap.h"

QEMU_BUILD_BUG_ON(sizeof(struct HintDescriptor) != 16);
QEMU_BUILD_BUG_ON(HINT_RING_OFFSET + HINT_SLOTS *
                  sizeof(struct HintDescriptor) != HINT_BAR_SIZE);

/* So many frames have addresses of 64 bits. */
#define FRAMES (1ull << (64 - HINT_PAGE_SHIFT))

bool hint_ring_post(HintRing *ring, uint32_t posted)
{
    bool sense = posted - ring->done <= HINT_SLOTS;

    ring->posted = posted;
    if (!sense) {
        hint_ring_clear(ring);
    }
    return sense;
}

bool hint_ring_next(HintRing *ring, unsigned *slot)
{
    if (ring->done == ring->posted) {
        return false;
    }
    *slot = ring->done++ % HINT_SLOTS;
    return true;
}

void hint_ring_clear(HintRing *ring)
{
    ring->done = ring->posted;
}

static bool decode_op(uint32_t op, RemoteMemoryHint *hint)
{
    switch (op) {
    case HINT_OP_WILLNEED:
        *hint = REMOTE_MEMORY_HINT_WILLNEED;
        return true;
    case HINT_OP_COLD:
        *hint = REMOTE_MEMORY_HINT_COLD;
        return true;
    case HINT_OP_FORGET:
        *hint = REMOTE_MEMORY_HINT_FORGET;
        return true;
    default:
        return false;
    }
}

bool hint_decode(const struct HintDescriptor *descriptor, uint32_t ops,
                 Hint *hint)
{
    uint32_t op = le32_to_cpu(descriptor->op);

    if (!decode_op(op, &hint->hint) || !(ops & (1u << op))) {
        return false;
    }
    hint->frame = le64_to_cpu(descriptor->frame);
    hint->nr = le32_to_cpu(descriptor->nr);
    return hint->nr && hint->nr <= HINT_MAX_PAGES &&
           hint->frame < FRAMES - hint->nr;
}
