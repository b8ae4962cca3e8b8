/*
 * memory-backend-remote: what query-stats says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hostmem-remote.h"
#include "qapi/util.h"
#include "qemu/module.h"
#include "qom/object.h"
#include "system/stats.h"

/**
 * struct Figure - a number of query-remote-memory, by the name that it has
 * @name: its name there
 * @offset: where it is in #RemoteMemoryInfo
 * @type: whether it only grows
 * @unit: of what it is, or STATS_UNIT__MAX
 * @exponent: the unit is multiplied by 10 to the power of this
 */
typedef struct Figure {
    const char *name;
    size_t offset;
    StatsType type;
    StatsUnit unit;
    int16_t exponent;
} Figure;

#define FIGURE(name_, field, type_, unit_, exponent_) {         \
    .name = name_, .offset = offsetof(RemoteMemoryInfo, field), \
    .type = STATS_TYPE_##type_, .unit = STATS_UNIT_##unit_,     \
    .exponent = exponent_,                                      \
}
#define COUNTER(name, field) FIGURE(name, field, CUMULATIVE, _MAX, 0)
#define GAUGE(name, field) FIGURE(name, field, INSTANT, _MAX, 0)
#define SIZE(name, field) FIGURE(name, field, INSTANT, BYTES, 0)

static const Figure figures[] = {
    SIZE("size", size),
    SIZE("cache-size", cache_size),
    SIZE("resident-size", resident_size),
    SIZE("standby-size", standby_size),
    SIZE("remote-size", remote_size),
    SIZE("zero-size", zero_size),
    SIZE("source-size", source_size),
    SIZE("in-flight-size", in_flight_size),
    SIZE("metadata-size", metadata_size),
    COUNTER("faults", faults),
    GAUGE("waiting-faults", waiting_faults),
    COUNTER("refaults", refaults),
    COUNTER("sampled-refaults", sampled_refaults),
    COUNTER("zero-fills", zero_fills),
    COUNTER("fetched-pages", fetched_pages),
    COUNTER("received-pages", received_pages),
    COUNTER("written-pages", written_pages),
    COUNTER("evicted-pages", evicted_pages),
    COUNTER("clean-drops", clean_drops),
    COUNTER("zero-drops", zero_drops),
    COUNTER("discarded-pages", discarded_pages),
    COUNTER("pinned-skips", pinned_skips),
    GAUGE("over-limit-pages", over_limit_pages),
    COUNTER("prefetched-pages", prefetched_pages),
    COUNTER("prefetch-probes", prefetch_probes),
    COUNTER("prefetch-hits", prefetch_hits),
    COUNTER("visited-pages", visited_pages),
    COUNTER("errors", errors),
    FIGURE("fault-time-ns", fault_time_ns, CUMULATIVE, SECONDS, -9),
};

static const char *const latency_names[PAGE_STATES] = {
    [PAGE_ZERO]     = "fault-latency-zero",
    [PAGE_RESIDENT] = "fault-latency-resident",
    [PAGE_STANDBY]  = "fault-latency-standby",
    [PAGE_REMOTE]   = "fault-latency-remote",
    [PAGE_FETCHING] = "fault-latency-fetching",
    [PAGE_SOURCE]   = "fault-latency-source",
};

static const char *const stage_names[FAULT_STAGES] = {
    [FAULT_STAGE_QUEUE] = "fault-stage-queue",
    [FAULT_STAGE_STORE] = "fault-stage-store",
    [FAULT_STAGE_PLACE] = "fault-stage-place",
};

static void add(StatsList **list, const char *name, StatsValue *value)
{
    Stats *stats = g_new0(Stats, 1);

    stats->name = g_strdup(name);
    stats->value = value;
    QAPI_LIST_PREPEND(*list, stats);
}

static void add_figures(StatsList **list, const RemoteMemoryInfo *info,
                        strList *names)
{
    for (int i = 0; i < ARRAY_SIZE(figures); i++) {
        StatsValue *value;

        if (!apply_str_list_filter(figures[i].name, names)) {
            continue;
        }
        value = g_new0(StatsValue, 1);
        value->type = QTYPE_QNUM;
        memcpy(&value->u.scalar, (const char *)info + figures[i].offset,
               sizeof(uint64_t));
        add(list, figures[i].name, value);
    }
}

