/*
 * Remote stores: for programs other than the system emulator
 *
 * Their schema has the command because qom.json, which they share, needs the
 * types beside it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-remote-store.h"

RemoteStoreInfoList *qmp_query_remote_stores(Error **errp)
{
    return NULL;
}
