/*
 * QTest: memory-backend-remote, jobs that empty and fill the cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define NR (32 * MiB / PAGE)
#define ONE_THREAD "-object iothread,id=io0 "
#define TWO_THREADS "-object iothread,id=io0 -object iothread,id=io1 "
/* Nothing is fetched but what is asked for, or warmed. */
#define ON_ONE RAM0 ",prefetch=off,store=f0,iothreads=io0"
#define ON_TWO RAM0 ",prefetch=off,store=f0,iothreads=io0,iothreads=io1"
/* The smallest cache of one pager thread. */
#define LEAST (128 * KiB)
/* A store that takes so long, in us, does not come to an end meanwhile. */
#define LONG 1000000

#define EVACUATE "remote-memory-evacuate"
#define WARM "remote-memory-warm"

static QDict *job_arguments(void)
{
    return qdict_from_jsonf_nofail("{ 'id': 'ram0', 'job-id': 'job0' }");
}

static void start(QTestState *qts, const char *command)
{
    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': %p }",
                             command, job_arguments());
}

/* It goes well. */
static void end(QTestState *qts)
{
    g_autofree char *error = rm_job_end(qts, "job0");

    g_assert_cmpstr(error, ==, NULL);
}

/* It does not. */
static void end_by(QTestState *qts, const char *text)
{
    g_autofree char *error = rm_job_end(qts, "job0");

    g_assert_nonnull(error);
    if (!strstr(error, text)) {
        g_error("'%s' is not in '%s'", text, error);
    }
}

static void run(QTestState *qts, const char *command)
{
    start(qts, command);
    end(qts);
}

static void wait_cache_size(QTestState *qts, uint64_t size)
{
    QDict *event = qtest_qmp_eventwait_ref(qts,
                                           "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpuint(qdict_get_int(data, "cache-size"), ==, size);
    g_assert_cmpuint(qdict_get_int(data, "local-size"), <=, size);
    qobject_unref(event);
}

static uint64_t local_size(QTestState *qts)
{
    QDict *info = rm_query(qts, "ram0");
    uint64_t size = qdict_get_int(info, "resident-size") +
                    qdict_get_int(info, "standby-size") +
                    qdict_get_int(info, "in-flight-size");

    qobject_unref(info);
    return size;
}

/* Evacuation */

/* If this fails, an evacuation leaves something behind, or loses it. */
static void test_evacuate(void)
{
    QTestState *qts = rm_start(TWO_THREADS FAULTY ON_TWO ",cache-size=4M");

    rm_write_pages(qts, 0, NR, 1);
    start(qts, EVACUATE);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 2 * LEAST);
    end(qts);
    wait_cache_size(qts, 2 * LEAST);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 2 * LEAST);
    g_assert_cmpuint(local_size(qts), <=, 2 * LEAST);
    rm_set_cache_size(qts, 4 * MiB);
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* Pages that were taken out of the guest, and those that are not local only. */
static void evicted_and_written(QTestState *qts, uint64_t *evicted,
                                uint64_t *written)
{
    QDict *info = rm_query(qts, "ram0");

    /* Or else some came back before anybody looked at them. */
    g_assert_cmpuint(qdict_get_int(info, "refaults"), ==, 0);
    *evicted = qdict_get_int(info, "evicted-pages");
    *written = qdict_get_int(info, "written-pages") +
               qdict_get_int(info, "clean-drops") +
               qdict_get_int(info, "zero-drops");
    qobject_unref(info);
}

/*
 * If this fails, an evacuation says that it is done while a page that was taken
 * out of the guest is on its way to the store.
 */
static void test_evacuate_writes(void)
{
    QTestState *qts = rm_start(ONE_THREAD FAULTY ON_ONE ",cache-size=128K");
    uint64_t nr = 64, evicted, written, evicted_now;

    rm_write_pages(qts, 0, nr, 1);
    rm_set_fault(qts, "delay-us", LONG);
    do {
        rm_write_pages(qts, nr++, 1, 1);
        evicted_and_written(qts, &evicted, &written);
    } while (written == evicted);
    run(qts, EVACUATE);
    evicted_and_written(qts, &evicted_now, &written);
    g_assert_cmpuint(written, >=, evicted);
    rm_set_fault(qts, "delay-us", 0);
    rm_check_pages(qts, 0, nr, 1);
    qtest_quit(qts);
}

