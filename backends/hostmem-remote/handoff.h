/*
 * Hand-off: how long does it take to wake another CPU?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HANDOFF_H
#define REMOTE_MEMORY_HANDOFF_H

/**
 * handoff_ns: time from a write in one thread to the end of a read in another
 *
 * Between two CPUs, the second of which was idle.  From a few microseconds to
 * some tens of them where the host is itself a virtual machine.  Measured by
 * the first call, in a few milliseconds.
 *
 * Main thread.  Returns: nanoseconds, or 0 if this process has but one CPU or
 * may not choose among them.
 */
int64_t handoff_ns(void);

#endif
