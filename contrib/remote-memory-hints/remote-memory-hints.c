/*
 * Guest library: say how this program will use its memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include "remote-memory-hints.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote-memory/hint-protocol.h"

#define PAGE (1ul << HINT_PAGE_SHIFT)
#define DEVICES "/sys/bus/pci/devices"

/* Of an entry in pagemap; see Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_FRAME ((1ull << 55) - 1)
#define ENTRY_EXCLUSIVE (1ull << 56)
#define ENTRY_SHARED (1ull << 61)
#define ENTRY_PRESENT (1ull << 63)

/* Entries that are read at once. */
#define ENTRIES 512
/* Pages that are held at once; what a pipe of 1 MiB takes. */
#define HELD_PAGES 256
#define PATH_LENGTH 512
/* How often to look whether the device has done what was said, in us. */
#define POLL_US 50

struct rmh {
    pid_t owner;
    int resource;
    int pagemap;
    uint8_t *bar;
    pthread_mutex_t lock;
    /* With @lock. */
    uint32_t posted;    /* including what is not yet told to the device */
    uint32_t done;      /* when it was last looked at */
    uint64_t frame;     /* range that grows, to become a descriptor */
    uint32_t nr;
    bool full;
};

static __thread char error[PATH_LENGTH + 100];

const char *rmh_error(void)
{
    return error;
}

static int fail(int number, const char *what)
{
    snprintf(error, sizeof(error), "%s: %s", what, strerror(number));
    errno = number;
    return -1;
}

/* The device */

static uint32_t read_register(struct rmh *rmh, enum HintRegister reg)
{
    uint32_t *from = (uint32_t *)(rmh->bar + reg);

    return le32toh(__atomic_load_n(from, __ATOMIC_RELAXED));
}

static bool knows(struct rmh *rmh, enum HintOp op)
{
    return read_register(rmh, HINT_REG_OPS) & 1u << op;
}

static void write_slot(struct rmh *rmh, enum HintOp op)
{
    struct HintDescriptor *ring =
        (struct HintDescriptor *)(rmh->bar + HINT_RING_OFFSET);

    ring[rmh->posted++ % HINT_SLOTS] = (struct HintDescriptor) {
        .frame = htole64(rmh->frame),
        .nr = htole32(rmh->nr),
        .op = htole32(op),
    };
}

/* What has come together of a range becomes a descriptor, if there is room. */
static void end_range(struct rmh *rmh, enum HintOp op)
{
    if (rmh->nr && rmh->posted - rmh->done >= HINT_SLOTS) {
        rmh->done = read_register(rmh, HINT_REG_DONE);
        rmh->full = rmh->posted - rmh->done >= HINT_SLOTS;
    }
    if (rmh->nr && !rmh->full) {
        write_slot(rmh, op);
    }
    rmh->nr = 0;
}

static void add_page(struct rmh *rmh, enum HintOp op, uint64_t frame)
{
    if (frame != rmh->frame + rmh->nr || rmh->nr == HINT_MAX_PAGES) {
        end_range(rmh, op);
        rmh->frame = frame;
    }
    rmh->nr++;
}

