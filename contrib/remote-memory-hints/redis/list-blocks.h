/*
 * Which blocks of memory a server's lists are in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REDIS_LIST_BLOCKS_H
#define REDIS_LIST_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/**
 * DOC: Blocks of lists
 *
 * Each list has a key, and its blocks in the order in which they were added.
 * A block is in one list.  What there is no memory to remember is not known
 * then: nothing here fails.
 *
 * One thread at a time.  A block must be removed before its memory is given
 * back, as another thread could get it.
 */

/** list_blocks_add: a new block of a list, which is new if need be */
void list_blocks_add(const char *key, size_t key_length, void *addr,
                     size_t size);

/** list_blocks_move: a block has moved, if it is one; returns whether it is */
bool list_blocks_move(void *old, void *addr, size_t size);

/** list_blocks_remove: a block is no more, if it is one */
void list_blocks_remove(void *addr);

/**
 * list_blocks_walk: the next blocks of a list
 * @key: of the list, which need not exist
 * @key_length: of that
 * @place: where to go on, 0 at first; valid until the list changes
 * @bytes: how much there is to be, at least, if the list is long enough
 * @blocks: what there is
 * @max: of these, at most
 *
 * Returns: how many blocks.
 */
unsigned list_blocks_walk(const char *key, size_t key_length, size_t *place,
                          size_t bytes, struct iovec *blocks, unsigned max);

/**
 * list_blocks_realloc: memory for all that is remembered
 *
 * To be provided, and to be the one that does not come here.
 */
void *list_blocks_realloc(void *addr, size_t size);

#endif
