/*
 * memory-backend-remote: which threads serve its faults, and where they run
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hostmem-remote.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/visitor.h"
#include "qemu/thread-context.h"

bool remote_backend_find_iothreads(HostMemoryBackendRemote *m,
                                   IOThread *threads[], Error **errp)
{
    ERRP_GUARD();
    unsigned n = 0;
    strList *item;

    for (item = m->iothreads; item; item = item->next) {
        threads[n] = iothread_by_id(item->value);
        if (!threads[n]) {
            error_setg(errp, "memory backend '%s': property 'iothreads': "
                       "there is no iothread '%s'", remote_backend_id(m),
                       item->value);
            error_append_hint(errp, "Create it first: -object "
                              "iothread,id=%s\n", item->value);
            return false;
        }
        for (unsigned i = 0; i < n; i++) {
            if (threads[i] == threads[n]) {
                error_setg(errp, "memory backend '%s': property "
                           "'iothreads': '%s' is there twice",
                           remote_backend_id(m), item->value);
                return false;
            }
        }
        n++;
    }
    return true;
}

bool remote_backend_find_thread_context(HostMemoryBackendRemote *m,
                                        ThreadContext **context,
                                        Error **errp)
{
    ERRP_GUARD();
    Object *obj;

    *context = NULL;
    if (!m->thread_context) {
        return true;
    }
    if (m->nr_iothreads) {
        error_setg(errp, "memory backend '%s': property 'thread-context' is "
                   "for threads of the backend's own, but 'iothreads' are "
                   "given", remote_backend_id(m));
        error_append_hint(errp, "Place the iothreads themselves.\n");
        return false;
    }
    obj = object_resolve_path_component(object_get_objects_root(),
                                        m->thread_context);
    *context = (ThreadContext *)object_dynamic_cast(obj, TYPE_THREAD_CONTEXT);
    if (!*context) {
        error_setg(errp, "memory backend '%s': property 'thread-context': "
                   "there is no thread-context '%s'", remote_backend_id(m),
                   m->thread_context);
        error_append_hint(errp, "Create it first: -object thread-context,"
                          "id=%s,cpu-affinity=...\n", m->thread_context);
        return false;
    }
    return true;
}

static void get_iothreads(Object *obj, Visitor *v, const char *name,
                          void *opaque, Error **errp)
{
    visit_type_strList(v, name, &MEMORY_BACKEND_REMOTE(obj)->iothreads, errp);
}

static void set_iothreads(Object *obj, Visitor *v, const char *name,
                          void *opaque, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    strList *list = NULL, *item;
    unsigned nr = 0;

    if (remote_backend_refuse_late(m, name, errp) ||
        !visit_type_strList(v, name, &list, errp)) {
        return;
    }
    for (item = list; item; item = item->next) {
        nr++;
    }
    if (nr > PAGER_MAX_SHARDS) {
        error_setg(errp, "memory backend '%s': property 'iothreads' cannot "
                   "have more than %d items", remote_backend_id(m),
                   PAGER_MAX_SHARDS);
        qapi_free_strList(list);
        return;
    }
    qapi_free_strList(m->iothreads);
    m->iothreads = list;
    m->nr_iothreads = nr;
}

static char *get_thread_context(Object *obj, Error **errp)
{
    return g_strdup(MEMORY_BACKEND_REMOTE(obj)->thread_context);
}

static void set_thread_context(Object *obj, const char *value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    if (!remote_backend_refuse_late(m, "thread-context", errp)) {
        g_free(m->thread_context);
        m->thread_context = g_strdup(value);
    }
}

void remote_backend_free_threads(HostMemoryBackendRemote *m)
{
    g_free(m->thread_context);
    qapi_free_strList(m->iothreads);
}

void remote_backend_add_thread_properties(ObjectClass *oc)
{
    object_class_property_add(oc, "iothreads", "strList", get_iothreads,
                              set_iothreads, NULL, NULL);
    object_class_property_set_description(oc, "iothreads",
        "IDs of iothread objects that serve faults, at most 64, which no "
        "device uses (default: made by the object, one for two host CPUs, at "
        "most 4)");
    object_class_property_add_str(oc, "thread-context", get_thread_context,
                                  set_thread_context);
    object_class_property_set_description(oc, "thread-context",
        "ID of a thread-context object on whose CPUs threads of the "
        "backend's own run (default: where those run that they serve)");
}
