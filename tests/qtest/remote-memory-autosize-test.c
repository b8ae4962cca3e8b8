/*
 * QTest: memory-backend-remote, a cache that is sized by itself
 *
 * How well that is done is for test-remote-autosize.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define SIZED RAM0 ",auto-size=on"

/* So long is waited for what takes seconds. */
#define PATIENCE_S 120

/* What one thread has is more than what several have of it each. */
#define ONE_THREAD "-object iothread,id=io0 " SIZED ",iothreads=io0"

/* Thousands of pages, of which few fit. */
#define NR_PAGES (32 * MiB / PAGE)

static QDict *set_args(const char *property, uint64_t value)
{
    return qdict_from_jsonf_nofail("{ 'path': '/objects/ram0', 'property': %s,"
                                   " 'value': %" PRIu64 " }", property, value);
}

static void set(QTestState *qts, const char *property, uint64_t value)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': %p }",
                             set_args(property, value));
}

static void set_auto_size(QTestState *qts, bool on)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/ram0', 'property': "
                             "'auto-size', 'value': %i } }", on);
}

/* A figure of what is said of it, or -1 if it is not on. */
static int64_t query(QTestState *qts, const char *member)
{
    QDict *info = rm_query(qts, "ram0");
    QDict *auto_size = qdict_get_qdict(info, "auto-size");
    int64_t value = auto_size ? qdict_get_int(auto_size, member) : -1;

    qobject_unref(info);
    return value;
}

/* If this fails, a mistake in the options has an effect that nobody wanted. */
static void test_options(void)
{
    rm_assert_no_start(SIZED ",max-cache-size=65M",
                       "memory backend 'ram0': property 'max-cache-size' "
                       "cannot be 68157440: it is above 'size', 67108864\n"
                       "It can be a multiple of 4096 from ");
    rm_assert_no_start(SIZED ",max-cache-size=32M,min-cache-size=33M",
                       "memory backend 'ram0': property 'min-cache-size' "
                       "cannot be 34603008: it is above 'max-cache-size', "
                       "33554432\nIt can be a multiple of 4096 from ");
    rm_assert_no_start(RAM0 ",min-cache-size=4K",
                       "property 'min-cache-size' cannot be 4096: it is below "
                       "what the pager threads need, ");
    rm_assert_no_start(SIZED ",min-cache-size=1048577",
                       "cannot be 1048577: it is no multiple of 4096\n");
    rm_assert_no_start(SIZED ",max-cache-size=32M,cache-size=33M",
                       "property 'cache-size' cannot be 34603008: it is above "
                       "'max-cache-size', 33554432\n");
    rm_assert_no_start(SIZED ",min-cache-size=32M,cache-size=31M",
                       "property 'cache-size' cannot be 32505856: it is below "
                       "'min-cache-size', 33554432\n");
    rm_assert_no_start(SIZED ",auto-size-target=0",
                       "memory backend 'ram0': property 'auto-size-target' "
                       "cannot be 0: it is not from 1 to 900\nIt is in "
                       "thousandths: 50 is a twentieth of the guest's time.");
    rm_assert_no_start(SIZED ",auto-size-target=901",
                       "property 'auto-size-target' cannot be 901");
}

/* If this fails, nobody can see or change how it is done. */
static void test_properties(void)
{
    QTestState *qts = rm_start(SIZED);

    g_assert_cmpint(query(qts, "min-cache-size"), ==, 4 * MiB);
    g_assert_cmpint(query(qts, "max-cache-size"), ==, 64 * MiB);
    g_assert_cmpint(query(qts, "target"), ==, 50);
    set(qts, "max-cache-size", 32 * MiB);
    set(qts, "min-cache-size", 32 * MiB);
    set(qts, "auto-size-target", 900);
    g_assert_cmpint(query(qts, "min-cache-size"), ==, 32 * MiB);
    g_assert_cmpint(query(qts, "max-cache-size"), ==, 32 * MiB);
    g_assert_cmpint(query(qts, "target"), ==, 900);
    rm_assert_error(qts, "GenericError", "'max-cache-size' cannot be 4096: it "
                    "is below 'min-cache-size', 33554432",
                    set_args("max-cache-size", 4096), "qom-set");
    rm_assert_error(qts, "GenericError", "'min-cache-size' cannot be 33554433",
                    set_args("min-cache-size", 32 * MiB + 1), "qom-set");
    rm_assert_error(qts, "GenericError", "'min-cache-size' cannot be 67108864",
                    set_args("min-cache-size", 64 * MiB), "qom-set");
    rm_assert_error(qts, "GenericError", "'auto-size-target' cannot be 0",
                    set_args("auto-size-target", 0), "qom-set");
    g_assert_cmpint(query(qts, "min-cache-size"), ==, 32 * MiB);
    g_assert_cmpint(query(qts, "target"), ==, 900);
    set_auto_size(qts, false);
    g_assert_cmpint(query(qts, "target"), ==, -1);
    qtest_quit(qts);
}

