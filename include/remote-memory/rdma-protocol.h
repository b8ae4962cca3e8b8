/*
 * What remote-store-rdma and qemu-memory-server say to each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_RDMA_PROTOCOL_H
#define REMOTE_MEMORY_RDMA_PROTOCOL_H

#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/uuid.h"

/**
 * DOC: The protocol
 *
 * A client asks for a connection with a hello in the private data of the
 * request, and the server answers with a welcome in the private data of its
 * acceptance or refusal.  Over the connection the client asks where slabs are,
 * by SEND.  All else is READ and WRITE, of which the server's processor sees
 * nothing.  Numbers are big-endian.  docs/interop/remote-memory-rdma.rst has
 * the whole of it.
 */

/** RDMA_DEFAULT_PORT: where a server listens, unless told otherwise */
#define RDMA_DEFAULT_PORT "7471"

/** RDMA_MAGIC: begins a hello and a welcome; "qrmp" */
#define RDMA_MAGIC 0x71726d70

/** RDMA_VERSION: of the protocol; the two sides have the same or do not talk */
#define RDMA_VERSION 1

/** RDMA_PAGE_SIZE: unit of transfer, in bytes */
#define RDMA_PAGE_SIZE 4096

/** RDMA_NR_ASKS: SENDs that a server is ready to receive at a time */
#define RDMA_NR_ASKS 4

/**
 * enum RdmaKind - what a client wants of a connection
 * @RDMA_KIND_QUEUE: to read and write pages; accepted
 * @RDMA_KIND_PROBE: to know the server; always refused, with what it is
 * @RDMA_KIND_RELEASE: to give a namespace back; always refused, when that is
 *     done
 */
typedef enum RdmaKind {
    RDMA_KIND_QUEUE = 1,
    RDMA_KIND_PROBE = 2,
    RDMA_KIND_RELEASE = 3,
} RdmaKind;

/**
 * enum RdmaStatus - how it went
 * @RDMA_STATUS_OK: well
 * @RDMA_STATUS_VERSION: the server speaks the version that the welcome names
 * @RDMA_STATUS_INVALID: what was said makes no sense
 * @RDMA_STATUS_SIZE: the namespace exists with another number of pages
 * @RDMA_STATUS_DEVICE: the namespace is on another RDMA device of the server
 * @RDMA_STATUS_NOSPACE: the server has no memory left
 * @RDMA_STATUS_MISSING: there is no such slab
 * @RDMA_STATUS_FAILED: the server failed, and its log says why
 */
typedef enum RdmaStatus {
    RDMA_STATUS_OK = 0,
    RDMA_STATUS_VERSION = 1,
    RDMA_STATUS_INVALID = 2,
    RDMA_STATUS_SIZE = 3,
    RDMA_STATUS_DEVICE = 4,
    RDMA_STATUS_NOSPACE = 5,
    RDMA_STATUS_MISSING = 6,
    RDMA_STATUS_FAILED = 7,
} RdmaStatus;

/**
 * enum RdmaAskType - what a client asks over a connection
 * @RDMA_ASK_FIND: where a slab is
 * @RDMA_ASK_MAKE: the same, and to make it if it does not exist
 */
typedef enum RdmaAskType {
    RDMA_ASK_FIND = 1,
    RDMA_ASK_MAKE = 2,
} RdmaAskType;

/**
 * struct RdmaHello - private data of a request for a connection
 * @magic: %RDMA_MAGIC
 * @version: %RDMA_VERSION
 * @kind: of &enum RdmaKind
 * @namespace: (queue, release) whose pages
 * @queue: (queue) number of the queue, any.  There is one connection for each:
 *     the server ends the former one before it accepts the next.  So clients
 *     of the same namespace have other numbers
 * @reserved: 0
 * @nr_pages: (queue) size of the namespace
 *
 * rdma_cm leaves room for 56 bytes.
 */
typedef struct QEMU_PACKED RdmaHello {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
    uint8_t namespace[16];
    uint32_t queue;
    uint32_t reserved;
    uint64_t nr_pages;
} RdmaHello;

QEMU_BUILD_BUG_ON(sizeof(RdmaHello) != 40);

/**
 * struct RdmaWelcome - private data of the server's answer
 * @magic: %RDMA_MAGIC
 * @version: what the server speaks
 * @status: of &enum RdmaStatus
 * @incarnation: random number of the namespace, made when it was made.  If it
 *     is not the one that the client knows, all pages are gone
 * @limit: most memory that the server lends, in bytes, to all together
 * @slab_pages: pages in a slab, a power of 2
 * @reserved: 0
 */
typedef struct QEMU_PACKED RdmaWelcome {
    uint32_t magic;
    uint16_t version;
    uint16_t status;
    uint64_t incarnation;
    uint64_t limit;
    uint32_t slab_pages;
    uint32_t reserved;
} RdmaWelcome;

QEMU_BUILD_BUG_ON(sizeof(RdmaWelcome) != 32);

/**
 * struct RdmaAsk - what a client sends
 * @type: of &enum RdmaAskType
 * @reserved: 0
 * @slab: number of the slab, that of its first page divided by slab_pages
 */
