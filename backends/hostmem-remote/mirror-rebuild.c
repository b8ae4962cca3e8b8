/*
 * Mirror: bring copies the pages that they lack
 *
 * In rounds over the pages of a queue, some of them at a time, in the thread of
 * the queue and behind its requests.  A copy that does not do what it is asked
 * is left alone for the rest of the round.  There is another round, after a
 * while, until one has found nothing wrong; it is also how it is found out that
 * a copy is well again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio.h"
#include "mirror.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"

/* Pages on their way at the same time. */
#define TASKS 8
/* Before a round, in ms. */
#define ROUND_MS 500
/* Words of bitmaps to look at before requests have their turn: some us. */
#define SCAN_WORDS 2048
/* The same if each page has to be asked about. */
#define LEARN_WORDS 64

/*
 * One page on its way.
 * @req: to one copy after the other
 * @copy: which that is
 * @check: bits of the copies that are to be read
 * @loaded: the buffer has the page
 * @hopeless: the last copy that should have it does not
 */
typedef struct Task {
    RemoteStoreRequest req;
    MirrorRebuild *rebuild;
    unsigned copy;
    unsigned check;
    bool loaded;
    bool hopeless;
    QSLIST_ENTRY(Task) next;
} Task;

/*
 * @timer: begins a round
 * @run: continues with it
 * @wanted: tells the thread that there is something to do
 * @running: there is a round
 * @stopping: there will be nothing more
 * @interrupted: the round was left, because the region was frozen
 * @learning: this round asks about all pages
 * @page: where the round is
 * @check: bits of the copies of which this round reads all
 * @doubts: to be checked off when it has
 * @skip: bits of the copies that are left alone for the rest of the round
 * @nr_lost: pages that no copy had that should
 * @blocked: the next page has a request on its way
 * @nr_busy: tasks on their way; read by any thread
 */
struct MirrorRebuild {
    MirrorQueue *q;
    QEMUTimer *timer;
    QEMUBH *run;
    QEMUBH *wanted;
    bool running;
    bool stopping;
    bool interrupted;
    bool learning;
    uint64_t page;
    unsigned check;
    uint64_t doubts[MIRROR_MAX];
    unsigned skip;
    uint64_t nr_lost;
    bool blocked;
    unsigned nr_busy;
    uint8_t *mem;
    QSLIST_HEAD(, Task) idle;
    Task tasks[TASKS];
};

/* Nothing may be written now.  If so, the round has to be begun again. */
static bool is_frozen(MirrorRebuild *rebuild)
{
    bool frozen = qatomic_read(&rebuild->q->region->frozen);

    rebuild->interrupted |= frozen && rebuild->running;
    return frozen;
}

/* What is wrong */

/* The pages of a word that a copy which is to stay lacks. */
static unsigned long lacked(const MirrorQueue *q, size_t word)
{
    const MirrorRegion *r = q->region;
    unsigned long all = ~0ul;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        if (!(q->retired & (1u << i))) {
            all &= qatomic_read(&r->current[i][word]);
        }
    }
    return mirror_anywhere(r, word) & ~all;
}

/*
 * The pages of a word that this copy lacks, and another has; and those that it
 * has, and nobody needs, or nobody needs here.
 */
static unsigned long wrong_word(const MirrorQueue *q, unsigned copy,
                                size_t word)
{
    const MirrorRegion *r = q->region;
    unsigned long any = mirror_anywhere(r, word);
    unsigned long held = qatomic_read(&r->held[copy][word]);

    if (q->retired & (1u << copy)) {
        return held & ~lacked(q, word);
    }
    return (any & ~qatomic_read(&r->current[copy][word])) | (held & ~any);
}

/* Copies in which a page is wrong, as bits. */
static unsigned wrong_copies(const MirrorQueue *q, uint64_t page)
{
    unsigned copies = 0;

    for (unsigned i = 0; i < q->region->mirror->nr; i++) {
        bool wrong = wrong_word(q, i, BIT_WORD(page)) & BIT_MASK(page);

        copies |= wrong << i;
    }
    return copies;
}

