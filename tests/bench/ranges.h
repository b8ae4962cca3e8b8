/*
 * Memory that QEMU has registered with userfaultfds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_RANGES_H
#define BENCH_RANGES_H

#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>

/* All functions: any thread. */

/* Remember a range. */
void ranges_note(const struct uffdio_range *range, int uffd);

/* Where neighbouring ranges make up RAM of this size, or NULL. */
uint8_t *ranges_find(uint64_t size);

/* Print those ranges as a list in JSON: [offset, length, userfaultfd]... */
void ranges_print(FILE *f, uint64_t size);

#endif
