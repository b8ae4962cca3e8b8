/*
 * remote-memory-set-store: the job
 *
 * It only looks after what the shards do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "backend-job.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-remote-memory.h"

/*
 * @to: where the pages go; kept from being deleted
 * @to_id: its id
 */
typedef struct SetStoreJob {
    BackendJob base;
    RemoteStore *to;
    char *to_id;
} SetStoreJob;

static RemotePager *job_pager(SetStoreJob *job)
{
    return backend_job_pager(&job->base);
}

static bool is_cancelled(SetStoreJob *job)
{
    return backend_job_cancelled(&job->base);
}

/* Progress that goes back, because pages are given up, is not told. */
static void tell_progress(SetStoreJob *job)
{
    uint64_t done, all;

    pager_move_progress(job_pager(job), &done, &all);
    backend_job_progress(&job->base, done, all);
}

/* Has a store failed for too long? */
static bool out_of_patience(SetStoreJob *job, RemoteStore **store)
{
    *store = pager_move_failing(job_pager(job));
    return backend_job_out_of_patience(&job->base, *store);
}

/*
 * Because of a store that fails, or because the user says so; unless no shard
 * uses the other store yet.  Returns: whether it is so.
 */
static bool turn_back(SetStoreJob *job, RemoteStore *failing, Error **errp)
{
    if (pager_move_state(job_pager(job)) == PAGER_MOVE_ENTERING) {
        return false;
    }
    if (failing) {
        error_setg(errp, "store '%s' does not answer, or not with what it "
                   "should", remote_store_id(failing));
    }
    pager_move_turn_back(job_pager(job));
    return true;
}

/*
 * Until one of the stores has all.  Returns: whether that is so; if not, both
 * remain in use.
 */
static bool coroutine_fn copy(SetStoreJob *job, Error **errp)
{
    RemotePager *pager = job_pager(job);
    bool turned = false;
    RemoteStore *failing = NULL;
    PagerMoveState state;

    while (backend_job_goes_on(&job->base)) {
        bool late = out_of_patience(job, &failing);

        if (!turned && (late || is_cancelled(job))) {
            turned = turn_back(job, late ? failing : NULL, errp);
        }
        state = pager_move_state(pager);
        if (late && turned && state == PAGER_MOVE_COPYING) {
            break;
        }
        if (state != PAGER_MOVE_ENTERING) {
            tell_progress(job);
        }
        if (state == PAGER_MOVE_COPIED) {
            return true;
        }
        backend_job_look_later();
    }
    error_free(*errp);
    *errp = NULL;
    if (!backend_job_goes_on(&job->base)) {
        backend_job_stopped(&job->base, errp);
    } else {
        error_setg(errp, "store '%s' does not answer: pages are in both "
                   "stores, and remain so", remote_store_id(failing));
    }
    return false;
}

/*
 * Empty the store that is left.  What it cannot forget it keeps; and who
 * cancels, perhaps to quit, does not wait for that.
 */
static void coroutine_fn empty(SetStoreJob *job)
{
    RemotePager *pager = job_pager(job);
    int64_t end = INT64_MAX;
    RemoteStore *failing;

    pager_move_empty(pager);
    while (backend_job_goes_on(&job->base) &&
           pager_move_state(pager) != PAGER_MOVE_EMPTIED &&
           !out_of_patience(job, &failing) && backend_job_now_ms() < end) {
        if (is_cancelled(job)) {
            end = MIN(end, backend_job_now_ms() + BACKEND_JOB_PATIENCE_MS);
        }
        backend_job_look_later();
    }
}

static void coroutine_fn leave(SetStoreJob *job)
{
    RemotePager *pager = job_pager(job);

    do {
        pager_move_leave(pager);
        backend_job_look_later();
    } while (backend_job_goes_on(&job->base) &&
             pager_move_state(pager) != PAGER_MOVE_LEFT);
    if (backend_job_goes_on(&job->base)) {
        pager_move_end(pager);
    }
}

static int coroutine_fn set_store_run(Job *common, Error **errp)
{
    ERRP_GUARD();
    SetStoreJob *job = container_of(common, SetStoreJob, base.common);

    if (!copy(job, errp)) {
        return -EIO;
    }
    job_progress_set_remaining(common, 0);
    empty(job);
    leave(job);
    if (job_pager(job)->store == job->to) {
        remote_backend_set_store(job->base.backend, job->to_id,
                                 g_steal_pointer(&job->to));
        return 0;
    }
    if (!*errp && !backend_job_goes_on(&job->base)) {
        backend_job_stopped(&job->base, errp);
    }
    return *errp ? -EIO : -ECANCELED;
}

/* There is something to do first. */
static bool set_store_cancel(Job *job, bool force)
{
    return force;
}

/* Nothing is in use any more; the job's result is, until it is dismissed. */
static void set_store_clean(Job *common)
{
    SetStoreJob *job = container_of(common, SetStoreJob, base.common);

    job->base.backend->moving = false;
    remote_store_unuse(job->to);
    backend_job_clean(&job->base);
    g_free(job->to_id);
}

static const JobDriver set_store_driver = {
    .instance_size = sizeof(SetStoreJob),
    .job_type = JOB_TYPE_REMOTE_MEMORY_SET_STORE,
    .run = set_store_run,
    .cancel = set_store_cancel,
    .clean = set_store_clean,
};

static SetStoreJob *job_new(HostMemoryBackendRemote *m, RemoteStore *to,
                            const char *store, const char *job_id, Error **errp)
{
    SetStoreJob *job = backend_job_new(m, job_id, &set_store_driver, errp);

    if (job) {
        job->to = to;
        job->to_id = g_strdup(store);
        m->moving = true;
    }
    return job;
}

void qmp_remote_memory_set_store(const char *id, const char *store,
                                 const char *job_id, Error **errp)
{
    ERRP_GUARD();
    HostMemoryBackendRemote *m = remote_backend_find(id, errp);
    SetStoreJob *job;
    RemoteStore *to;

    if (!m) {
        return;
    }
    if (m->moving) {
        error_setg(errp, "memory backend '%s': its pages are being moved by "
                   "another job", id);
        error_append_hint(errp, "Wait for its end, or cancel it.\n");
        return;
    }
    to = remote_store_use(store, errp);
    if (!to) {
        return;
    }
    job = job_new(m, to, store, job_id, errp);
    if (!job) {
        remote_store_unuse(to);
        return;
    }
    if (!pager_move_start(m->pager, to, errp)) {
        set_store_clean(&job->base.common);
        job_early_fail(&job->base.common);
        return;
    }
    job_start(&job->base.common);
}
