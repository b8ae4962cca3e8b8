/*
 * Connections to a memory server by RDMA: what the two files of it share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_LINK_INTERNAL_H
#define REMOTE_MEMORY_RDMA_LINK_INTERNAL_H

#include "rdma-link.h"
#include "rdma-verbs.h"

/* Completions that are looked at together. */
#define RDMA_LINK_BURST 32

typedef enum LinkState {
    LINK_DOWN,
    LINK_RESOLVING,
    LINK_ROUTING,
    LINK_CONNECTING,
    LINK_UP,
    LINK_ANSWERED,
} LinkState;

/* What the server is asked, and what it tells; seen by the device. */
typedef struct Talk {
    RdmaAsk ask;
    RdmaTell tells[RDMA_NR_ASKS];
} Talk;

/*
 * @hello: what to say, in the order of the wire
 * @kind: what kind of it
 * @events: of the connection manager
 * @state: LINK_ANSWERED is for kinds that get no connection
 * @verbs: the connection
 * @watched: @ctx looks after the link
 * @watch_bh: from when on it does
 * @welcome: what the server said last
 * @trouble: why it cannot go on, or %NULL
 * @reason: why it is down, or %NULL
 * @timer: rings when connecting has taken too long, or when it is time for it
 * @memory: the slots, and @talk
 * @wrs: a work request for each slot, and one for asking
 * @sges: their memory
 * @first: to be posted next
 * @last: the last of these
 * @nr_wcs: how many of @wcs have not been looked at
 */
struct RdmaLink {
    const RdmaServer *server;
    RdmaHello hello;
    RdmaKind kind;
    AioContext *ctx;
    const RdmaLinkOps *ops;
    void *opaque;
    struct rdma_event_channel *events;
    LinkState state;
    RdmaVerbs verbs;
    bool watched;
    QEMUBH *watch_bh;
    RdmaWelcome welcome;
    Error *trouble;
    char *reason;
    QEMUTimer *timer;
    uint8_t *memory;
    Talk *talk;
    struct ibv_send_wr wrs[RDMA_LINK_DEPTH + 1];
    struct ibv_sge sges[RDMA_LINK_DEPTH + 1];
    struct ibv_send_wr *first;
    struct ibv_send_wr *last;
    struct ibv_wc wcs[RDMA_LINK_BURST];
    int nr_wcs;
};

/* rdma-transfer.c */

/** rdma_link_listen: get ready for what the server tells */
void rdma_link_listen(RdmaLink *link);

/** rdma_link_watch_completions: from now on, in the link's context */
void rdma_link_watch_completions(RdmaLink *link);

#endif