/* If this fails, two set the size, and undo what the other has done. */
static void test_refuses(void)
{
    QTestState *qts = rm_start(SIZED ",cache-size=48M,min-cache-size=48M");
    QDict *args = qdict_from_jsonf_nofail("{ 'id': 'ram0', 'cache-size': "
                                          "1048576 }");

    rm_assert_error(qts, "GenericError", "'cache-size' cannot be 1048576 now: "
                    "'auto-size' is on", args, "remote-memory-set-cache-size");
    rm_assert_error(qts, "GenericError", "'auto-size' is on",
                    set_args("cache-size", MiB), "qom-set");
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 48 * MiB);
    set_auto_size(qts, false);
    rm_resize(qts, 1 * MiB);
    /* What is too small is not any more, at once. */
    set_auto_size(qts, true);
    qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 48 * MiB);
    qtest_quit(qts);
}

/* If this fails, an idle guest keeps what others need. */
static void test_idle(void)
{
    QTestState *qts = rm_start(ONE_THREAD);

    rm_write_pages(qts, 0, NR_PAGES, 1);
    for (int i = 0; i < 2; i++) {
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    }
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), <, 63 * MiB);
    /* What the user sets holds at once, however much it is. */
    set(qts, "max-cache-size", 8 * MiB);
    qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    while (rm_query_member(qts, "cache-size") > 8 * MiB) {
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    }
    rm_check_sane(qts);
    rm_check_pages(qts, 0, NR_PAGES, 1);
    qtest_quit(qts);
}

/* If this fails, a guest that has become busy thrashes. */
static void test_busy(void)
{
    QTestState *qts = rm_start(FAULTY ONE_THREAD ",store=f0,cache-size=1M,"
                               "min-cache-size=1M,max-cache-size=8M,"
                               "auto-size-target=1,prefetch=off");
    gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
    unsigned version = 1;

    rm_set_fault(qts, "delay-us", 2000);
    rm_write_pages(qts, 0, NR_PAGES / 16, version);
    while (rm_query_member(qts, "cache-size") < 3 * MiB / 2) {
        rm_check_pages(qts, 0, NR_PAGES / 16, version);
        rm_write_pages(qts, 0, NR_PAGES / 16, ++version);
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    }
    g_assert_cmpint(query(qts, "waited"), >=, 0);
    rm_check_pages(qts, 0, NR_PAGES / 16, version);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* So long, there are two steps down if there is anything to decide. */
#define QUIET_US (7 * G_USEC_PER_SEC)

/* Nothing is decided for some time, and then again. */
static void check_rest(QTestState *qts, void (*end)(QTestState *qts))
{
    uint64_t size = rm_query_member(qts, "cache-size");

    g_usleep(QUIET_US);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, size);
    end(qts);
    while (rm_query_member(qts, "cache-size") >= size) {
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    }
}

static void cont(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
}

/* If this fails, a VM that was paused over night has lost its cache. */
static void test_paused(void)
{
    QTestState *qts = rm_start(ONE_THREAD);

    rm_write_pages(qts, 0, NR_PAGES, 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    check_rest(qts, cont);
    rm_check_pages(qts, 0, NR_PAGES, 1);
    qtest_quit(qts);
}

/* Pause for a moment again and again.  Returns: the longest time between. */
static gint64 pause_often(QTestState *qts)
{
    gint64 now = g_get_monotonic_time(), end = now + QUIET_US, longest = 0;

    while (now < end) {
        gint64 before = now;

        qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
        cont(qts);
        g_usleep(10000);
        now = g_get_monotonic_time();
        longest = MAX(longest, now - before);
    }
    return longest;
}

/*
 * If this fails, a pause between two looks counts as time in which the guest
 * had no need of pages.
 */
static void test_paused_often(void)
{
    QTestState *qts = rm_start(ONE_THREAD);
    uint64_t size = rm_query_member(qts, "cache-size");

    if (pause_often(qts) < G_USEC_PER_SEC / 2) {
        g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, size);
    } else {
        g_test_skip("this machine is too busy to do so between two looks");
    }
    qtest_quit(qts);
}

