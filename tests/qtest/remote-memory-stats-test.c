/*
 * QTest: what query-stats says of memory-backend-remote
 *
 * If this fails, counters or times do not tell what happened.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "remote-memory-lib.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"

#define CACHE_PAGES 256
#define CACHE ",cache-size=1M,prefetch=off,store=f0"

static const char *const stages[] = {
    "fault-stage-queue", "fault-stage-store", "fault-stage-place"
};

/* What the provider says of the only backend; the caller's. */
static QDict *query(QTestState *qts)
{
    g_autoptr(QDict) response = qtest_qmp(qts,
        "{ 'execute': 'query-stats', 'arguments': { 'target': 'vm',"
        "  'providers': [ { 'provider': 'remote-memory' } ] } }");
    QList *results = qdict_get_qlist(response, "return");
    QDict *stats = qdict_new(), *result;
    QListEntry *entry;

    g_assert_cmpuint(qlist_size(results), ==, 1);
    result = qobject_to(QDict, qlist_peek(results));
    g_assert_cmpstr(qdict_get_str(result, "provider"), ==, "remote-memory");
    g_assert_cmpstr(qdict_get_str(result, "qom-path"), ==, "/objects/ram0");
    QLIST_FOREACH_ENTRY(qdict_get_qlist(result, "stats"), entry) {
        QDict *one = qobject_to(QDict, qlist_entry_obj(entry));

        qdict_put_obj(stats, qdict_get_str(one, "name"),
                      qobject_ref(qdict_get(one, "value")));
    }
    return stats;
}

/* The number, or how many values are in the histogram. */
static uint64_t total(const QDict *stats, const char *name)
{
    QObject *value = qdict_get(stats, name);
    QList *list = qobject_to(QList, value);
    uint64_t sum = 0;
    QListEntry *entry;

    g_assert(value);
    if (!list) {
        return qnum_get_uint(qobject_to(QNum, value));
    }
    QLIST_FOREACH_ENTRY(list, entry) {
        sum += qnum_get_uint(qobject_to(QNum, qlist_entry_obj(entry)));
    }
    return sum;
}

/* Each fault is in one of the histograms, or waits. */
static void check_sums(const QDict *stats)
{
    static const char *const latency[] = {
        "zero", "resident", "standby", "remote", "fetching", "source"
    };
    uint64_t faults = total(stats, "waiting-faults");

    for (int i = 0; i < ARRAY_SIZE(latency); i++) {
        g_autofree char *name = g_strdup_printf("fault-latency-%s",
                                                latency[i]);
        faults += total(stats, name);
    }
    g_assert_cmpuint(faults, ==, total(stats, "faults"));
}

static void test_causes(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 CACHE);
    g_autoptr(QDict) before = query(qts), after = NULL;
    uint64_t nr = 4 * CACHE_PAGES;

    check_sums(before);
    rm_write_pages(qts, 0, nr, 1);
    rm_check_pages(qts, 0, nr, 1);
    after = query(qts);
    check_sums(after);
    g_assert_cmpuint(total(after, "fault-latency-zero") -
                     total(before, "fault-latency-zero"), >=, nr);
    /* The fifth part of the pages is zeros, and a cache was local still. */
    g_assert_cmpuint(total(after, "fault-latency-remote"), >=,
                     nr * 4 / 5 - CACHE_PAGES);
    g_assert_cmpuint(total(after, "fault-latency-remote"), ==,
                     total(after, "fetched-pages"));
    for (int i = 0; i < ARRAY_SIZE(stages); i++) {
        g_assert_cmpuint(total(after, stages[i]), ==,
                         total(after, "fetched-pages"));
    }
    g_assert_cmpuint(total(after, "waiting-faults"), ==, 0);
    qtest_quit(qts);
}

/* The highest bucket that is not empty. */
static int highest(const QDict *stats, const char *name)
{
    int bucket = 0, top = -1;
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(qdict_get_qlist((QDict *)stats, name), entry) {
        if (qnum_get_uint(qobject_to(QNum, qlist_entry_obj(entry)))) {
            top = bucket;
        }
        bucket++;
    }
    return top;
}

/* What a store takes its time for is not blamed on others. */
static void test_slow_store(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 CACHE);
    g_autoptr(QDict) stats = NULL;

    rm_write_pages(qts, 0, 2 * CACHE_PAGES, 1);
    rm_set_fault(qts, "delay-us", 300000);
    rm_check_pages(qts, 1, 1, 1);
    stats = query(qts);
    /* 2^28 ns are 268 ms. */
    g_assert_cmpint(highest(stats, "fault-stage-store"), >=, 29);
    g_assert_cmpint(highest(stats, "fault-latency-remote"), >=, 29);
    qtest_quit(qts);
}

