/*
 * Unit tests: what two shards of a pager share, and should not
 *
 * The pager's code is compiled such that its accesses to memory are seen (see
 * write-log.c), and run by the kernel's userfaultfd and two threads that fault,
 * each on pages of one shard.
 *
 * What is not seen: QEMU's event loop and timers, which belong to the shard's
 * own AioContext; the allocator; and the kernel.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pagers.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qom/object.h"
#include "shard.h"
#include "streams.h"
#include "system/system.h"
#include "uffd-page.h"
#include "write-log.h"
#include <dlfcn.h>
#include <sys/mman.h>

#define SHARDS 2
#define RAM_SIZE (4 * GiB)

/* Of a shard, in pages; and of a window that is fetched ahead. */
#define CACHE_PAGES 1024
#define WINDOW_PAGES (CACHE_PAGES / 64)

/*
 * Of a stripe, only the middle is used.  Two windows of the largest stride end
 * where nothing is: none gets as far as the other shard's stripe, to which it
 * would be handed over.
 */
#define STRIPE_MARGIN ((2 * WINDOW_PAGES + 1) * STREAM_MAX_STRIDE)
#define STRIPE_USED 1792
#define STRIPES 2

/* Of a shard: what is used. */
#define PAGES (STRIPES * STRIPE_USED)

/* How often to go through all pages, at most, until the store has all. */
#define WARM_UP_ROUNDS 50

/* Touches while it is logged. */
#define TOUCHES (3 * PAGES)

/* What is written to pages, first and later; to no two the same. */
#define FIRST 1
#define SECOND (FIRST + PAGES)

/*
 * A backend, as far as it is needed.
 * @logs: of the shards' threads
 */
typedef struct Setup {
    RemoteStore *store;
    IOThread *iothreads[SHARDS];
    uint8_t *ram;
    RemotePager *pager;
    WriteLog *logs[SHARDS];
} Setup;

/*
 * A thread that touches pages of one shard.
 * @version: what it expects there, or writes
 */
typedef struct Toucher {
    QemuThread thread;
    const RemoteShard *shard;
    bool write;
    uint64_t version;
    uint32_t order[TOUCHES];
} Toucher;

/* What the pager asks of a system that is not there. */

void pagers_add(RemotePager *pager)
{
}

void pagers_remove(RemotePager *pager)
{
}

bool runstate_is_running(void)
{
    return true;
}

static Notifier *exit_notifier;

void qemu_add_exit_notifier(Notifier *notify)
{
    exit_notifier = notify;
}

void qemu_remove_exit_notifier(Notifier *notify)
{
    exit_notifier = NULL;
}

/* Setup */

