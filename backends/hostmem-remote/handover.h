/*
 * Handing pages over: the part of QEMU's migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HANDOVER_H
#define REMOTE_MEMORY_HANDOVER_H

#include "pager-handover.h"
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
 * handover_put_map: send the map of a pager
 * @f: where to
 * @pager: the pager, after pager_offer()
 */
void handover_put_map(QEMUFile *f, RemotePager *pager);

/**
 * handover_get_map: receive it
 * @f: where from
 * @pager: the pager, after pager_enter_store()
 * @got: called for each part with what could be had without the source
 * @errp: set if it makes no sense
 */
bool handover_get_map(QEMUFile *f, RemotePager *pager,
                      void (*got)(RemotePager *pager, uint64_t first,
                                  uint64_t nr, const HandoverPage *pages),
                      Error **errp);

/**
 * handover_is_bare: is there nothing that a discard could drop?
 * @pager: a pager
 *
 * While postcopy discards, at the destination: each discard would be a call to
 * a thread, and the guest stands still.  Main thread.
 */
bool handover_is_bare(const RemotePager *pager);

#endif
