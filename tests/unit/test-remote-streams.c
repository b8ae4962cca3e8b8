/*
 * Unit tests: what is fetched ahead for threads that go through memory
 *
 * By what a guest would notice: how often it has to wait for the store, and
 * how much is fetched in vain.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "streams.h"

#define PAGES (1 << 20)
#define LIMIT STREAM_PAGES

/* Where a page is: PROBE is local, but a fault. */
typedef enum Place {
    REMOTE,
    LOCAL,
    PROBE,
} Place;

/*
 * Memory without a cache's bounds: what has come stays.
 * @unused: fetched ahead and not touched yet
 * @waits: faults that waited for the store
 * @probes: faults that did not
 * @fetched: pages that were fetched ahead
 * @used: and were touched then
 */
typedef struct Memory {
    Streams streams;
    RemoteMemoryPrefetch mode;
    uint32_t limit;
    uint8_t place[PAGES];
    bool unused[PAGES];
    uint32_t waits;
    uint32_t probes;
    uint32_t fetched;
    uint32_t used;
} Memory;

static Memory *memory_new(void)
{
    Memory *m = g_new0(Memory, 1);

    m->mode = REMOTE_MEMORY_PREFETCH_STRIDE;
    m->limit = LIMIT;
    return m;
}

static void fetch_window(Memory *m, uint32_t tid, const StreamWindow *window)
{
    bool first = true, witness = false;

    g_assert_cmpuint(window->nr, <=, m->limit);
    for (uint32_t i = 0; i < window->nr; i++) {
        int64_t page = window->page + (int64_t)i * window->stride;

        if (page >= 0 && page < PAGES && m->place[page] == REMOTE) {
            bool probe = first || page == window->witness;

            m->place[page] = probe ? PROBE : LOCAL;
            m->unused[page] = true;
            m->fetched++;
            witness |= page == window->witness;
            first = false;
        }
    }
    if (window->nr && !witness) {
        streams_no_witness(&m->streams, tid, window->witness);
    }
}

static void touch(Memory *m, uint32_t tid, int64_t page)
{
    StreamWindow window;
    Place was = m->place[page];

    m->place[page] = LOCAL;
    m->used += m->unused[page];
    m->unused[page] = false;
    if (was != LOCAL) {
        m->waits += was == REMOTE;
        m->probes += was == PROBE;
        streams_fault(&m->streams, tid, page, m->mode, m->limit, &window);
        fetch_window(m, tid, &window);
    }
}

static void scan(Memory *m, uint32_t tid, int64_t first, int64_t stride,
                 uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        touch(m, tid, first + i * stride);
    }
}

static void check_costs(Memory *m, const char *what, uint32_t waits,
                        uint32_t probes, uint32_t in_vain)
{
    g_test_message("%s: waited %u times, %u probes, %u fetched, of those %u "
                   "used", what, m->waits, m->probes, m->fetched, m->used);
    g_assert_cmpuint(m->waits, <=, waits);
    g_assert_cmpuint(m->probes, <=, probes);
    g_assert_cmpuint(m->fetched - m->used, <=, in_vain);
}

/* If this fails, a thread that goes through memory waits for each page. */
static void test_scan(gconstpointer opaque)
{
    int stride = GPOINTER_TO_INT(opaque);
    g_autofree Memory *m = memory_new();

    scan(m, 1, PAGES / 2, stride, 6400);
    check_costs(m, "scan", 3, 6400 / LIMIT * 5 / 4 + 10, 2 * LIMIT);
}

/* If this fails, far steps have pages fetched that nobody wants. */
static void test_far_steps(void)
{
    g_autofree Memory *m = memory_new();

    scan(m, 1, 0, STREAM_MAX_STRIDE + 1, 6400);
    check_costs(m, "far steps", 6400, 0, 0);
    g_assert_cmpuint(m->fetched, ==, 0);
}

/* If this fails, a merge, or a loop over a few arrays, is as if random. */
static void test_interleaved(void)
{
    static const int strides[] = { 1, -1, 3, 1, -16, 1 };
    g_autofree Memory *m = memory_new();

    for (int i = 0; i < 3200; i++) {
        for (int j = 0; j < ARRAY_SIZE(strides); j++) {
            touch(m, 1, (j + 1) * PAGES / 8 + i * strides[j]);
        }
    }
    check_costs(m, "interleaved", 3 * ARRAY_SIZE(strides),
                ARRAY_SIZE(strides) * (3200 / LIMIT * 5 / 4 + 10),
                ARRAY_SIZE(strides) * 2 * LIMIT);
}

