/*
 * Connections to a memory server by RDMA
 *
 * A connection is made by events: the address is known, then the route, then
 * the server has answered.  Each of these steps begins in the handler of the
 * one before, so nothing blocks.  Only the first connection is waited for.
 *
 * Finality.  A WRITE that timed out must not reach the server's memory later.
 * The device can take back nothing that it has begun, and what it has sent can
 * be on the wire for as long as it likes.  So when anything fails or is late:
 *
 * - The queue pair is destroyed, with everything that was on its way.  From
 *   then on our memory is safe, and nothing more is sent.
 * - The next connection has the same number.  Before the server accepts it, it
 *   destroys its own queue pair of the former one: what arrives late for that
 *   is dropped by the server's device.
 * - Nothing is sent before the server has accepted.
 *
 * So requests that have failed have no effect on requests that follow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "rdma-link-internal.h"
#include "remote-memory/store.h"
#include "sparse.h"
#include "trace.h"

/*
 * 4096 ns << 15 are 134 ms until a packet counts as lost, and is sent again at
 * most 7 times.  The default is 2 s, longer than a request may take.
 */
#define ACK_TIMEOUT 15
#define RETRIES 7

#define SLOTS_SIZE (RDMA_LINK_DEPTH * RDMA_PAGE_SIZE)
#define MEMORY_SIZE (SLOTS_SIZE + RDMA_PAGE_SIZE)

QEMU_BUILD_BUG_ON(sizeof(Talk) > RDMA_PAGE_SIZE);

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* Questions */

bool rdma_link_is_up(const RdmaLink *link)
{
    return link->state == LINK_UP;
}

const char *rdma_link_reason(const RdmaLink *link)
{
    return link->reason ?: "not connected yet";
}

unsigned rdma_link_depth(const RdmaLink *link)
{
    return link->verbs.depth;
}

void *rdma_link_slot(const RdmaLink *link, unsigned slot)
{
    return link->memory + slot * RDMA_PAGE_SIZE;
}

/* The end of a connection */

void rdma_link_trouble(RdmaLink *link, const char *fmt, ...)
{
    va_list ap;

    if (!link->trouble) {
        g_autofree char *text = NULL;

        va_start(ap, fmt);
        text = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        error_setg(&link->trouble, "%s", text);
    }
}

static void link_close(RdmaLink *link)
{
    if (link->verbs.channel && link->watched) {
        aio_set_fd_handler(link->ctx, link->verbs.channel->fd, NULL, NULL,
                           NULL, NULL, NULL);
    }
    rdma_verbs_destroy(&link->verbs);
    link->state = LINK_DOWN;
    link->first = link->last = NULL;
    link->nr_wcs = 0;
}

void rdma_link_check(RdmaLink *link)
{
    bool was_up = link->state == LINK_UP;

    if (!link->trouble) {
        return;
    }
    link_close(link);
    g_free(link->reason);
    link->reason = g_strdup(error_get_pretty(link->trouble));
    error_free(link->trouble);
    link->trouble = NULL;
    trace_remote_store_rdma_link(link->server->name, link->reason);
    timer_mod(link->timer, now_ms() + link->server->reconnect_ms);
    if (was_up) {
        link->ops->down(link->opaque, link->reason);
    }
}

/* Connecting */

/* Why there is no way to the server: the usual reason in plain words. */
static const char *why_no_way(int err)
{
    return err == ENODEV ? "no RDMA device leads there" : strerror(err);
}

static void link_start(RdmaLink *link)
{
    struct sockaddr *to = (struct sockaddr *)&link->server->addr;
    struct sockaddr *from = (struct sockaddr *)&link->server->source;
    uint8_t ack_timeout = ACK_TIMEOUT;

    if (rdma_create_id(link->events, &link->verbs.id, NULL, RDMA_PS_TCP)) {
        link->verbs.id = NULL;
        rdma_link_trouble(link, "cannot begin: %s", strerror(errno));
        return;
    }
    /* Not every device can be told. */
    rdma_set_option(link->verbs.id, RDMA_OPTION_ID,
                    RDMA_OPTION_ID_ACK_TIMEOUT, &ack_timeout,
                    sizeof(ack_timeout));
    if (rdma_resolve_addr(link->verbs.id, from->sa_family ? from : NULL, to,
                          link->server->timeout_ms)) {
        rdma_link_trouble(link, "no way to it: %s", why_no_way(errno));
        return;
    }
    link->state = LINK_RESOLVING;
}

