/*
 * Placing pages in a range and taking them out, by userfaultfd
 *
 * See Documentation/admin-guide/mm/userfaultfd.rst and ioctl_userfaultfd(2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/userfaultfd.h"
#include "remote-memory/store.h"
#include "uffd-page.h"
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>

#define FEATURES (UFFD_FEATURE_MOVE | UFFD_FEATURE_THREAD_ID)

/*
 * A move says EAGAIN as long as somebody else, such as compaction, has the
 * page locked.  That is over soon; but if not, there are other victims.
 */
#define MOVE_TRIES 64

static void hint_permission(Error **errp)
{
    error_append_hint(errp, "Give the user of QEMU access to "
                      "/dev/userfaultfd, or set the sysctl "
                      "vm.unprivileged_userfaultfd to 1.\n");
}

bool uffd_page_supported(Error **errp)
{
    ERRP_GUARD();
    uint64_t features;

    if (uffd_query_features(&features)) {
        error_setg_errno(errp, errno, "cannot use userfaultfd");
        hint_permission(errp);
        return false;
    }
    if ((features & FEATURES) != FEATURES) {
        error_setg(errp, "this kernel has no UFFDIO_MOVE, without which a "
                   "page in use by a device could be lost");
        error_append_hint(errp, "Use Linux 6.9 or later.\n");
        return false;
    }
    return true;
}

int uffd_page_open(Error **errp)
{
    ERRP_GUARD();
    int fd = uffd_create_fd(FEATURES, true);

    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot make a userfaultfd");
        hint_permission(errp);
    }
    return fd;
}

/* Try @request until the kernel gives an answer other than "not now". */
static int uffd_ioctl(int fd, unsigned long request, void *arg)
{
    while (ioctl(fd, request, arg)) {
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int uffd_page_copy(int fd, void *dst, const void *src)
{
    struct uffdio_copy copy = {
        .dst = (uintptr_t)dst,
        .src = (uintptr_t)src,
        .len = REMOTE_STORE_PAGE_SIZE,
    };

    return uffd_ioctl(fd, UFFDIO_COPY, &copy);
}

int uffd_page_zero(int fd, void *dst)
{
    struct uffdio_zeropage zero = {
        .range.start = (uintptr_t)dst,
        .range.len = REMOTE_STORE_PAGE_SIZE,
    };

    return uffd_ioctl(fd, UFFDIO_ZEROPAGE, &zero);
}

int uffd_page_move(int fd, void *dst, void *src, uint32_t nr,
                   uint32_t *moved)
{
    struct uffdio_move move = {
        .dst = (uintptr_t)dst,
        .src = (uintptr_t)src,
        .len = (uint64_t)nr * REMOTE_STORE_PAGE_SIZE,
    };
    int tries = MOVE_TRIES;

    *moved = 0;
    for (;;) {
        int ret = ioctl(fd, UFFDIO_MOVE, &move) ? -errno : 0;

        /* Told by the kernel whether it failed or not. */
        if (move.move > 0) {
            *moved += move.move / REMOTE_STORE_PAGE_SIZE;
            if (*moved == nr) {
                return 0;
            }
            move.dst += move.move;
            move.src += move.move;
            move.len -= move.move;
            tries = MOVE_TRIES;
        } else if (move.move < 0) {
            ret = move.move;
        }
        if ((ret && ret != -EAGAIN && ret != -EINTR) || --tries == 0) {
            return ret ? ret : -EAGAIN;
        }
        move.move = 0;
    }
}
