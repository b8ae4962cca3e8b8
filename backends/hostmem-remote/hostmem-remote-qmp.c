/*
 * memory-backend-remote: QMP commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "backend-job.h"
#include "hostmem-remote.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-memory.h"
#include "qapi/util.h"

static int query_one(Object *obj, void *opaque)
{
    RemoteMemoryInfoList ***tail = opaque;
    HostMemoryBackendRemote *m = (HostMemoryBackendRemote *)
        object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_REMOTE);

    if (m && m->pager) {
        RemoteMemoryInfo *info = pager_query(m->pager, NULL);

        info->jobs = backend_job_ids(m);
        remote_backend_query_auto_size(m, info);
        QAPI_LIST_APPEND(*tail, info);
    }
    return 0;
}

RemoteMemoryInfoList *qmp_query_remote_memory(Error **errp)
{
    RemoteMemoryInfoList *list = NULL, **tail = &list;

    object_child_foreach(object_get_objects_root(), query_one, &tail);
    return list;
}

HostMemoryBackendRemote *remote_backend_find(const char *id, Error **errp)
{
    ERRP_GUARD();
    Object *obj = object_resolve_path_component(object_get_objects_root(),
                                                id);
    HostMemoryBackendRemote *m = (HostMemoryBackendRemote *)
        (obj ? object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_REMOTE) : NULL);

    if (!m || !m->pager) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                  "there is no memory-backend-remote '%s'", id);
        error_append_hint(errp, "\"info remote-memory\" shows which there "
                          "are.\n");
        return NULL;
    }
    return m;
}

void qmp_remote_memory_set_cache_size(const char *id, uint64_t cache_size,
                                      Error **errp)
{
    HostMemoryBackendRemote *m = remote_backend_find(id, errp);

    if (m) {
        remote_backend_set_cache_size(m, cache_size, errp);
    }
}
