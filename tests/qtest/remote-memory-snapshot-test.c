/*
 * QTest: memory-backend-remote, what the guest works with in a snapshot
 *
 * A guest works with some of its memory, is saved, and loaded into another
 * QEMU, whose cache is then full of what was loaded last.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqos/libqos.h"
#include "qobject/qjson.h"
#include "remote-memory-lib.h"
#include "remote-memory-set.h"

#define ONE_THREAD "-object iothread,id=io0 "
#define TWO_THREADS "-object iothread,id=io0 -object iothread,id=io1 "
#define THREE_THREADS TWO_THREADS "-object iothread,id=io2 "
#define REMOTE RAM0 ",store=f0,cache-size=" SET_CACHE
#define ON_ONE ONE_THREAD FAULTY REMOTE ",iothreads=io0"
#define ON_TWO TWO_THREADS FAULTY REMOTE ",iothreads=io0,iothreads=io1"
#define ON_THREE THREE_THREADS FAULTY REMOTE \
                 ",iothreads=io0,iothreads=io1,iothreads=io2"
#define DIMM "-device pc-dimm,memdev=a0 -object memory-backend-remote,id=a0," \
             "size=64M,cache-size=2M"
#define ORDINARY "-object memory-backend-ram,id=ram0,size=64M "

/* The section, with its length, as it begins in a snapshot. */
#define SECTION "\x19remote-memory-working-set"
/* Where it has what, from there: its own size, and that of the RAM. */
#define SIZE_AT (1 + 0x19 + 8)
#define NAME_AT (SIZE_AT + 4 + 1)
#define PAGES_AT (NAME_AT + 4)
#define RUNS_AT (PAGES_AT + 8 + 4)

/* What a guest with a large cache works with, in pages: half of it. */
#define MANY 4096

/* A VM with a disk that has snapshots. */
static QTestState *start_with(const char *file, const char *args)
{
    g_autofree char *all = g_strdup_printf(
        "-blockdev driver=file,node-name=file0,filename=%s "
        "-blockdev driver=qcow2,node-name=disk0,file=file0 "
        "-device virtio-blk-pci,drive=disk0 %s", file, args);

    return rm_start(all);
}

static QTestState *load(const char *file, const char *args)
{
    g_autofree char *all = g_strdup_printf("%s -S -loadvm one", args);

    return start_with(file, all);
}

static void hmp(QTestState *qts, const char *command)
{
    g_autofree char *answer = qtest_hmp(qts, "%s", command);

    g_assert_cmpstr(answer, ==, "");
}

static char *make_disk(void)
{
    char *file = rm_temp_file();

    g_assert_true(mkimg(file, "qcow2", 1));
    return file;
}

static void remove_disk(char *file)
{
    unlink(file);
    g_free(file);
}

/* The snapshot of a guest that works; the file's name is the caller's. */
static char *make_snapshot(const char *args)
{
    char *file = make_disk();
    QTestState *qts = start_with(file, args);

    rm_set_work(qts, SET_TOTAL);
    hmp(qts, "savevm one");
    rm_check_sane(qts);
    qtest_quit(qts);
    return file;
}

static void warm(QTestState *qts)
{
    g_autofree char *error = NULL;

    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-warm', "
                             "'arguments': { 'id': 'ram0', "
                             "'job-id': 'job0' } }");
    error = rm_job_end(qts, "job0");
    g_assert_cmpstr(error, ==, NULL);
}

