/*
 * QTest: memory-backend-remote, pages that are fetched before they are asked
 * for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"

/* A store that takes its time. */
#define SLOW "-object remote-store-ram,id=s0 " \
             "-object remote-store-fault,id=f0,store=s0,delay-us=100 "

static const char *const modes[] = { "off", "readahead", "stride", "adaptive" };

/* Most pages that a window may have with a cache of 2 MiB. */
#define MOST_AHEAD 64

static void set_mode(QTestState *qts, const char *mode)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/ram0', 'property': "
                             "'prefetch', 'value': %s } }", mode);
}

static void assert_mode(QTestState *qts, const char *mode)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': { "
                            "'path': '/objects/ram0', "
                            "'property': 'prefetch' } }");

    g_assert_cmpstr(qdict_get_str(resp, "return"), ==, mode);
    qobject_unref(resp);
}

/* What is counted of a part is part of what is counted of the whole. */
static void check_counters(QTestState *qts)
{
    QDict *info = rm_query(qts, "ram0");
    uint64_t fetched = qdict_get_int(info, "fetched-pages");
    uint64_t prefetched = qdict_get_int(info, "prefetched-pages");
    uint64_t probes = qdict_get_int(info, "prefetch-probes");
    uint64_t hits = qdict_get_int(info, "prefetch-hits");

    g_test_message("fetched %" PRIu64 ", ahead %" PRIu64 ", probes %" PRIu64
                   ", hits %" PRIu64, fetched, prefetched, probes, hits);
    g_assert_cmpuint(hits, <=, probes);
    g_assert_cmpuint(probes, <=, prefetched);
    g_assert_cmpuint(prefetched, <=, fetched);
    qobject_unref(info);
}

static void quit_sane(QTestState *qts)
{
    check_counters(qts);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* Property */

/* If this fails, the operator does not get what was asked for. */
static void test_property(void)
{
    for (int i = 0; i < ARRAY_SIZE(modes); i++) {
        g_autofree char *args = g_strdup_printf(RAM0 ",cache-size=2M,"
                                                "prefetch=%s", modes[i]);
        QTestState *qts = rm_start(args);

        assert_mode(qts, modes[i]);
        for (int j = 0; j < ARRAY_SIZE(modes); j++) {
            set_mode(qts, modes[j]);
            assert_mode(qts, modes[j]);
        }
        qtest_quit(qts);
    }
}

/* If this fails, the default is not what the manual says. */
static void test_default(void)
{
    QTestState *qts = rm_start(RAM0);

    assert_mode(qts, "adaptive");
    qtest_quit(qts);
}

/* If this fails, a wrong mode is taken for another one. */
static void test_refused(void)
{
    QTestState *qts = rm_start(RAM0 ",prefetch=stride");

    rm_assert_error(qts, "GenericError",
                    "'prefetch' does not accept value 'always'",
                    qdict_from_jsonf_nofail("{ 'path': '/objects/ram0', "
                                            "'property': 'prefetch', "
                                            "'value': 'always' }"),
                    "qom-set");
    assert_mode(qts, "stride");
    qtest_quit(qts);
}

/* Contents */

#define NR_PAGES 2048

/* Ways through the pages; @i counts from 0 to NR_PAGES - 1. */

static uint32_t upwards(uint32_t i)
{
    return i;
}

static uint32_t downwards(uint32_t i)
{
    return NR_PAGES - 1 - i;
}

static uint32_t in_steps(uint32_t i)
{
    return i * 16 % NR_PAGES + i * 16 / NR_PAGES;
}

static uint32_t at_random(uint32_t i)
{
    return g_test_rand_int_range(0, NR_PAGES);
}

static uint32_t in_two_places(uint32_t i)
{
    return i % 2 ? NR_PAGES / 2 + i / 2 : i / 2;
}

static uint32_t (*const ways[])(uint32_t i) = {
    upwards, downwards, in_steps, at_random, in_two_places,
};

/* Read pages in some order, and write a part of them anew. */
static void go_through(QTestState *qts, uint8_t *versions,
                       uint32_t (*way)(uint32_t i), uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        uint32_t page = way(i);

        rm_check_pages(qts, page, 1, versions[page]);
        if (i % 3 == 0) {
            rm_write_pages(qts, page, 1, ++versions[page]);
        }
    }
}

