/*
 * Unit tests: a store in this process that can hand over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "remote-store-harness.h"
#include "shared-store.h"

static const char saved[] = "shared";

static bool shared_start(RemoteStore *store, Error **errp)
{
    return true;
}

static uint64_t shared_capacity(RemoteStore *store)
{
    return SHARED_STORE(store)->capacity;
}

static bool shared_save(RemoteStoreRegion *region, GByteArray *state,
                        Error **errp)
{
    if (state) {
        g_byte_array_append(state, (const uint8_t *)saved, sizeof(saved));
    }
    return true;
}

static bool shared_attach(RemoteStoreRegion *region, Error **errp)
{
    const GByteArray *state = region->inherited;

    if (state && (state->len != sizeof(saved) ||
                  memcmp(state->data, saved, sizeof(saved)))) {
        error_setg(errp, "not what was saved");
        return false;
    }
    return true;
}

static RemoteStoreQueue *shared_open(RemoteStoreRegion *region,
                                     AioContext *ctx, Error **errp)
{
    return remote_store_alloc(sizeof(RemoteStoreQueue));
}

static void shared_close(RemoteStoreQueue *queue)
{
    qemu_vfree(queue);
}

/* Returns: whether it has the page. */
static bool do_request(SharedStore *s, RemoteStoreRequest *req)
{
    const void *page;

    QEMU_LOCK_GUARD(&s->lock);
    switch (req->op) {
    case REMOTE_STORE_GET:
        page = g_hash_table_lookup(s->pages, &req->page);
        if (page) {
            memcpy(req->buf, page, REMOTE_STORE_PAGE_SIZE);
        }
        return page;
    case REMOTE_STORE_PUT:
        s->writes++;
        g_hash_table_insert(s->pages,
                            g_memdup2(&req->page, sizeof(req->page)),
                            g_memdup2(req->buf, REMOTE_STORE_PAGE_SIZE));
        return true;
    default:
        s->writes++;
        g_hash_table_remove(s->pages, &req->page);
        return true;
    }
}

static void shared_submit(RemoteStoreQueue *queue, RemoteStoreRequest **reqs,
                          size_t nr)
{
    SharedStore *s = SHARED_STORE(queue->region->store);
    RemoteStoreRequestList list;
    RemoteStoreRequest *req;

    remote_store_take_requests(&list, reqs, nr);
    while ((req = QSIMPLEQ_FIRST(&list))) {
        QSIMPLEQ_REMOVE_HEAD(&list, entry);
        if (qatomic_read(&s->fails)) {
            remote_store_fail(queue, req, REMOTE_STORE_FAILED, "it fails");
        } else if (do_request(s, req)) {
            remote_store_done(queue, req);
        } else {
            remote_store_fail(queue, req, REMOTE_STORE_MISSING, "not there");
        }
    }
}

uint64_t shared_store_writes(SharedStore *s)
{
    QEMU_LOCK_GUARD(&s->lock);
    return s->writes;
}

void shared_store_lose(SharedStore *s, uint64_t page)
{
    QEMU_LOCK_GUARD(&s->lock);
    g_assert_true(g_hash_table_remove(s->pages, &page));
}

bool shared_store_has(SharedStore *s, uint64_t page)
{
    QEMU_LOCK_GUARD(&s->lock);
    return g_hash_table_contains(s->pages, &page);
}

SharedStore *shared_store_new(const char *id)
{
    return SHARED_STORE(store_new(TYPE_SHARED_STORE, id, "{}"));
}

static void shared_init(Object *obj)
{
    SharedStore *s = SHARED_STORE(obj);

    qemu_mutex_init(&s->lock);
    s->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                     g_free);
}

static void shared_finalize(Object *obj)
{
    SharedStore *s = SHARED_STORE(obj);

    g_hash_table_unref(s->pages);
    qemu_mutex_destroy(&s->lock);
}

static void shared_class_init(ObjectClass *oc, void *data)
{
    RemoteStoreClass *rsc = REMOTE_STORE_CLASS(oc);

    rsc->start = shared_start;
    rsc->capacity = shared_capacity;
    rsc->attach = shared_attach;
    rsc->save = shared_save;
    rsc->open = shared_open;
    rsc->submit = shared_submit;
    rsc->close = shared_close;
}

static const TypeInfo shared_info = {
    .name = TYPE_SHARED_STORE,
    .parent = TYPE_REMOTE_STORE,
    .instance_size = sizeof(SharedStore),
    .instance_init = shared_init,
    .instance_finalize = shared_finalize,
    .class_init = shared_class_init,
};

void shared_store_register(void)
{
    type_register_static(&shared_info);
}
