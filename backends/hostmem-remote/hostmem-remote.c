/*
 * memory-backend-remote: guest RAM of which only a cache is local
 *
 * The object and its properties.  Everything else is the pager's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "devices.h"
#include "exec/memory.h"
#include "hostmem-remote.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/visitor.h"
#include "qemu/madvise.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "uffd-page.h"

/* Alloc */

unsigned remote_backend_nr_shards(HostMemoryBackendRemote *m)
{
    return m->nr_iothreads ?: pager_default_shards(MEMORY_BACKEND(m)->size);
}

static bool check_sizes(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();
    uint64_t size = MEMORY_BACKEND(m)->size;

    if (!size || size % REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "memory backend '%s': property 'size' cannot be "
                   "%" PRIu64 ": it must be a multiple of %d above 0",
                   remote_backend_id(m), size, REMOTE_STORE_PAGE_SIZE);
        return false;
    }
    if (qemu_real_host_page_size() != REMOTE_STORE_PAGE_SIZE) {
        error_setg(errp, "memory backend '%s': this host's pages are not of "
                   "%d bytes", remote_backend_id(m), REMOTE_STORE_PAGE_SIZE);
        error_append_hint(errp, "Use a kernel that has them, or another "
                          "memory backend.\n");
        return false;
    }
    if (!m->has_cache_size) {
        m->cache_size = size;
    }
    return remote_backend_check_auto_size(m, errp) &&
           pager_check_cache_size(remote_backend_id(m), size,
                                  remote_backend_nr_shards(m), m->cache_size,
                                  errp);
}

static bool check_kernel(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();

    if (!uffd_page_supported(errp)) {
        error_prepend(errp, "memory backend '%s': ", remote_backend_id(m));
        return false;
    }
    return true;
}

static bool find_store(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();

    m->store = remote_store_use(m->store_id, errp);
    if (!m->store) {
        error_prepend(errp, "memory backend '%s': property 'store' cannot be "
                      "'%s': ", remote_backend_id(m), m->store_id);
    }
    return m->store;
}

/* Without a store, one that keeps the pages in this process. */
static bool ensure_store(HostMemoryBackendRemote *m, Error **errp)
{
    if (m->store_id) {
        return find_store(m, errp);
    }
    m->store = (RemoteStore *)
        object_new_with_props("remote-store-ram", OBJECT(m), "default-store",
                              errp, NULL);
    if (m->store) {
        /* Our child has a reference of its own, until we are finalized. */
        object_ref(OBJECT(m->store));
    }
    return m->store;
}

static void unuse_store(HostMemoryBackendRemote *m)
{
    if (m->store_id) {
        remote_store_unuse(m->store);
    } else {
        object_unref(OBJECT(m->store));
    }
}

void remote_backend_set_store(HostMemoryBackendRemote *m, const char *id,
                              RemoteStore *store)
{
    unuse_store(m);
    g_free(m->store_id);
    m->store_id = g_strdup(id);
    m->store = store;
}

static bool start_pager(HostMemoryBackendRemote *m, Error **errp)
{
    HostMemoryBackend *backend = MEMORY_BACKEND(m);
    g_autofree IOThread **threads = g_new0(IOThread *, m->nr_iothreads + 1);
    PagerConfig config = {
        .id = remote_backend_id(m),
        .host = memory_region_get_ram_ptr(&backend->mr),
        .size = backend->size,
        .cache_size = m->cache_size,
        .store = m->store,
        .iothreads = m->nr_iothreads ? threads : NULL,
        .nr_shards = remote_backend_nr_shards(m),
        .prefetch = m->prefetch,
        .verify = m->verify,
        .on_error = m->on_error,
        .record_working_set = m->record_working_set,
    };

    if (!remote_backend_find_iothreads(m, threads, errp) ||
        !remote_backend_find_thread_context(m, &config.thread_context, errp)) {
        return false;
    }
    /* Pages that are part of a large one, or merged, cannot be moved. */
    qemu_madvise(config.host, config.size, QEMU_MADV_NOHUGEPAGE);
    qemu_madvise(config.host, config.size, QEMU_MADV_UNMERGEABLE);
    m->pager = pager_new(&config, errp);
    if (m->pager) {
        remote_backend_start_auto_size(m);
    }
    return m->pager;
}

static bool exclude_devices(HostMemoryBackendRemote *m, Error **errp)
{
    m->excludes_devices = remote_devices_exclude(remote_backend_id(m), errp);
    return m->excludes_devices;
}

/*
 * What else pins all of the guest's memory would make all of it local; it asks
 * whether somebody relies on discarding memory, as we do.
 */
