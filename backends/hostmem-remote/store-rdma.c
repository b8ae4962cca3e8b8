/*
 * remote-store-rdma: pages in the memory of another host
 *
 * A qemu-memory-server lends it, and takes no part when a page is read or
 * written: the devices do that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <netdb.h>
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/lockable.h"
#include "qemu/module.h"
#include "qemu/sockets.h"
#include "rdma-device.h"
#include "store-rdma.h"

#define DEFAULT_TIMEOUT_MS 2000
#define DEFAULT_RECONNECT_MS 500
#define MIN_MS 10

/* Status */

/* Called with the lock. */
static void update_status(RemoteStoreRdma *sr)
{
    RemoteStoreStatus status = REMOTE_STORE_STATUS_CONNECTED;

    if (sr->lost || (sr->nr_down && sr->nr_down == sr->nr_queues)) {
        status = REMOTE_STORE_STATUS_LOST;
    } else if (sr->nr_down) {
        status = REMOTE_STORE_STATUS_DEGRADED;
    }
    remote_store_set_status(&sr->parent_obj, status);
}

void rdma_store_count(RemoteStoreRdma *sr, int queues, int down)
{
    QEMU_LOCK_GUARD(&sr->lock);
    sr->nr_queues += queues;
    sr->nr_down += down;
    update_status(sr);
}

void rdma_store_set_lost(RemoteStoreRdma *sr, bool lost)
{
    QEMU_LOCK_GUARD(&sr->lock);
    sr->lost = lost;
    update_status(sr);
}

/* The object */

static bool check_times(RemoteStoreRdma *sr, Error **errp)
{
    const char *id = remote_store_id(&sr->parent_obj);

    if (sr->server.timeout_ms < MIN_MS) {
        error_setg(errp, "store '%s': property 'request-timeout-ms': %u is "
                   "less than %u", id, sr->server.timeout_ms, MIN_MS);
        return false;
    }
    if (sr->server.reconnect_ms < MIN_MS) {
        error_setg(errp, "store '%s': property 'reconnect-ms': %u is less "
                   "than %u", id, sr->server.reconnect_ms, MIN_MS);
        return false;
    }
    return true;
}

/* Try one address after the other, and keep the one that answers. */
static bool try_addresses(RemoteStoreRdma *sr, const struct addrinfo *list,
                          Error **errp)
{
    ERRP_GUARD();
    RdmaHello hello = { .kind = RDMA_KIND_PROBE };
    RdmaWelcome welcome;
    Error *err = NULL;

    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        error_free(err);
        err = NULL;
        memcpy(&sr->server.addr, a->ai_addr, a->ai_addrlen);
        if (sr->server.device) {
            rdma_device_source(sr->server.device, a->ai_family,
                               &sr->server.source);
        }
        if (rdma_server_ask(&sr->server, &hello, &welcome, &err)) {
            sr->limit = welcome.limit;
            return true;
        }
    }
    error_propagate(errp, err);
    error_prepend(errp, "store '%s': property 'server': '%s': ",
                  remote_store_id(&sr->parent_obj), sr->server.name);
    return false;
}

static bool find_server(RemoteStoreRdma *sr, Error **errp)
{
    ERRP_GUARD();
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    g_autoptr(InetSocketAddress) addr = g_new0(InetSocketAddress, 1);
    const char *id = remote_store_id(&sr->parent_obj);
    int ret;
    bool ok;

    if (!sr->server.name) {
        error_setg(errp, "store '%s': property 'server' is missing", id);
        error_append_hint(errp, "Give the address of a qemu-memory-server, for "
                          "example server=10.0.0.2:" RDMA_DEFAULT_PORT ".\n");
        return false;
    }
    if (inet_parse(addr, sr->server.name, errp) < 0) {
        error_prepend(errp, "store '%s': property 'server': '%s': ", id,
                      sr->server.name);
        return false;
    }
    ret = getaddrinfo(addr->host, addr->port, &hints, &list);
    if (ret) {
        error_setg(errp, "store '%s': property 'server': '%s': %s", id,
                   sr->server.name, gai_strerror(ret));
        return false;
    }
    ok = try_addresses(sr, list, errp);
    freeaddrinfo(list);
    return ok;
}

