/*
 * QTest: remote-memory-hints, a guest that says how it will use its memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qobject/qjson.h"
#include "remote-memory-hinter.h"
#include "remote-memory-lib.h"

#define DEVICE "-device remote-memory-hints,id=h0,addr=4.0"
#define OFF ",prefetch=off"

#define ALL_PAGES 8192
#define FRAME(page) (BASE / PAGE + (page))

/* Those that are not zero, and so can be in a store. */
static uint64_t contents(uint64_t first, uint64_t nr)
{
    uint64_t n = 0;

    for (uint64_t i = first; i < first + nr; i++) {
        n += i % 5 != 0;
    }
    return n;
}

static uint64_t waited_for(QTestState *qts)
{
    return rm_query_member(qts, "fetched-pages") -
           rm_query_member(qts, "prefetched-pages");
}

static void wait_prefetched(QTestState *qts, uint64_t nr)
{
    while (rm_query_member(qts, "prefetched-pages") < nr) {
        g_usleep(100);
    }
}

/* Registers */

/* If this fails, a program takes the device for another one. */
static void test_registers(void)
{
    Hinter g;

    hinter_start(&g, RAM0, DEVICE);
    g_assert_cmphex(qpci_config_readw(g.dev, 0), ==, HINT_PCI_VENDOR);
    g_assert_cmphex(qpci_config_readw(g.dev, 2), ==, HINT_PCI_DEVICE);
    g_assert_cmpuint(hinter_register(&g, HINT_REG_VERSION), ==, HINT_VERSION);
    g_assert_cmphex(hinter_register(&g, HINT_REG_OPS), ==,
                    1u << HINT_OP_WILLNEED | 1u << HINT_OP_COLD);
    for (int r = HINT_REG_POSTED; r < HINT_RING_OFFSET; r += 4) {
        g_assert_cmpuint(hinter_register(&g, r), ==, 0);
        if (r != HINT_REG_POSTED) {
            qpci_io_writel(g.dev, g.bar, r, 0xffffffff);
            g_assert_cmpuint(hinter_register(&g, r), ==, 0);
        }
    }
    hinter_quit(&g);
}

/* WILLNEED */

static void check_willneed(const char *objects)
{
    uint64_t before, waited;
    Hinter g;

    hinter_start(&g, objects, DEVICE);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    before = rm_query_member(g.qts, "remote-size");
    hinter_say(&g, HINT_OP_WILLNEED, FRAME(100), 300);
    wait_prefetched(g.qts, contents(100, 300));
    g_assert_cmpuint(rm_query_member(g.qts, "prefetched-pages"), ==,
                     contents(100, 300));
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 300);
    g_test_message("remote before %" PRIu64 ", after %" PRIu64, before,
                   rm_query_member(g.qts, "remote-size"));
    waited = waited_for(g.qts);
    rm_check_pages(g.qts, 100, 300, 0);
    g_assert_cmpuint(waited_for(g.qts), ==, waited);
    rm_check_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_quit(&g);
}

/* If this fails, a program waits for what it has said that it will use. */
static void test_willneed(void)
{
    check_willneed(RAM0 OFF ",cache-size=8M");
}

/* If this fails, a hint is lost where memory goes from shard to shard. */
static void test_shards(void)
{
    check_willneed("-object iothread,id=io0 -object iothread,id=io1 "
                   "-object iothread,id=io2 " RAM0 OFF ",cache-size=8M,"
                   "iothreads=io0,iothreads=io1,iothreads=io2");
}

/* If this fails, hints about single pages are mixed up. */
static void test_scattered(void)
{
    uint64_t waited;
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    for (int i = 0; i < 200; i++) {
        hinter_put(&g, HINT_OP_WILLNEED, FRAME(1 + i * 15), 1);
    }
    hinter_post(&g);
    wait_prefetched(g.qts, 200);
    g_assert_cmpuint(rm_query_member(g.qts, "prefetched-pages"), ==, 200);
    waited = waited_for(g.qts);
    for (int i = 0; i < 200; i++) {
        rm_check_pages(g.qts, 1 + i * 15, 1, 0);
    }
    g_assert_cmpuint(waited_for(g.qts), ==, waited);
    hinter_quit(&g);
}

