/*
 * Devices that reach the guest's RAM past QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "devices.h"
#include "hw/boards.h"
#include "hw/qdev-core.h"
#include "net/net.h"
#include "qemu/error-report.h"
#include "qobject/qdict.h"
#include "qom/object.h"
#include "system/system.h"

static const char shares[] = "another process would have to share the guest's "
                             "memory, which is remote";
static const char moves[] = "the kernel would write to pages of the guest's "
                            "memory that have been moved away";
static const char pins[] = "all of the guest's memory, which is remote, would "
                           "have to stay local";

/* Number of memory backends that are remote. */
static unsigned nr_remote;

/* What is the trouble?  NULL if there is none. */
static const char *driver_trouble(const char *driver)
{
    static const struct {
        const char *prefix;
        const char *trouble;
    } bad[] = {
        { "vhost-user-", shares },
        { "vfio-user-", shares },
        { "x-pci-proxy-dev", shares },
        { "vhost-scsi", moves },
        { "vfio-", pins },
        { "vhost-vdpa-", pins },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        if (g_str_has_prefix(driver, bad[i].prefix)) {
            return bad[i].trouble;
        }
    }
    return NULL;
}

static const char *net_trouble(const NetClientState *nc)
{
    if (!nc) {
        return NULL;
    }
    return nc->info->type == NET_CLIENT_DRIVER_VHOST_USER ? shares :
           nc->info->type == NET_CLIENT_DRIVER_VHOST_VDPA ? pins : NULL;
}

/* A device that is about to be made */

static void refuse(const char *driver, const char *property, const char *value,
                   const char *trouble, Error **errp)
{
    ERRP_GUARD();

    if (property) {
        error_setg(errp, "device '%s': property '%s' cannot be '%s': %s",
                   driver, property, value, trouble);
    } else {
        error_setg(errp, "device '%s': %s", driver, trouble);
    }
    error_append_hint(errp, "Use a device that QEMU emulates itself, or keep "
                      "all of the guest's memory on this host.\n");
}

/* It has been asked whether the device should be hidden: no, or refused. */
static bool hide_device(DeviceListener *listener, const QDict *opts,
                        bool from_json, Error **errp)
{
    const char *driver = qdict_get_try_str(opts, "driver");
    const char *netdev = qdict_get_try_str(opts, "netdev");
    const char *trouble = driver ? driver_trouble(driver) : NULL;
    const char *behind = netdev ? net_trouble(qemu_find_netdev(netdev)) : NULL;

    if (trouble) {
        refuse(driver, NULL, NULL, trouble, errp);
    } else if (behind) {
        refuse(driver, "netdev", netdev, behind, errp);
    }
    return false;
}

static DeviceListener listener = { .hide_device = hide_device };

/* A device that is there */

typedef struct Found {
    const char *driver;
    const char *trouble;
} Found;

static int look_at_object(Object *obj, void *opaque)
{
    Found *found = opaque;
    const char *type = object_get_typename(obj);

    if (object_dynamic_cast(obj, TYPE_DEVICE)) {
        found->driver = type;
        found->trouble = driver_trouble(type);
    }
    return found->trouble != NULL;
}

static void look_at_nic(NICState *nic, void *opaque)
{
    NetClientState *nc = qemu_get_queue(nic);
    Found *found = opaque;

    if (!found->trouble) {
        found->driver = nc->model;
        found->trouble = net_trouble(nc->peer);
    }
}

static bool check_present(const char *id, Error **errp)
{
    ERRP_GUARD();
    Found found = { 0 };

    object_child_foreach_recursive(object_get_root(), look_at_object, &found);
    if (!found.trouble) {
        qemu_foreach_nic(look_at_nic, &found);
    }
    if (!found.trouble) {
        return true;
    }
    error_setg(errp, "memory backend '%s': there is a device '%s': %s", id,
               found.driver, found.trouble);
    error_append_hint(errp, "Unplug the device, or use another memory "
                      "backend.\n");
    return false;
}

/* Devices that the machine brings with it have not been asked for. */
static void machine_done(Notifier *notifier, void *data)
{
    Error *err = NULL;

    if (nr_remote && !check_present("remote", &err)) {
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
}

bool remote_devices_exclude(const char *id, Error **errp)
{
    static Notifier notifier = { .notify = machine_done };
    static bool watched;

    if (phase_check(PHASE_MACHINE_READY) && !check_present(id, errp)) {
        return false;
    }
    if (!watched && !phase_check(PHASE_MACHINE_READY)) {
        watched = true;
        qemu_add_machine_init_done_notifier(&notifier);
    }
    if (!nr_remote++) {
        device_listener_register(&listener);
    }
    return true;
}

void remote_devices_allow(void)
{
    if (!--nr_remote) {
        device_listener_unregister(&listener);
    }
}
