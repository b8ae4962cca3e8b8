/*
 * What a connection by RDMA takes of the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qapi/error.h"
#include "rdma-verbs.h"

static bool make_channel(RdmaVerbs *v, Error **errp)
{
    v->channel = ibv_create_comp_channel(v->id->verbs);
    if (!v->channel) {
        error_setg_errno(errp, errno, "cannot make a completion channel");
        return false;
    }
    return g_unix_set_fd_nonblocking(v->channel->fd, true, NULL);
}

static bool make_mr(RdmaVerbs *v, void *memory, size_t size, Error **errp)
{
    ERRP_GUARD();
    struct rlimit limit;

    v->mr = ibv_reg_mr(v->pd, memory, size, IBV_ACCESS_LOCAL_WRITE);
    if (v->mr) {
        return true;
    }
    error_setg_errno(errp, errno, "cannot register %zu bytes of memory", size);
    if (!getrlimit(RLIMIT_MEMLOCK, &limit) &&
        limit.rlim_cur != RLIM_INFINITY) {
        error_append_hint(errp, "Raise the limit of locked memory (ulimit -l), "
                          "which is %" PRIu64 " bytes.\n",
                          (uint64_t)limit.rlim_cur);
    }
    return false;
}

/* The device says how much it can do; nothing is assumed. */
static bool ask_limits(RdmaVerbs *v, unsigned depth, unsigned spare,
                       Error **errp)
{
    ERRP_GUARD();
    struct ibv_device_attr attr;
    unsigned most;

    if (ibv_query_device(v->id->verbs, &attr)) {
        error_setg_errno(errp, errno, "cannot ask the device for its limits");
        return false;
    }
    most = MIN(attr.max_qp_wr, attr.max_cqe / 2);
    if (most <= spare || attr.max_qp_init_rd_atom < 1) {
        error_setg(errp, "the device cannot do READ");
        error_append_hint(errp, "Choose another one by the property "
                          "'device'.\n");
        return false;
    }
    v->depth = MIN(depth, most - spare);
    v->reads = MIN(attr.max_qp_init_rd_atom, UINT8_MAX);
    return true;
}

/*
 * No data is inline: a page is too long for that, and all else is rare.
 */
static bool make_qp(RdmaVerbs *v, unsigned spare, Error **errp)
{
    struct ibv_qp_init_attr attr = {
        .send_cq = v->cq,
        .recv_cq = v->cq,
        .cap = {
            .max_send_wr = v->depth + spare,
            .max_recv_wr = spare,
            .max_send_sge = 1,
            .max_recv_sge = 1,
        },
        .qp_type = IBV_QPT_RC,
        .sq_sig_all = 1,
    };

    if (rdma_create_qp(v->id, v->pd, &attr)) {
        error_setg_errno(errp, errno, "cannot make a queue pair");
        return false;
    }
    return true;
}

bool rdma_verbs_make(RdmaVerbs *v, void *memory, size_t size, unsigned depth,
                     unsigned spare, Error **errp)
{
    if (!ask_limits(v, depth, spare, errp)) {
        return false;
    }
    v->pd = ibv_alloc_pd(v->id->verbs);
    if (!v->pd) {
        error_setg_errno(errp, errno, "cannot make a protection domain");
        return false;
    }
    if (!make_channel(v, errp) || !make_mr(v, memory, size, errp)) {
        return false;
    }
    v->cq = ibv_create_cq(v->id->verbs, v->depth + 2 * spare, NULL, v->channel,
                          0);
    if (!v->cq || ibv_req_notify_cq(v->cq, 0)) {
        error_setg_errno(errp, errno, "cannot make a completion queue");
        return false;
    }
    return make_qp(v, spare, errp);
}

void rdma_verbs_destroy(RdmaVerbs *v)
{
    if (!v->id) {
        return;
    }
    if (v->id->qp) {
        /* So that the server need not find out by itself. */
        rdma_disconnect(v->id);
        rdma_destroy_qp(v->id);
    }
    if (v->cq) {
        ibv_destroy_cq(v->cq);
    }
    if (v->mr) {
        ibv_dereg_mr(v->mr);
    }
    if (v->channel) {
        ibv_destroy_comp_channel(v->channel);
    }
    if (v->pd) {
        ibv_dealloc_pd(v->pd);
    }
    rdma_destroy_id(v->id);
    *v = (RdmaVerbs) { 0 };
}
