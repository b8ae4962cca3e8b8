/*
 * Handing pages over: the map as it is sent
 *
 * Runs of pages of which the same is to be said.  A run is
 *
 *   be64        place (2 bits), whether the store has a copy (1 bit), and
 *               the number of pages (61 bits)
 *   be64 each   hash, if the store has a copy
 *   u8 each     age, if they are only in the store
 *
 * so that 1 GiB takes 2.25 MiB if all of it is remote, and 8 bytes if it never
 * was touched.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "qapi/error.h"

#define PLACE_SHIFT 62
#define STORED_SHIFT 61

/* Sending */

static bool is_same(const HandoverPage *a, const HandoverPage *b)
{
    return a->place == b->place && a->stored == b->stored;
}

static void put_run(QEMUFile *f, const HandoverPage *pages, uint64_t nr)
{
    qemu_put_be64(f, (uint64_t)pages->place << PLACE_SHIFT |
                  (uint64_t)pages->stored << STORED_SHIFT | nr);
    for (uint64_t i = 0; i < nr && pages->stored; i++) {
        qemu_put_be64(f, pages[i].hash);
    }
    for (uint64_t i = 0; i < nr && pages->place == HANDOVER_STORE; i++) {
        qemu_put_byte(f, pages[i].age);
    }
}

static void put_runs(QEMUFile *f, const HandoverPage *pages, uint64_t nr)
{
    while (nr) {
        uint64_t run = 1;

        while (run < nr && is_same(&pages[0], &pages[run])) {
            run++;
        }
        put_run(f, pages, run);
        pages += run;
        nr -= run;
    }
}

void handover_put_map(QEMUFile *f, RemotePager *pager)
{
    g_autofree HandoverPage *pages = g_new(HandoverPage, PAGER_MAP_PAGES);
    uint64_t end = pager->size / REMOTE_STORE_PAGE_SIZE;
    uint32_t nr;

    for (uint64_t first = 0; first < end; first += nr) {
        nr = pager_map(pager, first, end - first, pages);
        put_runs(f, pages, nr);
    }
}

/* Receiving */

/* Pages whose runs have come, and that the pager has not been told of. */
typedef struct Part {
    HandoverPage *pages;
    uint64_t first;
    uint64_t nr;
} Part;

/* A map can have as many runs as pages, and each call is one to a thread. */
static void apply(RemotePager *pager, Part *part)
{
    pager_apply(pager, part->first, part->nr, part->pages);
    part->first += part->nr;
    part->nr = 0;
}

static void get_run(QEMUFile *f, HandoverPage run, HandoverPage *pages,
                    uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++) {
        pages[i] = run;
        if (run.stored) {
            pages[i].hash = qemu_get_be64(f);
        }
    }
    for (uint64_t i = 0; i < nr && run.place == HANDOVER_STORE; i++) {
        pages[i].age = qemu_get_byte(f) % HANDOVER_AGES;
    }
}

bool handover_get_map(QEMUFile *f, RemotePager *pager,
                      void (*got)(RemotePager *pager, uint64_t first,
                                  uint64_t nr, const HandoverPage *pages),
                      Error **errp)
{
    g_autofree HandoverPage *pages = g_new(HandoverPage, PAGER_MAP_PAGES);
    uint64_t end = pager->size / REMOTE_STORE_PAGE_SIZE, first = 0;
    Part part = { .pages = pages };

    while (first < end) {
        uint64_t head = qemu_get_be64(f);
        uint64_t nr = head & ((1ull << STORED_SHIFT) - 1);
        HandoverPage run = {
            .place = head >> PLACE_SHIFT,
            .stored = head >> STORED_SHIFT & 1,
        };

        if (qemu_file_get_error(f) || !nr || nr > PAGER_MAP_PAGES ||
            nr > end - first || run.place > HANDOVER_SENT ||
            (run.place == HANDOVER_STORE && !run.stored)) {
            error_setg(errp, "memory backend '%s': the map of its pages makes "
                       "no sense", pager->id);
            return false;
        }
        if (nr > PAGER_MAP_PAGES - part.nr) {
            apply(pager, &part);
        }
        get_run(f, run, &pages[part.nr], nr);
        if (qemu_file_get_error(f)) {
            error_setg(errp, "memory backend '%s': the map of its pages is "
                       "not complete", pager->id);
            return false;
        }
        got(pager, first, nr, &pages[part.nr]);
        part.nr += nr;
        first += nr;
    }
    apply(pager, &part);
    return true;
}
