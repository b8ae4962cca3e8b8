/*
 * QTest: memory-backend-remote, its properties, commands and events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"

#define PAGE 4096
/* Where the tests write: beyond what firmware and VGA use. */
#define BASE (4 * MiB)

/* Machine */

static QTestState *start(const char *objects)
{
    return qtest_initf("-nodefaults -machine q35,memory-backend=ram0 -m 64M "
                       "%s", objects);
}

static QDict *query(QTestState *qts, const char *id)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-remote-memory' }");
    QListEntry *entry;
    QDict *found = NULL;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(resp, "return"), entry) {
        QDict *info = qobject_to(QDict, qlist_entry_obj(entry));

        if (!strcmp(qdict_get_str(info, "id"), id)) {
            found = qobject_ref(info);
        }
    }
    qobject_unref(resp);
    g_assert_nonnull(found);
    return found;
}

static uint64_t query_member(QTestState *qts, const char *member)
{
    QDict *info = query(qts, "ram0");
    uint64_t value = qdict_get_int(info, member);

    qobject_unref(info);
    return value;
}

static void set_cache_size(QTestState *qts, uint64_t size)
{
    qtest_qmp_assert_success(qts, "{ 'execute': "
                             "'remote-memory-set-cache-size', 'arguments': "
                             "{ 'id': 'ram0', 'cache-size': %" PRIu64 " } }",
                             size);
}

static void set_fault(QTestState *qts, const char *property, double value)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/f0', 'property': %s, "
                             "'value': %f } }", property, value);
}

/* All counters and lists agree, and the bound holds. */
static void check_sane(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': { "
                            "'path': '/objects/ram0', "
                            "'property': 'x-consistent' } }");
    QDict *info = query(qts, "ram0");
    uint64_t resident = qdict_get_int(info, "resident-size");
    uint64_t standby = qdict_get_int(info, "standby-size");

    g_assert_true(qdict_get_bool(resp, "return"));
    g_assert_cmpuint(resident + standby + qdict_get_int(info, "remote-size") +
                     qdict_get_int(info, "zero-size"), ==,
                     qdict_get_int(info, "size"));
    g_assert_cmpuint(resident + standby +
                     qdict_get_int(info, "in-flight-size"), <=,
                     qdict_get_int(info, "cache-size"));
    qobject_unref(info);
    qobject_unref(resp);
}

/* Contents that depend on page and version; every fifth page is zero. */
static void make_page(uint8_t *page, uint64_t index, unsigned version)
{
    uint64_t *words = (uint64_t *)page;
    uint64_t x = index * 0x9e3779b97f4a7c15ull + version;

    for (int i = 0; i < PAGE / 8; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        words[i] = index % 5 ? x : 0;
    }
}

static void write_pages(QTestState *qts, uint64_t first, uint64_t nr,
                        unsigned version)
{
    uint8_t page[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        make_page(page, i, version);
        qtest_bufwrite(qts, BASE + i * PAGE, page, PAGE);
    }
}

