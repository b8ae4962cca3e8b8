/*
 * Unit tests: block nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/block.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "server-process.h"
#include "test-node.h"

#define SIZE (4 * TiB)

/* @file or @server is what the node leads to. */
struct TestNode {
    char *name;
    BlockDriverState *bs;
    char *file;
    ServerProcess *server;
};

static void use_file(TestNode *node, QDict *options)
{
    int fd = g_file_open_tmp("test-node-XXXXXX", &node->file, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    close(fd);
    qdict_put_str(options, "driver", "file");
    qdict_put_str(options, "filename", node->file);
}

static void use_server(TestNode *node, QDict *options)
{
    node->server = server_process_new(NBDKIT_MEMORY);
    qdict_put_str(options, "driver", "nbd");
    qdict_put_str(options, "server.type", "unix");
    qdict_put_str(options, "server.path", server_process_path(node->server));
}

TestNode *test_node_new(TestNodeKind kind, const char *name)
{
    QDict *options;
    TestNode *node;

    if (kind == TEST_NODE_NBD && !server_process_available(NBDKIT_MEMORY)) {
        return NULL;
    }
    node = g_new0(TestNode, 1);
    node->name = g_strdup(name);
    options = qdict_new();
    qdict_put_str(options, "node-name", node->name);
    (kind == TEST_NODE_FILE ? use_file : use_server)(node, options);
    node->bs = bdrv_open(NULL, NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP,
                         &error_abort);
    return node;
}

ServerProcess *test_node_server(TestNode *node)
{
    return node->server;
}

void test_node_free(TestNode *node)
{
    if (!node) {
        return;
    }
    bdrv_unref(node->bs);
    /* A request, or a connection being made, may keep it for a while. */
    while (bdrv_find_node(node->name)) {
        main_loop_wait(true);
        g_usleep(1000);
    }
    if (node->server) {
        server_process_free(node->server);
    } else {
        unlink(node->file);
    }
    g_free(node->file);
    g_free(node->name);
    g_free(node);
}
