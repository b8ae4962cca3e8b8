/*
 * Connections to a memory server by RDMA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_LINK_H
#define REMOTE_MEMORY_RDMA_LINK_H

#include <infiniband/verbs.h>
#include <sys/socket.h>
#include "block/aio.h"
#include "remote-memory/rdma-protocol.h"

/**
 * RDMA_LINK_DEPTH: most pages that are on their way at a time.  What a device
 * of 100 Gbit/s needs to be busy in spite of 10 us of latency is 30.
 */
#define RDMA_LINK_DEPTH 128

/**
 * struct RdmaServer - a server, and how to get there
 * @name: "host:port", for messages
 * @device: the only device that may be used, or %NULL
 * @timeout_ms: time for a request, and to connect
 * @reconnect_ms: pause before the next try to connect
 * @addr: address of the server
 * @source: address of @device, or of no family
 *
 * Constant while there are links.
 */
typedef struct RdmaServer {
    char *name;
    char *device;
    uint32_t timeout_ms;
    uint32_t reconnect_ms;
    struct sockaddr_storage addr;
    struct sockaddr_storage source;
} RdmaServer;

typedef struct RdmaLink RdmaLink;

/**
 * struct RdmaLinkOps - what a link tells its user
 * @up: the connection is there.  Returns: false if it is of no use (@errp is
 *     set), and then it ends
 * @moved: the READ or WRITE from or to a slot has been done.  May not call
 *     the link
 * @told: an answer to rdma_link_ask().  May not call the link, but for
 *     rdma_link_trouble()
 * @settle: after some of these
 * @down: the connection has ended, and with it all that was on its way: none
 *     of it has an effect on the slots any more.  Nor on the server's memory
 *     once @up is called
 *
 * All are called in the link's context, @up also by rdma_link_open().
 */
typedef struct RdmaLinkOps {
    bool (*up)(void *opaque, const RdmaWelcome *welcome, Error **errp);
    void (*moved)(void *opaque, unsigned slot);
    void (*told)(void *opaque, const RdmaTell *tell);
    void (*settle)(void *opaque);
    void (*down)(void *opaque, const char *reason);
} RdmaLinkOps;

/**
 * rdma_link_new: prepare a connection
 * @server: where to
 * @hello: what to say, of kind %RDMA_KIND_QUEUE
 * @ctx: where it is used
 * @ops: what it tells
 * @opaque: for @ops
 *
 * Main thread.
 */
RdmaLink *rdma_link_new(const RdmaServer *server, const RdmaHello *hello,
                        AioContext *ctx, const RdmaLinkOps *ops, void *opaque);

/**
 * rdma_link_open: connect
 * @link: not connected yet
 * @errp: set on failure
 *
 * Main thread; blocks, at most for the server's timeout.  From then on the
 * link belongs to its context, and connects again by itself when it has to.
 */
bool rdma_link_open(RdmaLink *link, Error **errp);

/** rdma_link_free: in the link's context, or where it was not opened */
void rdma_link_free(RdmaLink *link);

/** rdma_link_is_up: can it be used? */
bool rdma_link_is_up(const RdmaLink *link);

/** rdma_link_reason: why it is not up */
const char *rdma_link_reason(const RdmaLink *link);

/** rdma_link_depth: slots that can be used, at most %RDMA_LINK_DEPTH */
unsigned rdma_link_depth(const RdmaLink *link);

/** rdma_link_slot: memory of a slot, %RDMA_PAGE_SIZE bytes */
void *rdma_link_slot(const RdmaLink *link, unsigned slot);

/**
 * rdma_link_move: add a READ or WRITE to what is posted next
 * @link: that is up
 * @slot: from or to where; unused until it has moved
 * @write: which of both
 * @addr: to or from where in the server's memory
 * @rkey: the key to that
 */
void rdma_link_move(RdmaLink *link, unsigned slot, bool write, uint64_t addr,
                    uint32_t rkey);

/** rdma_link_ask: ask the server for a slab, one at a time */
void rdma_link_ask(RdmaLink *link, RdmaAskType type, uint64_t slab);

/** rdma_link_post: post what was added, by one doorbell */
void rdma_link_post(RdmaLink *link);

/**
 * rdma_link_trouble: this connection cannot go on
 * @link: that is up
 * @fmt: why
 *
 * It ends at the next rdma_link_check(), or when the link comes to an end with
 * what it is at.
 */
void rdma_link_trouble(RdmaLink *link, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/**
 * rdma_link_check: end the connection if there was trouble
 *
 * Not for &struct RdmaLinkOps, after which the link does this by itself.
 */
void rdma_link_check(RdmaLink *link);

/** rdma_link_receive: see what is done, now */
void rdma_link_receive(RdmaLink *link);

/**
 * rdma_server_ask: ask a server what needs no connection
 * @server: the server
 * @hello: what.  If it is of kind %RDMA_KIND_QUEUE there is a connection,
 *     which ends at once: so the server has ended the former one
 * @welcome: filled in
 * @errp: set on failure
 *
 * With the BQL; blocks, at most for the server's timeout.
 */
bool rdma_server_ask(const RdmaServer *server, const RdmaHello *hello,
                     RdmaWelcome *welcome, Error **errp);

#endif