static void check_pages(QTestState *qts, uint64_t first, uint64_t nr,
                        unsigned version)
{
    uint8_t want[PAGE], got[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        make_page(want, i, version);
        qtest_bufread(qts, BASE + i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
}

/* Contents */

static void fill_and_check(const char *objects)
{
    QTestState *qts = start(objects);
    uint64_t nr = 32 * MiB / PAGE;

    write_pages(qts, 0, nr, 1);
    check_pages(qts, 0, nr, 1);
    /* Half of it changes: the store's old copies must not come back. */
    write_pages(qts, nr / 2, nr / 2, 2);
    check_pages(qts, 0, nr / 2, 1);
    check_pages(qts, nr / 2, nr / 2, 2);
    check_sane(qts);
    g_assert_cmpuint(query_member(qts, "evicted-pages"), >, nr);
    g_assert_cmpuint(query_member(qts, "fetched-pages"), >, nr / 2);
    g_assert_cmpuint(query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

#define RAM0 "-object memory-backend-remote,id=ram0,size=64M"

/* If this fails, the default store does not keep what it is given. */
static void test_default_store(void)
{
    fill_and_check(RAM0 ",cache-size=2M");
}

/* If this fails, compression changes contents. */
static void test_lz4(void)
{
    fill_and_check("-object remote-store-ram,id=s0,compress=lz4 "
                   RAM0 ",cache-size=2M,store=s0");
}

static void test_zstd(void)
{
    fill_and_check("-object remote-store-ram,id=s0,compress=zstd "
                   RAM0 ",cache-size=2M,store=s0");
}

/* If this fails, shards mix up their pages. */
static void test_shards(void)
{
    fill_and_check("-object iothread,id=io0 -object iothread,id=io1 "
                   "-object iothread,id=io2 " RAM0 ",cache-size=2M,"
                   "iothreads=io0,iothreads=io1,iothreads=io2");
}

/* If this fails, late answers are taken for those of other pages. */
static void test_slow_store(void)
{
    fill_and_check("-object remote-store-ram,id=s0 "
                   "-object remote-store-fault,id=f0,store=s0,delay-us=50 "
                   RAM0 ",cache-size=4M,store=f0");
}

/* If this fails, the smallest cache is no cache. */
static void test_180_pages(void)
{
    fill_and_check(RAM0 ",cache-size=737280");
}

/* If this fails, verify=off does something else than not to verify. */
static void test_no_verify(void)
{
    fill_and_check(RAM0 ",cache-size=2M,verify=off");
}

/* If this fails, a store that fails now and then costs data. */
static void test_unreliable_store(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0 "
                            "-object remote-store-fault,id=f0,store=s0,seed=7 "
                            RAM0 ",cache-size=2M,store=f0,on-error=report");
    uint64_t nr = 8 * MiB / PAGE;

    set_fault(qts, "error-rate", 0.004);
    set_fault(qts, "corrupt-rate", 0.004);
    set_fault(qts, "drop-rate", 0.004);
    write_pages(qts, 0, nr, 1);
    check_pages(qts, 0, nr, 1);
    write_pages(qts, 0, nr, 2);
    check_pages(qts, 0, nr, 2);
    g_assert_cmpuint(query_member(qts, "errors"), >, 0);
    check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, zero pages take room in the store. */
static void test_zero_pages(void)
{
    QTestState *qts = start(RAM0 ",cache-size=2M");
    uint64_t nr = 32 * MiB / PAGE;

    write_pages(qts, 0, nr, 1);
    qtest_memset(qts, BASE, 0, nr * PAGE);
    set_cache_size(qts, 1 * MiB);
    qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    /* Of what was written, only what is still local can be in the store. */
    g_assert_cmpuint(query_member(qts, "remote-size"), <, 4 * MiB);
    g_assert_cmpuint(query_member(qts, "zero-drops"), >, nr / 2);
    check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, pages that did not change are written again. */
static void test_clean_drops(void)
{
    QTestState *qts = start(RAM0 ",cache-size=2M");
    uint64_t nr = 16 * MiB / PAGE, written;

    write_pages(qts, 0, nr, 1);
    check_pages(qts, 0, nr, 1);
    written = query_member(qts, "written-pages");
    check_pages(qts, 0, nr, 1);
    check_pages(qts, 0, nr, 1);
    g_assert_cmpuint(query_member(qts, "written-pages") - written, <, 100);
    g_assert_cmpuint(query_member(qts, "clean-drops"), >, nr);
    qtest_quit(qts);
}

/* Resizing */

static void wait_resized(QTestState *qts, uint64_t size)
{
    QDict *event, *data;

    set_cache_size(qts, size);
    event = qtest_qmp_eventwait_ref(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    data = qdict_get_qdict(event, "data");
    g_assert_cmpstr(qdict_get_str(data, "id"), ==, "ram0");
    g_assert_cmpuint(qdict_get_int(data, "cache-size"), ==, size);
    g_assert_cmpuint(qdict_get_int(data, "local-size"), <=, size);
    qobject_unref(event);
    check_sane(qts);
}

/* If this fails, the cache is not what the operator has set. */
static void test_resize(void)
{
    QTestState *qts = start(RAM0);
    uint64_t nr = 32 * MiB / PAGE;

    write_pages(qts, 0, nr, 1);
    g_assert_cmpuint(query_member(qts, "evicted-pages"), ==, 0);
    for (int i = 0; i < 3; i++) {
        wait_resized(qts, 180 * PAGE);
        check_pages(qts, 0, nr / 4, 1);
        wait_resized(qts, 16 * MiB);
        check_pages(qts, 0, nr, 1);
        wait_resized(qts, 64 * MiB);
    }
    check_pages(qts, 0, nr, 1);
    qtest_quit(qts);
}

/* If this fails, a client that sets the size twice waits for ever. */
static void test_resize_twice(void)
{
    QTestState *qts = start(RAM0);

    write_pages(qts, 0, 32 * MiB / PAGE, 1);
    set_cache_size(qts, 1 * MiB);
    wait_resized(qts, 180 * PAGE);
    qtest_quit(qts);
}

/*
 * If this fails, memory that was on its way out when the cache grew to the
 * whole size is never free again, and the guest waits for it for ever.
 */
static void test_grow_to_all(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0 -object "
                            "remote-store-fault,id=f0,store=s0,delay-us=20000 "
                            RAM0 ",cache-size=8M,store=f0");
    uint64_t nr = 12 * MiB / PAGE;

    write_pages(qts, 0, nr, 1);
    set_cache_size(qts, 64 * MiB);
    write_pages(qts, 0, 56 * MiB / PAGE, 2);
    check_pages(qts, 0, 56 * MiB / PAGE, 2);
    qtest_quit(qts);
}

/* If this fails, the property and the command are not the same. */
static void test_resize_property(void)
{
    QTestState *qts = start(RAM0);

    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/ram0', 'property': "
                             "'cache-size', 'value': 1048576 } }");
    g_assert_cmpuint(query_member(qts, "cache-size"), ==, 1048576);
    qtest_quit(qts);
}

/* Commands */

static void assert_error(QTestState *qts, const char *class,
                         const char *text, QDict *args, const char *command)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': %s, 'arguments': %p }",
                            command, args);
    QDict *error = qdict_get_qdict(resp, "error");

    g_assert_nonnull(error);
    g_assert_cmpstr(qdict_get_str(error, "class"), ==, class);
    if (!strstr(qdict_get_str(error, "desc"), text)) {
        g_error("'%s' is not in '%s'", text, qdict_get_str(error, "desc"));
    }
    qobject_unref(resp);
}

/* If this fails, a wrong size does harm instead of being refused. */
static void test_resize_errors(void)
{
    QTestState *qts = start(RAM0 ",cache-size=2M");
    const char *command = "remote-memory-set-cache-size";
    static const int64_t bad[] = { 0, PAGE, 2 * MiB + 1, 65 * MiB };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_error(qts, "GenericError", "'ram0': property 'cache-size'",
                     qdict_from_jsonf_nofail("{ 'id': 'ram0', 'cache-size': "
                                             "%" PRId64 " }", bad[i]),
                     command);
    }
    assert_error(qts, "DeviceNotFound", "'ram1'",
                 qdict_from_jsonf_nofail("{ 'id': 'ram1', 'cache-size': "
                                         "1048576 }"), command);
    g_assert_cmpuint(query_member(qts, "cache-size"), ==, 2 * MiB);
    qtest_quit(qts);
}

/* If this fails, a machine without remote memory cannot be asked. */
static void test_empty_queries(void)
{
    QTestState *qts = qtest_init("-machine none");
    static const char *const queries[] = {
        "query-remote-memory", "query-remote-stores"
    };

    for (int i = 0; i < ARRAY_SIZE(queries); i++) {
        QDict *resp = qtest_qmp(qts, "{ 'execute': %s }", queries[i]);

        g_assert_true(qlist_empty(qdict_get_qlist(resp, "return")));
        qobject_unref(resp);
    }
    qtest_quit(qts);
}

/* If this fails, who uses the monitor sees something else than QMP says. */
static void test_hmp(void)
{
    QTestState *qts = start(RAM0);
    g_autofree char *set = qtest_hmp(qts,
        "remote_memory_set_cache_size ram0 8M");
    g_autofree char *info = qtest_hmp(qts, "info remote-memory");
    g_autofree char *bad = qtest_hmp(qts,
        "remote_memory_set_cache_size ram0 lots");
    g_autofree char *unknown = qtest_hmp(qts,
        "remote_memory_set_cache_size ram1 8M");

    g_assert_cmpstr(set, ==, "");
    g_assert_nonnull(strstr(info, "memory backend 'ram0': running"));
    g_assert_nonnull(strstr(info, "cache-size: 8 MiB"));
    g_assert_nonnull(strstr(info, "remote-store-ram '(default)': connected"));
    g_assert_nonnull(strstr(bad, "'lots' is not a size"));
    g_assert_nonnull(strstr(unknown, "'ram1'"));
    qtest_quit(qts);
}

/* Objects */

typedef struct BadObject {
    const char *props;
    const char *error;
} BadObject;

/* If this fails, what cannot work is taken and fails later, or silently. */
static void test_refused(void)
{
    static const BadObject bad[] = {
        { "'size': 0", "property 'size'" },
        { "'size': 1048577", "'m0': property 'size' cannot be 1048577" },
        { "'size': 1048576, 'cache-size': 0",
          "'m0': property 'cache-size' cannot be 0" },
        { "'size': 1048576, 'cache-size': 2097152",
          "'m0': property 'cache-size' cannot be 2097152" },
        { "'size': 1048576, 'share': true",
          "'m0': property 'share' cannot be 'on'" },
        { "'size': 1048576, 'prealloc': true", "prealloc" },
        { "'size': 1048576, 'merge': true",
          "'m0': property 'merge' cannot be 'on'" },
        { "'size': 1048576, 'reserve': true",
          "'m0': property 'reserve' cannot be 'on'" },
        { "'size': 1048576, 'store': 'none'",
          "'m0': property 'store' cannot be 'none'" },
        { "'size': 1048576, 'store': 'io0'",
          "'m0': property 'store' cannot be 'io0'" },
        { "'size': 1048576, 'iothreads': [ 'io1' ]",
          "'m0': property 'iothreads': there is no iothread 'io1'" },
        { "'size': 1048576, 'iothreads': [ 'io0', 'io0' ]",
          "'m0': property 'iothreads': 'io0' is there twice" },
        { "'size': 1048576, 'on-error': 'panic'", "'on-error'" },
    };
    QTestState *qts = qtest_init("-machine none -object iothread,id=io0");

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *json = g_strdup_printf(
            "{ 'qom-type': 'memory-backend-remote', 'id': 'm0', %s }",
            bad[i].props);

        assert_error(qts, "GenericError", bad[i].error,
                     qobject_to(QDict, qobject_from_json(json, &error_abort)),
                     "object-add");
    }
    qtest_quit(qts);
}

