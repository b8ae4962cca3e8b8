/*
 * memory-backend-remote: "auto-size" and the properties that go with it
 *
 * From time to time the controller (autosize.h) is told what the guest has
 * waited for, and the cache gets the size that it says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "autosize.h"
#include "estimate.h"
#include "hostmem-remote.h"
#include "hw/core/cpu.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/visitor.h"
#include "qemu/timer.h"
#include "shard.h"
#include "system/runstate.h"

/* How often to look, in ms, while somebody waits for pages and otherwise. */
#define BUSY_MS 250
#define IDLE_MS 1000

/* In thousandths. */
#define TARGET_DEFAULT 50

/* By default, what an idle guest keeps. */
#define MIN_DIVISOR 16

QEMU_BUILD_BUG_ON(ESTIMATE_SIZES > AUTOSIZE_POINTS);

/*
 * @vm_change: tells when the guest stops
 * @known: the figures below were read, and the guest has run since then
 * @time: when, as a monotonic time in ns
 * @waited: by the guest, in ns
 * @awaited: pages
 * @curve: pages for each of the sizes of the estimate
 */
struct RemoteAutosize {
    HostMemoryBackendRemote *m;
    QEMUTimer *timer;
    VMChangeStateEntry *vm_change;
    Autosize autosize;
    bool known;
    int64_t time;
    uint64_t waited;
    uint64_t awaited;
    uint64_t curve[AUTOSIZE_POINTS];
};

/* Limits */

static uint64_t size_of(HostMemoryBackendRemote *m)
{
    return MEMORY_BACKEND(m)->size;
}

static uint64_t least_size(HostMemoryBackendRemote *m)
{
    return pager_min_cache_size(size_of(m), remote_backend_nr_shards(m));
}

static uint64_t max_size(HostMemoryBackendRemote *m)
{
    return m->max_cache_size ?: size_of(m);
}

static uint64_t min_size(HostMemoryBackendRemote *m)
{
    uint64_t size = QEMU_ALIGN_DOWN(size_of(m) / MIN_DIVISOR,
                                    REMOTE_STORE_PAGE_SIZE);

    return m->min_cache_size ?: MIN(MAX(size, least_size(m)), max_size(m));
}

typedef struct Bound {
    uint64_t value;
    const char *name;
} Bound;

static Bound lowest(HostMemoryBackendRemote *m)
{
    return (Bound) { least_size(m), "what the pager threads need" };
}

static Bound highest(HostMemoryBackendRemote *m)
{
    return (Bound) { size_of(m), "'size'" };
}

static Bound lower(HostMemoryBackendRemote *m)
{
    return (Bound) { min_size(m), "'min-cache-size'" };
}

static Bound upper(HostMemoryBackendRemote *m)
{
    return (Bound) { max_size(m), "'max-cache-size'" };
}

static bool check_size(HostMemoryBackendRemote *m, const char *name,
                       uint64_t value, Bound least, Bound most, Error **errp)
{
    ERRP_GUARD();
    g_autofree char *reason = NULL;

    if (value < least.value) {
        reason = g_strdup_printf("below %s, %" PRIu64, least.name, least.value);
    } else if (value > most.value) {
        reason = g_strdup_printf("above %s, %" PRIu64, most.name, most.value);
    } else if (value % REMOTE_STORE_PAGE_SIZE) {
        reason = g_strdup_printf("no multiple of %d", REMOTE_STORE_PAGE_SIZE);
    } else {
        return true;
    }
    error_setg(errp, "memory backend '%s': property '%s' cannot be %" PRIu64
               ": it is %s", remote_backend_id(m), name, value, reason);
    error_append_hint(errp, "It can be a multiple of %d from %" PRIu64 " to %"
                      PRIu64 ".\n", REMOTE_STORE_PAGE_SIZE, least.value,
                      most.value);
    return false;
}

static bool check_target(HostMemoryBackendRemote *m, uint32_t value,
                         Error **errp)
{
    ERRP_GUARD();

    if (value && value <= AUTOSIZE_TARGET_MAX) {
        return true;
    }
    error_setg(errp, "memory backend '%s': property 'auto-size-target' cannot "
               "be %u: it is not from 1 to %d", remote_backend_id(m), value,
               AUTOSIZE_TARGET_MAX);
    error_append_hint(errp, "It is in thousandths: %d is a twentieth of the "
                      "guest's time.\n", TARGET_DEFAULT);
    return false;
}

