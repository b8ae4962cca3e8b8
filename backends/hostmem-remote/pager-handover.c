/*
 * Handing pages over to another process: what a pager does for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/target_page.h"
#include "ownership.h"
#include "pager-handover.h"
#include "pager-map.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "shard-handover.h"

/* Time for discarding what the destination had in the store, in ms. */
#define LEAVE_TIMEOUT_MS 2000

/* How often to look whether the last put has ended: a guest stands still. */
#define FREEZE_POLL_US 50

/* The source */

static bool is_coming(const RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].map.count[PAGE_SOURCE])) {
            return true;
        }
    }
    return false;
}

static bool is_moving(const RemotePager *pager, Error **errp)
{
    ERRP_GUARD();

    if (!pager->move) {
        return false;
    }
    error_setg(errp, "memory backend '%s': its pages are being moved to "
               "another store", pager->id);
    error_append_hint(errp, "Wait until remote-memory-set-store has "
                      "finished, or cancel it.\n");
    return true;
}

bool pager_can_offer(RemotePager *pager, Error **errp)
{
    ERRP_GUARD();

    if (qemu_target_page_size() != REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "memory backend '%s': pages of the guest have %zu "
                   "bytes, so they cannot be handed over", pager->id,
                   qemu_target_page_size());
        error_append_hint(errp, "Migrate without the capability "
                          "remote-memory.\n");
        return false;
    }
    if (is_coming(pager)) {
        error_setg(errp, "memory backend '%s': some of its pages have not come "
                   "from the source of an earlier migration", pager->id);
        error_append_hint(errp, "Wait until that has ended.\n");
        return false;
    }
    return !is_moving(pager, errp) &&
           remote_store_check_save(pager->region, errp);
}

static void retarget_bh(void *opaque)
{
    shard_retarget(opaque);
}

void pager_squeeze(RemotePager *pager, uint64_t size)
{
    uint32_t each = size / REMOTE_STORE_PAGE_SIZE / pager->nr_shards;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];
        uint32_t squeeze = size ? MAX(each, BUDGET_MIN_PAGES) : 0;

        if (qatomic_read(&s->squeeze) != squeeze) {
            qatomic_set(&s->squeeze, squeeze);
            shard_call(s, retarget_bh, s);
        }
    }
}

uint64_t pager_local_size(const RemotePager *pager)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        used += qatomic_read(&pager->shards[i].budget.used);
    }
    return used * REMOTE_STORE_PAGE_SIZE;
}

void pager_freeze(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_freeze(&pager->shards[i]);
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        while (qatomic_read(&pager->shards[i].writing)) {
            g_usleep(FREEZE_POLL_US);
        }
    }
}

void pager_thaw(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_thaw(&pager->shards[i]);
    }
}

GByteArray *pager_offer(RemotePager *pager, Error **errp)
{
    GByteArray *state = NULL;

    /* That may have begun since the migration did. */
    if (is_moving(pager, errp)) {
        return NULL;
    }
    if (ownership_offer(pager, errp)) {
        state = remote_store_save(pager->region, errp);
    }
    if (!state) {
        pager->ownership = PAGER_OWNS;
    }
    return state;
}

int64_t pager_settle_dirty(RemotePager *pager, unsigned long *dirty)
{
    int64_t before;

    if (pager->settled) {
        return 0;
    }
    if (pager->ownership == PAGER_OWNS) {
        return -(int64_t)pager_map_written(pager, dirty);
    }
    pager->settled = true;
    before = bitmap_count_one(dirty, pager_nr_pages(pager));
    bitmap_copy(dirty, pager_map_sent(pager), pager_nr_pages(pager));
    return bitmap_count_one(dirty, pager_nr_pages(pager)) - before;
}

bool pager_let_go(RemotePager *pager)
{
    /* If we have claimed them, the destination may still take its mark back. */
    if (pager->claimed || !ownership_is_taken(pager)) {
        return false;
    }
    /* From now on we must not, since there is nothing left to run. */
    pager->declined = true;
    pager_discard(pager, 0, pager_nr_pages(pager));
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_let_go(&pager->shards[i]);
    }
    return true;
}

/* The destination */

static bool is_idle(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].in_flight)) {
            return false;
        }
    }
    return true;
}

static bool has_garbage(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].nr_garbage)) {
            return true;
        }
    }
    return false;
}

static void come_to_rest(RemotePager *pager)
{
    int64_t deadline = g_get_monotonic_time() + LEAVE_TIMEOUT_MS * 1000LL;

    while (has_garbage(pager) && g_get_monotonic_time() < deadline) {
        g_usleep(SHARD_POLL_US);
    }
    pager_freeze(pager);
    while (!is_idle(pager)) {
        g_usleep(SHARD_POLL_US);
    }
}

/*
 * Nobody but the monitor touches the memory from now on: the VM is stopped, and
 * what comes for it comes later.  An earlier migration may have failed on its
 * way: then it was left already.
 */
bool pager_leave_store(RemotePager *pager, Error **errp)
{
    if (is_moving(pager, errp)) {
        return false;
    }
    pager_discard(pager, 0, pager_nr_pages(pager));
    if (pager->region) {
        come_to_rest(pager);
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_leave_store(&pager->shards[i]);
    }
    remote_store_detach(g_steal_pointer(&pager->region));
    /* Nothing is its own before it has got the source's. */
    pager->ownership = PAGER_OFFERED;
    return true;
}

bool pager_enter_store(RemotePager *pager, const QemuUUID *uuid,
                       const QemuUUID *offer, GByteArray *state, Error **errp)
{
    pager->region = remote_store_inherit(pager->store, uuid,
                                         pager_nr_pages(pager), state, errp);
    if (!pager->region) {
        return false;
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (!shard_enter_store(&pager->shards[i], pager->region, errp)) {
            return false;
        }
    }
    return ownership_offered(pager, offer, errp);
}

void pager_apply(RemotePager *pager, HandoverPage *pages, uint32_t nr)
{
    while (nr) {
        uint64_t first = pages->page, left = pager_stripe_left(pager, first);
        uint32_t n = 1;

        while (n < nr && pages[n].page - first < left) {
            n++;
        }
        shard_import(pager, pages, n);
        pages += n;
        nr -= n;
    }
}

/* Both */

bool pager_take(RemotePager *pager, Error **errp)
{
    if (pager->ownership == PAGER_OWNS) {
        return true;
    }
    if (!pager->region) {
        error_setg(errp, "memory backend '%s': what the migration hands over "
                   "has not come", pager->id);
        return false;
    }
    if (!ownership_take(pager, errp)) {
        return false;
    }
    pager_thaw(pager);
    return true;
}
