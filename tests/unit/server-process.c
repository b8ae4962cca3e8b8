/*
 * Unit tests: a real server on a UNIX socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "qemu/cutils.h"
#include "server-process.h"

/* For how long a server may take to start, in steps of 10 ms. */
#define START_TRIES 3000

struct ServerProcess {
    char *dir;
    char *address;
    const char *path;
    char *command;
    pid_t pid;
};

bool server_process_available(const char *command)
{
    g_autofree char *name = g_strndup(command, strcspn(command, " "));
    g_autofree char *program = g_find_program_in_path(name);

    if (!program) {
        g_autofree char *why = g_strdup_printf("there is no %s on this machine",
                                               name);

        g_test_skip(why);
    }
    return program;
}

const char *server_process_rdma(void)
{
    const char *host = getenv("RM_RDMA_HOST");

    if (!host) {
        g_test_skip("RM_RDMA_HOST names no address for RDMA; "
                    "tests/guest/test-rdma makes a guest that has one");
        return NULL;
    }
    return server_process_available(MEMORY_SERVER) ? host : NULL;
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

static void start(ServerProcess *server)
{
    g_auto(GStrv) parts = g_strsplit(server->command, "@", 2);
    g_autofree char *command = g_strjoinv(server->path, parts);
    g_auto(GStrv) argv = NULL;
    GError *err = NULL;

    g_assert_true(g_shell_parse_argv(command, NULL, &argv, &err));
    g_spawn_async(NULL, argv, NULL,
                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                  die_with_parent, NULL, &server->pid, &err);
    g_assert_no_error(err);
    for (int i = 0; !answers(server->path); i++) {
        g_assert_cmpint(i, <, START_TRIES);
        g_assert_cmpint(waitpid(server->pid, NULL, WNOHANG), ==, 0);
        g_usleep(10000);
    }
}

ServerProcess *server_process_new(const char *command)
{
    ServerProcess *server = g_new0(ServerProcess, 1);

    server->dir = g_dir_make_tmp("remote-store-XXXXXX", NULL);
    g_assert_nonnull(server->dir);
    server->address = g_strdup_printf("unix:%s/socket", server->dir);
    server->path = strchr(server->address, ':') + 1;
    server->command = g_strdup(command);
    start(server);
    return server;
}

void server_process_kill(ServerProcess *server)
{
    if (server->pid) {
        kill(server->pid, SIGKILL);
        g_assert_cmpint(waitpid(server->pid, NULL, 0), ==, server->pid);
        server->pid = 0;
    }
}

void server_process_restart(ServerProcess *server)
{
    g_assert_cmpint(server->pid, ==, 0);
    unlink(server->path);
    start(server);
}

void server_process_pause(ServerProcess *server)
{
    int status;

    kill(server->pid, SIGSTOP);
    g_assert_cmpint(waitpid(server->pid, &status, WUNTRACED), ==, server->pid);
    g_assert_true(WIFSTOPPED(status));
}

void server_process_resume(ServerProcess *server)
{
    kill(server->pid, SIGCONT);
}

void server_process_free(ServerProcess *server)
{
    server_process_kill(server);
    unlink(server->path);
    rmdir(server->dir);
    g_free(server->dir);
    g_free(server->address);
    g_free(server->command);
    g_free(server);
}

const char *server_process_address(ServerProcess *server)
{
    return server->address;
}

const char *server_process_path(ServerProcess *server)
{
    return server->path;
}
