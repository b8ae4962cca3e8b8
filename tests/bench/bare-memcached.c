/*
 * A bare store: libmemcached with one handle that blocks, and keys as long as
 * the pager's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare-store.h"
#include "toucher.h"

/* As the pager's keys: these letters, and the number of the page. */
#define KEY_LENGTH 30
#define KEY_PREFIX "store-floor"

typedef struct BareMemcached {
    BareStore parent;
    memcached_st *handle;
    memcached_result_st result;
} BareMemcached;

static void make_key(char *key, uint64_t page)
{
    snprintf(key, KEY_LENGTH + 1, KEY_PREFIX "%019llu",
             (unsigned long long)page);
}

static uint64_t page_of(const memcached_result_st *result)
{
    return strtoull(memcached_result_key_value(result) + strlen(KEY_PREFIX),
                    NULL, 10);
}

static bool complain(BareMemcached *store, memcached_return_t rc)
{
    if (rc != MEMCACHED_SUCCESS) {
        fprintf(stderr, "store-floor: %s\n",
                memcached_strerror(store->handle, rc));
    }
    return rc == MEMCACHED_SUCCESS;
}

/* Take what was asked for as it comes. */
static bool fetch(BareMemcached *store, uint64_t page, unsigned nr,
                  uint8_t *to)
{
    memcached_return_t rc;
    unsigned found = 0;

    while (memcached_fetch_result(store->handle, &store->result, &rc)) {
        uint64_t index = page_of(&store->result) - page;

        if (index < nr &&
            memcached_result_length(&store->result) == PAGE_BYTES) {
            memcpy(to + index * PAGE_BYTES,
                   memcached_result_value(&store->result), PAGE_BYTES);
            found++;
        }
    }
    return found == nr;
}

static bool get(BareStore *parent, uint64_t page, unsigned nr, void *to)
{
    BareMemcached *store = (BareMemcached *)parent;
    char text[BARE_BATCH][KEY_LENGTH + 1];
    const char *keys[BARE_BATCH];
    size_t lengths[BARE_BATCH];
    memcached_return_t rc;

    for (unsigned i = 0; i < nr; i++) {
        make_key(text[i], page + i);
        keys[i] = text[i];
        lengths[i] = KEY_LENGTH;
    }
    rc = memcached_mget(store->handle, keys, lengths, nr);
    return complain(store, rc) && fetch(store, page, nr, to);
}

static bool put(BareStore *parent, uint64_t page, unsigned nr,
                const void *from)
{
    BareMemcached *store = (BareMemcached *)parent;
    char key[KEY_LENGTH + 1];

    for (unsigned i = 0; i < nr; i++) {
        const char *value = (const char *)from + i * PAGE_BYTES;

        make_key(key, page + i);
        if (!complain(store, memcached_set(store->handle, key, KEY_LENGTH,
                                           value, PAGE_BYTES, 0, 0))) {
            return false;
        }
    }
    return true;
}

BareStore *bare_memcached_open(const char *server, uint64_t bytes)
{
    BareMemcached *store = allocate(sizeof(*store));
    const char *colon = strrchr(server, ':');
    char *host;

    (void)bytes;
    store->parent = (BareStore) { get, put };
    store->handle = memcached_create(NULL);
    memcached_behavior_set(store->handle, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    if (!colon) {
        fputs("store-floor: no server=unix:PATH or server=HOST:PORT\n",
              stderr);
        exit(2);
    }
    if (!strncmp(server, "unix:", 5)) {
        memcached_server_add_unix_socket(store->handle, colon + 1);
    } else {
        host = strndup(server, colon - server);
        memcached_server_add(store->handle, host, atoi(colon + 1));
        free(host);
    }
    memcached_result_create(store->handle, &store->result);
    return &store->parent;
}