/* If this fails, a guest that runs loses something, or is never evacuated. */
static void test_evacuate_busy(void)
{
    QTestState *qts = rm_start(TWO_THREADS FAULTY ON_TWO ",cache-size=16M");

    rm_write_pages(qts, 0, NR, 1);
    rm_set_fault(qts, "delay-us", 1000);
    start(qts, EVACUATE);
    for (unsigned version = 2; version < 6; version++) {
        rm_write_pages(qts, NR / 2, 256, version);
        rm_check_pages(qts, 0, 256, 1);
        rm_check_pages(qts, NR / 2, 256, version);
    }
    end(qts);
    rm_check_sane(qts);
    /* Once more is no mistake, and has nothing to do. */
    run(qts, EVACUATE);
    rm_set_fault(qts, "delay-us", 0);
    rm_check_pages(qts, 0, NR / 2, 1);
    rm_check_pages(qts, NR / 2, 256, 5);
    rm_check_pages(qts, NR / 2 + 256, NR / 2 - 256, 1);
    qtest_quit(qts);
}

/*
 * If this fails, who changes his mind has lost the size that was set; or
 * somebody else changes it under an evacuation that goes on.
 */
static void test_evacuate_cancel(void)
{
    QTestState *qts = rm_start(ONE_THREAD FAULTY ON_ONE ",cache-size=8M");
    static const char busy[] = "cache is being evacuated";

    rm_write_pages(qts, 0, NR, 1);
    rm_set_fault(qts, "delay-us", LONG);
    start(qts, EVACUATE);
    rm_assert_error(qts, "GenericError", "a job evacuates the cache",
                    qdict_from_jsonf_nofail("{ 'id': 'ram0', "
                                            "'cache-size': 1048576 }"),
                    "remote-memory-set-cache-size");
    rm_assert_error(qts, "GenericError", "a job evacuates the cache",
                    qdict_from_jsonf_nofail("{ 'path': '/objects/ram0', "
                                            "'property': 'cache-size', "
                                            "'value': 1048576 }"), "qom-set");
    rm_assert_error(qts, "GenericError", busy, job_arguments(), EVACUATE);
    rm_assert_error(qts, "GenericError", busy, job_arguments(), WARM);
    rm_job_cancel(qts, "job0");
    end_by(qts, "");
    wait_cache_size(qts, 8 * MiB);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 8 * MiB);
    rm_set_fault(qts, "delay-us", 0);
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    rm_set_cache_size(qts, 1 * MiB);
    qtest_quit(qts);
}

/* If this fails, an evacuation waits for ever for a store that is gone. */
static void test_evacuate_store_fails(void)
{
    QTestState *qts = rm_start(ONE_THREAD FAULTY ON_ONE
                               ",cache-size=8M,on-error=report");

    rm_write_pages(qts, 0, NR, 1);
    rm_set_fault(qts, "error-rate", 1);
    start(qts, EVACUATE);
    end_by(qts, "store 'f0' does not answer, or not with what it should: "
           "cache-size of memory backend 'ram0' is 8388608 again");
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 8 * MiB);
    rm_set_fault(qts, "error-rate", 0);
    rm_check_pages(qts, 0, NR, 1);
    run(qts, EVACUATE);
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/* Warming up */

/* A guest that has used pages one after the other, and was evacuated. */
static QTestState *start_evacuated(const char *objects)
{
    QTestState *qts = rm_start(objects);

    rm_write_pages(qts, 0, NR, 1);
    run(qts, EVACUATE);
    return qts;
}

/* The pages with contents before @end, @nr of them, are what was written. */
static void check_last(QTestState *qts, uint64_t end, uint64_t nr)
{
    uint8_t page[PAGE];

    while (nr) {
        rm_make_page(page, --end, 1);
        if (!buffer_is_zero(page, PAGE)) {
            rm_check_pages(qts, end, 1, 1);
            nr--;
        }
    }
}

/*
 * If this fails, a guest that is back has to wait for what it used last; or
 * pages that nobody has asked for push out others.
 */
