/*
 * Standby ring: bookkeeping of pages on their way out
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "sparse.h"
#include "standby.h"

bool standby_init(Standby *ring, uint32_t capacity)
{
    assert(is_power_of_2(capacity));
    *ring = (Standby) {
        .slots = sparse_new(capacity * sizeof(StandbySlot)),
        .capacity = capacity,
    };
    return ring->slots;
}

void standby_destroy(Standby *ring)
{
    sparse_free(ring->slots, ring->capacity * sizeof(StandbySlot));
    ring->slots = NULL;
}

uint64_t standby_footprint(const Standby *ring)
{
    return ring->capacity * sizeof(StandbySlot);
}

/* Slots from @pos on that do not wrap around. */
static uint32_t until_wrap(const Standby *ring, uint64_t pos)
{
    return ring->capacity - standby_index(ring, pos);
}

uint32_t standby_room(const Standby *ring)
{
    return MIN(ring->capacity - (ring->head - ring->tail),
               until_wrap(ring, ring->head));
}

uint32_t standby_push(Standby *ring, uint32_t page)
{
    uint32_t index = standby_index(ring, ring->head);

    assert(ring->head - ring->tail < ring->capacity);
    assert(ring->slots[index].state == SLOT_EMPTY);
    ring->slots[index] = (StandbySlot) { .page = page, .state = SLOT_DIRTY };
    ring->head++;
    qatomic_set(&ring->filled, ring->filled + 1);
    return index;
}

/* The position of a slot that lies between tail and head. */
static uint64_t position(const Standby *ring, uint32_t index)
{
    return ring->tail + standby_index(ring, index - ring->tail);
}

void standby_set(Standby *ring, uint32_t index, SlotState to)
{
    StandbySlot *slot = &ring->slots[index];

    assert(slot->state != SLOT_EMPTY);
    if (to == SLOT_DIRTY) {
        ring->scan = MIN(ring->scan, position(ring, index));
    }
    if (to == SLOT_EMPTY) {
        qatomic_set(&ring->filled, ring->filled - 1);
    }
    slot->state = to;
}

bool standby_next_dirty(Standby *ring, uint32_t *index)
{
    while (ring->scan < ring->head) {
        *index = standby_index(ring, ring->scan);
        if (ring->slots[*index].state == SLOT_DIRTY) {
            return true;
        }
        ring->scan++;
    }
    return false;
}

bool standby_written(const Standby *ring, uint64_t *from, uint64_t to)
{
    *from = MIN(MAX(*from, ring->tail), to);
    while (*from < to) {
        SlotState state = ring->slots[standby_index(ring, *from)].state;

        if (state == SLOT_DIRTY || state == SLOT_BUSY) {
            return false;
        }
        (*from)++;
    }
    return true;
}

uint32_t standby_run(const Standby *ring, uint32_t max, uint32_t *first)
{
    uint32_t limit = MIN(ring->head - ring->tail,
                         until_wrap(ring, ring->tail));
    uint32_t n, filled = 0;

    *first = standby_index(ring, ring->tail);
    for (n = 0; n < limit; n++) {
        SlotState state = ring->slots[*first + n].state;

        if (state == SLOT_DIRTY || state == SLOT_BUSY) {
            break;
        }
        if (state != SLOT_EMPTY && ++filled > max) {
            break;
        }
    }
    return n;
}

void standby_pop(Standby *ring, uint32_t n)
{
    for (; n > 0; n--) {
        uint32_t index = standby_index(ring, ring->tail);

        assert(ring->tail < ring->head);
        if (ring->slots[index].state != SLOT_EMPTY) {
            standby_set(ring, index, SLOT_EMPTY);
        }
        ring->tail++;
    }
    ring->scan = MAX(ring->scan, ring->tail);
}
