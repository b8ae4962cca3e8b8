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

/* In the page map of proc(5): the page is in memory, or in the host's swap. */
#define PAGEMAP_PRESENT (3ull << 62)

static int pagemap_fd = -1;

static void hint_permission(Error **errp)
{
    error_append_hint(errp, "Give the user of QEMU access to "
                      "/dev/userfaultfd, in a sandbox such as libvirt's, too, "
                      "or set the sysctl vm.unprivileged_userfaultfd to "
                      "1.\n");
}

bool uffd_page_supported(Error **errp)
{
    ERRP_GUARD();
    uint64_t features;

    if (pagemap_fd < 0) {
        pagemap_fd = qemu_open("/proc/self/pagemap", O_RDONLY, errp);
        if (pagemap_fd < 0) {
            error_append_hint(errp, "It tells which pages are in memory.\n");
            return false;
        }
    }
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

int uffd_page_copy_run(int fd, void *dst, const void *src, uint32_t nr,
                       uint32_t *copied)
{
    struct uffdio_copy copy = {
        .dst = (uintptr_t)dst,
        .src = (uintptr_t)src,
        .len = (uint64_t)nr * REMOTE_STORE_PAGE_SIZE,
    };

    *copied = 0;
    while (ioctl(fd, UFFDIO_COPY, &copy)) {
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        /* Told by the kernel if it was only a part. */
        if (copy.copy > 0) {
            *copied += copy.copy / REMOTE_STORE_PAGE_SIZE;
            copy.dst += copy.copy;
            copy.src += copy.copy;
            copy.len -= copy.copy;
        }
        copy.copy = 0;
    }
    *copied = nr;
    return 0;
}

int uffd_page_copy(int fd, void *dst, const void *src)
{
    uint32_t copied;

    return uffd_page_copy_run(fd, dst, src, 1, &copied);
}

int uffd_page_zero_run(int fd, void *dst, uint32_t nr, uint32_t *filled)
{
    struct uffdio_zeropage zero = {
        .range.start = (uintptr_t)dst,
        .range.len = (uint64_t)nr * REMOTE_STORE_PAGE_SIZE,
    };

    *filled = 0;
    while (ioctl(fd, UFFDIO_ZEROPAGE, &zero)) {
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        /* As with copies. */
        if (zero.zeropage > 0) {
            *filled += zero.zeropage / REMOTE_STORE_PAGE_SIZE;
            zero.range.start += zero.zeropage;
            zero.range.len -= zero.zeropage;
        }
        zero.zeropage = 0;
    }
    *filled = nr;
    return 0;
}

bool uffd_page_present(const void *addr)
{
    uint64_t entry;

    return pread(pagemap_fd, &entry, sizeof(entry),
                 (uintptr_t)addr / REMOTE_STORE_PAGE_SIZE * sizeof(entry)) ==
           sizeof(entry) && (entry & PAGEMAP_PRESENT);
}

/*
 * One attempt.  Linux (6.18 at least) can say EEXIST of a page that it has
 * just moved: when compaction got in the way of its first try, it tries once
 * more after the second one went well.  Then the page is at its destination
 * only, and who waits for it there was not woken.
 */
static int move_try(int fd, struct uffdio_move *move)
{
    int ret = ioctl(fd, UFFDIO_MOVE, move) ? -errno : 0;

    /* What was moved is told by the kernel whether it failed or not. */
    if (move->move < 0) {
        ret = move->move;
        move->move = 0;
    }
    if (ret == -EEXIST && !move->move &&
        uffd_page_present((void *)(uintptr_t)move->dst) &&
        !uffd_page_present((void *)(uintptr_t)move->src)) {
        uffd_wakeup(fd, (void *)(uintptr_t)move->dst, REMOTE_STORE_PAGE_SIZE);
        move->move = REMOTE_STORE_PAGE_SIZE;
        ret = 0;
    }
    return ret;
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
        int ret = move_try(fd, &move);

        if (move.move > 0) {
            *moved += move.move / REMOTE_STORE_PAGE_SIZE;
            if (*moved == nr) {
                return 0;
            }
            move.dst += move.move;
            move.src += move.move;
            move.len -= move.move;
            tries = MOVE_TRIES;
            ret = 0;
        }
        if ((ret && ret != -EAGAIN && ret != -EINTR) || --tries == 0) {
            return ret ? ret : -EAGAIN;
        }
        move.move = 0;
    }
}
