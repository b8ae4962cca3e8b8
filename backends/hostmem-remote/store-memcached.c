/*
 * Remote stores: memcached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "memcached-lane.h"
#include "memcached-queue.h"

#define DEFAULT_TIMEOUT_MS 1000
#define MIN_TIMEOUT_MS 10

void mc_store_update_status(RemoteStoreMemcached *mc)
{
    RemoteStoreStatus status = REMOTE_STORE_STATUS_CONNECTED;
    size_t nr_failing = 0;
    bool lost = false;

    for (size_t i = 0; i < mc->nr_servers; i++) {
        nr_failing += qatomic_read(&mc->servers[i].failing);
        lost |= qatomic_read(&mc->servers[i].lost);
    }
    if (lost || nr_failing == mc->nr_servers) {
        status = REMOTE_STORE_STATUS_LOST;
    } else if (nr_failing) {
        status = REMOTE_STORE_STATUS_DEGRADED;
    }
    remote_store_set_status(&mc->parent_obj, status);
}

/* Regions */

/* Forgotten losses: nobody is left who had anything on the servers. */
static void forget_losses(RemoteStoreMemcached *mc)
{
    for (size_t i = 0; i < mc->nr_servers; i++) {
        qatomic_set(&mc->servers[i].lost, false);
    }
    mc_store_update_status(mc);
}

static void region_free(RemoteStoreRegion *region)
{
    McRegion *r = region->opaque;

    mc_generations_free(r->generations);
    qemu_mutex_destroy(&r->lock);
    g_free(r);
}

/* A new namespace, in which each server has a mark. */
static bool region_mark(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);
    McRegion *r = region->opaque;

    for (size_t i = 0; i < mc->nr_servers; i++) {
        if (!mc_server_put_mark(&mc->servers[i],
                                remote_store_id(region->store), &r->mark,
                                errp)) {
            return false;
        }
    }
    return true;
}

/*
 * Which server has a page depends on the names of all, if there are several:
 * they have to be the same, in the same order.
 */
static char *names_of(RemoteStoreMemcached *mc)
{
    GString *names = g_string_new(NULL);

    for (strList *l = mc->server_names; mc->nr_servers > 1 && l; l = l->next) {
        g_string_append_printf(names, "%s ", l->value);
    }
    return g_string_free(names, false);
}

/* What another process needs: the servers, and the generations. */
static bool mc_save(RemoteStoreRegion *region, GByteArray *state, Error **errp)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);
    McRegion *r = region->opaque;
    g_autofree char *names = names_of(mc);

    if (!state) {
        return true;
    }
    /* With the zero at its end. */
    g_byte_array_append(state, (uint8_t *)names, strlen(names) + 1);
    mc_queues_collect(region);
    mc_generations_save(r->generations, state);
    return true;
}

static bool region_load(RemoteStoreRegion *region, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);
    McRegion *r = region->opaque;
    const GByteArray *state = region->inherited;
    const char *theirs = (const char *)state->data;
    size_t size = state->len ? strnlen(theirs, state->len) + 1 : 1;
    g_autofree char *ours = names_of(mc);

    if (size > state->len ||
        !mc_generations_load(r->generations, state->data + size,
                             state->len - size)) {
        remote_store_bad_state(region, errp);
        return false;
    }
    if (strcmp(ours, theirs)) {
        error_setg(errp, "store '%s': property 'servers' has to be as at the "
                   "source of the migration: %s",
                   remote_store_id(region->store), theirs);
        error_append_hint(errp, "Give the same servers in the same order.\n");
        return false;
    }
    return true;
}

static bool mc_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);
    const char *id = remote_store_id(region->store);
    McRegion *r;

    if (region->nr_pages > 1ull << MC_PAGE_BITS) {
        error_setg(errp, "store '%s': %" PRIu64 " pages are more than memcached"
                   " keys can name", id, region->nr_pages);
        return false;
    }
    r = region->opaque = g_new0(McRegion, 1);
    r->generations = mc_generations_new();
    qemu_mutex_init(&r->lock);
    mc_key_mark(&r->mark, &region->uuid);
    if (!(region->inherited ? region_load(region, errp)
                            : region_mark(region, errp))) {
        region_free(region);
        return false;
    }
    if (!mc->nr_regions++) {
        forget_losses(mc);
    }
    return true;
}

/* Delete what is known to be left; give up if the server does not answer. */
static void clean_server(RemoteStoreRegion *region, const McServer *server)
{
    McRegion *r = region->opaque;
    McGenerations *garbage = mc_generations_new();
    uint64_t page;
    unsigned generation;
    McLane lane;

    mc_generations_merge(garbage, r->generations);
    mc_lane_init(&lane, server, NULL);
    mc_lane_delete(&lane, &r->mark);
    while (!lane.broken &&
           mc_generations_next_garbage(garbage, &page, &generation)) {
        McKey key;

        mc_key_page(&key, &region->uuid, page, generation);
        mc_lane_delete(&lane, &key);
    }
    mc_lane_cleanup(&lane);
    mc_generations_free(garbage);
}

