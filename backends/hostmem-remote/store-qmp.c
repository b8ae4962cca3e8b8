/*
 * Remote stores: QMP
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-remote-store.h"
#include "remote-memory/store.h"

static int add_store(Object *obj, void *opaque)
{
    RemoteStoreInfoList ***tail = opaque;

    if (object_dynamic_cast(obj, TYPE_REMOTE_STORE)) {
        QAPI_LIST_APPEND(*tail, remote_store_query(REMOTE_STORE(obj)));
    }
    return 0;
}

RemoteStoreInfoList *qmp_query_remote_stores(Error **errp)
{
    RemoteStoreInfoList *list = NULL, **tail = &list;

    /* Recursive: the store that a memory backend made is its child. */
    object_child_foreach_recursive(object_get_objects_root(), add_store,
                                   &tail);
    return list;
}
