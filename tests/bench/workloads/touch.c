/*
 * touch: go to random places in memory
 *
 * An operation reads one word of a random line of a random page, all of them
 * equally likely, and verifies it; a share of the operations writes, too.
 * What is measured of each is the time from the end of the one before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "arena.h"
#include "crew.h"

static uint64_t percent;

static const Option touch_options[] = {
    { "writes", OPTION_SIZE, &percent, "per cent that write" },
    { }
};

static void touch(Worker *w)
{
    uint64_t writes = 0;
    /* 32 random bits choose between reading and writing. */
    uint64_t threshold = (percent << 32) / 100;

    while (worker_goes_on(w)) {
        uint64_t random = random_next(&w->random);
        bool write = (uint32_t)random < threshold;

        arena_touch(scale_to(random, arena.lines), write);
        writes += write;
        worker_done(w);
    }
    __atomic_fetch_add(&arena.writes, writes, __ATOMIC_RELAXED);
}

static void run(void)
{
    static CrewResult result;

    crew_run(touch, &result);
    crew_print(&result);
    json_count("bytes", arena.bytes);
    json_count("writes_percent", percent);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "touch",
        .usage = "touch [NAME=VALUE]...: go to random places in memory",
        .setup_options = { arena_options },
        .run_options = { crew_options, touch_options },
        .setup = arena_setup,
        .run = run,
        .check = arena_check,
    };

    return workload_main(&workload, argc, argv);
}
