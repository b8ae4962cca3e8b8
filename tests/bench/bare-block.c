/*
 * Bare stores that are disks: an NBD server behind a UNIX socket, and a file
 * past the host's page cache
 *
 * The client of NBD is our own, with nothing in it but the protocol: any
 * library would make the bare store look slower than it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "bare-store.h"
#include "placement.h"
#include "toucher.h"

typedef struct BareBlock {
    BareStore parent;
    int fd;
    uint64_t handle;        /* of the last request */
} BareBlock;

static void die(const char *what)
{
    fprintf(stderr, "store-floor: %s: %s\n", what,
            errno ? strerror(errno) : "ended too early");
    exit(1);
}

static BareBlock *new_block(int fd)
{
    BareBlock *store = allocate(sizeof(*store));

    store->fd = fd;
    return store;
}

/* NBD */

#define NBD_GREETING 0x4e42444d41474943ull      /* NBDMAGIC */
#define NBD_HAVE_OPTIONS 0x49484156454f5054ull  /* IHAVEOPT */
#define NBD_FIXED_NO_ZEROES 3
#define NBD_EXPORT_NAME 1
#define NBD_REQUEST 0x25609513
#define NBD_REPLY 0x67446698
enum { NBD_READ, NBD_WRITE };

typedef struct __attribute__((packed)) NbdGreeting {
    uint64_t greeting;
    uint64_t options;
    uint16_t flags;
} NbdGreeting;

typedef struct __attribute__((packed)) NbdChoice {
    uint32_t flags;
    uint64_t options;
    uint32_t option;
    uint32_t length;
} NbdChoice;

typedef struct __attribute__((packed)) NbdExport {
    uint64_t size;
    uint16_t flags;
} NbdExport;

typedef struct __attribute__((packed)) NbdRequest {
    uint32_t magic;
    uint16_t flags;
    uint16_t type;
    uint64_t handle;
    uint64_t offset;
    uint32_t length;
} NbdRequest;

typedef struct __attribute__((packed)) NbdReply {
    uint32_t magic;
    uint32_t error;
    uint64_t handle;
} NbdReply;

/* Move all of two parts, the second of which may be empty. */
static void move_all(int fd, ssize_t (*move)(int, const struct iovec *, int),
                     struct iovec iov[2])
{
    while (iov[0].iov_len + iov[1].iov_len) {
        ssize_t n = move(fd, iov, 2);

        if (n <= 0) {
            errno = n ? errno : 0;
            die("NBD");
        }
        for (int i = 0; i < 2; i++) {
            size_t part = (size_t)n < iov[i].iov_len ? (size_t)n
                                                     : iov[i].iov_len;

            iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
            iov[i].iov_len -= part;
            n -= part;
        }
    }
}

static void receive(int fd, void *head, size_t size, void *data, size_t length)
{
    struct iovec iov[2] = { { head, size }, { data, length } };

    move_all(fd, readv, iov);
}

static void transmit(int fd, void *head, size_t size, const void *data,
                     size_t length)
{
    struct iovec iov[2] = { { head, size }, { (void *)data, length } };

    move_all(fd, writev, iov);
}

static bool nbd_request(BareBlock *store, int type, uint64_t page, unsigned nr,
                        void *to, const void *from)
{
    uint32_t length = nr * PAGE_BYTES;
    NbdReply reply;
    NbdRequest request = {
        .magic = htobe32(NBD_REQUEST),
        .type = htobe16(type),
        .handle = ++store->handle,
        .offset = htobe64(page * PAGE_BYTES),
        .length = htobe32(length),
    };

    transmit(store->fd, &request, sizeof(request), from, from ? length : 0);
    /* An error would come without data; then this ends with the program. */
    receive(store->fd, &reply, sizeof(reply), to, to ? length : 0);
    return be32toh(reply.magic) == NBD_REPLY && !reply.error &&
           reply.handle == store->handle;
}

static bool nbd_get(BareStore *store, uint64_t page, unsigned nr, void *to)
{
    return nbd_request((BareBlock *)store, NBD_READ, page, nr, to, NULL);
}

static bool nbd_put(BareStore *store, uint64_t page, unsigned nr,
                    const void *from)
{
    return nbd_request((BareBlock *)store, NBD_WRITE, page, nr, NULL, from);
}

/* The server's only export, or its first. */
static void nbd_negotiate(int fd, uint64_t bytes)
{
    NbdChoice choice = {
        .flags = htobe32(NBD_FIXED_NO_ZEROES),
        .options = htobe64(NBD_HAVE_OPTIONS),
        .option = htobe32(NBD_EXPORT_NAME),
    };
    NbdGreeting greeting;
    NbdExport export;

    receive(fd, &greeting, sizeof(greeting), NULL, 0);
    if (be64toh(greeting.greeting) != NBD_GREETING ||
        be64toh(greeting.options) != NBD_HAVE_OPTIONS ||
        (be16toh(greeting.flags) & NBD_FIXED_NO_ZEROES) !=
        NBD_FIXED_NO_ZEROES) {
        fputs("store-floor: this is no NBD server, or an old one\n", stderr);
        exit(1);
    }
    transmit(fd, &choice, sizeof(choice), NULL, 0);
    receive(fd, &export, sizeof(export), NULL, 0);
    if (be64toh(export.size) < bytes) {
        fputs("store-floor: the server's disk is too small\n", stderr);
        exit(1);
    }
}

BareStore *bare_nbd_open(const char *server, uint64_t bytes)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BareBlock *store = new_block(fd);

    if (strncmp(server, "unix:", 5)) {
        fputs("store-floor: no server=unix:PATH\n", stderr);
        exit(2);
    }
    strncpy(addr.sun_path, server + 5, sizeof(addr.sun_path) - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        die(server);
    }
    nbd_negotiate(fd, bytes);
    store->parent = (BareStore) { nbd_get, nbd_put };
    return &store->parent;
}

/* A file */

static bool complete(ssize_t n, unsigned nr)
{
    if (n != (ssize_t)(nr * PAGE_BYTES)) {
        fprintf(stderr, "store-floor: %s\n", n < 0 ? strerror(errno)
                                                   : "the file is too short");
        return false;
    }
    return true;
}

static bool file_get(BareStore *store, uint64_t page, unsigned nr, void *to)
{
    return complete(pread(((BareBlock *)store)->fd, to, nr * PAGE_BYTES,
                          page * PAGE_BYTES), nr);
}

static bool file_put(BareStore *store, uint64_t page, unsigned nr,
                     const void *from)
{
    return complete(pwrite(((BareBlock *)store)->fd, from, nr * PAGE_BYTES,
                           page * PAGE_BYTES), nr);
}

BareStore *bare_file_open(const char *server, uint64_t bytes)
{
    int fd = open(server, O_RDWR | O_DIRECT | O_CLOEXEC);
    BareBlock *store = new_block(fd);

    (void)bytes;
    if (fd < 0 && errno == EINVAL) {
        fprintf(stderr, "%s: its file system has no O_DIRECT\n", server);
        exit(EXIT_SKIPPED);
    }
    if (fd < 0) {
        die(server);
    }
    store->parent = (BareStore) { file_get, file_put };
    return &store->parent;
}
