/*
 * qemu-memory-server: lends this host's memory to virtual machines of others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include <sys/resource.h>
#include "qapi/error.h"
#include "qemu-version.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "server.h"

/* Long enough to repair a network, and a day of a lost VM's memory. */
#define DEFAULT_EXPIRE 86400
#define DEFAULT_SLAB_SIZE "32M"

typedef struct Options {
    char *listen;
    char *limit;
    char *slab_size;
    int expire;
    char *stats;
    gboolean version;
} Options;

static bool parse_options(Options *o, int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        { "listen", 'l', 0, G_OPTION_ARG_STRING, &o->listen,
          "where to listen (default: :" RDMA_DEFAULT_PORT ")", "HOST:PORT" },
        { "limit", 'm', 0, G_OPTION_ARG_STRING, &o->limit,
          "most memory to lend (default: half of this host's)", "SIZE" },
        { "slab-size", 's', 0, G_OPTION_ARG_STRING, &o->slab_size,
          "unit in which it is taken (default: " DEFAULT_SLAB_SIZE ")",
          "SIZE" },
        { "expire", 'e', 0, G_OPTION_ARG_INT, &o->expire,
          "give up what nobody has been connected to for so long; 0: never "
          "(default: a day)", "SECONDS" },
        { "stats", 'S', 0, G_OPTION_ARG_FILENAME, &o->stats,
          "UNIX socket that shows statistics", "PATH" },
        { "version", 'V', 0, G_OPTION_ARG_NONE, &o->version,
          "show the version", NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    g_option_context_set_summary(context, "Lends memory to remote-store-rdma "
                                 "objects of QEMU.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &err)) {
        error_report("%s", err->message);
        return false;
    }
    if (*argc > 1) {
        error_report("unknown argument '%s'", (*argv)[1]);
        return false;
    }
    if (o->expire < 0) {
        error_report("--expire: %d is less than 0", o->expire);
        return false;
    }
    return true;
}

static bool parse_size(const char *option, const char *text, uint64_t *size,
                       Error **errp)
{
    if (qemu_strtosz(text, NULL, size) < 0) {
        error_setg(errp, "%s: '%s' is not a size", option, text);
        return false;
    }
    return true;
}

static bool init_pool(MemoryServer *server, const Options *o, Error **errp)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) *
                     qemu_real_host_page_size() / 2;
    uint64_t slab_size;

    return (!o->limit || parse_size("--limit", o->limit, &limit, errp)) &&
           parse_size("--slab-size", o->slab_size ?: DEFAULT_SLAB_SIZE,
                      &slab_size, errp) &&
           slab_pool_init(&server->pool, slab_size, limit, errp);
}

/* Later it would be the clients who are told that there is no memory. */
static void check_memlock(const MemoryServer *server)
{
    struct rlimit limit;

    if (geteuid() && !getrlimit(RLIMIT_MEMLOCK, &limit) &&
        limit.rlim_cur < server->pool.limit) {
        warn_report("the limit of locked memory (ulimit -l, LimitMEMLOCK=) is "
                    "%" PRIu64 " bytes, less than --limit",
                    (uint64_t)limit.rlim_cur);
    }
}

static gboolean stop(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static void serve(MemoryServer *server)
{
    GMainLoop *loop = g_main_loop_new(NULL, false);

    g_unix_signal_add(SIGTERM, stop, loop);
    g_unix_signal_add(SIGINT, stop, loop);
    printf("listening at %s, with up to %" PRIu64 " bytes in slabs of %zu\n",
           server->listen, server->pool.limit, server->pool.slab_size);
    fflush(stdout);
    g_main_loop_run(loop);
    g_main_loop_unref(loop);
    server_stop(server);
}

int main(int argc, char **argv)
{
    Options o = { .expire = DEFAULT_EXPIRE };
    MemoryServer server = { 0 };
    Error *err = NULL;

    error_init(argv[0]);
    if (!parse_options(&o, &argc, &argv)) {
        return EXIT_FAILURE;
    }
    if (o.version) {
        printf("qemu-memory-server " QEMU_FULL_VERSION "\n");
        return EXIT_SUCCESS;
    }
    server.listen = o.listen ?: ":" RDMA_DEFAULT_PORT;
    server.expire = o.expire;
    if (!init_pool(&server, &o, &err) || !server_start(&server, &err) ||
        (o.stats && !stats_listen(&server, o.stats, &err))) {
        error_report_err(err);
        return EXIT_FAILURE;
    }
    check_memlock(&server);
    serve(&server);
    return EXIT_SUCCESS;
}