static bool supported(void)
{
    Error *err = NULL;

    if (!uffd_page_supported(&err)) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

static void setup_start(Setup *t)
{
    PagerConfig config = {
        .id = "mem0",
        .size = RAM_SIZE,
        .cache_size = (uint64_t)SHARDS * CACHE_PAGES * REMOTE_STORE_PAGE_SIZE,
        .iothreads = t->iothreads,
        .nr_shards = SHARDS,
        .prefetch = REMOTE_MEMORY_PREFETCH_ADAPTIVE,
        .verify = true,
        .on_error = REMOTE_MEMORY_ON_ERROR_REPORT,
    };

    t->store = REMOTE_STORE(object_new_with_props("remote-store-ram",
                                                  object_get_objects_root(),
                                                  "store0", &error_abort,
                                                  NULL));
    t->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(t->ram != MAP_FAILED);
    madvise(t->ram, RAM_SIZE, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < SHARDS; i++) {
        g_autofree char *name = g_strdup_printf("iothread%u", i);

        t->iothreads[i] = iothread_create(name, &error_abort);
        t->logs[i] = write_log_new();
    }
    config.host = t->ram;
    config.store = t->store;
    t->pager = pager_new(&config, &error_abort);
    g_assert_cmpint(1u << t->pager->stripe_shift, >=,
                    STRIPE_USED + 2 * STRIPE_MARGIN);
}

static void setup_end(Setup *t)
{
    pager_free(t->pager);
    if (exit_notifier) {
        /* There is no main loop in which it could end later. */
        exit_notifier->notify(exit_notifier, NULL);
    }
    munmap(t->ram, RAM_SIZE);
    for (unsigned i = 0; i < SHARDS; i++) {
        iothread_destroy(t->iothreads[i]);
        write_log_free(t->logs[i]);
    }
    object_unparent(OBJECT(t->store));
}

/* Touching */

/* Index within a shard of the @n-th page that is used. */
static uint32_t used_page(const RemoteShard *s, uint32_t n)
{
    return (n / STRIPE_USED << s->pager->stripe_shift) +
           STRIPE_MARGIN + n % STRIPE_USED;
}

static void *toucher_run(void *opaque)
{
    Toucher *toucher = opaque;

    for (uint32_t i = 0; i < TOUCHES; i++) {
        uint32_t n = toucher->order[i];
        uint64_t *mem =
            (void *)shard_host(toucher->shard, used_page(toucher->shard, n));

        if (toucher->write) {
            qatomic_set(mem, toucher->version + n);
        } else {
            g_assert_cmpint(qatomic_read(mem), ==, toucher->version + n);
        }
    }
    return NULL;
}

typedef uint32_t Order(uint32_t i);

static uint32_t random_order(uint32_t i)
{
    return g_test_rand_int_range(0, PAGES);
}

static uint32_t sequential_order(uint32_t i)
{
    return i % PAGES;
}

/* Both shards at the same time. */
static void touch_pages(Setup *t, Order *order, bool write, uint64_t version)
{
    Toucher *touchers = g_new0(Toucher, SHARDS);

    for (unsigned i = 0; i < SHARDS; i++) {
        touchers[i].shard = &t->pager->shards[i];
        touchers[i].write = write;
        touchers[i].version = version;
        for (uint32_t k = 0; k < TOUCHES; k++) {
            touchers[i].order[k] = order(k);
        }
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        qemu_thread_create(&touchers[i].thread, "toucher", toucher_run,
                           &touchers[i], QEMU_THREAD_JOINABLE);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        qemu_thread_join(&touchers[i].thread);
    }
    g_free(touchers);
}

/* In a shard's thread */

typedef struct Look {
    RemoteShard *shard;
    uint32_t stored;
    ShardStats stats;
} Look;

static void look_bh(void *opaque)
{
    Look *look = opaque;
    RemoteShard *s = look->shard;

    look->stats = s->stats;
    look->stored = 0;
    for (uint32_t n = 0; n < PAGES; n++) {
        look->stored += page_has(page_map_get(&s->map, used_page(s, n)),
                                 PAGE_STORED);
    }
}

static void look_at(Setup *t, Look looks[SHARDS])
{
    for (unsigned i = 0; i < SHARDS; i++) {
        looks[i].shard = &t->pager->shards[i];
        shard_call(looks[i].shard, look_bh, &looks[i]);
    }
}

static void attach_bh(void *opaque)
{
    write_log_attach(opaque);
}

/* Log what happens in both shards' threads while pages are touched. */
static void log_touches(Setup *t, Order *order, bool write, uint64_t version)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        shard_call(&t->pager->shards[i], attach_bh, t->logs[i]);
    }
    write_log_switch(true);
    touch_pages(t, order, write, version);
    write_log_switch(false);
    for (unsigned i = 0; i < SHARDS; i++) {
        shard_call(&t->pager->shards[i], attach_bh, NULL);
    }
}

/* Until the store has every page, so that none has to be put any more. */
static void warm_up(Setup *t)
{
    Look looks[SHARDS];

    touch_pages(t, sequential_order, true, FIRST);
    for (unsigned i = 0; i < WARM_UP_ROUNDS; i++) {
        touch_pages(t, random_order, false, FIRST);
        look_at(t, looks);
        if (looks[0].stored == PAGES && looks[1].stored == PAGES) {
            return;
        }
    }
    g_assert_not_reached();
}

/* Saying what was found */

/* Addresses of code and of static data are for addr2line(1). */
static size_t in_image(const void *addr)
{
    Dl_info info;

    return dladdr(addr, &info) ? (uintptr_t)addr - (uintptr_t)info.dli_fbase
                               : 0;
}

static void tell_touch(const char *what, unsigned shard, const Setup *t,
                       const WriteLogTouch *touch)
{
    const uint8_t *addr = (const uint8_t *)touch->addr;
    size_t offset = addr - (const uint8_t *)t->pager->shards;

    if (!touch->pc) {
        return;
    }
    g_test_message("    shard %u %s %p at image + 0x%zx", shard, what, addr,
                   in_image(touch->pc));
    if (offset < SHARDS * sizeof(RemoteShard)) {
        g_test_message("        which is shard %zu + 0x%zx",
                       offset / sizeof(RemoteShard),
                       offset % sizeof(RemoteShard));
    } else if (in_image(addr)) {
        g_test_message("        which is image + 0x%zx", in_image(addr));
    }
}

