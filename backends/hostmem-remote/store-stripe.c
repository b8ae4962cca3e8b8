/*
 * remote-store-stripe: a pool of several stores
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "store-filter.h"
#include "stripes.h"

#define TYPE_REMOTE_STORE_STRIPE "remote-store-stripe"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreStripe, REMOTE_STORE_STRIPE)

/* @names: property "stores"; all are constant once the object is complete */
struct RemoteStoreStripe {
    RemoteStore parent_obj;

    strList *names;
    unsigned nr;
    RemoteStore *stores[STRIPES_MAX_STORES];
    Stripes stripes;
};

/* The region in each of the stores. */
typedef struct StripeRegion {
    RemoteStoreRegion *parts[STRIPES_MAX_STORES];
} StripeRegion;

typedef struct StripeQueue StripeQueue;

/* The way into one of the stores. */
typedef struct StripePart {
    StripeQueue *queue;
    RemoteStoreQueue *child;
} StripePart;

/*
 * @parts: the ways into the stores
 * @pool: requests that are not in use
 * @uses: as given to stripe_go_on()
 * @uses_opaque: handed to it
 */
struct StripeQueue {
    RemoteStoreQueue parent;
    RemoteStoreStripe *stripe;
    FilterPool pool;
    StripePart parts[STRIPES_MAX_STORES];
    RemoteStoreUses *uses;
    void *uses_opaque;
};

/* Requests */

/*
 * Marks are in the first store, whichever has the last pages: both sides have
 * to look for them at the same place, and any one will do.
 */
static unsigned place(const StripeQueue *q, uint64_t page, uint64_t *inner)
{
    const RemoteStoreRegion *region = q->parent.region;
    const RemoteStoreRegion *first = q->parts[0].child->region;
    uint64_t behind = region->nr_pages - page;

    if (behind <= region->nr_marks) {
        assert(behind <= first->nr_marks);
        *inner = first->nr_pages - behind;
        return 0;
    }
    return stripes_place(&q->stripe->stripes, page, inner);
}

static void inner_complete(RemoteStoreRequest *inner)
{
    FilterRequest *freq = filter_request_of(inner);
    StripeQueue *q = container_of(freq->queue, StripeQueue, parent);

    filter_request_end(&q->pool, freq);
}

/* Requests by store, in the order in which they came. */
typedef struct Sorted {
    RemoteStoreRequestList list[STRIPES_MAX_STORES];
    size_t nr[STRIPES_MAX_STORES];
} Sorted;

static void sort_requests(StripeQueue *q, RemoteStoreRequest **reqs, size_t nr,
                          Sorted *sorted)
{
    for (unsigned i = 0; i < q->stripe->nr; i++) {
        QSIMPLEQ_INIT(&sorted->list[i]);
        sorted->nr[i] = 0;
    }
    for (size_t i = 0; i < nr; i++) {
        FilterRequest *freq = filter_request_get(&q->pool, &q->parent, reqs[i],
                                                 inner_complete);
        unsigned to = place(q, reqs[i]->page, &freq->inner.page);

        QSIMPLEQ_INSERT_TAIL(&sorted->list[to], &freq->inner, entry);
        sorted->nr[to]++;
    }
}

static void stripe_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                          size_t nr)
{
    StripeQueue *q = container_of(queue, StripeQueue, parent);
    g_autofree RemoteStoreRequest **part = g_new(RemoteStoreRequest *, nr);
    Sorted sorted;

    sort_requests(q, reqs, nr, &sorted);
    for (unsigned i = 0; i < q->stripe->nr; i++) {
        RemoteStoreRequest *req;
        size_t n = 0;

        while ((req = QSIMPLEQ_FIRST(&sorted.list[i]))) {
            QSIMPLEQ_REMOVE_HEAD(&sorted.list[i], entry);
            part[n++] = req;
        }
        if (n) {
            remote_store_submit(q->parts[i].child, part, n);
        }
    }
}

/* Queues and regions */

static void stripe_close(RemoteStoreQueue *queue)
{
    StripeQueue *q = container_of(queue, StripeQueue, parent);

    for (unsigned i = 0; i < q->stripe->nr; i++) {
        remote_store_close(q->parts[i].child);
    }
    filter_pool_free(&q->pool);
    qemu_vfree(q);
}

static RemoteStoreQueue *stripe_open(RemoteStoreRegion *region,
                                     AioContext *ctx, Error **errp)
{
    StripeRegion *r = region->opaque;
    StripeQueue *q = remote_store_alloc(sizeof(StripeQueue));

    q->stripe = REMOTE_STORE_STRIPE(region->store);
    for (unsigned i = 0; i < q->stripe->nr; i++) {
        q->parts[i].queue = q;
        q->parts[i].child = remote_store_open(r->parts[i], ctx, errp);
        if (!q->parts[i].child) {
            stripe_close(&q->parent);
            return NULL;
        }
    }
    return &q->parent;
}

/* The same for a page as one of the stores numbers it. */
static bool part_uses(void *opaque, uint64_t inner)
{
    const StripePart *part = opaque;
    const StripeQueue *q = part->queue;
    const RemoteStoreRegion *region = q->parent.region;
    uint64_t page = stripes_page(&q->stripe->stripes, part - q->parts, inner);

    return page < region->nr_pages - region->nr_marks &&
           q->uses(q->uses_opaque, page);
}

static void stripe_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                         void *opaque)
{
    StripeQueue *q = container_of(queue, StripeQueue, parent);

    q->uses = uses;
    q->uses_opaque = opaque;
    for (unsigned i = 0; i < q->stripe->nr; i++) {
        remote_store_go_on(q->parts[i].child, part_uses, &q->parts[i]);
    }
}

