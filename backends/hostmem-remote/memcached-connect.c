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

/* Wait for @events until @deadline, in ms of QEMU_CLOCK_REALTIME. */
static bool wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd pfd = { .fd = fd, .events = events };
    int64_t ms;

    do {
        ms = MAX(deadline - qemu_clock_get_ms(QEMU_CLOCK_REALTIME), 0);
        if (poll(&pfd, 1, MIN(ms, INT_MAX)) > 0) {
            return true;
        }
    } while (ms);
    return false;
}

/*
 * A server with too many connections lets them wait, and only a reply tells.
 * So does one that is stopped.
 */
static bool says_hello(int fd, int64_t deadline)
{
    static const char hello[] = "version\r\n";
    char reply[128];
    size_t len = 0;

    if (send(fd, hello, strlen(hello), MSG_NOSIGNAL) != strlen(hello)) {
        return false;
    }
    do {
        ssize_t n;

        if (len == sizeof(reply) || !wait_for(fd, POLLIN, deadline)) {
            return false;
        }
        n = RETRY_ON_EINTR(recv(fd, reply + len, sizeof(reply) - len, 0));
        if (n <= 0) {
            return false;
        }
        len += n;
    } while (reply[len - 1] != '\n');
    reply[len - 1] = '\0';
    return strstart(reply, "VERSION ", NULL);
}

static bool is_connected(int fd)
{
    int err;
    socklen_t len = sizeof(err);

    return !getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) && !err;
}

static int connect_to(const McServer *server, const struct sockaddr *addr,
                      socklen_t len)
{
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                       server->timeout_ms;
    int fd = qemu_socket(addr->sa_family, SOCK_STREAM, 0);

    if (fd < 0) {
        return -1;
    }
    qemu_socket_set_nonblock(fd);
    if ((!connect(fd, addr, len) || errno == EINPROGRESS) &&
        wait_for(fd, POLLOUT, deadline) && is_connected(fd) &&
        says_hello(fd, deadline + server->timeout_ms)) {
        return fd;
    }
    close(fd);
    return -1;
}

static int connect_unix(const McServer *server)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };

    pstrcpy(un.sun_path, sizeof(un.sun_path), server->path);
    return connect_to(server, (struct sockaddr *)&un, sizeof(un));
}

static int connect_inet(const McServer *server)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    g_autofree char *port = g_strdup_printf("%u", server->port);
    const int on = 1;
    int fd = -1;

    if (getaddrinfo(server->host, port, &hints, &list)) {
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = connect_to(server, a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        socket_set_nodelay(fd);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    return fd;
}

int mc_connect(const McServer *server)
{
    return server->path ? connect_unix(server) : connect_inet(server);
}
