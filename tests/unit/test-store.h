/*
 * Unit tests: stores of all kinds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_STORE_H
#define TEST_STORE_H

#include "remote-memory/store.h"

typedef struct TestStore TestStore;

/** test_store_drivers: names of the stores by themselves, %NULL at the end */
extern const char *const test_store_drivers[];

/** test_store_filters: names of those on top of others, %NULL at the end */
extern const char *const test_store_filters[];

/** test_store_wanted: false if all tests of a driver would be skipped */
bool test_store_wanted(const char *driver);

/**
 * test_store_new: make a store, with the servers and files that it takes
 * @driver: one of test_store_drivers
 * @filter: one of test_store_filters, which has one or more such drivers behind
 *     it, or %NULL
 *
 * Returns: %NULL if the test was skipped, because something is missing.
 */
TestStore *test_store_new(const char *driver, const char *filter);

/** test_store_get: the store itself */
RemoteStore *test_store_get(TestStore *store);

/** test_store_behind: those behind a filter by number, %NULL at the end */
RemoteStore *test_store_behind(TestStore *store, unsigned i);

/** test_store_free: end it all; nobody uses it.  May be %NULL */
void test_store_free(TestStore *store);

#endif
