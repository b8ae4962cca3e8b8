/*
 * qemu-memory-server: statistics
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include "qapi/error.h"
#include "qemu/sockets.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "server.h"

/* Whoever connects and does not read holds up the server for so long. */
#define SEND_SECONDS 1

static QDict *namespace_stats(Namespace *ns)
{
    g_autofree char *uuid = qemu_uuid_unparse_strdup(&ns->uuid);
    int64_t idle = g_get_monotonic_time() - ns->idle_since;
    size_t nr_connections = g_hash_table_size(ns->connections);
    size_t nr_slabs = g_hash_table_size(ns->slabs);
    QDict *dict = qdict_new();

    qdict_put_str(dict, "uuid", uuid);
    qdict_put_int(dict, "size", ns->nr_pages * RDMA_PAGE_SIZE);
    qdict_put_int(dict, "used", ns->used);
    qdict_put_int(dict, "slabs", nr_slabs);
    qdict_put_int(dict, "connections", nr_connections);
    qdict_put_int(dict, "idle-seconds",
                  nr_connections ? 0 : idle / G_USEC_PER_SEC);
    return dict;
}

char *stats_text(MemoryServer *server)
{
    g_autoptr(GString) text = NULL;
    g_autoptr(QDict) dict = qdict_new();
    QList *list = qlist_new();
    GHashTableIter iter;
    gpointer ns;

    qdict_put_int(dict, "limit", server->pool.limit);
    qdict_put_int(dict, "used", server->pool.used);
    qdict_put_int(dict, "slab-size", server->pool.slab_size);
    qdict_put_int(dict, "accepted", server->nr_accepted);
    qdict_put_int(dict, "refused", server->nr_refused);
    qdict_put_int(dict, "released", server->nr_released);
    qdict_put_int(dict, "expired", server->nr_expired);
    qdict_put_int(dict, "no-space", server->nr_nospace);
    g_hash_table_iter_init(&iter, server->namespaces);
    while (g_hash_table_iter_next(&iter, NULL, &ns)) {
        qlist_append(list, namespace_stats(ns));
    }
    qdict_put(dict, "namespaces", list);
    text = qobject_to_json_pretty(QOBJECT(dict), true);
    g_string_append_c(text, '\n');
    return g_strdup(text->str);
}

static gboolean somebody_asks(gint fd, GIOCondition condition, gpointer opaque)
{
    struct timeval patience = { .tv_sec = SEND_SECONDS };
    int conn = qemu_accept(fd, NULL, NULL);
    g_autofree char *text = stats_text(opaque);
    const char *at = text;
    ssize_t sent = 1;

    if (conn < 0) {
        return G_SOURCE_CONTINUE;
    }
    setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    while (*at && sent > 0) {
        sent = send(conn, at, strlen(at), MSG_NOSIGNAL);
        at += MAX(sent, 0);
    }
    close(conn);
    return G_SOURCE_CONTINUE;
}

bool stats_listen(MemoryServer *server, const char *path, Error **errp)
{
    ERRP_GUARD();
    int fd = unix_listen(path, errp);

    if (fd < 0) {
        error_prepend(errp, "--stats: ");
        return false;
    }
    g_unix_fd_add(fd, G_IO_IN, somebody_asks, server);
    return true;
}
