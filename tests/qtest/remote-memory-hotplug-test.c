/*
 * QTest: memory-backend-remote, plugged into a running VM and pulled again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define SIZE (16 * MiB)
#define NR (4 * MiB / PAGE)
#define CACHE (256 * KiB)

/* Where the first DIMM is, as an index for rm_write_pages(). */
#define DIMM ((4 * GiB - BASE) / PAGE)

/* The registers by which a guest lets go of a DIMM. */
#define DIMM_SELECT 0xa00
#define DIMM_CONTROL 0xa14
#define DIMM_EJECT 0x08

/* Machine */

static QTestState *start(const char *objects)
{
    return qtest_initf("-nodefaults -machine q35 "
                       "-m 64M,slots=2,maxmem=1G %s", objects);
}

static void add_backend(QTestState *qts, const char *id, const char *store,
                        uint64_t cache)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': { "
                             "'qom-type': 'memory-backend-remote', 'id': %s, "
                             "'size': %" PRIu64 ", 'cache-size': %" PRIu64 ", "
                             "'prefetch': 'off', 'store': %s } }", id,
                             (uint64_t)SIZE, cache, store);
}

static void del_object(QTestState *qts, const char *id)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del', 'arguments': "
                             "{ 'id': %s } }", id);
}

static QDict *dimm(const char *device, const char *backend)
{
    return qdict_from_jsonf_nofail("{ 'driver': 'pc-dimm', 'id': %s, "
                                   "'memdev': %s }", device, backend);
}

static void plug(QTestState *qts, const char *backend)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', 'arguments': "
                             "%p }", dimm("d0", backend));
}

/* The guest does what a guest does. */
static void pull(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_del', 'arguments': "
                             "{ 'id': 'd0' } }");
    qtest_outl(qts, DIMM_SELECT, 0);
    qtest_outb(qts, DIMM_CONTROL, DIMM_EJECT);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

static bool try_del(QTestState *qts, const char *id)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'object-del', 'arguments': "
                            "{ 'id': %s } }", id);
    bool done = qdict_haskey(resp, "return");

    if (!done) {
        g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(resp, "error"),
                                              "desc"), "in use"));
    }
    qobject_unref(resp);
    return done;
}

/* As soon as nobody uses it. */
static void del_when_free(QTestState *qts, const char *id)
{
    while (!try_del(qts, id)) {
        g_usleep(10000);
    }
}

static void wait_empty(QTestState *qts, const char *store)
{
    while (rm_store_pages(qts, store)) {
        g_usleep(10000);
    }
}

static void check_zeros(QTestState *qts)
{
    g_autofree uint8_t *got = g_malloc(MiB);

    for (uint64_t at = 0; at < SIZE; at += MiB) {
        qtest_bufread(qts, 4 * GiB + at, got, MiB);
        g_assert_true(buffer_is_zero(got, MiB));
    }
}

/* Tests */

/* If this fails, memory that comes is not empty, or something of it stays. */
static void test_again(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0");

    for (unsigned version = 1; version <= 5; version++) {
        add_backend(qts, "ram0", "s0", CACHE);
        plug(qts, "ram0");
        check_zeros(qts);
        rm_write_pages(qts, DIMM, NR, version);
        rm_check_pages(qts, DIMM, NR, version);
        g_assert_cmpuint(rm_store_pages(qts, "s0"), >, NR / 2);
        rm_check_sane(qts);
        pull(qts);
        /* At once, as all that follows: nobody waits for the store. */
        del_object(qts, "ram0");
    }
    wait_empty(qts, "s0");
    del_when_free(qts, "s0");
    qtest_quit(qts);
}