/*
 * If this fails, hints about more than there is room for make more of it, or
 * keep somebody from going on.
 */
static void test_no_room(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=737280", DEVICE);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    for (int i = 0; i < 4; i++) {
        hinter_say(&g, HINT_OP_WILLNEED, FRAME(i * 2048), 2048);
        rm_check_sane(g.qts);
        rm_check_pages(g.qts, i * 1000, 200, 0);
    }
    rm_check_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_quit(&g);
}

/* If this fails, a store that fails costs data, because of a hint. */
static void test_failing_store(void)
{
    Hinter g;

    hinter_start(&g, FAULTY RAM0 OFF ",cache-size=8M,store=f0,on-error=report",
                DEVICE);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    rm_set_fault(g.qts, "error-rate", 0.5);
    rm_set_fault(g.qts, "corrupt-rate", 0.2);
    for (int i = 0; i < 10; i++) {
        hinter_say(&g, HINT_OP_WILLNEED, FRAME(i * 200), 200);
    }
    rm_set_fault(g.qts, "error-rate", 0);
    rm_set_fault(g.qts, "corrupt-rate", 0);
    rm_check_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_quit(&g);
}

/* COLD */

#define OLD_PAGES 1300
#define COLD_PAGES 200
#define NEW_PAGES 700

static uint64_t fetched_by(QTestState *qts, uint64_t first, uint64_t nr)
{
    uint64_t before = rm_query_member(qts, "fetched-pages");

    rm_check_pages(qts, first, nr, 0);
    return rm_query_member(qts, "fetched-pages") - before;
}

/* How many have to be fetched of those that were not the last to be used. */
static uint64_t fetched_of_old(bool say)
{
    uint64_t old, cold;
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE);
    rm_write_pages(g.qts, 0, OLD_PAGES + COLD_PAGES, 0);
    g_assert_cmpuint(rm_query_member(g.qts, "remote-size"), ==, 0);
    if (say) {
        hinter_say(&g, HINT_OP_COLD, FRAME(OLD_PAGES), COLD_PAGES);
        g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, COLD_PAGES);
        /* They go when there is need, and not before. */
        g_assert_cmpuint(fetched_by(g.qts, OLD_PAGES, COLD_PAGES), ==, 0);
    }
    rm_write_pages(g.qts, OLD_PAGES + COLD_PAGES, NEW_PAGES, 0);
    old = fetched_by(g.qts, 0, OLD_PAGES);
    cold = fetched_by(g.qts, OLD_PAGES, COLD_PAGES);
    g_test_message("hint %d: fetched %" PRIu64 " old pages, %" PRIu64 " cold",
                   say, old, cold);
    g_assert_cmpuint(cold, ==, contents(OLD_PAGES, COLD_PAGES));
    hinter_quit(&g);
    return old;
}

/* If this fails, pages stay that the guest needs no more, and others go. */
static void test_cold(void)
{
    uint64_t plain = fetched_of_old(false);

    /* There, those of the others that are read push out the next ones. */
    g_assert_cmpuint(fetched_of_old(true), <, plain / 10);
}

/* FORGET */

static uint64_t stored(QTestState *qts)
{
    QDict *resp = qtest_qmp(qts, "{ 'execute': 'query-remote-stores' }");
    QDict *info = qobject_to(QDict, qlist_peek(qdict_get_qlist(resp,
                                                               "return")));
    uint64_t pages = qdict_get_int(info, "pages");

    qobject_unref(resp);
    return pages;
}

static void assert_zero(QTestState *qts, uint64_t first, uint64_t nr)
{
    uint8_t page[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        qtest_bufread(qts, BASE + i * PAGE, page, PAGE);
        g_assert_true(buffer_is_zero(page, PAGE));
    }
}

/*
 * If this fails, what the guest needs no more goes on to take room, or content
 * comes back that was forgotten.
 */
