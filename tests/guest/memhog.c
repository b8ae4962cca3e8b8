/*
 * memhog: fill memory, keep changing it, and verify every byte of it
 *
 * Threads go over the pages of one large mapping, each over its own share in
 * random and in sequential order, and over some pages all at once. Each page
 * is compared with what its number and version say (pattern.h); some are
 * rewritten with their next version. The end is a pass over all of it.
 *
 * With --use, which is also the first of them, threads use pages of the
 * beginning instead, those at the front most. A line on stdin says how much of
 * it from then on: "64M", or "0" for a rest. With --work they are busy for so
 * many microseconds more with each page.
 *
 * The last line on stdout is "memhog: OK ..." (exit 0) or "memhog: MISMATCH
 * ..." (exit 1). SIGTERM, or a line on stdin with --until-enter, ends the
 * rounds early; the last pass is still made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

/* Progress lines: often enough to see a stall, seldom enough for a serial. */
#define REPORT_MS 2000

/* One page in so many is rewritten when it has been verified. */
#define REWRITE_ONE_IN 3

/* Of so many random pages of the working set, the first one is used. */
#define USE_FIRST_OF 3

/* How often a thread that rests looks for work. */
#define REST_US 10000

/* One page in so many is verified by all threads at the same time. */
#define TOGETHER_ONE_IN 8

/* What --spoil does to one page, so that a test can see memhog notice. */
typedef enum Spoil {
    SPOIL_NOTHING,
    SPOIL_BIT,    /* one flipped bit */
    SPOIL_LOST,   /* the page is zeros */
    SPOIL_STALE,  /* its last rewrite is undone */
    SPOIL_SWAP,   /* another page's contents */
} Spoil;

typedef struct Hog {
    /* set before the threads start */
    uint8_t *mem;
    uint64_t pages;
    unsigned order_bits;        /* pages <= 2^order_bits */
    Pattern pattern;
    unsigned threads;
    unsigned rounds;            /* 0: until something else ends them */
    uint64_t endurance;         /* verifications after which to end; 0: none */
    unsigned seconds;           /* time after which to end; 0: none */
    int node;                   /* of NUMA, to take memory from; -1: any */
    bool until_enter;
    bool use;                   /* a working set instead of rounds */
    uint64_t work_us;           /* with each page of that */
    Spoil spoil;
    pthread_barrier_t barrier;

    /* one owner for each page, see share_of(); others read after a barrier */
    uint32_t *version;

    /* written between two barriers by one thread */
    unsigned round;
    bool last;

    atomic_ullong set;          /* pages of the working set */
    atomic_ullong verified;     /* pages compared */
    atomic_ullong rewritten;
    atomic_uint running;        /* threads that are not through */
    _Atomic(const char *) phase;
} Hog;

typedef struct Worker {
    Hog *hog;
    unsigned index;
    pthread_t thread;
} Worker;

static volatile sig_atomic_t stop_requested;

