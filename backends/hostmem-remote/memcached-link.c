/*
 * Links to a memcached server: gets that do not block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include "block/aio.h"
#include "qemu/timer.h"
#include "memcached-link.h"
#include "trace.h"

/* The answer to a get of a page: head, page and tail. */
#define HEAD_BEGIN "VALUE "
#define HEAD_END " 0 " stringify(REMOTE_STORE_PAGE_SIZE) "\r\n"
#define HEAD_LEN (sizeof(HEAD_BEGIN) - 1 + MC_KEY_LEN + sizeof(HEAD_END) - 1)
#define TAIL "\r\n"
#define LAST_TAIL "\r\nEND\r\n"
#define TAIL_AT (HEAD_LEN + REMOTE_STORE_PAGE_SIZE)

/*
 * Most keys in a line, which then has less than the 2048 bytes from which on
 * memcached suspects a line of being an attack.
 */
#define LINE_KEYS 64

/* Gets that a link has room for at first; it grows by doubling. */
#define INITIAL_CAPACITY 64

/* @head and @tail are filled with what comes, @wanted is what has to. */
typedef struct McLinkGet {
    RemoteStoreRequest *req;
    bool last;
    char wanted[HEAD_LEN];
    char head[HEAD_LEN];
    char tail[sizeof(LAST_TAIL) - 1];
} McLinkGet;

/*
 * @fd: -1 while closed
 * @gets: ring of what was asked for and is not done, in this order
 * @capacity: size of the ring, a power of 2
 * @first: position of the oldest
 * @nr: number of gets
 * @line_keys: how many of the latest are in a line that is not ended yet
 * @got: bytes of the answer to the oldest, and maybe to the next ones, too
 * @unseen: something was received since that was last looked at
 * @trouble: why the connection cannot go on, or %NULL
 * @out: what is to be sent
 * @nr_sent: bytes of it that were
 * @blocked: the rest waits for room in the socket
 * @since: when the server could begin to answer the oldest line, in ns
 * @timer: pending as long as there are gets, and maybe once in vain after that
 */
struct McLink {
    const McServer *server;
    AioContext *ctx;
    unsigned burst;
    const McLinkOps *ops;
    void *opaque;

    int fd;
    McLinkGet *gets;
    size_t capacity;
    size_t first;
    size_t nr;
    size_t line_keys;
    size_t got;
    bool unseen;
    const char *trouble;
    GByteArray *out;
    size_t nr_sent;
    bool blocked;
    int64_t since;
    QEMUTimer *timer;
};

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

/* Gets */

static McLinkGet *nth_get(const McLink *link, size_t n)
{
    return &link->gets[(link->first + n) & (link->capacity - 1)];
}

static size_t tail_len(const McLinkGet *get)
{
    return get->last ? sizeof(LAST_TAIL) - 1 : sizeof(TAIL) - 1;
}

/* Whether the first @got bytes of the answer are what they have to be. */
static bool is_wanted(const McLinkGet *get, size_t got)
{
    /* The longer tail begins like the shorter one. */
    return !memcmp(get->head, get->wanted, MIN(got, HEAD_LEN)) &&
           (got <= TAIL_AT || !memcmp(get->tail, LAST_TAIL, got - TAIL_AT));
}

static void grow(McLink *link)
{
    McLinkGet *gets = g_new(McLinkGet, 2 * link->capacity);

    for (size_t i = 0; i < link->nr; i++) {
        gets[i] = *nth_get(link, i);
    }
    g_free(link->gets);
    link->gets = gets;
    link->first = 0;
    link->capacity *= 2;
}

static void push_get(McLink *link, RemoteStoreRequest *req, const McKey *key)
{
    McLinkGet *get;
    char *to;

    if (link->nr == link->capacity) {
        grow(link);
    }
    get = nth_get(link, link->nr++);
    get->req = req;
    get->last = false;
    to = mempcpy(get->wanted, HEAD_BEGIN, sizeof(HEAD_BEGIN) - 1);
    to = mempcpy(to, key->text, MC_KEY_LEN);
    memcpy(to, HEAD_END, sizeof(HEAD_END) - 1);
}

/* Take out the oldest. */
static void pop_get(McLink *link, RemoteStoreRequestList *to)
{
    RemoteStoreRequest *req = nth_get(link, 0)->req;

    QSIMPLEQ_INSERT_TAIL(to, req, entry);
    link->first++;
    link->nr--;
}

static void pop_all(McLink *link, RemoteStoreRequestList *to)
{
    while (link->nr) {
        pop_get(link, to);
    }
}

/* The connection */

