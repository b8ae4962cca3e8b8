/*
 * Handing pages over: the capability as an option
 *
 * Management software that starts the destination and at once the migration
 * leaves no time to switch on a capability that it does not know.  With
 * "-global migration.remote-memory=on" it is on from the start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/migration.h"
#include "qemu/module.h"

static bool get_capability(Object *obj, Error **errp)
{
    MigrationState *s = MIGRATION_OBJ(obj);

    return s->capabilities[MIGRATION_CAPABILITY_REMOTE_MEMORY];
}

static void set_capability(Object *obj, bool on, Error **errp)
{
    MigrationState *s = MIGRATION_OBJ(obj);

    s->capabilities[MIGRATION_CAPABILITY_REMOTE_MEMORY] = on;
}

/* When all types are there, and before -global is looked at. */
static void add_option(void)
{
    object_class_property_add_bool(object_class_by_name(TYPE_MIGRATION),
                                   "remote-memory", get_capability,
                                   set_capability);
}

migration_init(add_option)
