/*
 * RDMA devices of this host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include "qapi/error.h"
#include "rdma-device.h"

/* Names of the devices, to be shown. */
static char *list_names(struct ibv_device **list, int nr)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (int i = 0; i < nr; i++) {
        g_string_append_printf(names, "%s%s", i ? ", " : "",
                               ibv_get_device_name(list[i]));
    }
    return g_strdup(names->str);
}

static struct ibv_device *find_device(struct ibv_device **list, int nr,
                                      const char *name)
{
    for (int i = 0; i < nr; i++) {
        if (!strcmp(ibv_get_device_name(list[i]), name)) {
            return list[i];
        }
    }
    return NULL;
}

bool rdma_device_check(const char *id, const char *device, Error **errp)
{
    ERRP_GUARD();
    int nr = 0;
    struct ibv_device **list = ibv_get_device_list(&nr);
    g_autofree char *names = list_names(list, nr);
    bool ok = nr > 0 && (!device || find_device(list, nr, device));

    if (!nr) {
        error_setg(errp, "store '%s': this host has no RDMA device", id);
        error_append_hint(errp, "Load the driver of the adapter; or make a "
                          "device in software: rdma link add rxe0 type rxe "
                          "netdev eth0.\n");
    } else if (!ok) {
        error_setg(errp, "store '%s': property 'device': there is no RDMA "
                   "device '%s'", id, device);
        error_append_hint(errp, "There is: %s.\n", names);
    }
    if (list) {
        ibv_free_device_list(list);
    }
    return ok;
}

static bool is_mapped_ipv4(const union ibv_gid *gid)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

    return !memcmp(gid->raw, prefix, sizeof(prefix));
}

static bool is_global_ipv6(const union ibv_gid *gid)
{
    return gid->global.interface_id && !is_mapped_ipv4(gid) &&
           gid->raw[0] != 0xfe;
}

static bool source_of_gid(const union ibv_gid *gid, sa_family_t family,
                          struct sockaddr_storage *source)
{
    struct sockaddr_in *in = (struct sockaddr_in *)source;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)source;

    memset(source, 0, sizeof(*source));
    source->ss_family = family;
    if (family == AF_INET && is_mapped_ipv4(gid)) {
        memcpy(&in->sin_addr, gid->raw + 12, sizeof(in->sin_addr));
        return true;
    }
    if (family == AF_INET6 && is_global_ipv6(gid)) {
        memcpy(&in6->sin6_addr, gid->raw, sizeof(in6->sin6_addr));
        return true;
    }
    return false;
}

static bool source_of_port(struct ibv_context *verbs, uint8_t port,
                           sa_family_t family, struct sockaddr_storage *source)
{
    struct ibv_port_attr attr;
    union ibv_gid gid;

    if (ibv_query_port(verbs, port, &attr)) {
        return false;
    }
    for (int i = 0; i < attr.gid_tbl_len; i++) {
        if (!ibv_query_gid(verbs, port, i, &gid) &&
            source_of_gid(&gid, family, source)) {
            return true;
        }
    }
    return false;
}

static bool source_of_device(struct ibv_device *device, sa_family_t family,
                             struct sockaddr_storage *source)
{
    struct ibv_context *verbs = ibv_open_device(device);
    struct ibv_device_attr attr;
    bool found = false;

    if (!verbs) {
        return false;
    }
    if (!ibv_query_device(verbs, &attr)) {
        for (int port = 1; port <= attr.phys_port_cnt && !found; port++) {
            found = source_of_port(verbs, port, family, source);
        }
    }
    ibv_close_device(verbs);
    return found;
}

bool rdma_device_source(const char *device, sa_family_t family,
                        struct sockaddr_storage *source)
{
    int nr = 0;
    struct ibv_device **list = ibv_get_device_list(&nr);
    struct ibv_device *found = find_device(list, nr, device);
    bool ok = found && source_of_device(found, family, source);

    if (list) {
        ibv_free_device_list(list);
    }
    return ok;
}
