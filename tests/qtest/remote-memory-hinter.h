/*
 * QTest: a guest's program that uses remote-memory-hints
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HINTER_H
#define REMOTE_MEMORY_HINTER_H

#include "libqos/pci-pc.h"
#include "remote-memory/hint-protocol.h"

/** HINTER_SLOT: where the device has to be on its bus */
#define HINTER_SLOT 4

/**
 * struct Hinter - the device, as the program has it
 * @qts: the VM
 * @bus: the bus
 * @dev: the device
 * @bar: mapped
 * @posted: descriptors that were written, whether the device knows or not
 */
typedef struct Hinter {
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar bar;
    uint32_t posted;
} Hinter;

/** hinter_init: find the device and map it */
void hinter_init(Hinter *h, QTestState *qts);

/** hinter_start: the same in a VM by rm_start() with @objects and @device */
void hinter_start(Hinter *h, const char *objects, const char *device);

/** hinter_free: forget the device; the VM goes on */
void hinter_free(Hinter *h);

/** hinter_quit: the VM ends, and all records of its memory agree */
void hinter_quit(Hinter *h);

/** hinter_register: what a register of 32 bits says */
uint32_t hinter_register(Hinter *h, enum HintRegister reg);

/** hinter_counter: what one of 64 bits says */
uint64_t hinter_counter(Hinter *h, enum HintRegister reg);

/** hinter_put: write the next descriptor, sense or not */
void hinter_put(Hinter *h, uint32_t op, uint64_t frame, uint32_t nr);

/** hinter_post: tell the device of what was written */
void hinter_post(Hinter *h);

/** hinter_wait: until it has passed that on */
void hinter_wait(Hinter *h);

/** hinter_say: all three for one hint */
void hinter_say(Hinter *h, uint32_t op, uint64_t frame, uint32_t nr);

#endif
