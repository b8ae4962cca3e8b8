/*
 * QTest: a migration that hands pages over, beside memory that it sends
 *
 * The first backend is remote on both sides.  The second one is ordinary at the
 * source, so it is sent, although it is remote at the destination.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"

#define SIZE (32 * MiB)
#define MARKS (2 * PAGE)

/* Pages of each backend that have contents; the first from BASE on. */
#define NR 2048
#define SECOND ((SIZE - BASE) / PAGE)

static char *directory;

static char *in_directory(const char *name)
{
    return g_build_filename(directory, name, NULL);
}

/* Files of pages are for both; they must not be in a cache of this host. */
static QTestState *start_on(const char *stores, const char *second,
                            const char *extra)
{
    g_autofree char *pages = in_directory("pages");
    g_autofree char *more = in_directory("more-pages");

    return qtest_initf(
        "-nodefaults -machine q35 -m 64M -smp 2 "
        "-blockdev driver=file,node-name=pages,filename=%s,locking=off,"
        "cache.direct=on "
        "-blockdev driver=file,node-name=more-pages,filename=%s,locking=off,"
        "cache.direct=on %s "
        "-object memory-backend-remote,id=ram0,size=32M,cache-size=2M,"
        "store=s0 -object %s,id=ram1,size=32M "
        "-numa node,memdev=ram0,cpus=0 -numa node,memdev=ram1,cpus=1 %s",
        pages, more, stores, second, extra);
}

static QTestState *start(const char *second, const char *extra)
{
    return start_on("-object remote-store-block,id=s0,node-name=pages",
                    second, extra);
}

static void wait_status(QTestState *qts, const char *status)
{
    for (;;) {
        QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        QDict *info = qdict_get_qdict(resp, "return");
        const char *now = qdict_get_try_str(info, "status");
        bool done = !g_strcmp0(now, status);

        g_assert(done || g_strcmp0(now, "failed"));
        qobject_unref(resp);
        if (done) {
            return;
        }
        g_usleep(10000);
    }
}

static void set_capability(QTestState *qts, const char *name)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ { "
                             "'capability': %s, 'state': true } ] } }", name);
}

static void begin_migration(QTestState *from, QTestState *to)
{
    g_autofree char *path = in_directory("migration");
    g_autofree char *uri = g_strdup_printf("unix:%s", path);

    set_capability(from, "remote-memory");
    set_capability(to, "remote-memory");
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
}

static void migrate(QTestState *from, QTestState *to)
{
    begin_migration(from, to);
    wait_status(from, "completed");
    wait_status(to, "completed");
}

static void make_file(const char *name)
{
    g_autofree char *path = in_directory(name);
    int fd = open(path, O_CREAT | O_RDWR, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, SIZE + MARKS), ==, 0);
    close(fd);
}

static void make_directory(void)
{
    directory = g_dir_make_tmp("remote-memory-handover-XXXXXX", NULL);
    g_assert_nonnull(directory);
    make_file("pages");
    make_file("more-pages");
}

static void remove_directory(void)
{
    static const char *const names[] = { "pages", "more-pages", "migration" };

    for (int i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *path = in_directory(names[i]);

        unlink(path);
    }
    g_assert_cmpint(rmdir(directory), ==, 0);
    g_free(g_steal_pointer(&directory));
}

static void check(QTestState *qts, unsigned version)
{
    rm_check_pages(qts, 0, NR, version);
    rm_check_pages(qts, SECOND, NR, version);
}

