/*
 * QTest: memory-backend-remote, the object and its commands
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"

/* Commands */

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
    QTestState *qts = rm_start(RAM0);
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
    g_assert_nonnull(strstr(unknown, "shows which there are"));
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
        { "'size': 1048576, 'store': 'none'",
          "'m0': property 'store' cannot be 'none'" },
        { "'size': 1048576, 'store': 'io0'",
          "'m0': property 'store' cannot be 'io0'" },
        { "'size': 1048576, 'iothreads': [ 'io1' ]",
          "'m0': property 'iothreads': there is no iothread 'io1'" },
        { "'size': 1048576, 'iothreads': [ 'io0', 'io0' ]",
          "'m0': property 'iothreads': 'io0' is there twice" },
        { "'size': 1048576, 'on-error': 'panic'", "'on-error'" },
        { "'size': 1048576, 'prefetch': 'always'", "'prefetch'" },
    };
    QTestState *qts = qtest_init("-machine none -object iothread,id=io0");

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *json = g_strdup_printf(
            "{ 'qom-type': 'memory-backend-remote', 'id': 'm0', %s }",
            bad[i].props);

        rm_assert_error(qts, "GenericError", bad[i].error,
                        qobject_to(QDict, qobject_from_json(json,
                                                            &error_abort)),
                        "object-add");
    }
    qtest_quit(qts);
}

/* If this fails, who made a mistake is not told what to do. */
static void test_hints(void)
{
    static const struct {
        const char *args;
        const char *hint;
    } bad[] = {
        { "-object remote-store-block,id=s0,node-name=none",
          "Create it first, by -blockdev or blockdev-add." },
        { "-blockdev driver=null-co,node-name=n0,read-only=on "
          "-object remote-store-block,id=s0,node-name=n0",
          "Give the node read-only=off." },
        { "-object remote-store-ram,id=s0,max-size=1",
          "0 stands for as much as there is." },
        { "-object iothread,id=io0 "
          "-object memory-backend-remote,id=m0,size=1M,store=io0",
          "Give the id of a remote-store-... object." },
        { "-object memory-backend-remote,id=m0,size=1M,store=s0",
          "Create it first, with -object remote-store-...,id=s0" },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        rm_assert_no_start(bad[i].args, bad[i].hint);
    }
}

/* If this fails, a property that is fixed at creation changes later. */
static void test_fixed_properties(void)
{
    QTestState *qts = rm_start(RAM0);
    static const char *const fixed[] = {
        "'property': 'verify', 'value': false",
        "'property': 'on-error', 'value': 'report'",
        "'property': 'store', 'value': 'x'",
        "'property': 'iothreads', 'value': [ ]",
    };

    for (int i = 0; i < ARRAY_SIZE(fixed); i++) {
        g_autofree char *json = g_strdup_printf(
            "{ 'path': '/objects/ram0', %s }", fixed[i]);

        rm_assert_error(qts, "GenericError", "cannot be changed any more",
                        qobject_to(QDict, qobject_from_json(json,
                                                            &error_abort)),
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
        qobject_unref(rm_query(qts, "m0"));
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
    info = rm_query(qts, "m0");
    g_assert_cmpuint(qdict_get_int(info, "zero-size"), ==, 1 * TiB);
    g_assert_cmpuint(qdict_get_int(info, "metadata-size"), <=, 24 * pages);
    qobject_unref(info);
    qtest_quit(qts);
}

/* If this fails, memory that is in use can be taken away. */
static void test_del_in_use(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=s0 "
                            RAM0 ",store=s0");
    static const char *const ids[] = { "ram0", "s0" };

    for (int i = 0; i < ARRAY_SIZE(ids); i++) {
        rm_assert_error(qts, "GenericError", "in use",
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

    rm_write_pages(qts, first, nr, 1);
    rm_check_pages(qts, first, nr, 1);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >=, nr / 2);
    rm_check_sane(qts);
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
        rm_make_page(want, i, 1);
        qtest_bufwrite(qts, addr + i * PAGE, want, PAGE);
    }
    for (uint64_t i = 0; i < nr; i++) {
        rm_make_page(want, i, 1);
        qtest_bufread(qts, addr + i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >=, nr / 2);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* Help */

static QList *list(QTestState *qts, const char *command, const char *member,
                   const char *value)
{
    QDict *args = qdict_new();
    QDict *resp;
    QList *answer;

    qdict_put_str(args, member, value);
    resp = qtest_qmp(qts, "{ 'execute': %s, 'arguments': %p }", command, args);
    g_assert_true(qdict_haskey(resp, "return"));
    answer = qobject_ref(qdict_get_qlist(resp, "return"));
    qobject_unref(resp);
    return answer;
}

static bool has_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strstr(text, *words)) {
            return true;
        }
    }
    return false;
}

