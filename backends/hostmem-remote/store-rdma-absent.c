/*
 * Remote stores: RDMA, in a QEMU that was built without rdma-core
 *
 * The type exists, so that the error can say what to do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/module.h"
#include "remote-memory/store.h"

#define NOT_AVAILABLE "not available: QEMU was built without rdma-core"

static bool absent_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "store '%s': QEMU was built without rdma-core",
               remote_store_id(store));
    error_append_hint(errp, "Install libibverbs-dev and librdmacm-dev, and run "
                      "configure again.\n");
    return false;
}

static void absent_set_str(Object *obj, const char *value, Error **errp)
{
}

static void absent_set_time(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    uint32_t value;

    visit_type_uint32(v, name, &value, errp);
}

static void absent_class_init(ObjectClass *oc, void *data)
{
    static const char *const strs[] = { "server", "device" };
    static const char *const times[] = { "request-timeout-ms", "reconnect-ms" };

    REMOTE_STORE_CLASS(oc)->start = absent_start;
    for (int i = 0; i < ARRAY_SIZE(strs); i++) {
        object_class_property_add_str(oc, strs[i], NULL, absent_set_str);
        object_class_property_set_description(oc, strs[i], NOT_AVAILABLE);
    }
    for (int i = 0; i < ARRAY_SIZE(times); i++) {
        object_class_property_add(oc, times[i], "uint32", NULL,
                                  absent_set_time, NULL, NULL);
        object_class_property_set_description(oc, times[i], NOT_AVAILABLE);
    }
}

static const TypeInfo absent_info = {
    .name = "remote-store-rdma",
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStore),
    .class_init = absent_class_init,
};

static void absent_register_types(void)
{
    type_register_static(&absent_info);
}

type_init(absent_register_types);
