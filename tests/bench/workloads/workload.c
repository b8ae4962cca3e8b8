/*
 * What the benchmark's programs for the guest have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "workload.h"

#define MAX_OPTIONS 32
#define MAX_WORDS 32

static const char *program = "workload";
static double start_seconds;
static uint64_t start_ticks;
static double ns_per_tick;

/* --- Ends ----------------------------------------------------------------- */

static void complain(const char *what, const char *fmt, va_list ap)
{
    printf("\n%s: %s", program, what);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
}

void mismatch(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    complain("MISMATCH ", fmt, ap);
    va_end(ap);
    exit(1);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    complain("", fmt, ap);
    va_end(ap);
    exit(2);
}

/* --- Lines ---------------------------------------------------------------- */

void json_count(const char *name, uint64_t value)
{
    printf(", \"%s\": %llu", name, (unsigned long long)value);
}

void json_real(const char *name, double value)
{
    printf(", \"%s\": %.6g", name, value);
}

void json_text(const char *name, const char *value)
{
    printf(", \"%s\": \"%s\"", name, value);
}

void json_rate(uint64_t ops, double seconds)
{
    json_count("ops", ops);
    json_real("seconds", seconds);
    json_real("ops_per_s", ops / seconds);
}

void json_latency(const Histogram *h, bool buckets)
{
    json_real("mean_ns", h->count ? (double)h->sum / h->count : 0);
    json_real("p50_ns", histogram_quantile(h, 0.5));
    json_real("p90_ns", histogram_quantile(h, 0.9));
    json_real("p99_ns", histogram_quantile(h, 0.99));
    json_real("p999_ns", histogram_quantile(h, 0.999));
    json_count("max_ns", h->max);
    if (buckets) {
        fputs(", ", stdout);
        histogram_print(stdout, "latency", h, true);
    }
}

static void begin_line(const char *head, const char *phase)
{
    printf("%s {\"workload\": \"%s\", \"phase\": \"%s\"", head, program,
           phase);
}

static void end_line(void)
{
    puts("}");
    fflush(stdout);
}

/* --- Time and memory ------------------------------------------------------ */

double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Over all of the time since the start: the longer, the more exact */
static void calibrate(void)
{
    const double shortest = 0.05;
    double seconds = now() - start_seconds;

    while (seconds < shortest) {
        seconds = now() - start_seconds;
    }
    ns_per_tick = seconds * 1e9 / (ticks() - start_ticks);
}

uint64_t ticks_to_ns(uint64_t difference)
{
    return difference * ns_per_tick;
}

void *map_memory(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        die("cannot map %llu bytes", (unsigned long long)bytes);
    }
    return p;
}

/* --- Commands ------------------------------------------------------------- */

/* Several tables into one, behind the @nr entries that it has */
static unsigned join_options(Option *to, unsigned nr,
                             const Option *const *tables)
{
    for (; *tables; tables++) {
        for (const Option *from = *tables; from->name; from++) {
            if (nr == MAX_OPTIONS - 1) {
                die("too many options");
            }
            to[nr++] = *from;
        }
    }
    to[nr].name = NULL;
    return nr;
}

static void set_options(const Option *options, char **words, int nr,
                        const char *usage)
{
    char error[256];

    if (options_parse(options, words, nr, error, sizeof(error))) {
        return;
    }
    puts(usage);
    for (; options->name; options++) {
        printf("  %-11s  %s\n", options->name, options->help);
    }
    die("%s", error);
}

static void set_up(const Workload *w)
{
    begin_line("READY", "setup");
    w->setup();
    json_real("seconds", now() - start_seconds);
    end_line();
    calibrate();
}

static void command_run(const Workload *w, char **words, int nr)
{
    Option options[MAX_OPTIONS];

    join_options(options, 0, w->run_options);
    set_options(options, words, nr, w->usage);
    begin_line("BENCH", "run");
    w->run();
    end_line();
}

static void command_check(const Workload *w)
{
    double start = now();

    begin_line("BENCH", "check");
    w->check();
    json_real("seconds", now() - start);
    end_line();
}

static int split(char *line, char **words)
{
    int nr = 0;

    for (char *word = strtok(line, "\n "); word; word = strtok(NULL, "\n ")) {
        if (nr == MAX_WORDS) {
            die("too many words");
        }
        words[nr++] = word;
    }
    return nr;
}

int workload_main(const Workload *w, int argc, char **argv)
{
    Option options[MAX_OPTIONS];
    char line[1024], *words[MAX_WORDS];
    int nr;

    program = w->name;
    start_seconds = now();
    start_ticks = ticks();
    nr = join_options(options, 0, w->setup_options);
    join_options(options, nr, w->run_options);
    set_options(options, argv + 1, argc - 1, w->usage);
    set_up(w);
    while (fgets(line, sizeof(line), stdin)) {
        nr = split(line, words);
        if (!nr) {
            continue;
        } else if (!strcmp(words[0], "run")) {
            command_run(w, words + 1, nr - 1);
        } else if (!strcmp(words[0], "check")) {
            command_check(w);
        } else if (!strcmp(words[0], "quit")) {
            break;
        } else {
            die("run, check or quit, not %s", words[0]);
        }
    }
    return 0;
}
