/*
 * Remote stores: memcached, in a QEMU that was built without libmemcached
 *
 * The type exists, so that the error can say what to do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/visitor.h"
#include "qemu/module.h"
#include "remote-memory/store.h"

static bool absent_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "store '%s': QEMU was built without libmemcached",
               remote_store_id(store));
    error_append_hint(errp, "Install libmemcached-dev and run configure "
                      "again.\n");
    return false;
}

static void absent_set_servers(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    strList *value;

    if (visit_type_strList(v, name, &value, errp)) {
        qapi_free_strList(value);
    }
}

static void absent_set_timeout(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    uint32_t value;

    visit_type_uint32(v, name, &value, errp);
}

static void absent_class_init(ObjectClass *oc, void *data)
{
    REMOTE_STORE_CLASS(oc)->start = absent_start;

    object_class_property_add(oc, "servers", "strList", NULL,
                              absent_set_servers, NULL, NULL);
    object_class_property_set_description(oc, "servers",
        "not available: QEMU was built without libmemcached");
    object_class_property_add(oc, "request-timeout-ms", "uint32", NULL,
                              absent_set_timeout, NULL, NULL);
    object_class_property_set_description(oc, "request-timeout-ms",
        "not available: QEMU was built without libmemcached");
}

static const TypeInfo absent_info = {
    .name = "remote-store-memcached",
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStore),
    .class_init = absent_class_init,
};

static void absent_register_types(void)
{
    type_register_static(&absent_info);
}

type_init(absent_register_types);
