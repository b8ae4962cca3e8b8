/*
 * memory-backend-remote: the object
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_HOSTMEM_REMOTE_H
#define REMOTE_MEMORY_HOSTMEM_REMOTE_H

#include "pager.h"
#include "qapi/qapi-builtin-types.h"
#include "system/hostmem.h"

#define TYPE_MEMORY_BACKEND_REMOTE "memory-backend-remote"
OBJECT_DECLARE_SIMPLE_TYPE(HostMemoryBackendRemote, MEMORY_BACKEND_REMOTE)

typedef struct RemoteAutosize RemoteAutosize;

/**
 * struct HostMemoryBackendRemote - the object
 * @cache_size: as set before there is a pager; the pager's counts from then on
 * @has_cache_size: it was set
 * @store_id: as given, or %NULL
 * @store: the store, once the memory is allocated
 * @iothreads: ids, as given
 * @nr_iothreads: their number
 * @thread_context: property
 * @prefetch: property
 * @verify: property
 * @on_error: property
 * @auto_size: property
 * @min_cache_size: property, or 0 for the default
 * @max_cache_size: likewise
 * @auto_size_target: property
 * @autosize: what sizes the cache, or %NULL
 * @record_working_set: property
 * @excludes_devices: remote_devices_exclude() was called
 * @discard_required: ram_block_discard_require() was called
 * @pager: once the memory is allocated
 * @moving: there is a job that changes the store
 * @evacuating: there is one that empties the cache
 * @warming: there is one that fills it
 */
struct HostMemoryBackendRemote {
    HostMemoryBackend parent_obj;

    uint64_t cache_size;
    bool has_cache_size;
    char *store_id;
    RemoteStore *store;
    strList *iothreads;
    unsigned nr_iothreads;
    char *thread_context;
    RemoteMemoryPrefetch prefetch;
    bool verify;
    RemoteMemoryOnError on_error;
    bool auto_size;
    uint64_t min_cache_size;
    uint64_t max_cache_size;
    uint32_t auto_size_target;
    RemoteAutosize *autosize;
    bool record_working_set;
    bool excludes_devices;
    bool discard_required;
    RemotePager *pager;
    bool moving;
    bool evacuating;
    bool warming;
};

/** remote_backend_id: name for messages, owned by @m */
const char *remote_backend_id(HostMemoryBackendRemote *m);

/**
 * remote_backend_find: look a backend that is in use up by its id
 *
 * Main thread.  Returns: the backend, or %NULL and @errp is set.
 */
HostMemoryBackendRemote *remote_backend_find(const char *id, Error **errp);

/**
 * remote_backend_set_store: note that the pages are in another store
 * @m: the object
 * @id: the store's id
 * @store: the store, from remote_store_use(); the object's from now on
 */
void remote_backend_set_store(HostMemoryBackendRemote *m, const char *id,
                              RemoteStore *store);

/**
 * remote_backend_set_cache_size: the user sets the cache-size
 * @m: the object, which has a pager
 * @cache_size: in bytes
 * @errp: set if it cannot be set, or not now
 */
bool remote_backend_set_cache_size(HostMemoryBackendRemote *m,
                                   uint64_t cache_size, Error **errp);

/** remote_backend_refuse_late: is it too late to set the property @name? */
bool remote_backend_refuse_late(HostMemoryBackendRemote *m, const char *name,
                                Error **errp);

/** remote_backend_nr_shards: how many threads the pager has, or will have */
unsigned remote_backend_nr_shards(HostMemoryBackendRemote *m);

/* hostmem-remote-autosize.c */

/** remote_backend_add_size_properties: "auto-size" and those with it */
void remote_backend_add_size_properties(ObjectClass *oc);

/** remote_backend_init_auto_size: their defaults */
void remote_backend_init_auto_size(HostMemoryBackendRemote *m);

/**
 * remote_backend_check_auto_size: do they go together?
 *
 * Sets the cache-size if auto-size is on and the user has set none.
 */
bool remote_backend_check_auto_size(HostMemoryBackendRemote *m, Error **errp);

/** remote_backend_start_auto_size: there is a pager: begin, if it is on */
void remote_backend_start_auto_size(HostMemoryBackendRemote *m);

/** remote_backend_stop_auto_size: leave the cache-size as it is */
void remote_backend_stop_auto_size(HostMemoryBackendRemote *m);

/**
 * remote_backend_is_sized: is setting the cache-size not the user's matter?
 * @m: the object
 * @cache_size: what the user wants to set, in bytes
 * @errp: set if it is not
 */
bool remote_backend_is_sized(HostMemoryBackendRemote *m, uint64_t cache_size,
                             Error **errp);

/** remote_backend_query_auto_size: add what it does to @info */
void remote_backend_query_auto_size(HostMemoryBackendRemote *m,
                                    RemoteMemoryInfo *info);

/* hostmem-remote-inherited.c */

/** remote_backend_check_inherited: is there nothing that cannot work here? */
bool remote_backend_check_inherited(HostMemoryBackendRemote *m, Error **errp);

/**
 * remote_backend_watch_inherited: the same, for what can be set at any time
 * @oc: the class
 */
void remote_backend_watch_inherited(ObjectClass *oc);

/* hostmem-remote-threads.c */

/** remote_backend_add_thread_properties: "iothreads" and "thread-context" */
void remote_backend_add_thread_properties(ObjectClass *oc);

/** remote_backend_free_threads: free their values */
void remote_backend_free_threads(HostMemoryBackendRemote *m);

/**
 * remote_backend_find_iothreads: look the iothreads up by their ids
 * @m: the object
 * @threads: filled in; has room for all
 * @errp: set if one does not exist, or is there twice
 */
bool remote_backend_find_iothreads(HostMemoryBackendRemote *m,
                                   IOThread *threads[], Error **errp);

/**
 * remote_backend_find_thread_context: look the thread-context up by its id
 * @m: the object
 * @context: set to it, or to %NULL if none was given
 * @errp: set if it does not exist, or cannot be used
 */
bool remote_backend_find_thread_context(HostMemoryBackendRemote *m,
                                        ThreadContext **context,
                                        Error **errp);

#endif
