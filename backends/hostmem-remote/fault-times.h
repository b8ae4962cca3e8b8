/*
 * How long faults take, and what they wait for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_FAULT_TIMES_H
#define REMOTE_MEMORY_FAULT_TIMES_H

#include "histogram.h"
#include "page-map.h"

/**
 * enum FaultStage - what a fault on a page in the store waits for
 * @FAULT_STAGE_QUEUE: for room, from when the pager sees the fault
 * @FAULT_STAGE_STORE: for the store, from when it is to be asked
 * @FAULT_STAGE_PLACE: for the content to be verified and placed
 */
typedef enum FaultStage {
    FAULT_STAGE_QUEUE,
    FAULT_STAGE_STORE,
    FAULT_STAGE_PLACE,
    FAULT_STAGES,
} FaultStage;

/**
 * struct FaultTimes - histograms, of nanoseconds
 * @latency: faults that were answered, by where the page was when they were
 *     seen: from then until the thread went on
 * @stages: fetches for a fault
 */
typedef struct FaultTimes {
    Histogram latency[PAGE_STATES];
    Histogram stages[FAULT_STAGES];
} FaultTimes;

/** fault_times_merge: add what is in *@from */
static inline void fault_times_merge(FaultTimes *times, const FaultTimes *from)
{
    for (int i = 0; i < PAGE_STATES; i++) {
        histogram_merge(&times->latency[i], &from->latency[i]);
    }
    for (int i = 0; i < FAULT_STAGES; i++) {
        histogram_merge(&times->stages[i], &from->stages[i]);
    }
}

#endif
