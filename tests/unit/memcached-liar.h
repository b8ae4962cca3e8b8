/*
 * Unit tests: a memcached that lies
 *
 * A server with the text protocol's few commands that a store uses, which can
 * be told to answer gets wrongly, or not at all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_MEMCACHED_LIAR_H
#define TEST_MEMCACHED_LIAR_H

/**
 * enum Lie - how the liar answers a get of keys that it has
 * @LIE_NONE: truly
 * @LIE_SILENCE: not at all
 * @LIE_EMPTY: as if it had none of them
 * @LIE_CUT: with the beginning of a value
 * @LIE_CLOSE: by hanging up
 * @LIE_SHORT: with values that are shorter than a page
 * @LIE_LONG: with values that are longer than a page
 * @LIE_KEY: with values of keys that nobody asked for
 * @LIE_LONG_KEY: with keys that are longer than any
 * @LIE_TWICE: with each value twice
 * @LIE_ERROR: with an error line
 * @LIE_GARBAGE: with what is no reply
 * @LIE_HUGE: with a length that is longer than memory
 * @LIE_BYTES: truly, but each byte by itself
 * @LIE_TRICKLE: truly, but a byte each millisecond
 * @LIE_HALF: with half of a value, and the rest when it does not lie any more
 * @LIE_HANG_UP: with half of a value, and by hanging up
 * @LIE_BATCHES: not at all if there are several keys, else truly
 * @LIE_NO_VERSION: truly, but not when asked for its version
 * @LIE_RESET: by resetting the connection, whatever the command (TCP only)
 */
typedef enum Lie {
    LIE_NONE,
    LIE_SILENCE,
    LIE_EMPTY,
    LIE_CUT,
    LIE_CLOSE,
    LIE_SHORT,
    LIE_LONG,
    LIE_KEY,
    LIE_LONG_KEY,
    LIE_TWICE,
    LIE_ERROR,
    LIE_GARBAGE,
    LIE_HUGE,
    LIE_BYTES,
    LIE_TRICKLE,
    LIE_HALF,
    LIE_HANG_UP,
    LIE_BATCHES,
    LIE_NO_VERSION,
    LIE_RESET,
} Lie;

typedef struct MemcachedLiar MemcachedLiar;

/** memcached_liar_new: start one, in threads of this process */
MemcachedLiar *memcached_liar_new(void);

/** memcached_liar_new_tcp: start one that has no UNIX socket */
MemcachedLiar *memcached_liar_new_tcp(void);

/** memcached_liar_free: end it; all connections are closed */
void memcached_liar_free(MemcachedLiar *liar);

/** memcached_liar_address: "unix:PATH" or "HOST:PORT" */
const char *memcached_liar_address(MemcachedLiar *liar);

/** memcached_liar_lie: from now on, lie like this */
void memcached_liar_lie(MemcachedLiar *liar, Lie lie);

/** memcached_liar_lie_once: lie like this to the next get */
void memcached_liar_lie_once(MemcachedLiar *liar, Lie lie);

/** memcached_liar_connections: number of connections that were ever made */
unsigned memcached_liar_connections(MemcachedLiar *liar);

/** memcached_liar_hang_up: close all connections, in the middle or not */
void memcached_liar_hang_up(MemcachedLiar *liar);

#endif
