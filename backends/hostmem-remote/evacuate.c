/*
 * remote-memory-evacuate: the job
 *
 * It sets the smallest cache-size there is, and sees to the end of it: nothing
 * else of what a guest has is local, and the store has all that was taken out
 * of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "backend-job.h"
#include "flush.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-memory.h"
#include "shard.h"

/*
 * @former: the cache-size that the user had set, in bytes
 * @to_go: pages that were above the minimum at the beginning
 * @to_write: slots in standby when it was reached, or 0 until then
 */
typedef struct EvacuateJob {
    BackendJob base;
    uint64_t former;
    uint64_t to_go;
    uint64_t to_write;
} EvacuateJob;

static RemotePager *job_pager(EvacuateJob *job)
{
    return backend_job_pager(&job->base);
}

/* Pages above the cache-size. */
static uint64_t pages_left(RemotePager *pager)
{
    uint64_t cache = pager->cache_size / REMOTE_STORE_PAGE_SIZE, used = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        used += qatomic_read(&pager->shards[i].budget.used);
    }
    return used > cache ? used - cache : 0;
}

static uint64_t slots_left(RemotePager *pager)
{
    uint64_t left = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        left += qatomic_read(&pager->shards[i].flush_left);
    }
    return left;
}

/* While pages are handed over, shards have no limit: then it is not reached. */
static bool is_small(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].resize_reached) !=
            pager->resize_wanted) {
            return false;
        }
    }
    return !pages_left(pager);
}

static bool is_written(RemotePager *pager)
{
    return !slots_left(pager);
}

static void tell_progress(EvacuateJob *job)
{
    RemotePager *pager = job_pager(job);
    uint64_t all = job->to_go + job->to_write;
    uint64_t left = pages_left(pager) + slots_left(pager);

    backend_job_progress(&job->base, all - MIN(left, all), all);
}

/* Returns: whether it came to that. */
static bool coroutine_fn wait_until(EvacuateJob *job,
                                    bool (*is_so)(RemotePager *pager),
                                    Error **errp)
{
    RemotePager *pager = job_pager(job);

    while (backend_job_goes_on(&job->base)) {
        tell_progress(job);
        if (backend_job_cancelled(&job->base)) {
            return false;
        }
        if (backend_job_out_of_patience(&job->base, pager_has_error(pager))) {
            error_setg(errp, "store '%s' does not answer, or not with what it "
                       "should: cache-size of memory backend '%s' is %" PRIu64
                       " again", remote_store_id(pager->store), pager->id,
                       job->former);
            return false;
        }
        if (is_so(pager)) {
            return true;
        }
        backend_job_look_later();
    }
    backend_job_stopped(&job->base, errp);
    return false;
}

/* What is taken out from now on is part of what a guest that runs changes. */
static void begin_flush(EvacuateJob *job)
{
    RemotePager *pager = job_pager(job);

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        flush_begin(&pager->shards[i]);
    }
    job->to_write = slots_left(pager);
}

static bool coroutine_fn evacuate(EvacuateJob *job, Error **errp)
{
    if (!wait_until(job, is_small, errp)) {
        return false;
    }
    begin_flush(job);
    return wait_until(job, is_written, errp);
}

static int coroutine_fn evacuate_run(Job *common, Error **errp)
{
    EvacuateJob *job = container_of(common, EvacuateJob, base.common);
    RemotePager *pager = job_pager(job);

    job->former = pager->cache_size;
    if (!pager_set_cache_size(pager, pager_min_cache_size(pager->size,
                                                          pager->nr_shards),
                              errp)) {
        return -EINVAL;
    }
    job->to_go = pages_left(pager);
    if (evacuate(job, errp)) {
        job_progress_set_remaining(common, 0);
        return 0;
    }
    if (backend_job_goes_on(&job->base)) {
        pager_set_cache_size(pager, job->former, NULL);
    }
    return *errp ? -EIO : -ECANCELED;
}

static void evacuate_clean(Job *common)
{
    EvacuateJob *job = container_of(common, EvacuateJob, base.common);

    job->base.backend->evacuating = false;
    backend_job_clean(&job->base);
}

static const JobDriver evacuate_driver = {
    .instance_size = sizeof(EvacuateJob),
    .job_type = JOB_TYPE_REMOTE_MEMORY_EVACUATE,
    .run = evacuate_run,
    .clean = evacuate_clean,
};

void qmp_remote_memory_evacuate(const char *id, const char *job_id,
                                Error **errp)
{
    HostMemoryBackendRemote *m = remote_backend_find(id, errp);
    EvacuateJob *job;

    if (!m || !backend_job_may_use_cache(m, errp)) {
        return;
    }
    job = backend_job_new(m, job_id, &evacuate_driver, errp);
    if (job) {
        m->evacuating = true;
        job_start(&job->base.common);
    }
}
