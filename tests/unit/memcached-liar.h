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
} Lie;

typedef struct MemcachedLiar MemcachedLiar;

/** memcached_liar_new: start one, in threads of this process */
MemcachedLiar *memcached_liar_new(void);

/** memcached_liar_free: end it; all connections are closed */
void memcached_liar_free(MemcachedLiar *liar);

/** memcached_liar_address: "unix:PATH" */
const char *memcached_liar_address(MemcachedLiar *liar);

/** memcached_liar_lie: from now on, lie like this */
void memcached_liar_lie(MemcachedLiar *liar, Lie lie);

#endif