/* What was sent must not be forgotten when the map comes. */
static void test_mixed(void)
{
    QTestState *from, *to;

    make_directory();
    from = start("memory-backend-ram", "");
    to = start("memory-backend-remote,cache-size=2M", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    rm_write_pages(from, SECOND, NR, 1);
    migrate(from, to);
    check(to, 1);
    rm_write_pages(to, 0, NR, 2);
    rm_write_pages(to, SECOND, NR, 2);
    check(to, 2);
    rm_check_sane(to);
    qtest_quit(from);
    check(to, 2);
    qtest_quit(to);
    remove_directory();
}

/*
 * Devices that are saved before all others, as bridges are.  Parts of the map
 * must not be taken for theirs.
 */
static void test_bridge(void)
{
    QTestState *from, *to;

    make_directory();
    from = start("memory-backend-ram", "-device pcie-root-port");
    to = start("memory-backend-remote,cache-size=2M",
               "-device pcie-root-port -incoming defer");
    rm_write_pages(from, 0, NR, 1);
    migrate(from, to);
    rm_check_pages(to, 0, NR, 1);
    rm_check_sane(to);
    qtest_quit(from);
    qtest_quit(to);
    remove_directory();
}

/* Who has given its pages away must not move or hand them over. */
static void test_gone(void)
{
    QTestState *from, *to;

    make_directory();
    from = start("memory-backend-ram", "");
    to = start("memory-backend-ram", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    migrate(from, to);
    qtest_qmp_assert_success(from, "{ 'execute': 'object-add', 'arguments': "
                             "{ 'qom-type': 'remote-store-ram', "
                             "'id': 's1' } }");
    rm_assert_error(from, "GenericError", "hands its pages over",
                    qdict_from_jsonf_nofail("{ 'id': 'ram0', 'store': 's1', "
                                            "'job-id': 'j0' }"),
                    "remote-memory-set-store");
    qtest_quit(from);
    rm_check_pages(to, 0, NR, 1);
    qtest_quit(to);
    remove_directory();
}

/* Postcopy, which does not begin before it is told to: too much is local. */
static void hold_migration(QTestState *from, QTestState *to)
{
    set_capability(from, "postcopy-ram");
    set_capability(to, "postcopy-ram");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'downtime-limit': 1, "
                             "'avail-switchover-bandwidth': 1000000 } }");
    begin_migration(from, to);
    while (!rm_query_member(to, "remote-size")) {
        g_usleep(10000);
    }
}

/* Who looks at a page that has not come sees zeros, and does no harm. */
static void peek(QTestState *qts, uint64_t nr)
{
    static const uint8_t zeros[PAGE];
    uint8_t page[PAGE];

    for (uint64_t i = 0; i < nr; i++) {
        qtest_memread(qts, BASE + i * PAGE, page, PAGE);
        g_assert(!memcmp(page, zeros, PAGE));
    }
}

/*
 * The map is said ahead.  What changes afterwards is said again: pages that are
 * written, and those that are written back and fetched because of that.
 */
static void test_ahead(void)
{
    QTestState *from, *to;

    make_directory();
    from = start("memory-backend-ram", "");
    to = start("memory-backend-ram", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    hold_migration(from, to);
    peek(to, NR);
    rm_write_pages(from, NR / 4, NR / 2, 2);
    peek(to, NR);
    qtest_qmp_assert_success(from,
                             "{ 'execute': 'migrate-start-postcopy' }");
    wait_status(from, "completed");
    wait_status(to, "completed");
    rm_check_pages(to, 0, NR / 4, 1);
    rm_check_pages(to, NR / 4, NR / 2, 2);
    rm_check_pages(to, NR / 4 * 3, NR / 4, 1);
    rm_check_sane(to);
    qtest_quit(from);
    rm_write_pages(to, 0, NR, 3);
    rm_check_pages(to, 0, NR, 3);
    rm_check_sane(to);
    qtest_quit(to);
    remove_directory();
}

/* What stands on other stores hands over what it knows, and they do so, too. */
static void test_filters(const char *filter)
{
    g_autofree char *stores = g_strdup_printf(
        "-object remote-store-block,id=b0,node-name=pages "
        "-object remote-store-block,id=b1,node-name=more-pages "
        "-object %s,id=f0,stores=b0,stores=b1 "
        "-object remote-store-crypt,id=s0,store=f0", filter);
    QTestState *from, *to;

    make_directory();
    from = start_on(stores, "memory-backend-ram", "");
    to = start_on(stores, "memory-backend-ram", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    migrate(from, to);
    rm_check_pages(to, 0, NR, 1);
    rm_write_pages(to, 0, NR, 2);
    qtest_quit(from);
    rm_check_pages(to, 0, NR, 2);
    rm_check_sane(to);
    qtest_quit(to);
    remove_directory();
}

static void test_stripe(void)
{
    test_filters("remote-store-stripe");
}

static void test_mirror(void)
{
    test_filters("remote-store-mirror");
}

/* If one of the stores behind cannot, the error has to say which. */
static void test_cannot(void)
{
    QTestState *from;

    make_directory();
    from = start_on("-object remote-store-block,id=b0,node-name=pages "
                    "-object remote-store-ram,id=r0 "
                    "-object remote-store-mirror,id=f0,stores=b0,stores=r0 "
                    "-object remote-store-crypt,id=s0,store=f0",
                    "memory-backend-ram", "");
    set_capability(from, "remote-memory");
    rm_assert_error(from, "GenericError", "store 'r0'",
                    qdict_from_jsonf_nofail("{ 'uri': 'unix:none' }"),
                    "migrate");
    rm_write_pages(from, 0, NR, 1);
    rm_check_pages(from, 0, NR, 1);
    qtest_quit(from);
    remove_directory();
}

/* What a VM's state does not tell: that it is migrated, and not saved. */
static void test_paused(void)
{
    QTestState *from, *to;

    make_directory();
    from = start("memory-backend-ram", "");
    to = start("memory-backend-ram", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    qtest_qmp_assert_success(from, "{ 'execute': 'stop' }");
    migrate(from, to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    /* They have not been sent. */
    g_assert_cmpuint(rm_query_member(to, "remote-size"), >, NR / 2 * PAGE);
    rm_check_pages(to, 0, NR, 1);
    rm_check_sane(to);
    qtest_quit(from);
    qtest_quit(to);
    remove_directory();
}

/* The same if its pages cannot be handed over: that is known a little later. */
static void test_paused_cannot(void)
{
    QTestState *from;

    make_directory();
    from = start_on("-object remote-store-ram,id=s0", "memory-backend-ram",
                    "");
    rm_write_pages(from, 0, NR, 1);
    set_capability(from, "remote-memory");
    qtest_qmp_assert_success(from, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': 'exec:cat > /dev/null' } }");
    wait_status(from, "failed");
    rm_check_pages(from, 0, NR, 1);
    rm_check_sane(from);
    qtest_quit(from);
    remove_directory();
}

/* Who expects a hand-over must not use the source's store as its own. */
static void test_one_sided(void)
{
    g_autofree char *path = NULL, *uri = NULL;
    QTestState *from, *to;

    make_directory();
    path = in_directory("migration");
    uri = g_strdup_printf("unix:%s", path);
    from = start("memory-backend-ram", "");
    to = start("memory-backend-ram", "-incoming defer");
    rm_write_pages(from, 0, NR, 1);
    set_capability(to, "remote-memory");
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': false } }", uri);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
    wait_status(to, "failed");
    g_assert_cmpuint(rm_query_member(to, "written-pages"), ==, 0);
    wait_status(from, "failed");
    rm_check_pages(from, 0, NR, 1);
    qtest_quit(to);
    qtest_quit(from);
    remove_directory();
}

static bool has_capability(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': "
                            "'query-migrate-capabilities' }");
    const QListEntry *entry;
    bool on = false;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(resp, "return"), entry) {
        QDict *item = qobject_to(QDict, qlist_entry_obj(entry));

        on = on || (g_str_equal(qdict_get_str(item, "capability"),
                                "remote-memory") &&
                    qdict_get_bool(item, "state"));
    }
    qobject_unref(resp);
    return on;
}

/* On from the start, for who starts QEMU and does not know the capability. */
static void test_option(void)
{
    QTestState *qts = qtest_init("-machine none");

    g_assert_false(has_capability(qts));
    qtest_quit(qts);
    qts = qtest_init("-machine none -global migration.remote-memory=on");
    g_assert_true(has_capability(qts));
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "handover/mixed", test_mixed },
        { "handover/bridge", test_bridge },
        { "handover/ahead", test_ahead },
        { "handover/gone", test_gone },
        { "handover/stripe", test_stripe },
        { "handover/mirror", test_mirror },
        { "handover/cannot", test_cannot },
        { "handover/paused", test_paused },
        { "handover/paused-cannot", test_paused_cannot },
        { "handover/one-sided", test_one_sided },
        { "handover/option", test_option },
        { }
    };

    return rm_run(argc, argv, tests);
}