static void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("memhog: ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    fflush(stdout);
    _exit(2);
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

static uint64_t *page_at(Hog *hog, uint64_t page)
{
    return (uint64_t *)(hog->mem + page * PAGE_BYTES);
}

/* Neighbours belong to different threads, so that threads share blocks. */
static unsigned share_of(Hog *hog, uint64_t page)
{
    return page % hog->threads;
}

/* Name what is there instead: tells a lost page from a stale one */
static const char *diagnose(Hog *hog, uint64_t page, unsigned half,
                            uint32_t version)
{
    const uint64_t *got = page_at(hog, page) + half * HALF_WORDS;
    uint64_t other[HALF_WORDS] = { 0 };

    if (!memcmp(got, other, sizeof(other))) {
        return "zeros";
    }
    for (uint32_t v = version; v-- > 0;) {
        pattern_half(&hog->pattern, page, half, v, other);
        if (!memcmp(got, other, sizeof(other))) {
            return "an older version";
        }
    }
    return "something else";
}

static void report_mismatch(Hog *hog, uint64_t page, const uint64_t *want)
{
    const uint64_t *got = page_at(hog, page);
    uint32_t version = hog->version[page];
    unsigned i = 0, half;

    while (i < PAGE_WORDS - 1 && got[i] == want[i]) {
        i++;
    }
    half = i / HALF_WORDS;
    flockfile(stdout); /* the first one wins, and the process ends with it */
    printf("memhog: MISMATCH page=%llu offset=%u want=%016llx got=%016llx "
           "version=%u round=%u holds=%s\n", (unsigned long long)page, i * 8,
           (unsigned long long)want[i], (unsigned long long)got[i], version,
           hog->round,
           diagnose(hog, page, half, half_version(version, half)));
    fflush(stdout);
    _exit(1);
}

static void verify_page(Hog *hog, uint64_t page)
{
    uint64_t want[PAGE_WORDS];

    pattern_page(&hog->pattern, page, hog->version[page], want);
    if (memcmp(page_at(hog, page), want, PAGE_BYTES)) {
        report_mismatch(hog, page, want);
    }
    atomic_fetch_add_explicit(&hog->verified, 1, memory_order_relaxed);
}

/* The next version: one half changes, the other must survive */
static void rewrite_page(Hog *hog, uint64_t page)
{
    uint32_t version = ++hog->version[page];
    unsigned half = version % 2 ? 0 : 1;

    pattern_half(&hog->pattern, page, half, half_version(version, half),
                 page_at(hog, page) + half * HALF_WORDS);
    atomic_fetch_add_explicit(&hog->rewritten, 1, memory_order_relaxed);
}

static void fill_share(Hog *hog, unsigned index)
{
    for (uint64_t page = index; page < hog->pages; page += hog->threads) {
        pattern_page(&hog->pattern, page, 0, page_at(hog, page));
    }
}

static void visit(Hog *hog, uint64_t page)
{
    verify_page(hog, page);
    if (mix64(page + hog->round * hog->pages) % REWRITE_ONE_IN == 0) {
        rewrite_page(hog, page);
    }
}

static void visit_share(Hog *hog, unsigned index)
{
    bool random = hog->round % 2;

    for (uint64_t i = 0; i < 1ull << hog->order_bits; i++) {
        uint64_t page = random ? shuffle(i, hog->order_bits, hog->round) : i;

        if (page < hog->pages && share_of(hog, page) == index) {
            visit(hog, page);
            if (stop_requested) {
                break;
            }
        }
    }
}

/* Of @set pages, one of this thread's; @state is what it draws from. */
static uint64_t pick(Hog *hog, unsigned index, uint64_t set, uint64_t *state)
{
    uint64_t page = set;

    for (unsigned i = 0; i < USE_FIRST_OF; i++) {
        uint64_t other = mix64(++*state) % set;

        page = other < page ? other : page;
    }
    return page - page % hog->threads + index;
}

/* Be busy, as a program is that does something with what it has read. */
static void be_busy(double seconds)
{
    double end = now() + seconds;

    while (now() < end) {
        /* nothing */
    }
}

static void use_share(Hog *hog, unsigned index)
{
    uint64_t state = mix64(hog->pattern.seed + index);

    while (!stop_requested) {
        uint64_t set = hog->set;
        uint64_t page = set ? pick(hog, index, set, &state) : hog->pages;

        if (!set) {
            usleep(REST_US);
        } else if (page < hog->pages) {
            visit(hog, page);
            be_busy(hog->work_us / 1e6);
        }
    }
}

/* The same pages at the same time: two vCPUs fault on one page */
static void verify_together(Hog *hog)
{
    for (uint64_t i = 0; i < 1ull << hog->order_bits; i += TOGETHER_ONE_IN) {
        uint64_t page = shuffle(i, hog->order_bits, ~(uint64_t)hog->round);

        if (stop_requested) {
            break;
        }
        if (page < hog->pages) {
            verify_page(hog, page);
        }
    }
}

static void verify_share(Hog *hog, unsigned index)
{
    for (uint64_t page = index; page < hog->pages; page += hog->threads) {
        verify_page(hog, page);
    }
}

/* Some page in the middle that is neither zeros nor like its neighbours */
static void spoil(Hog *hog)
{
    uint64_t page = hog->pages / 2;

    while (page + 1 < hog->pages &&
           pattern_kind(&hog->pattern, page) != KIND_RANDOM) {
        page++;
    }
    switch (hog->spoil) {
    case SPOIL_NOTHING:
        break;
    case SPOIL_BIT:
        page_at(hog, page)[PAGE_WORDS - 1] ^= 1ull << 63;
        break;
    case SPOIL_LOST:
        memset(page_at(hog, page), 0, PAGE_BYTES);
        break;
    case SPOIL_STALE:
        hog->version[page]++;
        break;
    case SPOIL_SWAP:
        memcpy(page_at(hog, page), page_at(hog, page - 1), PAGE_BYTES);
        break;
    }
}

/* Barrier; one thread moves on to the next round before the others go on */
static void next_round(Hog *hog)
{
    if (pthread_barrier_wait(&hog->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        if (hog->round == 0) {
            spoil(hog);
        }
        hog->last = stop_requested ||
            (hog->rounds && hog->round >= hog->rounds) ||
            (hog->endurance && hog->verified >= hog->endurance);
        if (!hog->last) {
            hog->round++;
            hog->phase = hog->use ? "using"
                                  : hog->round % 2 ? "random" : "sequential";
        } else {
            hog->phase = "last pass";
        }
    }
    pthread_barrier_wait(&hog->barrier);
}

static void *work(void *opaque)
{
    Worker *w = opaque;
    Hog *hog = w->hog;

    fill_share(hog, w->index);
    for (next_round(hog); !hog->last; next_round(hog)) {
        if (hog->use) {
            use_share(hog, w->index);
            continue;
        }
        visit_share(hog, w->index);
        if (hog->threads > 1) {
            pthread_barrier_wait(&hog->barrier);
            verify_together(hog);
        }
    }
    verify_share(hog, w->index);
    hog->running--;
    return NULL;
}

static void report_progress(Hog *hog, double seconds, uint64_t *last)
{
    uint64_t verified = hog->verified;
    char of[16] = "";

    if (hog->rounds) {
        snprintf(of, sizeof(of), "/%u", hog->rounds);
    }
    printf("memhog: round %u%s %s verified %llu pages, %.0f pages/s\n",
           hog->round, of, hog->phase, (unsigned long long)verified,
           (verified - *last) / seconds);
    fflush(stdout);
    *last = verified;
}

static uint64_t parse_size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    uint64_t n = strtoull(text, &end, 0);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (unit) {
        n <<= 10 * (unit - units + 1);
        end++;
    }
    if (*end || end == text) {
        die("not a size or number: %s", text);
    }
    return n;
}

static void use_pages(Hog *hog, const char *text)
{
    uint64_t pages = parse_size(text) / PAGE_BYTES;

    if (pages > hog->pages) {
        die("there are not so many pages: %s", text);
    }
    hog->set = pages;
    printf("memhog: uses %llu pages\n", (unsigned long long)pages);
    fflush(stdout);
}

/* Wait for @ms or for a line; end of file does not count as Enter */
static void wait_for_line(Hog *hog, int ms)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    char line[64] = "";

    if (poll(&in, hog->until_enter, ms) <= 0) {
        return;
    }
    hog->until_enter = read(STDIN_FILENO, line, sizeof(line) - 1) > 0;
    line[strcspn(line, "\r\n")] = '\0';
    if (hog->use && *line) {
        use_pages(hog, line);
    } else {
        stop_requested |= hog->until_enter;
    }
}