static void test_forget(void)
{
    uint64_t before;
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE ",forget=on");
    g_assert_true(hinter_register(&g, HINT_REG_OPS) & 1u << HINT_OP_FORGET);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    before = stored(g.qts);
    hinter_say(&g, HINT_OP_FORGET, FRAME(1000), 4000);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 4000);
    while (stored(g.qts) > before - contents(1000, 4000)) {
        g_usleep(1000);
    }
    assert_zero(g.qts, 1000, 4000);
    rm_check_pages(g.qts, 0, 1000, 0);
    rm_check_pages(g.qts, 5000, ALL_PAGES - 5000, 0);
    /* The youngest are resident or in standby. */
    hinter_say(&g, HINT_OP_FORGET, FRAME(ALL_PAGES - 500), 500);
    assert_zero(g.qts, ALL_PAGES - 500, 500);
    rm_write_pages(g.qts, 1000, 4000, 1);
    rm_check_pages(g.qts, 1000, 4000, 1);
    hinter_quit(&g);
}

/* If this fails, a page that is on its way comes back after it was forgotten */
static void test_forget_fetching(void)
{
    Hinter g;

    hinter_start(&g, "-object remote-store-ram,id=s0 -object "
                "remote-store-fault,id=f0,store=s0,delay-us=1000 " RAM0 OFF
                ",cache-size=8M,store=f0", DEVICE ",forget=on");
    rm_write_pages(g.qts, 0, 4096, 0);
    for (int i = 0; i < 20; i++) {
        hinter_put(&g, HINT_OP_WILLNEED, FRAME(i * 50), 50);
        hinter_put(&g, HINT_OP_FORGET, FRAME(i * 50 + 10), 20);
        hinter_post(&g);
    }
    hinter_wait(&g);
    for (int i = 0; i < 20; i++) {
        rm_check_pages(g.qts, i * 50, 10, 0);
        assert_zero(g.qts, i * 50 + 10, 20);
        rm_check_pages(g.qts, i * 50 + 30, 20, 0);
    }
    hinter_quit(&g);
}

/* If this fails, content is forgotten that nobody has allowed to be. */
static void test_forget_refused(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE);
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_say(&g, HINT_OP_FORGET, FRAME(0), 4000);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_INVALID), ==, 1);
    rm_check_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_quit(&g);
}

/* Misuse */

/* If this fails, a hint about what is no memory has an effect. */
static void test_elsewhere(void)
{
    /* The BAR itself, the hole below 4 GiB, firmware, and far beyond. */
    const uint64_t frames[] = { 0, 0xfee00, 0xffff0, 0xb0000, 0x100000,
                                0xfffffffffull, (1ull << 51) };
    uint64_t ignored = 0;
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE ",forget=on");
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    for (uint32_t op = HINT_OP_WILLNEED; op <= HINT_OP_FORGET; op++) {
        for (int i = 0; i < ARRAY_SIZE(frames); i++) {
            hinter_say(&g, op, frames[i] ?: g.bar.addr / PAGE, 2);
            ignored += 2;
            g_assert_cmpuint(hinter_counter(&g, HINT_REG_IGNORED), ==, ignored);
        }
        /* Half of it is beyond the end. */
        hinter_say(&g, HINT_OP_COLD, 64 * MiB / PAGE - 8, 16);
        ignored += 8;
    }
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_IGNORED), ==, ignored);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 3 * 8);
    rm_check_pages(g.qts, 0, ALL_PAGES, 0);
    hinter_quit(&g);
}

/* If this fails, nonsense is not seen, or seen as something else. */
static void test_nonsense(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE);
    hinter_say(&g, HINT_OP_NONE, FRAME(0), 1);
    hinter_say(&g, 77, FRAME(0), 1);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 0);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), HINT_MAX_PAGES + 1);
    hinter_say(&g, HINT_OP_COLD, UINT64_MAX, 1);
    hinter_say(&g, HINT_OP_COLD, (1ull << 52) - 5, 5);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_INVALID), ==, 6);
    g.posted += HINT_SLOTS + 1;
    hinter_post(&g);
    hinter_wait(&g);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_INVALID), ==, 7);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 1);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 1);
    hinter_quit(&g);
}