static bool sr_start(RemoteStore *store, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(store);

    return check_times(sr, errp) &&
           rdma_device_check(remote_store_id(store), sr->server.device,
                             errp) &&
           find_server(sr, errp);
}

static uint64_t sr_capacity(RemoteStore *store)
{
    return REMOTE_STORE_RDMA(store)->limit;
}

static void sr_init(Object *obj)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(obj);

    sr->server.timeout_ms = DEFAULT_TIMEOUT_MS;
    sr->server.reconnect_ms = DEFAULT_RECONNECT_MS;
    qemu_mutex_init(&sr->lock);
}

static void sr_finalize(Object *obj)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(obj);

    qemu_mutex_destroy(&sr->lock);
    g_free(sr->server.name);
    g_free(sr->server.device);
}

/* Properties */

static char *sr_get_server(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_RDMA(obj)->server.name);
}

static void sr_set_server(Object *obj, const char *value, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(obj);

    if (remote_store_can_set(&sr->parent_obj, "server", errp)) {
        g_free(sr->server.name);
        sr->server.name = g_strdup(value);
    }
}

static char *sr_get_device(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_RDMA(obj)->server.device);
}

static void sr_set_device(Object *obj, const char *value, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(obj);

    if (remote_store_can_set(&sr->parent_obj, "device", errp)) {
        g_free(sr->server.device);
        sr->server.device = g_strdup(value);
    }
}

/* Two times, told apart by where they are in the store. */
static uint32_t *time_of(Object *obj, void *opaque)
{
    return (uint32_t *)((char *)obj + (uintptr_t)opaque);
}

static void sr_get_time(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    visit_type_uint32(v, name, time_of(obj, opaque), errp);
}

static void sr_set_time(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        *time_of(obj, opaque) = value;
    }
}

static void add_time(ObjectClass *oc, const char *name, size_t offset,
                     const char *description)
{
    object_class_property_add(oc, name, "uint32", sr_get_time, sr_set_time,
                              NULL, (void *)(uintptr_t)offset);
    object_class_property_set_description(oc, name, description);
}

static void sr_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = sr_start;
    rsc->capacity = sr_capacity;
    rsc->attach = rdma_region_attach;
    rsc->save = rdma_region_save;
    rsc->detach = rdma_region_detach;
    rsc->open = rdma_queue_open;
    rsc->submit = rdma_queue_submit;
    rsc->close = rdma_queue_close;

    object_class_property_add_str(oc, "server", sr_get_server, sr_set_server);
    object_class_property_set_description(oc, "server",
        "the qemu-memory-server, as host:port (required)");
    object_class_property_add_str(oc, "device", sr_get_device, sr_set_device);
    object_class_property_set_description(oc, "device",
        "the only RDMA device that may be used (default: the one that leads "
        "to the server)");
    add_time(oc, "request-timeout-ms",
             offsetof(RemoteStoreRdma, server.timeout_ms),
             "time after which a request has failed, in milliseconds, at "
             "least 10 (default: 2000)");
    add_time(oc, "reconnect-ms",
             offsetof(RemoteStoreRdma, server.reconnect_ms),
             "pause between tries to connect again, in milliseconds, at "
             "least 10 (default: 500)");
}

static const TypeInfo sr_info = {
    .name = TYPE_REMOTE_STORE_RDMA,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreRdma),
    .instance_init = sr_init,
    .instance_finalize = sr_finalize,
    .class_init = sr_class_init,
};

static void sr_register_types(void)
{
    type_register_static(&sr_info);
}

type_init(sr_register_types);
