/*
 * What stores that stand on other stores have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/util.h"
#include "qemu/bswap.h"
#include "store-filter.h"

static bool is_repeated(const strList *all, const strList *item)
{
    for (const strList *l = all; l != item; l = l->next) {
        if (!strcmp(l->value, item->value)) {
            return true;
        }
    }
    return false;
}

bool filter_use_stores(RemoteStore *filter, const strList *names,
                       unsigned least, RemoteStore **stores, unsigned most,
                       unsigned *nr, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_store_id(filter);
    size_t given = QAPI_LIST_LENGTH(names);

    *nr = 0;
    if (given < least || given > most) {
        error_setg(errp, "store '%s': property 'stores' has %zu stores instead "
                   "of %u to %u", id, given, least, most);
        error_append_hint(errp, "Give the id of each store behind this one.\n");
        return false;
    }
    for (const strList *l = names; l; l = l->next) {
        if (is_repeated(names, l)) {
            error_setg(errp, "store '%s': property 'stores': '%s' is given "
                       "twice", id, l->value);
            return false;
        }
        stores[*nr] = remote_store_use(l->value, errp);
        if (!stores[*nr]) {
            error_prepend(errp, "store '%s': property 'stores': ", id);
            return false;
        }
        ++*nr;
    }
    return true;
}

void filter_set_names(RemoteStore *filter, Visitor *v, const char *name,
                      strList **names, Error **errp)
{
    strList *value;

    if (!visit_type_strList(v, name, &value, errp)) {
        return;
    }
    if (remote_store_can_set(filter, name, errp)) {
        qapi_free_strList(*names);
        *names = g_steal_pointer(&value);
    }
    qapi_free_strList(value);
}

/* Handing over */

/* What has to be the same on both sides. */
static char *names_of(RemoteStore **stores, unsigned nr)
{
    GString *names = g_string_new(NULL);

    for (unsigned i = 0; i < nr; i++) {
        g_string_append_printf(names, "%s%s '%s'", i ? ", " : "",
                               object_get_typename(OBJECT(stores[i])),
                               remote_store_id(stores[i]));
    }
    return g_string_free(names, false);
}

static bool check_parts(RemoteStoreRegion **parts, unsigned nr, Error **errp)
{
    for (unsigned i = 0; i < nr; i++) {
        if (!remote_store_check_save(parts[i], errp)) {
            return false;
        }
    }
    return true;
}

bool filter_save_parts(RemoteStoreRegion **parts, unsigned nr,
                       GByteArray *state, Error **errp)
{
    g_autofree RemoteStore **stores = g_new(RemoteStore *, nr);
    g_autofree char *names = NULL;

    if (!state) {
        return check_parts(parts, nr, errp);
    }
    for (unsigned i = 0; i < nr; i++) {
        stores[i] = parts[i]->store;
    }
    names = names_of(stores, nr);
    g_byte_array_append(state, (uint8_t *)names, strlen(names) + 1);
    for (unsigned i = 0; i < nr; i++) {
        g_autoptr(GByteArray) part = remote_store_save(parts[i], errp);
        uint64_t size;

        if (!part) {
            return false;
        }
        size = cpu_to_be64(part->len);
        g_byte_array_append(state, (uint8_t *)&size, sizeof(size));
        g_byte_array_append(state, part->data, part->len);
    }
    return true;
}

const void *filter_take(FilterState *state, uint64_t size)
{
    const void *data = state->data;

    if (size > state->size) {
        return NULL;
    }
    state->data += size;
    state->size -= size;
    return data;
}

const void *filter_take_part(FilterState *state, uint64_t *size)
{
    const void *number = filter_take(state, sizeof(*size));

    *size = number ? ldq_be_p(number) : 0;
    return number ? filter_take(state, *size) : NULL;
}

bool filter_end_load(const RemoteStoreRegion *region,
                     const FilterState *state, bool sane, Error **errp)
{
    if (!sane || state->size) {
        remote_store_bad_state(region, errp);
        return false;
    }
    return true;
}

bool filter_begin_load(RemoteStoreRegion *region, RemoteStore **stores,
                       unsigned nr, FilterState *state, Error **errp)
{
    ERRP_GUARD();
    g_autofree char *ours = names_of(stores, nr);
    const GByteArray *all = region->inherited;
    const char *theirs;

    *state = (FilterState) { 0 };
    if (!all) {
        return true;
    }
    state->data = all->data;
    state->size = all->len;
    theirs = (const char *)all->data;
    if (!all->len ||
        !filter_take(state, strnlen(theirs, all->len) + (uint64_t)1)) {
        return filter_end_load(region, state, false, errp);
    }
    if (strcmp(ours, theirs)) {
        error_setg(errp, "store '%s': it has to stand on the same stores as at "
                   "the source of the migration: %s",
                   remote_store_id(region->store), theirs);
        error_append_hint(errp, "Give them the same ids, in the same order.\n");
        return false;
    }
    return true;
}

RemoteStoreRegion *filter_attach_part(RemoteStoreRegion *region,
                                      RemoteStore *store, uint64_t nr_pages,
                                      FilterState *state, Error **errp)
{
    g_autoptr(GByteArray) part = NULL;
    const void *data;
    uint64_t size;

    if (!region->inherited) {
        return remote_store_attach(store, &region->uuid, nr_pages, errp);
    }
    data = filter_take_part(state, &size);
    if (!data) {
        filter_end_load(region, state, false, errp);
        return NULL;
    }
    part = g_byte_array_append(g_byte_array_new(), data, size);
    return remote_store_inherit(store, &region->uuid, nr_pages, part, errp);
}

void filter_detach_part(const RemoteStoreRegion *region,
                        RemoteStoreRegion *part)
{
    if (part) {
        part->left = region->left;
    }
    remote_store_detach(part);
}

/* Requests */

FilterRequest *filter_request_get(FilterPool *pool, RemoteStoreQueue *queue,
                                  RemoteStoreRequest *outer,
                                  void (*complete)(RemoteStoreRequest *inner))
{
    FilterRequest *freq = QSLIST_FIRST(&pool->idle);

    if (freq) {
        QSLIST_REMOVE_HEAD(&pool->idle, next);
    } else {
        freq = g_new0(FilterRequest, 1);
    }
    freq->outer = outer;
    freq->queue = queue;
    freq->opaque = NULL;
    freq->inner = (RemoteStoreRequest) {
        .op = outer->op,
        .page = outer->page,
        .buf = outer->buf,
        .fresh = outer->fresh,
        .background = outer->background,
        .lend = outer->lend,
        .complete = complete,
    };
    return freq;
}

void filter_request_put(FilterPool *pool, FilterRequest *freq)
{
    g_free(freq->inner.reason);
    freq->inner.reason = NULL;
    QSLIST_INSERT_HEAD(&pool->idle, freq, next);
}

void filter_request_end(FilterPool *pool, FilterRequest *freq)
{
    RemoteStoreRequest *outer = freq->outer;

    if (freq->inner.result == REMOTE_STORE_OK) {
        outer->data = freq->inner.data;
        remote_store_done(freq->queue, outer);
    } else {
        remote_store_fail(freq->queue, outer, freq->inner.result, "%s",
                          freq->inner.reason);
    }
    filter_request_put(pool, freq);
}

void filter_pool_free(FilterPool *pool)
{
    FilterRequest *freq;

    while ((freq = QSLIST_FIRST(&pool->idle))) {
        QSLIST_REMOVE_HEAD(&pool->idle, next);
        g_free(freq);
    }
}