/* All is what it was; then QEMU is left. */
static void check_all(QTestState *qts)
{
    rm_check_sane(qts);
    rm_check_pages(qts, 0, SET_TOTAL, 1);
    rm_check_sane(qts);
    g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

/*
 * Every fifth page is zeros, which are nowhere.  A few others may have gone
 * from standby before they could be brought back.
 */
static void check_set_is_local(QTestState *qts)
{
    uint64_t faults = rm_query_member(qts, "faults");
    uint64_t cost = rm_set_cost(qts);

    faults = rm_query_member(qts, "faults") - faults;
    g_test_message("%" PRIu64 " faults and %" PRIu64 " pages fetched for %u "
                   "pages in use", faults, cost, SET_PAGES);
    g_assert_cmpuint(cost, <=, SET_PAGES / 16);
    g_assert_cmpuint(faults, <=, SET_PAGES / 5 + 1 + SET_PAGES / 16);
}

static void check_warm(const char *before, const char *after)
{
    char *file = make_snapshot(before);
    QTestState *qts = load(file, after);

    /* Or else there is nothing to be warmed. */
    g_assert_cmpuint(rm_set_cost(qts), >, SET_PAGES / 2);
    qtest_quit(qts);
    qts = load(file, after);
    warm(qts);
    check_set_is_local(qts);
    check_all(qts);
    remove_disk(file);
}

/* If this fails, a guest that was restarted has to wait for what it uses. */
static void test_warm(void)
{
    check_warm(ON_ONE, ON_ONE);
}

static void test_warm_shards(void)
{
    check_warm(ON_TWO, ON_TWO);
}

/* If this fails, pager threads take over what is another one's. */
static void test_warm_other_shards(void)
{
    check_warm(ON_TWO, ON_THREE);
}

/*
 * Nobody asks for warming up, but it is known all the same what is used again
 * and again.  If this fails, it goes for what is read once.
 */
static void test_not_warmed(void)
{
    char *file = make_snapshot(ON_ONE);
    QTestState *qts = load(file, ON_ONE);
    uint64_t missed;

    rm_set_cost(qts);
    rm_check_pages(qts, SET_TOTAL / 2, 4 * SET_CACHE_PAGES, 1);
    missed = rm_set_cost(qts);
    g_test_message("%" PRIu64 " pages missed", missed);
    g_assert_cmpuint(missed, <=, SET_MISSED);
    check_all(qts);
    remove_disk(file);
}

/* If this fails, what is said of one backend is taken for another one's. */
static void test_warm_dimm(void)
{
    static const char args[] = ON_ONE " -m 64M,slots=1,maxmem=128M " DIMM;
    static const char off[] = ON_ONE " -m 64M,slots=1,maxmem=128M "
                              DIMM ",record-working-set=off";

    check_warm(args, args);
    check_warm(off, args);
}

/* Returns: how many pages are fetched. */
static uint64_t touch_many(QTestState *qts)
{
    uint64_t before = rm_query_member(qts, "fetched-pages");

    for (uint32_t i = 0; i < MANY; i++) {
        rm_check_pages(qts, i * 37 % MANY, 1, 1);
    }
    return rm_query_member(qts, "fetched-pages") - before;
}

/*
 * The cache is so large that its use is estimated: pages of the guest's are in
 * standby to be tried, between those that are to be replaced.  And all pages
 * are among those that are said to have been used last.  If this fails, one or
 * the other keeps pages from being replaced.
 */
static void test_warm_large(void)
{
    static const char args[] = ONE_THREAD FAULTY RAM0 ",store=f0,"
        "prefetch=off,iothreads=io0,cache-size=32M";
    char *file = make_disk();
    QTestState *qts = start_with(file, args);
    uint64_t missed;

    rm_write_pages(qts, 0, SET_TOTAL, 1);
    while (touch_many(qts)) {
        /* Until all of them stay. */
    }
    hmp(qts, "savevm one");
    qtest_quit(qts);
    qts = load(file, args);
    g_assert_cmpuint(touch_many(qts), >, MANY / 2);
    qtest_quit(qts);
    qts = load(file, args);
    warm(qts);
    missed = touch_many(qts);
    g_test_message("%" PRIu64 " of %d pages missed", missed, MANY);
    g_assert_cmpuint(missed, <=, MANY / 50);
    check_all(qts);
    remove_disk(file);
}

/* If this fails, a page is lost between loading, warming and the guest. */
static void test_warm_busy(void)
{
    char *file = make_snapshot(ON_TWO);
    QTestState *qts = load(file, ON_TWO);
    unsigned version = 1;

    rm_set_fault(qts, "delay-us", 1000);
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-warm', "
                             "'arguments': { 'id': 'ram0', "
                             "'job-id': 'job0' } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    while (version < 4) {
        rm_write_pages(qts, 0, 256, ++version);
        /* What was loaded last, and so may be on its way out. */
        rm_write_pages(qts, SET_TOTAL - 256, 256, version);
        rm_check_pages(qts, SET_TOTAL / 2, 64, 1);
        rm_check_pages(qts, 0, 256, version);
        rm_check_pages(qts, SET_TOTAL - 256, 256, version);
    }
    g_free(rm_job_end(qts, "job0"));
    rm_set_fault(qts, "delay-us", 0);
    rm_check_sane(qts);
    rm_check_pages(qts, 0, 256, version);
    rm_check_pages(qts, 256, SET_TOTAL - 512, 1);
    rm_check_pages(qts, SET_TOTAL - 256, 256, version);
    rm_check_sane(qts);
    qtest_quit(qts);
    remove_disk(file);
}

/*
 * The pages in whose place others are to come cannot be written.  If this
 * fails, they are dropped all the same, or the job waits for ever.
 */