static void link_close(McLink *link)
{
    if (link->fd < 0) {
        return;
    }
    trace_remote_store_memcached_link(link->server->name, link->fd,
                                      link->trouble ?: "closed");
    aio_set_fd_handler(link->ctx, link->fd, NULL, NULL, NULL, NULL, NULL);
    /* At once, even if something still refers to the descriptor. */
    shutdown(link->fd, SHUT_RDWR);
    close(link->fd);
    timer_del(link->timer);
    link->fd = -1;
    link->line_keys = 0;
    link->got = 0;
    link->unseen = false;
    link->trouble = NULL;
    g_byte_array_set_size(link->out, 0);
    link->nr_sent = 0;
    link->blocked = false;
}

/*
 * Last in each entry, because @link may be gone afterwards: let what ended end,
 * after giving the rest back if there is trouble.
 */
static void link_finish(McLink *link, RemoteStoreRequestList *ended)
{
    if (link->trouble) {
        RemoteStoreRequestList rest = QSIMPLEQ_HEAD_INITIALIZER(rest);

        link_close(link);
        pop_all(link, &rest);
        if (!QSIMPLEQ_EMPTY(&rest)) {
            link->ops->given_back(link->opaque, &rest);
        }
    }
    if (!QSIMPLEQ_EMPTY(ended)) {
        link->ops->ended(link->opaque, ended);
    }
}

/* Receiving */

/* Parts of a stream of which the first @skip bytes have been read. */
typedef struct Parts {
    struct iovec iov[3 * MC_LINK_MAX_BURST];
    int nr;
    size_t skip;
} Parts;

static void add_part(Parts *parts, void *base, size_t len)
{
    if (parts->skip >= len) {
        parts->skip -= len;
        return;
    }
    parts->iov[parts->nr++] = (struct iovec) {
        .iov_base = base + parts->skip,
        .iov_len = len - parts->skip,
    };
    parts->skip = 0;
}

/*
 * Read, without looking at it, what there is of the next few answers.
 * Returns: whether there is something to look at.
 */
static bool link_receive(McLink *link)
{
    Parts parts = { .nr = 0, .skip = link->got };
    char unasked;
    ssize_t len;

    if (link->unseen) {
        return true;
    }
    for (size_t i = 0; i < MIN(link->nr, link->burst); i++) {
        McLinkGet *get = nth_get(link, i);

        add_part(&parts, get->head, HEAD_LEN);
        add_part(&parts, get->req->buf, REMOTE_STORE_PAGE_SIZE);
        add_part(&parts, get->tail, tail_len(get));
    }
    if (!link->nr) {
        add_part(&parts, &unasked, sizeof(unasked));
    }
    len = RETRY_ON_EINTR(readv(link->fd, parts.iov, parts.nr));
    if (len < 0 && errno == EAGAIN) {
        return false;
    }
    link->unseen = true;
    if (len < 0) {
        link->trouble = strerror(errno);
    } else if (!len) {
        link->trouble = "closed by the server";
    } else if (!link->nr) {
        link->trouble = "not asked for anything";
    } else {
        link->got += len;
    }
    return true;
}

/* Look at what was received, and take out what is done. */
static void link_collect(McLink *link, RemoteStoreRequestList *ended)
{
    link->unseen = false;
    while (link->nr) {
        McLinkGet *get = nth_get(link, 0);
        size_t len = TAIL_AT + tail_len(get);

        if (!is_wanted(get, MIN(link->got, len))) {
            link->trouble = "not what was asked for";
            return;
        }
        if (link->got < len) {
            return;
        }
        link->got -= len;
        get->req->result = REMOTE_STORE_OK;
        if (get->last && link->nr > 1) {
            link->since = now_ns();
        }
        pop_get(link, ended);
    }
}

static void link_look(McLink *link)
{
    RemoteStoreRequestList ended = QSIMPLEQ_HEAD_INITIALIZER(ended);

    link_collect(link, &ended);
    link_finish(link, &ended);
}

static void link_readable(void *opaque)
{
    McLink *link = opaque;

    if (link_receive(link)) {
        link_look(link);
    }
}

/* Reading at once is cheaper than asking whether there is something. */
static bool link_poll(void *opaque)
{
    McLink *link = opaque;

    return link->nr && link_receive(link);
}

static void link_poll_ready(void *opaque)
{
    McLink *link = opaque;

    if (link->unseen) {
        link_look(link);
    }
}

/*
 * The server has a time for each line, from when it was sent or the one before
 * was answered; so one that answers byte by byte does not get away with it.
 */
static int64_t link_due(const McLink *link)
{
    return link->since + (int64_t)link->server->timeout_ms * SCALE_MS;
}

