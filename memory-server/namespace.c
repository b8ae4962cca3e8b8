/*
 * qemu-memory-server: the pages of one memory backend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "server.h"

/* @slabs has these. */
typedef struct Slab {
    Namespace *ns;
    size_t size;
    void *memory;
    struct ibv_mr *mr;
} Slab;

/* Slabs */

static void slab_destroy(gpointer opaque)
{
    Slab *slab = opaque;

    if (slab->mr) {
        ibv_dereg_mr(slab->mr);
    }
    slab_free(&slab->ns->server->pool, slab->memory, slab->size);
    slab->ns->used -= slab->size;
    g_free(slab);
}

/* The last one goes as far as the namespace, which may be two pages. */
static size_t size_of(const Namespace *ns, uint64_t number)
{
    uint64_t slab_pages = ns->server->pool.slab_size / RDMA_PAGE_SIZE;

    return MIN(ns->nr_pages - number * slab_pages, slab_pages) *
           RDMA_PAGE_SIZE;
}

static struct ibv_mr *register_slab(Namespace *ns, void *memory, size_t size)
{
    struct ibv_mr *mr = ibv_reg_mr(ns->pd, memory, size,
                                   IBV_ACCESS_LOCAL_WRITE |
                                   IBV_ACCESS_REMOTE_READ |
                                   IBV_ACCESS_REMOTE_WRITE);

    if (!mr) {
        error_report("cannot register a slab of %zu bytes: %s", size,
                     strerror(errno));
        error_printf("The limit of locked memory (ulimit -l, LimitMEMLOCK=) "
                     "has to be above --limit.\n");
    }
    return mr;
}

static RdmaStatus slab_make(Namespace *ns, uint64_t number, Slab **result)
{
    size_t size = size_of(ns, number);
    void *memory = slab_new(&ns->server->pool, size);
    Slab *slab;

    if (!memory) {
        ns->server->nr_nospace++;
        return RDMA_STATUS_NOSPACE;
    }
    slab = *result = g_new0(Slab, 1);
    slab->ns = ns;
    slab->size = size;
    slab->memory = memory;
    ns->used += size;
    slab->mr = register_slab(ns, memory, size);
    if (!slab->mr) {
        slab_destroy(slab);
        ns->server->nr_nospace++;
        return RDMA_STATUS_NOSPACE;
    }
    g_hash_table_insert(ns->slabs, g_memdup2(&number, sizeof(number)), slab);
    return RDMA_STATUS_OK;
}

static RdmaStatus find_slab(Namespace *ns, const RdmaAsk *ask, Slab **slab)
{
    uint64_t slab_pages = ns->server->pool.slab_size / RDMA_PAGE_SIZE;

    if ((ask->type != RDMA_ASK_FIND && ask->type != RDMA_ASK_MAKE) ||
        ask->slab > (ns->nr_pages - 1) / slab_pages) {
        return RDMA_STATUS_INVALID;
    }
    *slab = g_hash_table_lookup(ns->slabs, &ask->slab);
    if (*slab) {
        return RDMA_STATUS_OK;
    }
    return ask->type == RDMA_ASK_FIND ? RDMA_STATUS_MISSING
                                      : slab_make(ns, ask->slab, slab);
}

void namespace_answer(Namespace *ns, const RdmaAsk *ask, RdmaTell *tell)
{
    Slab *slab;

    *tell = (RdmaTell) { .slab = ask->slab };
    tell->status = find_slab(ns, ask, &slab);
    if (tell->status == RDMA_STATUS_OK) {
        tell->rkey = slab->mr->rkey;
        tell->addr = (uintptr_t)slab->memory;
    }
}

/* Namespaces */

static Namespace *namespace_new(MemoryServer *server, const RdmaHello *hello,
                                struct ibv_context *verbs)
{
    Namespace *ns = g_new0(Namespace, 1);

    ns->pd = ibv_alloc_pd(verbs);
    if (!ns->pd) {
        error_report("cannot make a protection domain: %s", strerror(errno));
        g_free(ns);
        return NULL;
    }
    ns->server = server;
    memcpy(&ns->uuid, hello->namespace, sizeof(ns->uuid));
    qemu_guest_getrandom_nofail(&ns->incarnation, sizeof(ns->incarnation));
    ns->nr_pages = hello->nr_pages;
    ns->slabs = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                      slab_destroy);
    ns->connections = g_hash_table_new_full(NULL, NULL, NULL, connection_free);
    ns->idle_since = g_get_monotonic_time();
    g_hash_table_insert(server->namespaces, &ns->uuid, ns);
    return ns;
}

RdmaStatus namespace_get(MemoryServer *server, const RdmaHello *hello,
                         struct ibv_context *verbs, Namespace **result)
{
    Namespace *ns = g_hash_table_lookup(server->namespaces, hello->namespace);

    if (!ns) {
        ns = namespace_new(server, hello, verbs);
    }
    *result = ns;
    if (!ns) {
        return RDMA_STATUS_FAILED;
    }
    if (ns->nr_pages != hello->nr_pages) {
        return RDMA_STATUS_SIZE;
    }
    return ns->pd->context == verbs ? RDMA_STATUS_OK : RDMA_STATUS_DEVICE;
}

/* The device lets go of the memory before it goes. */
void namespace_free(Namespace *ns)
{
    g_hash_table_destroy(ns->connections);
    g_hash_table_destroy(ns->slabs);
    ibv_dealloc_pd(ns->pd);
    g_free(ns);
}

static gboolean is_expired(gpointer key, gpointer value, gpointer opaque)
{
    Namespace *ns = value;
    int64_t since = ns->idle_since;
    int64_t limit = (int64_t)ns->server->expire * G_USEC_PER_SEC;

    if (g_hash_table_size(ns->connections) ||
        g_get_monotonic_time() - since < limit) {
        return false;
    }
    ns->server->nr_expired++;
    return true;
}

void namespace_expire(MemoryServer *server)
{
    g_hash_table_foreach_remove(server->namespaces, is_expired, NULL);
}
