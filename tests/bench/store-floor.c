/*
 * The bare stores: get and put pages as their simplest client would
 *
 *   store-floor memcached|nbd|file|ram [NAME=VALUE...]
 *
 * One request at a time, and one thread that waits for it. "memcached": by
 * libmemcached, with keys as long as the pager's. "nbd": a server behind a
 * UNIX socket. "file": with O_DIRECT. "ram": a page is copied.
 *
 * Pages are asked for in an order drawn by lot; those that are got are
 * checked, outside of the time measured. "scan" gets them in order, many by
 * each request, and measures the time that each page takes; of these only the
 * first words are checked. Prints a JSON object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "bare-store.h"
#include "placement.h"
#include "toucher.h"

typedef enum Operation {
    OP_GET,
    OP_PUT,
    OP_SCAN,
} Operation;

typedef struct Ram {
    BareStore parent;
    uint8_t *mem;
} Ram;

typedef struct Measurement {
    BareStore *store;
    int op;
    TouchOptions options;
    Histogram times;
    double seconds;
} Measurement;

/* In the order of @opens. */
static const char *const stores[] = {
    "memcached", "nbd", "file", "ram", NULL,
};
static BareStore *(*const opens[])(const char *server, uint64_t bytes) = {
    bare_memcached_open, bare_nbd_open, bare_file_open, bare_ram_open,
};
static const char *const operations[] = { "get", "put", "scan", NULL };

static const char usage[] =
"usage: store-floor memcached|nbd|file|ram [NAME=VALUE...]\n"
"\n"
"Measure operations on a store that has 4 KiB pages. Prints JSON, times in\n"
"ns. Pages are left in the server.\n";

static _Alignas(PAGE_BYTES) uint64_t buf[BARE_BATCH][PAGE_WORDS];

/* RAM */

static bool ram_get(BareStore *store, uint64_t page, unsigned nr, void *to)
{
    memcpy(to, ((Ram *)store)->mem + page * PAGE_BYTES, nr * PAGE_BYTES);
    return true;
}

static bool ram_put(BareStore *store, uint64_t page, unsigned nr,
                    const void *from)
{
    memcpy(((Ram *)store)->mem + page * PAGE_BYTES, from, nr * PAGE_BYTES);
    return true;
}

BareStore *bare_ram_open(const char *server, uint64_t bytes)
{
    Ram *ram = allocate(sizeof(*ram));

    (void)server;
    ram->parent = (BareStore) { ram_get, ram_put };
    ram->mem = allocate(bytes);
    return &ram->parent;
}

/* Measurement */

static void put_all(BareStore *store, uint64_t pages)
{
    for (uint64_t page = 0; page < pages; page += BARE_BATCH) {
        for (unsigned i = 0; i < BARE_BATCH; i++) {
            touch_fill_page(buf[i], page + i);
        }
        if (!store->put(store, page, BARE_BATCH, buf)) {
            exit(1);
        }
    }
}

static bool is_right(const Measurement *m, uint64_t page, unsigned nr)
{
    bool right = true;

    for (unsigned i = 0; i < nr; i++) {
        right &= m->op == OP_SCAN
                 ? buf[i][0] == touch_first_word(page + i, 0)
                 : touch_page_is_right(buf[i], page + i, 0);
    }
    return right;
}

/* Returns: the time at the end, or 0 if it was not done well. */
static uint64_t do_one(Measurement *m, uint64_t page, unsigned nr)
{
    BareStore *store = m->store;
    uint64_t start, end;
    bool done;

    if (m->op == OP_PUT) {
        touch_fill_page(buf[0], page);
    }
    start = now_ns();
    done = m->op == OP_PUT ? store->put(store, page, nr, buf)
                           : store->get(store, page, nr, buf);
    end = now_ns();
    for (unsigned i = 0; i < nr; i++) {
        histogram_add(&m->times, (end - start) / nr);
    }
    if (!done || !is_right(m, page, nr)) {
        fprintf(stderr, "store-floor: page %llu is wrong\n",
                (unsigned long long)page);
        return 0;
    }
    return end;
}

/* Returns: false if an operation was not done well. */
static bool do_many(Measurement *m, uint64_t count, double seconds)
{
    uint64_t lot = now_ns(), pages = m->options.set / PAGE_BYTES;
    uint64_t end = seconds ? lot + seconds * 1e9 : UINT64_MAX;
    unsigned nr = m->op == OP_SCAN ? BARE_BATCH : 1;

    for (uint64_t i = 0; !count || i < count; i += nr) {
        uint64_t page = (m->op == OP_SCAN ? i : touch_mix(lot + i)) % pages;
        uint64_t now = do_one(m, page, nr);

        if (!now || now >= end) {
            return now;
        }
    }
    return true;
}

static bool measure(Measurement *m)
{
    uint64_t start;

    if (m->options.warm && !do_many(m, m->options.warm, 0)) {
        return false;
    }
    memset(&m->times, 0, sizeof(m->times));
    start = now_ns();
    if (!do_many(m, m->options.count, m->options.seconds)) {
        return false;
    }
    m->seconds = (now_ns() - start) / 1e9;
    return true;
}

static BareStore *(*find_open(const char *name))(const char *, uint64_t)
{
    int i = 0;

    while (strcmp(stores[i], name)) {
        i++;
    }
    return opens[i];
}

int main(int argc, char **argv)
{
    static Measurement m = { .options.seconds = 0 };
    int placement = PLACEMENT_SAME;
    uint64_t server_pid = 0;
    const char *server = "", *command;
    TouchOptions *o = &m.options;
    const Option table[] = {
        option_choice("op", &m.op, "operation", operations),
        option_text("server", &server, "unix:PATH, HOST:PORT, or a file"),
        option_size("server-pid", &server_pid,
                    "whose threads are placed, and allowed again what they\n"
                    "              were before at the end"),
        placement_option(&placement),
        option_size("set", &o->set, "bytes in the store"),
        option_size("warm", &o->warm, "operations that are not measured"),
        option_size("count", &o->count, "operations; 0: any number"),
        option_real("seconds", &o->seconds, "longest time; 0: any"),
        { 0 },
    };
    bool good;

    *o = touch_defaults;
    command = options_main(table, usage, stores, argc, argv);
    if (!o->set || o->set % (BARE_BATCH * PAGE_BYTES) ||
        !(o->count || o->seconds)) {
        fputs("store-floor: the set is not made of batches, or no end\n",
              stderr);
        return 2;
    }
    m.store = find_open(command)(server, o->set);
    put_all(m.store, o->set / PAGE_BYTES);
    placement_ask(placement, 0);
    if (server_pid) {
        placement_answer_process(placement, server_pid);
    }
    good = measure(&m);
    printf("{\"seconds\": %.6f, ", m.seconds);
    histogram_print(stdout, "all", &m.times, 1);
    puts("}");
    return good ? 0 : 1;
}
