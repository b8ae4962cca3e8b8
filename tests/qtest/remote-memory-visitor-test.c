/*
 * QTest: memory-backend-remote, threads that read all of memory once
 *
 * What the guest works with stays local while a migration, a dump or a snapshot
 * reads everything else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"
#include "remote-memory-set.h"

/* Ways to read all of memory */

static bool migration_goes_on(QTestState *qts)
{
    QDict *resp = qtest_qmp_assert_success_ref(qts,
                                               "{ 'execute': "
                                               "'query-migrate' }");
    const char *status = qdict_get_str(resp, "status");
    bool done = !strcmp(status, "completed");

    g_assert_cmpstr(status, !=, "failed");
    qobject_unref(resp);
    return !done;
}

static void start_migration(QTestState *qts, const char *uri)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
}

static void migrate(QTestState *qts, const char *uri)
{
    start_migration(qts, uri);
    while (migration_goes_on(qts)) {
        g_usleep(10000);
    }
}

static void migrate_only(QTestState *qts)
{
    g_autofree char *file = rm_temp_file();
    g_autofree char *uri = g_strdup_printf("file:%s", file);

    migrate(qts, uri);
    unlink(file);
}

/* Each page is in the file, or the VM that reads it notices. */
static void check_file(const char *uri, bool multifd)
{
    QTestState *qts = rm_start("-object memory-backend-ram,id=ram0,size=64M "
                               "-incoming defer");

    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ "
                             "{ 'capability': 'mapped-ram', 'state': %i }, "
                             "{ 'capability': 'multifd', 'state': %i } ] } }",
                             multifd, multifd);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    while (migration_goes_on(qts)) {
        g_usleep(10000);
    }
    rm_check_pages(qts, 0, SET_TOTAL, 1);
    qtest_quit(qts);
}

static void migrate_to_file(QTestState *qts)
{
    g_autofree char *file = rm_temp_file();
    g_autofree char *uri = g_strdup_printf("file:%s", file);

    migrate(qts, uri);
    check_file(uri, false);
    unlink(file);
}

static void migrate_by_multifd(QTestState *qts)
{
    g_autofree char *file = rm_temp_file();
    g_autofree char *uri = g_strdup_printf("file:%s", file);

    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ "
                             "{ 'capability': 'mapped-ram', 'state': true }, "
                             "{ 'capability': 'multifd', 'state': true } ] } }");
    migrate(qts, uri);
    check_file(uri, true);
    unlink(file);
}

/* Not to /dev/null, for which the kernel does not read anything. */
static void dump_to_file(QTestState *qts, bool detach)
{
    g_autofree char *file = rm_temp_file();
    g_autofree char *protocol = g_strdup_printf("file:%s", file);

    qtest_qmp_assert_success(qts, "{ 'execute': 'dump-guest-memory', "
                             "'arguments': { 'paging': false, "
                             "'detach': %i, 'protocol': %s } }", detach,
                             protocol);
    if (detach) {
        qtest_qmp_eventwait(qts, "DUMP_COMPLETED");
    }
    unlink(file);
}

static void dump(QTestState *qts)
{
    dump_to_file(qts, false);
}

static void dump_detached(QTestState *qts)
{
    dump_to_file(qts, true);
}

static void snapshot(QTestState *qts)
{
    g_autofree char *answer = qtest_hmp(qts, "savevm one");

    g_assert_cmpstr(answer, ==, "");
}

/* Tests */

static void check_set_stays(const char *objects, RmVisit *visit)
{
    QTestState *qts = rm_start(objects);

    rm_set_work(qts, SET_TOTAL);
    /* It did read a lot: every fifth page is zero, and some were local. */
    rm_set_check_stays(qts, visit, SET_TOTAL / 2);
    qtest_quit(qts);
}

/* If this fails, a migration costs the guest what it had in its cache. */
static void test_migration(void)
{
    check_set_stays(RAM0 ",cache-size=" SET_CACHE, migrate_only);
}

/* The same where nothing is read ahead for the migration. */
static void test_no_prefetch(void)
{
    check_set_stays(RAM0 ",prefetch=off,cache-size=" SET_CACHE,
                    migrate_only);
}

/* If this fails, what is sent is not what was there. */
static void test_file(void)
{
    check_set_stays(RAM0 ",cache-size=" SET_CACHE, migrate_to_file);
}

