/*
 * All pagers of this process, and what the rest of QEMU asks of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGERS_H
#define REMOTE_MEMORY_PAGERS_H

#include "pager.h"

/** pagers_add: make a pager known.  Main thread */
void pagers_add(RemotePager *pager);

/** pagers_remove: the other end of pagers_add().  Main thread */
void pagers_remove(RemotePager *pager);

#endif
