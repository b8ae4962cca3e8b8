/*
 * How many hints a guest may give: a token bucket
 *
 * Pure: the time is handed in.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_HINT_LIMIT_H
#define HW_MISC_HINT_LIMIT_H

/**
 * struct HintLimit - a bucket, which holds what comes in one second
 * @rate: pages for each second, above 0
 * @pages: what is in it
 * @since: up to which time that was counted, in ns
 */
typedef struct HintLimit {
    uint32_t rate;
    uint32_t pages;
    int64_t since;
} HintLimit;

/** hint_limit_init: the bucket is full at the time @now */
void hint_limit_init(HintLimit *limit, uint32_t rate, int64_t now);

/**
 * hint_limit_take: so many pages are wanted
 * @limit: the bucket
 * @nr: how many
 * @now: the time in ns; if it goes back, it is counted from there
 *
 * Returns: how many of them are granted.
 */
uint32_t hint_limit_take(HintLimit *limit, uint32_t nr, int64_t now);

#endif