static void stripe_detach(RemoteStoreRegion *region)
{
    StripeRegion *r = region->opaque;

    for (unsigned i = 0; i < REMOTE_STORE_STRIPE(region->store)->nr; i++) {
        filter_detach_part(region, r->parts[i]);
    }
    g_free(r);
}

/* What is the stripe's own is which store has which chunk. */
static bool stripe_save(RemoteStoreRegion *region, GByteArray *state,
                        Error **errp)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(region->store);
    StripeRegion *r = region->opaque;

    if (!filter_save_parts(r->parts, stripe->nr, state, errp)) {
        return false;
    }
    if (state) {
        g_byte_array_append(state, stripe->stripes.store,
                            sizeof(stripe->stripes.store));
    }
    return true;
}

/* Before the stores behind: their errors would not say what is wrong. */
static bool check_pattern(RemoteStoreRegion *region, FilterState state,
                          Error **errp)
{
    ERRP_GUARD();
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(region->store);
    const void *ours = stripe->stripes.store, *theirs;

    if (!region->inherited) {
        return true;
    }
    for (unsigned i = 0; i < stripe->nr; i++) {
        uint64_t size;

        filter_take_part(&state, &size);
    }
    theirs = filter_take(&state, sizeof(stripe->stripes.store));
    if (!filter_end_load(region, &state, theirs, errp)) {
        return false;
    }
    if (memcmp(theirs, ours, sizeof(stripe->stripes.store))) {
        error_setg(errp, "store '%s': it spreads pages in another way than at "
                   "the source of the migration",
                   remote_store_id(region->store));
        error_append_hint(errp, "The stores behind it have to have the same "
                          "sizes on both sides.\n");
        return false;
    }
    return true;
}

static bool attach_parts(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(region->store);
    uint64_t nr_pages = region->nr_pages - region->nr_marks;
    StripeRegion *r = region->opaque;
    FilterState state;

    if (!filter_begin_load(region, stripe->stores, stripe->nr, &state, errp) ||
        !check_pattern(region, state, errp)) {
        return false;
    }
    for (unsigned i = 0; i < stripe->nr; i++) {
        uint64_t pages = stripes_pages(&stripe->stripes, i, nr_pages);

        /* A region without pages is none. */
        r->parts[i] = filter_attach_part(region, stripe->stores[i],
                                         MAX(pages, 1), &state, errp);
        if (!r->parts[i]) {
            return false;
        }
    }
    return true;
}

static bool stripe_attach(RemoteStoreRegion *region, Error **errp)
{
    region->opaque = g_new0(StripeRegion, 1);
    if (attach_parts(region, errp)) {
        return true;
    }
    /* What another process has there is not ours to clean up. */
    region->left = region->inherited;
    stripe_detach(region);
    return false;
}

/* The object */

/*
 * Weights are limits of size.  Stores without one are all alike: each counts as
 * much as the average of the others.
 */
static void make_stripes(RemoteStoreStripe *stripe)
{
    uint64_t weights[STRIPES_MAX_STORES], sum = 0, average;
    unsigned limited = 0;

    for (unsigned i = 0; i < stripe->nr; i++) {
        weights[i] = remote_store_capacity(stripe->stores[i]) /
                     REMOTE_STORE_PAGE_SIZE;
        sum += weights[i];
        limited += weights[i] > 0;
    }
    average = limited ? MAX(sum / limited, 1) : 1;
    for (unsigned i = 0; i < stripe->nr; i++) {
        weights[i] = weights[i] ?: average;
    }
    stripes_init(&stripe->stripes, weights, stripe->nr);
}

static bool stripe_start(RemoteStore *store, Error **errp)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(store);

    if (!filter_use_stores(store, stripe->names, 1, stripe->stores,
                           STRIPES_MAX_STORES, &stripe->nr, errp)) {
        return false;
    }
    make_stripes(stripe);
    return true;
}

static uint64_t stripe_capacity(RemoteStore *store)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(store);
    uint64_t sum = 0;

    for (unsigned i = 0; i < stripe->nr; i++) {
        uint64_t capacity = remote_store_capacity(stripe->stores[i]);

        if (!capacity) {
            return 0;
        }
        sum += capacity;
    }
    return sum;
}

static void stripe_finalize(Object *obj)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(obj);

    for (unsigned i = 0; i < stripe->nr; i++) {
        remote_store_unuse(stripe->stores[i]);
    }
    qapi_free_strList(stripe->names);
}

/* Properties */

static void stripe_get_stores(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    visit_type_strList(v, name, &REMOTE_STORE_STRIPE(obj)->names, errp);
}

static void stripe_set_stores(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    RemoteStoreStripe *stripe = REMOTE_STORE_STRIPE(obj);

    filter_set_names(&stripe->parent_obj, v, name, &stripe->names, errp);
}

static void stripe_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = stripe_start;
    rsc->capacity = stripe_capacity;
    rsc->attach = stripe_attach;
    rsc->save = stripe_save;
    rsc->detach = stripe_detach;
    rsc->open = stripe_open;
    rsc->go_on = stripe_go_on;
    rsc->submit = stripe_submit;
    rsc->close = stripe_close;

    object_class_property_add(oc, "stores", "strList", stripe_get_stores,
                              stripe_set_stores, NULL, NULL);
    object_class_property_set_description(oc, "stores",
        "IDs of the stores of the pool, weighted by their limits of size "
        "(required)");
}

static const TypeInfo stripe_info = {
    .name = TYPE_REMOTE_STORE_STRIPE,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreStripe),
    .instance_finalize = stripe_finalize,
    .class_init = stripe_class_init,
};

static void stripe_register_types(void)
{
    type_register_static(&stripe_info);
}

type_init(stripe_register_types);