/* If this fails, a property that is fixed at creation changes later. */
static void test_fixed_properties(void)
{
    QTestState *qts = start(RAM0);
    static const char *const fixed[] = {
        "'property': 'verify', 'value': false",
        "'property': 'on-error', 'value': 'report'",
        "'property': 'store', 'value': 'x'",
        "'property': 'iothreads', 'value': [ ]",
    };

    for (int i = 0; i < ARRAY_SIZE(fixed); i++) {
        g_autofree char *json = g_strdup_printf(
            "{ 'path': '/objects/ram0', %s }", fixed[i]);

        assert_error(qts, "GenericError", "cannot be changed any more",
                     qobject_to(QDict, qobject_from_json(json, &error_abort)),
                     "qom-set");
    }
    qtest_quit(qts);
}

static void add_object(QTestState *qts, uint64_t size, uint64_t cache)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': { "
                             "'qom-type': 'memory-backend-remote', "
                             "'id': 'm0', 'size': %" PRIu64 ", 'cache-size': "
                             "%" PRIu64 " } }", size, cache);
}

/* If this fails, an object that was deleted leaves something behind. */
static void test_add_del(void)
{
    QTestState *qts = qtest_init("-machine none");

    for (int i = 0; i < 20; i++) {
        add_object(qts, 64 * MiB, 1 * MiB);
        qobject_unref(query(qts, "m0"));
        qtest_qmp_assert_success(qts, "{ 'execute': 'object-del', "
                                 "'arguments': { 'id': 'm0' } }");
    }
    qtest_quit(qts);
}