/* A thread that waits is seen before its wait is over. */
static void test_waiting(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 CACHE);
    g_autofree char *file = NULL, *protocol = NULL;
    int fd = g_file_open_tmp("stats-XXXXXX", &file, NULL);
    uint64_t waiting = 0;

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    protocol = g_strdup_printf("file:%s", file);
    rm_write_pages(qts, 0, 2 * CACHE_PAGES, 1);
    rm_set_fault(qts, "delay-us", 1000000);
    qtest_qmp_assert_success(qts, "{ 'execute': 'dump-guest-memory', "
                             "'arguments': { 'paging': false, 'detach': true,"
                             " 'protocol': %s } }", protocol);
    while (!waiting) {
        g_autoptr(QDict) stats = query(qts);

        check_sums(stats);
        waiting = total(stats, "waiting-faults");
    }
    rm_set_fault(qts, "delay-us", 0);
    qtest_qmp_eventwait(qts, "DUMP_COMPLETED");
    g_assert_cmpuint(rm_query_member(qts, "waiting-faults"), ==, 0);
    unlink(file);
    qtest_quit(qts);
}

/* No more than is asked for. */
static void test_names(void)
{
    QTestState *qts = rm_start(RAM0);
    g_autoptr(QDict) response = qtest_qmp(qts,
        "{ 'execute': 'query-stats', 'arguments': { 'target': 'vm',"
        "  'providers': [ { 'provider': 'remote-memory',"
        "                   'names': [ 'faults' ] } ] } }");
    QDict *result = qobject_to(QDict,
                               qlist_peek(qdict_get_qlist(response,
                                                          "return")));
    QList *list = qdict_get_qlist(result, "stats");

    g_assert_cmpuint(qlist_size(list), ==, 1);
    g_assert_cmpstr(qdict_get_str(qobject_to(QDict, qlist_peek(list)), "name"),
                    ==, "faults");
    qtest_quit(qts);
}

/* The schema has all that there is, and nothing else. */
static void test_schema(void)
{
    QTestState *qts = rm_start(RAM0);
    g_autoptr(QDict) stats = query(qts);
    g_autoptr(QDict) response = qtest_qmp(qts,
        "{ 'execute': 'query-stats-schemas',"
        "  'arguments': { 'provider': 'remote-memory' } }");
    QDict *schema = qobject_to(QDict,
                               qlist_peek(qdict_get_qlist(response,
                                                          "return")));
    QList *list = qdict_get_qlist(schema, "stats");
    QListEntry *entry;

    g_assert_cmpuint(qlist_size(list), ==, qdict_size(stats));
    QLIST_FOREACH_ENTRY(list, entry) {
        QDict *one = qobject_to(QDict, qlist_entry_obj(entry));
        const char *name = qdict_get_str(one, "name");
        bool histogram = g_str_equal(qdict_get_str(one, "type"),
                                     "log2-histogram");

        g_assert_true(qdict_haskey(stats, name));
        g_assert_cmpint(qobject_type(qdict_get(stats, name)), ==,
                        histogram ? QTYPE_QLIST : QTYPE_QNUM);
    }
    qtest_quit(qts);
}

/* All figures of query-remote-memory, by the names that they have there. */
static void test_same(void)
{
    QTestState *qts = rm_start(RAM0);
    g_autoptr(QDict) stats = query(qts);
    QDict *info = rm_query(qts, "ram0");
    const QDictEntry *entry;

    for (entry = qdict_first(info); entry; entry = qdict_next(info, entry)) {
        if (qobject_type(qdict_entry_value(entry)) == QTYPE_QNUM) {
            g_assert_true(qdict_haskey(stats, qdict_entry_key(entry)));
        }
    }
    qobject_unref(info);
    qtest_quit(qts);
}

/* A VM without remote memory has none of it. */
static void test_without(void)
{
    QTestState *qts = qtest_init("-display none");
    g_autoptr(QDict) response = qtest_qmp(qts,
        "{ 'execute': 'query-stats', 'arguments': { 'target': 'vm',"
        "  'providers': [ { 'provider': 'remote-memory' } ] } }");

    g_assert_true(qlist_empty(qdict_get_qlist(response, "return")));
    qtest_quit(qts);
}

static void test_hmp(void)
{
    QTestState *qts = rm_start(RAM0);
    g_autofree char *text = qtest_hmp(qts, "info stats vm * remote-memory");

    g_assert_nonnull(strstr(text, "fault-latency-remote (log2-histogram"));
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "stats/causes", test_causes },
        { "stats/slow-store", test_slow_store },
        { "stats/waiting", test_waiting },
        { "stats/names", test_names },
        { "stats/schema", test_schema },
        { "stats/same", test_same },
        { "stats/without", test_without },
        { "stats/hmp", test_hmp },
        { }
    };

    return rm_run(argc, argv, tests);
}
