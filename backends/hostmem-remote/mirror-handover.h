/*
 * Mirror: what it does when its pages are handed over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MIRROR_HANDOVER_H
#define HOSTMEM_REMOTE_MIRROR_HANDOVER_H

#include "mirror.h"
#include "store-filter.h"

/**
 * DOC: Handing a mirror over
 *
 * Which copies have a page, and its hash, go along.  A copy that failed, or is
 * in doubt, counts for nothing: the destination brings it all pages anew.
 * While the pages are on offer, nothing is written to any copy: the rebuilding
 * stops, and goes on where the VM does.
 *
 * Marks are in the copies that were whole when the state was saved, and had
 * acknowledged both marks of the offer by then: the *voters*.  From then on a
 * put of a mark is done when all of them have acknowledged it, and a get takes
 * the answer of any one.  So when both sides have written theirs, at least one
 * will read the other's, whichever copies they see.  If it were enough to write
 * to those that answer, a network that is cut in two would leave each side a
 * copy of its own, and both would run.  The price is that nobody runs while a
 * voter does not answer, as is the case with a store that is not mirrored.
 *
 * A copy where a put of a mark failed never votes again in this namespace, nor
 * after it was inherited: it may come to be written late.  That would spoil a
 * later offer.
 */

/** mirror_mark: do a request for a mark.  The queue's thread */
void mirror_mark(MirrorQueue *q, RemoteStoreRequest *outer);

/** mirror_load: what mirror_save() wrote.  Returns: whether it makes sense */
bool mirror_load(MirrorRegion *r, FilterState *state);

/* The methods of &struct RemoteStoreClass of these names. */

bool mirror_save(RemoteStoreRegion *region, GByteArray *state, Error **errp);
void mirror_queue_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                        void *opaque);

#endif
