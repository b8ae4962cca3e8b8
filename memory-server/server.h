/*
 * qemu-memory-server: lends memory by RDMA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MEMORY_SERVER_SERVER_H
#define MEMORY_SERVER_SERVER_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include "remote-memory/rdma-protocol.h"
#include "slab.h"

/**
 * DOC: The server
 *
 * All runs in one thread, from the main loop.  What takes time is to make a
 * slab, and pages are read and written without the server meanwhile::
 *
 *     MemoryServer    listens; has the memory
 *       Namespace       the pages of one memory backend: a protection domain,
 *                       slabs
 *         Connection      a queue of it: a queue pair
 */

/**
 * struct MemoryServer - the server
 * @listen: where, as "host:port"
 * @expire: seconds after which a namespace without connections is given up,
 *     0 for never
 * @pool: memory
 * @namespaces: by UUID
 * @events: of the connection manager
 * @id: that listens
 * @nr_accepted: connections so far
 * @nr_refused: requests for connections that were refused
 * @nr_released: namespaces given back by those that had them
 * @nr_expired: namespaces given up
 * @nr_nospace: slabs that there was no memory for
 */
typedef struct MemoryServer {
    const char *listen;
    uint32_t expire;
    SlabPool pool;
    GHashTable *namespaces;
    struct rdma_event_channel *events;
    struct rdma_cm_id *id;
    uint64_t nr_accepted;
    uint64_t nr_refused;
    uint64_t nr_released;
    uint64_t nr_expired;
    uint64_t nr_nospace;
} MemoryServer;

/**
 * struct Namespace - the pages of one memory backend
 * @server: the server
 * @uuid: its name
 * @incarnation: random, so that one of the same name is not taken for it
 * @nr_pages: its size
 * @pd: protection domain: no other namespace's keys are of use in it
 * @slabs: by number
 * @used: memory that they take, in bytes
 * @connections: by number of the queue
 * @idle_since: when the last connection ended, in us of monotonic time
 */
typedef struct Namespace {
    MemoryServer *server;
    QemuUUID uuid;
    uint64_t incarnation;
    uint64_t nr_pages;
    struct ibv_pd *pd;
    GHashTable *slabs;
    uint64_t used;
    GHashTable *connections;
    int64_t idle_since;
} Namespace;

/* server.c */

/**
 * server_start: begin to listen
 * @server: its options are set
 * @errp: set on failure
 */
bool server_start(MemoryServer *server, Error **errp);

/** server_stop: end all connections and give all memory back */
void server_stop(MemoryServer *server);

/* namespace.c */

/**
 * namespace_get: find a namespace, or make it
 * @server: the server
 * @hello: what the client says
 * @verbs: the device that it comes by
 * @ns: set to the namespace
 *
 * Returns: %RDMA_STATUS_OK, or why not.
 */
RdmaStatus namespace_get(MemoryServer *server, const RdmaHello *hello,
                         struct ibv_context *verbs, Namespace **ns);

/** namespace_free: end its connections and give its memory back */
void namespace_free(Namespace *ns);

/**
 * namespace_answer: where is a slab?
 * @ns: the namespace
 * @ask: the question
 * @tell: filled in
 */
void namespace_answer(Namespace *ns, const RdmaAsk *ask, RdmaTell *tell);

/** namespace_expire: give up those that nobody has used for long */
void namespace_expire(MemoryServer *server);

/* connection.c */

typedef struct Connection Connection;

/**
 * connection_accept: make a queue's connection
 * @ns: whose
 * @id: the request
 * @param: what comes with it
 * @number: number of the queue.  The former connection of this number is ended
 *     before, so that nothing that is late for it has an effect any more
 * @welcome: what to answer
 *
 * Returns: whether it went well.  If so, @id belongs to the connection.
 */
bool connection_accept(Namespace *ns, struct rdma_cm_id *id,
                       const struct rdma_conn_param *param, uint32_t number,
                       const RdmaWelcome *welcome);

/** connection_end: the client has gone; @id is the one it was accepted with */
void connection_end(struct rdma_cm_id *id);

/** connection_free: for Namespace.connections */
void connection_free(gpointer connection);

/* stats.c */

/**
 * stats_listen: show statistics to whoever connects
 * @server: the server
 * @path: of a UNIX socket
 * @errp: set on failure
 */
bool stats_listen(MemoryServer *server, const char *path, Error **errp);

/** stats_text: statistics as JSON, to be freed */
char *stats_text(MemoryServer *server);

#endif
