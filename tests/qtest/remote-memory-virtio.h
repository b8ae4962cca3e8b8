/*
 * QTest: a guest's driver of a virtio device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_VIRTIO_H
#define REMOTE_MEMORY_VIRTIO_H

#include "libqos/libqos-malloc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-pci.h"

/** VIRTIO_SLOT: where the device has to be on its bus, as in "addr=4" */
#define VIRTIO_SLOT 4

/** VIRTIO_QUEUES: how many queues a test can use */
#define VIRTIO_QUEUES 2

/** NO_TIMEOUT: until the test program's own time is up */
#define NO_TIMEOUT INT64_MAX

/**
 * struct VirtioGuest - the device, as its driver has it
 * @qts: the VM, by rm_start()
 * @alloc: where the queues are: below BASE, in the same memory
 * @bus: the bus
 * @pci: the device
 * @dev: the same
 * @vq: its queues from the first one that is used
 * @nr_queues: their number
 */
typedef struct VirtioGuest {
    QTestState *qts;
    QGuestAllocator alloc;
    QPCIBus *bus;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QVirtQueue *vq[VIRTIO_QUEUES];
    unsigned nr_queues;
} VirtioGuest;

/**
 * virtio_guest_init: find the device and make it ready
 * @g: to be filled in
 * @qts: the VM
 * @features: which ones the driver knows
 * @first: the first queue that it uses
 * @nr: how many it uses
 */
void virtio_guest_init(VirtioGuest *g, QTestState *qts, uint64_t features,
                       uint16_t first, unsigned nr);

/** virtio_guest_quit: the VM ends, and all records of its memory agree */
void virtio_guest_quit(VirtioGuest *g);

#endif