static void check_all(QTestState *qts, const uint8_t *versions)
{
    for (uint32_t i = 0; i < NR_PAGES; i++) {
        rm_check_pages(qts, i, 1, versions[i]);
    }
}

static void check_contents(QTestState *qts, uint32_t nr)
{
    g_autofree uint8_t *versions = g_new0(uint8_t, NR_PAGES);

    rm_write_pages(qts, 0, NR_PAGES, 0);
    for (int i = 0; i < ARRAY_SIZE(ways); i++) {
        go_through(qts, versions, ways[i], nr);
    }
    check_all(qts, versions);
}

/* For each mode, with objects before and properties after "ram0". */
static void check_modes(const char *before, const char *after, uint32_t nr)
{
    for (int i = 0; i < ARRAY_SIZE(modes); i++) {
        g_autofree char *args = g_strdup_printf("%s" RAM0 ",prefetch=%s,%s",
                                                before, modes[i], after);
        QTestState *qts = rm_start(args);

        check_contents(qts, nr);
        g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
        g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >, nr);
        quit_sane(qts);
    }
}

#define THREE_SHARDS "-object iothread,id=io0 -object iothread,id=io1 " \
                     "-object iothread,id=io2 "
#define USE_THREE "iothreads=io0,iothreads=io1,iothreads=io2"

/* If this fails, a page that was fetched ahead is not what was written. */
static void test_contents(void)
{
    check_modes("", "cache-size=2M", NR_PAGES);
}

/* The same where there is hardly room for more than what is asked for. */
static void test_180_pages(void)
{
    check_modes("", "cache-size=737280", NR_PAGES);
}

/* If this fails, streams that go from one shard to another mix up pages. */
static void test_shards(void)
{
    check_modes(THREE_SHARDS, "cache-size=2M," USE_THREE, NR_PAGES);
    check_modes(THREE_SHARDS, "cache-size=737280," USE_THREE, NR_PAGES);
}

/*
 * If this fails, a page that is asked for, written or evicted while it is
 * fetched ahead is mixed up.
 */
static void test_slow_store(void)
{
    check_modes(SLOW, "cache-size=2M,store=f0", NR_PAGES / 8);
}

/* If this fails, a change of the mode forgets what is under way. */
static void test_change(void)
{
    g_autofree uint8_t *versions = g_new0(uint8_t, NR_PAGES);
    QTestState *qts = rm_start(SLOW RAM0 ",cache-size=2M,store=f0");

    rm_write_pages(qts, 0, NR_PAGES, 0);
    for (int i = 0; i < 64; i++) {
        set_mode(qts, modes[i % ARRAY_SIZE(modes)]);
        go_through(qts, versions, ways[i / 4 % ARRAY_SIZE(ways)], 60);
    }
    check_all(qts, versions);
    quit_sane(qts);
}

/* Cost */

static uint64_t scan_prefetched(QTestState *qts)
{
    uint64_t before = rm_query_member(qts, "prefetched-pages");

    rm_check_pages(qts, 0, NR_PAGES, 0);
    return rm_query_member(qts, "prefetched-pages") - before;
}

/* If this fails, prefetch=off does not switch it off, or the others not on. */
static void test_counters(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=2M,prefetch=off");

    rm_write_pages(qts, 0, NR_PAGES, 0);
    rm_check_pages(qts, 0, NR_PAGES, 0);
    g_assert_cmpuint(rm_query_member(qts, "prefetched-pages"), ==, 0);
    g_assert_cmpuint(rm_query_member(qts, "prefetch-probes"), ==, 0);
    for (int i = 1; i < ARRAY_SIZE(modes); i++) {
        set_mode(qts, modes[i]);
        g_assert_cmpuint(scan_prefetched(qts), >, NR_PAGES / 2);
        g_assert_cmpuint(rm_query_member(qts, "prefetch-hits"), >, 0);
        check_counters(qts);
    }
    set_mode(qts, "off");
    /* What was under way may still arrive. */
    rm_check_pages(qts, 0, 4 * MOST_AHEAD, 0);
    g_assert_cmpuint(scan_prefetched(qts), ==, 0);
    quit_sane(qts);
}