/* What a child of fork() has of it tells where the parent's pages are. */
static int check_owner(const struct rmh *rmh)
{
    if (rmh->owner != getpid()) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

static void begin(struct rmh *rmh)
{
    pthread_mutex_lock(&rmh->lock);
    rmh->nr = 0;
    rmh->full = false;
}

static void end(struct rmh *rmh, enum HintOp op)
{
    uint32_t *posted = (uint32_t *)(rmh->bar + HINT_REG_POSTED);

    end_range(rmh, op);
    /* The slots before their number. */
    __atomic_store_n(posted, htole32(rmh->posted), __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&rmh->lock);
}

/* Where pages are */

static bool usable(uint64_t entry, enum HintOp op)
{
    if (!(entry & ENTRY_PRESENT) || !(entry & ENTRY_FRAME)) {
        return false;
    }
    return op != HINT_OP_FORGET ||
           (entry & ENTRY_EXCLUSIVE && !(entry & ENTRY_SHARED));
}

/* With the lock: say something about @nr pages from @first on. */
static int say_pages(struct rmh *rmh, enum HintOp op, uint64_t first,
                     uint64_t nr)
{
    uint64_t entries[ENTRIES];

    while (nr && !rmh->full) {
        uint64_t n = nr < ENTRIES ? nr : ENTRIES;
        ssize_t size = pread(rmh->pagemap, entries, n * sizeof(entries[0]),
                             first * sizeof(entries[0]));

        if (size < (ssize_t)sizeof(entries[0])) {
            return size < 0 ? -1 : 0;
        }
        n = size / sizeof(entries[0]);
        for (uint64_t i = 0; i < n && !rmh->full; i++) {
            if (usable(entries[i], op)) {
                add_page(rmh, op, entries[i] & ENTRY_FRAME);
            }
        }
        first += n;
        nr -= n;
    }
    return 0;
}

/* Pages with a part in a range, or that are within it as a whole. */
static uint64_t range_pages(const struct iovec *range, bool whole,
                            uint64_t *first)
{
    uint64_t start = (uintptr_t)range->iov_base;
    uint64_t stop = start + range->iov_len;

    if (!range->iov_len || stop < start) {
        return 0;
    }
    if (whole) {
        *first = (start + PAGE - 1) / PAGE;
        return stop / PAGE > *first ? stop / PAGE - *first : 0;
    }
    *first = start / PAGE;
    return (stop - 1) / PAGE - *first + 1;
}

static int say(struct rmh *rmh, enum HintOp op, const struct iovec *ranges,
               int nr)
{
    int ret = 0, number;

    if (check_owner(rmh)) {
        return -1;
    }
    begin(rmh);
    for (int i = 0; i < nr && !ret; i++) {
        uint64_t first = 0;
        uint64_t pages = range_pages(&ranges[i], op != HINT_OP_WILLNEED,
                                     &first);

        ret = say_pages(rmh, op, first, pages);
    }
    number = errno;
    end(rmh, op);
    errno = number;
    return ret;
}

int rmh_willneed(struct rmh *rmh, const struct iovec *ranges, int nr)
{
    return say(rmh, HINT_OP_WILLNEED, ranges, nr);
}

int rmh_cold(struct rmh *rmh, const struct iovec *ranges, int nr)
{
    return say(rmh, HINT_OP_COLD, ranges, nr);
}

/* To be forgotten */

/* Until then the pages must be held; a device that is gone holds none. */
static int wait_done(struct rmh *rmh)
{
    uint32_t posted;

    pthread_mutex_lock(&rmh->lock);
    posted = rmh->posted;
    pthread_mutex_unlock(&rmh->lock);
    while ((int32_t)(read_register(rmh, HINT_REG_DONE) - posted) < 0) {
        if (read_register(rmh, HINT_REG_VERSION) != HINT_VERSION) {
            errno = ENODEV;
            return -1;
        }
        usleep(POLL_US);
    }
    return 0;
}

/* At most @length bytes.  Returns: how many were seen to, or -1. */
static ssize_t forget_some(struct rmh *rmh, uint8_t *addr, size_t length)
{
    struct iovec range = { .iov_base = addr, .iov_len = length };
    ssize_t held;
    int ends[2], ret, number;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
        return -1;
    }
    fcntl(ends[1], F_SETPIPE_SZ, HELD_PAGES * PAGE);
    held = vmsplice(ends[1], &range, 1, SPLICE_F_NONBLOCK);
    ret = held < 0 ? -1 : 0;
    if (!ret) {
        range.iov_len = held;
        ret = say(rmh, HINT_OP_FORGET, &range, 1);
    }
    if (!ret) {
        ret = wait_done(rmh);
    }
    number = errno;
    close(ends[0]);
    close(ends[1]);
    errno = number;
    return ret ? ret : held;
}

