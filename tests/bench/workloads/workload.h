/*
 * What the benchmark's programs for the guest have in common
 *
 * A program makes its data once and says READY. Then it does what it is told
 * on standard input, so that whoever drives it can change the memory of the
 * guest between two measurements of the same data:
 *
 *     run [NAME=VALUE]...   measure; options stay as they are set
 *     check                 verify all data
 *     quit                  end, as does the end of the input
 *
 * Each of these but the last is answered by one line, BENCH and a JSON object.
 * Data that is wrong ends the program with a line "NAME: MISMATCH ..." and
 * status 1, whatever else goes wrong with a line and status 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <x86intrin.h>

#include "histogram.h"
#include "options.h"
#include "pattern.h"

#define WORKLOAD_TABLES 4

typedef struct Workload {
    const char *name;
    const char *usage;
    /*
     * Tables of options, with NULL behind the last one. All are read from the
     * command line, those for a run from "run", too.
     */
    const Option *setup_options[WORKLOAD_TABLES];
    const Option *run_options[WORKLOAD_TABLES];
    /* Makes the data and adds members to the line READY. */
    void (*setup)(void);
    /* Measures once and adds members to the line BENCH. */
    void (*run)(void);
    /* Verifies all data; does not return if some is wrong. */
    void (*check)(void);
} Workload;

/* The main() of a program. */
int workload_main(const Workload *w, int argc, char **argv);

/* End the program: wrong data, or anything else. */
void mismatch(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));
void die(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* Members of the line that is being written. */
void json_count(const char *name, uint64_t value);
void json_real(const char *name, double value);
void json_text(const char *name, const char *value);

/*
 * The same for times in ns: NAME_ns with NAME being mean, p50, p90, p99, p999
 * and max; if @buckets, "latency" with all of the histogram.
 */
void json_latency(const Histogram *h, bool buckets);

/* Members "ops", "seconds" and "ops_per_s". */
void json_rate(uint64_t ops, double seconds);

/* Seconds since some point in the past. */
double now(void);

/* The processor's time stamp: cheaper to read than the clock. */
static inline uint64_t ticks(void)
{
    return __rdtsc();
}

/* What a difference of ticks() is in ns; exact enough once set up. */
uint64_t ticks_to_ns(uint64_t difference);

/* Memory that is not there yet, in whole pages; ends the program on error. */
void *map_memory(uint64_t bytes);

/* The next number of a sequence that looks as if it was drawn by lot. */
static inline uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    return mix64(*state);
}

/* One of 0 to n - 1, from a number of 64 random bits. */
static inline uint64_t scale_to(uint64_t random, uint64_t n)
{
    return (unsigned __int128)random * n >> 64;
}

#endif
