/*
 * The bare mechanism: answer the page faults of touchers, and nothing else
 *
 *   uffd-floor copy [NAME=VALUE...]
 *   uffd-floor move [NAME=VALUE...]
 *
 * Each toucher has a handler thread with a userfaultfd of its own.
 *
 * "copy": every fault is answered by a UFFDIO_COPY of one page that stays in
 * the CPU's caches. Between touches, outside of the time that is measured, the
 * pages are taken away again by MADV_DONTNEED. There is no cache and no
 * bookkeeping: less than this no pager that copies can do. With ahead=N the
 * pages that follow are copied with it, for touches in order.
 *
 * "move": a cache that is full. Contents are copied from a store in memory,
 * checked by the toucher, and pages evicted first in, first out, by
 * UFFDIO_MOVE into a staging area, in batches. If the touchers write they are
 * copied back into the store; then they are dropped.
 *
 * Prints a JSON object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "placement.h"
#include "toucher.h"
#include "uffd.h"

/* Evicted and dropped together, as the pager does. */
#define BATCH 32

/* Events read at once. */
#define EVENTS 16

typedef struct Floor Floor;

typedef struct Handler {
    Floor *floor;
    unsigned index;
    int uffd;
    uint8_t *staging;       /* BATCH pages, registered with @uffd */
    uint64_t capacity;      /* of the cache; 0: everything stays */
    uint32_t *resident;     /* a ring: the oldest is at @evicted */
    uint64_t filled;        /* pages placed so far */
    uint64_t evicted;
} Handler;

struct Floor {
    TouchPlan plan;
    TouchSet set;           /* in memory whose faults are answered */
    TouchSet store;         /* the same pages, always there; or one page */
    bool move;
    int placement;
    uint64_t ahead;         /* pages that an answer has, at most */
    uint64_t cache;         /* bytes */
    Handler *handlers;
};

static const char *const modes[] = { "copy", "move", NULL };

static const char usage[] =
"usage: uffd-floor copy|move [NAME=VALUE...]\n"
"\n"
"Answer page faults by userfaultfd and measure them. copy: by UFFDIO_COPY\n"
"from one page; move: from a store in memory, into a full cache that evicts\n"
"by UFFDIO_MOVE. Prints JSON, times in ns.\n";

