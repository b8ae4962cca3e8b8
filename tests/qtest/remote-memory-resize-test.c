/*
 * QTest: memory-backend-remote, the size of the cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

/* If this fails, the cache is not what the operator has set. */
static void test_resize(void)
{
    QTestState *qts = rm_start(RAM0);
    uint64_t nr = 32 * MiB / PAGE;

    rm_write_pages(qts, 0, nr, 1);
    g_assert_cmpuint(rm_query_member(qts, "evicted-pages"), ==, 0);
    for (int i = 0; i < 3; i++) {
        rm_resize(qts, 180 * PAGE);
        rm_check_pages(qts, 0, nr / 4, 1);
        rm_resize(qts, 16 * MiB);
        rm_check_pages(qts, 0, nr, 1);
        rm_resize(qts, 64 * MiB);
    }
    rm_check_pages(qts, 0, nr, 1);
    qtest_quit(qts);
}

/* If this fails, a client that sets the size twice waits for ever. */
static void test_resize_twice(void)
{
    QTestState *qts = rm_start(RAM0);

    rm_write_pages(qts, 0, 32 * MiB / PAGE, 1);
    rm_set_cache_size(qts, 1 * MiB);
    rm_resize(qts, 180 * PAGE);
    qtest_quit(qts);
}

/*
 * If this fails, memory that was on its way out when the cache grew to the
 * whole size is never free again, and the guest waits for it for ever.
 */
static void test_grow_to_all(void)
{
    QTestState *qts = rm_start("-object remote-store-ram,id=s0 -object "
                            "remote-store-fault,id=f0,store=s0,delay-us=20000 "
                            RAM0 ",cache-size=8M,store=f0");
    uint64_t nr = 12 * MiB / PAGE;

    rm_write_pages(qts, 0, nr, 1);
    rm_set_cache_size(qts, 64 * MiB);
    rm_write_pages(qts, 0, 56 * MiB / PAGE, 2);
    rm_check_pages(qts, 0, 56 * MiB / PAGE, 2);
    qtest_quit(qts);
}

/*
 * If this fails, a cache whose pages the store has already does not shrink
 * until the guest touches something.
 */
static void test_shrink_clean(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=128K,prefetch=off");

    rm_write_pages(qts, 0, 100, 1);
    rm_check_pages(qts, 0, 100, 1);
    rm_resize(qts, 1 * MiB);
    rm_check_pages(qts, 0, 100, 1);
    rm_resize(qts, 64 * PAGE);
    rm_check_pages(qts, 0, 100, 1);
    qtest_quit(qts);
}

/* If this fails, the property and the command are not the same. */
static void test_resize_property(void)
{
    QTestState *qts = rm_start(RAM0);

    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/ram0', 'property': "
                             "'cache-size', 'value': 1048576 } }");
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 1048576);
    qtest_quit(qts);
}

/* If this fails, a wrong size does harm instead of being refused. */
static void test_resize_errors(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=2M");
    const char *command = "remote-memory-set-cache-size";
    static const int64_t bad[] = { 0, PAGE, 2 * MiB + 1, 65 * MiB };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        rm_assert_error(qts, "GenericError", "'ram0': property 'cache-size'",
                        qdict_from_jsonf_nofail("{ 'id': 'ram0', "
                                                "'cache-size': %" PRId64 " }",
                                                bad[i]), command);
    }
    rm_assert_error(qts, "DeviceNotFound", "'ram1'",
                    qdict_from_jsonf_nofail("{ 'id': 'ram1', 'cache-size': "
                                            "1048576 }"), command);
    g_assert_cmpuint(rm_query_member(qts, "cache-size"), ==, 2 * MiB);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "resize/up-and-down", test_resize },
        { "resize/twice", test_resize_twice },
        { "resize/grow-to-all", test_grow_to_all },
        { "resize/clean", test_shrink_clean },
        { "resize/property", test_resize_property },
        { "resize/errors", test_resize_errors },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