/* Report until all threads are through; ends the rounds when it is time */
static void supervise(Hog *hog, double start)
{
    const int tick_ms = 100;
    double reported = start;
    uint64_t last = 0;

    while (hog->running) {
        wait_for_line(hog, tick_ms);
        double t = now();
        if (hog->seconds && t - start >= hog->seconds) {
            stop_requested = 1;
        }
        if ((t - reported) * 1000 >= REPORT_MS) {
            report_progress(hog, t - reported, &last);
            reported = t;
        }
    }
}

static void run(Hog *hog)
{
    Worker workers[hog->threads];
    double start = now(), seconds;

    hog->running = hog->threads;
    hog->phase = "filling";
    pthread_barrier_init(&hog->barrier, NULL, hog->threads);
    for (unsigned i = 0; i < hog->threads; i++) {
        workers[i] = (Worker) { .hog = hog, .index = i };
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
            die("cannot start a thread");
        }
    }
    supervise(hog, start);
    for (unsigned i = 0; i < hog->threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    seconds = now() - start;
    printf("memhog: OK pages=%llu rounds=%u verified=%llu rewritten=%llu "
           "seconds=%.1f rate=%.0f\n", (unsigned long long)hog->pages,
           hog->round, (unsigned long long)hog->verified,
           (unsigned long long)hog->rewritten, seconds,
           hog->verified / seconds);
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        die("cannot map %zu bytes", bytes);
    }
    return p;
}

