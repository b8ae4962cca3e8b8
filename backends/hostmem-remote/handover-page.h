/*
 * What a migration that hands pages over says of a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HANDOVER_PAGE_H
#define REMOTE_MEMORY_HANDOVER_PAGE_H

/**
 * enum HandoverPlace - where the destination finds a page
 * @HANDOVER_ZERO: nowhere, it is all zeros
 * @HANDOVER_STORE: in the store, and nowhere else
 * @HANDOVER_SENT: its content is sent with the guest's memory
 * @HANDOVER_MAPPED: not known yet: it is mapped in the guest, so whether the
 *     store has it can be said by who may touch the guest's memory.  Never sent
 */
typedef enum HandoverPlace {
    HANDOVER_ZERO,
    HANDOVER_STORE,
    HANDOVER_SENT,
    HANDOVER_MAPPED,
} HandoverPlace;

/** HANDOVER_AGES: number of ages; the last one has no end */
#define HANDOVER_AGES 32

/**
 * struct HandoverPage - a page
 * @page: its index in the store
 * @hash: of the copy that the store has, if @stored
 * @stored: the store has a copy; one too many unless @place says STORE
 * @age: (STORE) binary logarithm of how many pages were dropped since it was,
 *     so that the destination knows which were used last
 * @place: a &enum HandoverPlace
 */
typedef struct HandoverPage {
    uint64_t page;
    uint64_t hash;
    bool stored;
    uint8_t age;
    uint8_t place;
} HandoverPage;

#endif