/* If this fails, two backends in one VM get each other's pages. */
static void test_two_stores(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0 "
                            "-object remote-store-ram,id=s1,compress=zstd");

    add_backend(qts, "ram0", "s0", CACHE);
    add_backend(qts, "ram1", "s1", CACHE);
    plug(qts, "ram0");
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', 'arguments': "
                             "%p }", dimm("d1", "ram1"));
    rm_write_pages(qts, DIMM, NR, 1);
    rm_write_pages(qts, DIMM + SIZE / PAGE, NR, 2);
    rm_check_pages(qts, DIMM, NR, 1);
    rm_check_pages(qts, DIMM + SIZE / PAGE, NR, 2);
    pull(qts);
    del_object(qts, "ram0");
    del_when_free(qts, "s0");
    rm_check_pages(qts, DIMM + SIZE / PAGE, NR, 2);
    g_assert_cmpuint(rm_store_pages(qts, "s1"), >, NR / 2);
    qtest_quit(qts);
}

/* If this fails, what is in use is taken away, or given to two. */
static void test_refused(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0");

    add_backend(qts, "ram0", "s0", CACHE);
    plug(qts, "ram0");
    rm_write_pages(qts, DIMM, NR, 1);
    rm_assert_error(qts, "GenericError", "can't use already busy memdev: ram0",
                    dimm("d1", "ram0"), "device_add");
    rm_assert_error(qts, "GenericError",
                    "object 'ram0' is in use, can not be deleted",
                    qdict_from_jsonf_nofail("{ 'id': 'ram0' }"), "object-del");
    rm_assert_error(qts, "GenericError",
                    "object 's0' is in use, can not be deleted",
                    qdict_from_jsonf_nofail("{ 'id': 's0' }"), "object-del");
    /* A guest that does not let go of it keeps it. */
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_del', 'arguments': "
                             "{ 'id': 'd0' } }");
    rm_assert_error(qts, "GenericError", "in use",
                    qdict_from_jsonf_nofail("{ 'id': 'ram0' }"), "object-del");
    rm_check_pages(qts, DIMM, NR, 1);
    qtest_quit(qts);
}

/* Requests are in flight */

/* How long the store takes, in s: at first, and at most. */
#define SLOW_FIRST 5
#define SLOW_MOST 40

/* What is begun while the store is slow. */
typedef void Begin(QTestState *qts);

static void begin_puts(QTestState *qts)
{
    rm_set_cache_size(qts, CACHE);
}

static void begin_evacuation(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-evacuate', "
                             "'arguments': { 'id': 'ram0', "
                             "'job-id': 'job0' } }");
}

static void begin_move(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-set-store', "
                             "'arguments': { 'id': 'ram0', 'store': 's1', "
                             "'job-id': 'job0' } }");
}

static void begin_warming(QTestState *qts)
{
    rm_set_cache_size(qts, SIZE);
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-warm', "
                             "'arguments': { 'id': 'ram0', "
                             "'job-id': 'job0' } }");
}

static void wait_in_flight(QTestState *qts, uint64_t evicted)
{
    while (rm_query_member(qts, "evicted-pages") == evicted &&
           !rm_query_member(qts, "in-flight-size")) {
        g_usleep(1000);
    }
}

/*
 * Delete a backend, plug and use another one of its id.  Returns: whether the
 * store was still busy then, so that nothing of it has waited for that.
 */
static bool delete_in_flight(QTestState *qts, Begin *begin, unsigned slow)
{
    bool local = begin == begin_puts || begin == begin_evacuation;
    uint64_t evicted;
    bool busy;

    add_backend(qts, "ram0", "f0", local ? SIZE : CACHE);
    plug(qts, "ram0");
    rm_write_pages(qts, DIMM, NR, 1);
    evicted = rm_query_member(qts, "evicted-pages");
    rm_set_fault(qts, "delay-us", slow * 1000000.0);
    begin(qts);
    if (begin != begin_move) {
        wait_in_flight(qts, evicted);
    }
    pull(qts);
    del_object(qts, "ram0");
    if (begin != begin_puts) {
        g_autofree char *error = rm_job_end(qts, "job0");

        g_assert_nonnull(strstr(error, "'ram0' is not in use any more"));
    }
    add_backend(qts, "ram0", "s2", CACHE);
    plug(qts, "ram0");
    check_zeros(qts);
    rm_write_pages(qts, DIMM, NR, 2);
    rm_check_pages(qts, DIMM, NR, 2);
    rm_check_sane(qts);
    busy = !try_del(qts, "f0");
    pull(qts);
    del_object(qts, "ram0");
    return busy;
}

