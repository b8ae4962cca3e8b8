/*
 * qemu-memory-server: one queue's connection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include "qemu/error-report.h"
#include "server.h"

/* What is received and what is sent; seen by the device. */
typedef struct Talk {
    RdmaAsk asks[RDMA_NR_ASKS];
    RdmaTell tells[RDMA_NR_ASKS];
} Talk;

/* Work requests: an ask has its own number, the rest is sent. */
#define WR_TELL RDMA_NR_ASKS

/*
 * @source: in the main loop, watches @channel
 */
struct Connection {
    Namespace *ns;
    uint32_t number;
    struct rdma_cm_id *id;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_mr *mr;
    Talk *talk;
    guint source;
};

/*
 * All but the id.  The queue pair first: from then on, nothing that arrives for
 * it changes memory.
 */
static void connection_close(Connection *c)
{
    if (c->source) {
        g_source_remove(c->source);
    }
    if (c->id->qp) {
        /* So that the client need not find out by itself. */
        rdma_disconnect(c->id);
        rdma_destroy_qp(c->id);
    }
    if (c->cq) {
        ibv_destroy_cq(c->cq);
    }
    if (c->channel) {
        ibv_destroy_comp_channel(c->channel);
    }
    if (c->mr) {
        ibv_dereg_mr(c->mr);
    }
    g_free(c->talk);
    c->ns->idle_since = g_get_monotonic_time();
    g_free(c);
}

void connection_free(gpointer opaque)
{
    Connection *c = opaque;
    struct rdma_cm_id *id = c->id;

    connection_close(c);
    rdma_destroy_id(id);
}

static void connection_remove(Connection *c)
{
    g_hash_table_remove(c->ns->connections, GUINT_TO_POINTER(c->number));
}

void connection_end(struct rdma_cm_id *id)
{
    connection_remove(id->context);
}

/* Questions and answers */

static bool post_ask(Connection *c, unsigned i)
{
    struct ibv_sge sge = {
        .addr = (uintptr_t)&c->talk->asks[i],
        .length = sizeof(RdmaAsk),
        .lkey = c->mr->lkey,
    };
    struct ibv_recv_wr wr = {
        .wr_id = i, .sg_list = &sge, .num_sge = 1,
    }, *bad;

    return !ibv_post_recv(c->id->qp, &wr, &bad);
}

static bool send_tell(Connection *c, unsigned i)
{
    struct ibv_sge sge = {
        .addr = (uintptr_t)&c->talk->tells[i],
        .length = sizeof(RdmaTell),
        .lkey = c->mr->lkey,
    };
    struct ibv_send_wr wr = {
        .wr_id = WR_TELL, .sg_list = &sge, .num_sge = 1,
        .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED,
    }, *bad;

    return !ibv_post_send(c->id->qp, &wr, &bad);
}

/* Returns: whether the connection can go on. */
static bool handle(Connection *c, const struct ibv_wc *wc)
{
    RdmaAsk ask;

    if (wc->status != IBV_WC_SUCCESS) {
        return false;
    }
    if (wc->wr_id == WR_TELL) {
        return true;
    }
    if (wc->byte_len != sizeof(ask)) {
        return false;
    }
    ask = c->talk->asks[wc->wr_id];
    rdma_ask_swap(&ask);
    namespace_answer(c->ns, &ask, &c->talk->tells[wc->wr_id]);
    rdma_tell_swap(&c->talk->tells[wc->wr_id]);
    /* The next one may be asked as soon as this is answered. */
    return post_ask(c, wc->wr_id) && send_tell(c, wc->wr_id);
}

static bool drain(Connection *c)
{
    struct ibv_wc wc;
    int nr;

    while ((nr = ibv_poll_cq(c->cq, 1, &wc)) > 0) {
        if (!handle(c, &wc)) {
            return false;
        }
    }
    return nr == 0;
}

static gboolean channel_readable(gint fd, GIOCondition condition,
                                 gpointer opaque)
{
    Connection *c = opaque;
    struct ibv_cq *cq;
    void *context;
    bool ok = true;

    if (!ibv_get_cq_event(c->channel, &cq, &context)) {
        ibv_ack_cq_events(cq, 1);
        ok = !ibv_req_notify_cq(cq, 0);
    }
    if (ok && drain(c)) {
        return G_SOURCE_CONTINUE;
    }
    c->source = 0;
    connection_remove(c);
    return G_SOURCE_REMOVE;
}

/* Beginning */

static bool make_qp(Connection *c)
{
    struct ibv_qp_init_attr attr = {
        .send_cq = c->cq,
        .recv_cq = c->cq,
        .cap = {
            .max_send_wr = 2 * RDMA_NR_ASKS,
            .max_recv_wr = RDMA_NR_ASKS,
            .max_send_sge = 1,
            .max_recv_sge = 1,
        },
        .qp_type = IBV_QPT_RC,
    };

    return !rdma_create_qp(c->id, c->ns->pd, &attr);
}

static bool prepare(Connection *c)
{
    c->channel = ibv_create_comp_channel(c->id->verbs);
    if (!c->channel ||
        !g_unix_set_fd_nonblocking(c->channel->fd, true, NULL)) {
        return false;
    }
    c->cq = ibv_create_cq(c->id->verbs, 4 * RDMA_NR_ASKS, NULL, c->channel, 0);
    c->mr = ibv_reg_mr(c->ns->pd, c->talk, sizeof(*c->talk),
                       IBV_ACCESS_LOCAL_WRITE);
    if (!c->cq || !c->mr || ibv_req_notify_cq(c->cq, 0) || !make_qp(c)) {
        return false;
    }
    for (unsigned i = 0; i < RDMA_NR_ASKS; i++) {
        if (!post_ask(c, i)) {
            return false;
        }
    }
    c->source = g_unix_fd_add(c->channel->fd, G_IO_IN, channel_readable, c);
    return true;
}

/* As many reads at a time as the client wants and the device can answer. */
static uint8_t reads(struct rdma_cm_id *id, const struct rdma_conn_param *param)
{
    struct ibv_device_attr attr;

    return ibv_query_device(id->verbs, &attr) ? 1 :
           MIN(param->responder_resources, attr.max_qp_rd_atom);
}

bool connection_accept(Namespace *ns, struct rdma_cm_id *id,
                       const struct rdma_conn_param *param, uint32_t number,
                       const RdmaWelcome *welcome)
{
    Connection *c = g_new0(Connection, 1);
    RdmaWelcome wire = *welcome;
    struct rdma_conn_param answer = {
        .private_data = &wire,
        .private_data_len = sizeof(wire),
        .responder_resources = reads(id, param),
        .initiator_depth = 1,
        .rnr_retry_count = 7,
    };

    rdma_welcome_swap(&wire);
    c->ns = ns;
    c->number = number;
    c->id = id;
    c->talk = g_new0(Talk, 1);
    g_hash_table_remove(ns->connections, GUINT_TO_POINTER(number));
    if (!prepare(c) || rdma_accept(id, &answer)) {
        error_report("cannot accept a connection: %s", strerror(errno));
        connection_close(c);
        return false;
    }
    id->context = c;
    g_hash_table_insert(ns->connections, GUINT_TO_POINTER(number), c);
    return true;
}