/* If this fails, a large VM cannot be started where it is needed. */
static void test_terabyte(void)
{
    QTestState *qts = qtest_init("-machine none");
    uint64_t pages = 1 * TiB / PAGE;
    gint64 begin = g_get_monotonic_time();
    QDict *info;

    add_object(qts, 1 * TiB, 1 * GiB);
    g_test_message("1 TiB in %.3f s",
                   (g_get_monotonic_time() - begin) / 1e6);
    info = query(qts, "m0");
    g_assert_cmpuint(qdict_get_int(info, "zero-size"), ==, 1 * TiB);
    g_assert_cmpuint(qdict_get_int(info, "metadata-size"), <=, 24 * pages);
    qobject_unref(info);
    qtest_quit(qts);
}

/* If this fails, memory that is in use can be taken away. */
static void test_del_in_use(void)
{
    QTestState *qts = start("-object remote-store-ram,id=s0 "
                            RAM0 ",store=s0");
    static const char *const ids[] = { "ram0", "s0" };

    for (int i = 0; i < ARRAY_SIZE(ids); i++) {
        assert_error(qts, "GenericError", "in use",
                     qdict_from_jsonf_nofail("{ 'id': %s }", ids[i]),
                     "object-del");
    }
    qtest_quit(qts);
}

/* If this fails, remote memory is only for the boot RAM. */
static void test_numa(void)
{
    QTestState *qts = qtest_init(
        "-nodefaults -machine q35 -m 64M "
        "-object memory-backend-ram,id=m0,size=32M -numa node,memdev=m0 "
        "-object memory-backend-remote,id=ram0,size=32M,cache-size=1M "
        "-numa node,memdev=ram0");
    uint64_t first = (32 * MiB - BASE) / PAGE, nr = 16 * MiB / PAGE;

    write_pages(qts, first, nr, 1);
    check_pages(qts, first, nr, 1);
    g_assert_cmpuint(query_member(qts, "fetched-pages"), >=, nr / 2);
    check_sane(qts);
    qtest_quit(qts);
}

