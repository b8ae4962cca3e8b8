/*
 * Connections to memcached servers, as sockets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_MEMCACHED_CONNECT_H
#define HOSTMEM_REMOTE_MEMCACHED_CONNECT_H

#include "memcached-server.h"

/**
 * mc_connect: connect to a server, and see that it answers
 * @server: the server
 *
 * Blocks, for at most twice the server's timeout for each of its addresses,
 * and the time that it takes to look the host up.
 *
 * Returns: a non-blocking socket, or a negative errno: -ETIMEDOUT if the server
 * took too long, -EPROTO if what it said makes no sense.
 */
int mc_connect(const McServer *server);

/**
 * mc_probe: look whether a server has a key, on a connection for that alone
 * @server: the server
 * @key: the key
 * @found: whether it has, if it says so
 *
 * Blocks, as mc_connect() does.  Returns: 0 or a negative errno, as there.
 */
int mc_probe(const McServer *server, const McKey *key, bool *found);

#endif
