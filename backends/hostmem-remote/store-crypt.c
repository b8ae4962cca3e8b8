/*
 * remote-store-crypt: a filter that lets a store have nothing but noise
 *
 * Pages are encrypted before they are handed to the store behind, and checked
 * and decrypted when they come back.  What is known of each is kept here, not
 * there: 32 bytes for each page that was put.
 *
 * If the pages are handed over, so is that, and the keys, by way of the
 * migration, which has to be protected as well as memory is.  Marks go through
 * as they are: one side has to read what the other has written, and a store
 * that lies about them would do so with old ones that are genuine.  What
 * follows is that such a store can let both sides run.  Each of them still gets
 * its own pages, as it has last put them, or as they were when they were
 * offered; or it stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypt-seals.h"
#include "qapi/error.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "remote-memory/store.h"
#include "store-filter.h"

#define TYPE_REMOTE_STORE_CRYPT "remote-store-crypt"
OBJECT_DECLARE_SIMPLE_TYPE(RemoteStoreCrypt, REMOTE_STORE_CRYPT)

/* @child_id, @key_secret, @child, @key: constant once the object is complete */
struct RemoteStoreCrypt {
    RemoteStore parent_obj;

    char *child_id;
    char *key_secret;
    RemoteStore *child;
    uint8_t key[PAGE_CRYPT_KEY_LEN];
};

/*
 * @child: the region behind
 * @seals: of its pages without marks.  A page's is used by the queue of its
 *     shard only.  The last key is our own, the others are constant
 * @nr_queues: queues opened so far.  Main thread only
 */
typedef struct CryptRegion {
    RemoteStoreRegion *child;
    CryptSeals seals;
    uint32_t nr_queues;
} CryptRegion;

typedef struct CryptRequest CryptRequest;

/*
 * @child: the way into the store behind
 * @region: the region
 * @crypts: with each of the region's keys
 * @number: the queue's, for nonces
 * @counter: pages that it has encrypted so far
 * @idle: requests to be used again
 */
typedef struct CryptQueue {
    RemoteStoreQueue parent;
    RemoteStoreQueue *child;
    CryptRegion *region;
    PageCrypt **crypts;
    uint32_t number;
    uint64_t counter;
    QSLIST_HEAD(, CryptRequest) idle;
} CryptQueue;

/*
 * A request on its way.
 * @inner: what the store behind sees of it
 * @outer: what was submitted
 * @seal: (put) what the page's will be if it goes well
 * @next: in a list of idle ones
 */
struct CryptRequest {
    RemoteStoreRequest inner;
    RemoteStoreRequest *outer;
    CryptQueue *queue;
    PageSeal seal;
    QSLIST_ENTRY(CryptRequest) next;
};

/* Requests */

static PageSeal *seal_of(const CryptRequest *creq)
{
    return &creq->queue->region->seals.seals[creq->inner.page];
}

static bool is_mark(const CryptRequest *creq)
{
    return creq->inner.page >= creq->queue->region->seals.nr_pages;
}

/* The store behind has answered to a get.  Returns: whether it is right. */
static bool open_page(CryptRequest *creq)
{
    RemoteStoreRequest *outer = creq->outer;
    const PageSeal *seal;

    memcpy(outer->buf, creq->inner.data, REMOTE_STORE_PAGE_SIZE);
    if (is_mark(creq)) {
        return true;
    }
    seal = seal_of(creq);
    return seal->counter &&
           page_crypt_open(creq->queue->crypts[seal->key], outer->page,
                           outer->buf, seal);
}

static void keep_seal(CryptRequest *creq)
{
    if (is_mark(creq)) {
        return;
    }
    if (creq->inner.op == REMOTE_STORE_PUT) {
        *seal_of(creq) = creq->seal;
    } else if (creq->inner.op == REMOTE_STORE_DISCARD) {
        *seal_of(creq) = (PageSeal) { 0 };
    }
}