bool remote_backend_check_auto_size(HostMemoryBackendRemote *m, Error **errp)
{
    if (!check_target(m, m->auto_size_target, errp) ||
        !check_size(m, "max-cache-size", max_size(m), lowest(m), highest(m),
                    errp) ||
        !check_size(m, "min-cache-size", min_size(m), lowest(m), upper(m),
                    errp)) {
        return false;
    }
    if (!m->auto_size) {
        return true;
    }
    if (!m->has_cache_size) {
        m->cache_size = max_size(m);
    }
    return check_size(m, "cache-size", m->cache_size, lower(m), upper(m),
                      errp);
}

/* What has happened since the last time */

/* While a store fails or pages are handed over, waiting says nothing. */
static bool is_usual(HostMemoryBackendRemote *m, const RemoteMemoryInfo *info)
{
    return runstate_is_running() && !m->evacuating &&
           (info->state == REMOTE_MEMORY_STATE_RUNNING ||
            info->state == REMOTE_MEMORY_STATE_SHRINKING);
}

static unsigned count_vcpus(void)
{
    unsigned nr = 0;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        nr++;
    }
    return MAX(nr, 1);
}

/* How much more it is; all of it, if counting has begun anew. */
static uint64_t more(uint64_t *counter, uint64_t value)
{
    uint64_t before = *counter <= value ? *counter : 0;

    *counter = value;
    return value - before;
}

static void look_at_curve(RemoteAutosize *as, const RemoteMemoryInfo *info,
                          AutosizeTick *tick)
{
    for (RemoteMemoryEstimateList *item = info->estimate; item;
         item = item->next) {
        unsigned i = tick->nr_points++;

        tick->curve[i] = (AutosizePoint) {
            .size = item->value->cache_size / REMOTE_STORE_PAGE_SIZE,
            .fetched = more(&as->curve[i], item->value->fetched_pages),
        };
    }
}

static AutosizeTick look(RemoteAutosize *as, const RemoteMemoryInfo *info)
{
    RemotePager *pager = as->m->pager;
    uint64_t waited = 0, awaited = 0, used = 0;
    int64_t now = get_clock();
    AutosizeTick tick;

    for (unsigned i = 0; i < pager->nr_shards; i++) {
        const RemoteShard *s = &pager->shards[i];

        waited += qatomic_read(&s->stats.guest_time_ns);
        awaited += qatomic_read(&s->stats.awaited);
        used += qatomic_read(&s->budget.used);
    }
    tick = (AutosizeTick) {
        .passed = now - as->time,
        .vcpus = count_vcpus(),
        .waiting = info->waiting_faults,
        .waited = more(&as->waited, waited),
        .fetched = more(&as->awaited, awaited),
        .size = pager->cache_size / REMOTE_STORE_PAGE_SIZE,
        .used = used,
    };
    look_at_curve(as, info, &tick);
    as->time = now;
    return tick;
}

static void resize(RemoteAutosize *as, uint64_t pages)
{
    pager_set_cache_size(as->m->pager, pages * REMOTE_STORE_PAGE_SIZE,
                         &error_abort);
    /* With another size, the estimate begins to count anew. */
    memset(as->curve, 0, sizeof(as->curve));
}

static void autosize_timer(void *opaque)
{
    RemoteAutosize *as = opaque;
    g_autoptr(RemoteMemoryInfo) info = pager_query(as->m->pager, NULL);
    AutosizeTick tick = look(as, info);
    bool usual = is_usual(as->m, info);
    uint64_t pages;

    if (usual && as->known) {
        pages = autosize_tick(&as->autosize, &tick);
        if (pages != tick.size) {
            resize(as, pages);
        }
    }
    as->known = usual;
    timer_mod(as->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                         (tick.waited ? BUSY_MS : IDLE_MS));
}

/* A pause between two looks is not the guest's time. */
static void vm_change(void *opaque, bool running, RunState state)
{
    RemoteAutosize *as = opaque;

    as->known = false;
}

/* Begin and end */

static AutosizeConfig config_of(HostMemoryBackendRemote *m)
{
    return (AutosizeConfig) {
        .min = min_size(m) / REMOTE_STORE_PAGE_SIZE,
        .max = max_size(m) / REMOTE_STORE_PAGE_SIZE,
        .target = m->auto_size_target,
    };
}

