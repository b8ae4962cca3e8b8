/*
 * All pagers of this process, and what the rest of QEMU asks of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGERS_H
#define REMOTE_MEMORY_PAGERS_H

#include "pager.h"

/** pagers_add: make a pager known, in the order of names.  Main thread */
void pagers_add(RemotePager *pager);

/** pagers_remove: the other end of pagers_add().  Main thread */
void pagers_remove(RemotePager *pager);

/**
 * pagers_find: whose is this memory?
 * @rb: the block
 *
 * Any thread but a pager's, as long as @rb is in use.  Returns: the pager, or
 * %NULL if it is not remote.
 */
RemotePager *pagers_find(const RAMBlock *rb);

/** pagers_block: the other way round; %NULL if there is no such block (yet) */
RAMBlock *pagers_block(const RemotePager *pager);

/**
 * pagers_foreach_locked: do something with every pager, at any time
 * @fn: what to do; it may wait for a pager's thread, but for no store
 * @opaque: handed to @fn
 *
 * Any thread but a pager's.
 */
void pagers_foreach_locked(void (*fn)(RemotePager *pager, void *opaque),
                           void *opaque);

/**
 * pagers_have_parked: does a thread wait for a page of a store that fails?
 * @tid: the thread
 *
 * Any thread but a pager's.
 */
bool pagers_have_parked(uint32_t tid);

/**
 * pagers_foreach: do something with every pager
 * @fn: what to do; it may wait
 * @opaque: handed to @fn
 *
 * Any thread but a pager's, while none is added or removed.
 */
void pagers_foreach(void (*fn)(RemotePager *pager, void *opaque),
                    void *opaque);

/* vcpus.c */

/** vcpus_init: look out for the VM's stops and starts.  Main thread */
void vcpus_init(void);

#endif
