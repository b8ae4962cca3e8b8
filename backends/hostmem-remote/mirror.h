/*
 * Mirror: the same pages in several stores
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MIRROR_H
#define HOSTMEM_REMOTE_MIRROR_H

#include "qemu/bitops.h"
#include "remote-memory/store.h"

#define TYPE_REMOTE_STORE_MIRROR "remote-store-mirror"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreMirror, REMOTE_STORE_MIRROR)

/**
 * DOC: Mirrors
 *
 * A put goes to all copies that are well.  It is done when all of them have
 * answered, and one of them well; or, if the user gave a quorum, as soon as so
 * many have answered well.  What is still on its way then is finished from a
 * buffer of the mirror's own, and until it is, requests for that page wait.
 *
 * Which copies have a page as it was last put is kept in bitmaps here, and so
 * is a hash of it.  A copy that answers badly, or with something else, does not
 * count for this page any more, and another one is asked.
 *
 * A copy that fails is left alone until it answers to the rebuilding, which
 * brings it the pages that it lacks.  Whoever fails may have been restarted,
 * and whoever has lost one page may have lost others, of which nobody knows: so
 * a copy that failed or did not have what it should is in doubt, and rebuilding
 * reads all that it has, too.
 *
 * Each queue rebuilds the pages that were put by way of it: a page may be used
 * by one queue only, in the stores behind as here.  So whose turn it is with a
 * page is between functions of one thread.
 *
 * A mirror of two is also how the pages of a running VM move to another store:
 * see "Moving" in mirror-move.h.
 *
 * Threads: what is in &struct MirrorQueue belongs to the thread of its context.
 * Bitmaps of a region are written by atomic operations, because pages of two
 * queues can share a word.  How copies do is common to all, and changes are
 * under a lock; a request reads it without.
 */

/** MIRROR_MAX: most copies */
#define MIRROR_MAX 8

typedef struct MirrorQueue MirrorQueue;
typedef struct MirrorRebuild MirrorRebuild;
typedef struct MirrorRequest MirrorRequest;

/**
 * struct MirrorCopy - how one of the stores does
 * @failing: its last request went badly; written under the lock, read by any
 * @doubted: not all queues have looked at what it has since it was last in
 *     doubt; likewise
 * @doubts: how often it was in doubt; under the lock
 */
typedef struct MirrorCopy {
    bool failing;
    bool doubted;
    uint64_t doubts;
} MirrorCopy;

/**
 * struct RemoteStoreMirror - the store
 * @names: property "stores"
 * @quorum: property "write-quorum", 0 for all that are well
 * @nr: number of copies
 * @stores: where they are
 * @copies: how they do
 * @nr_well: how many of them are not failing; written under the lock
 * @lock: protects changes of how copies do, and the list
 * @queues: all queues
 * @internal: made by the pager, not by the user: nobody is told how it does
 * @given: (internal) the region in each copy
 */
struct RemoteStoreMirror {
    RemoteStore parent_obj;

    strList *names;
    uint32_t quorum;
    unsigned nr;
    RemoteStore *stores[MIRROR_MAX];
    MirrorCopy copies[MIRROR_MAX];
    unsigned nr_well;
    QemuMutex lock;
    QLIST_HEAD(, MirrorQueue) queues;
    bool internal;
    RemoteStoreRegion *given[MIRROR_MAX];
};

/**
 * struct MirrorRegion - a region
 * @mirror: the store
 * @nr_pages: how many, without marks
 * @parts: the region in each copy
 * @current: bitmaps: which pages a copy has as they were last put
 * @held: bitmaps: of which pages a copy has anything
 * @hash: of what was last put
 * @inherited: another process has put pages, too
 * @lacking: (inherited) bits of the copies that were not as they should be
 * @frozen: it may be another process's: what is not asked for is not written.
 *     Written with the BQL, or by the thread of a queue when it ends; read by
 *     any thread
 * @acked: of each mark, bits of the copies that have acknowledged it; like all
 *     about marks, for one thread at a time
 * @voters: (frozen) bits of the copies that tell whose it is
 * @spoiled: bits of those that never will, since they may have it wrong
 */
typedef struct MirrorRegion {
    RemoteStoreMirror *mirror;
    uint64_t nr_pages;
    RemoteStoreRegion *parts[MIRROR_MAX];
    unsigned long *current[MIRROR_MAX];
    unsigned long *held[MIRROR_MAX];
    uint64_t *hash;
    bool inherited;
    unsigned lacking;
    bool frozen;
    unsigned acked[REMOTE_STORE_MARKS];
    unsigned voters;
    unsigned spoiled;
} MirrorRegion;