void remote_backend_start_auto_size(HostMemoryBackendRemote *m)
{
    AutosizeConfig config = config_of(m);
    RemoteAutosize *as;

    if (!m->auto_size || m->autosize) {
        return;
    }
    as = g_new0(RemoteAutosize, 1);
    as->m = m;
    autosize_init(&as->autosize, &config);
    as->timer = timer_new_ms(QEMU_CLOCK_REALTIME, autosize_timer, as);
    timer_mod(as->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
    as->vm_change = qemu_add_vm_change_state_handler(vm_change, as);
    m->autosize = as;
}

void remote_backend_stop_auto_size(HostMemoryBackendRemote *m)
{
    if (m->autosize) {
        qemu_del_vm_change_state_handler(m->autosize->vm_change);
        timer_free(m->autosize->timer);
        g_free(m->autosize);
        m->autosize = NULL;
    }
}

bool remote_backend_is_sized(HostMemoryBackendRemote *m, uint64_t cache_size,
                             Error **errp)
{
    ERRP_GUARD();

    if (!m->autosize) {
        return false;
    }
    error_setg(errp, "memory backend '%s': property 'cache-size' cannot be %"
               PRIu64 " now: 'auto-size' is on", remote_backend_id(m),
               cache_size);
    error_append_hint(errp, "Set 'min-cache-size' and 'max-cache-size', or "
                      "'auto-size' to off.\n");
    return true;
}

void remote_backend_query_auto_size(HostMemoryBackendRemote *m,
                                    RemoteMemoryInfo *info)
{
    if (m->autosize) {
        info->auto_size = g_new0(RemoteMemoryAutoSize, 1);
        info->auto_size->min_cache_size = min_size(m);
        info->auto_size->max_cache_size = max_size(m);
        info->auto_size->target = m->auto_size_target;
        info->auto_size->waited = autosize_share(&m->autosize->autosize);
    }
}

/* Properties */

static void tell(HostMemoryBackendRemote *m)
{
    AutosizeConfig config;

    if (m->autosize) {
        config = config_of(m);
        autosize_configure(&m->autosize->autosize, &config);
    }
}

static bool get_auto_size(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_REMOTE(obj)->auto_size;
}

static void set_auto_size(Object *obj, bool value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    m->auto_size = value;
    if (!value) {
        remote_backend_stop_auto_size(m);
    } else if (m->pager) {
        remote_backend_start_auto_size(m);
    }
}

static uint64_t *limit(HostMemoryBackendRemote *m, const char *name)
{
    return g_str_equal(name, "min-cache-size") ? &m->min_cache_size
                                               : &m->max_cache_size;
}

static void get_limit(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint64_t value = *limit(m, name);

    if (m->pager) {
        value = limit(m, name) == &m->min_cache_size ? min_size(m)
                                                     : max_size(m);
    }
    visit_type_size(v, name, &value, errp);
}

static void set_limit(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    bool is_min = limit(m, name) == &m->min_cache_size;
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    /* Before that they are checked together: see check_auto_size(). */
    if (m->pager &&
        !check_size(m, name, value,
                    is_min || !m->min_cache_size ? lowest(m) : lower(m),
                    is_min ? upper(m) : highest(m), errp)) {
        return;
    }
    *limit(m, name) = value;
    tell(m);
}

static void get_target(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    visit_type_uint32(v, name, &MEMORY_BACKEND_REMOTE(obj)->auto_size_target,
                      errp);
}

static void set_target(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp)) {
        return;
    }
    if (m->pager && !check_target(m, value, errp)) {
        return;
    }
    m->auto_size_target = value;
    tell(m);
}

void remote_backend_init_auto_size(HostMemoryBackendRemote *m)
{
    m->auto_size_target = TARGET_DEFAULT;
}

void remote_backend_add_size_properties(ObjectClass *oc)
{
    object_class_property_add_bool(oc, "auto-size", get_auto_size,
                                   set_auto_size);
    object_class_property_set_description(oc, "auto-size",
        "Size the cache by the time that the guest waits for pages; can be "
        "changed while the VM runs (default: off)");
    object_class_property_add(oc, "min-cache-size", "size", get_limit,
                              set_limit, NULL, NULL);
    object_class_property_set_description(oc, "min-cache-size",
        "With auto-size, the least size, in bytes, a multiple of 4 KiB; can "
        "be changed while the VM runs (default: a sixteenth of size)");
    object_class_property_add(oc, "max-cache-size", "size", get_limit,
                              set_limit, NULL, NULL);
    object_class_property_set_description(oc, "max-cache-size",
        "With auto-size, the largest size, in bytes, a multiple of 4 KiB; can "
        "be changed while the VM runs (default: size)");
    object_class_property_add(oc, "auto-size-target", "uint32", get_target,
                              set_target, NULL, NULL);
    object_class_property_set_description(oc, "auto-size-target",
        "With auto-size, the part of the guest's time that may be spent on "
        "waiting for pages, in thousandths; can be changed while the VM runs "
        "(default: 50)");
}
