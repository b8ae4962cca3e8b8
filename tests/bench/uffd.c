/*
 * userfaultfd, for programs that end when it does not work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "toucher.h"
#include "uffd.h"

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Do an ioctl until the kernel gives an answer other than "not now". */
static int uffd_try(int uffd, unsigned long request, void *arg)
{
    while (ioctl(uffd, request, arg)) {
        if (errno != EAGAIN) {
            return errno;
        }
    }
    return 0;
}

static void uffd_do(int uffd, unsigned long request, void *arg,
                    const char *name)
{
    if (uffd_try(uffd, request, arg)) {
        die(name);
    }
}

int uffd_open(bool blocking)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_MOVE,
    };
    int flags = O_CLOEXEC | (blocking ? 0 : O_NONBLOCK);
    int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    int uffd = dev >= 0 ? ioctl(dev, USERFAULTFD_IOC_NEW, flags)
                        : syscall(SYS_userfaultfd, flags);

    if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
        die("userfaultfd");
    }
    if (dev >= 0) {
        close(dev);
    }
    return uffd;
}

void uffd_register(int uffd, void *start, size_t bytes)
{
    struct uffdio_register reg = {
        .range = { (uintptr_t)start, bytes },
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };

    uffd_do(uffd, UFFDIO_REGISTER, &reg, "UFFDIO_REGISTER");
}

void uffd_copy(int uffd, void *to, const void *from, size_t bytes)
{
    struct uffdio_copy copy = {
        .dst = (uintptr_t)to,
        .src = (uintptr_t)from,
        .len = bytes,
    };

    uffd_do(uffd, UFFDIO_COPY, &copy, "UFFDIO_COPY");
}

void uffd_move(int uffd, void *to, void *from)
{
    struct uffdio_move move = {
        .dst = (uintptr_t)to,
        .src = (uintptr_t)from,
        .len = PAGE_BYTES,
    };

    /*
     * Linux 6.18 says EEXIST when it has moved a page at the second try,
     * because somebody like compaction had it locked at the first. There was
     * no page here, and whoever checks contents would notice.
     */
    if (uffd_try(uffd, UFFDIO_MOVE, &move) && errno != EEXIST) {
        die("UFFDIO_MOVE");
    }
}
