/*
 * Jobs of a memory backend: what they have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "backend-job.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"

/* How often a job looks. */
#define LOOK_NS (20 * SCALE_MS)

void *backend_job_new(HostMemoryBackendRemote *m, const char *job_id,
                      const JobDriver *driver, Error **errp)
{
    BackendJob *job = job_create(job_id, driver, NULL, qemu_get_aio_context(),
                                 JOB_MANUAL_DISMISS, NULL, NULL, errp);

    if (job) {
        job->backend = m;
        object_ref(OBJECT(m));
    }
    return job;
}

bool backend_job_may_use_cache(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();

    if (m->evacuating || m->warming) {
        error_setg(errp, "memory backend '%s': its cache is being %s by "
                   "another job", remote_backend_id(m),
                   m->evacuating ? "evacuated" : "warmed");
        error_append_hint(errp, "Wait for its end, or cancel it.\n");
        return false;
    }
    return true;
}

void backend_job_clean(BackendJob *job)
{
    object_unref(OBJECT(g_steal_pointer(&job->backend)));
}

static bool is_backend_job(const Job *job)
{
    switch (job_type(job)) {
    case JOB_TYPE_REMOTE_MEMORY_EVACUATE:
    case JOB_TYPE_REMOTE_MEMORY_SET_STORE:
    case JOB_TYPE_REMOTE_MEMORY_WARM:
        return true;
    default:
        return false;
    }
}

strList *backend_job_ids(const HostMemoryBackendRemote *m)
{
    strList *ids = NULL, **tail = &ids;

    JOB_LOCK_GUARD();
    for (Job *job = job_next_locked(NULL); job; job = job_next_locked(job)) {
        if (is_backend_job(job) &&
            container_of(job, BackendJob, common)->backend == m) {
            QAPI_LIST_APPEND(tail, g_strdup(job->id));
        }
    }
    return ids;
}

bool backend_job_goes_on(const BackendJob *job)
{
    return backend_job_pager(job)->end == PAGER_RUNS &&
           OBJECT(job->backend)->parent;
}

void backend_job_progress(BackendJob *job, uint64_t done, uint64_t all)
{
    if (done > job->done) {
        job_progress_update(&job->common, done - job->done);
        job->done = done;
    }
    job_progress_set_remaining(&job->common, MAX(all, job->done) - job->done);
}

int64_t backend_job_now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

bool backend_job_out_of_patience(BackendJob *job, bool failing)
{
    if (!failing) {
        job->failing_since = 0;
    } else if (!job->failing_since) {
        job->failing_since = backend_job_now_ms();
    }
    return failing && backend_job_now_ms() - job->failing_since >=
                      BACKEND_JOB_PATIENCE_MS;
}

void coroutine_fn backend_job_look_later(void)
{
    qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, LOOK_NS);
}

void backend_job_stopped(BackendJob *job, Error **errp)
{
    error_setg(errp, "memory backend '%s' is not in use any more",
               backend_job_pager(job)->id);
}
