/*
 * What other memory backends can do and memory-backend-remote cannot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hostmem-remote.h"
#include "hw/boards.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "system/system.h"

static bool refuse(HostMemoryBackendRemote *m, const char *property,
                   const char *reason, const char *hint, Error **errp)
{
    ERRP_GUARD();

    error_setg(errp, "memory backend '%s': property '%s' cannot be 'on': %s",
               remote_backend_id(m), property, reason);
    error_append_hint(errp, "%s\n", hint);
    return false;
}

/* What the machine is to be like */
static bool check_machine(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_backend_id(m);

    /* Encrypted for the place where it is, or not QEMU's to move. */
    if (MACHINE(qdev_get_machine())->cgs) {
        error_setg(errp, "memory backend '%s': the memory of a confidential "
                   "guest cannot be remote", id);
        error_append_hint(errp, "Leave out confidential-guest-support, or use "
                          "another memory backend.\n");
        return false;
    }
    if (should_mlock(mlock_state)) {
        error_setg(errp, "memory backend '%s': locked memory cannot be "
                   "remote", id);
        error_append_hint(errp, "Leave out -overcommit mem-lock.\n");
        return false;
    }
    return true;
}

/*
 * Properties that take effect whenever they are set, and that -mem-prealloc
 * sets.  A class cannot have a property of its own in the place of one that it
 * inherits, so it is the parent's that learns of us.
 */

typedef struct Watched {
    const char *name;
    size_t offset;
    const char *reason;
    const char *hint;
    ObjectPropertyAccessor *set;
} Watched;

static Watched watched[] = {
    { "prealloc", offsetof(HostMemoryBackend, prealloc),
      "memory is local only as far as 'cache-size' allows",
      "Leave 'prealloc' off, and do not use -mem-prealloc." },
    { "merge", offsetof(HostMemoryBackend, merge),
      "pages that are merged cannot be moved",
      "Leave 'merge' off." },
};

static bool *watched_value(HostMemoryBackendRemote *m, const Watched *w)
{
    return (void *)MEMORY_BACKEND(m) + w->offset;
}

static const Watched *find_watched(const char *name)
{
    const Watched *w = watched;

    while (strcmp(w->name, name)) {
        w++;
    }
    return w;
}

/* Before there is memory, who is refused has no id yet. */
static void set_watched(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    Object *remote = object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_REMOTE);
    HostMemoryBackendRemote *m = (HostMemoryBackendRemote *)remote;
    const Watched *w = find_watched(name);
    bool value;

    if (!remote) {
        w->set(obj, v, name, opaque, errp);
        return;
    }
    if (!visit_type_bool(v, name, &value, errp)) {
        return;
    }
    if (m->pager && value) {
        refuse(m, name, w->reason, w->hint, errp);
    } else {
        *watched_value(m, w) = value;
    }
}

void remote_backend_watch_inherited(ObjectClass *oc)
{
    for (int i = 0; i < ARRAY_SIZE(watched); i++) {
        ObjectProperty *property =
            object_class_property_find(oc, watched[i].name);

        watched[i].set = property->set;
        property->set = set_watched;
    }
}

bool remote_backend_check_inherited(HostMemoryBackendRemote *m, Error **errp)
{
    HostMemoryBackend *backend = MEMORY_BACKEND(m);

    if (backend->share) {
        return refuse(m, "share", "pages can be moved out of private memory "
                      "only", "Leave 'share' off; vhost-user and other "
                      "processes cannot access remote memory.", errp);
    }
    for (int i = 0; i < ARRAY_SIZE(watched); i++) {
        if (*watched_value(m, &watched[i])) {
            return refuse(m, watched[i].name, watched[i].reason,
                          watched[i].hint, errp);
        }
    }
    if (backend->reserve) {
        return refuse(m, "reserve", "no local memory is reserved for pages "
                      "that are remote", "Leave 'reserve' off.", errp);
    }
    return check_machine(m, errp);
}