static bool require_discard(HostMemoryBackendRemote *m, Error **errp)
{
    ERRP_GUARD();
    int ret = ram_block_discard_require(true);

    if (ret) {
        error_setg_errno(errp, -ret, "memory backend '%s': a device pins "
                         "the guest's memory, which then cannot be remote",
                         remote_backend_id(m));
        error_append_hint(errp, "Unplug the device, or use another memory "
                          "backend.\n");
        return false;
    }
    m->discard_required = true;
    return true;
}

static bool remote_backend_alloc(HostMemoryBackend *backend, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(backend);
    g_autofree char *name = host_memory_backend_get_name(backend);

    if (!remote_backend_check_inherited(m, errp) || !check_sizes(m, errp) ||
        !check_kernel(m, errp) || !ensure_store(m, errp) ||
        !exclude_devices(m, errp) || !require_discard(m, errp)) {
        return false;
    }
    return memory_region_init_ram_flags_nomigrate(
               &backend->mr, OBJECT(backend), name, backend->size,
               RAM_PRIVATE | RAM_NORESERVE, errp) &&
           start_pager(m, errp);
}

/* Properties */

bool remote_backend_refuse_late(HostMemoryBackendRemote *m, const char *name,
                                Error **errp)
{
    ERRP_GUARD();

    if (!m->pager) {
        return false;
    }
    error_setg(errp, "memory backend '%s': property '%s' cannot be changed "
               "any more", remote_backend_id(m), name);
    error_append_hint(errp, "Only 'cache-size', 'auto-size', what belongs to "
                      "that, 'prefetch' and 'record-working-set' can be "
                      "changed while the backend is in use, and 'store' by "
                      "the command remote-memory-set-store.\n");
    return true;
}

/* Neither should be undone by who does not know of the other. */
bool remote_backend_set_cache_size(HostMemoryBackendRemote *m,
                                   uint64_t cache_size, Error **errp)
{
    ERRP_GUARD();

    if (m->evacuating) {
        error_setg(errp, "memory backend '%s': property 'cache-size' cannot "
                   "be %" PRIu64 " now: a job evacuates the cache",
                   remote_backend_id(m), cache_size);
        error_append_hint(errp, "Wait for its end, or cancel it.\n");
        return false;
    }
    return !remote_backend_is_sized(m, cache_size, errp) &&
           pager_set_cache_size(m->pager, cache_size, errp);
}

static void get_cache_size(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint64_t value = m->pager ? m->pager->cache_size : m->cache_size;

    visit_type_size(v, name, &value, errp);
}

static void set_cache_size(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    if (m->pager) {
        remote_backend_set_cache_size(m, value, errp);
    } else {
        /* Checked on completion: there is neither size nor id before. */
        m->cache_size = value;
        m->has_cache_size = true;
    }
}

static int get_prefetch(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_REMOTE(obj)->prefetch;
}

static void set_prefetch(Object *obj, int value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    m->prefetch = value;
    if (m->pager) {
        pager_set_prefetch(m->pager, value);
    }
}

static bool get_verify(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_REMOTE(obj)->verify;
}

static void set_verify(Object *obj, bool value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    if (!remote_backend_refuse_late(m, "verify", errp)) {
        m->verify = value;
    }
}

static int get_on_error(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_REMOTE(obj)->on_error;
}

static void set_on_error(Object *obj, int value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    if (!remote_backend_refuse_late(m, "on-error", errp)) {
        m->on_error = value;
    }
}

static bool get_record_working_set(Object *obj, Error **errp)
{
    return MEMORY_BACKEND_REMOTE(obj)->record_working_set;
}

static void set_record_working_set(Object *obj, bool value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    m->record_working_set = value;
    if (m->pager) {
        m->pager->record_working_set = value;
    }
}

/* For tests and for who suspects the pager: see page_map_sane(). */
static bool get_consistent(Object *obj, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    return !m->pager || pager_sane(m->pager);
}

/* For tests, which have less memory and less time than others. */
static void get_sample_pages(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint32_t value = m->pager ? m->pager->sample_pages : 0;

    visit_type_uint32(v, name, &value, errp);
}

static void set_sample_pages(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp)) {
        return;
    }
    if (!m->pager || !is_power_of_2(value) || value < 2 || value > 1u << 16) {
        error_setg(errp, "memory backend '%s': property '%s' cannot be %u: it "
                   "must be a power of two from 2 to 65536, and set while the "
                   "backend is in use", remote_backend_id(m), name, value);
        return;
    }
    qatomic_set(&m->pager->sample_pages, value);
}

