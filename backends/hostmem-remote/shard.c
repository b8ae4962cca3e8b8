/*
 * Shard: life cycle, events and the order in which work is done
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "arrival.h"
#include "completion.h"
#include "flush.h"
#include "handoff.h"
#include "mirror-move.h"
#include "prefetch.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/madvise.h"
#include "qemu/memalign.h"
#include "qemu/userfaultfd.h"
#include "recovery.h"
#include "shard-estimate.h"
#include "shard-hints.h"
#include "shard-warm.h"
#include "sparse.h"
#include "sweep.h"
#include "trace.h"
#include "uffd-page.h"

/*
 * Slots in the standby ring: more than budget_standby_goal() ever asks for,
 * with room for the holes that refaults leave.  Only address space.
 */
#define STANDBY_DIVISOR 3
#define STANDBY_MIN_SLOTS 64

uint8_t *shard_host(const RemoteShard *s, uint32_t index)
{
    return s->pager->host +
           shard_store_page(s, index) * REMOTE_STORE_PAGE_SIZE;
}

uint64_t shard_store_page(const RemoteShard *s, uint32_t index)
{
    const RemotePager *pager = s->pager;
    uint64_t stripe = index >> pager->stripe_shift;

    return ((stripe * pager->nr_shards + s->index) << pager->stripe_shift) +
           (index & ((1ull << pager->stripe_shift) - 1));
}

/* Index within the shard of the page at @addr, which is the shard's. */
static uint32_t shard_page_at(const RemoteShard *s, uint64_t addr)
{
    uint64_t page = (addr - (uintptr_t)s->pager->host) /
                    REMOTE_STORE_PAGE_SIZE;
    uint32_t index;

    assert(pager_shard_of(s->pager, page, &index) == s);
    return index;
}

uint64_t shard_pages_below(const RemoteShard *s, uint64_t page)
{
    const RemotePager *pager = s->pager;
    uint64_t stripe = 1ull << pager->stripe_shift;
    uint64_t full = page / stripe;
    uint64_t mine = full / pager->nr_shards +
                    (s->index < full % pager->nr_shards);

    return mine * stripe +
           (full % pager->nr_shards == s->index ? page % stripe : 0);
}

/* The last stripe may be a short one. */
uint64_t shard_nr_pages(const RemoteShard *s)
{
    return shard_pages_below(s, pager_nr_pages(s->pager));
}

ShardRequest *shard_request_get(RemoteShard *s, ShardRequestList *idle,
                                uint32_t index)
{
    ShardRequest *r = QSLIST_FIRST(idle);

    QSLIST_REMOVE_HEAD(idle, next);
    r->page = index;
    r->req.page = shard_store_page(s, index);
    shard_in_flight(s, 1);
    if (r->req.op != REMOTE_STORE_GET) {
        qatomic_set(&s->writing, s->writing + 1);
    }
    return r;
}

void shard_request_put(RemoteShard *s, ShardRequestList *idle,
                       ShardRequest *r)
{
    g_free(r->req.reason);
    r->req.reason = NULL;
    QSLIST_INSERT_HEAD(idle, r, next);
    if (r->req.op != REMOTE_STORE_GET) {
        qatomic_set(&s->writing, s->writing - 1);
    }
    shard_in_flight(s, -1);
}

void shard_move(RemoteShard *s, uint32_t index, PageState to)
{
    trace_remote_memory_page(s->pager->id, shard_store_page(s, index),
                             s->map.pages[index].state, to);
    page_map_move(&s->map, index, to);
    shard_changed(s, index);
    shard_estimate_moved(s, index, to);
}

bool shard_sane(const RemoteShard *s)
{
    uint64_t resident = s->map.count[PAGE_RESIDENT];

    return page_map_sane(&s->map) && shard_estimate_sane(s) &&
           s->fetching == s->map.count[PAGE_FETCHING] &&
           s->standby.filled >= s->map.count[PAGE_STANDBY] &&
           s->budget.used == resident + s->standby.filled + s->fetching;
}

/* Events */