/* If this fails, the same is true of several threads that send. */
static void test_multifd(void)
{
    check_set_stays(RAM0 ",cache-size=" SET_CACHE, migrate_by_multifd);
}

/* If this fails, pager threads take each other's visitors for the guest. */
static void test_shards(void)
{
    check_set_stays("-object iothread,id=io0 -object iothread,id=io1 "
                    RAM0 ",iothreads=io0,iothreads=io1,cache-size=" SET_CACHE,
                    migrate_only);
}

/* If this fails, a dump costs the guest what it had in its cache. */
static void test_dump(void)
{
    check_set_stays(RAM0 ",cache-size=" SET_CACHE, dump);
}

static void test_dump_detached(void)
{
    check_set_stays(RAM0 ",cache-size=" SET_CACHE, dump_detached);
}

/* If this fails, a snapshot does. */
static void test_snapshot(void)
{
    g_autofree char *file = rm_temp_file(), *args = NULL;

    if (!have_qemu_img()) {
        g_test_skip("there is no qemu-img");
        return;
    }
    g_assert_true(mkimg(file, "qcow2", 1));
    args = g_strdup_printf("-blockdev driver=file,node-name=f0,filename=%s "
                           "-blockdev driver=qcow2,node-name=q0,file=f0 "
                           "-device virtio-blk-pci,drive=q0 "
                           RAM0 ",cache-size=" SET_CACHE, file);
    check_set_stays(args, snapshot);
    unlink(file);
}

/*
 * The guest reads and writes, here and there, while everything is read.  If
 * this fails, a page is lost between a visitor and the guest.
 */
static void check_busy(const char *objects, bool fails)
{
    g_autofree uint8_t *versions = g_new0(uint8_t, SET_TOTAL);
    QTestState *qts = rm_start(objects);

    rm_write_pages(qts, 0, SET_TOTAL, 0);
    for (int round = 0; round < (fails ? 1 : 3); round++) {
        start_migration(qts, "exec:cat > /dev/null");
        while (migration_goes_on(qts)) {
            for (int i = 0; i < 200; i++) {
                uint32_t page = g_test_rand_int_range(0, SET_TOTAL);

                rm_check_pages(qts, page, 1, versions[page]);
                if (i % 3 == 0) {
                    rm_write_pages(qts, page, 1, ++versions[page]);
                }
            }
        }
        rm_check_sane(qts);
        qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    }
    for (uint32_t i = 0; i < SET_TOTAL; i++) {
        rm_check_pages(qts, i, 1, versions[i]);
    }
    g_assert_cmpuint(rm_query_member(qts, "visited-pages"), >, 0);
    g_assert_cmpint(rm_query_member(qts, "errors") > 0, ==, fails);
    rm_check_sane(qts);
    qtest_quit(qts);
}

static void test_busy(void)
{
    check_busy(RAM0 ",cache-size=" SET_CACHE, false);
}

/* The same where there is hardly room for a visitor. */
static void test_busy_180_pages(void)
{
    check_busy(RAM0 ",cache-size=737280", false);
}

/* The same where answers come late, so that both wait for one page. */
static void test_busy_slow_store(void)
{
    check_busy("-object remote-store-ram,id=s0 "
               "-object remote-store-fault,id=f0,store=s0,delay-us=50 "
               RAM0 ",store=f0,cache-size=" SET_CACHE, false);
}

/*
 * The same where a page cannot be had now and then, and the next to ask for it
 * is somebody else.
 */
static void test_busy_failing_store(void)
{
    check_busy("-object remote-store-ram,id=s0 -object remote-store-fault,"
               "id=f0,store=s0,error-rate=0.002 " RAM0 ",store=f0,"
               "on-error=report,cache-size=" SET_CACHE, true);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "visitor/migration", test_migration },
        { "visitor/no-prefetch", test_no_prefetch },
        { "visitor/file", test_file },
        { "visitor/multifd", test_multifd },
        { "visitor/shards", test_shards },
        { "visitor/dump", test_dump },
        { "visitor/dump-detached", test_dump_detached },
        { "visitor/snapshot", test_snapshot },
        { "visitor/busy", test_busy },
        { "visitor/busy-180-pages", test_busy_180_pages },
        { "visitor/busy-slow-store", test_busy_slow_store },
        { "visitor/busy-failing-store", test_busy_failing_store },
        { }
    };

    return rm_run(argc, argv, tests);
}
