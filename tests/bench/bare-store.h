/*
 * Bare stores: pages got and put as the simplest client would
 *
 * One request at a time, and the thread waits for it. Errors are reported on
 * stderr.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_BARE_STORE_H
#define BENCH_BARE_STORE_H

#include <stdbool.h>
#include <stdint.h>

/* Most neighbours in one request: as many as the pager asks for at once. */
#define BARE_BATCH 64

typedef struct BareStore BareStore;

/* Both take memory that is aligned to pages. */
struct BareStore {
    bool (*get)(BareStore *store, uint64_t page, unsigned nr, void *to);
    bool (*put)(BareStore *store, uint64_t page, unsigned nr,
                const void *from);
};

/*
 * Open a store that is to hold so many bytes. End the program if that cannot
 * be done.
 * @server: "unix:PATH" or "HOST:PORT" (memcached), "unix:PATH" (nbd), or the
 *          path of a file
 */
BareStore *bare_ram_open(const char *server, uint64_t bytes);
BareStore *bare_memcached_open(const char *server, uint64_t bytes);
BareStore *bare_nbd_open(const char *server, uint64_t bytes);
BareStore *bare_file_open(const char *server, uint64_t bytes);

#endif