/* If this fails, a guest can have more done for it than it is allowed. */
static void test_limit(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M",
                DEVICE ",pages-per-second=1000");
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 1500);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 1000);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_LIMITED), ==, 500);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 100);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_LIMITED), ==, 600);
    qtest_clock_step(g.qts, 250 * 1000 * 1000);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 300);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 1250);
    hinter_quit(&g);
}

static uint64_t random_word(void)
{
    return ((uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int())
           >> g_test_rand_int_range(0, 64);
}

static void put_random(Hinter *g)
{
    switch (g_test_rand_int_range(0, 4)) {
    case 0:
        hinter_put(g, random_word(), random_word(), random_word());
        break;
    case 1:
        hinter_put(g, g_test_rand_int_range(0, 4), random_word(),
            g_test_rand_int_range(0, HINT_MAX_PAGES + 2));
        break;
    default:
        hinter_put(g, g_test_rand_int_range(HINT_OP_WILLNEED, HINT_OP_FORGET),
            g_test_rand_int_range(0, 64 * MiB / PAGE),
            g_test_rand_int_range(1, 300));
        break;
    }
}

/* If this fails, some hint does harm; --seed runs the same ones again. */
static void check_random(const char *objects)
{
    g_autofree uint8_t *versions = g_new0(uint8_t, ALL_PAGES);
    Hinter g;

    hinter_start(&g, objects, DEVICE ",pages-per-second=4294967295");
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    for (int i = 0; i < 300; i++) {
        uint64_t page = g_test_rand_int_range(0, ALL_PAGES);

        for (int k = g_test_rand_int_range(0, HINT_SLOTS); k > 0; k--) {
            put_random(&g);
        }
        if (g_test_rand_int_range(0, 20) == 0) {
            g.posted = g_test_rand_int();
        }
        hinter_post(&g);
        rm_check_pages(g.qts, page, 1, versions[page]);
        rm_write_pages(g.qts, page, 1, ++versions[page]);
    }
    hinter_wait(&g);
    for (uint64_t i = 0; i < ALL_PAGES; i++) {
        rm_check_pages(g.qts, i, 1, versions[i]);
    }
    hinter_quit(&g);
}

static void test_random(void)
{
    check_random(RAM0 ",cache-size=8M");
    check_random(RAM0 ",cache-size=737280");
}

/* Life cycle */

/* If this fails, a guest without remote memory cannot have the device. */
static void test_plain(void)
{
    Hinter g;

    hinter_init(&g, qtest_init("-nodefaults -machine q35 -m 64M " DEVICE
                              ",forget=on"));
    qtest_memset(g.qts, BASE, 0x5a, 16 * PAGE);
    for (uint32_t op = HINT_OP_WILLNEED; op <= HINT_OP_FORGET; op++) {
        hinter_say(&g, op, FRAME(0), 16);
    }
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_IGNORED), ==, 48);
    g_assert_cmpuint(qtest_readb(g.qts, BASE + 5 * PAGE), ==, 0x5a);
    hinter_free(&g);
    qtest_quit(g.qts);
}

/* If this fails, hints from before a reset are taken for those after it. */
static void test_reset(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF, DEVICE ",pages-per-second=100");
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 60);
    qtest_system_reset(g.qts);
    hinter_free(&g);
    hinter_init(&g, g.qts);
    g_assert_cmpuint(hinter_register(&g, HINT_REG_POSTED), ==, 0);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 0);
    hinter_say(&g, HINT_OP_COLD, FRAME(0), 60);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 40);
    hinter_quit(&g);
}

/* If this fails, a VM that stands still uses what may be another one's. */
static void test_stopped(void)
{
    Hinter g;

    hinter_start(&g, RAM0 OFF ",cache-size=8M", DEVICE ",forget=on");
    rm_write_pages(g.qts, 0, ALL_PAGES, 0);
    qtest_qmp_assert_success(g.qts, "{ 'execute': 'stop' }");
    hinter_say(&g, HINT_OP_FORGET, FRAME(0), 100);
    g_assert_cmpuint(hinter_counter(&g, HINT_REG_ACCEPTED), ==, 0);
    qtest_qmp_assert_success(g.qts, "{ 'execute': 'cont' }");
    rm_check_pages(g.qts, 0, 200, 0);
    hinter_say(&g, HINT_OP_FORGET, FRAME(0), 100);
    assert_zero(g.qts, 0, 100);
    hinter_quit(&g);
}

