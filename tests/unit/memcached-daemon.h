/*
 * Unit tests: a real memcached on a UNIX socket
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_MEMCACHED_DAEMON_H
#define TEST_MEMCACHED_DAEMON_H

typedef struct MemcachedDaemon MemcachedDaemon;

/** MEMCACHED_DAEMON_GOOD: options that a store wants */
#define MEMCACHED_DAEMON_GOOD "-M -n 4137 -m 64"

/**
 * memcached_daemon_available: is there a memcached to be tested with?
 *
 * Marks the running test as skipped, with the reason, if not.
 */
bool memcached_daemon_available(void);

/**
 * memcached_daemon_new: start one, and wait until it answers
 * @options: its command line but for the socket
 *
 * It dies with the thread that called this.
 */
MemcachedDaemon *memcached_daemon_new(const char *options);

/** memcached_daemon_free: kill it and remove its socket */
void memcached_daemon_free(MemcachedDaemon *daemon);

/** memcached_daemon_address: "unix:PATH" */
const char *memcached_daemon_address(MemcachedDaemon *daemon);

/** memcached_daemon_kill: kill it, at once */
void memcached_daemon_kill(MemcachedDaemon *daemon);

/** memcached_daemon_restart: start it again, after a kill */
void memcached_daemon_restart(MemcachedDaemon *daemon);

/** memcached_daemon_pause: stop it, and wait until it is stopped */
void memcached_daemon_pause(MemcachedDaemon *daemon);

/** memcached_daemon_resume: let it run again */
void memcached_daemon_resume(MemcachedDaemon *daemon);

#endif