static char *get_store(Object *obj, Error **errp)
{
    return g_strdup(MEMORY_BACKEND_REMOTE(obj)->store_id);
}

static void set_store(Object *obj, const char *value, Error **errp)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    if (!remote_backend_refuse_late(m, "store", errp)) {
        g_free(m->store_id);
        m->store_id = g_strdup(value);
    }
}

/* Object */

const char *remote_backend_id(HostMemoryBackendRemote *m)
{
    const char *id = object_get_canonical_path_component(OBJECT(m));

    return id ?: "(unnamed)";
}

static void remote_backend_init(Object *obj)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);
    HostMemoryBackend *backend = MEMORY_BACKEND(obj);

    m->prefetch = REMOTE_MEMORY_PREFETCH_ADAPTIVE;
    m->verify = true;
    m->on_error = REMOTE_MEMORY_ON_ERROR_STOP;
    remote_backend_init_auto_size(m);
    m->record_working_set = true;
    /* The defaults of other backends cannot work here. */
    backend->merge = false;
    backend->reserve = false;
}

/* The RAM block is gone by now: it was deleted with the properties. */
static void remote_backend_finalize(Object *obj)
{
    HostMemoryBackendRemote *m = MEMORY_BACKEND_REMOTE(obj);

    remote_backend_stop_auto_size(m);
    pager_free(m->pager);
    if (m->excludes_devices) {
        remote_devices_allow();
    }
    if (m->discard_required) {
        ram_block_discard_require(false);
    }
    unuse_store(m);
    g_free(m->store_id);
    remote_backend_free_threads(m);
}

static void remote_backend_class_init(ObjectClass *oc, void *data)
{
    MEMORY_BACKEND_CLASS(oc)->alloc = remote_backend_alloc;

    object_class_property_add(oc, "cache-size", "size", get_cache_size,
                              set_cache_size, NULL, NULL);
    object_class_property_set_description(oc, "cache-size",
        "Target and bound for local memory, in bytes, a multiple of 4 KiB; "
        "can be changed while the VM runs (default: size)");
    remote_backend_add_size_properties(oc);
    object_class_property_add_str(oc, "store", get_store, set_store);
    object_class_property_set_description(oc, "store",
        "ID of the remote-store-* object for the rest (default: a "
        "remote-store-ram of its own)");
    remote_backend_watch_inherited(oc);
    remote_backend_add_thread_properties(oc);
    object_class_property_add_enum(oc, "prefetch", "RemoteMemoryPrefetch",
                                   &RemoteMemoryPrefetch_lookup,
                                   get_prefetch, set_prefetch);
    object_class_property_set_description(oc, "prefetch",
        "Which pages to fetch before they are asked for: off, readahead, "
        "stride or adaptive; can be changed while the VM runs (default: "
        "adaptive)");
    object_class_property_add_bool(oc, "verify", get_verify, set_verify);
    object_class_property_set_description(oc, "verify",
        "Check the content of every page that is fetched (default: on)");
    object_class_property_add_bool(oc, "x-consistent", get_consistent, NULL);
    object_class_property_set_description(oc, "x-consistent",
        "Whether all of the pager's records agree; takes time in proportion "
        "to the size (read-only)");
    object_class_property_add(oc, "x-sample-pages", "uint32",
                              get_sample_pages, set_sample_pages, NULL, NULL);
    object_class_property_set_description(oc, "x-sample-pages",
        "Of this number of pages, one at most is used to estimate what "
        "other cache sizes would cost; from the next cache size on "
        "(default: 128)");
    object_class_property_add_enum(oc, "on-error", "RemoteMemoryOnError",
                                   &RemoteMemoryOnError_lookup,
                                   get_on_error, set_on_error);
    object_class_property_set_description(oc, "on-error",
        "What to do when the store fails and retries do not help: stop (the "
        "VM) or report (and go on trying) (default: stop)");
    object_class_property_add_bool(oc, "record-working-set",
                                   get_record_working_set,
                                   set_record_working_set);
    object_class_property_set_description(oc, "record-working-set",
        "Have snapshots say which pages the guest works with, for "
        "remote-memory-warm; off if a QEMU without remote memory is to load "
        "them; can be changed while the VM runs (default: on)");
}

static const TypeInfo remote_backend_info = {
    .name = TYPE_MEMORY_BACKEND_REMOTE,
    .parent = TYPE_MEMORY_BACKEND,
    .instance_size = sizeof(HostMemoryBackendRemote),
    .instance_init = remote_backend_init,
    .instance_finalize = remote_backend_finalize,
    .class_init = remote_backend_class_init,
};

static void register_types(void)
{
    type_register_static(&remote_backend_info);
}

type_init(register_types)
