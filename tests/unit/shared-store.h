/*
 * Unit tests: a store in this process that can hand over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_SHARED_STORE_H
#define TEST_SHARED_STORE_H

#include "remote-memory/store.h"

#define TYPE_SHARED_STORE "remote-store-shared"
OBJECT_DECLARE_SIMPLE_TYPE(SharedStore, SHARED_STORE)

/**
 * struct SharedStore - one that all regions have the same pages in
 * @pages: by number, protected by @lock
 * @writes: puts and discards that were done; likewise
 * @fails: requests do; atomic
 * @capacity: what it says that it can hold, in bytes
 */
struct SharedStore {
    RemoteStore parent_obj;

    QemuMutex lock;
    GHashTable *pages;
    uint64_t writes;
    bool fails;
    uint64_t capacity;
};

/** shared_store_register: before the first one is made */
void shared_store_register(void);

/** shared_store_new: make one */
SharedStore *shared_store_new(const char *id);

/** shared_store_writes: how many there have been */
uint64_t shared_store_writes(SharedStore *s);

/** shared_store_lose: it has lost a page */
void shared_store_lose(SharedStore *s, uint64_t page);

/** shared_store_has: whether it has a page */
bool shared_store_has(SharedStore *s, uint64_t page);

#endif
