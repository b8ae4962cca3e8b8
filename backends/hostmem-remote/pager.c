/*
 * Pager: the shards of a backend together, and what the main thread does
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "qapi/error.h"
#include "qapi/qapi-events-remote-memory.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "recovery.h"
#include "remote-memory/remote-memory.h"
#include "batches.h"
#include "ownership.h"
#include "pagers.h"
#include "prefetch.h"
#include "shard-estimate.h"
#include "system/system.h"
#include "trace.h"
#include "uffd-page.h"

/*
 * Stripes: small enough that each shard has its share of whatever is in use,
 * few enough (each is a mapping of its own to the kernel, which allows 65530
 * by default), and no smaller than what is fetched together.
 */
#define STRIPE_MIN (2 * MiB)
#define STRIPES_PER_SHARD 64

/* Of a shard; a stripe more or less is far from the 16 TiB of 32 bits. */
#define SHARD_MAX_SIZE (8 * TiB)

/*
 * A pager thread serves two vCPUs that fault all the time, and an idle one
 * costs nothing; more than a few of them are for who asks for them.
 */
#define DEFAULT_CPUS_PER_SHARD 2
#define DEFAULT_MAX_SHARDS 4

unsigned pager_default_shards(uint64_t size)
{
    uint64_t most = MIN(MAX(size / STRIPE_MIN, 1), DEFAULT_MAX_SHARDS);

    return MIN(MAX(g_get_num_processors() / DEFAULT_CPUS_PER_SHARD, 1), most);
}

/* Indices within a shard have 32 bits; and a shard has to have some pages. */
static bool check_shards(const char *id, uint64_t size, unsigned nr_shards,
                         Error **errp)
{
    ERRP_GUARD();

    if (size / nr_shards < BUDGET_MIN_PAGES * REMOTE_STORE_PAGE_SIZE &&
        nr_shards > 1) {
        error_setg(errp, "memory backend '%s': %" PRIu64 " bytes are too few "
                   "for %u pager threads", id, size, nr_shards);
        error_append_hint(errp, "Give fewer 'iothreads'.\n");
        return false;
    }
    if (size / nr_shards > SHARD_MAX_SIZE) {
        error_setg(errp, "memory backend '%s': %" PRIu64 " bytes are too many "
                   "for %u pager threads", id, size, nr_shards);
        error_append_hint(errp, "Give more 'iothreads'.\n");
        return false;
    }
    return true;
}

uint64_t pager_min_cache_size(uint64_t size, unsigned nr_shards)
{
    return MIN((uint64_t)nr_shards * BUDGET_MIN_PAGES * REMOTE_STORE_PAGE_SIZE,
               size);
}

bool pager_check_cache_size(const char *id, uint64_t size, unsigned nr_shards,
                            uint64_t cache_size, Error **errp)
{
    ERRP_GUARD();
    uint64_t least = pager_min_cache_size(size, nr_shards);

    if (cache_size < least || cache_size > size ||
        cache_size % REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "memory backend '%s': property 'cache-size' cannot "
                   "be %" PRIu64 ": it must be a multiple of %d from %" PRIu64
                   " to %" PRIu64 " (the size of the backend)", id,
                   cache_size, REMOTE_STORE_PAGE_SIZE, least, size);
        if (cache_size < least) {
            error_append_hint(errp, "Each pager thread needs %d KiB; number "
                              "of them: %u (property 'iothreads').\n",
                              BUDGET_MIN_PAGES * REMOTE_STORE_PAGE_SIZE / 1024,
                              nr_shards);
        }
        return false;
    }
    return true;
}

/* Errors */

void pager_error(RemotePager *pager, RemoteMemoryOperation op,
                 const char *reason)
{
    WITH_QEMU_LOCK_GUARD(&pager->error_lock) {
        if (!pager->error_reason) {
            pager->error_op = op;
            pager->error_reason = g_strdup(reason ?: "unknown error");
        }
    }
    qemu_bh_schedule(pager->error_bh);
}

bool pager_has_error(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].error)) {
            return true;
        }
    }
    return false;
}

/*
 * The main loop may come here late, because it waited for a page itself: what
 * is over is not a reason to stop any more.
 */
