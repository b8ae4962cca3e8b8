/*
 * Namespaces on a memory server: what they have, and who is connected
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/lockable.h"
#include "sparse.h"
#include "store-rdma.h"
#include "trace.h"

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
 * Only the latest life goes on.  One that shows up again after another would
 * have pages as they were before that.
 */
RdmaEpoch *rdma_epoch_get(RemoteStoreRegion *region, uint64_t incarnation)
{
    RdmaRegion *r = region->opaque;
    RdmaEpoch *epoch, *former;
    bool lost = false;

    WITH_QEMU_LOCK_GUARD(&r->lock) {
        epoch = former = QLIST_FIRST(&r->epochs);
        if (!former || former->incarnation != incarnation) {
            epoch = epoch_new(r, incarnation);
            lost = epoch && former && qatomic_read(&former->used);
        }
        if (epoch) {
            epoch->users++;
        }
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

/* Beginning and end */

bool rdma_region_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaRegion *r = g_new0(RdmaRegion, 1);

    r->nr_pages = region->nr_pages;
    qemu_mutex_init(&r->lock);
    QLIST_INIT(&r->epochs);
    region->opaque = r;
    if (!sr->nr_regions++) {
        rdma_store_set_lost(sr, false);
    }
    return true;
}

void rdma_region_detach(RemoteStoreRegion *region)
{
    RemoteStoreRdma *sr = REMOTE_STORE_RDMA(region->store);
    RdmaRegion *r = region->opaque;
    RdmaHello hello = { .kind = RDMA_KIND_RELEASE };
    RdmaWelcome welcome;
    RdmaEpoch *epoch, *next;
    Error *err = NULL;

    /* If that fails, the server gives up the namespace after a time. */
    memcpy(hello.namespace, &region->uuid, sizeof(hello.namespace));
    if (!QLIST_EMPTY(&r->epochs) &&
        !rdma_server_ask(&sr->server, &hello, &welcome, &err)) {
        trace_remote_store_rdma_link(sr->server.name, error_get_pretty(err));
        error_free(err);
    }
    QLIST_FOREACH_SAFE(epoch, &r->epochs, next, next) {
        epoch_free(r, epoch);
    }
    qemu_mutex_destroy(&r->lock);
    g_free(r);
    sr->nr_regions--;
}
