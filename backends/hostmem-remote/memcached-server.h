/*
 * memcached servers: addresses, and what a server must be like
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_SERVER_H
#define HOSTMEM_REMOTE_MEMCACHED_SERVER_H

#include "memcached-key.h"

/** MC_LATE_FORMAT: what is said of a server's name and time, when it is over */
#define MC_LATE_FORMAT "server %s did not answer within %u ms"

/**
 * struct McServer - one server
 * @name: as the user wrote it
 * @host: host name or address; %NULL for a UNIX socket
 * @port: TCP port
 * @path: path of the UNIX socket; %NULL for TCP
 * @timeout_ms: time after which an operation has failed
 * @failing: the last operation failed; atomic
 * @lost: an incarnation mark was missing; atomic
 *
 * Constant once the store has started but for the last two.
 */
typedef struct McServer {
    char *name;
    char *host;
    uint16_t port;
    char *path;
    uint32_t timeout_ms;
    bool failing;
    bool lost;
} McServer;

/**
 * mc_server_parse: read an address
 * @server: the result, for mc_server_clear()
 * @text: "host:port", "[address]:port" or "unix:path"
 * @errp: set if it is malformed: what is wrong, without naming the object
 *
 * Returns: whether it is well-formed; if not, @server is untouched.
 */
bool mc_server_parse(McServer *server, const char *text, Error **errp);

/**
 * mc_server_clear: free what mc_server_parse() allocated
 * @server: the server
 */
void mc_server_clear(McServer *server);

/**
 * mc_server_check: connect, and see whether the server can be trusted
 * @server: the server
 * @store: id of the store, for messages
 * @errp: set if it does not answer or may lose pages
 *
 * Warns if the server wastes much of its memory.  Blocks.
 * Returns: whether the server can be used.
 */
bool mc_server_check(const McServer *server, const char *store, Error **errp);

/**
 * mc_server_put_mark: write the incarnation mark of a namespace
 * @server: the server
 * @store: id of the store, for messages
 * @mark: key of the mark
 * @errp: set on failure
 *
 * A server that does not have the mark any more has lost the pages too.
 * Blocks.  Returns: whether the mark is written.
 */
bool mc_server_put_mark(const McServer *server, const char *store,
                        const McKey *mark, Error **errp);

#endif
