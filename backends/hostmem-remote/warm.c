/*
 * remote-memory-warm: the job
 *
 * The shards do it, each with its own pages and room, until they find nothing
 * more to do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "backend-job.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-memory.h"
#include "shard-warm.h"

static void for_each_shard(RemotePager *pager, void (*fn)(RemoteShard *s))
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        fn(&pager->shards[i]);
    }
}

static bool all_ended(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (!qatomic_read(&pager->shards[i].warm->ended)) {
            return false;
        }
    }
    return true;
}

static bool store_fails(RemotePager *pager)
{
    for (unsigned i = 0; i < pager->nr_shards; i++) {
        if (qatomic_read(&pager->shards[i].warm->failing)) {
            return true;
        }
    }
    return pager_has_error(pager);
}

static void tell_progress(BackendJob *job)
{
    RemotePager *pager = backend_job_pager(job);
    uint64_t done = 0, all = 0;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        done += qatomic_read(&pager->shards[i].warm->done);
        all += pager->shards[i].warm->all;
    }
    backend_job_progress(job, done, all);
}

/*
 * Until the shards have ended, by themselves or because they are told to.  What
 * was asked for until then still comes.
 */
static bool coroutine_fn warm_up(BackendJob *job, Error **errp)
{
    RemotePager *pager = backend_job_pager(job);
    bool told = false, late = false;

    while (pager->end == PAGER_RUNS && !all_ended(pager)) {
        tell_progress(job);
        if (!told) {
            late = backend_job_out_of_patience(job, store_fails(pager));
            told = late || backend_job_cancelled(job) ||
                   !backend_job_goes_on(job);
            if (told) {
                for_each_shard(pager, warm_stop);
            }
        }
        backend_job_look_later();
    }
    tell_progress(job);
    if (!told && pager->end == PAGER_RUNS) {
        return true;
    }
    if (!backend_job_goes_on(job)) {
        backend_job_stopped(job, errp);
    } else if (late) {
        error_setg(errp, "store '%s' does not answer, or not with what it "
                   "should: memory backend '%s' got %" PRIu64 " pages",
                   remote_store_id(pager->store), pager->id, job->done);
    }
    return false;
}

static int coroutine_fn warm_job_run(Job *common, Error **errp)
{
    BackendJob *job = container_of(common, BackendJob, common);
    RemotePager *pager = backend_job_pager(job);
    bool good;

    for_each_shard(pager, warm_begin);
    good = warm_up(job, errp);
    for_each_shard(pager, warm_end);
    if (good) {
        /* The guest may have got some by itself, or have taken the room. */
        job_progress_set_remaining(common, 0);
        return 0;
    }
    return *errp ? -EIO : -ECANCELED;
}

static void warm_job_clean(Job *common)
{
    BackendJob *job = container_of(common, BackendJob, common);

    job->backend->warming = false;
    backend_job_clean(job);
}

static const JobDriver warm_driver = {
    .instance_size = sizeof(BackendJob),
    .job_type = JOB_TYPE_REMOTE_MEMORY_WARM,
    .run = warm_job_run,
    .clean = warm_job_clean,
};

void qmp_remote_memory_warm(const char *id, const char *job_id, Error **errp)
{
    HostMemoryBackendRemote *m = remote_backend_find(id, errp);
    BackendJob *job;

    if (!m || !backend_job_may_use_cache(m, errp)) {
        return;
    }
    job = backend_job_new(m, job_id, &warm_driver, errp);
    if (job) {
        m->warming = true;
        job_start(&job->common);
    }
}
