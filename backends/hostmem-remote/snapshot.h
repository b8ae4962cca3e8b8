/*
 * What the guest works with, in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_SNAPSHOT_H
#define REMOTE_MEMORY_SNAPSHOT_H

/**
 * DOC: Snapshots
 *
 * A snapshot has all pages.  Those that do not fit in the cache of the QEMU
 * that loads it go to the store as others come, in the order in which they are
 * in memory; in the end the cache has the last ones, whoever used them.  So
 * what was local, and what was dropped last, is a section of the snapshot: see
 * working-set.h for what is in it.
 *
 * What is recorded is how it was when the VM had stopped, and nothing was read
 * for the snapshot yet: to read a page that is remote is a visit, and takes
 * away what is known of its age.
 *
 * The section is loaded after all of RAM.  From then on no page counts as used
 * but those that it names: others that are local are as if they were there for
 * visitors, and are the first to go.  Those that it names become, if they are
 * local, the ones that would go last, and else the ones that were dropped last,
 * in this order.  So the guest that runs has its working set come back instead
 * of others, and remote-memory-warm finds pages to be fetched (recency.h) and
 * what they may take the place of (shard-warm.h).
 *
 * Other migrations do not have it, so that they can go to memory of any kind,
 * and to a QEMU that does not know of it.  A snapshot that is to be loaded by
 * such a QEMU must not have it either: the backend's property
 * record-working-set says so.  The section is known to this QEMU whether there
 * is remote memory or not; what it says of other memory is passed over.
 */

/**
 * snapshot_begin: record what the guest works with
 *
 * The VM is stopped to be saved.  Main thread.
 */
void snapshot_begin(void);

/** snapshot_end: forget that.  Main thread */
void snapshot_end(void);

#endif
