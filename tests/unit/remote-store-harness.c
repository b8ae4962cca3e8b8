/*
 * Unit tests: stores, driven from threads of their own
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "block/block.h"
#include "qapi/error.h"
#include "qapi/qobject-input-visitor.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qom/object_interfaces.h"
#include "remote-store-harness.h"

typedef struct TestRequest {
    RemoteStoreRequest req;
    TestBatch *batch;
} TestRequest;

/* @nr_pending belongs to the queue's thread. */
struct TestBatch {
    TestQueue *q;
    TestOp *ops;
    size_t nr;
    TestRequest *requests;
    size_t nr_pending;
    QemuEvent done;
};

void store_test_init(int *argc, char ***argv)
{
    g_test_init(argc, argv, NULL);
    /* As QEMU does: a server that is gone is an error of write(2). */
    sigaction(SIGPIPE, &(struct sigaction) { .sa_handler = SIG_IGN }, NULL);
    qemu_init_main_loop(&error_abort);
    module_call_init(MODULE_INIT_QOM);
    bdrv_init();
}

RemoteStore *store_try_new(const char *type, const char *id,
                           const char *properties, Error **errp)
{
    QObject *qobj = qobject_from_json(properties, &error_abort);
    QDict *qdict = qobject_to(QDict, qobj);
    Visitor *v = qobject_input_visitor_new(qobj);
    Object *obj;

    obj = user_creatable_add_type(type, id, qdict, v, errp);
    visit_free(v);
    qobject_unref(qobj);
    if (!obj) {
        return NULL;
    }
    object_unref(obj);
    return REMOTE_STORE(obj);
}

RemoteStore *store_new(const char *type, const char *id,
                       const char *properties)
{
    return store_try_new(type, id, properties, &error_abort);
}

void store_delete(RemoteStore *store)
{
    g_assert_true(user_creatable_can_be_deleted(USER_CREATABLE(store)));
    object_unparent(OBJECT(store));
}

void store_assert_refused(const char *type, const char *properties,
                          const char *what)
{
    Error *err = NULL;

    g_assert_null(store_try_new(type, "bad0", properties, &err));
    g_assert_nonnull(err);
    g_test_message("%s", error_get_pretty(err));
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    g_assert_null(strchr(error_get_pretty(err), '\n'));
    error_free(err);
}

RemoteStoreRegion *region_new(RemoteStore *store, uint64_t nr_pages)
{
    QemuUUID uuid;

    qemu_uuid_generate(&uuid);
    return remote_store_attach(store, &uuid, nr_pages, &error_abort);
}

TestQueue *queue_new(RemoteStoreRegion *region)
{
    static unsigned number;
    g_autofree char *name = g_strdup_printf("queue%u", number++);
    TestQueue *q = g_new0(TestQueue, 1);

    q->iothread = iothread_create(name, &error_abort);
    q->queue = remote_store_open(region, iothread_get_aio_context(q->iothread),
                                 &error_abort);
    return q;
}

static void close_bh(void *opaque)
{
    remote_store_close(opaque);
}

void queue_free(TestQueue *q)
{
    aio_wait_bh_oneshot(iothread_get_aio_context(q->iothread), close_bh,
                        q->queue);
    iothread_destroy(q->iothread);
    g_free(q);
}

/* Some pages do not compress, some do by half, some to nothing. */
void page_fill(void *buf, uint64_t page, uint32_t version)
{
    const size_t nr_words = REMOTE_STORE_PAGE_SIZE / sizeof(uint32_t);
    uint32_t *words = buf;
    uint32_t x = page * 2654435761u + version;
    size_t nr_random = page % 3 == 0 ? nr_words : page % 3 == 1 ? nr_words / 2 :
                       0;

    memset(buf, version & 0xff, REMOTE_STORE_PAGE_SIZE);
    for (size_t i = 0; i < nr_random; i++) {
        x = x * 1664525 + 1013904223;
        words[i] = x ^ x >> 16;
    }
    words[0] = page;
    words[1] = version;
}

static unsigned count_flipped(const void *buf, const TestOp *op)
{
    g_autofree uint64_t *expected = g_malloc(REMOTE_STORE_PAGE_SIZE);
    const uint64_t *words = buf;
    unsigned nr = 0;

    page_fill(expected, op->page, op->version);
    for (size_t i = 0; i < REMOTE_STORE_PAGE_SIZE / sizeof(*words); i++) {
        nr += ctpop64(words[i] ^ expected[i]);
    }
    return nr;
}