static void shard_event(RemoteShard *s, const struct uffd_msg *msg)
{
    uint64_t addr = msg->arg.pagefault.address;

    if (msg->event != UFFD_EVENT_PAGEFAULT ||
        addr - (uintptr_t)s->pager->host >= s->pager->size) {
        /* Not asked for; or somebody read an empty standby slot: a bug. */
        error_report("memory backend '%s': unexpected userfaultfd event %d",
                     s->pager->id, msg->event);
        return;
    }
    shard_fault(s, shard_page_at(s, addr), msg->arg.pagefault.feat.ptid,
                msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
}

static void shard_read_events(RemoteShard *s)
{
    if (s->nr_events == 0) {
        s->nr_events = MAX(uffd_read_events(s->uffd, s->events,
                                            SHARD_EVENTS), 0);
    }
}

/* Handle what has been read, and what their pages need of the store. */
static void shard_answer_events(RemoteShard *s)
{
    int n = s->nr_events;

    s->nr_events = 0;
    for (int i = 0; i < n; i++) {
        shard_event(s, &s->events[i]);
    }
    fetch_submit(s);
}

/*
 * Who faults does not wait until all that can be put off is done.  Returns:
 * whether there was somebody.
 */
static bool shard_let_in(RemoteShard *s)
{
    bool any;

    if (!s->lingered) {
        return false;
    }
    s->lingered = false;
    shard_read_events(s);
    any = s->nr_events;
    shard_answer_events(s);
    return any;
}

/* What can be done now, in the order of who waits most urgently. */
static bool shard_work(RemoteShard *s)
{
    bool waiting = arrivals_run(s), again;
    uint32_t used;

    waiting |= fault_retry(s);
    fetch_submit(s);
    used = s->budget.used;
    again = evict_run(s) || (waiting && s->budget.used < used);
    again |= shard_let_in(s);
    again |= prefetch_run(s);
    again |= shard_let_in(s);
    again |= hints_run(s);
    again |= shard_let_in(s);
    again |= warm_run(s);
    again |= shard_let_in(s);
    shard_estimate_run(s);
    again |= shard_let_in(s);
    writeback_run(s);
    flush_run(s);
    return again;
}

static void shard_service(void *opaque)
{
    RemoteShard *s = opaque;
    bool again = false;

    if (!s->stopping) {
        shard_idle_run(s);
        again = shard_work(s);
        if (s->resize_reached != s->resize_wanted &&
            !budget_shrinking(&s->budget)) {
            qatomic_set(&s->resize_reached, s->resize_wanted);
            qemu_bh_schedule(s->pager->resize_bh);
        }
    }
    again |= sweep_run(s);
    if (again) {
        shard_kick(s);
    }
}

void shard_kick(RemoteShard *s)
{
    if (s->service_bh) {
        qemu_bh_schedule(s->service_bh);
    }
}

void shard_retarget(RemoteShard *s)
{
    uint32_t share = qatomic_read(&s->share);
    uint32_t squeeze = qatomic_read(&s->squeeze);

    if (s->frozen) {
        budget_open(&s->budget);
    } else {
        budget_set_target(&s->budget, squeeze ? MIN(share, squeeze) : share);
    }
    shard_kick(s);
}

static void shard_again(void *opaque)
{
    shard_kick(opaque);
}

void shard_look_again(RemoteShard *s, int ms)
{
    if (!timer_pending(s->again_timer)) {
        timer_mod(s->again_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
    }
}

/*
 * A thread that was woken on our CPU has often run, and faulted again, by the
 * time that we go on: the next event is there, and the way through the event
 * loop can be saved.
 */
static void shard_handle_events(void *opaque)
{
    RemoteShard *s = opaque;

    for (int i = 0; i < SHARD_EVENT_ROUNDS; i++) {
        shard_read_events(s);
        if (!s->nr_events) {
            break;
        }
        shard_answer_events(s);
        /* The answers of a store come by way of the event loop. */
        if (!QTAILQ_EMPTY(&s->for_room) || !QTAILQ_EMPTY(&s->for_fetch) ||
            budget_excess(&s->budget)) {
            break;
        }
    }
    shard_service(s);
}

static bool shard_poll_events(void *opaque)
{
    RemoteShard *s = opaque;

    shard_read_events(s);
    return s->nr_events > 0;
}

/* The shard waits for nobody, so neither does who calls for long. */
void shard_call(RemoteShard *s, QEMUBHFunc *fn, void *opaque)
{
    context_call(s->ctx, fn, opaque);
}

/* Life cycle */

/* On the CPUs of @context, or else wherever it is best at the moment. */
static bool shard_place_thread(RemoteShard *s, IOThread *iothread,
                               ThreadContext *context, Error **errp)
{
    ERRP_GUARD();
    g_autofree unsigned long *cpus = NULL;
    unsigned long nr;
    int ret;

    if (!context) {
        s->gather = gather_new(iothread_get_aio_context(iothread),
                               handoff_ns());
        return true;
    }
    ret = qemu_thread_get_affinity(&context->thread, &cpus, &nr);
    if (!ret) {
        ret = qemu_thread_set_affinity(&iothread->thread, cpus, nr);
    }
    if (ret) {
        error_setg_errno(errp, ret, "memory backend '%s': cannot let a pager "
                         "thread run where the thread-context does",
                         s->pager->id);
        error_append_hint(errp, "A sandbox with resourcecontrol=deny does not "
                          "allow it.\n");
    }
    return !ret;
}

/*
 * A backend that is deleted may leave its threads behind for a while, and the
 * next one may have the same id.
 */
static IOThread *shard_make_thread(RemoteShard *s, Error **errp)
{
    g_autofree char *name = g_strdup_printf("remote-memory-%s-%u",
                                            s->pager->id, s->index);

    for (unsigned i = 1;
         object_resolve_path_component(object_get_internal_root(), name);
         i++) {
        g_free(name);
        name = g_strdup_printf("remote-memory-%s-%u-%u", s->pager->id,
                               s->index, i);
    }
    return iothread_create(name, errp);
}

static bool shard_open_thread(RemoteShard *s, IOThread *iothread,
                              ThreadContext *context, Error **errp)
{
    if (iothread) {
        object_ref(OBJECT(iothread));
    } else {
        iothread = shard_make_thread(s, errp);
        if (!iothread) {
            return false;
        }
        /* The parent has it as long as it is not destroyed; and so do we. */
        object_ref(OBJECT(iothread));
        s->own_iothread = true;
        if (!shard_place_thread(s, iothread, context, errp)) {
            s->iothread = iothread;
            return false;
        }
    }
    s->iothread = iothread;
    s->ctx = iothread_get_aio_context(iothread);
    s->service_bh = aio_bh_new(s->ctx, shard_service, s);
    s->again_timer = aio_timer_new(s->ctx, QEMU_CLOCK_REALTIME, SCALE_MS,
                                   shard_again, s);
    return true;
}

/* Register all stripes, so that touching them asks us. */
static bool shard_register(RemoteShard *s, Error **errp)
{
    uint64_t stripe = 1ull << s->pager->stripe_shift;

    for (uint64_t first = 0; first < s->map.nr; first += stripe) {
        uint64_t nr = MIN(stripe, s->map.nr - first);

        if (uffd_register_memory(s->uffd, shard_host(s, first),
                                 nr * REMOTE_STORE_PAGE_SIZE,
                                 UFFDIO_REGISTER_MODE_MISSING, NULL)) {
            error_setg_errno(errp, errno, "memory backend '%s': cannot "
                             "register memory with userfaultfd",
                             s->pager->id);
            return false;
        }
    }
    return true;
}

/* A move needs its destination registered, so standby memory is, too. */
static bool shard_open_standby(RemoteShard *s, Error **errp)
{
    uint32_t capacity = pow2floor(MAX(s->map.nr / STANDBY_DIVISOR,
                                      STANDBY_MIN_SLOTS));
    size_t size = (size_t)capacity * REMOTE_STORE_PAGE_SIZE;
    void *mem = sparse_new(size);

    if (!mem) {
        error_setg_errno(errp, errno, "memory backend '%s': cannot reserve "
                         "standby memory", s->pager->id);
        return false;
    }
    s->standby_mem = mem;
    if (!standby_init(&s->standby, capacity)) {
        sparse_free(mem, size);
        s->standby_mem = NULL;
        error_setg_errno(errp, errno, "memory backend '%s': cannot reserve "
                         "the standby ring", s->pager->id);
        return false;
    }
    qemu_madvise(mem, size, QEMU_MADV_NOHUGEPAGE);
    qemu_madvise(mem, size, QEMU_MADV_DONTFORK);
    qemu_madvise(mem, size, QEMU_MADV_DONTDUMP);
    if (uffd_register_memory(s->uffd, mem, size,
                             UFFDIO_REGISTER_MODE_MISSING, NULL)) {
        error_setg_errno(errp, errno, "memory backend '%s': cannot register "
                         "standby memory", s->pager->id);
        return false;
    }
    return true;
}

bool shard_start(RemoteShard *s, IOThread *iothread, ThreadContext *context,
                 Error **errp)
{
    RemotePager *pager = s->pager;
    uint64_t pages = shard_nr_pages(s);

    s->uffd = uffd_page_open(errp);
    if (s->uffd < 0 || !shard_open_thread(s, iothread, context, errp)) {
        return false;
    }
    QTAILQ_INIT(&s->for_room);
    QTAILQ_INIT(&s->for_fetch);
    QTAILQ_INIT(&s->idle_waiters);
    recovery_init(s);
    writeback_init(s);
    if (!page_map_init(&s->map, pages) || !sweep_init(s) || !fetch_init(s) ||
        !batches_init(s) || !prefetch_init(s)) {
        error_setg(errp, "memory backend '%s': no memory for the page map",
                   pager->id);
        return false;
    }
    budget_init(&s->budget, pages, s->share);
    if (!shard_open_standby(s, errp)) {
        return false;
    }
    s->queue = remote_store_open(pager->region, s->ctx, errp);
    if (!s->queue || !shard_register(s, errp)) {
        return false;
    }
    aio_set_fd_handler(s->ctx, s->uffd, shard_handle_events, NULL,
                       shard_poll_events, shard_handle_events, s);
    s->started = true;
    return true;
}

static void shard_quiesce(void *opaque)
{
    RemoteShard *s = opaque;

    aio_set_fd_handler(s->ctx, s->uffd, NULL, NULL, NULL, NULL, NULL);
    timer_del(s->retry_timer);
    timer_del(s->again_timer);
    if (s->gather) {
        gather_stop(s->gather);
    }
    if (s->mirror) {
        mirror_move_pause(s->mirror, true);
    }
    /* What held requests back would hold back discards, too. */
    s->when_idle = NULL;
    s->stopping = true;
}

static void shard_release_begin(void *opaque)
{
    RemoteShard *s = opaque;

    /* A store that does not take pages does not discard them either. */
    if (!recovery_waits(s, REMOTE_MEMORY_OPERATION_WRITE)) {
        sweep_mark_all(s);
        shard_service(s);
    }
}

static void shard_release_end(void *opaque)
{
    sweep_give_up(opaque);
}

static void shard_close_queue(void *opaque)
{
    RemoteShard *s = opaque;

    qemu_bh_delete(s->service_bh);
    s->service_bh = NULL;
    if (s->mirror != s->queue) {
        remote_store_close(s->mirror);
    }
    remote_store_close(s->queue);
    s->queue = s->mirror = NULL;
}

void shard_stop(RemoteShard *s)
{
    if (s->started) {
        shard_call(s, shard_quiesce, s);
    }
}

void shard_leave_ram(RemoteShard *s)
{
    if (s->uffd >= 0) {
        uffd_close_fd(s->uffd);
        s->uffd = -1;
    }
}

void shard_release(RemoteShard *s, bool release)
{
    if (s->started) {
        shard_call(s, release ? shard_release_begin : shard_release_end, s);
    }
}

bool shard_has_in_flight(const RemoteShard *s)
{
    return qatomic_read(&s->in_flight) ||
           (s->mirror && mirror_move_is_busy(s->mirror));
}

void shard_close(RemoteShard *s)
{
    assert(!shard_has_in_flight(s));
    if (s->started) {
        s->started = false;
        shard_call(s, shard_close_queue, s);
    }
}

void shard_destroy(RemoteShard *s)
{
    assert(!s->started);
    if (s->queue) {
        /* Opened, but never started. */
        shard_call(s, shard_close_queue, s);
    }
    shard_leave_ram(s);
    if (s->service_bh) {
        qemu_bh_delete(s->service_bh);
    }
    timer_free(s->again_timer);
    gather_free(s->gather);
    sparse_free(s->standby_mem,
                (size_t)s->standby.capacity * REMOTE_STORE_PAGE_SIZE);
    qemu_vfree(s->fetch_mem);
    batches_destroy(s);
    prefetch_destroy(s);
    hints_destroy(s);
    shard_estimate_destroy(s);
    standby_destroy(&s->standby);
    page_map_destroy(&s->map);
    g_free(s->garbage);
    arrivals_cancel(s);
    fault_waiters_free(s);
    recovery_destroy(s);
    if (s->iothread) {
        if (s->own_iothread) {
            iothread_destroy(s->iothread);
        }
        object_unref(OBJECT(s->iothread));
    }
}