/* A number needs a unit, and what may be left out a default. */
static bool is_complete(QDict *property)
{
    static const char *const numbers[] = {
        "int", "size", "uint32", "uint64", "number", NULL
    };
    static const char *const units[] = {
        "in bytes", "in thousandths", "seconds", "number of ", "in pages",
        "from 0 to 1", "random sequence", NULL
    };
    static const char *const defaults[] = {
        "(default: ", "(required)", "(read-only)", NULL
    };
    const char *text = qdict_get_try_str(property, "description") ?: "";

    return g_str_has_prefix(text, "not available: ") ||
           ((qdict_haskey(property, "default-value") ||
             has_one_of(text, defaults)) &&
            (!g_strv_contains(numbers, qdict_get_str(property, "type")) ||
             has_one_of(text, units)) && *text);
}

static QDict *find(QList *properties, const char *name)
{
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(properties, entry) {
        QDict *property = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_equal(qdict_get_str(property, "name"), name)) {
            return property;
        }
    }
    return NULL;
}

/* Check those properties of a type that another one does not have. */
static void check_help(QTestState *qts, const char *command, const char *type,
                       const char *parent)
{
    QList *all = list(qts, command, "typename", type);
    QList *inherited = list(qts, "qom-list-properties", "typename", parent);
    unsigned nr = 0;
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(all, entry) {
        QDict *property = qobject_to(QDict, qlist_entry_obj(entry));
        const char *name = qdict_get_str(property, "name");

        if (find(inherited, name)) {
            continue;
        }
        if (!is_complete(property)) {
            g_test_message("%s,%s: '%s'", type, name,
                           qdict_get_try_str(property, "description"));
            g_test_fail();
        }
        nr++;
    }
    g_assert_cmpuint(nr, >, 0);
    qobject_unref(inherited);
    qobject_unref(all);
}

/* If this fails, "-object TYPE,help" does not say what a property is for. */
static void test_help(void)
{
    QTestState *qts = qtest_init("-machine none");
    QList *stores = list(qts, "qom-list-types", "implements", "remote-store");
    QListEntry *entry;

    check_help(qts, "qom-list-properties", "memory-backend-remote",
               "memory-backend");
    check_help(qts, "device-list-properties", "remote-memory-hints",
               "pci-device");
    QLIST_FOREACH_ENTRY(stores, entry) {
        QDict *type = qobject_to(QDict, qlist_entry_obj(entry));

        check_help(qts, "qom-list-properties", qdict_get_str(type, "name"),
                   "remote-store");
    }
    qobject_unref(stores);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "commands/empty", test_empty_queries },
        { "commands/hmp", test_hmp },
        { "object/refused", test_refused },
        { "object/hints", test_hints },
        { "object/fixed-properties", test_fixed_properties },
        { "object/add-del", test_add_del },
        { "object/terabyte", test_terabyte },
        { "object/del-in-use", test_del_in_use },
        { "object/numa", test_numa },
        { "object/dimm", test_dimm },
        { "object/help", test_help },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