static void inner_ended_well(CryptRequest *creq)
{
    RemoteStoreQueue *queue = &creq->queue->parent;
    RemoteStoreRequest *outer = creq->outer;

    if (outer->op == REMOTE_STORE_GET && !open_page(creq)) {
        remote_store_fail(queue, outer, REMOTE_STORE_CORRUPT,
                          "page %" PRIu64 " is not the one that was stored, or "
                          "was altered", outer->page);
        return;
    }
    keep_seal(creq);
    remote_store_done(queue, outer);
}

static void inner_complete(RemoteStoreRequest *inner)
{
    CryptRequest *creq = container_of(inner, CryptRequest, inner);
    CryptQueue *q = creq->queue;
    g_autofree char *reason = g_steal_pointer(&inner->reason);

    if (inner->result == REMOTE_STORE_OK) {
        inner_ended_well(creq);
    } else {
        remote_store_fail(&q->parent, creq->outer, inner->result, "%s",
                          reason);
    }
    QSLIST_INSERT_HEAD(&q->idle, creq, next);
}

static CryptRequest *request_new(CryptQueue *q)
{
    CryptRequest *creq = QSLIST_FIRST(&q->idle);

    if (creq) {
        QSLIST_REMOVE_HEAD(&q->idle, next);
        return creq;
    }
    creq = g_new0(CryptRequest, 1);
    creq->queue = q;
    creq->inner.lend = true;
    creq->inner.complete = inner_complete;
    creq->inner.buf = qemu_memalign(REMOTE_STORE_PAGE_SIZE,
                                    REMOTE_STORE_PAGE_SIZE);
    return creq;
}

static void seal_page(CryptRequest *creq)
{
    CryptQueue *q = creq->queue;
    uint32_t own = q->region->seals.nr_keys - 1;

    /* Also if the put fails, this nonce is used up. */
    creq->seal = (PageSeal) {
        .key = own, .queue = q->number, .counter = ++q->counter,
    };
    page_crypt_seal(q->crypts[own], creq->inner.page, creq->inner.buf,
                    &creq->seal);
}

static RemoteStoreRequest *request_prepare(CryptQueue *q,
                                           RemoteStoreRequest *outer)
{
    CryptRequest *creq = request_new(q);

    creq->outer = outer;
    creq->inner.op = outer->op;
    creq->inner.page = outer->page;
    creq->inner.fresh = outer->fresh;
    creq->inner.background = outer->background;
    if (outer->op == REMOTE_STORE_PUT) {
        memcpy(creq->inner.buf, outer->buf, REMOTE_STORE_PAGE_SIZE);
        if (!is_mark(creq)) {
            seal_page(creq);
        }
    }
    return &creq->inner;
}

static void crypt_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                         size_t nr)
{
    CryptQueue *q = container_of(queue, CryptQueue, parent);
    g_autofree RemoteStoreRequest **inner = g_new(RemoteStoreRequest *, nr);

    for (size_t i = 0; i < nr; i++) {
        inner[i] = request_prepare(q, reqs[i]);
    }
    remote_store_submit(q->child, inner, nr);
}

/* Queues */

static void crypt_close(RemoteStoreQueue *queue)
{
    CryptQueue *q = container_of(queue, CryptQueue, parent);
    CryptRequest *creq;

    remote_store_close(q->child);
    while ((creq = QSLIST_FIRST(&q->idle))) {
        QSLIST_REMOVE_HEAD(&q->idle, next);
        qemu_vfree(creq->inner.buf);
        g_free(creq);
    }
    for (uint32_t i = 0; i < q->region->seals.nr_keys; i++) {
        page_crypt_free(q->crypts[i]);
    }
    g_free(q->crypts);
    qemu_vfree(q);
}

