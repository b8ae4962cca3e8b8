/*
 * The server and redis-benchmark as processes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_REDIS_PROCESS_H
#define BENCH_REDIS_PROCESS_H

#include <stdint.h>

#include "resp.h"

/* What redis-benchmark says of a run. */
typedef struct RedisTimes {
    double per_second;
    double mean_ms;
    double min_ms;
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_ms;
} RedisTimes;

/*
 * Start a server, with a library to be preloaded unless that is NULL, and
 * connect to it. It ends with this program.
 */
void redis_start(Resp *server, const char *preload);

/* Run redis-benchmark against it with these arguments. */
void redis_measure(const char *arguments, RedisTimes *times);

#endif
