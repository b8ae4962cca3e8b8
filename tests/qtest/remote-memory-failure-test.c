/*
 * QTest: memory-backend-remote, stores that fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "remote-memory-lib.h"

static void wait_error(QTestState *qts, const char *action)
{
    QDict *event = qtest_qmp_eventwait_ref(qts, "REMOTE_MEMORY_ERROR");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "ram0");
    g_assert_cmpstr(qdict_get_str(data, "store"), ==, "f0");
    g_assert_cmpstr(qdict_get_str(data, "operation"), ==, "write");
    g_assert_cmpstr(qdict_get_str(data, "action"), ==, action);
    g_assert_cmpstr(qdict_get_str(data, "reason"), !=, "");
    qobject_unref(event);
}

/* If this fails, a VM runs on while its memory cannot be written. */
static void test_error_stop(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 ",cache-size=8M,store=f0");
    uint64_t nr;

    rm_set_fault(qts, "error-rate", 1);
    nr = rm_write_until_error(qts, 0, 1);
    wait_error(qts, "stop");
    rm_wait_status(qts, "io-error");
    rm_check_pages(qts, 0, nr, 1);
    /* As long as nothing is repaired, going on leads back here. */
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    rm_write_until_error(qts, nr, 1);
    wait_error(qts, "stop");
    rm_wait_status(qts, "io-error");
    rm_set_fault(qts, "error-rate", 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    rm_wait_status(qts, "running");
    rm_write_pages(qts, 0, 32 * MiB / PAGE, 2);
    rm_check_pages(qts, 0, 32 * MiB / PAGE, 2);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, on-error=report stops the VM, or says nothing. */
static void test_error_report(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 ",cache-size=8M,store=f0,"
                            "on-error=report");
    uint64_t nr;

    rm_set_fault(qts, "drop-rate", 1);
    nr = rm_write_until_error(qts, 0, 1);
    wait_error(qts, "report");
    rm_wait_status(qts, "running");
    rm_set_fault(qts, "drop-rate", 0);
    rm_check_pages(qts, 0, nr, 1);
    rm_write_pages(qts, 0, 32 * MiB / PAGE, 2);
    rm_check_pages(qts, 0, 32 * MiB / PAGE, 2);
    qtest_quit(qts);
}

/*
 * If this fails, a store that is full loses what it has no room for.  Of the
 * pages, the last ones are local: reading all would need room again.
 */
static void test_full_store(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=f0,max-size=1M "
                            RAM0 ",cache-size=8M,store=f0");
    uint64_t nr = rm_write_until_error(qts, 0, 1);

    wait_error(qts, "stop");
    rm_wait_status(qts, "io-error");
    rm_check_pages(qts, 0, 8, 1);
    rm_check_pages(qts, nr - 1700, 1700, 1);
    qtest_quit(qts);
}

/* A page that was never written to. */
static void read_zeros(QTestState *qts, uint64_t index)
{
    g_assert_cmpint(qtest_readb(qts, BASE + 16 * MiB + index * PAGE), ==, 0);
}

/*
 * If this fails, who waits for room waits for ever, once the page that could
 * not be written is used again and nothing else has to be written: what is in
 * standby could make room, and nobody looks.
 */
static void test_nothing_to_write(void)
{
    QTestState *qts = rm_start(FAULTY RAM0 ",cache-size=128K,store=f0,"
                               "prefetch=off");
    uint64_t nr = 0, end = 100;

    /* Whatever was local is written. */
    while (nr < end) {
        read_zeros(qts, nr++);
    }
    rm_set_fault(qts, "error-rate", 1);
    rm_write_pages(qts, 1, 1, 1);
    while (!rm_query_member(qts, "errors")) {
        read_zeros(qts, nr++);
    }
    /* Before the next try, on a machine that is not too busy. */
    rm_check_pages(qts, 1, 1, 1);
    end = nr + 24;
    while (nr < end) {
        read_zeros(qts, nr++);
    }
    rm_set_fault(qts, "error-rate", 0);
    rm_check_pages(qts, 1, 1, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "failure/stop", test_error_stop },
        { "failure/report", test_error_report },
        { "failure/full-store", test_full_store },
        { "failure/nothing-to-write", test_nothing_to_write },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
