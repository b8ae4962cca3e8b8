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
 * Returns: a non-blocking socket, or -1.
 */
int mc_connect(const McServer *server);

#endif