static void learn_word(MirrorQueue *q, size_t word)
{
    uint64_t page = (uint64_t)word * BITS_PER_LONG;
    uint64_t end = MIN(page + BITS_PER_LONG, q->region->nr_pages);

    for (; page < end; page++) {
        if (!test_bit(page, q->mine)) {
            mirror_learn(q, page);
        }
    }
}

/* The pages of a word about which something has to be done in this round. */
static unsigned long todo_word(MirrorRebuild *rebuild, size_t word)
{
    MirrorQueue *q = rebuild->q;
    const MirrorRegion *r = q->region;
    unsigned long todo = 0;

    if (q->known || q->uses) {
        learn_word(q, word);
    }
    if (!q->mine[word]) {
        return 0;
    }
    for (unsigned i = 0; i < r->mirror->nr; i++) {
        if (rebuild->skip & (1u << i)) {
            continue;
        }
        todo |= wrong_word(q, i, word);
        if (rebuild->check & (1u << i)) {
            todo |= qatomic_read(&r->current[i][word]);
        }
    }
    return todo & q->mine[word];
}

/*
 * Go on to the next such page.  Returns: false if there is none, or if *@words
 * were looked at, which is 0 then.
 */
static bool find_page(MirrorRebuild *rebuild, unsigned *words)
{
    uint64_t nr_pages = rebuild->q->region->nr_pages;

    for (; rebuild->page < nr_pages && *words; --*words) {
        unsigned long later = ~0ul << rebuild->page % BITS_PER_LONG;
        unsigned long todo = todo_word(rebuild, BIT_WORD(rebuild->page)) &
                             later;

        rebuild->page -= rebuild->page % BITS_PER_LONG;
        if (todo) {
            rebuild->page += ctzl(todo);
            return true;
        }
        rebuild->page += BITS_PER_LONG;
    }
    return false;
}

/* A page's way */

static void task_step(Task *task);

static void task_end(Task *task)
{
    MirrorRebuild *rebuild = task->rebuild;
    MirrorQueue *q = rebuild->q;
    unsigned wrong = wrong_copies(q, task->req.page);

    if (wrong) {
        mirror_lacking(q, wrong);
    }
    rebuild->nr_lost += task->hopeless;
    mirror_release(q, task->req.page);
    qatomic_set(&rebuild->nr_busy, rebuild->nr_busy - 1);
    QSLIST_INSERT_HEAD(&rebuild->idle, task, next);
    qemu_bh_schedule(rebuild->run);
}

static void task_complete(RemoteStoreRequest *req)
{
    Task *task = container_of(req, Task, req);
    MirrorRebuild *rebuild = task->rebuild;
    MirrorQueue *q = rebuild->q;
    bool get = req->op == REMOTE_STORE_GET;
    bool other = req->result == REMOTE_STORE_MISSING ||
                 req->result == REMOTE_STORE_CORRUPT ||
                 (get && req->result == REMOTE_STORE_OK &&
                  !mirror_is_good(q, req));

    g_clear_pointer(&req->reason, g_free);
    mirror_answered(q->region->mirror, task->copy, req->result);
    if (other) {
        mirror_suspect(q, task->copy, req->page);
        task->hopeless = mirror_best(q, req->page, 0) == task->copy;
    } else if (req->result == REMOTE_STORE_OK) {
        task->loaded |= get;
        mirror_part_done(q, task->copy, req);
    } else {
        rebuild->skip |= 1u << task->copy;
    }
    task_step(task);
}

static void task_submit(Task *task, RemoteStoreOp op, unsigned copy)
{
    MirrorQueue *q = task->rebuild->q;
    RemoteStoreRequest *req = &task->req;

    task->copy = copy;
    req->op = op;
    req->fresh = !test_bit(req->page, q->region->held[copy]);
    if (op != REMOTE_STORE_GET) {
        mirror_let_read(q, req->page);
    }
    remote_store_submit(q->parts[copy], &req, 1);
}

/* Nobody needs what these copies have: the page has no content, or not here. */
static bool is_orphan(const MirrorQueue *q, uint64_t page, unsigned copy)
{
    return q->retired & (1u << copy) ||
           !(mirror_anywhere(q->region, BIT_WORD(page)) & BIT_MASK(page));
}