static void test_complete(RemoteStoreRequest *req)
{
    TestRequest *request = container_of(req, TestRequest, req);
    TestBatch *batch = request->batch;

    g_assert_true(qemu_get_current_aio_context() == batch->q->queue->ctx);
    if (!--batch->nr_pending) {
        qemu_event_set(&batch->done);
    }
}

static void submit_bh(void *opaque)
{
    TestBatch *batch = opaque;
    const size_t nr = batch->nr;
    g_autofree RemoteStoreRequest **reqs = g_new(RemoteStoreRequest *, nr);

    for (size_t i = 0; i < nr; i++) {
        reqs[i] = &batch->requests[i].req;
    }
    remote_store_submit(batch->q->queue, reqs, nr);
    /* The array is ours again; the batch may be gone. */
    memset(reqs, 0xff, sizeof(*reqs) * nr);
}

TestBatch *queue_start(TestQueue *q, TestOp *ops, size_t nr)
{
    TestBatch *batch = g_new0(TestBatch, 1);

    batch->q = q;
    batch->ops = ops;
    batch->nr = batch->nr_pending = nr;
    batch->requests = g_new0(TestRequest, nr);
    qemu_event_init(&batch->done, false);
    for (size_t i = 0; i < nr; i++) {
        batch->requests[i] = (TestRequest) {
            .batch = batch,
            .req.op = ops[i].op,
            .req.page = ops[i].page,
            .req.fresh = ops[i].fresh,
            .req.background = ops[i].background,
            .req.complete = test_complete,
            .req.result = 0xdead,
        };
        if (ops[i].op != REMOTE_STORE_DISCARD) {
            batch->requests[i].req.buf =
                qemu_memalign(REMOTE_STORE_PAGE_SIZE, REMOTE_STORE_PAGE_SIZE);
        }
        if (ops[i].op == REMOTE_STORE_PUT) {
            page_fill(batch->requests[i].req.buf, ops[i].page, ops[i].version);
        }
    }
    aio_bh_schedule_oneshot(q->queue->ctx, submit_bh, batch);
    return batch;
}

void batch_wait(TestBatch *batch)
{
    /* Not by running the main loop: no store may need that. */
    qemu_event_wait(&batch->done);
    for (size_t i = 0; i < batch->nr; i++) {
        RemoteStoreRequest *req = &batch->requests[i].req;
        TestOp *op = &batch->ops[i];

        op->result = req->result;
        op->reason = req->reason;
        g_assert_cmpint(op->result == REMOTE_STORE_OK, ==, !op->reason);
        if (op->op == REMOTE_STORE_GET && op->result == REMOTE_STORE_OK) {
            op->flipped = count_flipped(req->buf, op);
        }
        qemu_vfree(req->buf);
    }
    qemu_event_destroy(&batch->done);
    g_free(batch->requests);
    g_free(batch);
}

void queue_run(TestQueue *q, TestOp *ops, size_t nr)
{
    batch_wait(queue_start(q, ops, nr));
}

void op_free(TestOp *op)
{
    g_free(op->reason);
    op->reason = NULL;
}

static RemoteStoreResult run_one(TestQueue *q, TestOp *op)
{
    queue_run(q, op, 1);
    if (op->reason) {
        g_test_message("page %" PRIu64 ": %s", op->page, op->reason);
    }
    op_free(op);
    return op->result;
}

RemoteStoreResult do_put(TestQueue *q, uint64_t page, uint32_t version,
                         bool fresh)
{
    TestOp op = { .op = REMOTE_STORE_PUT, .page = page, .version = version,
                  .fresh = fresh };

    return run_one(q, &op);
}

RemoteStoreResult do_get(TestQueue *q, uint64_t page, uint32_t version)
{
    TestOp op = { .op = REMOTE_STORE_GET, .page = page, .version = version };
    RemoteStoreResult result = run_one(q, &op);

    if (result == REMOTE_STORE_OK) {
        g_assert_cmpuint(op.flipped, ==, 0);
    }
    return result;
}

RemoteStoreResult do_discard(TestQueue *q, uint64_t page)
{
    TestOp op = { .op = REMOTE_STORE_DISCARD, .page = page };

    return run_one(q, &op);
}

char *do_get_reason(TestQueue *q, uint64_t page, RemoteStoreResult result)
{
    TestOp op = { .op = REMOTE_STORE_GET, .page = page };

    queue_run(q, &op, 1);
    g_test_message("page %" PRIu64 ": %s", page, op.reason);
    g_assert_cmpint(op.result, ==, result);
    return op.reason;
}

uint64_t resident_bytes(void)
{
    g_autofree char *text = NULL;
    uint64_t total, resident;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%" SCNu64 " %" SCNu64, &total, &resident),
                    ==, 2);
    return resident * qemu_real_host_page_size();
}
