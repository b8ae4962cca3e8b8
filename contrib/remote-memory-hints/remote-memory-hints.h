/*
 * Guest library: say how this program will use its memory
 *
 * For programs in a guest whose VM has a device remote-memory-hints.  Needs
 * nothing but a C library, and Linux.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HINTS_LIBRARY_H
#define REMOTE_MEMORY_HINTS_LIBRARY_H

#include <stddef.h>
#include <sys/uio.h>

/**
 * DOC: Hints of a program
 *
 * Ranges are virtual addresses of the calling process.  Pages that are not in
 * memory as far as the guest's kernel knows are passed over; none is touched.
 *
 * All functions may be called by any thread, and but for rmh_forget() never
 * wait: if there are more hints than the device takes at a time, the rest is
 * dropped.  A device belongs to one process at a time; for more of them, give
 * the VM more devices.  A child of fork() opens one of its own: with that of
 * its parent, all fails with EPERM.
 *
 * Needed are CAP_SYS_ADMIN, since the kernel tells nobody else where pages
 * are (proc(5), /proc/PID/pagemap), and the right to write to the device's
 * resource0 in sysfs, which root has.  Without, rmh_open() fails with EPERM
 * or EACCES, and rmh_error() says which of them it is.
 */

/** struct rmh - a device that was opened */
struct rmh;

/**
 * rmh_open: begin to give hints
 * @device: directory of the device in sysfs, such as
 *     "/sys/bus/pci/devices/0000:00:04.0"; or %NULL for the first that is not
 *     in use
 *
 * Returns: the device, or %NULL with errno set: ENODEV if there is none, EBUSY
 * if another process has it, EPROTO if it is of a version unknown here.
 */
struct rmh *rmh_open(const char *device);

/** rmh_error: the last failure of rmh_open() in words, in this thread */
const char *rmh_error(void);

/** rmh_close: no more hints; @rmh may be %NULL */
void rmh_close(struct rmh *rmh);

/**
 * rmh_willneed: these will be used soon: fetch them, in this order
 * @rmh: the device
 * @ranges: what
 * @nr: how many ranges
 *
 * All pages that a range has a part in.  It is cheap to name many ranges at
 * once: the VM is left once for all.
 *
 * Returns: 0, or -1 with errno set.
 */
int rmh_willneed(struct rmh *rmh, const struct iovec *ranges, int nr);

/**
 * rmh_cold: these will not be used for long: let them go before others
 * @rmh: the device
 * @ranges: what
 * @nr: how many ranges
 *
 * All pages that are within a range as a whole.
 *
 * Returns: 0, or -1 with errno set.
 */
int rmh_cold(struct rmh *rmh, const struct iovec *ranges, int nr);

/**
 * rmh_forget: the content of these is needed no more
 * @rmh: the device
 * @addr: where it begins
 * @length: in bytes
 *
 * All pages that are within the range as a whole, private, and nobody else's.
 * They read as zeros or as before, until they are written to; each page may
 * be different.  Waits until that is done.
 *
 * While the device works on them, pages are held by a pipe, without being
 * touched, so that the kernel cannot give them to somebody else meanwhile.
 *
 * Returns: 0, or -1 with errno set: EOPNOTSUPP if the VM does not allow it.
 */
int rmh_forget(struct rmh *rmh, void *addr, size_t length);

#endif
