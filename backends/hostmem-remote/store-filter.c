/*
 * What stores that stand on other stores have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/util.h"
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
