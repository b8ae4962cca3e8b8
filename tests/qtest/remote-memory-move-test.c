/*
 * QTest: memory-backend-remote, pages move to another store
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"

#define NR (32 * MiB / PAGE)
#define CACHED RAM0 ",cache-size=2M,store=s0"
#define TWO_STORES "-object remote-store-ram,id=s0 " \
                   "-object remote-store-ram,id=s1,compress=lz4 "

static QDict *move_arguments(const char *store)
{
    return qdict_from_jsonf_nofail("{'id':'ram0','store':%s,'job-id':'move0'}",
                                   store);
}

static void move_start(QTestState *qts, const char *store)
{
    qtest_qmp_assert_success(qts, "{'execute':'remote-memory-set-store',"
                             "'arguments':%p}", move_arguments(store));
}

static char *move_end(QTestState *qts)
{
    return rm_job_end(qts, "move0");
}

static uint64_t store_pages(QTestState *qts, const char *id)
{
    QDict *response = qtest_qmp(qts, "{'execute':'query-remote-stores'}");
    uint64_t pages = UINT64_MAX;
    const QListEntry *e;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(response, "return"), e) {
        QDict *store = qobject_to(QDict, qlist_entry_obj(e));

        if (!strcmp(qdict_get_str(store, "id"), id)) {
            pages = qdict_get_int(store, "pages");
        }
    }
    qobject_unref(response);
    return pages;
}

static void assert_store(QTestState *qts, const char *id)
{
    QDict *info = rm_query(qts, "ram0");

    g_assert_cmpstr(qdict_get_str(info, "store"), ==, id);
    qobject_unref(info);
}

/* If this fails, pages are lost, or left behind, on their way. */
static void test_move(void)
{
    QTestState *qts = rm_start(TWO_STORES CACHED);

    rm_write_pages(qts, 0, NR, 1);
    move_start(qts, "s1");
    rm_check_pages(qts, 0, NR, 1);
    rm_write_pages(qts, NR / 2, NR / 2, 2);
    g_assert_null(move_end(qts));
    assert_store(qts, "s1");
    g_assert_cmpuint(store_pages(qts, "s0"), ==, 0);
    g_assert_cmpuint(store_pages(qts, "s1"), >, NR / 2);
    rm_check_pages(qts, 0, NR / 2, 1);
    rm_check_pages(qts, NR / 2, NR / 2, 2);
    rm_check_sane(qts);
    /* Nobody uses it any more. */
    qtest_qmp_assert_success(qts, "{'execute':'object-del','arguments':"
                             "{'id':'s0'}}");
    rm_write_pages(qts, 0, NR, 3);
    rm_check_pages(qts, 0, NR, 3);
    g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

/* If this fails, the store that a backend has by itself cannot be left. */
static void test_move_from_default(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=s1 "
                               RAM0 ",cache-size=2M");

    rm_write_pages(qts, 0, NR, 1);
    move_start(qts, "s1");
    g_assert_null(move_end(qts));
    assert_store(qts, "s1");
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/*
 * If this fails, there is a moment at which something is lost: to and fro,
 * while pages change, and sometimes only half of the way.
 */
static void test_move_often(void)
{
    QTestState *qts = rm_start("-object iothread,id=io0 "
                               "-object iothread,id=io1 "
                               "-object remote-store-ram,id=s0 "
                               "-object remote-store-ram,id=r1 "
                               "-object remote-store-fault,id=s1,store=r1,"
                               "delay-us=100 "
                               CACHED ",iothreads=io0,iothreads=io1");
    unsigned versions[8] = { 0 };
    const char *ids[] = { "s0", "s1" };
    unsigned at = 0;

    for (int round = 0; round < 12; round++) {
        bool cancel = g_test_rand_bit();
        g_autofree char *error = NULL;

        move_start(qts, ids[!at]);
        for (int i = 0; i < 4; i++) {
            unsigned part = g_test_rand_int_range(0, ARRAY_SIZE(versions));

            if (versions[part]) {
                rm_check_pages(qts, part * 512, 512, versions[part]);
            }
            rm_write_pages(qts, part * 512, 512, ++versions[part]);
        }
        if (cancel) {
            /* It may have ended by itself. */
            qobject_unref(qtest_qmp(qts, "{'execute':'job-cancel',"
                                    "'arguments':{'id':'move0'}}"));
        }
        error = move_end(qts);
        at = error ? at : !at;
        if (!cancel) {
            g_assert_null(error);
            assert_store(qts, ids[at]);
        } else {
            QDict *info = rm_query(qts, "ram0");

            at = strcmp(qdict_get_str(info, "store"), ids[0]) != 0;
            qobject_unref(info);
        }
        g_assert_cmpuint(store_pages(qts, ids[!at]), ==, 0);
        rm_check_sane(qts);
    }
    for (unsigned part = 0; part < ARRAY_SIZE(versions); part++) {
        if (versions[part]) {
            rm_check_pages(qts, part * 512, 512, versions[part]);
        }
    }
    qtest_quit(qts);
}

/* If this fails, who changes his mind is left with two stores, or none. */
static void test_cancel(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=s0 "
                               "-object remote-store-ram,id=s1 "
                               "-object remote-store-fault,id=f0,store=s1,"
                               "delay-us=20000 " CACHED);
    g_autofree char *error = NULL;

    rm_write_pages(qts, 0, NR, 1);
    move_start(qts, "f0");
    while (!store_pages(qts, "s1")) {
        g_usleep(1000);
    }
    rm_job_cancel(qts, "move0");
    rm_set_fault(qts, "delay-us", 0);
    error = move_end(qts);
    g_assert_nonnull(error);
    assert_store(qts, "s0");
    g_assert_cmpuint(store_pages(qts, "s1"), ==, 0);
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, a bad new store costs what the old one has. */
static void test_target_fails(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=s1 "
                               "-object remote-store-fault,id=f0,store=s1 "
                               "-object remote-store-ram,id=s0 " CACHED);
    g_autofree char *error = NULL;

    rm_write_pages(qts, 0, NR, 1);
    rm_set_fault(qts, "error-rate", 1);
    move_start(qts, "f0");
    rm_write_pages(qts, 0, NR / 4, 2);
    error = move_end(qts);
    g_assert_nonnull(strstr(error, "store 'f0' does not answer"));
    assert_store(qts, "s0");
    rm_check_pages(qts, 0, NR / 4, 2);
    rm_check_pages(qts, NR / 4, NR - NR / 4, 1);
    g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

/*
 * If this fails, a job goes on for ever because of a page that is not where it
 * should be.
 */
static void test_source_lies(void)
{
    QTestState *qts = rm_start(FAULTY "-object remote-store-ram,id=s1 "
                               RAM0 ",cache-size=2M,store=f0");
    g_autofree char *error = NULL;

    rm_write_pages(qts, 0, NR, 1);
    rm_set_fault(qts, "corrupt-rate", 1);
    move_start(qts, "s1");
    error = move_end(qts);
    g_assert_nonnull(strstr(error, "store 'f0' does not answer, or not with"));
    assert_store(qts, "f0");
    g_assert_cmpuint(store_pages(qts, "s1"), ==, 0);
    rm_set_fault(qts, "corrupt-rate", 0);
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/* If this fails, an operator is left alone with a mistake. */
static void test_refused(void)
{
    static const char command[] = "remote-memory-set-store";
    QTestState *qts = rm_start("-object remote-store-ram,id=s1 "
                               "-object remote-store-fault,id=f0,store=s1,"
                               "delay-us=20000 "
                               "-object remote-store-ram,id=s0 " CACHED);

    rm_assert_error(qts, "GenericError", "its store is 's0' already",
                    move_arguments("s0"), command);
    rm_assert_error(qts, "GenericError", "store 'none' does not exist",
                    move_arguments("none"), command);
    rm_assert_error(qts, "GenericError", "not a remote store",
                    move_arguments("ram0"), command);
    rm_assert_error(qts, "DeviceNotFound", "no memory-backend-remote 's0'",
                    qdict_from_jsonf_nofail("{'id':'s0','store':'s1',"
                                            "'job-id':'move0'}"), command);
    rm_write_pages(qts, 0, NR, 1);
    move_start(qts, "f0");
    rm_assert_error(qts, "GenericError", "are being moved",
                    move_arguments("s1"), command);
    /* Quitting does not wait for the end. */
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "move/to-and-away", test_move },
        { "move/from-default", test_move_from_default },
        { "move/often", test_move_often },
        { "move/cancel", test_cancel },
        { "move/target-fails", test_target_fails },
        { "move/source-lies", test_source_lies },
        { "move/refused", test_refused },
        { }
    };

    return rm_run(argc, argv, tests);
}
