/*
 * QTest: memory-backend-remote, contents: what is written is what is read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "remote-memory-lib.h"

static void fill_and_check(const char *objects)
{
    QTestState *qts = rm_start(objects);
    uint64_t nr = 32 * MiB / PAGE;

    rm_write_pages(qts, 0, nr, 1);
    rm_check_pages(qts, 0, nr, 1);
    /* Half of it changes: the store's old copies must not come back. */
    rm_write_pages(qts, nr / 2, nr / 2, 2);
    rm_check_pages(qts, 0, nr / 2, 1);
    rm_check_pages(qts, nr / 2, nr / 2, 2);
    rm_check_sane(qts);
    g_assert_cmpuint(rm_query_member(qts, "evicted-pages"), >, nr);
    g_assert_cmpuint(rm_query_member(qts, "fetched-pages"), >, nr / 2);
    g_assert_cmpuint(rm_query_member(qts, "errors"), ==, 0);
    qtest_quit(qts);
}

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

/*
 * If this fails, a block node cannot be given before the store that uses it,
 * or does not keep pages where they are looked for.
 */
static void test_block(void)
{
    g_autofree char *file = NULL, *args = NULL;
    int fd = g_file_open_tmp("remote-store-XXXXXX", &file, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 64 * MiB), ==, 0);
    close(fd);
    args = g_strdup_printf("-blockdev file,node-name=node0,filename=%s "
                           "-object remote-store-block,id=s0,node-name=node0 "
                           RAM0 ",cache-size=2M,store=s0", file);
    fill_and_check(args);
    unlink(file);
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
    QTestState *qts = rm_start("-object remote-store-ram,id=s0 "
                            "-object remote-store-fault,id=f0,store=s0,seed=7 "
                            RAM0 ",cache-size=2M,store=f0,on-error=report");
    uint64_t nr = 8 * MiB / PAGE;

    rm_set_fault(qts, "error-rate", 0.004);
    rm_set_fault(qts, "corrupt-rate", 0.004);
    rm_set_fault(qts, "drop-rate", 0.004);
    rm_write_pages(qts, 0, nr, 1);
    rm_check_pages(qts, 0, nr, 1);
    rm_write_pages(qts, 0, nr, 2);
    rm_check_pages(qts, 0, nr, 2);
    g_assert_cmpuint(rm_query_member(qts, "errors"), >, 0);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, zero pages take room in the store. */
static void test_zero_pages(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=2M");
    uint64_t nr = 32 * MiB / PAGE;

    rm_write_pages(qts, 0, nr, 1);
    qtest_memset(qts, BASE, 0, nr * PAGE);
    rm_set_cache_size(qts, 1 * MiB);
    qtest_qmp_eventwait(qts, "REMOTE_MEMORY_CACHE_SIZE_CHANGE");
    /* Of what was written, only what is still local can be in the store. */
    g_assert_cmpuint(rm_query_member(qts, "remote-size"), <, 4 * MiB);
    g_assert_cmpuint(rm_query_member(qts, "zero-drops"), >, nr / 2);
    rm_check_sane(qts);
    qtest_quit(qts);
}

/* If this fails, pages that did not change are written again. */
static void test_clean_drops(void)
{
    QTestState *qts = rm_start(RAM0 ",cache-size=2M");
    uint64_t nr = 16 * MiB / PAGE, written;

    rm_write_pages(qts, 0, nr, 1);
    rm_check_pages(qts, 0, nr, 1);
    written = rm_query_member(qts, "written-pages");
    rm_check_pages(qts, 0, nr, 1);
    rm_check_pages(qts, 0, nr, 1);
    g_assert_cmpuint(rm_query_member(qts, "written-pages") - written, <, 100);
    g_assert_cmpuint(rm_query_member(qts, "clean-drops"), >, nr);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "contents/default-store", test_default_store },
        { "contents/lz4", test_lz4 },
        { "contents/zstd", test_zstd },
        { "contents/block", test_block },
        { "contents/shards", test_shards },
        { "contents/slow-store", test_slow_store },
        { "contents/180-pages", test_180_pages },
        { "contents/no-verify", test_no_verify },
        { "contents/unreliable-store", test_unreliable_store },
        { "contents/zero-pages", test_zero_pages },
        { "contents/clean-drops", test_clean_drops },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