static bool is_wanted_device(RdmaLink *link)
{
    const char *device = link->server->device;

    return !device ||
           !strcmp(ibv_get_device_name(link->verbs.id->verbs->device), device);
}

static void link_resolved(RdmaLink *link)
{
    if (!is_wanted_device(link)) {
        rdma_link_trouble(link, "the way to it is by device '%s' and not "
                          "'%s'",
                          ibv_get_device_name(link->verbs.id->verbs->device),
                          link->server->device);
    } else if (rdma_verbs_make(&link->verbs, link->memory, MEMORY_SIZE,
                               RDMA_LINK_DEPTH, RDMA_NR_ASKS,
                               &link->trouble)) {
        if (rdma_resolve_route(link->verbs.id, link->server->timeout_ms)) {
            rdma_link_trouble(link, "no route to it: %s", strerror(errno));
        }
        link->state = LINK_ROUTING;
    }
}

static void link_routed(RdmaLink *link)
{
    struct rdma_conn_param param = {
        .private_data = &link->hello,
        .private_data_len = sizeof(link->hello),
        .responder_resources = 1,
        .initiator_depth = link->verbs.reads,
        .retry_count = RETRIES,
        .rnr_retry_count = RETRIES,
    };

    rdma_link_listen(link);
    if (rdma_connect(link->verbs.id, &param)) {
        rdma_link_trouble(link, "cannot ask for a connection: %s",
                          strerror(errno));
    }
    link->state = LINK_CONNECTING;
}

static void link_established(RdmaLink *link,
                             const struct rdma_conn_param *param)
{
    if (!rdma_welcome_read(&link->welcome, param->private_data,
                           param->private_data_len) ||
        link->welcome.status != RDMA_STATUS_OK) {
        rdma_link_trouble(link, "it is not a memory server");
        return;
    }
    timer_del(link->timer);
    link->state = LINK_UP;
    g_free(link->reason);
    link->reason = NULL;
    trace_remote_store_rdma_link(link->server->name, "connected");
    if (link->watched) {
        rdma_link_watch_completions(link);
    }
    if (link->ops &&
        !link->ops->up(link->opaque, &link->welcome, &link->trouble)) {
        assert(link->trouble);
    }
}

/* A memory server says why; a kernel without one only that there is none. */
static void link_rejected(RdmaLink *link, const struct rdma_conn_param *param)
{
    if (!rdma_welcome_read(&link->welcome, param->private_data,
                           param->private_data_len)) {
        rdma_link_trouble(link, "no memory server answers there");
    } else if (link->welcome.status != RDMA_STATUS_OK) {
        rdma_link_trouble(link, "refused: %s",
                          rdma_status_str(link->welcome.status));
    } else if (link->kind == RDMA_KIND_QUEUE) {
        rdma_link_trouble(link, "refused");
    } else {
        link->state = LINK_ANSWERED;
    }
}

static void link_event(RdmaLink *link, const struct rdma_cm_event *event)
{
    switch (event->event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        link_resolved(link);
        break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        link_routed(link);
        break;
    case RDMA_CM_EVENT_ESTABLISHED:
        link_established(link, &event->param.conn);
        break;
    case RDMA_CM_EVENT_REJECTED:
        link_rejected(link, &event->param.conn);
        break;
    case RDMA_CM_EVENT_DISCONNECTED:
        rdma_link_trouble(link, "closed by the server");
        break;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
        rdma_link_trouble(link, "no way to it: %s",
                          why_no_way(abs(event->status)));
        break;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        rdma_link_trouble(link, "the RDMA device was removed");
        break;
    default:
        break;
    }
}

/*
 * An event has to be given back before its connection can be destroyed, and
 * what it carries goes with it: so the connection is destroyed afterwards.
 */
static bool link_next_event(RdmaLink *link)
{
    struct rdma_cm_event *event;

    if (rdma_get_cm_event(link->events, &event)) {
        return false;
    }
    if (event->id == link->verbs.id) {
        link_event(link, event);
    }
    rdma_ack_cm_event(event);
    return true;
}

static void link_events(void *opaque)
{
    RdmaLink *link = opaque;
    bool was_up = link->state == LINK_UP;

    while (!link->trouble && link_next_event(link)) {
        /* Until there is none left. */
    }
    if (!was_up && link->state == LINK_UP && !link->trouble) {
        link->ops->settle(link->opaque);
    }
    rdma_link_check(link);
}

/*
 * A handler that cannot be polled would keep the context from polling at all.
 * A connection that works need not be looked at: trouble shows otherwise, too.
 */