static void test_warm(void)
{
    QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                      ",cache-size=8M");
    uint64_t evicted, fetched, warmed;

    rm_set_cache_size(qts, 8 * MiB);
    evicted = rm_query_member(qts, "evicted-pages");
    fetched = rm_query_member(qts, "fetched-pages");
    run(qts, WARM);
    warmed = rm_query_member(qts, "fetched-pages") - fetched;
    g_assert_cmpuint(warmed, >, 8 * MiB / PAGE * 9 / 10);
    g_assert_cmpuint(warmed, ==, rm_query_member(qts, "prefetched-pages"));
    check_last(qts, NR, warmed);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), ==,
                     fetched + warmed);
    g_assert_cmpuint(rm_query_member(qts, "evicted-pages"), ==, evicted);
    /* No room is left that would be of use. */
    run(qts, WARM);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), ==,
                     fetched + warmed);
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/*
 * If this fails, what the guest used last is the first to go again when it
 * turns to something else, or what it turned to goes before what nobody uses.
 */
static void test_warm_goes_first(void)
{
    QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                      ",cache-size=8M");
    uint64_t evicted, fetched;

    rm_set_cache_size(qts, 8 * MiB);
    run(qts, WARM);
    evicted = rm_query_member(qts, "evicted-pages");
    rm_check_pages(qts, 0, 400, 1);
    g_assert_cmpuint(rm_query_member(qts, "evicted-pages"), >, evicted + 200);
    fetched = rm_query_member(qts, "fetched-pages");
    check_last(qts, NR, 700);
    rm_check_pages(qts, 0, 400, 1);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), ==, fetched);
    qtest_quit(qts);
}

/* If this fails, pages stay away although there is room for all. */
static void test_warm_all(void)
{
    QTestState *qts = start_evacuated(TWO_THREADS FAULTY ON_TWO
                                      ",cache-size=2M");
    uint64_t fetched;

    rm_set_cache_size(qts, 64 * MiB);
    run(qts, WARM);
    g_assert_cmpuint(rm_query_member(qts, "remote-size"), ==, 0);
    fetched = rm_query_member(qts, "fetched-pages");
    rm_check_pages(qts, 0, NR, 1);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), ==, fetched);
    /* There is nothing to do. */
    run(qts, WARM);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, a guest that runs gets an older content, or waits for ever. */
static void test_warm_busy(void)
{
    QTestState *qts = start_evacuated(TWO_THREADS FAULTY ON_TWO
                                      ",cache-size=2M");

    rm_set_cache_size(qts, 24 * MiB);
    rm_set_fault(qts, "delay-us", 1000);
    start(qts, WARM);
    rm_check_pages(qts, NR - 512, 512, 1);
    rm_write_pages(qts, NR / 2, 512, 2);
    rm_check_pages(qts, 0, 512, 1);
    rm_set_cache_size(qts, 4 * MiB);
    rm_write_pages(qts, 0, 512, 2);
    rm_set_cache_size(qts, 16 * MiB);
    end(qts);
    rm_check_sane(qts);
    rm_set_fault(qts, "delay-us", 0);
    rm_check_pages(qts, 0, 512, 2);
    rm_check_pages(qts, 512, NR / 2 - 512, 1);
    rm_check_pages(qts, NR / 2, 512, 2);
    rm_check_pages(qts, NR / 2 + 512, NR / 2 - 512, 1);
    g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

/* If this fails, a job goes on although nobody wants it, or spoils the next. */
static void test_warm_cancel(void)
{
    QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                      ",cache-size=8M");

    rm_set_cache_size(qts, 32 * MiB);
    rm_set_fault(qts, "delay-us", LONG);
    start(qts, WARM);
    rm_assert_error(qts, "GenericError", "cache is being warmed",
                    job_arguments(), EVACUATE);
    rm_job_cancel(qts, "job0");
    end_by(qts, "");
    g_assert_cmpuint(rm_query_member(qts, "remote-size"), >, 0);
    g_assert_cmpuint(rm_query_member(qts, "in-flight-size"), ==, 0);
    rm_check_sane(qts);
    rm_set_fault(qts, "delay-us", 0);
    run(qts, WARM);
    g_assert_cmpuint(rm_query_member(qts, "remote-size"), ==, 0);
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/*
 * If this fails, wrong pages are placed, or a job goes on for ever because of
 * pages that cannot be had.
 */
static void test_warm_store_lies(void)
{
    QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                      ",cache-size=8M");
    uint64_t fetched = rm_query_member(qts, "fetched-pages");

    rm_set_cache_size(qts, 8 * MiB);
    rm_set_fault(qts, "corrupt-rate", 1);
    start(qts, WARM);
    end_by(qts, "store 'f0' does not answer, or not with what it should: "
           "memory backend 'ram0' got 0 pages");
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), ==, fetched);
    rm_set_fault(qts, "corrupt-rate", 0);
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, a request that fails by chance costs a page, or the job. */
static void test_warm_store_stumbles(void)
{
    QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                      ",cache-size=8M");

    rm_set_cache_size(qts, 64 * MiB);
    rm_set_fault(qts, "error-rate", 0.002);
    run(qts, WARM);
    g_assert_cmpuint(rm_query_member(qts, "errors"), >, 0);
    g_assert_cmpuint(rm_query_member(qts, "remote-size"), ==, 0);
    rm_set_fault(qts, "error-rate", 0);
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/* Both */

