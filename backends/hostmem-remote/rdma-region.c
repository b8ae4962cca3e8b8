/*
 * Namespaces on a memory server: what they have, and who is connected
 *
 * Handing over.  The namespace stays as it is, and both processes are connected
 * to it until one of them goes.  What has to be known of it is which pages were
 * put, in which of its lives: not where they are, which each connection asks
 * the server, nor by which queue, since any of them can read all.
 *
 * - The server keeps one connection of each number, so the two processes have
 *   other numbers for their queues.  That neither writes what the other one has
 *   is not the server's business: see ownership.h.
 * - From then on, a page is written by the other process's queues, which end no
 *   connection of ours: what failed here must not come late there.  So nothing
 *   is handed over before the server has accepted a later connection of each
 *   number that had failures, and with that has ended the former one.
 * - Who finds the namespace in another life does not take it: its pages are
 *   gone.
 * - A mark is written, and then the other one is read, by the same queue.  The
 *   server's device does that in this order, and any other queue sees it so:
 *   of two processes at least one sees what the other has written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/guest-random.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "sparse.h"
#include "store-rdma.h"
#include "trace.h"

/* How often to look whether a queue is connected again, in us. */
#define POLL_US 1000

/* Lives */

static uint64_t present_size(const RdmaRegion *r)
{
    return BITS_TO_LONGS(r->nr_pages) * sizeof(unsigned long);
}

static void epoch_free(RdmaRegion *r, RdmaEpoch *epoch)
{
    QLIST_REMOVE(epoch, next);
    sparse_free(epoch->present, present_size(r));
    g_free(epoch);
}

/* Called with the region's lock. */
static RdmaEpoch *epoch_new(RdmaRegion *r, uint64_t incarnation)
{
    RdmaEpoch *epoch = g_new0(RdmaEpoch, 1);

    epoch->present = sparse_new(present_size(r));
    if (!epoch->present) {
        g_free(epoch);
        return NULL;
    }
    epoch->incarnation = incarnation;
    QLIST_INSERT_HEAD(&r->epochs, epoch, next);
    return epoch;
}

/*
 * Called with the region's lock.  Only the latest life goes on.  One that shows
 * up again after another would have pages as they were before that.
 */
static RdmaEpoch *epoch_find(RdmaRegion *r, uint64_t incarnation, bool *lost)
{
    RdmaEpoch *latest = QLIST_FIRST(&r->epochs), *epoch;

    if (latest && latest->incarnation == incarnation) {
        return latest;
    }
    epoch = epoch_new(r, incarnation);
    *lost = epoch && latest && qatomic_read(&latest->used);
    return epoch;
}

RdmaEpoch *rdma_epoch_get(RemoteStoreRegion *region, uint64_t incarnation,
                          const RdmaEpoch *former, Error **errp)
{
    RdmaRegion *r = region->opaque;
    RdmaEpoch *epoch;
    bool lost = false;

    if (r->inherited && !former && r->incarnation != incarnation) {
        error_setg(errp, "it is not where the source of the migration has its "
                   "pages, or it has forgotten them");
        return NULL;
    }
    WITH_QEMU_LOCK_GUARD(&r->lock) {
        epoch = epoch_find(r, incarnation, &lost);
        if (epoch) {
            epoch->users++;
        }
    }
    if (!epoch) {
        error_setg(errp, "cannot reserve a table of pages");
    }
    if (lost) {
        trace_remote_store_rdma_forgotten(remote_store_id(region->store));
        rdma_store_set_lost(REMOTE_STORE_RDMA(region->store), true);
    }
    return epoch;
}

/* The latest stays, so that its pages are there when a queue is opened. */
void rdma_epoch_put(RemoteStoreRegion *region, RdmaEpoch *epoch)
{
    RdmaRegion *r = region->opaque;

    if (!epoch) {
        return;
    }
    QEMU_LOCK_GUARD(&r->lock);
    if (!--epoch->users && epoch != QLIST_FIRST(&r->epochs)) {
        epoch_free(r, epoch);
    }
}

/* Numbers of queues */

int rdma_number_take(RemoteStoreRegion *region, Error **errp)
{
    RdmaRegion *r = region->opaque;
    unsigned number;

    QEMU_LOCK_GUARD(&r->lock);
    number = find_first_zero_bit(r->numbers, RDMA_MAX_QUEUES);
    if (number == RDMA_MAX_QUEUES) {
        error_setg(errp, "store '%s': more than %d queues",
                   remote_store_id(region->store), RDMA_MAX_QUEUES);
        return -1;
    }
    set_bit(number, r->numbers);
    return number;
}

void rdma_number_give(RemoteStoreRegion *region, int number)
{
    RdmaRegion *r = region->opaque;

    QEMU_LOCK_GUARD(&r->lock);
    clear_bit(number, r->numbers);
}

void rdma_number_set_late(RemoteStoreRegion *region, int number, bool late)
{
    RdmaRegion *r = region->opaque;

    QEMU_LOCK_GUARD(&r->lock);
    if (late) {
        set_bit(number, r->late);
    } else {
        clear_bit(number, r->late);
    }
}

void rdma_number_hello(RemoteStoreRegion *region, int number, RdmaHello *hello)
{
    const RdmaRegion *r = region->opaque;

    *hello = (RdmaHello) {
        .kind = RDMA_KIND_QUEUE,
        .queue = r->first + number,
        .nr_pages = region->nr_pages,
    };
    memcpy(hello->namespace, &region->uuid, sizeof(hello->namespace));
}

/* Handing over: nothing may come late */