static uint64_t waited_for(QTestState *qts)
{
    return rm_query_member(qts, "fetched-pages") -
           rm_query_member(qts, "prefetched-pages");
}

/* If this fails, a scan still waits for nearly each page. */
static void test_fewer_waits(void)
{
    static const char *const caches[] = { "512K", "737280", "1M", "2M", "8M" };

    for (int i = 0; i < ARRAY_SIZE(caches); i++) {
        g_autofree char *args = g_strdup_printf(RAM0 ",prefetch=readahead,"
                                                "cache-size=%s", caches[i]);
        QTestState *qts = rm_start(args);
        uint64_t before;

        rm_write_pages(qts, 0, 2 * NR_PAGES, 0);
        before = waited_for(qts);
        rm_check_pages(qts, 0, 2 * NR_PAGES, 0);
        g_test_message("cache of %s: waited for %" PRIu64 " of %d pages",
                       caches[i], waited_for(qts) - before, 2 * NR_PAGES);
        g_assert_cmpuint(waited_for(qts) - before, <, 2 * NR_PAGES / 8);
        quit_sane(qts);
    }
}

/* Pages that are used over and over, and the one of @i that is used once. */
#define HOT_PAGES 1000
#define COLD_PAGE(i) (HOT_PAGES + (i) % (40 * MiB / PAGE))
/* So many of each in turn. */
#define HOT_CHUNK 50

static void hot_and_cold(QTestState *qts, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        rm_check_pages(qts, i % HOT_PAGES, 1, 0);
        if (i % HOT_CHUNK == 0) {
            for (uint32_t j = i; j < i + HOT_CHUNK; j++) {
                rm_check_pages(qts, COLD_PAGE(j), 1, 0);
            }
        }
    }
}

static uint64_t hot_and_cold_fetched(const char *mode)
{
    g_autofree char *args = g_strdup_printf(RAM0 ",cache-size=8M,prefetch=%s",
                                            mode);
    QTestState *qts = rm_start(args);
    uint64_t before, fetched;

    rm_write_pages(qts, 0, HOT_PAGES + 40 * MiB / PAGE, 0);
    hot_and_cold(qts, 0, 6 * HOT_PAGES);
    before = rm_query_member(qts, "fetched-pages");
    hot_and_cold(qts, 6 * HOT_PAGES, 12 * HOT_PAGES);
    fetched = rm_query_member(qts, "fetched-pages") - before;
    quit_sane(qts);
    return fetched;
}

/*
 * If this fails, what is used over and over is thrown out by what is used once,
 * because nobody had to wait for it.
 */
static void test_hot(void)
{
    uint64_t off = hot_and_cold_fetched("off");

    for (int i = 1; i < ARRAY_SIZE(modes); i++) {
        uint64_t fetched = hot_and_cold_fetched(modes[i]);

        g_test_message("%s: %" PRIu64 " fetched, off: %" PRIu64, modes[i],
                       fetched, off);
        g_assert_cmpuint(fetched, <, off + off / 20);
    }
}

/* If this fails, random accesses pay for pages that nobody has asked for. */
static void test_random_cost(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=2M");
    uint64_t fetched;

    rm_write_pages(qts, 0, 32 * MiB / PAGE, 0);
    for (int i = 0; i < 4000; i++) {
        rm_check_pages(qts, g_test_rand_int_range(0, 32 * MiB / PAGE), 1, 0);
    }
    fetched = rm_query_member(qts, "fetched-pages");
    g_assert_cmpuint(rm_query_member(qts, "prefetched-pages"), <,
                     fetched / 8);
    quit_sane(qts);
}

/* Failure */