static void test_store_fails(void)
{
    char *file = make_snapshot(ON_ONE);
    QTestState *qts = load(file, ON_ONE ",on-error=report");
    g_autofree char *error = NULL;

    rm_set_fault(qts, "error-rate", 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'remote-memory-warm', "
                             "'arguments': { 'id': 'ram0', "
                             "'job-id': 'job0' } }");
    error = rm_job_end(qts, "job0");
    g_assert_nonnull(strstr(error, "store 'f0' does not answer"));
    rm_set_fault(qts, "error-rate", 0);
    warm(qts);
    check_set_is_local(qts);
    rm_check_pages(qts, 0, SET_TOTAL, 1);
    rm_check_sane(qts);
    qtest_quit(qts);
    remove_disk(file);
}

/* If this fails, going back in the same QEMU leaves what was used since. */
static void test_loadvm(void)
{
    char *file = make_disk();
    QTestState *qts = start_with(file, ON_ONE);

    rm_set_work(qts, SET_TOTAL);
    hmp(qts, "savevm one");
    rm_write_pages(qts, 0, SET_TOTAL, 2);
    hmp(qts, "loadvm one");
    warm(qts);
    check_set_is_local(qts);
    check_all(qts);
    remove_disk(file);
}

/* Where in a file the section is, or -1. */
static ssize_t find_section(const char *file)
{
    g_autofree char *data = NULL;
    char *found;
    gsize len;

    g_assert_true(g_file_get_contents(file, &data, &len, NULL));
    found = memmem(data, len, SECTION, strlen(SECTION));
    return found ? found - data : -1;
}

/* If this fails, a snapshot cannot be loaded by a QEMU without the section. */
static void test_switched_off(void)
{
    char *file = make_snapshot(ON_ONE ",record-working-set=off");
    QTestState *qts = load(file, ON_ONE);

    g_assert_cmpint(find_section(file), ==, -1);
    warm(qts);
    g_assert_cmpuint(rm_set_cost(qts), >, SET_PAGES / 2);
    check_all(qts);
    remove_disk(file);
}

/* If this fails, the property counts only when the backend is made. */
static void test_switched_late(void)
{
    char *file = make_disk();
    QTestState *qts = start_with(file, ON_ONE);

    for (int on = 0; on < 2; on++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': "
                                 "{ 'path': '/objects/ram0', 'property': "
                                 "'record-working-set', 'value': %i } }", on);
        hmp(qts, on ? "savevm on" : "savevm off");
        g_assert_cmpint(find_section(file) >= 0, ==, on);
    }
    qtest_quit(qts);
    remove_disk(file);
}

/*
 * The capability is about migrations only.  If this fails, a VM that is paused
 * is saved as if it was migrated.
 */
static void test_paused(void)
{
    char *file = make_disk();
    QTestState *qts = start_with(file, ON_ONE);

    rm_write_pages(qts, 0, SET_TOTAL, 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities', "
                             "'arguments': { 'capabilities': [ { "
                             "'capability': 'remote-memory', "
                             "'state': true } ] } }");
    hmp(qts, "savevm one");
    g_assert_cmpint(find_section(file), >=, 0);
    qtest_quit(qts);
    qts = load(file, ON_ONE);
    check_all(qts);
    remove_disk(file);
}

/* If this fails, migration to a QEMU without the section is not possible. */
static void test_not_migrated(void)
{
    g_autofree char *file = rm_temp_file();
    QTestState *qts = rm_start(RAM0 ",cache-size=" SET_CACHE);

    rm_write_pages(qts, 0, 1000, 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate', 'arguments': { "
                             "'channels': [ { 'channel-type': 'main', "
                             "'addr': { 'transport': 'file', 'filename': %s, "
                             "'offset': 0 } } ] } }", file);
    rm_wait_status(qts, "postmigrate");
    qtest_quit(qts);
    g_assert_cmpint(find_section(file), ==, -1);
    unlink(file);
}

/* If this fails, a snapshot is for one kind of memory only. */
static void test_ordinary_memory(void)
{
    static const char *const ways[][2] = {
        { ON_ONE, ORDINARY }, { ORDINARY, ON_ONE },
    };

    for (int i = 0; i < ARRAY_SIZE(ways); i++) {
        char *file = make_disk();
        QTestState *qts = start_with(file, ways[i][0]);

        rm_write_pages(qts, 0, SET_TOTAL, 1);
        hmp(qts, "savevm one");
        qtest_quit(qts);
        g_assert_cmpint(find_section(file) >= 0, ==, i == 0);
        qts = load(file, ways[i][1]);
        rm_check_pages(qts, 0, SET_TOTAL, 1);
        if (i) {
            warm(qts);
            check_all(qts);
        } else {
            qtest_quit(qts);
        }
        remove_disk(file);
    }
}

