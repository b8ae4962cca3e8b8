/*
 * Links to a memcached server: gets that do not block
 *
 * A fault waits for a get, so a get is done in the pager's own thread: handing
 * it to another one and back costs more than memcached does.  libmemcached
 * blocks, and keeps its socket to itself.  A link has a socket of its own, and
 * knows nothing but gets of pages that are there.
 *
 * Nothing is parsed.  What memcached answers to a get of a page is known in
 * advance, but for the content of the page: the key that was asked for, flags
 * 0 and 4096 bytes.  So what comes is read to where it has to go, the content
 * straight into the requests' buffers, several pages by one system call, and
 * the rest is compared with what it has to be.  If there is any difference (a
 * page is missing or of the wrong size, the server reports an error, or talks
 * nonsense), the link closes its connection and gives back what is not done.
 * It is asked again by a lane, which takes its time and finds out what is the
 * matter.
 *
 * Gets are pipelined: each is sent at once, whatever is under way.  Nobody
 * ever waits for room in a socket: what cannot be sent yet is kept, and what
 * arrives is read in any case.  So socket buffers need not hold a whole
 * answer, and are left as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_LINK_H
#define HOSTMEM_REMOTE_MEMCACHED_LINK_H

#include "remote-memory/store.h"
#include "memcached-server.h"

/** MC_LINK_MAX_BURST: most pages that a link can read at once */
#define MC_LINK_MAX_BURST 32

/** typedef McLink - one connection to one server */
typedef struct McLink McLink;

/**
 * struct McLinkOps - what a link does with gets
 * @ended: the result of these is set: OK, or TIMEOUT.  The link may be freed
 *     in there, if it has no other gets
 * @given_back: these have to be done in another way.  The link is closed
 *
 * Called in the link's context; @given_back also by mc_link_flush().
 */
typedef struct McLinkOps {
    void (*ended)(void *opaque, RemoteStoreRequestList *reqs);
    void (*given_back)(void *opaque, RemoteStoreRequestList *reqs);
} McLinkOps;

/**
 * mc_link_new: make a link, which is closed at first
 * @server: where it leads
 * @ctx: the context of all that follows
 * @burst: most pages to read before others get their turn, at most
 *     %MC_LINK_MAX_BURST
 * @ops: what to do with gets
 * @opaque: passed to @ops
 *
 * Returns: the link.
 */
McLink *mc_link_new(const McServer *server, AioContext *ctx, unsigned burst,
                    const McLinkOps *ops, void *opaque);

/**
 * mc_link_free: close and free a link
 * @link: the link, which has no gets.  May be %NULL
 */
void mc_link_free(McLink *link);

/**
 * mc_link_open: give a link a connection
 * @link: the link.  If it has one, @fd is closed
 * @fd: from mc_connect(); belongs to the link from now on
 */
void mc_link_open(McLink *link, int fd);

/**
 * mc_link_get: add a get, to be sent by mc_link_flush()
 * @link: the link
 * @req: the get
 * @key: the key of its page
 *
 * Returns: whether the link takes it; a closed one does not.
 */
bool mc_link_get(McLink *link, RemoteStoreRequest *req, const McKey *key);

/**
 * mc_link_flush: send what was added
 * @link: the link
 *
 * No get ends before it returns.
 */
void mc_link_flush(McLink *link);

#endif
