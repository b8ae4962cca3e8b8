/*
 * Generations of keys: writes that may still happen must not matter
 *
 * A put or discard that was sent and not answered may still be done by the
 * server, at any time: it was stopped, or the network was, or a packet is on
 * its way.  Done after a later put of the same page, it would bring old
 * content back or delete the new one, and nobody would notice.  So a key is
 * never used again after that: the page moves on to another one, which has a
 * higher generation, and keeps it.  In particular:
 *
 * - A put or discard of the page writes the new key.  Whatever happens to old
 *   ones, later or never, does not touch it.
 *
 * - A get reads the new key too.  Before the next put that finds nothing,
 *   always, while the old key would give the old content, the new one or
 *   nothing, depending on when it is asked.  The pager does not ask: a put
 *   that failed leaves the content of the store unknown, and the pager keeps
 *   its own copy until a put has succeeded.
 *
 * - A page does not go back to generation 0 when it is discarded: the old
 *   write may come even later.  So the table grows with each page that this
 *   ever happens to, which takes a failure for each, and nothing else.
 *
 * - Generations come round after 4096 such failures of the same page.  Each
 *   of them takes a connection on which the server answered before the write
 *   was sent; a write from the first is done, or was dropped with its
 *   connection, long before the server has answered on 4096 later ones.
 *
 * Old keys are garbage on the server.  They are deleted one by one after
 * later writes of the page and when the region is detached, as far as that
 * works: a write that is done after its garbage was deleted stays behind.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_GENERATION_H
#define HOSTMEM_REMOTE_MEMCACHED_GENERATION_H

/** typedef McGenerations - the pages that are not at generation 0 */
typedef struct McGenerations McGenerations;

/**
 * mc_generations_new: make an empty table
 *
 * Not locked.  Returns: the table.
 */
McGenerations *mc_generations_new(void);

/**
 * mc_generations_free: free a table
 * @table: the table
 */
void mc_generations_free(McGenerations *table);

/**
 * mc_generations_merge: copy what is in a table
 * @to: to here, in place of what it has for the same pages
 * @from: from here
 */
void mc_generations_merge(McGenerations *to, McGenerations *from);

/**
 * mc_generations_save: append what is in a table to @state
 * @table: the table
 * @state: where to
 */
void mc_generations_save(McGenerations *table, GByteArray *state);

/**
 * mc_generations_load: add what mc_generations_save() wrote
 * @table: the table
 * @data: what was written
 * @size: in bytes
 *
 * Returns: whether it makes sense.
 */
bool mc_generations_load(McGenerations *table, const uint8_t *data,
                         size_t size);

/**
 * mc_generation_current: the generation that a page's key has
 * @table: the table
 * @page: index of the page
 *
 * Returns: the generation.
 */
unsigned mc_generation_current(McGenerations *table, uint64_t page);

/**
 * mc_generation_garbage: find garbage of a page
 * @table: the table
 * @page: index of the page
 * @generation: set to the oldest one that may be on the server
 *
 * Returns: whether there is any.
 */
bool mc_generation_garbage(McGenerations *table, uint64_t page,
                           unsigned *generation);

/**
 * mc_generation_cleaned: the oldest garbage of a page was deleted
 * @table: the table
 * @page: index of the page
 */
void mc_generation_cleaned(McGenerations *table, uint64_t page);

/**
 * mc_generation_retire: never use a page's current key again
 * @table: the table
 * @page: index of the page
 */
void mc_generation_retire(McGenerations *table, uint64_t page);

/**
 * mc_generations_next_garbage: take one garbage key out of a table
 * @table: the table
 * @page: set to the index of its page
 * @generation: set to its generation
 *
 * Returns: whether there was one.
 */
bool mc_generations_next_garbage(McGenerations *table, uint64_t *page,
                                 unsigned *generation);

#endif