static bool make_crypts(CryptQueue *q, Error **errp)
{
    const CryptSeals *seals = &q->region->seals;

    q->crypts = g_new0(PageCrypt *, seals->nr_keys);
    for (uint32_t i = 0; i < seals->nr_keys; i++) {
        q->crypts[i] = page_crypt_new(seals->keys[i]);
        if (!q->crypts[i]) {
            error_setg(errp, "store '%s': cannot begin to encrypt",
                       remote_store_id(q->parent.region->store));
            return false;
        }
    }
    return true;
}

static RemoteStoreQueue *crypt_open(RemoteStoreRegion *region, AioContext *ctx,
                                    Error **errp)
{
    CryptRegion *r = region->opaque;
    CryptQueue *q = remote_store_alloc(sizeof(CryptQueue));

    q->parent.region = region;
    q->region = r;
    q->number = r->nr_queues++;
    if (make_crypts(q, errp)) {
        q->child = remote_store_open(r->child, ctx, errp);
    }
    if (!q->child) {
        crypt_close(&q->parent);
        return NULL;
    }
    return &q->parent;
}

static void crypt_go_on(RemoteStoreQueue *queue, RemoteStoreUses *uses,
                        void *opaque)
{
    CryptQueue *q = container_of(queue, CryptQueue, parent);

    remote_store_go_on(q->child, uses, opaque);
}

/* Regions */

static bool crypt_save(RemoteStoreRegion *region, GByteArray *state,
                       Error **errp)
{
    ERRP_GUARD();
    CryptRegion *r = region->opaque;

    if (!filter_save_parts(&r->child, 1, state, errp)) {
        return false;
    }
    if (state && !crypt_seals_save(&r->seals, state)) {
        error_setg(errp, "store '%s': what is known of its pages is too much "
                   "to be handed over", remote_store_id(region->store));
        error_append_hint(errp, "Migrate without the capability "
                          "remote-memory.\n");
        return false;
    }
    return true;
}

static void crypt_detach(RemoteStoreRegion *region)
{
    CryptRegion *r = region->opaque;

    filter_detach_part(region, r->child);
    crypt_seals_clear(&r->seals);
    g_free(r);
}

/* A key that nobody else has, also if the namespace is another process's. */
static bool make_key(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(region->store);
    CryptRegion *r = region->opaque;
    struct {
        QemuUUID uuid;
        uint8_t random[PAGE_CRYPT_KEY_LEN];
    } salt = { .uuid = region->uuid };

    if (qcrypto_random_bytes(salt.random, sizeof(salt.random), errp) < 0) {
        return false;
    }
    if (!page_crypt_derive(crypt->key, &salt, sizeof(salt),
                           crypt_seals_add_key(&r->seals))) {
        error_setg(errp, "store '%s': cannot derive a key",
                   remote_store_id(region->store));
        return false;
    }
    return true;
}

static bool load_seals(RemoteStoreRegion *region, FilterState *state,
                       Error **errp)
{
    CryptRegion *r = region->opaque;
    bool sane = !region->inherited || crypt_seals_load(&r->seals, state);

    return filter_end_load(region, state, sane, errp);
}

static bool crypt_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(region->store);
    uint64_t nr_pages = region->nr_pages - region->nr_marks;
    CryptRegion *r = g_new0(CryptRegion, 1);
    FilterState state;

    region->opaque = r;
    if (!crypt_seals_init(&r->seals, nr_pages)) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages", remote_store_id(region->store));
    } else if (filter_begin_load(region, &crypt->child, 1, &state, errp)) {
        r->child = filter_attach_part(region, crypt->child, nr_pages, &state,
                                      errp);
    }
    if (r->child && load_seals(region, &state, errp) &&
        make_key(region, errp)) {
        return true;
    }
    /* What another process has there is not ours to clean up. */
    region->left = region->inherited;
    crypt_detach(region);
    return false;
}

/* The object */

