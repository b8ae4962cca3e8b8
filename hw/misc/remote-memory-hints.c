/*
 * Device by which a guest says how it will use its memory
 *
 * A program that knows what it will touch next, or not for long, can say so;
 * hint-protocol.h has the interface.  A page of RAM in the BAR, which a program
 * maps by itself, and one write for many hints: no driver, no interrupt, no
 * DMA.
 *
 * The write only wakes the main loop, so that a vCPU does not wait for what
 * hints may take.  There the ring is read, ranges are looked up in the
 * address space, and what is in remote memory goes on to the pager threads
 * (remote-memory/hints.h).
 *
 * Hints cost no more than time: WILLNEED and COLD change no content.  FORGET
 * does, and a guest kernel may have given the page to somebody else by the
 * time that it is done, unless the program holds it.  So it has to be allowed
 * by the property 'forget'.  A limit bounds how much time they cost.  What a
 * guest says concerns its own memory in any case: nothing else can be named.
 *
 * Hints are forgotten when the VM stops, so there are none to be migrated.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "hint-limit.h"
#include "hint-ring.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "system/runstate.h"

#define TYPE_REMOTE_MEMORY_HINTS "remote-memory-hints"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteMemoryHints, REMOTE_MEMORY_HINTS)

#define HINT_PAGE_SIZE (1ull << HINT_PAGE_SHIFT)

/* 1 GiB in a second: more than a store has on most networks. */
#define DEFAULT_PAGES_PER_SECOND 262144

/* Between two looks at the rest of the main loop: a millisecond or so. */
#define TURN_SLOTS 64
#define TURN_PAGES HINT_MAX_PAGES

/**
 * struct RemoteMemoryHints - the device
 * @pages_per_second: property: its limit
 * @forget: property: is FORGET allowed?
 * @bar: has the two that follow
 * @registers: the first page
 * @memory: the second one, RAM
 * @descriptors: the same
 * @bh: looks at the ring
 * @ring: how far that is
 * @limit: what the guest may still say
 * @accepted: counter, as in #HintRegister; so are the others
 */
struct RemoteMemoryHints {
    PCIDevice parent_obj;

    /* Set at creation, never modified. */
    uint32_t pages_per_second;
    bool forget;

    MemoryRegion bar;
    MemoryRegion registers;
    MemoryRegion memory;
    const struct HintDescriptor *descriptors;
    QEMUBH *bh;

    /* With the BQL. */
    HintRing ring;
    HintLimit limit;
    uint64_t accepted;
    uint64_t limited;
    uint64_t ignored;
    uint64_t invalid;
};

static uint32_t hints_ops(const RemoteMemoryHints *d)
{
    return 1u << HINT_OP_WILLNEED | 1u << HINT_OP_COLD |
           (uint32_t)d->forget << HINT_OP_FORGET;
}

/* Hints */

/* A part of a hint that is in one region.  Returns: how many pages counted. */
static uint64_t serve_section(const MemoryRegionSection *section,
                              RemoteMemoryHint hint)
{
    MemoryRegion *mr = section->mr;
    uint64_t start = section->offset_within_region;
    uint64_t end = start + int128_get64(section->size);

    if (!memory_region_is_ram(mr) || memory_region_is_ram_device(mr) ||
        !mr->ram_block ||
        (section->readonly && hint == REMOTE_MEMORY_HINT_FORGET)) {
        return 0;
    }
    start = ROUND_UP(start, HINT_PAGE_SIZE);
    end = ROUND_DOWN(end, HINT_PAGE_SIZE);
    if (start >= end ||
        !remote_memory_hint(mr->ram_block, start, end - start, hint)) {
        return 0;
    }
    return (end - start) >> HINT_PAGE_SHIFT;
}

static void serve(RemoteMemoryHints *d, const Hint *hint, uint32_t nr)
{
    uint64_t addr = hint->frame << HINT_PAGE_SHIFT, accepted = 0;
    uint64_t end = addr + ((uint64_t)nr << HINT_PAGE_SHIFT);

    while (addr < end) {
        MemoryRegionSection section =
            memory_region_find(get_system_memory(), addr, end - addr);

        if (!section.mr) {
            break;
        }
        accepted += serve_section(&section, hint->hint);
        addr = section.offset_within_address_space +
               int128_get64(section.size);
        memory_region_unref(section.mr);
    }
    d->accepted += accepted;
    d->ignored += nr - accepted;
}