int rmh_forget(struct rmh *rmh, void *addr, size_t length)
{
    const struct iovec range = { .iov_base = addr, .iov_len = length };
    uint64_t first = 0, nr = range_pages(&range, true, &first);
    uint8_t *next = (uint8_t *)(uintptr_t)(first * PAGE);
    size_t left = nr * PAGE;

    if (!knows(rmh, HINT_OP_FORGET)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    /* Pages that were merged with others' are not ours to forget. */
    if (left && madvise(next, left, MADV_UNMERGEABLE) && errno != EINVAL) {
        return -1;
    }
    while (left) {
        size_t n = left < HELD_PAGES * PAGE ? left : HELD_PAGES * PAGE;
        ssize_t held = forget_some(rmh, next, n);

        if (held <= 0) {
            return -1;
        }
        next += held;
        left -= held;
    }
    return 0;
}

/* Life cycle */

static uint32_t read_number(const char *device, const char *name)
{
    char path[PATH_LENGTH], text[32] = "";
    ssize_t size = -1;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", device, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    return size > 0 ? strtoul(text, NULL, 16) : 0;
}

static bool is_ours(const char *device)
{
    return read_number(device, "vendor") == HINT_PCI_VENDOR &&
           read_number(device, "device") == HINT_PCI_DEVICE;
}

/* The kernel answers reads of memory space only when it is switched on. */
static void enable(const char *device)
{
    char path[PATH_LENGTH];
    int fd;

    snprintf(path, sizeof(path), "%s/enable", device);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        /* If it cannot be, there is no version to be read. */
        if (read_number(device, "enable") == 0 && write(fd, "1", 1) != 1) {
            fail(errno, path);
        }
        close(fd);
    }
}

static int open_resource(struct rmh *rmh, const char *device)
{
    char path[PATH_LENGTH];

    enable(device);
    snprintf(path, sizeof(path), "%s/resource%d", device, HINT_BAR);
    rmh->resource = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (rmh->resource < 0) {
        return fail(errno, path);
    }
    if (flock(rmh->resource, LOCK_EX | LOCK_NB)) {
        return fail(errno == EWOULDBLOCK ? EBUSY : errno, path);
    }
    rmh->bar = mmap(NULL, HINT_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                    rmh->resource, 0);
    if (rmh->bar == MAP_FAILED) {
        rmh->bar = NULL;
        return fail(errno, path);
    }
    if (read_register(rmh, HINT_REG_VERSION) != HINT_VERSION) {
        return fail(EPROTO, device);
    }
    rmh->posted = read_register(rmh, HINT_REG_POSTED);
    rmh->done = read_register(rmh, HINT_REG_DONE);
    return 0;
}

/* Without the capability it can be read, but says nothing of frames. */
static int open_pagemap(struct rmh *rmh)
{
    uint64_t entry = 0, page = (uintptr_t)&entry / PAGE;

    rmh->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (rmh->pagemap < 0) {
        return fail(errno, "/proc/self/pagemap");
    }
    if (pread(rmh->pagemap, &entry, sizeof(entry), page * sizeof(entry)) !=
        sizeof(entry)) {
        return fail(EIO, "/proc/self/pagemap");
    }
    if (!(entry & ENTRY_FRAME)) {
        return fail(EPERM, "/proc/self/pagemap needs CAP_SYS_ADMIN");
    }
    return 0;
}

static struct rmh *open_device(const char *device)
{
    struct rmh *rmh = calloc(1, sizeof(*rmh));
    int number;

    if (!rmh) {
        fail(errno, device);
        return NULL;
    }
    pthread_mutex_init(&rmh->lock, NULL);
    rmh->owner = getpid();
    rmh->resource = rmh->pagemap = -1;
    if (!open_resource(rmh, device) && !open_pagemap(rmh)) {
        return rmh;
    }
    number = errno;
    rmh_close(rmh);
    errno = number;
    return NULL;
}

struct rmh *rmh_open(const char *device)
{
    struct rmh *rmh = NULL;
    struct dirent *entry;
    DIR *dir;

    fail(ENODEV, device ?: "remote-memory-hints");
    if (device) {
        return is_ours(device) ? open_device(device) : NULL;
    }
    dir = opendir(DEVICES);
    while (dir && !rmh && (entry = readdir(dir))) {
        char path[PATH_LENGTH];

        snprintf(path, sizeof(path), DEVICES "/%s", entry->d_name);
        if (is_ours(path)) {
            rmh = open_device(path);
        }
    }
    if (dir) {
        int number = errno;

        closedir(dir);
        errno = number;
    }
    return rmh;
}

void rmh_close(struct rmh *rmh)
{
    if (!rmh) {
        return;
    }
    if (rmh->bar) {
        munmap(rmh->bar, HINT_BAR_SIZE);
    }
    if (rmh->resource >= 0) {
        close(rmh->resource);
    }
    if (rmh->pagemap >= 0) {
        close(rmh->pagemap);
    }
    pthread_mutex_destroy(&rmh->lock);
    free(rmh);
}
