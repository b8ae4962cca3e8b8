/*
 * Unit tests: a real server on a UNIX socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_SERVER_PROCESS_H
#define TEST_SERVER_PROCESS_H

typedef struct ServerProcess ServerProcess;

/** MEMCACHED: a memcached, to which options are added */
#define MEMCACHED "memcached -u root -s @ -t 2 "
/** MEMCACHED_GOOD: with those that a store wants */
#define MEMCACHED_GOOD MEMCACHED "-M -n 4137 -m 64"

/** NBDKIT_MEMORY: a disk in memory, of 4 TiB if they were written */
#define NBDKIT_MEMORY "nbdkit -f -U @ memory 4T"

/**
 * MEMORY_SERVER: a qemu-memory-server, which answers at its socket for
 * statistics when it listens
 */
#define MEMORY_SERVER "qemu-memory-server --stats @ "

/**
 * server_process_rdma: an address of this machine that RDMA can use
 *
 * It is taken from the environment, RM_RDMA_HOST, so that no test uses a real
 * network.  Marks the running test as skipped, with the reason, if there is
 * none, and returns %NULL.
 */
const char *server_process_rdma(void);

/**
 * server_process_available: is there such a server to be tested with?
 * @command: its command line
 *
 * Marks the running test as skipped, with the reason, if not.
 */
bool server_process_available(const char *command);

/**
 * server_process_new: start one, and wait until it answers
 * @command: its command line, with "@" in the place of the socket
 *
 * It dies with the thread that called this.
 */
ServerProcess *server_process_new(const char *command);

/** server_process_free: kill it and remove its socket */
void server_process_free(ServerProcess *server);

/** server_process_address: "unix:PATH" */
const char *server_process_address(ServerProcess *server);

/** server_process_path: path of the socket */
const char *server_process_path(ServerProcess *server);

/** server_process_kill: kill it, at once */
void server_process_kill(ServerProcess *server);

/** server_process_restart: start it again, after a kill */
void server_process_restart(ServerProcess *server);

/** server_process_pause: stop it, and wait until it is stopped */
void server_process_pause(ServerProcess *server);

/** server_process_resume: let it run again */
void server_process_resume(ServerProcess *server);

#endif