static void tell_line(const WriteLogLine *a, const WriteLogLine *b,
                      void *opaque)
{
    const WriteLogLine *both[SHARDS] = { a, b };

    g_test_message("line 0x%" PRIxPTR " is shared:", a->line);
    for (unsigned i = 0; i < SHARDS; i++) {
        tell_touch("writes", i, opaque, &both[i]->write);
        tell_touch("reads", i, opaque, &both[i]->read);
    }
}

static size_t tell_shared(Setup *t)
{
    size_t nr = write_log_shared(t->logs[0], t->logs[1], tell_line, t);

    for (unsigned i = 0; i < SHARDS; i++) {
        g_test_message("shard %u wrote %zu lines of %zu that it touched", i,
                       write_log_written(t->logs[i]),
                       write_log_touched(t->logs[i]));
    }
    g_test_message("%zu lines are shared", nr);
    return nr;
}

/* Tests */

/* A thread that does something, and logs it. */
typedef struct Writer {
    QemuThread thread;
    WriteLog *log;
    void (*fn)(void *what);
    void *what;
} Writer;

static void *writer_run(void *opaque)
{
    Writer *writer = opaque;

    write_log_attach(writer->log);
    writer->fn(writer->what);
    write_log_attach(NULL);
    return NULL;
}

static void write_budget(void *what)
{
    budget_release(what);
}

static void read_budget(void *what)
{
    budget_spare(what);
}

static void read_into(void *what)
{
    int fd = open("/dev/zero", O_RDONLY);

    g_assert_cmpint(read(fd, what, sizeof(Budget)), ==, sizeof(Budget));
    close(fd);
}

static void take_lock(void *what)
{
    qemu_mutex_lock(what);
    qemu_mutex_unlock(what);
}

/* What is found to be shared if these two do this at the same time. */
static size_t found(void (*fn0)(void *what), void *what0,
                    void (*fn1)(void *what), void *what1)
{
    Writer writers[SHARDS] = {
        { .log = write_log_new(), .fn = fn0, .what = what0 },
        { .log = write_log_new(), .fn = fn1, .what = what1 },
    };
    size_t nr;

    write_log_switch(true);
    for (unsigned i = 0; i < SHARDS; i++) {
        qemu_thread_create(&writers[i].thread, "writer", writer_run,
                           &writers[i], QEMU_THREAD_JOINABLE);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        qemu_thread_join(&writers[i].thread);
    }
    write_log_switch(false);
    nr = write_log_shared(writers[0].log, writers[1].log, NULL, NULL);
    for (unsigned i = 0; i < SHARDS; i++) {
        g_assert_cmpint(write_log_touched(writers[i].log), >, 0);
        write_log_free(writers[i].log);
    }
    return nr;
}

/* If this fails, the other tests find nothing, whatever there is. */
static void test_found(void)
{
    static struct {
        QEMU_ALIGNED(WRITE_LOG_LINE) Budget budget;
        Budget neighbour;
        QEMU_ALIGNED(WRITE_LOG_LINE) Budget other;
        QEMU_ALIGNED(WRITE_LOG_LINE) QemuMutex lock;
        QEMU_ALIGNED(WRITE_LOG_LINE) QemuMutex other_lock;
    } t;

    t.budget.used = t.neighbour.used = t.other.used = 10;
    qemu_mutex_init(&t.lock);
    qemu_mutex_init(&t.other_lock);
    g_assert_cmpint(found(write_budget, &t.budget,
                          write_budget, &t.budget), ==, 1);
    g_assert_cmpint(found(write_budget, &t.budget,
                          write_budget, &t.neighbour), ==, 1);
    g_assert_cmpint(found(write_budget, &t.budget,
                          read_budget, &t.neighbour), ==, 1);
    g_assert_cmpint(found(read_budget, &t.budget,
                          write_budget, &t.budget), ==, 1);
    g_assert_cmpint(found(read_budget, &t.budget,
                          read_budget, &t.budget), ==, 0);
    g_assert_cmpint(found(write_budget, &t.budget,
                          write_budget, &t.other), ==, 0);
    g_assert_cmpint(found(read_into, &t.budget,
                          read_budget, &t.budget), ==, 1);
    g_assert_cmpint(found(take_lock, &t.lock, take_lock, &t.lock), ==, 1);
    g_assert_cmpint(found(take_lock, &t.lock, take_lock, &t.other_lock), ==,
                    0);
    qemu_mutex_destroy(&t.lock);
    qemu_mutex_destroy(&t.other_lock);
}

