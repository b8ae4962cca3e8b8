/*
 * Incoming postcopy: between the pagers and QEMU's postcopy code
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_POSTCOPY_H
#define REMOTE_MEMORY_POSTCOPY_H

/**
 * postcopy_init: take part in incoming migrations from now on
 *
 * Once there is remote memory.  Main thread.
 */
void postcopy_init(void);

#endif
