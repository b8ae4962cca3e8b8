/*
 * memory-backend-remote: monitor commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-job.h"
#include "qapi/qapi-commands-remote-memory.h"
#include "qapi/qapi-commands-remote-store.h"
#include "qobject/qdict.h"
#include "qemu/cutils.h"
#include "qemu/module.h"

static void print_size(Monitor *mon, const char *what, uint64_t size)
{
    g_autofree char *text = size_to_str(size);

    monitor_printf(mon, "  %s: %s\n", what, text);
}

static void print_estimate(Monitor *mon, const RemoteMemoryInfo *info)
{
    const char *before = "  fetches/s by cache-size:";

    for (RemoteMemoryEstimateList *item = info->estimate; item;
         item = item->next) {
        g_autofree char *size = size_to_str(item->value->cache_size);

        monitor_printf(mon, "%s %.0f (%s)", before, item->value->fetch_rate,
                       size);
        before = ",";
    }
    if (info->estimate) {
        monitor_printf(mon, "\n");
    }
}

static void print_progress(Monitor *mon, uint64_t done, uint64_t all)
{
    monitor_printf(mon, ", %.0f %% of %" PRIu64 " pages",
                   all ? floor(100.0 * done / all) : 0, all);
}

static void print_job(Monitor *mon, const JobInfo *job)
{
    static const char *const doing[] = {
        [JOB_TYPE_REMOTE_MEMORY_EVACUATE] = "evacuating",
        [JOB_TYPE_REMOTE_MEMORY_SET_STORE] = "moving to another store",
        [JOB_TYPE_REMOTE_MEMORY_WARM] = "warming up",
    };

    monitor_printf(mon, "  %s: %s", job->id, doing[job->type]);
    print_progress(mon, job->current_progress, job->total_progress);
    monitor_printf(mon, "\n");
}

static void print_jobs(Monitor *mon, const RemoteMemoryInfo *info)
{
    g_autoptr(JobInfoList) jobs = info->jobs ? qmp_query_jobs(NULL) : NULL;

    for (JobInfoList *item = jobs; item; item = item->next) {
        for (strList *id = info->jobs; id; id = id->next) {
            if (g_str_equal(id->value, item->value->id)) {
                print_job(mon, item->value);
            }
        }
    }
}

static void print_memory(Monitor *mon, const RemoteMemoryInfo *info)
{
    monitor_printf(mon, "memory backend '%s': %s, store '%s'\n", info->id,
                   RemoteMemoryState_str(info->state), info->store);
    print_size(mon, "size", info->size);
    print_size(mon, "cache-size", info->cache_size);
    if (info->auto_size) {
        print_size(mon, "min-cache-size", info->auto_size->min_cache_size);
        print_size(mon, "max-cache-size", info->auto_size->max_cache_size);
        monitor_printf(mon, "  waited: %u of 1000, target: %u\n",
                       info->auto_size->waited, info->auto_size->target);
    }
    print_size(mon, "resident", info->resident_size);
    print_size(mon, "standby", info->standby_size);
    print_size(mon, "in flight", info->in_flight_size);
    print_size(mon, "remote", info->remote_size);
    print_size(mon, "zero", info->zero_size);
    if (info->source_size) {
        print_size(mon, "still with the source", info->source_size);
    }
    monitor_printf(mon, "  faults: %" PRIu64 " (%" PRIu64 " refaults, %"
                   PRIu64 " zero-filled, %" PRIu64 " fetched)\n",
                   info->faults, info->refaults, info->zero_fills,
                   info->fetched_pages);
    monitor_printf(mon, "  evicted: %" PRIu64 " (%" PRIu64 " written, %"
                   PRIu64 " clean, %" PRIu64 " zero)\n", info->evicted_pages,
                   info->written_pages, info->clean_drops, info->zero_drops);
    monitor_printf(mon, "  errors: %" PRIu64 "\n", info->errors);
    print_estimate(mon, info);
    print_jobs(mon, info);
}

static void print_store(Monitor *mon, const RemoteStoreInfo *info)
{
    monitor_printf(mon, "%s '%s': %s, %" PRIu64 " pages, %" PRIu64
                   " errors", info->type, info->id,
                   RemoteStoreStatus_str(info->status), info->pages,
                   info->errors);
    if (info->rebuild) {
        monitor_printf(mon, ", rebuilding");
        print_progress(mon, info->rebuild->current_progress,
                       info->rebuild->total_progress);
    }
    monitor_printf(mon, "\n");
}

static void hmp_info_remote_memory(Monitor *mon, const QDict *qdict)
{
    g_autoptr(RemoteMemoryInfoList) memory = qmp_query_remote_memory(NULL);
    g_autoptr(RemoteStoreInfoList) stores = qmp_query_remote_stores(NULL);

    for (RemoteMemoryInfoList *item = memory; item; item = item->next) {
        print_memory(mon, item->value);
    }
    for (RemoteStoreInfoList *item = stores; item; item = item->next) {
        print_store(mon, item->value);
    }
    if (!memory && !stores) {
        monitor_printf(mon, "no remote memory\n");
    }
}

static void hmp_remote_memory_set_cache_size(Monitor *mon, const QDict *qdict)
{
    const char *id = qdict_get_str(qdict, "id");
    const char *text = qdict_get_str(qdict, "size");
    Error *err = NULL;
    uint64_t size;

    if (qemu_strtosz(text, NULL, &size)) {
        error_setg(&err, "'%s' is not a size", text);
        error_append_hint(&err, "Sizes are in bytes, or with a suffix such "
                          "as M or G.\n");
    } else {
        qmp_remote_memory_set_cache_size(id, size, &err);
    }
    hmp_handle_error(mon, err);
}

static void register_commands(void)
{
    monitor_register_hmp("remote-memory", true, hmp_info_remote_memory);
    monitor_register_hmp("remote_memory_set_cache_size", false,
                         hmp_remote_memory_set_cache_size);
}

type_init(register_commands)
