/*
 * QTest: memory-backend-remote, commands that look at memory from outside
 *
 * They see what is there, whether the VM runs or not, and leave alone what the
 * guest works with.  Those that read all of memory anyway are in
 * remote-memory-visitor-test.c; the gdb stub, which needs a vCPU, and servers
 * that stand still are in tests/guest/test-readers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "remote-memory-lib.h"
#include "remote-memory-set.h"

/* Pages that are looked at one by one: still many times the cache. */
#define LOOKS (SET_TOTAL / 3)

/* What the guest has written, where most of its memory is as it was made. */
#define WRITTEN (SET_PAGES * 16)
#define NOT_WRITTEN (40 * MiB)

/* Pages of 64 MiB that the dirty rate is guessed from: as many as can be. */
#define SAMPLES_IN_GIB 16384
#define SAMPLES (SAMPLES_IN_GIB / 16)

/* Ways to read */

/* Have memory written to a file.  Returns: the file's content; the caller's. */
static char *save(QTestState *qts, const char *command, uint64_t address,
                  uint64_t size)
{
    g_autofree char *path = rm_temp_file();
    char *content;
    gsize length;

    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': { "
                             "'val': %" PRIu64 ", 'size': %" PRIu64 ", "
                             "'filename': %s } }", command, address, size,
                             path);
    g_assert_true(g_file_get_contents(path, &content, &length, NULL));
    g_assert_cmpuint(length, ==, size);
    unlink(path);
    return content;
}

static void save_all(QTestState *qts, const char *command)
{
    g_autofree char *content = save(qts, command, BASE,
                                    (uint64_t)SET_TOTAL * PAGE);
    uint8_t want[PAGE];

    for (uint32_t i = 0; i < SET_TOTAL; i++) {
        rm_make_page(want, i, 1);
        g_assert_cmpmem(content + (size_t)i * PAGE, PAGE, want, PAGE);
    }
}

static void pmemsave(QTestState *qts)
{
    save_all(qts, "pmemsave");
}

/* The vCPU has no paging. */
static void memsave(QTestState *qts)
{
    save_all(qts, "memsave");
}

/* A word of each page. */
static void look(QTestState *qts)
{
    uint64_t page[PAGE / 8];

    for (uint32_t i = 0; i < LOOKS; i++) {
        uint64_t index = i * (SET_TOTAL / LOOKS);
        g_autofree char *answer = qtest_hmp(qts, "x /1gx 0x%" PRIx64,
                                            BASE + index * PAGE);
        const char *word = strstr(answer, ": ");

        rm_make_page((uint8_t *)page, index, 1);
        g_assert_nonnull(word);
        g_assert_cmphex(g_ascii_strtoull(word + 2, NULL, 16), ==, page[0]);
    }
}

/* Tests */

static QTestState *start_and_work(uint32_t nr)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=" SET_CACHE);

    rm_set_work(qts, nr);
    return qts;
}

static void check_reader(RmVisit *visit, uint64_t least, bool stopped)
{
    QTestState *qts = start_and_work(SET_TOTAL);

    if (stopped) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    }
    rm_set_check_stays(qts, visit, least);
    qtest_quit(qts);
}

/* If this fails, introspection costs the guest what it had in its cache. */
static void test_pmemsave(void)
{
    check_reader(pmemsave, SET_TOTAL / 2, false);
}

static void test_pmemsave_stopped(void)
{
    check_reader(pmemsave, SET_TOTAL / 2, true);
}

static void test_memsave(void)
{
    check_reader(memsave, SET_TOTAL / 2, false);
}

/* If this fails, so does an operator, or a debugger, who looks at memory. */
static void test_x(void)
{
    check_reader(look, LOOKS / 2, false);
}

/*
 * If this fails, memory that was never touched takes room when somebody looks
 * at it, here or in the store.
 */
