/*
 * Unit tests: a real memcached on a UNIX socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "qemu/cutils.h"
#include "memcached-daemon.h"

#define PROGRAM "memcached"

/* For how long a server may take to start, in steps of 10 ms. */
#define START_TRIES 3000

struct MemcachedDaemon {
    char *dir;
    char *address;
    const char *path;
    char *options;
    pid_t pid;
};

bool memcached_daemon_available(void)
{
    g_autofree char *program = g_find_program_in_path(PROGRAM);

    if (!program) {
        g_test_skip("there is no " PROGRAM " on this machine");
    }
    return program;
}

/* The server must not outlive a test that crashed. */
static void die_with_parent(void *opaque)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static bool answers(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool ok;

    g_assert_cmpint(fd, >=, 0);
    pstrcpy(addr.sun_path, sizeof(addr.sun_path), path);
    ok = !connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    close(fd);
    return ok;
}

static void start(MemcachedDaemon *daemon)
{
    g_autofree char *command =
        g_strdup_printf(PROGRAM " -u %s -s %s -t 2 %s", g_get_user_name(),
                        daemon->path, daemon->options);
    g_auto(GStrv) argv = NULL;
    GError *err = NULL;

    g_assert_true(g_shell_parse_argv(command, NULL, &argv, &err));
    g_spawn_async(NULL, argv, NULL,
                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                  die_with_parent, NULL, &daemon->pid, &err);
    g_assert_no_error(err);
    for (int i = 0; !answers(daemon->path); i++) {
        g_assert_cmpint(i, <, START_TRIES);
        g_assert_cmpint(waitpid(daemon->pid, NULL, WNOHANG), ==, 0);
        g_usleep(10000);
    }
}

MemcachedDaemon *memcached_daemon_new(const char *options)
{
    MemcachedDaemon *daemon = g_new0(MemcachedDaemon, 1);

    daemon->dir = g_dir_make_tmp("remote-store-XXXXXX", NULL);
    g_assert_nonnull(daemon->dir);
    daemon->address = g_strdup_printf("unix:%s/mc.sock", daemon->dir);
    daemon->path = strchr(daemon->address, ':') + 1;
    daemon->options = g_strdup(options);
    start(daemon);
    return daemon;
}

void memcached_daemon_kill(MemcachedDaemon *daemon)
{
    if (daemon->pid) {
        kill(daemon->pid, SIGKILL);
        g_assert_cmpint(waitpid(daemon->pid, NULL, 0), ==, daemon->pid);
        daemon->pid = 0;
    }
}

void memcached_daemon_restart(MemcachedDaemon *daemon)
{
    g_assert_cmpint(daemon->pid, ==, 0);
    unlink(daemon->path);
    start(daemon);
}

void memcached_daemon_pause(MemcachedDaemon *daemon)
{
    int status;

    kill(daemon->pid, SIGSTOP);
    g_assert_cmpint(waitpid(daemon->pid, &status, WUNTRACED), ==, daemon->pid);
    g_assert_true(WIFSTOPPED(status));
}

void memcached_daemon_resume(MemcachedDaemon *daemon)
{
    kill(daemon->pid, SIGCONT);
}

void memcached_daemon_free(MemcachedDaemon *daemon)
{
    memcached_daemon_kill(daemon);
    unlink(daemon->path);
    rmdir(daemon->dir);
    g_free(daemon->dir);
    g_free(daemon->address);
    g_free(daemon->options);
    g_free(daemon);
}

const char *memcached_daemon_address(MemcachedDaemon *daemon)
{
    return daemon->address;
}
