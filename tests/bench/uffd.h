/*
 * userfaultfd, for programs that end when it does not work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_UFFD_H
#define BENCH_UFFD_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stddef.h>

/* A descriptor; reading it waits for events, or not. */
int uffd_open(bool blocking);

void uffd_register(int uffd, void *start, size_t bytes);

/* Place copies of pages, or a page itself, and wake who waits for it. */
void uffd_copy(int uffd, void *to, const void *from, size_t bytes);
void uffd_move(int uffd, void *to, void *from);

#endif