/* The same for memory that is plugged in at run time. */
static void test_dimm(void)
{
    QTestState *qts = qtest_init("-nodefaults -machine q35 "
                                 "-m 64M,slots=1,maxmem=128M");
    uint64_t addr = 0x100000000ull, nr = 16 * MiB / PAGE;
    uint8_t want[PAGE], got[PAGE];

    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': { "
                             "'qom-type': 'memory-backend-remote', "
                             "'id': 'ram0', 'size': 67108864, "
                             "'cache-size': 1048576 } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', 'arguments': { "
                             "'driver': 'pc-dimm', 'id': 'd0', "
                             "'memdev': 'ram0' } }");
    for (uint64_t i = 0; i < nr; i++) {
        make_page(want, i, 1);
        qtest_bufwrite(qts, addr + i * PAGE, want, PAGE);
    }
    for (uint64_t i = 0; i < nr; i++) {
        make_page(want, i, 1);
        qtest_bufread(qts, addr + i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
    g_assert_cmpuint(query_member(qts, "fetched-pages"), >=, nr / 2);
    check_sane(qts);
    qtest_quit(qts);
}

/* Failure */

static void wait_status(QTestState *qts, const char *status)
{
    for (;;) {
        QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-status' }");
        bool done = !strcmp(qdict_get_str(qdict_get_qdict(resp, "return"),
                                          "status"), status);

        qobject_unref(resp);
        if (done) {
            return;
        }
        g_usleep(10000);
    }
}

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

#define FAULTY "-object remote-store-ram,id=s0 " \
               "-object remote-store-fault,id=f0,store=s0 "

/*
 * Enough that a page has to be written, but not so many that this thread has
 * to wait for that.
 */
/* Write pages from @nr on until there is an error more.  Returns: the end. */
static uint64_t write_until_error(QTestState *qts, uint64_t nr)
{
    uint64_t errors = query_member(qts, "errors");

    do {
        write_pages(qts, nr++, 1, 1);
    } while (query_member(qts, "errors") == errors);
    return nr;
}

/* If this fails, a VM runs on while its memory cannot be written. */
static void test_error_stop(void)
{
    QTestState *qts = start(FAULTY RAM0 ",cache-size=8M,store=f0");
    uint64_t nr;

    set_fault(qts, "error-rate", 1);
    nr = write_until_error(qts, 0);
    wait_error(qts, "stop");
    wait_status(qts, "io-error");
    check_pages(qts, 0, nr, 1);
    /* As long as nothing is repaired, going on leads back here. */
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    write_until_error(qts, nr);
    wait_error(qts, "stop");
    wait_status(qts, "io-error");
    set_fault(qts, "error-rate", 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    wait_status(qts, "running");
    write_pages(qts, 0, 32 * MiB / PAGE, 2);
    check_pages(qts, 0, 32 * MiB / PAGE, 2);
    check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, on-error=report stops the VM, or says nothing. */
static void test_error_report(void)
{
    QTestState *qts = start(FAULTY RAM0 ",cache-size=8M,store=f0,"
                            "on-error=report");
    uint64_t nr;

    set_fault(qts, "drop-rate", 1);
    nr = write_until_error(qts, 0);
    wait_error(qts, "report");
    wait_status(qts, "running");
    set_fault(qts, "drop-rate", 0);
    check_pages(qts, 0, nr, 1);
    write_pages(qts, 0, 32 * MiB / PAGE, 2);
    check_pages(qts, 0, 32 * MiB / PAGE, 2);
    qtest_quit(qts);
}

/*
 * If this fails, a store that is full loses what it has no room for.  Of the
 * pages, the last ones are local: reading all would need room again.
 */
static void test_full_store(void)
{
    QTestState *qts = start("-object remote-store-ram,id=f0,max-size=1M "
                            RAM0 ",cache-size=8M,store=f0");
    uint64_t nr = write_until_error(qts, 0);

    wait_error(qts, "stop");
    wait_status(qts, "io-error");
    check_pages(qts, 0, 8, 1);
    check_pages(qts, nr - 1700, 1700, 1);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        { "contents/default-store", test_default_store },
        { "contents/lz4", test_lz4 },
        { "contents/zstd", test_zstd },
        { "contents/shards", test_shards },
        { "contents/slow-store", test_slow_store },
        { "contents/180-pages", test_180_pages },
        { "contents/no-verify", test_no_verify },
        { "contents/unreliable-store", test_unreliable_store },
        { "contents/zero-pages", test_zero_pages },
        { "contents/clean-drops", test_clean_drops },
        { "resize/up-and-down", test_resize },
        { "resize/twice", test_resize_twice },
        { "resize/grow-to-all", test_grow_to_all },
        { "resize/property", test_resize_property },
        { "resize/errors", test_resize_errors },
        { "commands/empty", test_empty_queries },
        { "commands/hmp", test_hmp },
        { "object/refused", test_refused },
        { "object/fixed-properties", test_fixed_properties },
        { "object/add-del", test_add_del },
        { "object/terabyte", test_terabyte },
        { "object/del-in-use", test_del_in_use },
        { "object/numa", test_numa },
        { "object/dimm", test_dimm },
        { "failure/stop", test_error_stop },
        { "failure/report", test_error_report },
        { "failure/full-store", test_full_store },
    };

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("/remote-memory/%s",
                                                tests[i].name);

        qtest_add_func(path, tests[i].func);
    }
    return g_test_run();
}
