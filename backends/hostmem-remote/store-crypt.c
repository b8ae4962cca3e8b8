/*
 * remote-store-crypt: a filter that lets a store have nothing but noise
 *
 * Pages are encrypted before they are handed to the store behind, and checked
 * and decrypted when they come back.  What is known of each is kept here, not
 * there: 32 bytes for each page that was put.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "qapi/error.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "page-crypt.h"
#include "qom/object_interfaces.h"
#include "remote-memory/store.h"
#include "sparse.h"

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
 * @key: the region's own
 * @seals: of each page.  A page's is used by the queue of its shard only.
 * @nr_queues: queues opened so far.  Main thread only
 */
typedef struct CryptRegion {
    RemoteStoreRegion *child;
    uint8_t key[PAGE_CRYPT_KEY_LEN];
    PageSeal *seals;
    uint32_t nr_queues;
} CryptRegion;

typedef struct CryptRequest CryptRequest;

/*
 * @child: the way into the store behind
 * @region: the region
 * @crypt: with the region's key
 * @number: the queue's, for nonces
 * @counter: pages that it has encrypted so far
 * @idle: requests to be used again
 */
typedef struct CryptQueue {
    RemoteStoreQueue parent;
    RemoteStoreQueue *child;
    CryptRegion *region;
    PageCrypt *crypt;
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
    return &creq->queue->region->seals[creq->inner.page];
}

/* The store behind has answered to a get.  Returns: whether it is right. */
static bool open_page(CryptRequest *creq)
{
    RemoteStoreRequest *outer = creq->outer;
    const PageSeal *seal = seal_of(creq);

    memcpy(outer->buf, creq->inner.data, REMOTE_STORE_PAGE_SIZE);
    return seal->counter &&
           page_crypt_open(creq->queue->crypt, outer->page, outer->buf, seal);
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
    if (outer->op == REMOTE_STORE_PUT) {
        *seal_of(creq) = creq->seal;
    } else if (outer->op == REMOTE_STORE_DISCARD) {
        *seal_of(creq) = (PageSeal) { 0 };
    }
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
        /* Also if the put fails, this nonce is used up. */
        creq->seal = (PageSeal) {
            .queue = q->number, .counter = ++q->counter,
        };
        memcpy(creq->inner.buf, outer->buf, REMOTE_STORE_PAGE_SIZE);
        page_crypt_seal(q->crypt, outer->page, creq->inner.buf, &creq->seal);
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

/* Queues and regions */

static RemoteStoreQueue *crypt_open(RemoteStoreRegion *region, AioContext *ctx,
                                    Error **errp)
{
    CryptRegion *r = region->opaque;
    PageCrypt *crypt = page_crypt_new(r->key);
    RemoteStoreQueue *child;
    CryptQueue *q;

    if (!crypt) {
        error_setg(errp, "store '%s': cannot begin to encrypt",
                   remote_store_id(region->store));
        return NULL;
    }
    child = remote_store_open(r->child, ctx, errp);
    if (!child) {
        page_crypt_free(crypt);
        return NULL;
    }
    q = remote_store_alloc(sizeof(CryptQueue));
    q->child = child;
    q->region = r;
    q->crypt = crypt;
    q->number = r->nr_queues++;
    return &q->parent;
}

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
    page_crypt_free(q->crypt);
    qemu_vfree(q);
}

static size_t seals_size(const RemoteStoreRegion *region)
{
    return region->nr_pages * sizeof(PageSeal);
}

static void crypt_detach(RemoteStoreRegion *region)
{
    CryptRegion *r = region->opaque;

    remote_store_detach(r->child);
    page_crypt_forget(r->key);
    sparse_free(r->seals, seals_size(region));
    g_free(r);
}

static bool crypt_attach(RemoteStoreRegion *region, Error **errp)
{
    RemoteStoreCrypt *crypt = REMOTE_STORE_CRYPT(region->store);
    const char *id = remote_store_id(region->store);
    CryptRegion *r = g_new0(CryptRegion, 1);

    region->opaque = r;
    r->seals = sparse_new(seals_size(region));
    if (!r->seals) {
        error_setg_errno(errp, errno, "store '%s': cannot reserve a table of "
                         "pages", id);
    } else if (!page_crypt_derive(crypt->key, &region->uuid,
                                  sizeof(region->uuid), r->key)) {
        error_setg(errp, "store '%s': cannot derive a key", id);
    } else {
        r->child = remote_store_attach(crypt->child, &region->uuid,
                                       region->nr_pages, errp);
    }
    if (!r->child) {
        crypt_detach(region);
        return false;
    }
    return true;
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
    rsc->detach = crypt_detach;
    rsc->open = crypt_open;
    rsc->submit = crypt_submit;
    rsc->close = crypt_close;

    object_class_property_add_str(oc, "store", crypt_get_store,
                                  crypt_set_store);
    object_class_property_set_description(oc, "store",
        "the store behind, which gets encrypted pages only");
    object_class_property_add_str(oc, "key-secret", crypt_get_key_secret,
                                  crypt_set_key_secret);
    object_class_property_set_description(oc, "key-secret",
        "the secret object that has the key of 32 bytes (default: a random "
        "key that ends with this process)");
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