/* QEMU ends with a message. */
static void check_refused(const char *file, const char *machine,
                          const char *message)
{
    g_autofree char *args = g_strdup_printf(
        "-blockdev driver=file,node-name=file0,filename=%s "
        "-blockdev driver=qcow2,node-name=disk0,file=file0 "
        "-device virtio-blk-pci,drive=disk0 -S -loadvm one %s", file, machine);

    rm_assert_no_start(args, message);
}

/* Then it is not the VM of the snapshot, as with any memory. */
static void test_other_backend(void)
{
    char *file = make_snapshot(ON_ONE);

    check_refused(file, "-machine q35,memory-backend=ram0 -m 128M "
                  "-object memory-backend-remote,id=ram0,size=128M,"
                  "cache-size=2M", "Size mismatch: ram0");
    check_refused(file, "-machine q35,memory-backend=ram1 -m 64M "
                  "-object memory-backend-remote,id=ram1,size=64M,"
                  "cache-size=2M", "Unknown ramblock \"ram0\"");
    remove_disk(file);
}

/* Change some bytes of the section. */
static void damage(const char *file, size_t at, const void *bytes, size_t len)
{
    ssize_t begin = find_section(file);
    int fd = open(file, O_RDWR);

    g_assert_cmpint(begin, >=, 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, bytes, len, begin + at), ==, len);
    close(fd);
}

/* If this fails, a damaged snapshot crashes QEMU, or is loaded. */
static void test_damaged(void)
{
    static const char nonsense[] = "the snapshot is damaged";
    static const char machine[] =
        ONE_THREAD FAULTY "-machine q35,memory-backend=ram0 -m 64M "
        REMOTE ",iothreads=io0";
    static const uint8_t ones[16] = {
        255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255
    };
    static const struct {
        size_t at;
        size_t len;
        const char *message;
    } cases[] = {
        { SIZE_AT, 4, "Input validation failed" },
        /* One byte more than there is, and what follows is not in its place. */
        { SIZE_AT + 3, 1, "rror" },
        { NAME_AT - 1, 1, nonsense },
        { PAGES_AT, 8, nonsense },
        { RUNS_AT - 4, 4, nonsense },
        { RUNS_AT, 16, nonsense },
    };
    char *file = make_snapshot(ON_ONE);
    g_autofree char *good = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(file, &good, &len, NULL));
    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        damage(file, cases[i].at, ones, cases[i].len);
        check_refused(file, machine, cases[i].message);
        g_assert_true(g_file_set_contents(file, good, len, NULL));
    }
    remove_disk(file);
}

/* If this fails, what is said of memory that is not there does harm. */
static void test_of_other_memory(void)
{
    char *file = make_snapshot(ON_ONE);
    uint64_t pages = cpu_to_be64(64 * MiB / PAGE + 1);
    QTestState *qts;

    damage(file, PAGES_AT, &pages, sizeof(pages));
    qts = load(file, ON_ONE);
    warm(qts);
    check_all(qts);
    damage(file, NAME_AT, "ram9", 4);
    qts = load(file, ON_ONE);
    warm(qts);
    check_all(qts);
    remove_disk(file);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "snapshot/warm", test_warm },
        { "snapshot/warm-shards", test_warm_shards },
        { "snapshot/warm-other-shards", test_warm_other_shards },
        { "snapshot/not-warmed", test_not_warmed },
        { "snapshot/warm-dimm", test_warm_dimm },
        { "snapshot/warm-large", test_warm_large },
        { "snapshot/warm-busy", test_warm_busy },
        { "snapshot/store-fails", test_store_fails },
        { "snapshot/loadvm", test_loadvm },
        { "snapshot/switched-off", test_switched_off },
        { "snapshot/switched-late", test_switched_late },
        { "snapshot/paused", test_paused },
        { "snapshot/not-migrated", test_not_migrated },
        { "snapshot/ordinary-memory", test_ordinary_memory },
        { "snapshot/other-backend", test_other_backend },
        { "snapshot/damaged", test_damaged },
        { "snapshot/of-other-memory", test_of_other_memory },
        { }
    };

    if (!have_qemu_img()) {
        g_test_init(&argc, &argv, NULL);
        g_test_message("there is no qemu-img");
        return 77;
    }
    return rm_run(argc, argv, tests);
}