/* Returns: how many pages were named. */
static uint32_t serve_slot(RemoteMemoryHints *d, unsigned slot)
{
    struct HintDescriptor descriptor;
    uint32_t nr;
    Hint hint;

    /* Once: the guest may be writing to it. */
    memcpy(&descriptor, d->descriptors + slot, sizeof(descriptor));
    barrier();
    if (!hint_decode(&descriptor, hints_ops(d), &hint)) {
        d->invalid++;
        return 0;
    }
    nr = hint_limit_take(&d->limit, hint.nr,
                         qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    d->limited += hint.nr - nr;
    if (nr) {
        serve(d, &hint, nr);
    }
    return nr;
}

static void hints_bh(void *opaque)
{
    RemoteMemoryHints *d = opaque;
    uint32_t pages = 0;
    unsigned slot;

    if (!runstate_is_running()) {
        /* It may be on its way elsewhere; and it is in no hurry. */
        hint_ring_clear(&d->ring);
    }
    for (int i = 0; i < TURN_SLOTS && pages < TURN_PAGES; i++) {
        if (!hint_ring_next(&d->ring, &slot)) {
            return;
        }
        pages += serve_slot(d, slot);
    }
    qemu_bh_schedule(d->bh);
}

/* Registers */

static uint64_t hints_register(const RemoteMemoryHints *d, hwaddr reg)
{
    switch (reg) {
    case HINT_REG_VERSION:
        return HINT_VERSION;
    case HINT_REG_OPS:
        return hints_ops(d);
    case HINT_REG_POSTED:
        return d->ring.posted;
    case HINT_REG_DONE:
        return d->ring.done;
    case HINT_REG_ACCEPTED:
        return d->accepted;
    case HINT_REG_LIMITED:
        return d->limited;
    case HINT_REG_IGNORED:
        return d->ignored;
    case HINT_REG_INVALID:
        return d->invalid;
    default:
        return 0;
    }
}

/* In units of 4 bytes; counters have two of them. */
static uint64_t hints_read(void *opaque, hwaddr addr, unsigned size)
{
    if (addr >= HINT_REG_ACCEPTED && addr % 8) {
        return hints_register(opaque, addr - 4) >> 32;
    }
    return (uint32_t)hints_register(opaque, addr);
}

static void hints_write(void *opaque, hwaddr addr, uint64_t value,
                        unsigned size)
{
    RemoteMemoryHints *d = opaque;

    if (addr != HINT_REG_POSTED) {
        return;
    }
    if (!hint_ring_post(&d->ring, value)) {
        d->invalid++;
    }
    qemu_bh_schedule(d->bh);
}

static const MemoryRegionOps hints_ops_registers = {
    .read = hints_read,
    .write = hints_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* Life cycle */

static void hints_realize(PCIDevice *pci, Error **errp)
{
    RemoteMemoryHints *d = REMOTE_MEMORY_HINTS(pci);
    Object *owner = OBJECT(d);

    if (!d->pages_per_second) {
        error_setg(errp, "'pages-per-second' of a remote-memory-hints must be "
                   "above 0");
        return;
    }
    if (!memory_region_init_ram(&d->memory, owner, "remote-memory-hints-ring",
                                HINT_BAR_SIZE - HINT_RING_OFFSET, errp)) {
        return;
    }
    d->descriptors = memory_region_get_ram_ptr(&d->memory);
    memory_region_init_io(&d->registers, owner, &hints_ops_registers, d,
                          "remote-memory-hints-registers", HINT_RING_OFFSET);
    memory_region_init(&d->bar, owner, "remote-memory-hints", HINT_BAR_SIZE);
    memory_region_add_subregion(&d->bar, 0, &d->registers);
    memory_region_add_subregion(&d->bar, HINT_RING_OFFSET, &d->memory);
    pci_register_bar(pci, HINT_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY, &d->bar);
    hint_limit_init(&d->limit, d->pages_per_second,
                    qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    d->bh = qemu_bh_new_guarded(hints_bh, d,
                                &DEVICE(d)->mem_reentrancy_guard);
}

/*
 * What was passed on goes its way without the device.  As long as its regions
 * are in one another, they keep it from being freed.
 */
static void hints_exit(PCIDevice *pci)
{
    RemoteMemoryHints *d = REMOTE_MEMORY_HINTS(pci);

    qemu_bh_delete(d->bh);
    memory_region_del_subregion(&d->bar, &d->registers);
    memory_region_del_subregion(&d->bar, &d->memory);
}

/* But for the limit: to be reset is no way around it. */
static void hints_reset(DeviceState *dev)
{
    RemoteMemoryHints *d = REMOTE_MEMORY_HINTS(dev);

    qemu_bh_cancel(d->bh);
    d->ring = (HintRing) { 0 };
    d->accepted = 0;
    d->limited = 0;
    d->ignored = 0;
    d->invalid = 0;
}

static int hints_post_load(void *opaque, int version_id)
{
    RemoteMemoryHints *d = opaque;

    hint_ring_clear(&d->ring);
    return 0;
}

static const VMStateDescription vmstate_hints = {
    .name = TYPE_REMOTE_MEMORY_HINTS,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = hints_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, RemoteMemoryHints),
        VMSTATE_UINT32(ring.posted, RemoteMemoryHints),
        VMSTATE_UINT64(accepted, RemoteMemoryHints),
        VMSTATE_UINT64(limited, RemoteMemoryHints),
        VMSTATE_UINT64(ignored, RemoteMemoryHints),
        VMSTATE_UINT64(invalid, RemoteMemoryHints),
        VMSTATE_END_OF_LIST()
    },
};

static const Property hints_properties[] = {
    DEFINE_PROP_UINT32("pages-per-second", RemoteMemoryHints,
                       pages_per_second, DEFAULT_PAGES_PER_SECOND),
    DEFINE_PROP_BOOL("forget", RemoteMemoryHints, forget, false),
};

static void hints_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = hints_realize;
    pc->exit = hints_exit;
    pc->vendor_id = HINT_PCI_VENDOR;
    pc->device_id = HINT_PCI_DEVICE;
    pc->revision = HINT_VERSION;
    pc->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Hints of a guest about its use of remote memory";
    dc->vmsd = &vmstate_hints;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_legacy_reset(dc, hints_reset);
    device_class_set_props(dc, hints_properties);
    object_class_property_set_description(klass, "pages-per-second",
        "Limit of what hints may name, in pages of 4 KiB per second");
    object_class_property_set_description(klass, "forget",
        "Let the guest say that the content of pages may be forgotten");
}

static const TypeInfo hints_info = {
    .name = TYPE_REMOTE_MEMORY_HINTS,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(RemoteMemoryHints),
    .class_init = hints_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void hints_register_types(void)
{
    type_register_static(&hints_info);
}

type_init(hints_register_types)