/* What is to be done next for a page. */
static void task_step(Task *task)
{
    MirrorRebuild *rebuild = task->rebuild;
    MirrorQueue *q = rebuild->q;
    uint64_t page = task->req.page;
    unsigned check = task->check & ~rebuild->skip;
    unsigned wrong = wrong_copies(q, page) & ~rebuild->skip;

    if (rebuild->stopping || is_frozen(rebuild) || task->hopeless ||
        !(check | wrong)) {
        task_end(task);
    } else if (check) {
        unsigned copy = ctz32(check);

        task->check &= ~(1u << copy);
        task->loaded = false;
        task_submit(task, REMOTE_STORE_GET, copy);
    } else if (is_orphan(q, page, ctz32(wrong))) {
        task_submit(task, REMOTE_STORE_DISCARD, ctz32(wrong));
    } else if (task->loaded) {
        task_submit(task, REMOTE_STORE_PUT, ctz32(wrong));
    } else {
        int from = mirror_best(q, page, rebuild->skip);

        if (from < 0) {
            task_end(task);
        } else {
            task_submit(task, REMOTE_STORE_GET, from);
        }
    }
}

/* Which of the copies that are in doubt should have a page, as bits. */
static unsigned copies_to_check(const MirrorRebuild *rebuild, uint64_t page)
{
    const MirrorRegion *r = rebuild->q->region;
    unsigned check = 0;

    for (unsigned i = 0; i < r->mirror->nr; i++) {
        check |= test_bit(page, r->current[i]) << i;
    }
    return check & rebuild->check & ~rebuild->q->retired;
}

/* Returns: false if it has to wait for a request that is on its way. */
static bool task_begin(MirrorRebuild *rebuild, uint64_t page)
{
    Task *task = QSLIST_FIRST(&rebuild->idle);

    rebuild->blocked = !mirror_take(rebuild->q, page);
    if (rebuild->blocked) {
        return false;
    }
    QSLIST_REMOVE_HEAD(&rebuild->idle, next);
    qatomic_set(&rebuild->nr_busy, rebuild->nr_busy + 1);
    task->req.page = page;
    task->check = copies_to_check(rebuild, page);
    task->loaded = false;
    task->hopeless = false;
    task_step(task);
    return true;
}

/* Rounds */

/* A copy that fails is asked once: a page would wait for its time-out. */
static unsigned task_limit(const MirrorRebuild *rebuild)
{
    const RemoteStoreMirror *mirror = rebuild->q->region->mirror;

    for (unsigned i = 0; i < mirror->nr; i++) {
        if (!(rebuild->skip & (1u << i)) &&
            qatomic_read(&mirror->copies[i].failing)) {
            return 1;
        }
    }
    return TASKS;
}

static void round_end(MirrorRebuild *rebuild)
{
    MirrorQueue *q = rebuild->q;
    RemoteStoreMirror *mirror = q->region->mirror;

    rebuild->running = false;
    /* All pages were met: those that are not known are not of this queue. */
    q->known = NULL;
    if (rebuild->learning) {
        q->uses = NULL;
        q->learned = true;
    }
    qatomic_set(&q->nr_lost, rebuild->nr_lost);
    for (unsigned i = 0; i < mirror->nr; i++) {
        if (rebuild->check & ~rebuild->skip & (1u << i)) {
            mirror_checked(mirror, q, i, rebuild->doubts[i]);
        }
    }
    if (q->lacking || mirror_doubts(mirror, q, rebuild->doubts)) {
        mirror_rebuild_wanted(rebuild);
    } else {
        qatomic_set(&q->parent.rebuild_total, 0);
        qatomic_set(&q->missed, 0);
        mirror_set_torn(mirror, q, false);
    }
}