/* What happened to a shard in the meantime; nothing of it may be missing. */
static void assert_work(const ShardStats *before, const ShardStats *after)
{
    g_test_message("%" PRIu64 " faults, %" PRIu64 " refaults, %" PRIu64
                   " fetched, of those %" PRIu64 " ahead, %" PRIu64
                   " evicted, %" PRIu64 " clean, %" PRIu64 " put",
                   after->faults - before->faults,
                   after->refaults - before->refaults,
                   after->fetched - before->fetched,
                   after->prefetched - before->prefetched,
                   after->evicted - before->evicted,
                   after->clean_drops - before->clean_drops,
                   after->written - before->written);
    g_assert_cmpint(after->faults - before->faults, >, 100);
    g_assert_cmpint(after->refaults - before->refaults, >, 10);
    g_assert_cmpint(after->fetched - before->fetched, >, PAGES / 2);
    g_assert_cmpint(after->evicted - before->evicted, >, PAGES / 2);
    g_assert_cmpint(after->errors, ==, 0);
}

/*
 * Touch pages that the store has.
 * @work: set to what each shard did
 */
static void check_shared(Order *order, bool write, ShardStats work[SHARDS])
{
    Look before[SHARDS], after[SHARDS];
    Setup t;

    setup_start(&t);
    warm_up(&t);
    look_at(&t, before);
    log_touches(&t, order, write, write ? SECOND : FIRST);
    look_at(&t, after);
    for (unsigned i = 0; i < SHARDS; i++) {
        const ShardStats *was = &before[i].stats, *is = &after[i].stats;

        assert_work(was, is);
        work[i].written = is->written - was->written;
        work[i].clean_drops = is->clean_drops - was->clean_drops;
        work[i].prefetched = is->prefetched - was->prefetched;
        /* The page map alone has more. */
        g_assert_cmpint(write_log_written(t.logs[i]), >, 100);
    }
    g_assert_cmpint(tell_shared(&t), ==, 0);
    setup_end(&t);
}

/* If this fails, shards that serve faults are in each other's way. */
static void test_random(void)
{
    ShardStats work[SHARDS];

    if (supported()) {
        check_shared(random_order, false, work);
        for (unsigned i = 0; i < SHARDS; i++) {
            g_assert_cmpint(work[i].clean_drops, >, PAGES / 2);
            g_assert_cmpint(work[i].written, ==, 0);
        }
    }
}

/* If this fails, they are when pages are fetched ahead. */
static void test_sequential(void)
{
    ShardStats work[SHARDS];

    if (supported()) {
        check_shared(sequential_order, false, work);
        for (unsigned i = 0; i < SHARDS; i++) {
            g_assert_cmpint(work[i].prefetched, >, PAGES / 2);
            g_assert_cmpint(work[i].written, ==, 0);
        }
    }
}

/* If this fails, they are when pages are written that the store has. */
static void test_rewrite(void)
{
    ShardStats work[SHARDS];

    if (supported()) {
        check_shared(random_order, true, work);
        for (unsigned i = 0; i < SHARDS; i++) {
            g_assert_cmpint(work[i].written, >, PAGES / 2);
        }
    }
}

/*
 * If this fails, pages that the store does not have yet make shards share more
 * than two sums: of what it holds, and of what it holds for this backend.
 */
static void test_new(void)
{
    Look looks[SHARDS];
    Setup t;

    if (!supported()) {
        return;
    }
    setup_start(&t);
    log_touches(&t, sequential_order, true, FIRST);
    look_at(&t, looks);
    for (unsigned i = 0; i < SHARDS; i++) {
        g_test_message("%" PRIu64 " put", looks[i].stats.written);
        g_assert_cmpint(looks[i].stats.written, >, PAGES / 2);
    }
    g_assert_cmpint(tell_shared(&t), <=, 2);
    setup_end(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qemu_init_main_loop(&error_abort);
    module_call_init(MODULE_INIT_QOM);
    g_test_add_func("/remote-memory/shared-writes/found", test_found);
    g_test_add_func("/remote-memory/shared-writes/random", test_random);
    g_test_add_func("/remote-memory/shared-writes/sequential",
                    test_sequential);
    g_test_add_func("/remote-memory/shared-writes/rewrite", test_rewrite);
    g_test_add_func("/remote-memory/shared-writes/new", test_new);
    return g_test_run();
}
