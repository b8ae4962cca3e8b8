/*
 * scan: go over memory page by page
 *
 * A pass visits every stride-th page, in ascending or descending order, and
 * the next pass the pages beside these, until all were visited. A visit reads
 * and sums all 512 words of the page, and verifies the sum; if pages are to be
 * written, it then changes one word in each line of 64 bytes. MB/s are 10^6
 * bytes of the pages visited in a second. A run goes on where the one before
 * has ended. Threads have shares of their own, one after the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "arena.h"
#include "crew.h"

enum { READ, WRITE };
enum { FORWARD, BACKWARD };

static const char *const modes[] = { "read", "write", NULL };
static const char *const orders[] = { "forward", "backward", NULL };

static int mode = READ;
static int order = FORWARD;
static uint64_t stride = 1;     /* pages */

static const Option scan_options[] = {
    { "mode", OPTION_CHOICE, &mode, "what is done to a page", modes },
    { "order", OPTION_CHOICE, &order, "which way", orders },
    { "stride", OPTION_SIZE, &stride, "pages from visit to visit" },
    { }
};

/* Where each thread is: pages of its share, in ascending order. */
static uint64_t position[CREW_MAX_THREADS];

static uint64_t next_position(uint64_t at, uint64_t share)
{
    at += stride;
    return at < share ? at : (at % stride + 1) % stride;
}

static void visit(uint64_t page)
{
    arena_read_page(page);
    if (mode == WRITE) {
        arena_write_page(page);
    }
}

static void scan(Worker *w)
{
    uint64_t share = arena.bytes / PAGE_BYTES / w->threads;
    uint64_t at = position[w->index] % share;

    while (worker_goes_on(w)) {
        visit(w->index * share + (order == FORWARD ? at : share - 1 - at));
        at = next_position(at, share);
        worker_done(w);
    }
    position[w->index] = at;
    if (mode == WRITE) {
        __atomic_fetch_add(&arena.writes, w->ops * PAGE_LINES,
                           __ATOMIC_RELAXED);
    }
}

static void run(void)
{
    static CrewResult result;

    if (!stride || stride > arena.bytes / PAGE_BYTES / CREW_MAX_THREADS) {
        die("stride= of at least 1 page, and much less than all");
    }
    crew_run(scan, &result);
    crew_print(&result);
    json_real("mb_per_s", result.ops * PAGE_BYTES / result.seconds / 1e6);
    json_text("mode", modes[mode]);
    json_text("order", orders[order]);
    json_count("stride", stride);
    json_count("bytes", arena.bytes);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "scan",
        .usage = "scan [NAME=VALUE]...: go over memory page by page",
        .setup_options = { arena_options },
        .run_options = { crew_options, scan_options },
        .setup = arena_setup,
        .run = run,
        .check = arena_check,
    };

    return workload_main(&workload, argc, argv);
}
