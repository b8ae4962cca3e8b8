/*
 * The bare stores: get and put pages as their simplest client would
 *
 *   store-floor memcached [NAME=VALUE...]
 *   store-floor ram [NAME=VALUE...]
 *
 * "memcached": libmemcached with one handle that blocks, one request at a
 * time, and keys as long as the pager's. "ram": a page is copied.
 *
 * Pages are asked for in an order drawn by lot; those that are got are
 * checked, outside of the time measured. Prints a JSON object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <libmemcached/memcached.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"
#include "toucher.h"

/* As the pager's keys. */
#define KEY_LENGTH 30

typedef struct Store Store;

struct Store {
    bool (*get)(Store *store, uint64_t page, void *to);
    bool (*put)(Store *store, uint64_t page, const void *from);
    memcached_st *handle;
    memcached_result_st result;
    uint8_t *mem;
};

static const char *const stores[] = { "memcached", "ram", NULL };
static const char *const operations[] = { "get", "put", NULL };

static const char usage[] =
"usage: store-floor memcached|ram [NAME=VALUE...]\n"
"\n"
"Measure operations on a store that has 4 KiB pages. Prints JSON, times in\n"
"ns. Pages are left in the server.\n";

/* RAM */

static bool ram_get(Store *store, uint64_t page, void *to)
{
    memcpy(to, store->mem + page * PAGE_BYTES, PAGE_BYTES);
    return true;
}

static bool ram_put(Store *store, uint64_t page, const void *from)
{
    memcpy(store->mem + page * PAGE_BYTES, from, PAGE_BYTES);
    return true;
}

/* memcached */

static void make_key(char *key, uint64_t page)
{
    snprintf(key, KEY_LENGTH + 1, "store-floor%019llu",
             (unsigned long long)page);
}

static bool complain(Store *store, memcached_return_t rc)
{
    if (rc != MEMCACHED_SUCCESS) {
        fprintf(stderr, "store-floor: %s\n",
                memcached_strerror(store->handle, rc));
    }
    return rc == MEMCACHED_SUCCESS;
}

static bool memcached_get_page(Store *store, uint64_t page, void *to)
{
    char text[KEY_LENGTH + 1];
    const char *key = text;
    const size_t length = KEY_LENGTH;
    memcached_return_t rc;
    bool found = false;

    make_key(text, page);
    rc = memcached_mget(store->handle, &key, &length, 1);
    if (!complain(store, rc)) {
        return false;
    }
    while (memcached_fetch_result(store->handle, &store->result, &rc)) {
        found = memcached_result_length(&store->result) == PAGE_BYTES;
        if (found) {
            memcpy(to, memcached_result_value(&store->result), PAGE_BYTES);
        }
    }
    return found;
}

static bool memcached_put_page(Store *store, uint64_t page, const void *from)
{
    char key[KEY_LENGTH + 1];

    make_key(key, page);
    return complain(store, memcached_set(store->handle, key, KEY_LENGTH, from,
                                         PAGE_BYTES, 0, 0));
}

/* "unix:PATH" or "HOST:PORT" */
static void connect_to(Store *store, const char *server)
{
    const char *colon = strrchr(server, ':');
    char *host;

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
}

/* Measurement */

static void put_all(Store *store, const TouchSet *set)
{
    static uint64_t page[PAGE_WORDS];

    for (uint64_t i = 0; i < set->pages; i++) {
        touch_fill_page(page, i);
        if (!store->put(store, i, page)) {
            exit(1);
        }
    }
}

static bool do_one(Store *store, bool put, uint64_t page, Histogram *times)
{
    static uint64_t buf[PAGE_WORDS];
    uint64_t start;
    bool done;

    if (put) {
        touch_fill_page(buf, page);
    }
    start = now_ns();
    done = put ? store->put(store, page, buf) : store->get(store, page, buf);
    histogram_add(times, now_ns() - start);
    if (!done || !touch_page_is_right(buf, page, 0)) {
        fprintf(stderr, "store-floor: page %llu is wrong\n",
                (unsigned long long)page);
        return false;
    }
    return true;
}

static bool measure(Store *store, bool put, const TouchOptions *o,
                    Histogram *times, double *seconds)
{
    uint64_t lot = now_ns(), pages = o->set / PAGE_BYTES, start = 0;

    for (uint64_t i = 0; i < o->warm + o->count; i++) {
        if (i == o->warm) {
            memset(times, 0, sizeof(*times));
            start = now_ns();
        }
        if (!do_one(store, put, touch_mix(lot + i) % pages, times)) {
            return false;
        }
    }
    *seconds = (now_ns() - start) / 1e9;
    return true;
}

int main(int argc, char **argv)
{
    static Histogram times;
    TouchOptions o = touch_defaults;
    int placement = PLACEMENT_SAME, put = 0;
    uint64_t server_pid = 0;
    const char *server = "", *command;
    const Option table[] = {
        option_choice("op", &put, "operation", operations),
        option_text("server", &server, "unix:PATH or HOST:PORT"),
        option_size("server-pid", &server_pid,
                    "whose threads are placed, and allowed again what they\n"
                    "              were before at the end"),
        placement_option(&placement),
        option_size("set", &o.set, "bytes in the store"),
        option_size("warm", &o.warm, "operations that are not measured"),
        option_size("count", &o.count, "operations"),
        { 0 },
    };
    Store store = { .get = ram_get, .put = ram_put };
    TouchSet set;
    double seconds = 0;
    bool good;

    command = options_main(table, usage, stores, argc, argv);
    touch_set_init(&set, NULL, &o);
    if (!strcmp(command, "memcached")) {
        store.get = memcached_get_page;
        store.put = memcached_put_page;
        connect_to(&store, server);
    } else {
        store.mem = allocate(o.set);
    }
    put_all(&store, &set);
    placement_ask(placement, 0);
    if (server_pid) {
        placement_answer_process(placement, server_pid);
    }
    good = measure(&store, put, &o, &times, &seconds);
    printf("{\"seconds\": %.6f, ", seconds);
    histogram_print(stdout, "all", &times, 1);
    puts("}");
    return good ? 0 : 1;
}
