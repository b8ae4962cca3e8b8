/*
 * RDMA devices of this host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_DEVICE_H
#define REMOTE_MEMORY_RDMA_DEVICE_H

#include <sys/socket.h>

/**
 * rdma_device_check: is there a device that can be used?
 * @id: the store's id, for messages
 * @device: name of the only one that is wanted, or %NULL
 * @errp: set if not; says what there is, and how to get one
 */
bool rdma_device_check(const char *id, const char *device, Error **errp);

/**
 * rdma_device_source: an address of this host that leads to a device
 * @device: its name
 * @family: of which family the address has to be
 * @source: filled in
 *
 * Returns: whether the device has one.
 */
bool rdma_device_source(const char *device, sa_family_t family,
                        struct sockaddr_storage *source);

#endif