typedef QSIMPLEQ_HEAD(, MirrorRequest) MirrorRequestList;
typedef QTAILQ_HEAD(, MirrorRequest) MirrorRequestTailq;

/**
 * typedef MirrorKnown - what the first copy had when the queue took it over
 * @opaque: as given to mirror_queue_adopt()
 * @page: the page
 * @stored: set to whether it has the page
 * @hash: set to the hash of the content, if so
 *
 * Returns: whether the page is used by way of this queue.
 */
typedef bool MirrorKnown(void *opaque, uint64_t page, bool *stored,
                         uint64_t *hash);

/**
 * struct MirrorQueue - a queue
 * @parent: the base
 * @region: its pages
 * @parts: the ways into the copies
 * @latency: moving averages of their gets, in ns
 * @out: what each is to be sent
 * @nr_out: how much that is
 * @idle: requests that are not in use
 * @active: requests on their way
 * @waiting: requests for pages that are taken
 * @taken: pages that are being rebuilt, or of which a put that is done has not
 *     reached all copies; with whether gets of it have to wait, too
 * @mine: bitmap of the pages that were used by way of this queue
 * @known: tells about other pages, which the first copy has; or %NULL
 * @known_opaque: handed to it
 * @uses: tells which of the pages that were inherited are used by way of this
 *     queue; or %NULL
 * @uses_opaque: handed to it
 * @learned: it has told about all of them
 * @retired: bits of the copies that are to be emptied
 * @rebuild: what brings copies the pages that they lack
 * @lacking: since the last round began, it turned out that a copy lacks a page
 *     that another one has, or has one that nobody needs
 * @missed: bits of the copies of which that is so, as far as is known, since
 *     there was nothing to be done; read by any thread
 * @nr_lost: pages that no copy had that should, in the last round; read by any
 *     thread
 * @torn: there is something to be done, as far as is known; written under the
 *     mirror's lock
 * @checked: the doubts that this queue has seen to; likewise
 * @next: in the mirror's list
 */
struct MirrorQueue {
    RemoteStoreQueue parent;
    MirrorRegion *region;
    RemoteStoreQueue *parts[MIRROR_MAX];
    int64_t latency[MIRROR_MAX];
    RemoteStoreRequestList out[MIRROR_MAX];
    size_t nr_out[MIRROR_MAX];
    MirrorRequestList idle;
    MirrorRequestTailq active;
    MirrorRequestTailq waiting;
    GHashTable *taken;
    unsigned long *mine;
    MirrorKnown *known;
    void *known_opaque;
    RemoteStoreUses *uses;
    void *uses_opaque;
    bool learned;
    unsigned retired;
    MirrorRebuild *rebuild;
    bool lacking;
    unsigned missed;
    uint64_t nr_lost;
    bool torn;
    uint64_t checked[MIRROR_MAX];
    QLIST_ENTRY(MirrorQueue) next;
};

/* store-mirror.c */

/** mirror_bitmap_size: size of a bitmap with a bit for each page, in bytes */
static inline size_t mirror_bitmap_size(uint64_t nr_pages)
{
    return BITS_TO_LONGS(nr_pages) * sizeof(unsigned long);
}

/** mirror_answered: a copy has answered, and how.  Any thread */
void mirror_answered(RemoteStoreMirror *mirror, unsigned copy,
                     RemoteStoreResult result);

/** mirror_doubt: a copy may have lost something.  Any thread */
void mirror_doubt(RemoteStoreMirror *mirror, unsigned copy);

/** mirror_add: begin to see to doubts.  Main thread */
void mirror_add(RemoteStoreMirror *mirror, MirrorQueue *q);

/** mirror_remove: there is a queue less.  The queue's thread */
void mirror_remove(RemoteStoreMirror *mirror, MirrorQueue *q);

/**
 * mirror_doubts: copies that are in doubt and that a queue has not seen to
 * @mirror: the mirror
 * @q: the queue
 * @doubts: set to what mirror_checked() is to be told
 *
 * The queue's thread.  Returns: bits of the copies.
 */
unsigned mirror_doubts(RemoteStoreMirror *mirror, const MirrorQueue *q,
                       uint64_t doubts[MIRROR_MAX]);

