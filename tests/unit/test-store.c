/*
 * Unit tests: stores of all kinds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "remote-store-harness.h"
#include "server-process.h"
#include "test-node.h"
#include "test-store.h"

#define MAX_SERVERS 3
#define MAX_BEHIND 3

/* What no request in a test should take. */
#define TIMEOUT "'request-timeout-ms':30000"

/*
 * Memory servers of a test listen at ports from here on.  Slabs are small,
 * since it takes the emulated CPUs of a test guest long to make one.
 */
#define RDMA_PORT 7471
#define RDMA_OPTIONS "--limit 96M --slab-size 256K"

/* A driver, with what it needs. */
typedef struct Driver {
    const char *type;
    const char *properties;
    unsigned nr_servers;
    TestNodeKind node;
    bool rdma;
} Driver;

/* In the order of test_store_drivers. */
static const Driver drivers[] = {
    { "remote-store-ram", "{}" },
    { "remote-store-ram", "{'compress':'lz4'}" },
    { "remote-store-ram", "{'compress':'zstd'}" },
    { "remote-store-memcached", .nr_servers = 1 },
    { "remote-store-memcached", .nr_servers = 3 },
    { "remote-store-block", .node = TEST_NODE_FILE },
    { "remote-store-block", .node = TEST_NODE_NBD },
    { "remote-store-rdma", .rdma = true },
};

const char *const test_store_drivers[] = {
    "ram", "ram-lz4", "ram-zstd", "memcached", "memcached-3", "block-file",
    "block-nbd", "rdma", NULL
};

/* A filter over stores "behind0", "behind1" and so on. */
typedef struct Filter {
    const char *type;
    const char *properties;
    unsigned nr_behind;
} Filter;

/* In the order of test_store_filters. */
static const Filter filters[] = {
    { "remote-store-fault", "{'store':'behind0'}", 1 },
    { "remote-store-fault", "{'store':'behind0','delay-us':200}", 1 },
    { "remote-store-crypt", "{'store':'behind0'}", 1 },
    { "remote-store-stripe",
      "{'stores':['behind0','behind1','behind2']}", 3 },
    { "remote-store-mirror", "{'stores':['behind0','behind1']}", 2 },
    { "remote-store-mirror",
      "{'stores':['behind0','behind1','behind2'],'write-quorum':2}", 3 },
};

const char *const test_store_filters[] = {
    "fault", "fault-delay", "crypt", "stripe", "mirror", "mirror-quorum", NULL
};

/* A store of a driver, and what it stands on. */
typedef struct Part {
    ServerProcess *servers[MAX_SERVERS];
    TestNode *node;
    RemoteStore *store;
} Part;

/* @parts are behind @filter, or there is one and no filter. */
struct TestStore {
    Part parts[MAX_BEHIND];
    RemoteStore *filter;
};

static unsigned find(const char *const *names, const char *name)
{
    unsigned i = 0;

    while (strcmp(names[i], name)) {
        i++;
        g_assert_nonnull(names[i]);
    }
    return i;
}

static char *server_properties(Part *part, unsigned nr)
{
    g_autoptr(GString) s = g_string_new("{" TIMEOUT ",'servers':[");

    for (unsigned i = 0; i < nr; i++) {
        part->servers[i] = server_process_new(MEMCACHED_GOOD);
        g_string_append_printf(s, "%s'%s'", i ? "," : "",
                               server_process_address(part->servers[i]));
    }
    g_string_append(s, "]}");
    return g_string_free(g_steal_pointer(&s), FALSE);
}

/* Returns: NULL if something is missing, and the test was skipped. */
static char *rdma_properties(Part *part, unsigned number)
{
    const char *host = server_process_rdma();
    g_autofree char *command = NULL;

    if (!host) {
        return NULL;
    }
    command = g_strdup_printf(MEMORY_SERVER RDMA_OPTIONS " --listen %s:%u",
                              host, RDMA_PORT + number);
    part->servers[0] = server_process_new(command);
    return g_strdup_printf("{" TIMEOUT ",'server':'%s:%u'}", host,
                           RDMA_PORT + number);
}

/* Returns: NULL if something is missing, and the test was skipped. */
static char *part_properties(Part *part, const Driver *driver,
                             unsigned number, const char *id)
{
    if (driver->rdma) {
        return rdma_properties(part, number);
    }
    if (driver->nr_servers) {
        return server_process_available(MEMCACHED_GOOD) ?
               server_properties(part, driver->nr_servers) : NULL;
    }
    if (driver->node) {
        part->node = test_node_new(driver->node, id);
        return part->node ? g_strdup_printf("{" TIMEOUT ",'node-name':'%s'}",
                                            id) : NULL;
    }
    return g_strdup(driver->properties);
}

/* Returns: false if something is missing, and the test was skipped. */
static bool part_make(Part *part, const Driver *driver, unsigned number,
                      const char *id)
{
    g_autofree char *properties = part_properties(part, driver, number, id);
    Error *err = NULL;

    if (!properties) {
        return false;
    }
    part->store = store_try_new(driver->type, id, properties, &err);
    if (err) {
        /* The one good reason. */
        g_assert_nonnull(strstr(error_get_pretty(err), "built without"));
        g_test_skip(error_get_pretty(err));
        error_free(err);
    }
    return part->store;
}

bool test_store_wanted(const char *driver)
{
    return !drivers[find(test_store_drivers, driver)].rdma ||
           getenv("RM_RDMA_HOST");
}

TestStore *test_store_new(const char *driver, const char *filter)
{
    const Filter *f = filter ? &filters[find(test_store_filters, filter)] :
                               NULL;
    TestStore *store = g_new0(TestStore, 1);

    for (unsigned i = 0; i < (f ? f->nr_behind : 1); i++) {
        g_autofree char *id = f ? g_strdup_printf("behind%u", i) :
                                  g_strdup("s0");

        if (!part_make(&store->parts[i],
                       &drivers[find(test_store_drivers, driver)], i, id)) {
            test_store_free(store);
            return NULL;
        }
    }
    if (f) {
        store->filter = store_new(f->type, "s0", f->properties);
    }
    return store;
}

RemoteStore *test_store_get(TestStore *store)
{
    return store->filter ?: store->parts[0].store;
}

RemoteStore *test_store_behind(TestStore *store, unsigned i)
{
    return store->filter && i < MAX_BEHIND ? store->parts[i].store : NULL;
}

static void part_free(Part *part)
{
    if (part->store) {
        store_delete(part->store);
    }
    test_node_free(part->node);
    for (unsigned i = 0; i < MAX_SERVERS && part->servers[i]; i++) {
        server_process_free(part->servers[i]);
    }
}

void test_store_free(TestStore *store)
{
    if (!store) {
        return;
    }
    if (store->filter) {
        store_delete(store->filter);
        /* Events about its status keep it, and it keeps those behind it. */
        main_loop_wait(true);
    }
    for (unsigned i = 0; i < MAX_BEHIND; i++) {
        part_free(&store->parts[i]);
    }
    g_free(store);
}