static bool link_events_poll(void *opaque)
{
    RdmaLink *link = opaque;
    struct pollfd pfd = { .fd = link->events->fd, .events = POLLIN };

    return link->state != LINK_UP && poll(&pfd, 1, 0) > 0;
}

static void link_timer(void *opaque)
{
    RdmaLink *link = opaque;

    if (link->state == LINK_DOWN) {
        timer_mod(link->timer, now_ms() + link->server->timeout_ms);
        link_start(link);
    } else if (link->state != LINK_UP) {
        rdma_link_trouble(link, "no answer in %u ms",
                          link->server->timeout_ms);
    }
    rdma_link_check(link);
}

/* From now on, what happens to the link is handled in its context. */
static void link_watch(void *opaque)
{
    RdmaLink *link = opaque;

    link->watched = true;
    aio_set_fd_handler(link->ctx, link->events->fd, link_events, NULL,
                       link_events_poll, link_events, link);
    if (link->state == LINK_UP) {
        rdma_link_watch_completions(link);
    }
}

/* The first connection */

/* In the calling thread. */
static bool link_connect(RdmaLink *link, Error **errp)
{
    int64_t deadline = now_ms() + link->server->timeout_ms;
    struct pollfd pfd = { .fd = link->events->fd, .events = POLLIN };

    link_start(link);
    while (!link->trouble && link->state != LINK_UP &&
           link->state != LINK_ANSWERED) {
        int64_t ms = deadline - now_ms();

        if (ms <= 0) {
            rdma_link_trouble(link, "no answer in %u ms",
                              link->server->timeout_ms);
        } else if (poll(&pfd, 1, MIN(ms, INT_MAX)) > 0) {
            link_next_event(link);
        }
    }
    if (!link->trouble) {
        return true;
    }
    error_propagate(errp, link->trouble);
    link->trouble = NULL;
    return false;
}

RdmaLink *rdma_link_new(const RdmaServer *server, const RdmaHello *hello,
                        AioContext *ctx, const RdmaLinkOps *ops, void *opaque)
{
    RdmaLink *link = remote_store_alloc(sizeof(RdmaLink));

    link->server = server;
    link->hello = *hello;
    link->kind = hello->kind;
    link->hello.magic = RDMA_MAGIC;
    link->hello.version = RDMA_VERSION;
    rdma_hello_swap(&link->hello);
    link->ctx = ctx;
    link->ops = ops;
    link->opaque = opaque;
    link->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_MS, link_timer,
                                link);
    link->watch_bh = aio_bh_new(ctx, link_watch, link);
    return link;
}

/* Not shared with a child: the device would go on with only one's copy. */
static bool link_prepare(RdmaLink *link, Error **errp)
{
    ERRP_GUARD();

    link->memory = sparse_new(MEMORY_SIZE);
    if (!link->memory || madvise(link->memory, MEMORY_SIZE, MADV_DONTFORK)) {
        error_setg_errno(errp, errno, "no memory");
        return false;
    }
    link->talk = (Talk *)(link->memory + SLOTS_SIZE);
    link->events = rdma_create_event_channel();
    if (!link->events) {
        error_setg_errno(errp, errno, "cannot use the RDMA connection manager");
        error_append_hint(errp, "Load the kernel module rdma_ucm.\n");
        return false;
    }
    return g_unix_set_fd_nonblocking(link->events->fd, true, NULL);
}

bool rdma_link_open(RdmaLink *link, Error **errp)
{
    if (!link_prepare(link, errp) || !link_connect(link, errp)) {
        return false;
    }
    qemu_bh_schedule(link->watch_bh);
    return true;
}

void rdma_link_free(RdmaLink *link)
{
    link_close(link);
    if (link->watched) {
        aio_set_fd_handler(link->ctx, link->events->fd, NULL, NULL, NULL, NULL,
                           NULL);
    }
    if (link->events) {
        rdma_destroy_event_channel(link->events);
    }
    qemu_bh_delete(link->watch_bh);
    timer_free(link->timer);
    error_free(link->trouble);
    g_free(link->reason);
    sparse_free(link->memory, MEMORY_SIZE);
    qemu_vfree(link);
}

bool rdma_server_ask(const RdmaServer *server, const RdmaHello *hello,
                     RdmaWelcome *welcome, Error **errp)
{
    RdmaLink *link = rdma_link_new(server, hello, qemu_get_aio_context(), NULL,
                                   NULL);
    bool ok = link_prepare(link, errp) && link_connect(link, errp);

    *welcome = link->welcome;
    rdma_link_free(link);
    return ok;
}
