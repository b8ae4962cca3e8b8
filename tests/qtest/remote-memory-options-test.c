/*
 * QTest: memory-backend-remote and options that concern all of the memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"

#define VM "-machine q35,memory-backend=ram0 -m 64M "
#define SECRETLY "-machine confidential-guest-support=sev0 "
#define SEV "-object sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1 "
#define SNP "-object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1 "
#define NR (16 * MiB / PAGE)

#define LOCKED "memory backend 'ram0': locked memory cannot be remote\n" \
               "Leave out -overcommit mem-lock.\n"
#define PREALLOC "property 'prealloc' cannot be 'on': memory is local only " \
                 "as far as 'cache-size' allows"
#define MERGE "property 'merge' cannot be 'on': pages that are merged cannot " \
              "be moved"
#define SHARE "property 'share' cannot be 'on': pages can be moved out of " \
              "private memory only"
#define RESERVE "property 'reserve' cannot be 'on': no local memory is " \
                "reserved for pages that are remote"
#define SECRET "memory backend 'ram0': the memory of a confidential guest " \
               "cannot be remote\nLeave out confidential-guest-support, or " \
               "use another memory backend.\n"

/* If this fails, a VM starts whose memory cannot be where it should. */
static void test_refused(void)
{
    static const char *const bad[][2] = {
        { VM RAM0 " -overcommit mem-lock=on", LOCKED },
        { "-overcommit mem-lock=on " VM RAM0, LOCKED },
        { VM RAM0 " -overcommit mem-lock=on-fault", LOCKED },
        { "-overcommit mem-lock=on-fault " VM RAM0, LOCKED },
        { VM RAM0 ",share=on", "memory backend 'ram0': " SHARE "\n" },
        { VM RAM0 ",prealloc=on,reserve=on",
          "memory backend 'ram0': " PREALLOC "\n" },
        { VM RAM0 " -mem-prealloc", "memory backend 'ram0': " PREALLOC "\n" },
        { "-mem-prealloc " VM RAM0, "memory backend 'ram0': " PREALLOC "\n" },
        { VM RAM0 ",merge=on", "memory backend 'ram0': " MERGE "\n" },
        { VM RAM0 ",reserve=on", "memory backend 'ram0': " RESERVE "\n" },
        { VM RAM0 " -mem-path /dev/hugepages",
          "'-mem-path' can't be used together with'-machine memory-backend'" },
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        rm_assert_no_start(bad[i][0], bad[i][1]);
    }
}

/*
 * The same for confidential guests, with or without memory that is KVM's.  They
 * do not start here for other reasons, too, which are found later.
 */
static void test_confidential(void)
{
    static const char *const bad[] = {
        VM SECRETLY SEV RAM0,
        RAM0 " " SEV SECRETLY VM,
        VM SECRETLY SNP RAM0,
        RAM0 " " SNP SECRETLY VM,
        VM "-machine memory-encryption=sev0 " SEV RAM0,
    };

    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        rm_assert_no_start(bad[i], SECRET);
    }
}

static QDict *arguments(const char *json)
{
    return qobject_to(QDict, qobject_from_json(json, &error_abort));
}

/* If this fails, what is refused from the start can be had later. */
static void test_late(void)
{
    static const char *const bad[][2] = {
        { "prealloc", "memory backend 'ram0': " PREALLOC },
        { "merge", "memory backend 'ram0': " MERGE },
        { "share", "cannot change property value" },
        { "reserve", "cannot change property value" },
    };
    QTestState *qts = rm_start(RAM0 ",cache-size=2M -object "
                               "memory-backend-ram,id=plain,size=1M");

    rm_write_pages(qts, 0, NR, 1);
    for (int i = 0; i < ARRAY_SIZE(bad); i++) {
        QDict *args = arguments("{ 'path': '/objects/ram0', 'value': true }");

        qdict_put_str(args, "property", bad[i][0]);
        rm_assert_error(qts, "GenericError", bad[i][1], args, "qom-set");
    }
    /* Other backends can do it as ever. */
    for (int i = 0; i < 2; i++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                                 "'path': '/objects/plain', 'property': %s, "
                                 "'value': true } }", bad[i][0]);
    }
    rm_check_pages(qts, 0, NR, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* The same for a backend that comes later. */
static void test_late_object(void)
{
    QTestState *qts = qtest_init("-machine none -mem-prealloc");

    rm_assert_error(qts, "GenericError", "memory backend 'm0': " PREALLOC,
                    arguments("{ 'qom-type': 'memory-backend-remote', "
                              "'id': 'm0', 'size': 1048576 }"), "object-add");
    qtest_quit(qts);
}

/* If this fails, ways of running QEMU leave the guest with wrong memory. */
static void test_run(const char *options)
{
    g_autofree char *args = g_strdup_printf(RAM0 ",cache-size=2M %s",
                                            options);
    QTestState *qts = rm_start(args);

    rm_write_pages(qts, 0, NR, 1);
    rm_check_pages(qts, 0, NR, 1);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >=, NR / 2);
    rm_check_sane(qts);
    /* A daemon is not the process that was started. */
    qtest_qmp_assert_success(qts, "{ 'execute': 'quit' }");
    qtest_wait_qemu(qts);
    qtest_quit(qts);
}

static void test_merge_default(void)
{
    test_run("-machine mem-merge=on");
}

static void test_daemon(void)
{
    test_run("-daemonize");
}

static void test_teardown(void)
{
    test_run("-run-with async-teardown=on");
}

static void test_user(void)
{
    if (geteuid()) {
        g_test_skip("only root can become somebody else");
        return;
    }
    test_run("-run-with user=nobody");
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "options/refused", test_refused },
        { "options/confidential", test_confidential },
        { "options/late", test_late },
        { "options/late-object", test_late_object },
        { "options/merge-default", test_merge_default },
        { "options/daemonize", test_daemon },
        { "options/async-teardown", test_teardown },
        { "options/user", test_user },
        { }
    };

    return rm_run(argc, argv, tests);
}
