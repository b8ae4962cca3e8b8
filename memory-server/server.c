/*
 * qemu-memory-server: requests for connections
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include <netdb.h>
#include "qapi/error.h"
#include "qapi/qapi-types-sockets.h"
#include "qemu/error-report.h"
#include "qemu/sockets.h"
#include "server.h"

/* Requests for connections that wait while a slab is made. */
#define BACKLOG 128

/* How often namespaces are looked at that may have expired, in seconds. */
#define EXPIRE_PERIOD 5

/* Answers */

static void welcome_init(const MemoryServer *server, RdmaWelcome *welcome,
                         RdmaStatus status)
{
    *welcome = (RdmaWelcome) {
        .magic = RDMA_MAGIC,
        .version = RDMA_VERSION,
        .status = status,
        .limit = server->pool.limit,
        .slab_pages = server->pool.slab_size / RDMA_PAGE_SIZE,
    };
}

static void refuse(MemoryServer *server, struct rdma_cm_id *id,
                   RdmaStatus status)
{
    RdmaWelcome welcome;

    welcome_init(server, &welcome, status);
    rdma_welcome_swap(&welcome);
    rdma_reject(id, &welcome, sizeof(welcome));
    rdma_destroy_id(id);
    server->nr_refused += status != RDMA_STATUS_OK;
}

static void release(MemoryServer *server, const RdmaHello *hello)
{
    if (g_hash_table_remove(server->namespaces, hello->namespace)) {
        server->nr_released++;
    }
}

static RdmaStatus accept_queue(MemoryServer *server, struct rdma_cm_id *id,
                               const struct rdma_conn_param *param,
                               const RdmaHello *hello)
{
    Namespace *ns;
    RdmaStatus status = namespace_get(server, hello, id->verbs, &ns);
    RdmaWelcome welcome;

    if (status != RDMA_STATUS_OK) {
        return status;
    }
    welcome_init(server, &welcome, RDMA_STATUS_OK);
    welcome.incarnation = ns->incarnation;
    return connection_accept(ns, id, param, hello->queue, &welcome)
           ? RDMA_STATUS_OK : RDMA_STATUS_FAILED;
}

static void connect_request(MemoryServer *server, struct rdma_cm_id *id,
                            const struct rdma_conn_param *param,
                            const RdmaHello *hello, RdmaStatus status)
{
    if (status == RDMA_STATUS_OK && hello->kind == RDMA_KIND_QUEUE) {
        status = accept_queue(server, id, param, hello);
        if (status == RDMA_STATUS_OK) {
            server->nr_accepted++;
            return;
        }
    } else if (status == RDMA_STATUS_OK && hello->kind == RDMA_KIND_RELEASE) {
        release(server, hello);
    }
    refuse(server, id, status);
}

/* Events */

/*
 * What an event carries goes when it is given back, and that has to be before
 * its connection can be destroyed: so it is copied.
 */
static bool next_event(MemoryServer *server)
{
    struct rdma_cm_event *event;
    enum rdma_cm_event_type type;
    struct rdma_conn_param param;
    struct rdma_cm_id *id;
    RdmaStatus status;
    RdmaHello hello;

    if (rdma_get_cm_event(server->events, &event)) {
        return false;
    }
    type = event->event;
    id = event->id;
    param = event->param.conn;
    status = rdma_hello_read(&hello, param.private_data,
                             param.private_data_len);
    rdma_ack_cm_event(event);
    switch (type) {
    case RDMA_CM_EVENT_CONNECT_REQUEST:
        connect_request(server, id, &param, &hello, status);
        break;
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_DISCONNECTED:
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        if (id != server->id) {
            connection_end(id);
        } else {
            error_report("the RDMA device was removed: restart the server");
        }
        break;
    default:
        break;
    }
    return true;
}

static gboolean events_readable(gint fd, GIOCondition condition,
                                gpointer opaque)
{
    while (next_event(opaque)) {
        /* Until there is none left. */
    }
    return G_SOURCE_CONTINUE;
}

static gboolean expire(gpointer opaque)
{
    namespace_expire(opaque);
    return G_SOURCE_CONTINUE;
}

/* Beginning and end */

static bool listen_at(MemoryServer *server, struct sockaddr *addr, Error **errp)
{
    if (rdma_create_id(server->events, &server->id, NULL, RDMA_PS_TCP)) {
        server->id = NULL;
        error_setg_errno(errp, errno, "cannot use RDMA");
        return false;
    }
    if (rdma_bind_addr(server->id, addr) || rdma_listen(server->id, BACKLOG)) {
        error_setg_errno(errp, errno, "--listen: cannot listen at '%s'",
                         server->listen);
        return false;
    }
    return true;
}

static bool listen_by_name(MemoryServer *server, Error **errp)
{
    ERRP_GUARD();
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_PASSIVE }, *list;
    g_autoptr(InetSocketAddress) addr = g_new0(InetSocketAddress, 1);
    int ret;
    bool ok;

    if (inet_parse(addr, server->listen, errp) < 0) {
        error_prepend(errp, "--listen: '%s': ", server->listen);
        return false;
    }
    ret = getaddrinfo(*addr->host ? addr->host : NULL, addr->port, &hints,
                      &list);
    if (ret) {
        error_setg(errp, "--listen: '%s': %s", server->listen,
                   gai_strerror(ret));
        return false;
    }
    ok = listen_at(server, list->ai_addr, errp);
    freeaddrinfo(list);
    return ok;
}

/* Names are random: any of their bits are a hash. */
static guint uuid_hash(gconstpointer uuid)
{
    return ldl_he_p(uuid);
}

static gboolean uuid_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(QemuUUID));
}

bool server_start(MemoryServer *server, Error **errp)
{
    ERRP_GUARD();

    server->namespaces =
        g_hash_table_new_full(uuid_hash, uuid_equal, NULL,
                              (GDestroyNotify)namespace_free);
    server->events = rdma_create_event_channel();
    if (!server->events ||
        !g_unix_set_fd_nonblocking(server->events->fd, true, NULL)) {
        error_setg_errno(errp, errno, "cannot use the RDMA connection manager");
        error_append_hint(errp, "Load the kernel module rdma_ucm.\n");
        return false;
    }
    if (!listen_by_name(server, errp)) {
        return false;
    }
    g_unix_fd_add(server->events->fd, G_IO_IN, events_readable, server);
    if (server->expire) {
        g_timeout_add_seconds(MIN(server->expire, EXPIRE_PERIOD), expire,
                              server);
    }
    return true;
}

void server_stop(MemoryServer *server)
{
    rdma_destroy_id(server->id);
    g_hash_table_destroy(server->namespaces);
    rdma_destroy_event_channel(server->events);
}
