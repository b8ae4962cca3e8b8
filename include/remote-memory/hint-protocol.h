/*
 * What a guest and the device remote-memory-hints say to each other
 *
 * For both sides: no more of QEMU or of a C library than integers is used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HINT_PROTOCOL_H
#define REMOTE_MEMORY_HINT_PROTOCOL_H

#include <stdint.h>

/**
 * DOC: The interface of remote-memory-hints
 *
 * The device has one BAR in memory space.  Its first page has registers, its
 * second one is RAM with a ring of descriptors.  All is little-endian.
 *
 * The guest writes descriptors into slots POSTED, POSTED + 1, ... modulo
 * HINT_SLOTS, and then the new value of POSTED, which counts descriptors
 * modulo 2^32.  The device follows with DONE.  A slot may be written to again
 * once DONE has passed it.  If POSTED is more than HINT_SLOTS ahead of DONE,
 * the guest has lost count: all that is in the ring is passed over.
 *
 * Hints are hints: the device may ignore any of them, and counts these.
 * Counters are of pages, but for INVALID, which is of descriptors.
 */

/** HINT_PCI_VENDOR: with HINT_PCI_DEVICE, of those for experiments */
#define HINT_PCI_VENDOR 0x1af4
#define HINT_PCI_DEVICE 0x10f5

/** HINT_VERSION: of this interface; a guest uses the device if it is this */
#define HINT_VERSION 1

#define HINT_BAR 0
#define HINT_BAR_SIZE 8192
#define HINT_RING_OFFSET 4096

/** HINT_SLOTS: descriptors in the ring, which is one page */
#define HINT_SLOTS 256

/** HINT_PAGE_SHIFT: pages are of 4 KiB */
#define HINT_PAGE_SHIFT 12

/** HINT_MAX_PAGES: of one descriptor; so that no other waits for long */
#define HINT_MAX_PAGES 4096

/**
 * enum HintRegister - offset of a register
 * @HINT_REG_VERSION: HINT_VERSION
 * @HINT_REG_OPS: bit 1 << op is set if the device knows that #HintOp
 * @HINT_REG_POSTED: how many were posted; the only one to be written
 * @HINT_REG_DONE: how many were looked at
 * @HINT_REG_ACCEPTED: hints that were passed on; 64 bits, as those that follow
 * @HINT_REG_LIMITED: more than the limit allows at this time
 * @HINT_REG_IGNORED: not in remote memory, or not to be forgotten now
 * @HINT_REG_INVALID: no sense in it
 */
enum HintRegister {
    HINT_REG_VERSION = 0x00,
    HINT_REG_OPS = 0x04,
    HINT_REG_POSTED = 0x08,
    HINT_REG_DONE = 0x0c,
    HINT_REG_ACCEPTED = 0x20,
    HINT_REG_LIMITED = 0x28,
    HINT_REG_IGNORED = 0x30,
    HINT_REG_INVALID = 0x38,
    HINT_REG_END = 0x40,
};

/**
 * enum HintOp - what is said of pages
 * @HINT_OP_NONE: never used, so that a ring of zeros says nothing
 * @HINT_OP_WILLNEED: they will be used soon
 * @HINT_OP_COLD: they will not
 * @HINT_OP_FORGET: they may read as zeros from now on
 */
enum HintOp {
    HINT_OP_NONE = 0,
    HINT_OP_WILLNEED = 1,
    HINT_OP_COLD = 2,
    HINT_OP_FORGET = 3,
};

/**
 * struct HintDescriptor - a slot of the ring
 * @frame: number of the first page, guest-physical
 * @nr: how many, from 1 to HINT_MAX_PAGES
 * @op: a #HintOp
 */
struct HintDescriptor {
    uint64_t frame;
    uint32_t nr;
    uint32_t op;
};

#endif