static void add_histograms(StatsList **list, const Histogram *histograms,
                           const char *const *titles, int nr, strList *names)
{
    for (int i = 0; i < nr; i++) {
        StatsValue *value;
        uint64List **tail;

        if (!apply_str_list_filter(titles[i], names)) {
            continue;
        }
        value = g_new0(StatsValue, 1);
        value->type = QTYPE_QLIST;
        tail = &value->u.list;
        for (int k = 0; k < HISTOGRAM_BUCKETS; k++) {
            QAPI_LIST_APPEND(tail, histograms[i].buckets[k]);
        }
        add(list, titles[i], value);
    }
}

typedef struct StatsQuery {
    StatsResultList **result;
    strList *names;
} StatsQuery;

static int query_backend(Object *obj, void *opaque)
{
    StatsQuery *query = opaque;
    HostMemoryBackendRemote *m = (HostMemoryBackendRemote *)
        object_dynamic_cast(obj, TYPE_MEMORY_BACKEND_REMOTE);
    g_autofree char *path = NULL;
    StatsList *list = NULL;

    if (m && m->pager) {
        FaultTimes times = { 0 };
        g_autoptr(RemoteMemoryInfo) info = pager_query(m->pager, &times);

        add_histograms(&list, times.stages, stage_names, FAULT_STAGES,
                       query->names);
        add_histograms(&list, times.latency, latency_names, PAGE_STATES,
                       query->names);
        add_figures(&list, info, query->names);
        path = object_get_canonical_path(obj);
        if (list) {
            add_stats_entry(query->result, STATS_PROVIDER_REMOTE_MEMORY, path,
                            list);
        }
    }
    return 0;
}

/* An entry for each backend, since there may be several in a VM. */
static void query_stats(StatsResultList **result, StatsTarget target,
                        strList *names, strList *targets, Error **errp)
{
    StatsQuery query = { .result = result, .names = names };

    if (target == STATS_TARGET_VM) {
        object_child_foreach(object_get_objects_root(), query_backend, &query);
    }
}

static StatsSchemaValue *schema_value(StatsSchemaValueList **list,
                                      const char *name, StatsType type)
{
    StatsSchemaValue *value = g_new0(StatsSchemaValue, 1);

    value->name = g_strdup(name);
    value->type = type;
    QAPI_LIST_PREPEND(*list, value);
    return value;
}

static void set_unit(StatsSchemaValue *value, StatsUnit unit, int16_t exponent)
{
    value->has_unit = true;
    value->unit = unit;
    value->has_base = exponent;
    value->base = exponent ? 10 : 0;
    value->exponent = exponent;
}

static void schema_histograms(StatsSchemaValueList **list,
                              const char *const *titles, int nr)
{
    for (int i = 0; i < nr; i++) {
        set_unit(schema_value(list, titles[i], STATS_TYPE_LOG2_HISTOGRAM),
                 STATS_UNIT_SECONDS, -9);
    }
}

static void query_schemas(StatsSchemaList **result, Error **errp)
{
    StatsSchemaValueList *list = NULL;

    schema_histograms(&list, stage_names, FAULT_STAGES);
    schema_histograms(&list, latency_names, PAGE_STATES);
    for (int i = 0; i < ARRAY_SIZE(figures); i++) {
        StatsSchemaValue *value = schema_value(&list, figures[i].name,
                                               figures[i].type);

        if (figures[i].unit != STATS_UNIT__MAX) {
            set_unit(value, figures[i].unit, figures[i].exponent);
        }
    }
    add_stats_schema(result, STATS_PROVIDER_REMOTE_MEMORY, STATS_TARGET_VM,
                     list);
}

static void register_stats(void)
{
    add_stats_callbacks(STATS_PROVIDER_REMOTE_MEMORY, query_stats,
                        query_schemas);
}

type_init(register_stats)
