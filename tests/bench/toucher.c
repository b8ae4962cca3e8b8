/*
 * Toucher: threads that touch pages and measure each touch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "toucher.h"

/* Pages that a hook gets at once: few enough to be young in the caches. */
#define HOOK_PAGES 256

typedef struct Toucher {
    TouchSet *set;
    const TouchPlan *plan;
    pthread_barrier_t *barrier;
    pthread_t thread;
    unsigned index;
    uint64_t lot;           /* state of the random numbers */
    uint32_t *order;        /* the cycle */
    uint64_t pages;
    uint64_t position;
    uint64_t hooked;        /* where the pages begin that no hook had yet */
    bool measures;
    TouchResult result;
} Toucher;

/* Orders */

static uint64_t draw(Toucher *t, uint64_t below)
{
    t->lot += 0x9e3779b97f4a7c15ull;
    return (unsigned __int128)touch_mix(t->lot) * below >> 64;
}

static void deal_pages(Toucher *t)
{
    TouchSet *set = t->set;
    uint64_t threads = t->plan->options.threads;

    for (uint64_t page = 0; page < set->pages; page++) {
        if (page / set->chunk % threads == t->index) {
            t->order[t->pages++] = page;
        }
    }
}

static void shuffle(Toucher *t)
{
    for (uint64_t i = t->pages; i > 1; i--) {
        uint64_t j = draw(t, i);
        uint32_t page = t->order[i - 1];

        t->order[i - 1] = t->order[j];
        t->order[j] = page;
    }
}

static void stride(Toucher *t, uint64_t step)
{
    size_t bytes = t->pages * sizeof(*t->order);
    uint32_t *pages = allocate(bytes);
    uint64_t n = 0;

    memcpy(pages, t->order, bytes);
    for (uint64_t first = 0; first < step; first++) {
        for (uint64_t i = first; i < t->pages; i += step) {
            t->order[n++] = pages[i];
        }
    }
    munmap(pages, bytes);
}

static void make_order(Toucher *t)
{
    const TouchOptions *o = &t->plan->options;

    /* The same in each run: a cycle goes on where the last run left it. */
    t->lot = t->index;
    t->order = allocate(t->set->pages * sizeof(*t->order));
    deal_pages(t);
    if (o->pattern == TOUCH_RANDOM) {
        shuffle(t);
    } else if (o->pattern == TOUCH_STRIDE) {
        stride(t, o->stride);
    }
    t->position = t->set->position[t->index] % t->pages;
    t->hooked = t->position;
    t->lot = now_ns();
}

/* Touches */

static void count_touch(Toucher *t, uint64_t ns)
{
    bool hit = ns < t->plan->options.threshold;

    if (t->measures) {
        histogram_add(hit ? &t->result.hits : &t->result.faults, ns);
    }
}

static void check_touch(Toucher *t, const uint64_t *words, uint32_t page,
                        bool write, uint64_t got)
{
    switch ((TouchCheck)t->plan->options.check) {
    case CHECK_PAGE:
        t->result.wrong += !touch_page_is_right(words, page,
                                                t->set->version[page]);
        break;
    case CHECK_WORD:
        t->result.wrong += !write && got !=
                           touch_first_word(page, t->set->version[page]);
        break;
    case CHECK_NONE:
        break;
    }
}

/* Touch a page.  Returns: the time after that. */
static uint64_t touch(Toucher *t, uint32_t page)
{
    /* Volatile: exactly one access, and between both looks at the clock. */
    volatile uint64_t *words = (uint64_t *)touch_set_page(t->set, page);
    uint64_t writes = t->plan->options.writes, start, end, value = 0;
    bool write = writes && draw(t, 100) < writes;

    if (write) {
        value = touch_first_word(page, ++t->set->version[page]);
        start = now_ns();
        words[0] = value;
    } else {
        start = now_ns();
        value = words[0];
    }
    end = now_ns();
    count_touch(t, end - start);
    check_touch(t, (const uint64_t *)words, page, write, value);
    return end;
}

static void call_hook(Toucher *t)
{
    if (t->plan->hook) {
        t->plan->hook(t->plan->opaque, t->order + t->hooked,
                      t->position - t->hooked);
    }
    t->hooked = t->position;
}

static uint32_t next_page(Toucher *t)
{
    if (t->plan->options.pattern == TOUCH_UNIFORM) {
        return t->order[draw(t, t->pages)];
    }
    if (t->position - t->hooked == HOOK_PAGES || t->position == t->pages) {
        call_hook(t);
    }
    if (t->position == t->pages) {
        t->position = t->hooked = 0;
    }
    return t->order[t->position++];
}

static void touch_many(Toucher *t, uint64_t count, double seconds)
{
    uint64_t end = seconds ? now_ns() + seconds * 1e9 : UINT64_MAX;

    for (uint64_t i = 0; !count || i < count; i++) {
        if (touch(t, next_page(t)) >= end) {
            break;
        }
    }
}

static uint64_t kernel_faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static void *toucher_main(void *opaque)
{
    Toucher *t = opaque;
    const TouchOptions *o = &t->plan->options;
    uint64_t start;

    if (t->plan->place) {
        t->plan->place(t->plan->opaque, t->index);
    }
    make_order(t);
    if (o->warm) {
        touch_many(t, o->warm, 0);
    }
    pthread_barrier_wait(t->barrier);
    t->measures = true;
    t->result.kernel_faults = kernel_faults();
    start = now_ns();
    touch_many(t, o->count, o->seconds);
    t->result.seconds = (now_ns() - start) / 1e9;
    t->result.kernel_faults = kernel_faults() - t->result.kernel_faults;
    call_hook(t);
    t->set->position[t->index] = t->position;
    munmap(t->order, t->set->pages * sizeof(*t->order));
    return NULL;
}

static void merge(TouchResult *result, const TouchResult *other)
{
    histogram_merge(&result->hits, &other->hits);
    histogram_merge(&result->faults, &other->faults);
    result->kernel_faults += other->kernel_faults;
    result->wrong += other->wrong;
    if (other->seconds > result->seconds) {
        result->seconds = other->seconds;
    }
}

void touch_run(TouchSet *set, const TouchPlan *plan, TouchResult *result)
{
    unsigned threads = plan->options.threads;
    Toucher *touchers = allocate(threads * sizeof(*touchers));
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        touchers[i].set = set;
        touchers[i].plan = plan;
        touchers[i].index = i;
        touchers[i].barrier = &barrier;
        if (pthread_create(&touchers[i].thread, NULL, toucher_main,
                           &touchers[i])) {
            perror("cannot make a thread");
            exit(1);
        }
    }
    memset(result, 0, sizeof(*result));
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(touchers[i].thread, NULL);
        merge(result, &touchers[i].result);
    }
    pthread_barrier_destroy(&barrier);
    munmap(touchers, threads * sizeof(*touchers));
}

void touch_print(FILE *f, const TouchResult *result)
{
    Histogram all = result->hits;

    histogram_merge(&all, &result->faults);
    fprintf(f, "\"seconds\": %.6f, \"wrong\": %llu, \"kernel_faults\": %llu, ",
            result->seconds, (unsigned long long)result->wrong,
            (unsigned long long)result->kernel_faults);
    histogram_print(f, "hits", &result->hits, 0);
    fputs(", ", f);
    histogram_print(f, "all", &all, 1);
    fputs(", ", f);
    histogram_print(f, "faults", &result->faults, 1);
}
