/*
 * Connections to memcached servers, as sockets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/un.h>
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qemu/timer.h"
#include "memcached-connect.h"

/* Longer than any line that is expected. */
#define REPLY_LEN 128

/* Wait for @events until @deadline, in ms of QEMU_CLOCK_REALTIME. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd pfd = { .fd = fd, .events = events };
    int64_t ms;

    do {
        ms = MAX(deadline - qemu_clock_get_ms(QEMU_CLOCK_REALTIME), 0);
        if (poll(&pfd, 1, MIN(ms, INT_MAX)) > 0) {
            return 0;
        }
    } while (ms);
    return -ETIMEDOUT;
}

/*
 * Send @question, a line, and read the line that answers it.  A server with
 * too many connections lets them wait, and only a reply tells.  So does one
 * that is stopped.
 */
static int ask(int fd, const char *question, char reply[REPLY_LEN],
               int64_t deadline)
{
    ssize_t sent = send(fd, question, strlen(question), MSG_NOSIGNAL);
    size_t len = 0;

    if (sent != strlen(question)) {
        return sent < 0 ? -errno : -ECONNRESET;
    }
    do {
        int ret = wait_for(fd, POLLIN, deadline);
        ssize_t n;

        if (ret) {
            return ret;
        }
        n = RETRY_ON_EINTR(recv(fd, reply + len, REPLY_LEN - len, 0));
        if (n <= 0) {
            return n ? -errno : -ECONNRESET;
        }
        len += n;
        if (len == REPLY_LEN) {
            return -EPROTO;
        }
    } while (reply[len - 1] != '\n');
    reply[len - 1] = '\0';
    return 0;
}

/* Wait for the connection to be there, or not. */
static int finish_connect(int fd, int64_t deadline)
{
    int err, ret = wait_for(fd, POLLOUT, deadline);
    socklen_t len = sizeof(err);

    if (ret) {
        return ret;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? -errno : -err;
}

static int connect_to(const McServer *server, const struct sockaddr *addr,
                      socklen_t len, const char *question,
                      char reply[REPLY_LEN])
{
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                       server->timeout_ms;
    int fd = qemu_socket(addr->sa_family, SOCK_STREAM, 0);
    int ret = 0;

    if (fd < 0) {
        return -errno;
    }
    qemu_socket_set_nonblock(fd);
    if (connect(fd, addr, len)) {
        ret = errno == EINPROGRESS ? finish_connect(fd, deadline) : -errno;
    }
    ret = ret ?: ask(fd, question, reply, deadline + server->timeout_ms);
    if (ret) {
        close(fd);
        return ret;
    }
    return fd;
}

static int connect_unix(const McServer *server, const char *question,
                        char reply[REPLY_LEN])
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    pstrcpy(un.sun_path, sizeof(un.sun_path), server->path);
    return connect_to(server, (struct sockaddr *)&un, sizeof(un), question,
                      reply);
}

static int connect_inet(const McServer *server, const char *question,
                        char reply[REPLY_LEN])
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    g_autofree char *port = g_strdup_printf("%u", server->port);
    const int on = 1;
    int fd = -EHOSTUNREACH;

    if (getaddrinfo(server->host, port, &hints, &list)) {
        return fd;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = connect_to(server, a->ai_addr, a->ai_addrlen, question, reply);
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        socket_set_nodelay(fd);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    return fd;
}

/* Connect, and have a question answered.  Returns: the socket, or -errno. */
static int connect_and_ask(const McServer *server, const char *question,
                           char reply[REPLY_LEN])
{
    return server->path ? connect_unix(server, question, reply)
                        : connect_inet(server, question, reply);
}

int mc_connect(const McServer *server)
{
    char reply[REPLY_LEN];
    int fd = connect_and_ask(server, "version\r\n", reply);

    if (fd >= 0 && !strstart(reply, "VERSION ", NULL)) {
        close(fd);
        return -EPROTO;
    }
    return fd;
}

int mc_probe(const McServer *server, const McKey *key, bool *found)
{
    g_autofree char *question = g_strdup_printf("touch %s 0\r\n", key->text);
    char reply[REPLY_LEN];
    int fd = connect_and_ask(server, question, reply);

    if (fd < 0) {
        return fd;
    }
    close(fd);
    *found = strstart(reply, "TOUCHED", NULL);
    return *found || strstart(reply, "NOT_FOUND", NULL) ? 0 : -EPROTO;
}
