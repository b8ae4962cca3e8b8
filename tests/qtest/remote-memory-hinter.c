/*
 * QTest: a guest's program that uses remote-memory-hints
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "remote-memory-hinter.h"
#include "remote-memory-lib.h"

void hinter_init(Hinter *h, QTestState *qts)
{
    *h = (Hinter) { .qts = qts, .bus = qpci_new_pc(qts, NULL) };
    h->dev = qpci_device_find(h->bus, QPCI_DEVFN(HINTER_SLOT, 0));
    g_assert_nonnull(h->dev);
    qpci_device_enable(h->dev);
    h->bar = qpci_iomap(h->dev, HINT_BAR, NULL);
}

void hinter_start(Hinter *h, const char *objects, const char *device)
{
    g_autofree char *args = g_strdup_printf("%s %s", objects, device);

    hinter_init(h, rm_start(args));
}

void hinter_free(Hinter *h)
{
    g_free(h->dev);
    qpci_free_pc(h->bus);
}

void hinter_quit(Hinter *h)
{
    hinter_free(h);
    rm_check_sane(h->qts);
    qtest_quit(h->qts);
}

uint32_t hinter_register(Hinter *h, enum HintRegister reg)
{
    return qpci_io_readl(h->dev, h->bar, reg);
}

uint64_t hinter_counter(Hinter *h, enum HintRegister reg)
{
    return qpci_io_readq(h->dev, h->bar, reg);
}

void hinter_put(Hinter *h, uint32_t op, uint64_t frame, uint32_t nr)
{
    struct HintDescriptor descriptor = {
        .frame = cpu_to_le64(frame),
        .nr = cpu_to_le32(nr),
        .op = cpu_to_le32(op),
    };

    qpci_memwrite(h->dev, h->bar, HINT_RING_OFFSET +
                  h->posted++ % HINT_SLOTS * sizeof(descriptor),
                  &descriptor, sizeof(descriptor));
}

void hinter_post(Hinter *h)
{
    qpci_io_writel(h->dev, h->bar, HINT_REG_POSTED, h->posted);
}

void hinter_wait(Hinter *h)
{
    while (hinter_register(h, HINT_REG_DONE) != h->posted) {
        g_usleep(100);
    }
}

void hinter_say(Hinter *h, uint32_t op, uint64_t frame, uint32_t nr)
{
    hinter_put(h, op, frame, nr);
    hinter_post(h);
    hinter_wait(h);
}
