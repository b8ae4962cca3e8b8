/*
 * Unit tests: block nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_NODE_H
#define TEST_NODE_H

typedef struct TestNode TestNode;

typedef enum TestNodeKind {
    TEST_NODE_NONE,
    TEST_NODE_FILE,     /* a file, of 4 TiB if they were written */
    TEST_NODE_NBD,      /* an NBD server in a process of its own */
} TestNodeKind;

/**
 * test_node_new: open one
 * @kind: what it leads to
 * @name: its node-name
 *
 * Returns: %NULL if the test was skipped.
 */
TestNode *test_node_new(TestNodeKind kind, const char *name);

/** test_node_server: the server behind a TEST_NODE_NBD */
struct ServerProcess *test_node_server(TestNode *node);

/** test_node_free: close it; nobody uses it.  May be %NULL */
void test_node_free(TestNode *node);

#endif