/** mirror_checked: a queue has seen to these doubts about a copy */
void mirror_checked(RemoteStoreMirror *mirror, MirrorQueue *q, unsigned copy,
                    uint64_t doubts);

/** mirror_set_torn: there is something, or nothing, to be done for a queue */
void mirror_set_torn(RemoteStoreMirror *mirror, MirrorQueue *q, bool torn);

/* mirror-queue.c: the methods of &struct RemoteStoreClass of these names */

RemoteStoreQueue *mirror_queue_open(RemoteStoreRegion *region, AioContext *ctx,
                                    Error **errp);
void mirror_queue_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr);
void mirror_queue_close(RemoteStoreQueue *queue);

/** mirror_queue_is_writing: is a put or discard on its way to a copy? */
bool mirror_queue_is_writing(const MirrorQueue *q);

/* For the rebuilding, in the queue's thread. */

/**
 * mirror_take: begin to rebuild a page; requests for it wait
 *
 * Returns: false if it is taken, or there is a request for it on its way.
 */
bool mirror_take(MirrorQueue *q, uint64_t page);

/**
 * mirror_let_read: a page that is taken will only be written from now on
 *
 * Gets go on, from copies that have it.  What is written are the others.
 */
void mirror_let_read(MirrorQueue *q, uint64_t page);

/** mirror_release: a page is free again */
void mirror_release(MirrorQueue *q, uint64_t page);

/* mirror-pages.c, in the queue's thread unless it says otherwise */

/** mirror_anywhere: the pages of a word that any copy has.  Any thread */
unsigned long mirror_anywhere(const MirrorRegion *r, size_t word);

/**
 * mirror_best: the copy to read a page from
 * @q: the queue
 * @page: the page
 * @without: bits of those that it must not be
 *
 * Returns: the fastest one that is well and not in doubt, or else any that has
 * it, or -1.
 */
int mirror_best(const MirrorQueue *q, uint64_t page, unsigned without);

/** mirror_note_latency: a copy took so long for a get, in ns */
void mirror_note_latency(MirrorQueue *q, unsigned copy, int64_t latency);

/** mirror_lacking: these copies, as bits, lack something, or have too much */
void mirror_lacking(MirrorQueue *q, unsigned copies);

/** mirror_learn: find out about a page that is not @mine, if it should be */
void mirror_learn(MirrorQueue *q, uint64_t page);

/** mirror_part_done: a copy has done what it was asked; a get is the page */
void mirror_part_done(MirrorQueue *q, unsigned copy,
                      const RemoteStoreRequest *req);

/** mirror_stale: a copy does not have the page's content any more */
void mirror_stale(MirrorQueue *q, unsigned copy, uint64_t page);

/**
 * mirror_suspect: a copy said that it does not have the page, or something else
 *
 * It counts no more for this page, unless it is the last one that should have
 * it: that may be right the next time.
 */
void mirror_suspect(MirrorQueue *q, unsigned copy, uint64_t page);

/** mirror_is_good: whether an answer is the page as it was put */
bool mirror_is_good(const MirrorQueue *q, const RemoteStoreRequest *req);

/* mirror-rebuild.c, in the queue's thread unless it says otherwise */

/** mirror_rebuild_new: make what rebuilds.  Main thread */
MirrorRebuild *mirror_rebuild_new(MirrorQueue *q, AioContext *ctx);

/** mirror_rebuild_wanted: there is something to do */
void mirror_rebuild_wanted(MirrorRebuild *rebuild);

/** mirror_rebuild_notify: likewise.  Any thread */
void mirror_rebuild_notify(MirrorRebuild *rebuild);

/** mirror_rebuild_go_on: a request has ended, for whose page it may wait */
void mirror_rebuild_go_on(MirrorRebuild *rebuild);

/** mirror_rebuild_is_busy: are requests of it on their way?  Any thread */
bool mirror_rebuild_is_busy(const MirrorRebuild *rebuild);

/** mirror_rebuild_stop: begin with no more pages */
void mirror_rebuild_stop(MirrorRebuild *rebuild);

/** mirror_rebuild_resume: the other end of mirror_rebuild_stop() */
void mirror_rebuild_resume(MirrorRebuild *rebuild);

/** mirror_rebuild_free: it is not busy */
void mirror_rebuild_free(MirrorRebuild *rebuild);

#endif