static void die(const char *what)
{
    fprintf(stderr, "uffd-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The number of the page of the set at an address. */
static uint32_t page_at(const TouchSet *set, uint64_t addr)
{
    uint64_t offset = (addr - (uintptr_t)set->base) / PAGE_BYTES;

    return offset / set->distance * set->chunk + offset % set->distance;
}

static void fill(Handler *h, uint32_t page)
{
    Floor *floor = h->floor;
    uint64_t left = floor->set.chunk - page % floor->set.chunk;
    uint64_t nr = floor->ahead < left ? floor->ahead : left;

    uffd_copy(h->uffd, touch_set_page(&floor->set, page),
              touch_set_page(&floor->store, floor->move ? page : 0),
              nr * PAGE_BYTES);
}

static void evict(Handler *h)
{
    Floor *floor = h->floor;

    for (unsigned i = 0; i < BATCH; i++) {
        uint32_t page = h->resident[h->evicted++ % h->capacity];
        uint8_t *slot = h->staging + i * PAGE_BYTES;

        uffd_move(h->uffd, slot, touch_set_page(&floor->set, page));
        if (floor->plan.options.writes) {
            memcpy(touch_set_page(&floor->store, page), slot, PAGE_BYTES);
        }
    }
    if (madvise(h->staging, BATCH * PAGE_BYTES, MADV_DONTNEED)) {
        die("MADV_DONTNEED");
    }
}

static void answer(Handler *h, const struct uffd_msg *msg)
{
    uint32_t page = page_at(&h->floor->set, msg->arg.pagefault.address);

    fill(h, page);
    if (h->capacity) {
        h->resident[h->filled++ % h->capacity] = page;
        if (h->filled - h->evicted > h->capacity - BATCH) {
            evict(h);
        }
    }
}

static void *handler_main(void *opaque)
{
    Handler *h = opaque;
    struct uffd_msg events[EVENTS];

    placement_answer(h->floor->placement, h->index);
    for (;;) {
        ssize_t n = read(h->uffd, events, sizeof(events));

        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            die("read");
        }
        for (ssize_t i = 0; i < n / (ssize_t)sizeof(*events); i++) {
            answer(h, &events[i]);
        }
    }
    return NULL;
}

static void start_handler(Floor *floor, unsigned index)
{
    Handler *h = &floor->handlers[index];
    uint64_t threads = floor->plan.options.threads;
    pthread_t thread;

    *h = (Handler) { .floor = floor, .index = index };
    h->uffd = uffd_open(floor->placement != PLACEMENT_SPIN);
    for (uint64_t page = index * floor->set.chunk; page < floor->set.pages;
         page += threads * floor->set.chunk) {
        uffd_register(h->uffd, touch_set_page(&floor->set, page),
                      floor->set.chunk * PAGE_BYTES);
    }
    if (floor->move) {
        h->capacity = floor->cache / PAGE_BYTES / threads;
        h->resident = allocate(h->capacity * sizeof(*h->resident));
        h->staging = allocate(BATCH * PAGE_BYTES);
        uffd_register(h->uffd, h->staging, BATCH * PAGE_BYTES);
    }
    if (pthread_create(&thread, NULL, handler_main, h)) {
        die("cannot make a thread");
    }
}

static void take_away(void *opaque, const uint32_t *pages, unsigned nr)
{
    Floor *floor = opaque;
    unsigned run = 1;

    for (unsigned i = 0; !floor->move && i < nr; i += run) {
        run = 1;
        while (floor->ahead > 1 && i + run < nr &&
               pages[i + run] == pages[i] + run) {
            run++;
        }
        madvise(touch_set_page(&floor->set, pages[i]), run * PAGE_BYTES,
                MADV_DONTNEED);
    }
}

static void place(void *opaque, unsigned thread)
{
    Floor *floor = opaque;

    placement_ask(floor->placement, thread);
}

static void check_options(Floor *floor)
{
    TouchOptions *o = &floor->plan.options;
    const char *message;

    o->chunk = o->chunk || !o->threads ? o->chunk : o->set / o->threads;
    message = touch_check_options(o);
    if (!message && floor->move &&
        floor->cache / PAGE_BYTES / o->threads < 2 * BATCH) {
        message = "the cache is too small";
    }
    if (!message && floor->ahead != 1 &&
        (floor->move || !floor->ahead || o->pattern != TOUCH_SEQUENTIAL)) {
        message = "only copies go ahead, and only if touches are in order";
    }
    if (message) {
        fprintf(stderr, "uffd-floor: %s\n", message);
        exit(2);
    }
}

/* The set, and what its pages are filled from. */
static void prepare(Floor *floor)
{
    TouchOptions *o = &floor->plan.options, packed = *o;
    uint64_t span = o->span ? o->span : o->set;
    uint8_t *mem = allocate(span);

    packed.span = 0;
    madvise(mem, span, MADV_NOHUGEPAGE);
    touch_set_init(&floor->set, mem, o);
    touch_set_init(&floor->store, allocate(o->set), &packed);
    if (floor->move) {
        touch_fill(&floor->store);
    } else {
        memset(floor->store.base, 1, floor->ahead * PAGE_BYTES);
        o->check = CHECK_NONE;
    }
}

int main(int argc, char **argv)
{
    static TouchResult result;
    Floor floor = {
        .plan = { touch_defaults, take_away, &floor, place },
        .cache = 128 << 20,
        .ahead = 1,
    };
    Option table[TOUCH_OPTIONS + 4] = {
        option_size("cache", &floor.cache, "bytes that stay (move)"),
        option_size("ahead", &floor.ahead, "pages in an answer (copy)"),
        placement_option(&floor.placement),
    };

    touch_options(&floor.plan.options, table + 3);
    floor.move = !strcmp(options_main(table, usage, modes, argc, argv),
                         "move");
    check_options(&floor);
    prepare(&floor);
    floor.handlers = allocate(floor.plan.options.threads *
                              sizeof(*floor.handlers));
    for (unsigned i = 0; i < floor.plan.options.threads; i++) {
        start_handler(&floor, i);
    }
    touch_run(&floor.set, &floor.plan, &result);
    putchar('{');
    touch_print(stdout, &result);
    puts("}");
    return result.wrong ? 1 : 0;
}