/* The user's, or one that nobody knows. */
static bool load_key(RemoteStoreCrypt *crypt, Error **errp)
{
    ERRP_GUARD();
    const char *id = remote_store_id(&crypt->parent_obj);
    g_autofree uint8_t *data = NULL;
    size_t len;

    if (!crypt->key_secret) {
        return !qcrypto_random_bytes(crypt->key, sizeof(crypt->key), errp);
    }
    if (qcrypto_secret_lookup(crypt->key_secret, &data, &len, errp) < 0) {
        error_prepend(errp, "store '%s': property 'key-secret': ", id);
        return false;
    }
    if (len == sizeof(crypt->key)) {
        memcpy(crypt->key, data, len);
    } else {
        error_setg(errp, "store '%s': property 'key-secret': '%s' has %zu "
                   "bytes instead of %d", id, crypt->key_secret, len,
                   PAGE_CRYPT_KEY_LEN);
        error_append_hint(errp, "Make one by \"openssl rand -base64 32\", and "
                          "give its secret format=base64.\n");
    }
    return len == sizeof(crypt->key);
}

static bool crypt_start(RemoteStore *store, Error **errp)
{
    ERRP_GUARD();
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(store);

    if (!crypt->child_id) {
        error_setg(errp, "store '%s': property 'store' is missing",
                   remote_store_id(store));
        error_append_hint(errp, "It is the id of the store behind.\n");
        return false;
    }
    if (!load_key(crypt, errp)) {
        return false;
    }
    crypt->child = remote_store_use(crypt->child_id, errp);
    if (!crypt->child) {
        error_prepend(errp, "store '%s': property 'store': ",
                      remote_store_id(store));
    }
    return crypt->child;
}

static uint64_t crypt_capacity(RemoteStore *store)
{
    return remote_store_capacity(REMOTE_STORE_CRYPT(store)->child);
}

static void crypt_finalize(Object *obj)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(obj);

    remote_store_unuse(crypt->child);
    page_crypt_forget(crypt->key);
    g_free(crypt->key_secret);
    g_free(crypt->child_id);
}

/* Properties */

static char *crypt_get_store(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_CRYPT(obj)->child_id);
}

static void crypt_set_store(Object *obj, const char *value, Error **errp)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(obj);

    if (remote_store_can_set(&crypt->parent_obj, "store", errp)) {
        g_free(crypt->child_id);
        crypt->child_id = g_strdup(value);
    }
}

static char *crypt_get_key_secret(Object *obj, Error **errp)
{
    return g_strdup(REMOTE_STORE_CRYPT(obj)->key_secret);
}

static void crypt_set_key_secret(Object *obj, const char *value, Error **errp)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(obj);

    if (remote_store_can_set(&crypt->parent_obj, "key-secret", errp)) {
        g_free(crypt->key_secret);
        crypt->key_secret = g_strdup(value);
    }
}

static void crypt_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = crypt_start;
    rsc->capacity = crypt_capacity;
    rsc->attach = crypt_attach;
    rsc->save = crypt_save;
    rsc->detach = crypt_detach;
    rsc->open = crypt_open;
    rsc->go_on = crypt_go_on;
    rsc->submit = crypt_submit;
    rsc->close = crypt_close;

    object_class_property_add_str(oc, "store", crypt_get_store,
                                  crypt_set_store);
    object_class_property_set_description(oc, "store",
        "ID of the store behind, which gets encrypted pages only (required)");
    object_class_property_add_str(oc, "key-secret", crypt_get_key_secret,
                                  crypt_set_key_secret);
    object_class_property_set_description(oc, "key-secret",
        "ID of the secret object that has the key of 32 bytes (default: a "
        "random key)");
}

static const TypeInfo crypt_info = {
    .name = TYPE_REMOTE_STORE_CRYPT,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(RemoteStoreCrypt),
    .instance_finalize = crypt_finalize,
    .class_init = crypt_class_init,
};

static void crypt_register_types(void)
{
    type_register_static(&crypt_info);
}

type_init(crypt_register_types);
