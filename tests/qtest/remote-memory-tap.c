/*
 * QTest: the host's end of a tap device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "remote-memory-tap.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

/* Of IEEE 802, for experiments. */
#define ETHER_TYPE 0x88b5

/* For all frames that a queue of the guest holds, with what each costs here. */
#define RECEIVE_BUFFER (4 * MiB)

static bool skip(const char *what)
{
    g_autofree char *why = g_strdup_printf("%s: %s", what, strerror(errno));

    g_test_skip(why);
    return false;
}

/* The guest gets no frames but the test's. */
static void keep_kernel_silent(const char *name)
{
    g_autofree char *path = g_strdup_printf(
        "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY);

    /* A kernel without IPv6 has nothing to say. */
    if (fd >= 0) {
        g_assert_cmpint(write(fd, "1", 1), ==, 1);
        close(fd);
    }
}

/* Frames of the test's size can pass. */
static void bring_up(struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    g_assert_cmpint(fd, >=, 0);
    ifr->ifr_mtu = TAP_FRAME - TAP_HEADER;
    g_assert_no_errno(ioctl(fd, SIOCSIFMTU, ifr));
    ifr->ifr_flags = IFF_UP;
    g_assert_no_errno(ioctl(fd, SIOCSIFFLAGS, ifr));
    close(fd);
}

static int listen_to(const char *name)
{
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETHER_TYPE),
        .sll_ifindex = if_nametoindex(name),
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int size = RECEIVE_BUFFER;

    g_assert_cmpint(fd, >=, 0);
    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size,
                                 sizeof(size)));
    g_assert_no_errno(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
    return fd;
}

bool tap_open(Tap *tap)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

    if (unshare(CLONE_NEWNET)) {
        return skip("a network namespace");
    }
    tap->fd = open("/dev/net/tun", O_RDWR);
    if (tap->fd < 0) {
        return skip("/dev/net/tun");
    }
    g_assert_no_errno(ioctl(tap->fd, TUNSETIFF, &ifr));
    keep_kernel_silent(ifr.ifr_name);
    bring_up(&ifr);
    tap->sock = listen_to(ifr.ifr_name);
    return true;
}

void tap_close(Tap *tap)
{
    close(tap->sock);
    close(tap->fd);
}

void tap_make_header(uint8_t *frame)
{
    static const uint8_t from[ETH_ALEN] = { 0x52, 0x54, 0, 0, 0, 1 };

    memset(frame, 0xff, ETH_ALEN);
    memcpy(frame + ETH_ALEN, from, ETH_ALEN);
    frame[2 * ETH_ALEN] = ETHER_TYPE >> 8;
    frame[2 * ETH_ALEN + 1] = ETHER_TYPE & 0xff;
}

void tap_send(const Tap *tap, const uint8_t *frame)
{
    g_assert_cmpint(send(tap->sock, frame, TAP_FRAME, 0), ==, TAP_FRAME);
}

void tap_receive(const Tap *tap, uint8_t *frame)
{
    g_assert_cmpint(recv(tap->sock, frame, TAP_FRAME, MSG_TRUNC), ==,
                    TAP_FRAME);
}

bool tap_idle(const Tap *tap)
{
    struct pollfd pfd = { .fd = tap->sock, .events = POLLIN };

    return poll(&pfd, 1, 0) == 0;
}
