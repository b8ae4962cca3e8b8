/*
 * Connections to a memory server by RDMA: what goes over them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "rdma-link-internal.h"

/* Work requests that are not for slots: what is asked, and what is told. */
#define WR_ASK RDMA_LINK_DEPTH
#define WR_TELL (RDMA_LINK_DEPTH + 1)

/* Completions */

static void post_tell(RdmaLink *link, RdmaTell *tell)
{
    struct ibv_sge sge = {
        .addr = (uintptr_t)tell,
        .length = sizeof(*tell),
        .lkey = link->verbs.mr->lkey,
    };
    struct ibv_recv_wr wr = {
        .wr_id = WR_TELL + (tell - link->talk->tells),
        .sg_list = &sge,
        .num_sge = 1,
    }, *bad;

    if (ibv_post_recv(link->verbs.id->qp, &wr, &bad)) {
        rdma_link_trouble(link, "cannot get ready to receive");
    }
}

static void link_told(RdmaLink *link, const struct ibv_wc *wc)
{
    RdmaTell *slot = &link->talk->tells[wc->wr_id - WR_TELL];
    RdmaTell tell = *slot;

    if (wc->byte_len != sizeof(tell)) {
        rdma_link_trouble(link, "the server does not speak the protocol");
        return;
    }
    rdma_tell_swap(&tell);
    post_tell(link, slot);
    link->ops->told(link->opaque, &tell);
}

static void link_completed(RdmaLink *link, const struct ibv_wc *wc)
{
    if (wc->status != IBV_WC_SUCCESS) {
        rdma_link_trouble(link, "%s", ibv_wc_status_str(wc->status));
    } else if (wc->wr_id >= WR_TELL) {
        link_told(link, wc);
    } else if (wc->wr_id < RDMA_LINK_DEPTH) {
        link->ops->moved(link->opaque, wc->wr_id);
    }
}

/* Is there something?  Asking the device is a look at memory. */
static bool link_poll(void *opaque)
{
    RdmaLink *link = opaque;

    if (!link->nr_wcs && link->state == LINK_UP) {
        link->nr_wcs = ibv_poll_cq(link->verbs.cq, RDMA_LINK_BURST, link->wcs);
        if (link->nr_wcs < 0) {
            link->nr_wcs = 0;
            rdma_link_trouble(link, "cannot read completions");
        }
    }
    return link->nr_wcs || link->trouble;
}

/* Trouble is looked at last: what is done before it, is done. */
static void link_poll_ready(void *opaque)
{
    RdmaLink *link = opaque;

    while (!link->trouble && link_poll(link)) {
        int nr = link->nr_wcs;

        link->nr_wcs = 0;
        for (int i = 0; i < nr; i++) {
            link_completed(link, &link->wcs[i]);
        }
        link->ops->settle(link->opaque);
    }
    rdma_link_check(link);
}

void rdma_link_receive(RdmaLink *link)
{
    link_poll_ready(link);
}

/*
 * While the event loop polls, nobody takes the events of the channel, and the
 * device sends no other until they are: so at most one is left, which leads
 * here when the polling ends.
 */
static void link_readable(void *opaque)
{
    RdmaLink *link = opaque;
    struct ibv_cq *cq;
    void *context;

    if (!ibv_get_cq_event(link->verbs.channel, &cq, &context)) {
        ibv_ack_cq_events(cq, 1);
        if (ibv_req_notify_cq(cq, 0)) {
            rdma_link_trouble(link, "cannot wait for completions");
        }
    }
    link_poll_ready(link);
}

/* Posting */

static void add_wr(RdmaLink *link, struct ibv_send_wr *wr)
{
    wr->next = NULL;
    if (link->first) {
        link->last->next = wr;
    } else {
        link->first = wr;
    }
    link->last = wr;
}

static struct ibv_send_wr *wr_init(RdmaLink *link, unsigned number,
                                   enum ibv_wr_opcode opcode, void *memory,
                                   size_t size)
{
    link->sges[number] = (struct ibv_sge) {
        .addr = (uintptr_t)memory,
        .length = size,
        .lkey = link->verbs.mr->lkey,
    };
    link->wrs[number] = (struct ibv_send_wr) {
        .wr_id = number,
        .sg_list = &link->sges[number],
        .num_sge = 1,
        .opcode = opcode,
    };
    return &link->wrs[number];
}

void rdma_link_move(RdmaLink *link, unsigned slot, bool write, uint64_t addr,
                    uint32_t rkey)
{
    struct ibv_send_wr *wr = wr_init(link, slot, write ? IBV_WR_RDMA_WRITE
                                                       : IBV_WR_RDMA_READ,
                                     rdma_link_slot(link, slot),
                                     RDMA_PAGE_SIZE);

    wr->wr.rdma.remote_addr = addr;
    wr->wr.rdma.rkey = rkey;
    add_wr(link, wr);
}

void rdma_link_ask(RdmaLink *link, RdmaAskType type, uint64_t slab)
{
    RdmaAsk *ask = &link->talk->ask;

    *ask = (RdmaAsk) { .type = type, .slab = slab };
    rdma_ask_swap(ask);
    add_wr(link, wr_init(link, WR_ASK, IBV_WR_SEND, ask, sizeof(*ask)));
}

void rdma_link_post(RdmaLink *link)
{
    struct ibv_send_wr *bad;

    if (link->first) {
        if (ibv_post_send(link->verbs.id->qp, link->first, &bad)) {
            rdma_link_trouble(link, "cannot post requests");
        }
        link->first = link->last = NULL;
    }
}

/* Beginning */

void rdma_link_listen(RdmaLink *link)
{
    for (int i = 0; i < RDMA_NR_ASKS; i++) {
        post_tell(link, &link->talk->tells[i]);
    }
}

void rdma_link_watch_completions(RdmaLink *link)
{
    aio_set_fd_handler(link->ctx, link->verbs.channel->fd, link_readable, NULL,
                       link_poll, link_poll_ready, link);
}