static void pager_error_bh(void *opaque)
{
    RemotePager *pager = opaque;
    g_autofree char *reason = NULL;
    RemoteMemoryOperation op;
    bool stop = pager->on_error == REMOTE_MEMORY_ON_ERROR_STOP &&
                runstate_is_running() && pager_has_error(pager);

    if (pager->end != PAGER_RUNS) {
        /* Whatever it is, no guest can see it any more. */
        return;
    }

    WITH_QEMU_LOCK_GUARD(&pager->error_lock) {
        reason = g_steal_pointer(&pager->error_reason);
        op = pager->error_op;
    }
    if (!pager_has_error(pager)) {
        pager->error_told = false;
    }
    if (!reason || (pager->error_told && !stop)) {
        return;
    }
    pager->error_told = true;
    if (stop) {
        qemu_system_vmstop_request_prepare();
    }
    qapi_event_send_remote_memory_error(pager->id,
                                        remote_store_id(pager->store), op,
                                        stop ? REMOTE_MEMORY_ON_ERROR_STOP
                                             : REMOTE_MEMORY_ON_ERROR_REPORT,
                                        reason);
    if (stop) {
        qemu_system_vmstop_request(RUN_STATE_IO_ERROR);
    }
}

static void pager_vm_change(void *opaque, bool running, RunState state)
{
    RemotePager *pager = opaque;

    if (running) {
        pager->error_told = false;
        for (unsigned i = 0; i < pager->nr_shards; i++) {
            recovery_resume(&pager->shards[i]);
        }
    }
}

/* Resizing */

static void pager_resize_bh(void *opaque)
{
    RemotePager *pager = opaque;
    uint64_t local = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        RemoteShard *s = &pager->shards[i];

        if (qatomic_read(&s->resize_reached) != pager->resize_wanted) {
            return;
        }
        local += qatomic_read(&s->budget.used);
    }
    if (pager->resize_told != pager->resize_wanted) {
        pager->resize_told = pager->resize_wanted;
        qapi_event_send_remote_memory_cache_size_change(
            pager->id, pager->cache_size, local * REMOTE_STORE_PAGE_SIZE);
    }
}

static void shard_resize(void *opaque)
{
    RemoteShard *s = opaque;

    shard_retarget(s);
    s->resize_wanted = s->pager->resize_wanted;
    shard_kick(s);
}

bool pager_set_cache_size(RemotePager *pager, uint64_t cache_size,
                          Error **errp)
{
    if (!pager_check_cache_size(pager->id, pager->size, pager->nr_shards,
                                cache_size, errp)) {
        return false;
    }
    trace_remote_memory_resize(pager->id, pager->cache_size, cache_size);
    pager->cache_size = cache_size;
    pager->resize_wanted++;
    pager_balance_resize(pager);
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_call(&pager->shards[i], shard_resize, &pager->shards[i]);
    }
    return true;
}

static void shard_set_prefetch(void *opaque)
{
    RemoteShard *s = opaque;

    prefetch_set_mode(s, s->pager->prefetch);
}

void pager_set_prefetch(RemotePager *pager, RemoteMemoryPrefetch mode)
{
    pager->prefetch = mode;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_call(&pager->shards[i], shard_set_prefetch, &pager->shards[i]);
    }
}

/* Queries */

typedef struct PagerQuery {
    RemoteShard *shard;
    RemoteMemoryInfo *info;
    FaultTimes *times;
} PagerQuery;

static void query_sizes(const RemoteShard *s, RemoteMemoryInfo *info)
{
    const uint64_t *count = s->map.count;
    uint64_t stale = s->standby.filled - count[PAGE_STANDBY];

    info->resident_size += count[PAGE_RESIDENT] * REMOTE_STORE_PAGE_SIZE;
    info->standby_size += count[PAGE_STANDBY] * REMOTE_STORE_PAGE_SIZE;
    info->remote_size += (count[PAGE_REMOTE] + count[PAGE_FETCHING]) *
                         REMOTE_STORE_PAGE_SIZE;
    info->zero_size += count[PAGE_ZERO] * REMOTE_STORE_PAGE_SIZE;
    info->source_size += count[PAGE_SOURCE] * REMOTE_STORE_PAGE_SIZE;
    info->in_flight_size += (s->fetching + stale) * REMOTE_STORE_PAGE_SIZE;
    info->metadata_size += page_map_footprint(&s->map) +
                           standby_footprint(&s->standby) +
                           prefetch_footprint(s) + batches_footprint() +
                           shard_estimate_footprint(s);
}

