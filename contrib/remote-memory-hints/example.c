/*
 * Example: a walk through memory in an order that only the program knows
 *
 * usage: example [--device DIRECTORY] [--no-hints] MEBIBYTES
 *
 * Fills memory, reads its pages in a random order and says some time before
 * which ones will be next, as a program does that follows a list.  Then says
 * that it does not need them any more.  All of it is checked; prints how long
 * the walk took.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include "remote-memory-hints.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096
/* Pages that are named at once, as long before they are read. */
#define AHEAD 64

typedef struct Walk {
    struct rmh *rmh;
    uint8_t *mem;
    size_t nr;
    uint32_t *order;
} Walk;

static uint64_t *word(const Walk *w, size_t page)
{
    return (uint64_t *)(w->mem + page * PAGE);
}

static uint64_t content(size_t page)
{
    return (page + 1) * 0x9e3779b97f4a7c15ull;
}

static void fill(Walk *w)
{
    for (size_t i = 0; i < w->nr; i++) {
        for (size_t k = 0; k < PAGE / sizeof(uint64_t); k++) {
            word(w, i)[k] = content(i) + k;
        }
        w->order[i] = i;
    }
    for (size_t i = w->nr - 1; i > 0; i--) {
        size_t k = ((uint64_t)random() << 31 ^ random()) % (i + 1);
        uint32_t page = w->order[i];

        w->order[i] = w->order[k];
        w->order[k] = page;
    }
}

static void say_next(Walk *w, size_t from)
{
    struct iovec ranges[AHEAD];
    int n = 0;

    while (n < AHEAD && from + n < w->nr) {
        ranges[n].iov_base = word(w, w->order[from + n]);
        ranges[n].iov_len = PAGE;
        n++;
    }
    if (w->rmh && n && rmh_willneed(w->rmh, ranges, n)) {
        err(1, "rmh_willneed");
    }
}

static void walk(Walk *w)
{
    for (size_t i = 0; i < w->nr; i++) {
        size_t page = w->order[i];

        if (i % AHEAD == 0) {
            say_next(w, i + AHEAD);
        }
        if (*word(w, page) != content(page)) {
            errx(1, "wrong content at page %zu", page);
        }
    }
}

/* Each page may be as it was, or zeros. */
static size_t count_forgotten(const Walk *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->nr; i++) {
        uint64_t first = *word(w, i);

        for (size_t k = 0; k < PAGE / sizeof(uint64_t); k++) {
            if (word(w, i)[k] != (first ? content(i) + k : 0)) {
                errx(1, "wrong content at page %zu", i);
            }
        }
        n += !first;
    }
    return n;
}

static void let_go(Walk *w)
{
    struct iovec all = { .iov_base = w->mem, .iov_len = w->nr * PAGE };

    if (rmh_cold(w->rmh, &all, 1)) {
        err(1, "rmh_cold");
    }
    if (rmh_forget(w->rmh, w->mem, w->nr * PAGE)) {
        if (errno != EOPNOTSUPP) {
            err(1, "rmh_forget");
        }
        printf("example: this VM forgets nothing\n");
    }
    printf("example: %zu pages of %zu forgotten\n", count_forgotten(w), w->nr);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void run(Walk *w)
{
    double start;

    w->order = calloc(w->nr, sizeof(uint32_t));
    w->mem = mmap(NULL, w->nr * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!w->order || w->mem == MAP_FAILED) {
        err(1, "memory");
    }
    fill(w);
    start = now();
    walk(w);
    printf("example: %zu pages in %.3f s, %s hints\n", w->nr, now() - start,
           w->rmh ? "with" : "without");
    if (w->rmh) {
        let_go(w);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "device", required_argument, NULL, 'd' },
        { "no-hints", no_argument, NULL, 'n' },
        { NULL },
    };
    const char *device = NULL;
    int hints = 1, option;
    Walk w = { NULL };

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            device = optarg;
            break;
        case 'n':
            hints = 0;
            break;
        default:
            return 2;
        }
    }
    if (optind != argc - 1 || atoi(argv[optind]) < 1) {
        errx(2, "usage: example [--device DIRECTORY] [--no-hints] MEBIBYTES");
    }
    w.nr = atoi(argv[optind]) * 256ul;
    if (hints) {
        w.rmh = rmh_open(device);
        if (!w.rmh) {
            errx(1, "%s", rmh_error());
        }
    }
    run(&w);
    rmh_close(w.rmh);
    return 0;
}
