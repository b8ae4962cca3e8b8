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
