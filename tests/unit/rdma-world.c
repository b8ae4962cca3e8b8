/*
 * Unit tests: a memory server and a store on it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qobject/qjson.h"
#include "rdma-world.h"

RemoteStore *world_store(const char *id, unsigned timeout_ms)
{
    g_autofree char *properties =
        g_strdup_printf("{'server':'%s:" RDMA_PORT "','reconnect-ms':100,"
                        "'request-timeout-ms':%u}", server_process_rdma(),
                        timeout_ms);

    return store_new(RDMA_TYPE, id, properties);
}

bool world_init(World *w, const char *options, unsigned timeout_ms)
{
    const char *host = server_process_rdma();
    g_autofree char *command = NULL;

    if (!host) {
        return false;
    }
    command = g_strdup_printf(MEMORY_SERVER "--slab-size 256K %s --listen "
                              "%s:" RDMA_PORT, options, host);
    w->server = server_process_new(command);
    w->store = world_store("s0", timeout_ms);
    w->region = region_new(w->store, REGION_PAGES);
    w->q = queue_new(w->region);
    return true;
}

void world_free(World *w)
{
    queue_free(w->q);
    remote_store_detach(w->region);
    store_delete(w->store);
    server_process_free(w->server);
}

RemoteStoreStatus world_status(const World *w)
{
    RemoteStoreInfo *info = remote_store_query(w->store);
    RemoteStoreStatus status = info->status;

    qapi_free_RemoteStoreInfo(info);
    return status;
}

void world_put_again(World *w, uint64_t page, uint32_t version)
{
    for (int i = 0; do_put(w->q, page, version, true) != REMOTE_STORE_OK; i++) {
        g_assert_cmpint(i, <, WORLD_TRIES);
        g_usleep(100000);
    }
}

QDict *world_stats(World *w)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_autoptr(GString) text = g_string_new(NULL);
    char buf[256];
    ssize_t len;

    pstrcpy(addr.sun_path, sizeof(addr.sun_path),
            server_process_path(w->server));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    while ((len = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(text, buf, len);
    }
    close(fd);
    return qobject_to(QDict, qobject_from_json(text->str, &error_abort));
}

void world_assert_stat(World *w, const char *name, int64_t value)
{
    g_autoptr(QDict) dict = world_stats(w);

    g_assert_cmpint(qdict_get_int(dict, name), ==, value);
}
