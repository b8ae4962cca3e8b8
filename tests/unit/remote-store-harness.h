/*
 * Unit tests: stores, driven from threads of their own
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_REMOTE_STORE_HARNESS_H
#define TEST_REMOTE_STORE_HARNESS_H

#include "remote-memory/store.h"
#include "system/iothread.h"

/**
 * struct TestOp - a request, and how it ended
 * @op: what to do
 * @page: with which page
 * @version: content to put, or that a get must find; not 0
 * @fresh: (put) the store has no copy yet
 * @background: (get) nobody waits for it
 * @result: how it ended
 * @reason: the same in words, or %NULL
 * @flipped: (get that ended well) number of bits that are not as they should
 */
typedef struct TestOp {
    RemoteStoreOp op;
    uint64_t page;
    uint32_t version;
    bool fresh;
    bool background;
    RemoteStoreResult result;
    char *reason;
    unsigned flipped;
} TestOp;

/**
 * struct TestQueue - a queue, and the thread that it is used in
 */
typedef struct TestQueue {
    RemoteStoreQueue *queue;
    IOThread *iothread;
} TestQueue;

typedef struct TestBatch TestBatch;

/** store_test_init: what every test program needs first */
void store_test_init(int *argc, char ***argv);

/**
 * store_try_new: make a store
 * @type: its type
 * @id: its id
 * @properties: a JSON object
 * @errp: set on failure
 *
 * Returns: the store, or %NULL.
 */
RemoteStore *store_try_new(const char *type, const char *id,
                           const char *properties, Error **errp);

/** store_new: the same, for properties that are right */
RemoteStore *store_new(const char *type, const char *id,
                       const char *properties);

/** store_delete: as object-del does */
void store_delete(RemoteStore *store);

/** store_assert_refused: the properties are wrong, and the error says @what */
void store_assert_refused(const char *type, const char *properties,
                          const char *what);

/** region_new: a region under a random namespace */
RemoteStoreRegion *region_new(RemoteStore *store, uint64_t nr_pages);

/** queue_new: a queue in a new thread */
TestQueue *queue_new(RemoteStoreRegion *region);

/** queue_free: close it and end the thread */
void queue_free(TestQueue *q);

/** page_fill: the content of a version of a page */
void page_fill(void *buf, uint64_t page, uint32_t version);

/** queue_start: submit @nr requests, of which @ops says what and then how */
TestBatch *queue_start(TestQueue *q, TestOp *ops, size_t nr);

/** batch_wait: wait for them, and check the pages that were got */
void batch_wait(TestBatch *batch);

/** queue_run: both */
void queue_run(TestQueue *q, TestOp *ops, size_t nr);

/** op_free: forget how it ended */
void op_free(TestOp *op);

/* One request at a time. */
RemoteStoreResult do_put(TestQueue *q, uint64_t page, uint32_t version,
                         bool fresh);
RemoteStoreResult do_get(TestQueue *q, uint64_t page, uint32_t version);
RemoteStoreResult do_discard(TestQueue *q, uint64_t page);

/** do_get_reason: get a page, which fails; returns the reason, to be freed */
char *do_get_reason(TestQueue *q, uint64_t page, RemoteStoreResult result);

/** resident_bytes: memory of this process that is in use, in bytes */
uint64_t resident_bytes(void);

#endif