static void repair(QTestState *qts)
{
    rm_set_fault(qts, "error-rate", 0);
}

static void repair_and_cont(QTestState *qts)
{
    repair(qts);
    cont(qts);
}

static void check_lost_store(const char *on_error, const char *status,
                             void (*end)(QTestState *qts))
{
    g_autofree char *objects =
        g_strdup_printf(FAULTY ONE_THREAD ",cache-size=8M,min-cache-size=1M,"
                        "store=f0,on-error=%s", on_error);
    QTestState *qts = rm_start(objects);
    uint64_t nr;

    rm_set_fault(qts, "error-rate", 1);
    nr = rm_write_until_error(qts, 0, 1);
    qtest_qmp_eventwait(qts, "REMOTE_MEMORY_ERROR");
    rm_wait_status(qts, status);
    check_rest(qts, end);
    rm_check_pages(qts, 0, nr, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, the cache of a VM whose store is lost is sized by chance. */
static void test_lost_store(void)
{
    check_lost_store("stop", "io-error", repair_and_cont);
    check_lost_store("report", "running", repair);
}

/*
 * If this fails, a store that fails now and then makes the cache grow: half of
 * the requests are tried again after a tenth of a second, and all that is
 * waited is that.
 */
static void test_shaky_store(void)
{
    QTestState *qts = rm_start(FAULTY ONE_THREAD ",store=f0,cache-size=1M,"
                               "min-cache-size=1M,auto-size-target=800,"
                               "prefetch=off");
    unsigned nr = 512;

    rm_write_pages(qts, 0, nr, 1);
    rm_set_fault(qts, "error-rate", 0.3);
    rm_check_pages(qts, 0, nr / 2, 1);
    g_assert_cmpuint(rm_query_member(qts, "errors"), >=, 10);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 1 * MiB);
    rm_set_fault(qts, "error-rate", 0);
    rm_check_pages(qts, 0, nr, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/*
 * If this fails, an evacuation is undone while it is made, or for ever is what
 * the guest may have.
 */
static void test_evacuate(void)
{
    QTestState *qts = rm_start(FAULTY ONE_THREAD ",store=f0,"
                               "min-cache-size=8M");
    QDict *args = qdict_from_jsonf_nofail("{ 'id': 'ram0', 'cache-size': "
                                          "16777216 }");
    char *error;

    rm_write_pages(qts, 0, NR_PAGES, 1);
    /* It takes a while. */
    rm_set_fault(qts, "delay-us", 20000);
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-evacuate', "
                             "'arguments': { 'id': 'ram0', 'job-id': 'j0' } "
                             "}");
    rm_assert_error(qts, "GenericError", "a job evacuates the cache", args,
                    "remote-memory-set-cache-size");
    error = rm_job_end(qts, "j0");
    g_assert_null(error);
    rm_set_fault(qts, "delay-us", 0);
    while (rm_query_member(qts, "cache-size") < 8 * MiB) {
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    }
    /* The bound is as before, but nothing comes back by itself. */
    g_assert_cmpuint(rm_query_member(qts, "resident-size"), <=, 2 * MiB);
    rm_check_sane(qts);
    rm_check_pages(qts, 0, NR_PAGES, 1);
    qtest_quit(qts);
}

/* If this fails, a VM that was evacuated to be moved gets its cache back. */
static void test_evacuate_paused(void)
{
    QTestState *qts = rm_start(ONE_THREAD);
    uint64_t size;
    char *error;

    rm_write_pages(qts, 0, NR_PAGES, 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-evacuate', "
                             "'arguments': { 'id': 'ram0', 'job-id': 'j0' } "
                             "}");
    error = rm_job_end(qts, "j0");
    g_assert_null(error);
    size = rm_query_member(qts, "cache-size");
    g_assert_cmpuint(size, ==, 128 * KiB);
    g_usleep(QUIET_US / 2);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, size);
    cont(qts);
    while (rm_query_member(qts, "cache-size") < 4 * MiB) {
        qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    }
    rm_check_pages(qts, 0, NR_PAGES, 1);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "autosize/options", test_options },
        { "autosize/properties", test_properties },
        { "autosize/refuses", test_refuses },
        { "autosize/idle", test_idle },
        { "autosize/busy", test_busy },
        { "autosize/paused", test_paused },
        { "autosize/paused-often", test_paused_often },
        { "autosize/lost-store", test_lost_store },
        { "autosize/shaky-store", test_shaky_store },
        { "autosize/evacuate", test_evacuate },
        { "autosize/evacuate-paused", test_evacuate_paused },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