static void run_bh(void *opaque)
{
    MirrorRebuild *rebuild = opaque;
    MirrorQueue *q = rebuild->q;
    unsigned words = q->known || q->uses ? LEARN_WORDS : SCAN_WORDS;
    unsigned begun = 0;

    if (!rebuild->running || rebuild->stopping || is_frozen(rebuild)) {
        return;
    }
    /* Stores that answer at once do not make it longer. */
    while (begun < TASKS && rebuild->nr_busy < task_limit(rebuild) &&
           find_page(rebuild, &words) &&
           task_begin(rebuild, rebuild->page)) {
        rebuild->page++;
        begun++;
    }
    qatomic_set(&q->parent.rebuild_done,
                MIN(rebuild->page, q->region->nr_pages));
    if (!words || begun == TASKS) {
        qemu_bh_schedule(rebuild->run);
    } else if (!rebuild->nr_busy && rebuild->page >= q->region->nr_pages) {
        round_end(rebuild);
    }
}

static void round_begin(void *opaque)
{
    MirrorRebuild *rebuild = opaque;
    MirrorQueue *q = rebuild->q;

    if (is_frozen(rebuild)) {
        return;
    }
    rebuild->running = true;
    rebuild->learning = q->uses;
    rebuild->page = 0;
    rebuild->skip = 0;
    rebuild->nr_lost = 0;
    rebuild->check = mirror_doubts(q->region->mirror, q, rebuild->doubts);
    q->lacking = false;
    qatomic_set(&q->parent.rebuild_total, q->region->nr_pages);
    qemu_bh_schedule(rebuild->run);
}

void mirror_rebuild_wanted(MirrorRebuild *rebuild)
{
    if (!rebuild->running && !rebuild->stopping && !is_frozen(rebuild) &&
        !timer_pending(rebuild->timer)) {
        timer_mod(rebuild->timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ROUND_MS);
    }
}

static void wanted_bh(void *opaque)
{
    MirrorRebuild *rebuild = opaque;

    if (rebuild->interrupted && !rebuild->stopping && !is_frozen(rebuild)) {
        rebuild->interrupted = false;
        mirror_rebuild_resume(rebuild);
    } else {
        mirror_rebuild_wanted(rebuild);
    }
}

void mirror_rebuild_notify(MirrorRebuild *rebuild)
{
    qemu_bh_schedule(rebuild->wanted);
}

/* Beginning and end */

void mirror_rebuild_go_on(MirrorRebuild *rebuild)
{
    if (rebuild->blocked) {
        rebuild->blocked = false;
        qemu_bh_schedule(rebuild->run);
    }
}

bool mirror_rebuild_is_busy(const MirrorRebuild *rebuild)
{
    return qatomic_read(&rebuild->nr_busy);
}

void mirror_rebuild_stop(MirrorRebuild *rebuild)
{
    rebuild->stopping = true;
    timer_del(rebuild->timer);
}

/* A round that was stopped is begun again. */
void mirror_rebuild_resume(MirrorRebuild *rebuild)
{
    rebuild->stopping = false;
    rebuild->running = false;
    mirror_rebuild_wanted(rebuild);
}

void mirror_rebuild_free(MirrorRebuild *rebuild)
{
    assert(!rebuild->nr_busy);
    timer_free(rebuild->timer);
    qemu_bh_delete(rebuild->run);
    qemu_bh_delete(rebuild->wanted);
    qemu_vfree(rebuild->mem);
    g_free(rebuild);
}

MirrorRebuild *mirror_rebuild_new(MirrorQueue *q, AioContext *ctx)
{
    MirrorRebuild *rebuild = g_new0(MirrorRebuild, 1);

    rebuild->q = q;
    rebuild->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_MS,
                                   round_begin, rebuild);
    rebuild->run = aio_bh_new(ctx, run_bh, rebuild);
    rebuild->wanted = aio_bh_new(ctx, wanted_bh, rebuild);
    rebuild->mem = qemu_memalign(REMOTE_STORE_PAGE_SIZE,
                                 TASKS * REMOTE_STORE_PAGE_SIZE);
    for (int i = 0; i < TASKS; i++) {
        Task *task = &rebuild->tasks[i];

        task->rebuild = rebuild;
        task->req.buf = rebuild->mem + i * REMOTE_STORE_PAGE_SIZE;
        task->req.background = true;
        task->req.complete = task_complete;
        QSLIST_INSERT_HEAD(&rebuild->idle, task, next);
    }
    return rebuild;
}
