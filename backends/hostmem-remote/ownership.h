/*
 * Ownership: who may run a VM whose pages are in a store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_OWNERSHIP_H
#define REMOTE_MEMORY_OWNERSHIP_H

#include "pager.h"

/**
 * DOC: Ownership of a namespace
 *
 * When a migration hands pages over, two processes know the same namespace,
 * and only one of them may write there, or else both lose.  Neither can ask
 * the other, who may be stopped, dead, or behind a network that is cut.  So
 * they ask the store, where behind the pages of each backend are two marks,
 * one for each side.  A mark has the number of the offer, which is random, and
 * says whether its writer has the pages.
 *
 *     OWNS     the normal state: pages come and go
 *     OFFERS   the source, from the moment on when its VM has stopped and
 *              nothing is in flight: it has written both marks
 *     OFFERED  the destination, which has received the map
 *
 * Neither OFFERS nor OFFERED puts or discards anything, so that there is no
 * late write that would have to be fenced: whatever was put before the offer
 * has ended, by the contract of stores.  Who wants its VM to run takes the
 * pages first: it writes its own mark, and then looks at the other one.
 *
 *     source                          destination
 *     writes "I have them" at 0       writes "I have them" at 1
 *     reads 1                         reads 0
 *
 * If both do so at the same time, at least one reads what the other has
 * written (this is the entry of Dekker's algorithm; E. W. Dijkstra,
 * Cooperating sequential processes, 1965), and who does will not run.  It
 * cannot be that both do.  If neither would, the destination takes its mark
 * back, for good, and the source, which waits a moment for that, runs.
 *
 * So a mark changes at most twice, and a write of it that comes late, after it
 * was said to have failed, does no harm to this offer: the finality that stores
 * have for pages is neither needed nor wanted for marks, which have to stay
 * where the other side looks for them.  It could spoil the next offer, so there
 * is none in this namespace.
 *
 * A destination that finds its mark written before it has done so is not the
 * only one: somebody has loaded the same stream twice, from a file perhaps.  It
 * does not run.
 *
 * A mark with the number of another offer means that the pages were taken,
 * and offered again since: whoever reads that is far too late.
 */

typedef enum PagerOwnership {
    PAGER_OWNS,
    PAGER_OFFERS,
    PAGER_OFFERED,
} PagerOwnership;

/**
 * ownership_offer: write the marks of a new offer
 * @pager: its shards are frozen
 * @errp: set on failure
 *
 * With the BQL; waits for the store.  From now on the pager OFFERS.
 */
bool ownership_offer(RemotePager *pager, Error **errp);

/**
 * ownership_offered: there is an offer for this pager
 * @pager: its shards are frozen, its region is the source's
 * @offer: number of the offer
 * @errp: set if the store does not know of it
 *
 * Main thread; waits for the store.  From now on the pager is OFFERED.
 */
bool ownership_offered(RemotePager *pager, const QemuUUID *offer,
                       Error **errp);

/**
 * ownership_take: take what is offered, by us or to us
 * @pager: the pager, which does not own its pages
 * @errp: set if it could not be taken
 *
 * With the BQL; waits for the store.  Afterwards the pager OWNS.
 */
bool ownership_take(RemotePager *pager, Error **errp);

/**
 * ownership_is_taken: has the other side taken what is offered?
 *
 * With the BQL; waits for the store.
 */
bool ownership_is_taken(RemotePager *pager);

#endif
