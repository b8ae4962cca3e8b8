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

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "autosize/options", test_options },
        { "autosize/properties", test_properties },
        { "autosize/refuses", test_refuses },
        { "autosize/idle", test_idle },
        { "autosize/busy", test_busy },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