static void test_untouched(void)
{
    QTestState *qts = start_and_work(WRITTEN);
    uint64_t zeros = rm_query_member(qts, "zero-size");
    uint64_t written = rm_query_member(qts, "written-pages");
    g_autofree char *content = save(qts, "pmemsave", BASE + WRITTEN * PAGE,
                                    NOT_WRITTEN);
    uint64_t missed = rm_set_cost(qts);

    g_test_message("%" PRIu64 " pages of %u missed", missed, SET_PAGES);
    g_assert_true(buffer_is_zero(content, NOT_WRITTEN));
    g_assert_cmpuint(missed, <=, SET_MISSED);
    g_assert_cmpuint(rm_query_member(qts, "zero-size"), >=,
                     zeros - SET_MISSED * PAGE);
    g_assert_cmpuint(rm_query_member(qts, "written-pages"), ==, written);
    g_assert_cmpuint(rm_query_member(qts, "visited-pages"), ==, 0);
    rm_check_pages(qts, 0, WRITTEN, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* Dirty rate */

static void calc_dirty_rate(QTestState *qts, const char *mode)
{
    QDict *args = qdict_new();

    qdict_put_int(args, "calc-time", 1);
    qdict_put_str(args, "mode", mode);
    if (!strcmp(mode, "page-sampling")) {
        qdict_put_int(args, "sample-pages", SAMPLES_IN_GIB);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'calc-dirty-rate', "
                             "'arguments': %p }", args);
}

/* Returns: MiB in a second, or -1 as long as that is not known. */
static int64_t dirty_rate(QTestState *qts)
{
    QDict *resp = qtest_qmp_assert_success_ref(qts, "{ 'execute': "
                                               "'query-dirty-rate' }");
    int64_t rate = -1;

    if (!strcmp(qdict_get_str(resp, "status"), "measured")) {
        rate = qdict_get_int(resp, "dirty-rate");
    }
    qobject_unref(resp);
    return rate;
}

/* Nobody writes meanwhile.  Returns: how many pages are fetched for that. */
static uint64_t check_nothing_dirty(QTestState *qts, const char *mode)
{
    uint64_t before = rm_query_member(qts, "fetched-pages");
    int64_t rate;

    calc_dirty_rate(qts, mode);
    do {
        g_usleep(10000);
        rate = dirty_rate(qts);
    } while (rate < 0);
    g_assert_cmpint(rate, ==, 0);
    return rm_query_member(qts, "fetched-pages") - before;
}

/* The guest writes all the time. */
static void check_dirty(QTestState *qts, const char *mode)
{
    int64_t rate = -1;

    calc_dirty_rate(qts, mode);
    for (uint32_t i = 0; rate < 0; i++) {
        rm_write_pages(qts, i * 16 % SET_TOTAL, 16, 2);
        rate = dirty_rate(qts);
    }
    g_assert_cmpint(rate, >, 0);
}

/*
 * If this fails, pages that went and came again count as dirty, or those that
 * were written to do not.
 */
static void test_sampling(void)
{
    QTestState *qts = start_and_work(SET_TOTAL);
    uint64_t cost = check_nothing_dirty(qts, "page-sampling");

    g_test_message("%" PRIu64 " pages fetched", cost);
    g_assert_cmpuint(cost, >, SAMPLES / 2);
    g_assert_cmpuint(cost, <=, 2 * SAMPLES);
    check_dirty(qts, "page-sampling");
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, a measurement that reads nothing costs something. */
static void test_dirty_bitmap(void)
{
    QTestState *qts = start_and_work(SET_TOTAL);

    g_assert_cmpuint(check_nothing_dirty(qts, "dirty-bitmap"), ==, 0);
    rm_check_sane(qts);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "readers/pmemsave", test_pmemsave },
        { "readers/pmemsave-stopped", test_pmemsave_stopped },
        { "readers/memsave", test_memsave },
        { "readers/x", test_x },
        { "readers/untouched", test_untouched },
        { "readers/page-sampling", test_sampling },
        { "readers/dirty-bitmap", test_dirty_bitmap },
        { }
    };

    return rm_run(argc, argv, tests);
}