/* If this fails, a lookup for each record that is read hides the reading. */
static void test_noise(void)
{
    g_autofree Memory *m = memory_new();
    uint32_t noise = 0;

    for (int i = 0; i < 6400; i++) {
        touch(m, 1, i);
        for (int j = 0; j < 4; j++) {
            int64_t page = g_test_rand_int_range(PAGES / 2, PAGES);

            noise += m->place[page] == REMOTE;
            touch(m, 1, page);
        }
    }
    m->waits -= noise;
    check_costs(m, "noise", 3, 6400 / LIMIT * 5 / 4 + 60,
                2 * LIMIT + noise / 50);
}

/* If this fails, vCPUs hide each other's streams. */
static void test_threads(void)
{
    g_autofree Memory *m = memory_new();

    for (int i = 0; i < 3200; i++) {
        for (int tid = 1; tid <= STREAM_THREADS; tid++) {
            touch(m, tid, tid * (PAGES / (STREAM_THREADS + 2)) + i);
        }
    }
    check_costs(m, "threads", 3 * STREAM_THREADS,
                STREAM_THREADS * (3200 / LIMIT * 5 / 4 + 10),
                STREAM_THREADS * 2 * LIMIT);
}

/*
 * If this fails, threads that come and go (QEMU's workers) make a vCPU's stream
 * forgotten.
 */
static void test_short_lived_threads(void)
{
    g_autofree Memory *m = memory_new();
    uint32_t others = 0;

    for (int i = 0; i < 6400; i++) {
        touch(m, 1, i);
        if (i % 8 == 0) {
            touch(m, 1000 + i, PAGES / 2 + 70 * i);
            others++;
        }
    }
    m->waits -= others;
    check_costs(m, "short-lived threads", 3, 6400 / LIMIT * 5 / 4 + 10,
                2 * LIMIT);
}

/* If this fails, pages that are there already end a stream. */
static void test_gaps(void)
{
    g_autofree Memory *m = memory_new();

    for (int i = 0; i < 6400; i++) {
        m->place[i] = i % 50 < 8 ? LOCAL : REMOTE;
    }
    scan(m, 1, 0, 1, 6400);
    check_costs(m, "gaps", 3, 6400 / LIMIT * 2, 2 * LIMIT);
}

/* If this fails, one stretch of local pages ends a stream for good. */
static void test_long_gap(void)
{
    g_autofree Memory *m = memory_new();

    for (int i = 3000; i < 4000; i++) {
        m->place[i] = LOCAL;
    }
    scan(m, 1, 0, 1, 6400);
    check_costs(m, "long gap", 6, 6400 / LIMIT * 5 / 4 + 20, 4 * LIMIT);
}

/* If this fails, random accesses pay for pages that nobody wants. */
static void test_random(void)
{
    g_autofree Memory *m = memory_new();

    for (int i = 0; i < 40000; i++) {
        touch(m, 1 + i % 4, g_test_rand_int_range(0, PAGES));
    }
    check_costs(m, "random", 40000, 400, 400);
}

/* The same in a little memory, where neighbours are met by chance. */
static void test_random_small(void)
{
    g_autofree Memory *m = memory_new();

    for (int i = 0; i < 40000; i++) {
        touch(m, 1, g_test_rand_int_range(0, 1 << 15));
        /* Nothing stays for long. */
        if (i % 2000 == 0) {
            memset(m->place, REMOTE, sizeof(m->place));
        }
    }
    check_costs(m, "random, 128 MiB", 40000, 4000, 4000);
}

/*
 * If this fails, a thread that skips most pages from some point on has them
 * fetched for ever.
 */
static void test_larger_steps(void)
{
    for (int stride = 2; stride <= 32; stride++) {
        g_autofree Memory *m = memory_new();
        uint32_t in_vain;

        scan(m, 1, 0, 1, 640);
        scan(m, 1, 640, stride, 6400);
        in_vain = m->fetched - m->used;
        g_test_message("steps of %d: %u in vain, waited %u times", stride,
                       in_vain, m->waits);
        /* Two rounds until the witness, and the new stream's last window. */
        g_assert_cmpuint(in_vain, <=, 20 * LIMIT);
        g_assert_cmpuint(m->waits, <=, 100);
    }
}

/* Objects of @pages pages each, all over memory. */
static void touch_objects(Memory *m, int pages, int objects)
{
    for (int i = 0; i < objects; i++) {
        scan(m, 1, g_test_rand_int_range(0, PAGES / 64) * 64, 1, pages);
    }
}