/* Which number may have something that is late?  -1 if none has. */
static int next_late(RdmaRegion *r, bool *is_open)
{
    unsigned number;

    QEMU_LOCK_GUARD(&r->lock);
    number = find_first_bit(r->late, RDMA_MAX_QUEUES);
    if (number == RDMA_MAX_QUEUES) {
        return -1;
    }
    *is_open = test_bit(number, r->numbers);
    return number;
}

/* A queue that is closed does not connect again: do it in its place. */
static bool end_former(RemoteStoreRegion *region, int number, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaHello hello;
    RdmaWelcome welcome;

    rdma_number_hello(region, number, &hello);
    if (!rdma_server_ask(&sr->server, &hello, &welcome, errp)) {
        error_prepend(errp, "store '%s': server '%s': ",
                      remote_store_id(region->store), sr->server.name);
        return false;
    }
    rdma_number_set_late(region, number, false);
    return true;
}

/* The others do so by themselves, in their threads. */
static bool end_all_late(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    int64_t limit = (int64_t)sr->server.timeout_ms + sr->server.reconnect_ms;
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + limit;
    bool is_open;
    int number;

    while ((number = next_late(region->opaque, &is_open)) >= 0) {
        if (!is_open) {
            if (!end_former(region, number, errp)) {
                return false;
            }
        } else if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) < deadline) {
            g_usleep(POLL_US);
        } else {
            error_setg(errp, "store '%s': server '%s': not connected again in "
                       "%" PRId64 " ms, so that something might be written "
                       "late", remote_store_id(region->store),
                       sr->server.name, limit);
            return false;
        }
    }
    return true;
}

/* Handing over: what the other process needs */

/* Big-endian, and followed by RdmaEpoch.present in little endian order. */
typedef struct QEMU_PACKED SavedRegion {
    uint64_t incarnation;
    uint32_t first;
    uint32_t reserved;
} SavedRegion;

bool rdma_region_save(RemoteStoreRegion *region, GByteArray *state,
                      Error **errp)
{
    RdmaRegion *r = region->opaque;
    g_autofree unsigned long *present = NULL;
    const RdmaEpoch *epoch;
    SavedRegion saved = { .first = cpu_to_be32(r->first) };

    if (!state) {
        return true;
    }
    if (!end_all_late(region, errp)) {
        return false;
    }
    present = bitmap_new(r->nr_pages);
    WITH_QEMU_LOCK_GUARD(&r->lock) {
        /* There is one: marks were put. */
        epoch = QLIST_FIRST(&r->epochs);
        saved.incarnation = cpu_to_be64(epoch->incarnation);
        bitmap_to_le(present, epoch->present, r->nr_pages);
    }
    g_byte_array_append(state, (uint8_t *)&saved, sizeof(saved));
    g_byte_array_append(state, (uint8_t *)present, present_size(r));
    return true;
}

/* Numbers that are not those of the process before. */
static uint32_t other_first(uint32_t first)
{
    uint32_t other;

    do {
        qemu_guest_getrandom_nofail(&other, sizeof(other));
        other -= other % RDMA_MAX_QUEUES;
    } while (!other || other == first);
    return other;
}

static bool region_load(RemoteStoreRegion *region, Error **errp)
{
    const GByteArray *state = region->inherited;
    RdmaRegion *r = region->opaque;
    RdmaEpoch *epoch;
    SavedRegion saved;

    if (state->len != sizeof(saved) + present_size(r)) {
        remote_store_bad_state(region, errp);
        return false;
    }
    memcpy(&saved, state->data, sizeof(saved));
    r->inherited = true;
    r->incarnation = be64_to_cpu(saved.incarnation);
    r->first = other_first(be32_to_cpu(saved.first));
    epoch = epoch_new(r, r->incarnation);
    if (!epoch) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages", remote_store_id(region->store));
        return false;
    }
    bitmap_from_le(epoch->present,
                   (const unsigned long *)(state->data + sizeof(saved)),
                   r->nr_pages);
    epoch->used = true;
    return true;
}

/* Beginning and end */

static void region_free(RdmaRegion *r)
{
    RdmaEpoch *epoch, *next;

    QLIST_FOREACH_SAFE(epoch, &r->epochs, next, next) {
        epoch_free(r, epoch);
    }
    qemu_mutex_destroy(&r->lock);
    g_free(r);
}

bool rdma_region_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaRegion *r = g_new0(RdmaRegion, 1);

    r->nr_pages = region->nr_pages;
    qemu_mutex_init(&r->lock);
    QLIST_INIT(&r->epochs);
    region->opaque = r;
    if (region->inherited && !region_load(region, errp)) {
        region_free(r);
        return false;
    }
    if (!sr->nr_regions++) {
        rdma_store_set_lost(sr, false);
    }
    return true;
}

/* If that fails, the server gives up the namespace after a time. */
static void region_release(RemoteStoreRegion *region)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaHello hello = { .kind = RDMA_KIND_RELEASE };
    RdmaWelcome welcome;
    Error *err = NULL;

    memcpy(hello.namespace, &region->uuid, sizeof(hello.namespace));
    if (!rdma_server_ask(&sr->server, &hello, &welcome, &err)) {
        trace_remote_store_rdma_link(sr->server.name, error_get_pretty(err));
        error_free(err);
    }
}

void rdma_region_detach(RemoteStoreRegion *region)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaRegion *r = region->opaque;

    if (!region->left && !QLIST_EMPTY(&r->epochs)) {
        region_release(region);
    }
    region_free(r);
    sr->nr_regions--;
}
