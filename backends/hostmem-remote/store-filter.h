/*
 * What stores that stand on other stores have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_STORE_FILTER_H
#define REMOTE_MEMORY_STORE_FILTER_H

#include "remote-memory/store.h"

/**
 * filter_use_stores: what a filter does with its property "stores"
 * @filter: the filter, for messages
 * @names: the property
 * @least: fewest that make sense
 * @stores: filled in, and to be given to remote_store_unuse()
 * @most: how many it has room for
 * @nr: set to how many were filled in, also on failure
 * @errp: set on failure
 *
 * Main thread.
 */
bool filter_use_stores(RemoteStore *filter, const strList *names,
                       unsigned least, RemoteStore **stores, unsigned most,
                       unsigned *nr, Error **errp);

/**
 * filter_set_names: setter of the property "stores"
 * @filter: the filter
 * @v: has the value
 * @name: the property
 * @names: what it is kept in
 * @errp: set on failure
 *
 * Main thread.
 */
void filter_set_names(RemoteStore *filter, Visitor *v, const char *name,
                      strList **names, Error **errp);

/**
 * DOC: What a filter hands over
 *
 * What it knows of its pages, and what each store behind it knows.  So the
 * stores behind have to be the same on both sides, in the same order, by id and
 * type.  In the state of a region are, one after the other:
 *
 *     the names of all stores behind, as a string, with the zero at its end
 *     of each of them its state, after its length in 8 bytes
 *     what is the filter's own, to the end
 *
 * All numbers are big endian.  It comes from elsewhere, so no length in it is
 * trusted.
 */

/**
 * struct FilterState - what is still to be read of a region's state
 * @data: that
 * @size: in bytes
 */
typedef struct FilterState {
    const uint8_t *data;
    size_t size;
} FilterState;

/**
 * filter_save_parts: begin a state, or find out whether there can be one
 * @parts: the region in each of the stores behind
 * @nr: how many
 * @state: empty; the filter's own is to follow.  If %NULL, only the question
 * @errp: set on failure, with the name of the store that cannot
 *
 * For &RemoteStoreClass.save.
 */
bool filter_save_parts(RemoteStoreRegion **parts, unsigned nr,
                       GByteArray *state, Error **errp);

/**
 * filter_begin_load: see whether an inherited region fits
 * @region: a region that is being attached, inherited or not
 * @stores: the stores behind
 * @nr: how many
 * @state: set to what filter_attach_part() and the filter are to read
 * @errp: set if the stores are not those at the source
 */
bool filter_begin_load(RemoteStoreRegion *region, RemoteStore **stores,
                       unsigned nr, FilterState *state, Error **errp);

/**
 * filter_attach_part: attach, or inherit, the region in the next store behind
 * @region: the region
 * @store: the store, in the order of filter_begin_load()
 * @nr_pages: number of pages there, without marks
 * @state: from filter_begin_load()
 * @errp: set on failure
 *
 * Returns: the region, or %NULL.
 */
RemoteStoreRegion *filter_attach_part(RemoteStoreRegion *region,
                                      RemoteStore *store, uint64_t nr_pages,
                                      FilterState *state, Error **errp);

/**
 * filter_detach_part: the other end of filter_attach_part()
 * @region: the region
 * @part: may be %NULL
 */
void filter_detach_part(const RemoteStoreRegion *region,
                        RemoteStoreRegion *part);

/**
 * filter_take: read the next bytes of a state
 * @state: the state
 * @size: how many
 *
 * Returns: %NULL if there are not so many.
 */
const void *filter_take(FilterState *state, uint64_t size);

/**
 * filter_take_part: read, or skip, what the next store behind has saved
 * @state: the state
 * @size: set to the length of that
 *
 * Returns: %NULL if it is not there.
 */
const void *filter_take_part(FilterState *state, uint64_t *size);

/** filter_end_load: all must have been read, and @sane; or set @errp */
bool filter_end_load(const RemoteStoreRegion *region,
                     const FilterState *state, bool sane, Error **errp);

/**
 * struct FilterRequest - what a store behind sees of a request
 * @inner: that
 * @outer: the request
 * @queue: to which it was submitted
 * @opaque: for the filter
 * @next: in a pool
 */
typedef struct FilterRequest {
    RemoteStoreRequest inner;
    RemoteStoreRequest *outer;
    RemoteStoreQueue *queue;
    void *opaque;
    QSLIST_ENTRY(FilterRequest) next;
} FilterRequest;

/**
 * struct FilterPool - requests of a queue that are not in use
 * @idle: the list
 */
typedef struct FilterPool {
    QSLIST_HEAD(, FilterRequest) idle;
} FilterPool;

/**
 * filter_request_get: make a request for a store behind
 * @pool: the pool
 * @queue: the filter's queue
 * @outer: what was submitted to it; all but @complete is taken over
 * @complete: called when the store behind has answered
 */
FilterRequest *filter_request_get(FilterPool *pool, RemoteStoreQueue *queue,
                                  RemoteStoreRequest *outer,
                                  void (*complete)(RemoteStoreRequest *inner));

/** filter_request_put: it has ended */
void filter_request_put(FilterPool *pool, FilterRequest *freq);

/** filter_request_of: from what a completion gets */
static inline FilterRequest *filter_request_of(RemoteStoreRequest *inner)
{
    return container_of(inner, FilterRequest, inner);
}

/**
 * filter_request_end: end the request as the store behind did
 * @pool: gets @freq back
 * @freq: the request
 */
void filter_request_end(FilterPool *pool, FilterRequest *freq);

/** filter_pool_free: free those that are idle, which all are */
void filter_pool_free(FilterPool *pool);

#endif
