/*
 * The server and redis-benchmark as processes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redis-process.h"
#include "workload.h"

static char path[64];
static pid_t server_pid;

/*
 * The server's program verifies databases, too: it does what its name says.
 * Debian has it under this name in the package with redis-benchmark, so that
 * the package of the server, which would start one, is not needed.
 */
static void become_server(const char *preload)
{
    if (preload) {
        setenv("LD_PRELOAD", preload, 1);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("redis-check-rdb", "redis-server", "--port", "0",
           "--unixsocket", path, "--save", "", "--appendonly", "no",
           "--loglevel", "warning", "--logfile", "/dev/null", NULL);
    _exit(127);
}

static void stop_server(void)
{
    kill(server_pid, SIGKILL);
    waitpid(server_pid, NULL, 0);
    unlink(path);
}

void redis_start(Resp *server, const char *preload)
{
    const unsigned tries = 6000, pause_us = 10000;

    snprintf(path, sizeof(path), "/tmp/bench-redis-%d", getpid());
    fflush(stdout);
    server_pid = fork();
    if (server_pid < 0) {
        die("cannot start a process");
    } else if (server_pid == 0) {
        become_server(preload);
    }
    atexit(stop_server);
    for (unsigned i = 0; i < tries; i++) {
        if (resp_connect(server, path)) {
            return;
        }
        if (waitpid(server_pid, NULL, WNOHANG) == server_pid) {
            die("the server has ended");
        }
        usleep(pause_us);
    }
    die("the server does not start");
}

void redis_measure(const char *arguments, RedisTimes *times)
{
    char line[512];
    bool found = false;
    FILE *f;

    snprintf(line, sizeof(line), "redis-benchmark -s %s --csv --precision 3 "
             "%s", path, arguments);
    f = popen(line, "r");
    if (!f) {
        die("cannot start redis-benchmark");
    }
    /* The line after the names of the columns; the first one is a name. */
    while (fgets(line, sizeof(line), f)) {
        found |= sscanf(line, "\"%*[^\"]\",\"%lf\",\"%lf\",\"%lf\",\"%lf\","
                        "\"%lf\",\"%lf\",\"%lf\"", &times->per_second,
                        &times->mean_ms, &times->min_ms, &times->p50_ms,
                        &times->p95_ms, &times->p99_ms,
                        &times->max_ms) == 7;
    }
    if (pclose(f) || !found) {
        die("redis-benchmark has failed");
    }
}