static void query_stats(const ShardStats *stats, RemoteMemoryInfo *info)
{
    info->faults += stats->faults;
    info->refaults += stats->refaults;
    info->zero_fills += stats->zero_fills;
    info->fetched_pages += stats->fetched;
    info->received_pages += stats->received;
    info->written_pages += stats->written;
    info->evicted_pages += stats->evicted;
    info->clean_drops += stats->clean_drops;
    info->zero_drops += stats->zero_drops;
    info->discarded_pages += stats->discarded;
    info->pinned_skips += stats->pinned_skips;
    info->over_limit_pages += stats->over_limit;
    info->prefetched_pages += stats->prefetched;
    info->prefetch_probes += stats->probes;
    info->prefetch_hits += stats->probe_hits;
    info->visited_pages += stats->visited;
    info->errors += stats->errors;
    info->fault_time_ns += stats->fault_time_ns;
    info->waiting_faults += stats->waiting;
    info->sampled_refaults += stats->sampled_refaults;
}

static void query_shard(void *opaque)
{
    PagerQuery *query = opaque;

    query_sizes(query->shard, query->info);
    query_stats(&query->shard->stats, query->info);
    if (query->times) {
        fault_times_merge(query->times, &query->shard->stats.times);
    }
    shard_estimate_query(query->shard, query->info);
    if (query->shard->frozen) {
        query->info->state = REMOTE_MEMORY_STATE_HANDOVER;
    } else if (query->shard->error) {
        query->info->state = REMOTE_MEMORY_STATE_ERROR;
    } else if (budget_shrinking(&query->shard->budget) &&
               query->info->state == REMOTE_MEMORY_STATE_RUNNING) {
        query->info->state = REMOTE_MEMORY_STATE_SHRINKING;
    }
}

RemoteMemoryInfo *pager_query(RemotePager *pager, FaultTimes *times)
{
    RemoteMemoryInfo *info = g_new0(RemoteMemoryInfo, 1);

    info->id = g_strdup(pager->id);
    info->size = pager->size;
    info->cache_size = pager->cache_size;
    info->store = g_strdup(remote_store_id(pager->store));
    info->state = REMOTE_MEMORY_STATE_RUNNING;
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        PagerQuery query = {
            .shard = &pager->shards[i], .info = info, .times = times,
        };

        shard_call(query.shard, query_shard, &query);
    }
    return info;
}

typedef struct PagerSane {
    RemoteShard *shard;
    bool sane;
} PagerSane;

static void sane_shard(void *opaque)
{
    PagerSane *check = opaque;

    check->sane = shard_sane(check->shard);
}

bool pager_sane(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        PagerSane check = { .shard = &pager->shards[i] };

        shard_call(check.shard, sane_shard, &check);
        if (!check.sane) {
            return false;
        }
    }
    return true;
}

/* Discarding */

typedef struct PagerDiscard {
    RemoteShard *shard;
    uint32_t first;
    uint32_t nr;
    int ret;
} PagerDiscard;

static void discard_shard(void *opaque)
{
    PagerDiscard *discard = opaque;

    discard->ret = discard_range(discard->shard, discard->first, &discard->nr);
}

int pager_discard(RemotePager *pager, uint64_t first, uint64_t nr)
{
    int ret = 0;

    while (nr && !ret) {
        PagerDiscard discard = {
            .nr = MIN(nr, pager_stripe_left(pager, first)),
        };

        discard.shard = pager_shard_of(pager, first, &discard.first);
        shard_call(discard.shard, discard_shard, &discard);
        ret = discard.ret;
        first += discard.nr;
        nr -= discard.nr;
    }
    return ret;
}

RemoteShard *pager_shard_of(const RemotePager *pager, uint64_t page,
                            uint32_t *index)
{
    uint64_t stripe = page >> pager->stripe_shift;

    *index = ((stripe / pager->nr_shards) << pager->stripe_shift) +
             (page & ((1ull << pager->stripe_shift) - 1));
    return &pager->shards[stripe % pager->nr_shards];
}

/* Life cycle */

