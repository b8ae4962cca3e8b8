/*
 * Standby ring: pages on their way out, oldest first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STANDBY_H
#define REMOTE_MEMORY_STANDBY_H

/**
 * DOC: The standby ring
 *
 * Slots are filled at the head, examined in order at the scan mark and
 * dropped in runs at the tail, so that one madvise() frees many::
 *
 *         tail            scan              head
 *     ------+---------------+-----------------+------->
 *      free | CLEAN, ZERO,  | DIRTY, EMPTY,   | free
 *           | STALE, EMPTY, | STALE           |
 *           | BUSY          |                 |
 *
 * A slot is
 *
 *     EMPTY   without memory: not filled yet, or its page was refaulted
 *     DIRTY   content of a page, not looked at yet, or its put failed
 *     BUSY    read by a put that is in flight
 *     CLEAN   the store has it: may be dropped, its page becomes REMOTE
 *     ZERO    it is all zeros: may be dropped, its page becomes ZERO
 *     STALE   memory that no page needs any more: may be dropped
 *
 * Positions only grow; a slot's index is its position modulo the capacity.
 * The ring knows nothing about memory or about pages: it is pure bookkeeping.
 */

typedef enum SlotState {
    SLOT_EMPTY,         /* all zeros in memory: a new ring is empty */
    SLOT_DIRTY,
    SLOT_BUSY,
    SLOT_CLEAN,
    SLOT_ZERO,
    SLOT_STALE,
} SlotState;

/**
 * struct StandbySlot - one slot, 8 bytes
 * @page: index of the page whose content it holds, unless EMPTY or STALE
 * @state: a SlotState
 */
typedef struct StandbySlot {
    uint32_t page;
    uint8_t state;
} StandbySlot;

/**
 * struct Standby - the ring
 * @slots: the slots; memory is populated as it is touched
 * @capacity: how many, a power of two
 * @head: position that is filled next
 * @scan: position that is examined next
 * @tail: oldest position that is not free
 * @filled: slots that hold memory (not EMPTY)
 */
typedef struct Standby {
    StandbySlot *slots;
    uint32_t capacity;
    uint64_t head;
    uint64_t scan;
    uint64_t tail;
    uint64_t filled;
} Standby;

/**
 * standby_init: make an empty ring
 * @ring: the ring
 * @capacity: number of slots, a power of two
 *
 * Returns: false if there is no address space (errno is set).
 */
bool standby_init(Standby *ring, uint32_t capacity);

/** standby_destroy: free what standby_init() made */
void standby_destroy(Standby *ring);

/** standby_footprint: bytes reserved for @ring, if all of it were touched */
uint64_t standby_footprint(const Standby *ring);

/** standby_index: slot at position @pos */
static inline uint32_t standby_index(const Standby *ring, uint64_t pos)
{
    return pos & (ring->capacity - 1);
}

/**
 * standby_room: how many slots can be filled in one go
 * @ring: the ring
 *
 * Returns: free slots from the head on that are neighbours in memory.
 */
uint32_t standby_room(const Standby *ring);

/**
 * standby_push: fill the slot at the head
 * @ring: the ring; standby_room() is not 0
 * @page: whose content it holds
 *
 * Returns: the slot's index.
 */
uint32_t standby_push(Standby *ring, uint32_t page);

/**
 * standby_set: change a slot's state
 * @ring: the ring
 * @index: the slot
 * @to: new state.  A BUSY slot that becomes DIRTY again is examined again
 */
void standby_set(Standby *ring, uint32_t index, SlotState to);

/**
 * standby_next_dirty: find the oldest slot to examine
 * @ring: the ring
 * @index: set to the slot; the scan mark stays before it until it is changed
 *
 * Returns: false if there is none.
 */
bool standby_next_dirty(Standby *ring, uint32_t *index);

/**
 * standby_written: is nothing left that only the ring has?
 * @ring: the ring
 * @from: first position in question; moved on to the first that is not written
 * @to: position up to which
 *
 * To be asked again until it is so: no position is looked at more often than
 * that, since what is neither DIRTY nor BUSY remains so.
 */
bool standby_written(const Standby *ring, uint64_t *from, uint64_t to);

/**
 * standby_run: find what can be dropped in one go
 * @ring: the ring
 * @max: most slots with memory to drop
 * @first: set to the index of the first slot
 *
 * Returns: the number of slots from the tail on, neighbours in memory, that
 * are neither DIRTY nor BUSY; 0 if the oldest is still needed.
 */
uint32_t standby_run(const Standby *ring, uint32_t max, uint32_t *first);

/**
 * standby_pop: free the run that standby_run() found
 * @ring: the ring
 * @n: its length
 */
void standby_pop(Standby *ring, uint32_t n);

#endif