static uint64_t store_errors(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-remote-stores' }");
    QListEntry *entry;
    uint64_t errors = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(resp, "return"), entry) {
        errors += qdict_get_int(qobject_to(QDict, qlist_entry_obj(entry)),
                                "errors");
    }
    qobject_unref(resp);
    return errors;
}

static void assert_running(QTestState *qts)
{
    QDict *info = rm_query(qts, "ram0");
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-status' }");

    g_assert_cmpstr(qdict_get_str(info, "state"), ==, "running");
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(resp, "return"), "status"),
                    ==, "running");
    qobject_unref(info);
    qobject_unref(resp);
}

/*
 * If this fails, a page that nobody has asked for stops the VM when it cannot
 * be fetched.
 *
 * After a hit, one window lies ahead.  Its marker is local, and asks for the
 * next one: that is what fails here, and nobody waits for it.  If somebody did,
 * he would get his page in the end, after the VM was stopped.
 */
static void check_unawaited(const char *mode)
{
    g_autofree char *args = g_strdup_printf(FAULTY RAM0 ",cache-size=16M,"
                                            "store=f0,prefetch=%s", mode);
    QTestState *qts = rm_start(args);
    uint64_t nr = 32 * MiB / PAGE, page = 0, hits;

    rm_write_pages(qts, 0, nr, 0);
    /* All are clean from here on, so that nothing has to be written. */
    rm_check_pages(qts, 0, nr, 0);
    hits = rm_query_member(qts, "prefetch-hits");
    while (rm_query_member(qts, "prefetch-hits") < hits + 3) {
        g_assert_cmpuint(page, <, nr / 2);
        rm_check_pages(qts, page++, 1, 0);
    }
    rm_set_fault(qts, "error-rate", 0.9);
    while (!store_errors(qts)) {
        g_assert_cmpuint(page, <, nr / 2);
        rm_check_pages(qts, page++, 1, 0);
    }
    /* As long as three tries would take. */
    for (int i = 0; i < 10; i++) {
        assert_running(qts);
        g_usleep(50000);
    }
    g_assert_cmpuint(rm_query_member(qts, "errors"), >, 0);
    rm_set_fault(qts, "error-rate", 0);
    rm_check_pages(qts, 0, nr, 0);
    assert_running(qts);
    quit_sane(qts);
}

static void test_unawaited(void)
{
    for (int i = 1; i < ARRAY_SIZE(modes); i++) {
        check_unawaited(modes[i]);
    }
}

/* If this fails, a store that fails now and then costs data or the VM. */
static void test_unreliable_store(void)
{
    for (int i = 0; i < ARRAY_SIZE(modes); i++) {
        g_autofree char *args =
            g_strdup_printf("-object remote-store-ram,id=s0 -object "
                            "remote-store-fault,id=f0,store=s0,seed=%d " RAM0
                            ",cache-size=2M,store=f0,on-error=report,"
                            "prefetch=%s", i, modes[i]);
        QTestState *qts = rm_start(args);

        rm_set_fault(qts, "error-rate", 0.01);
        rm_set_fault(qts, "corrupt-rate", 0.01);
        rm_set_fault(qts, "drop-rate", 0.01);
        check_contents(qts, NR_PAGES / 16);
        g_assert_cmpuint(store_errors(qts), >, 0);
        rm_set_fault(qts, "error-rate", 0);
        rm_set_fault(qts, "corrupt-rate", 0);
        rm_set_fault(qts, "drop-rate", 0);
        rm_check_sane(qts);
        quit_sane(qts);
    }
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "prefetch/property", test_property },
        { "prefetch/default", test_default },
        { "prefetch/refused", test_refused },
        { "prefetch/contents", test_contents },
        { "prefetch/180-pages", test_180_pages },
        { "prefetch/shards", test_shards },
        { "prefetch/slow-store", test_slow_store },
        { "prefetch/change", test_change },
        { "prefetch/counters", test_counters },
        { "prefetch/fewer-waits", test_fewer_waits },
        { "prefetch/random-cost", test_random_cost },
        { "prefetch/hot", test_hot },
        { "prefetch/unawaited", test_unawaited },
        { "prefetch/unreliable-store", test_unreliable_store },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
