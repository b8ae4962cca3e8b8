/*
 * QTest: a guest's driver of a virtio device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "remote-memory-lib.h"
#include "remote-memory-virtio.h"

/* What the queues are made of. */
#define QUEUE_MEMORY (2 * MiB)

void virtio_guest_init(VirtioGuest *g, QTestState *qts, uint64_t features,
                       uint16_t first, unsigned nr)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(VIRTIO_SLOT, 0) };

    g_assert_cmpuint(nr, <=, VIRTIO_QUEUES);
    *g = (VirtioGuest) { .qts = qts, .nr_queues = nr };
    alloc_init(&g->alloc, 0, QUEUE_MEMORY, BASE, PAGE);
    g->bus = qpci_new_pc(qts, &g->alloc);
    g->pci = virtio_pci_new(g->bus, &addr);
    g_assert_nonnull(g->pci);
    g->dev = &g->pci->vdev;
    qvirtio_pci_device_enable(g->pci);
    qvirtio_start_device(g->dev);
    qvirtio_set_features(g->dev, qvirtio_get_features(g->dev) & features);
    for (unsigned i = 0; i < nr; i++) {
        g->vq[i] = qvirtqueue_setup(g->dev, &g->alloc, first + i);
    }
    qvirtio_set_driver_ok(g->dev);
}

void virtio_guest_quit(VirtioGuest *g)
{
    rm_check_sane(g->qts);
    for (unsigned i = 0; i < g->nr_queues; i++) {
        qvirtqueue_cleanup(g->dev->bus, g->vq[i], &g->alloc);
    }
    qvirtio_pci_device_disable(g->pci);
    qos_object_destroy(&g->pci->obj);
    qpci_free_pc(g->bus);
    alloc_destroy(&g->alloc);
    qtest_quit(g->qts);
}
