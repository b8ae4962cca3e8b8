/*
 * Jobs of a memory backend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_BACKEND_JOB_H
#define REMOTE_MEMORY_BACKEND_JOB_H

#include "hostmem-remote.h"
#include "qemu/coroutine.h"
#include "qemu/job.h"

/**
 * DOC: Jobs
 *
 * A job begins something in the shards, looks every now and then how far they
 * are, and ends it.  Nothing of it is on the way of a page: the main loop,
 * where jobs run, may be waiting for a page itself.
 *
 * What a job does to its backend has to be undone also when QEMU quits, which
 * cancels it by force.  So a job does not sleep by job_sleep_ns(), which
 * returns at once then, and for ever: it looks whether it is cancelled.
 */

/**
 * struct BackendJob - what the jobs have in common; the first of their members
 * @common: the job
 * @backend: whose pages they are; a reference is held.  %NULL when the job is
 *     over and only its result remains
 * @done: progress that was told, in pages
 * @failing_since: since when a store fails, in ms, or 0
 */
typedef struct BackendJob {
    Job common;
    HostMemoryBackendRemote *backend;
    uint64_t done;
    int64_t failing_since;
} BackendJob;

/**
 * backend_job_new: make a job that remains to be seen when it has ended
 * @m: the backend
 * @job_id: its id
 * @driver: its driver, of a type that begins with #BackendJob
 * @errp: set if the id cannot be used
 *
 * Returns: the job, or %NULL.  Its clean() has to call backend_job_clean().
 */
void *backend_job_new(HostMemoryBackendRemote *m, const char *job_id,
                      const JobDriver *driver, Error **errp);

/**
 * backend_job_may_use_cache: is there no job that fills or empties the cache?
 *
 * Two of them would be in each other's way.
 */
bool backend_job_may_use_cache(HostMemoryBackendRemote *m, Error **errp);

/** backend_job_clean: undo backend_job_new() */
void backend_job_clean(BackendJob *job);

/** backend_job_ids: the jobs of a backend that are not over.  Main thread */
strList *backend_job_ids(const HostMemoryBackendRemote *m);

/** backend_job_pager: whose shards do the work */
static inline RemotePager *backend_job_pager(const BackendJob *job)
{
    return job->backend->pager;
}

/**
 * backend_job_goes_on: are there still pages that a job could be about?
 *
 * Not when QEMU ends, nor when the backend was deleted, which stays only as
 * long as the job has it.
 */
bool backend_job_goes_on(const BackendJob *job);

/** backend_job_cancelled: did the user, or the end of QEMU, cancel the job? */
static inline bool backend_job_cancelled(BackendJob *job)
{
    return job_cancel_requested(&job->common);
}

/**
 * backend_job_progress: tell how far it is
 * @job: the job
 * @done: pages that are done; what goes back is not told
 * @all: all pages, as far as is known now
 */
void backend_job_progress(BackendJob *job, uint64_t done, uint64_t all);

/**
 * backend_job_out_of_patience: does a store fail for too long?
 * @job: the job
 * @failing: does it fail now?
 */
bool backend_job_out_of_patience(BackendJob *job, bool failing);

/** BACKEND_JOB_PATIENCE_MS: a store that fails for so long is not waited for */
#define BACKEND_JOB_PATIENCE_MS 10000

/** backend_job_look_later: sleep until it is time to look again */
void coroutine_fn backend_job_look_later(void);

/** backend_job_now_ms: the clock that patience is measured by */
int64_t backend_job_now_ms(void);

/** backend_job_stopped: say that the backend was taken away meanwhile */
void backend_job_stopped(BackendJob *job, Error **errp);

#endif
