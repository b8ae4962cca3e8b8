/*
 * QTest: memory-backend-remote, what other sizes of the cache would cost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qobject/qlist.h"
#include "remote-memory-lib.h"
#include "remote-uses.h"

/* 128 samples; by default there would be none in so small a cache. */
#define CACHE (8 * MiB)
#define CACHE_PAGES (CACHE / PAGE)
#define GROUP 16

/* However many processors there are. */
#define ON_ONE "-object iothread,id=io0 " \
               "-object memory-backend-remote,id=ram0,iothreads=io0"
#define ON_TWO "-object iothread,id=io1 " ON_ONE ",iothreads=io1"

static uint64_t address(uint32_t page)
{
    return BASE + (uint64_t)page * PAGE;
}

static uint64_t stamp(uint32_t page)
{
    return (page + 1) * 0x9e3779b97f4a7c15ull;
}

static void use(void *opaque, uint32_t page)
{
    g_assert_cmphex(qtest_readq(opaque, address(page)), ==, stamp(page));
}

static void run(QTestState *qts, const Program *program, unsigned times)
{
    Uses uses = {
        .use = use, .opaque = qts, .rand = g_rand_new_with_seed(1),
        .cache = CACHE_PAGES,
    };

    for (unsigned i = 0; i < times; i++) {
        program->run(&uses);
    }
    g_rand_free(uses.rand);
}

static uint64_t measure(QTestState *qts, const Program *program)
{
    uint64_t before = rm_query_member(qts, "fetched-pages");

    run(qts, program, program->runs / 2);
    return rm_query_member(qts, "fetched-pages") - before;
}

/* What it would be with a size, or 0 if nothing is said of that. */
static uint64_t estimated(QTestState *qts, uint64_t size)
{
    QDict *info = rm_query(qts, "ram0");
    QListEntry *entry;
    uint64_t pages = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(info, "estimate"), entry) {
        QDict *estimate = qobject_to(QDict, qlist_entry_obj(entry));

        if (qdict_get_int(estimate, "cache-size") == size) {
            pages = qdict_get_int(estimate, "fetched-pages");
            g_assert_true((qdict_get_double(estimate, "fetch-rate") > 0) ==
                          (pages > 0));
        }
    }
    qobject_unref(info);
    return pages;
}

static void check(uint64_t size, uint64_t predicted, uint64_t fetched)
{
    uint64_t off = MAX(predicted, fetched) - MIN(predicted, fetched);

    g_test_message("with %" PRIu64 " MiB: %" PRIu64 " fetched, %" PRIu64
                   " predicted", size / MiB, fetched, predicted);
    g_assert_cmpuint(off, <=, fetched / 4);
}

static QTestState *start(const Program *program, const char *backend)
{
    uint32_t pages = program->pages * CACHE_PAGES;
    QTestState *qts;

    qts = qtest_initf("-nodefaults -machine q35,memory-backend=ram0 -m %uM "
                      "%s,size=%uM,cache-size=%uM",
                      (unsigned)(address(pages) / MiB), backend,
                      (unsigned)(address(pages) / MiB),
                      (unsigned)(CACHE / MiB));
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': { "
                             "'path': '/objects/ram0', 'property': "
                             "'x-sample-pages', 'value': %u } }", GROUP);
    for (uint32_t page = 0; page < pages; page++) {
        qtest_writeq(qts, address(page), stamp(page));
    }
    return qts;
}

/* If this fails, who resizes a cache gets something else than he was told. */
static void check_program(const char *name, const char *backend)
{
    const uint64_t sizes[] = { CACHE / 2, CACHE, 2 * CACHE };
    uint64_t predicted[ARRAY_SIZE(sizes)], fetched;
    const Program *program = uses_programs;
    QTestState *qts;

    while (strcmp(program->name, name)) {
        program++;
    }
    qts = start(program, backend);
    run(qts, program, program->warm / 2);
    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        predicted[i] = -estimated(qts, sizes[i]);
    }
    fetched = measure(qts, program);
    for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
        predicted[i] += estimated(qts, sizes[i]);
    }
    check(sizes[1], predicted[1], fetched);
    g_assert_cmpuint(rm_query_member(qts, "sampled-refaults"), <=,
                     rm_query_member(qts, "faults"));
    for (int i = 0; i < ARRAY_SIZE(sizes); i += 2) {
        rm_resize(qts, sizes[i]);
        /* What is counted is of this size, and begins now. */
        g_assert_cmpuint(estimated(qts, sizes[1]), ==, 0);
        run(qts, program, program->warm / 2);
        check(sizes[i], predicted[i], measure(qts, program));
        rm_check_sane(qts);
    }
    qtest_quit(qts);
}

/* If this fails, a guest with all of its memory has some of it tried. */
static void test_not_needed(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=32M");

    rm_write_pages(qts, 0, 16 * MiB / PAGE, 1);
    g_assert_cmpuint(estimated(qts, 32 * MiB), ==, 0);
    rm_check_pages(qts, 0, 16 * MiB / PAGE, 1);
    g_assert_cmpuint(rm_query_member(qts, "sampled-refaults"), ==, 0);
    g_assert_cmpuint(rm_query_member(qts, "written-pages"), ==, 0);
    qtest_quit(qts);
}

static void use_in_order(QTestState *qts, uint32_t nr, unsigned times)
{
    for (uint32_t i = 0; i < nr * times; i++) {
        use(qts, i % nr);
    }
}

/*
 * If this fails, nobody finds out that a guest which fetches nothing needs what
 * it has; or only for a while, until the ring of standby slots has no room for
 * pages to try.
 */
static void test_fits(void)
{
    static const Program program = { .pages = 3 };
    uint32_t loop = CACHE_PAGES * 9 / 10;
    QTestState *qts = start(&program, ON_ONE);
    uint64_t predicted[2], fetched;

    use_in_order(qts, loop, 50);
    predicted[0] = estimated(qts, CACHE / 2);
    predicted[1] = estimated(qts, CACHE);
    fetched = rm_query_member(qts, "fetched-pages");
    use_in_order(qts, loop, 10);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages") - fetched, <,
                     loop / 2);
    g_assert_cmpuint(estimated(qts, CACHE) - predicted[1], <, loop / 2);
    check(CACHE / 2, estimated(qts, CACHE / 2) - predicted[0], 10 * loop);
    g_assert_cmpuint(rm_query_member(qts, "sampled-refaults"), >,
                     address(3 * CACHE_PAGES) / PAGE / 3);
    rm_check_sane(qts);
    qtest_quit(qts);
}

static void test_scan(void)
{
    check_program("scan", ON_ONE);
}

static void test_zipf(void)
{
    check_program("zipf", ON_ONE);
}

static void test_hot_and_cold(void)
{
    check_program("hot-and-cold", ON_ONE);
}

/* If this fails, it is the estimate of one pager thread, for all. */
static void test_shards(void)
{
    check_program("zipf", ON_TWO);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "estimate/not-needed", test_not_needed },
        { "estimate/fits", test_fits },
        { "estimate/scan", test_scan },
        { "estimate/zipf", test_zipf },
        { "estimate/hot-and-cold", test_hot_and_cold },
        { "estimate/shards", test_shards },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
