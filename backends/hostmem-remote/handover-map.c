/*
 * Handing pages over: the map as it is sent
 *
 * Runs of pages that follow each other and of which the same is to be said.  A
 * run is
 *
 *   be64        first page
 *   be64        place (2 bits), whether the store has a copy (1 bit), and
 *               the number of pages (61 bits), 0 at the end of all runs
 *   be64 each   hash, if the store has a copy
 *   u8 each     age, if they are only in the store
 *
 * so that 1 GiB takes 2.25 MiB if all of it is remote, and some KiB if it never
 * was touched.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "handover.h"
#include "qapi/error.h"
#include "qemu/bswap.h"

#define PLACE_SHIFT 62
#define STORED_SHIFT 61

#define RUN_HEAD 16

/* Sending */

static bool is_next(const HandoverPage *a, const HandoverPage *b)
{
    return a->page + 1 == b->page && a->place == b->place &&
           a->stored == b->stored;
}

/* One call for all of it: to put each number by itself takes longer. */
static void put_run(QEMUFile *f, const HandoverPage *pages, uint64_t nr)
{
    g_autofree uint8_t *run = g_malloc(RUN_HEAD + nr * (sizeof(uint64_t) + 1));
    uint8_t *end = run + RUN_HEAD;

    stq_be_p(run, pages->page);
    stq_be_p(run + 8, (uint64_t)pages->place << PLACE_SHIFT |
             (uint64_t)pages->stored << STORED_SHIFT | nr);
    for (uint64_t i = 0; i < nr && pages->stored; i++) {
        stq_be_p(end, pages[i].hash);
        end += sizeof(uint64_t);
    }
    for (uint64_t i = 0; i < nr && pages->place == HANDOVER_STORE; i++) {
        *end++ = pages[i].age;
    }
    qemu_put_buffer(f, run, end - run);
}

static void put_runs(QEMUFile *f, const HandoverPage *pages, uint64_t nr)
{
    while (nr) {
        uint64_t run = 1;

        while (run < nr && is_next(&pages[run - 1], &pages[run])) {
            run++;
        }
        put_run(f, pages, run);
        pages += run;
        nr -= run;
    }
}

void handover_put_map(QEMUFile *f, RemotePager *pager, PagerMapLook look)
{
    g_autofree HandoverPage *pages = g_new(HandoverPage, PAGER_MAP_PAGES);
    uint64_t from = 0;
    uint32_t nr;

    while ((nr = pager_map_next(pager, &from, look, pages)) &&
           !qemu_file_get_error(f)) {
        put_runs(f, pages, nr);
    }
    qemu_put_be64(f, 0);
    qemu_put_be64(f, 0);
}

/* Receiving */

static bool get_head(QEMUFile *f, const RemotePager *pager, HandoverPage *page,
                     uint64_t *nr, Error **errp)
{
    uint64_t first = qemu_get_be64(f), head = qemu_get_be64(f);
    uint64_t end = pager_nr_pages(pager);

    *nr = head & ((1ull << STORED_SHIFT) - 1);
    *page = (HandoverPage) {
        .page = first,
        .place = head >> PLACE_SHIFT,
        .stored = head >> STORED_SHIFT & 1,
    };
    if (qemu_file_get_error(f) || *nr > PAGER_MAP_PAGES || first > end ||
        *nr > end - first || page->place > HANDOVER_SENT ||
        (page->place == HANDOVER_STORE && !page->stored)) {
        error_setg(errp, "memory backend '%s': the map of its pages makes no "
                   "sense", pager->id);
        return false;
    }
    return true;
}

static bool get_run(QEMUFile *f, HandoverPage run, HandoverPage *pages,
                    uint64_t nr)
{
    size_t hashes = run.stored ? nr * sizeof(uint64_t) : 0;
    size_t ages = run.place == HANDOVER_STORE ? nr : 0;
    g_autofree uint8_t *said = g_malloc(hashes + ages);

    if (qemu_get_buffer(f, said, hashes + ages) != hashes + ages) {
        return false;
    }
    for (uint64_t i = 0; i < nr; i++) {
        pages[i] = run;
        pages[i].page += i;
        pages[i].hash = hashes ? ldq_be_p(said + i * sizeof(uint64_t)) : 0;
        pages[i].age = ages ? said[hashes + i] % HANDOVER_AGES : 0;
    }
    return true;
}

bool handover_get_map(QEMUFile *f, RemotePager *pager,
                      void (*got)(RemotePager *pager,
                                  const HandoverPage *pages, uint64_t nr),
                      Error **errp)
{
    g_autofree HandoverPage *pages = g_new(HandoverPage, PAGER_MAP_PAGES);
    HandoverPage run;
    uint64_t nr, held = 0;

    /* Runs may be short, and each call is one to another thread. */
    while (get_head(f, pager, &run, &nr, errp)) {
        if (!nr || nr > PAGER_MAP_PAGES - held ||
            (held && run.page <= pages[held - 1].page)) {
            pager_apply(pager, pages, held);
            held = 0;
        }
        if (!nr) {
            return true;
        }
        if (!get_run(f, run, &pages[held], nr)) {
            error_setg(errp, "memory backend '%s': the map of its pages is "
                       "not complete", pager->id);
            return false;
        }
        got(pager, &pages[held], nr);
        held += nr;
    }
    return false;
}