static void link_timer(void *opaque)
{
    McLink *link = opaque;
    RemoteStoreRequestList ended = QSIMPLEQ_HEAD_INITIALIZER(ended);
    RemoteStoreRequestList late = QSIMPLEQ_HEAD_INITIALIZER(late);
    RemoteStoreRequest *req;

    /* It may have been this thread that was late, and all is there. */
    while (link->nr && !link->trouble && link_receive(link)) {
        link_collect(link, &ended);
    }
    if (link->nr && !link->trouble) {
        if (now_ns() < link_due(link)) {
            timer_mod(link->timer, link_due(link));
        } else {
            pop_all(link, &late);
            link->trouble = "timed out";
        }
    }
    QSIMPLEQ_FOREACH(req, &late, entry) {
        req->result = REMOTE_STORE_TIMEOUT;
    }
    QSIMPLEQ_CONCAT(&ended, &late);
    link_finish(link, &ended);
}

/* Sending */

static void link_writable(void *opaque);

static void link_watch(McLink *link)
{
    aio_set_fd_handler(link->ctx, link->fd, link_readable,
                       link->blocked ? link_writable : NULL,
                       link_poll, link_poll_ready, link);
}

/* Send as much as possible. */
static void link_send(McLink *link)
{
    size_t len = link->out->len - link->nr_sent;
    ssize_t ret = RETRY_ON_EINTR(send(link->fd,
                                      link->out->data + link->nr_sent, len,
                                      MSG_DONTWAIT | MSG_NOSIGNAL));
    bool blocked = ret < 0 ? errno == EAGAIN : ret < len;

    if (ret < 0 && !blocked) {
        link->trouble = strerror(errno);
        return;
    }
    link->nr_sent += MAX(ret, 0);
    if (!blocked) {
        g_byte_array_set_size(link->out, 0);
        link->nr_sent = 0;
    }
    if (blocked != link->blocked) {
        link->blocked = blocked;
        link_watch(link);
    }
}

static void link_writable(void *opaque)
{
    McLink *link = opaque;
    RemoteStoreRequestList ended = QSIMPLEQ_HEAD_INITIALIZER(ended);

    link_send(link);
    link_finish(link, &ended);
}

static void add_text(McLink *link, const char *text, size_t len)
{
    g_byte_array_append(link->out, (const guint8 *)text, len);
}

static void end_line(McLink *link)
{
    if (link->line_keys) {
        add_text(link, "\r\n", 2);
        nth_get(link, link->nr - 1)->last = true;
        link->line_keys = 0;
    }
}

bool mc_link_get(McLink *link, RemoteStoreRequest *req, const McKey *key)
{
    if (link->fd < 0) {
        return false;
    }
    if (link->line_keys == LINE_KEYS) {
        end_line(link);
    }
    if (!link->line_keys++) {
        add_text(link, "get", 3);
    }
    add_text(link, " ", 1);
    add_text(link, key->text, MC_KEY_LEN);
    if (!link->nr) {
        link->since = now_ns();
        /* Not for each get: it sees by itself whether it is time. */
        if (!timer_pending(link->timer)) {
            timer_mod(link->timer, link_due(link));
        }
    }
    push_get(link, req, key);
    return true;
}

void mc_link_flush(McLink *link)
{
    RemoteStoreRequestList none = QSIMPLEQ_HEAD_INITIALIZER(none);

    end_line(link);
    if (link->out->len && !link->blocked) {
        link_send(link);
        link_finish(link, &none);
    }
}

/* Beginning and end */

McLink *mc_link_new(const McServer *server, AioContext *ctx, unsigned burst,
                    const McLinkOps *ops, void *opaque)
{
    McLink *link = g_new0(McLink, 1);

    assert(burst > 0 && burst <= MC_LINK_MAX_BURST);
    link->server = server;
    link->ctx = ctx;
    link->burst = burst;
    link->ops = ops;
    link->opaque = opaque;
    link->fd = -1;
    link->capacity = INITIAL_CAPACITY;
    link->gets = g_new(McLinkGet, link->capacity);
    link->out = g_byte_array_new();
    link->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS,
                                link_timer, link);
    return link;
}

void mc_link_free(McLink *link)
{
    if (!link) {
        return;
    }
    assert(!link->nr);
    link_close(link);
    timer_free(link->timer);
    g_byte_array_unref(link->out);
    g_free(link->gets);
    g_free(link);
}

void mc_link_open(McLink *link, int fd)
{
    if (link->fd >= 0) {
        close(fd);
        return;
    }
    trace_remote_store_memcached_link(link->server->name, fd, "open");
    link->fd = fd;
    link_watch(link);
}