/* Not by libnuma, which the guest has not got. */
static void bind_to_node(Hog *hog)
{
    const int bind_mode = 2;    /* MPOL_BIND of the kernel's interface */
    unsigned long mask = 1ul << hog->node;

    if (syscall(SYS_mbind, hog->mem, hog->pages * PAGE_BYTES, bind_mode,
                &mask, sizeof(mask) * 8 + 1, 0)) {
        die("cannot take memory from node %d", hog->node);
    }
}

/* Index of @text in @names, which ends with NULL */
static int parse_name(const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        if (!strcmp(text, names[i])) {
            return i;
        }
    }
    die("not known: %s", text);
    return -1;
}

/* In the order of PageKind and of Spoil. */
static const char *const kinds[] = { "zero", "text", "random", "mixed", NULL };
static const char *const spoils[] = {
    "nothing", "bit", "lost", "stale", "swap", NULL
};

enum {
    SIZE = 1, THREADS, ROUNDS, PATTERN, SEED, SECONDS, ENDURANCE, ENTER, USE,
    WORK, SPOIL, NODE
};

static const struct option options[] = {
    { "size", required_argument, NULL, SIZE },
    { "threads", required_argument, NULL, THREADS },
    { "rounds", required_argument, NULL, ROUNDS },
    { "pattern", required_argument, NULL, PATTERN },
    { "seed", required_argument, NULL, SEED },
    { "seconds", required_argument, NULL, SECONDS },
    { "endurance", required_argument, NULL, ENDURANCE },
    { "until-enter", no_argument, NULL, ENTER },
    { "use", required_argument, NULL, USE },
    { "work", required_argument, NULL, WORK },
    { "spoil", required_argument, NULL, SPOIL },
    { "node", required_argument, NULL, NODE },
    { }
};

static void set_option(Hog *hog, int option, const char *value)
{
    switch (option) {
    case SIZE:
        hog->pages = parse_size(value) / PAGE_BYTES;
        break;
    case THREADS:
        hog->threads = parse_size(value);
        break;
    case ROUNDS:
        hog->rounds = parse_size(value);
        break;
    case PATTERN:
        hog->pattern.kind = parse_name(value, kinds);
        break;
    case SEED:
        hog->pattern.seed = strtoull(value, NULL, 0);
        break;
    case SECONDS:
        hog->seconds = parse_size(value);
        break;
    case ENDURANCE:
        hog->endurance = parse_size(value);
        break;
    case ENTER:
        hog->until_enter = true;
        break;
    case USE:
        hog->set = parse_size(value) / PAGE_BYTES;
        hog->use = hog->until_enter = true;
        break;
    case WORK:
        hog->work_us = strtoull(value, NULL, 0);
        break;
    case SPOIL:
        hog->spoil = parse_name(value, spoils);
        break;
    case NODE:
        hog->node = strtoull(value, NULL, 0) % (sizeof(long) * 8);
        break;
    default:
        die("--size N[KMG] [--threads N] [--rounds N | --seconds N | "
            "--endurance VERIFICATIONS | --until-enter] "
            "[--use N[KMG] [--work MICROSECONDS]] "
            "[--pattern mixed|random|text|zero] [--seed N] "
            "[--spoil bit|lost|stale|swap] [--node N]");
    }
}

static void parse(Hog *hog, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        set_option(hog, option, optarg);
    }
    if (!hog->pages || hog->threads < 1 || hog->threads > 64 ||
        hog->set > hog->pages) {
        die("give --size of at least a page, 1 to 64 --threads, and --use of "
            "no more");
    }
    if (!hog->rounds && !hog->seconds && !hog->endurance &&
        !hog->until_enter) {
        hog->rounds = 3;
    }
    while (1ull << hog->order_bits < hog->pages) {
        hog->order_bits++;
    }
}

static void on_signal(int sig)
{
    stop_requested = 1;
}

int main(int argc, char **argv)
{
    Hog hog = {
        .threads = 1,
        .pattern = { .seed = 1, .kind = KIND_MIXED },
        .node = -1,
    };

    parse(&hog, argc, argv);
    signal(SIGTERM, on_signal);
    hog.mem = map(hog.pages * PAGE_BYTES);
    if (hog.node >= 0) {
        bind_to_node(&hog);
    }
    hog.version = map(hog.pages * sizeof(*hog.version));
    run(&hog);
    return 0;
}