/* On a machine that is busy, a slower store shows whether it was waited for. */
static void check_in_flight(Begin *begin)
{
    bool busy = false;

    for (unsigned slow = SLOW_FIRST; slow <= SLOW_MOST && !busy; slow *= 2) {
        QTestState *qts = start(FAULTY "-object remote-store-ram,id=s1 "
                                "-object remote-store-ram,id=s2 ");

        busy = delete_in_flight(qts, begin, slow);
        if (busy) {
            rm_set_fault(qts, "delay-us", 0);
            del_when_free(qts, "f0");
        }
        wait_empty(qts, "s0");
        wait_empty(qts, "s2");
        del_when_free(qts, "s0");
        del_when_free(qts, "s1");
        qtest_quit(qts);
    }
    g_assert_true(busy);
}

/* If this fails, a VM stands still until the store of memory that is gone... */
static void test_puts(void)
{
    check_in_flight(begin_puts);
}

/* ... has answered; or a job keeps what was deleted. */
static void test_evacuation(void)
{
    check_in_flight(begin_evacuation);
}

static void test_warming(void)
{
    check_in_flight(begin_warming);
}

static void test_move(void)
{
    check_in_flight(begin_move);
}

/*
 * If this fails, who still reads memory that was pulled hangs, or is in the way
 * of what comes after it.
 */
static void test_reader(void)
{
    QTestState *qts = start(FAULTY "-object remote-store-ram,id=s2 ");
    QDict *event;

    add_backend(qts, "ram0", "f0", CACHE);
    plug(qts, "ram0");
    rm_write_pages(qts, DIMM, NR, 1);
    rm_set_fault(qts, "delay-us", 1000000);
    qtest_qmp_assert_success(qts, "{ 'execute': 'dump-guest-memory', "
                             "'arguments': { 'paging': false, 'detach': true, "
                             "'protocol': 'file:/dev/null' } }");
    pull(qts);
    del_object(qts, "ram0");
    add_backend(qts, "ram0", "s2", CACHE);
    rm_set_fault(qts, "delay-us", 0);
    event = qtest_qmp_eventwait_ref(qts, "DUMP_COMPLETED");
    g_assert_false(qdict_haskey(qdict_get_qdict(event, "data"), "error"));
    qobject_unref(event);
    /* Not before: QEMU ends when memory is plugged in during a dump. */
    rm_wait_status(qts, "running");
    plug(qts, "ram0");
    check_zeros(qts);
    rm_write_pages(qts, DIMM, NR, 2);
    del_when_free(qts, "f0");
    wait_empty(qts, "s0");
    rm_check_pages(qts, DIMM, NR, 2);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, QEMU does not end while something is in flight. */
static void test_quit(void)
{
    QTestState *qts = start(FAULTY);

    add_backend(qts, "ram0", "f0", SIZE);
    plug(qts, "ram0");
    rm_write_pages(qts, DIMM, NR, 1);
    rm_set_fault(qts, "delay-us", 3 * 1000000);
    rm_set_cache_size(qts, CACHE);
    pull(qts);
    del_object(qts, "ram0");
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "hotplug/again", test_again },
        { "hotplug/two-stores", test_two_stores },
        { "hotplug/refused", test_refused },
        { "hotplug/in-flight/puts", test_puts },
        { "hotplug/in-flight/evacuation", test_evacuation },
        { "hotplug/in-flight/warming", test_warming },
        { "hotplug/in-flight/move", test_move },
        { "hotplug/in-flight/reader", test_reader },
        { "hotplug/in-flight/quit", test_quit },
        { }
    };

    return rm_run(argc, argv, tests);
}