static void mc_detach(RemoteStoreRegion *region)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(region->store);

    for (size_t i = 0; i < mc->nr_servers; i++) {
        if (!region->left && !qatomic_read(&mc->servers[i].failing)) {
            clean_server(region, &mc->servers[i]);
        }
    }
    mc->nr_regions--;
    region_free(region);
}

/* The object */

static bool is_repeated(strList *all, strList *item)
{
    for (strList *l = all; l != item; l = l->next) {
        if (!strcmp(l->value, item->value)) {
            return true;
        }
    }
    return false;
}

/* Read one server's address and ask the server. */
static bool start_server(RemoteStoreMemcached *mc, strList *item, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_store_id(&mc->parent_obj);
    McServer *server = &mc->servers[mc->nr_servers];

    if (is_repeated(mc->server_names, item)) {
        error_setg(errp, "store '%s': property 'servers': '%s' is given twice",
                   id, item->value);
        return false;
    }
    if (!mc_server_parse(server, item->value, errp)) {
        error_prepend(errp, "store '%s': property 'servers': '%s': ", id,
                      item->value);
        return false;
    }
    mc->nr_servers++;
    server->timeout_ms = mc->timeout_ms;
    return mc_server_check(server, id, errp);
}

static bool mc_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(store);
    const char *id = remote_store_id(store);

    if (mc->timeout_ms < MIN_TIMEOUT_MS) {
        error_setg(errp, "store '%s': property 'request-timeout-ms': %u is "
                   "less than %u", id, mc->timeout_ms, MIN_TIMEOUT_MS);
        return false;
    }
    if (!mc->server_names) {
        error_setg(errp, "store '%s': property 'servers' is empty", id);
        error_append_hint(errp, "Give at least one server, for example "
                          "servers=unix:/run/mc.sock.\n");
        return false;
    }
    mc->servers = g_new0(McServer, QAPI_LIST_LENGTH(mc->server_names));
    for (strList *l = mc->server_names; l; l = l->next) {
        if (!start_server(mc, l, errp)) {
            return false;
        }
    }
    return true;
}

static void mc_init(Object *obj)
{
    REMOTE_STORE_MEMCACHED(obj)->timeout_ms = DEFAULT_TIMEOUT_MS;
}

static void mc_finalize(Object *obj)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(obj);

    for (size_t i = 0; i < mc->nr_servers; i++) {
        mc_server_clear(&mc->servers[i]);
    }
    g_free(mc->servers);
    qapi_free_strList(mc->server_names);
}

/* Properties */

static void mc_get_servers(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    visit_type_strList(v, name, &REMOTE_STORE_MEMCACHED(obj)->server_names,
                       errp);
}

static void mc_set_servers(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    RemoteStoreMemcached *mc = REMOTE_STORE_MEMCACHED(obj);
    strList *value;

    if (!visit_type_strList(v, name, &value, errp)) {
        return;
    }
    if (remote_store_can_set(&mc->parent_obj, name, errp)) {
        qapi_free_strList(mc->server_names);
        mc->server_names = g_steal_pointer(&value);
    }
    qapi_free_strList(value);
}

static void mc_get_timeout(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &REMOTE_STORE_MEMCACHED(obj)->timeout_ms, errp);
}

static void mc_set_timeout(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp) &&
        remote_store_can_set(REMOTE_STORE(obj), name, errp)) {
        REMOTE_STORE_MEMCACHED(obj)->timeout_ms = value;
    }
}

static void mc_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = mc_start;
    rsc->attach = mc_attach;
    rsc->save = mc_save;
    rsc->detach = mc_detach;
    rsc->open = mc_queue_open;
    rsc->submit = mc_queue_submit;
    rsc->close = mc_queue_close;

    object_class_property_add(oc, "servers", "strList", mc_get_servers,
                              mc_set_servers, NULL, NULL);
    object_class_property_set_description(oc, "servers",
        "the servers, each as host:port or unix:path (required)");
    object_class_property_add(oc, "request-timeout-ms", "uint32",
                              mc_get_timeout, mc_set_timeout, NULL, NULL);
    object_class_property_set_description(oc, "request-timeout-ms",
        "time after which a request to a server has failed, in milliseconds, "
        "at least 10 (default: 1000)");
}

static const TypeInfo mc_info = {
    .name = TYPE_REMOTE_STORE_MEMCACHED,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreMemcached),
    .instance_init = mc_init,
    .instance_finalize = mc_finalize,
    .class_init = mc_class_init,
};

static void mc_register_types(void)
{
    type_register_static(&mc_info);
}

type_init(mc_register_types);
