/*
 * Devices that reach the guest's RAM past QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_DEVICES_H
#define REMOTE_MEMORY_DEVICES_H

#include "qapi/error.h"

/**
 * DOC: Devices
 *
 * QEMU's own devices read and write the guest's RAM as the guest does, by page
 * faults that its pager answers; so does vhost in the kernel, with QEMU's page
 * tables.  Others have page tables of their own:
 *
 * - another process, by vhost-user or the like, maps memory that is shared with
 *   it, and would find nothing where remote memory is;
 * - hardware, by VFIO or vDPA, needs all of the memory to stay where it is;
 * - vhost-scsi, though in the kernel, holds the pages that a disk is to fill by
 *   a reference, not by a pin.  A move asks for pins only: what the disk writes
 *   after that would be lost.
 *
 * Sharing is not a matter of faults only.  As postcopy does, a pager could
 * answer the faults of another process.  But pages that two processes map are
 * those of a file, and UFFDIO_MOVE takes anonymous ones of one process: without
 * it, nothing takes a page out of both at once, and keeps it.
 *
 * They are refused together with remote memory, whichever comes first, and
 * whether or not the device would be given that memory: it is the guest that
 * decides where its buffers are.
 */

/**
 * remote_devices_exclude: there is remote memory: refuse such devices
 * @id: the memory backend, for the message
 * @errp: set if there is such a device already
 *
 * Main thread.  Returns: whether there is none.
 */
bool remote_devices_exclude(const char *id, Error **errp);

/** remote_devices_allow: the other end of remote_devices_exclude() */
void remote_devices_allow(void);

#endif