/*
 * If this fails, a program that goes from one small object to another pays for
 * what lies behind each; or one that has done that is not trusted any more.
 */
static void test_objects(void)
{
    for (int pages = 2; pages <= 5; pages++) {
        g_autofree Memory *m = memory_new();

        touch_objects(m, pages, 2000);
        check_costs(m, "objects", 2000 * pages, 200, 1600);
        memset(m->place, REMOTE, sizeof(m->place));
        m->waits = 0;
        scan(m, 1, 0, 1, 6400);
        g_test_message("then a scan: waited %u times", m->waits);
        g_assert_cmpuint(m->waits, <=, 6);
        m->waits = 0;
        for (int i = 0; i < 8; i++) {
            scan(m, 1, PAGES / 16 * (8 + i), 1, 640);
        }
        g_test_message("and others: waited %u times", m->waits);
        g_assert_cmpuint(m->waits, <=, 8 * 3);
    }
}

/* If this fails, a stream that was none costs a whole window. */
static void test_ramp(void)
{
    Streams s = { 0 };
    StreamWindow window;
    int64_t page = 1000;
    uint32_t before = 0;

    g_assert_false(streams_fault(&s, 1, page++, REMOTE_MEMORY_PREFETCH_STRIDE,
                                 LIMIT, &window));
    g_assert_cmpuint(window.nr, ==, 0);
    for (int i = 0; i < 10; i++) {
        g_assert_true(streams_fault(&s, 1, page,
                                    REMOTE_MEMORY_PREFETCH_STRIDE, LIMIT,
                                    &window));
        g_assert_cmpuint(window.nr, <=, MAX(2 * before, LIMIT / 8));
        g_assert_cmpuint(window.nr, >=, before);
        streams_no_witness(&s, 1, window.witness);
        before = window.nr;
        page = window.page;
    }
    g_assert_cmpuint(before, ==, LIMIT);
}

/* If this fails, a small cache is filled by what nobody has asked for. */
static void test_limit(void)
{
    for (uint32_t limit = 1; limit <= LIMIT; limit++) {
        g_autofree Memory *m = memory_new();

        m->limit = limit;
        /* fetch_window() looks at the limit. */
        scan(m, 1, PAGES / 2, -1, 1000);
        check_costs(m, "limited", 3, 1000 / limit * 2 + 10, 2 * limit);
    }
}

/* If this fails, prefetch=readahead does more than it says. */
static void test_readahead(void)
{
    static const int others[] = { -1, 2, -3, 16 };
    g_autofree Memory *m = memory_new();

    m->mode = REMOTE_MEMORY_PREFETCH_READAHEAD;
    for (int i = 0; i < ARRAY_SIZE(others); i++) {
        scan(m, 1, (i + 1) * PAGES / 8, others[i], 1000);
    }
    g_assert_cmpuint(m->waits, ==, 1000 * ARRAY_SIZE(others));
    g_assert_cmpuint(m->fetched, ==, 0);
    m->waits = 0;
    scan(m, 1, 0, 1, 6400);
    check_costs(m, "readahead", 3, 6400 / LIMIT * 5 / 4 + 10, 2 * LIMIT);
}

/* If this fails, each stripe's border ends the streams that cross it. */
static void test_handed_over(void)
{
    Streams from = { 0 }, to = { 0 };
    StreamWindow window;
    int64_t border;

    for (int64_t page = 0; page < 2; page++) {
        streams_fault(&from, 7, page, REMOTE_MEMORY_PREFETCH_STRIDE, LIMIT,
                      &window);
    }
    border = window.page + window.nr / 2;
    window.nr -= border - window.page;
    window.page = border;
    window.witness = -1;
    streams_handed_over(&to, 7, &window);
    /* Its first page is the marker there. */
    g_assert_true(streams_fault(&to, 7, border, REMOTE_MEMORY_PREFETCH_STRIDE,
                                LIMIT, &window));
    g_assert_cmpint(window.page, >, border);
    g_assert_cmpint(window.stride, ==, 1);
    g_assert_cmpuint(window.nr, >=, 2);
    /* Nobody else goes on with it. */
    g_assert_false(streams_fault(&to, 8, window.page,
                                 REMOTE_MEMORY_PREFETCH_STRIDE, LIMIT,
                                 &window));
}

/*
 * The same for a window whose witness is on the other side: it has been touched
 * there, or will not be fetched.
 */
