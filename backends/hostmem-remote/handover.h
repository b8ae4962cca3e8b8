/*
 * Handing pages over: the part of QEMU's migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HANDOVER_H
#define REMOTE_MEMORY_HANDOVER_H

#include "pager-handover.h"
#include "pager-map.h"
#include "migration/qemu-file-types.h"

/**
 * handover_init: take part in migrations from now on
 *
 * Once there is remote memory.  Main thread.
 */
void handover_init(void);

/** handover_is_wanted: is the capability on?  Any thread */
bool handover_is_wanted(void);

/** handover_may_send: are all pages ours, to be sent?  With the BQL */
bool handover_may_send(Error **errp);

/**
 * handover_put_map: send what there is to say of a pager's pages
 * @f: where to
 * @pager: the pager, after pager_map_begin()
 * @look: which pages to read
 */
void handover_put_map(QEMUFile *f, RemotePager *pager, PagerMapLook look);

/**
 * handover_get_map: receive it
 * @f: where from
 * @pager: the pager, between pager_leave_store() and pager_enter_store()
 * @got: called for each run of pages of which the same is said
 * @errp: set if it makes no sense
 */
bool handover_get_map(QEMUFile *f, RemotePager *pager,
                      void (*got)(RemotePager *pager,
                                  const HandoverPage *pages, uint64_t nr),
                      Error **errp);

#endif
