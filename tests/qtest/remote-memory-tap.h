/*
 * QTest: the host's end of a tap device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_TAP_H
#define REMOTE_MEMORY_TAP_H

/** TAP_HEADER: how much of a frame is Ethernet's */
#define TAP_HEADER 14

/** TAP_FRAME: bytes of a frame, all of them are of this size */
#define TAP_FRAME 4000

/**
 * struct Tap - a tap device in a network namespace of the test's own
 * @fd: for QEMU: "-netdev tap,fd=%d"
 * @sock: the host's end: frames, and none but the test's
 */
typedef struct Tap {
    int fd;
    int sock;
} Tap;

/**
 * tap_open: make one
 * @tap: to be filled in
 *
 * The calling thread, and who it starts, is in another network namespace from
 * then on, where nothing else is.  Marks the running test as skipped, with the
 * reason, if this machine or user cannot have one, and returns false.
 */
bool tap_open(Tap *tap);

/** tap_close: the device goes when QEMU has closed it, too */
void tap_close(Tap *tap);

/** tap_make_header: Ethernet's part of a frame, from either side to all */
void tap_make_header(uint8_t *frame);

/** tap_send: a frame from the host to the guest */
void tap_send(const Tap *tap, const uint8_t *frame);

/** tap_receive: the next one that the guest has sent; waits for it */
void tap_receive(const Tap *tap, uint8_t *frame);

/** tap_idle: has the guest sent nothing more? */
bool tap_idle(const Tap *tap);

#endif