typedef struct QEMU_PACKED RdmaAsk {
    uint16_t type;
    uint16_t reserved[3];
    uint64_t slab;
} RdmaAsk;

QEMU_BUILD_BUG_ON(sizeof(RdmaAsk) != 16);

/**
 * struct RdmaTell - what a server sends back
 * @status: of &enum RdmaStatus
 * @reserved: 0
 * @rkey: (ok) key to the slab, for all connections of the namespace
 * @slab: number of the slab, as it was asked
 * @addr: (ok) where it begins
 */
typedef struct QEMU_PACKED RdmaTell {
    uint16_t status;
    uint16_t reserved;
    uint32_t rkey;
    uint64_t slab;
    uint64_t addr;
} RdmaTell;

QEMU_BUILD_BUG_ON(sizeof(RdmaTell) != 24);

/* To and from the order of bytes on the wire, in place: it is the same. */

static inline void rdma_hello_swap(RdmaHello *hello)
{
    hello->magic = cpu_to_be32(hello->magic);
    hello->version = cpu_to_be16(hello->version);
    hello->kind = cpu_to_be16(hello->kind);
    hello->queue = cpu_to_be32(hello->queue);
    hello->reserved = cpu_to_be32(hello->reserved);
    hello->nr_pages = cpu_to_be64(hello->nr_pages);
}

static inline void rdma_welcome_swap(RdmaWelcome *welcome)
{
    welcome->magic = cpu_to_be32(welcome->magic);
    welcome->version = cpu_to_be16(welcome->version);
    welcome->status = cpu_to_be16(welcome->status);
    welcome->incarnation = cpu_to_be64(welcome->incarnation);
    welcome->limit = cpu_to_be64(welcome->limit);
    welcome->slab_pages = cpu_to_be32(welcome->slab_pages);
    welcome->reserved = cpu_to_be32(welcome->reserved);
}

static inline void rdma_ask_swap(RdmaAsk *ask)
{
    ask->type = cpu_to_be16(ask->type);
    ask->slab = cpu_to_be64(ask->slab);
}

static inline void rdma_tell_swap(RdmaTell *tell)
{
    tell->status = cpu_to_be16(tell->status);
    tell->rkey = cpu_to_be32(tell->rkey);
    tell->slab = cpu_to_be64(tell->slab);
    tell->addr = cpu_to_be64(tell->addr);
}

/**
 * rdma_hello_read: what a client says
 * @hello: filled in
 * @data: private data of a request for a connection; may be %NULL
 * @len: its size.  Some fabrics pad it
 *
 * Returns: %RDMA_STATUS_OK, or why it is to be refused.
 */
static inline RdmaStatus rdma_hello_read(RdmaHello *hello, const void *data,
                                         size_t len)
{
    if (!data || len < sizeof(*hello)) {
        return RDMA_STATUS_INVALID;
    }
    memcpy(hello, data, sizeof(*hello));
    rdma_hello_swap(hello);
    if (hello->magic != RDMA_MAGIC) {
        return RDMA_STATUS_INVALID;
    }
    if (hello->version != RDMA_VERSION) {
        return RDMA_STATUS_VERSION;
    }
    switch (hello->kind) {
    case RDMA_KIND_QUEUE:
        return hello->nr_pages ? RDMA_STATUS_OK : RDMA_STATUS_INVALID;
    case RDMA_KIND_PROBE:
    case RDMA_KIND_RELEASE:
        return RDMA_STATUS_OK;
    default:
        return RDMA_STATUS_INVALID;
    }
}

/**
 * rdma_welcome_read: what a server answers
 * @welcome: filled in
 * @data: private data of its answer; may be %NULL
 * @len: its size.  Some fabrics pad it
 *
 * Returns: whether it is one, of whatever status.
 */
static inline bool rdma_welcome_read(RdmaWelcome *welcome, const void *data,
                                     size_t len)
{
    if (!data || len < sizeof(*welcome)) {
        return false;
    }
    memcpy(welcome, data, sizeof(*welcome));
    rdma_welcome_swap(welcome);
    if (welcome->magic != RDMA_MAGIC) {
        return false;
    }
    return welcome->status != RDMA_STATUS_OK ||
           is_power_of_2(welcome->slab_pages);
}

/** rdma_status_str: a status, in words for the operator */
static inline const char *rdma_status_str(RdmaStatus status)
{
    static const char *const words[] = {
        [RDMA_STATUS_OK] = "ok",
        [RDMA_STATUS_VERSION] = "it speaks another version of the protocol",
        [RDMA_STATUS_INVALID] = "it does not understand the request",
        [RDMA_STATUS_SIZE] = "the namespace has another size there",
        [RDMA_STATUS_DEVICE] = "the namespace is on another RDMA device of it",
        [RDMA_STATUS_NOSPACE] = "it has no memory left",
        [RDMA_STATUS_MISSING] = "it has no such slab",
        [RDMA_STATUS_FAILED] = "it failed; its log says why",
    };

    return status < ARRAY_SIZE(words) ? words[status] : "unknown status";
}

#endif