static void test_witness_stays_behind(void)
{
    Streams s = { 0 };
    StreamWindow window = {
        .page = 1000, .stride = 1, .nr = 32, .witness = 990,
    };

    streams_handed_over(&s, 7, &window);
    for (int i = 0; i < 4; i++) {
        int64_t marker = window.page;

        g_assert_true(streams_fault(&s, 7, marker,
                                    REMOTE_MEMORY_PREFETCH_STRIDE, LIMIT,
                                    &window));
        g_assert_cmpint(window.page, >, marker);
        streams_no_witness(&s, 7, window.witness);
    }
}

/* If this fails, who goes through memory in blocks waits for each of them. */
static void test_blocks(void)
{
    Streams s = { 0 };
    StreamWindow window;
    const RemoteMemoryPrefetch mode = REMOTE_MEMORY_PREFETCH_ADAPTIVE;

    g_assert_false(streams_fault(&s, 1, 1003, mode, LIMIT, &window));
    streams_block(&s, 1, 1000, 8);
    g_assert_true(streams_fault(&s, 1, 1008, mode, LIMIT, &window));
    g_assert_cmpint(window.page, ==, 1009);
    /* And downwards. */
    g_assert_false(streams_fault(&s, 1, 5003, mode, LIMIT, &window));
    streams_block(&s, 1, 5000, 8);
    g_assert_true(streams_fault(&s, 1, 4999, mode, LIMIT, &window));
    g_assert_cmpint(window.page, ==, 4998);
    g_assert_cmpint(window.stride, ==, -1);
}

/* If this fails, some history crashes a pager or makes it fetch too much. */
static void test_anything(void)
{
    Streams s = { 0 };

    for (int i = 0; i < 1000000; i++) {
        int64_t base = (int64_t)g_test_rand_int_range(0, 4) << 31;
        uint32_t limit = g_test_rand_int_range(1, LIMIT + 1);
        uint32_t tid = g_test_rand_int_range(0, 2 * STREAM_THREADS);
        StreamWindow window;

        streams_fault(&s, tid, base + g_test_rand_int_range(0, 200),
                      g_test_rand_int_range(REMOTE_MEMORY_PREFETCH_READAHEAD,
                                            REMOTE_MEMORY_PREFETCH__MAX),
                      limit, &window);
        g_assert_cmpuint(window.nr, <=, limit);
        g_assert_cmpint(ABS(window.stride), <=, STREAM_MAX_STRIDE);
        g_assert_true(!window.nr || window.stride);
        if (g_test_rand_bit()) {
            streams_no_witness(&s, tid, window.witness);
        } else if (window.nr) {
            streams_handed_over(&s, tid + 1, &window);
        } else {
            streams_block(&s, tid, base, 1 << g_test_rand_int_range(0, 7));
        }
    }
}

int main(int argc, char **argv)
{
    static const int strides[] = { 1, -1, 3, 16, -5, STREAM_MAX_STRIDE };

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(strides); i++) {
        g_autofree char *path =
            g_strdup_printf("/remote-memory/streams/scan/%d", strides[i]);

        g_test_add_data_func(path, GINT_TO_POINTER(strides[i]), test_scan);
    }
    g_test_add_func("/remote-memory/streams/far-steps", test_far_steps);
    g_test_add_func("/remote-memory/streams/interleaved", test_interleaved);
    g_test_add_func("/remote-memory/streams/noise", test_noise);
    g_test_add_func("/remote-memory/streams/threads", test_threads);
    g_test_add_func("/remote-memory/streams/short-lived-threads",
                    test_short_lived_threads);
    g_test_add_func("/remote-memory/streams/gaps", test_gaps);
    g_test_add_func("/remote-memory/streams/long-gap", test_long_gap);
    g_test_add_func("/remote-memory/streams/random", test_random);
    g_test_add_func("/remote-memory/streams/random-small", test_random_small);
    g_test_add_func("/remote-memory/streams/larger-steps", test_larger_steps);
    g_test_add_func("/remote-memory/streams/objects", test_objects);
    g_test_add_func("/remote-memory/streams/ramp", test_ramp);
    g_test_add_func("/remote-memory/streams/limit", test_limit);
    g_test_add_func("/remote-memory/streams/readahead", test_readahead);
    g_test_add_func("/remote-memory/streams/handed-over", test_handed_over);
    g_test_add_func("/remote-memory/streams/witness-stays-behind",
                    test_witness_stays_behind);
    g_test_add_func("/remote-memory/streams/blocks", test_blocks);
    g_test_add_func("/remote-memory/streams/anything", test_anything);
    return g_test_run();
}