/* By way of a file.  Returns: the other VM, which runs. */
static QTestState *migrate(QTestState *from)
{
    g_autofree char *directory = g_dir_make_tmp("remote-memory-hints-XXXXXX",
                                                NULL);
    g_autofree char *path = g_build_filename(directory, "state", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    QTestState *to = rm_start(RAM0 OFF ",cache-size=8M " DEVICE
                              " -incoming defer");

    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", uri);
    rm_wait_status(from, "postmigrate");
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    rm_wait_status(to, "running");
    unlink(path);
    rmdir(directory);
    return to;
}

/* If this fails, a program cannot go on with its hints on another host. */
static void test_migration(void)
{
    Hinter from, to;

    hinter_start(&from, RAM0 OFF ",cache-size=8M", DEVICE);
    rm_write_pages(from.qts, 0, ALL_PAGES, 0);
    hinter_say(&from, HINT_OP_COLD, FRAME(0), 100);
    hinter_init(&to, migrate(from.qts));
    to.posted = hinter_register(&to, HINT_REG_POSTED);
    g_assert_cmpuint(to.posted, ==, from.posted);
    g_assert_cmpuint(hinter_register(&to, HINT_REG_DONE), ==, to.posted);
    g_assert_cmpuint(hinter_counter(&to, HINT_REG_ACCEPTED), ==, 100);
    hinter_say(&to, HINT_OP_WILLNEED, FRAME(0), 100);
    g_assert_cmpuint(hinter_counter(&to, HINT_REG_ACCEPTED), ==, 200);
    rm_check_pages(to.qts, 0, ALL_PAGES, 0);
    hinter_quit(&to);
    hinter_quit(&from);
}

/* If this fails, the device cannot be unplugged while it has much to do. */
static void test_unplug(void)
{
    QTestState *qts =
        qtest_init("-nodefaults -machine pc,memory-backend=ram0 -m 64M "
                   "-object remote-store-ram,id=s0 -object "
                   "remote-store-fault,id=f0,store=s0,delay-us=200 " RAM0 OFF
                   ",cache-size=8M,store=f0");
    Hinter g;

    rm_assert_error(qts, "GenericError", "must be above 0",
                    qdict_from_jsonf_nofail("{ 'driver': "
                                            "'remote-memory-hints', "
                                            "'pages-per-second': 0 }"),
                    "device_add");
    rm_write_pages(qts, 0, ALL_PAGES, 0);
    for (int round = 0; round < 4; round++) {
        qtest_qmp_device_add(qts, "remote-memory-hints", "h0",
                             "{ 'addr': '4' }");
        hinter_init(&g, qts);
        for (int i = 0; i < HINT_SLOTS; i++) {
            hinter_put(&g, i % 2 ? HINT_OP_COLD : HINT_OP_WILLNEED,
                FRAME(i * 30), 60);
        }
        hinter_post(&g);
        hinter_free(&g);
        qpci_unplug_acpi_device_test(qts, "h0", HINTER_SLOT);
    }
    rm_check_pages(qts, 0, ALL_PAGES, 0);
    rm_check_sane(qts);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "hints/registers", test_registers },
        { "hints/willneed", test_willneed },
        { "hints/shards", test_shards },
        { "hints/scattered", test_scattered },
        { "hints/no-room", test_no_room },
        { "hints/failing-store", test_failing_store },
        { "hints/cold", test_cold },
        { "hints/forget", test_forget },
        { "hints/forget-fetching", test_forget_fetching },
        { "hints/forget-refused", test_forget_refused },
        { "hints/elsewhere", test_elsewhere },
        { "hints/nonsense", test_nonsense },
        { "hints/limit", test_limit },
        { "hints/random", test_random },
        { "hints/plain", test_plain },
        { "hints/reset", test_reset },
        { "hints/stopped", test_stopped },
        { "hints/migration", test_migration },
        { "hints/unplug", test_unplug },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