/*
 * The block is about to be unmapped.  No later: what is mapped at its place
 * afterwards is not ours to move pages out of.
 */
static void pager_ram_removed(RAMBlockNotifier *n, void *host, size_t size,
                              size_t max_size)
{
    RemotePager *pager = container_of(n, RemotePager, ram_notifier);

    if (host == pager->host) {
        pager_end_begin(pager);
    }
}

static unsigned stripe_shift(uint64_t size, unsigned nr_shards)
{
    uint64_t pages = size / REMOTE_STORE_PAGE_SIZE;
    uint64_t stripe = MAX(size / nr_shards / STRIPES_PER_SHARD, STRIPE_MIN);

    if (nr_shards == 1) {
        return ctz64(pow2ceil(pages));
    }
    /* No shard without a stripe. */
    return ctz64(MIN(pow2ceil(stripe / REMOTE_STORE_PAGE_SIZE),
                     pow2floor(pages / nr_shards)));
}

static void pager_connect(RemotePager *pager)
{
    pager->ram_notifier.ram_block_removed = pager_ram_removed;
    ram_block_notifier_add(&pager->ram_notifier);
    pager->vm_change = qemu_add_vm_change_state_handler(pager_vm_change,
                                                        pager);
    pager_end_at_exit(pager);
    pagers_add(pager);
}

static void pager_disconnect(RemotePager *pager)
{
    pagers_remove(pager);
    qemu_del_vm_change_state_handler(pager->vm_change);
    ram_block_notifier_remove(&pager->ram_notifier);
}

RemotePager *pager_new(const PagerConfig *config, Error **errp)
{
    RemotePager *pager;
    QemuUUID uuid;

    if (!check_shards(config->id, config->size, config->nr_shards, errp)) {
        return NULL;
    }
    pager = g_new0(RemotePager, 1);
    pager->id = g_strdup(config->id);
    pager->host = config->host;
    pager->size = config->size;
    pager->cache_size = config->cache_size;
    pager->nr_shards = config->nr_shards;
    pager->stripe_shift = stripe_shift(pager->size, pager->nr_shards);
    pager->store = config->store;
    pager->prefetch = config->prefetch;
    pager->record_working_set = config->record_working_set;
    pager->sample_pages = ESTIMATE_GROUP;
    pager->verify = config->verify;
    pager->on_error = config->on_error;
    pager->error_bh = qemu_bh_new(pager_error_bh, pager);
    pager->resize_bh = qemu_bh_new(pager_resize_bh, pager);
    qemu_mutex_init(&pager->error_lock);
    pager->shards = remote_store_alloc(pager->nr_shards *
                                       sizeof(RemoteShard));
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        pager->shards[i].pager = pager;
        pager->shards[i].index = i;
        pager->shards[i].uffd = -1;
    }
    pager_balance_resize(pager);

    qemu_uuid_generate(&uuid);
    pager->region = remote_store_attach(config->store, &uuid,
                                        pager->size / REMOTE_STORE_PAGE_SIZE,
                                        errp);
    if (!pager->region) {
        goto fail;
    }
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (!shard_start(&pager->shards[i],
                         config->iothreads ? config->iothreads[i] : NULL,
                         config->thread_context, errp)) {
            goto fail;
        }
    }
    pager_connect(pager);
    pager_balance_start(pager);
    return pager;

fail:
    pager_free(pager);
    return NULL;
}

void pager_destroy(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        shard_destroy(&pager->shards[i]);
    }
    pager_move_free(pager);
    if (pager->region && pager->ownership != PAGER_OWNS) {
        pager->region->left = true;
    }
    remote_store_detach(pager->region);
    qemu_bh_delete(pager->error_bh);
    qemu_bh_delete(pager->resize_bh);
    qemu_mutex_destroy(&pager->error_lock);
    g_free(pager->error_reason);
    qemu_vfree(pager->shards);
    g_free(pager->id);
    g_free(pager);
}

void pager_free(RemotePager *pager)
{
    if (!pager) {
        return;
    }
    if (pager->vm_change) {
        pager_disconnect(pager);
        pager_end_begin(pager);
        pager_end_later(pager);
    } else {
        /* Nobody has used it. */
        pager_end_begin(pager);
        pager_end_wait(pager);
        pager_destroy(pager);
    }
}