/* If this fails, a store cannot be changed at the same time. */
static void test_move_meanwhile(void)
{
    static const char *const commands[] = { EVACUATE, WARM };
    static const char *const stores[] = { "s1", "f0" };
    QTestState *qts = rm_start(TWO_THREADS FAULTY
                               "-object remote-store-ram,id=s1 "
                               ON_TWO ",cache-size=16M");

    rm_write_pages(qts, 0, NR, 1);
    for (int i = 0; i < ARRAY_SIZE(commands); i++) {
        g_autofree char *error = NULL;

        qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-set-store',"
                                 " 'arguments': { 'id': 'ram0', 'store': %s, "
                                 "'job-id': 'move0' } }", stores[i]);
        start(qts, commands[i]);
        rm_check_pages(qts, 0, 64, 1);
        end(qts);
        error = rm_job_end(qts, "move0");
        g_assert_null(error);
        rm_check_sane(qts);
        rm_set_cache_size(qts, 24 * MiB);
    }
    rm_check_pages(qts, 0, NR, 1);
    qtest_quit(qts);
}

/* If this fails, an operator is left alone with a mistake, or cannot quit. */
static void test_refused(void)
{
    static const char *const commands[] = { EVACUATE, WARM };

    for (int i = 0; i < ARRAY_SIZE(commands); i++) {
        QTestState *qts = start_evacuated(ONE_THREAD FAULTY ON_ONE
                                          ",cache-size=8M");

        rm_assert_error(qts, "DeviceNotFound", "no memory-backend-remote 'f0'",
                        qdict_from_jsonf_nofail("{ 'id': 'f0', "
                                                "'job-id': 'job0' }"),
                        commands[i]);
        rm_assert_error(qts, "GenericError", "Invalid job ID",
                        qdict_from_jsonf_nofail("{ 'id': 'ram0', "
                                                "'job-id': '!' }"),
                        commands[i]);
        /* What either of them needs the store for. */
        rm_set_cache_size(qts, 16 * MiB);
        rm_write_pages(qts, 0, NR / 4, 2);
        rm_set_fault(qts, "delay-us", LONG);
        start(qts, commands[i]);
        qtest_quit(qts);
    }
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "jobs/evacuate", test_evacuate },
        { "jobs/evacuate-writes", test_evacuate_writes },
        { "jobs/evacuate-busy", test_evacuate_busy },
        { "jobs/evacuate-cancel", test_evacuate_cancel },
        { "jobs/evacuate-store-fails", test_evacuate_store_fails },
        { "jobs/warm", test_warm },
        { "jobs/warm-goes-first", test_warm_goes_first },
        { "jobs/warm-all", test_warm_all },
        { "jobs/warm-busy", test_warm_busy },
        { "jobs/warm-cancel", test_warm_cancel },
        { "jobs/warm-store-lies", test_warm_store_lies },
        { "jobs/warm-store-stumbles", test_warm_store_stumbles },
        { "jobs/move-meanwhile", test_move_meanwhile },
        { "jobs/refused", test_refused },
        { }
    };

    return rm_run(argc, argv, tests);
}
