/*
 * QTest: memory-backend-remote, pages that the guest gives back
 *
 * By free page reporting, which names ranges: the other ways end in the same
 * place.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "remote-memory-lib.h"
#include "remote-memory-virtio.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_config.h"

#define NR (16 * MiB / PAGE)
#define BALLOON " -device virtio-balloon-pci,free-page-reporting=on,addr=4"
/* Behind those for inflating, deflating and statistics. */
#define REPORTING_QUEUE 3
/* Queues, and BIOS: below BASE, in the same memory. */
#define OTHER_PAGES 16

/* In us: nothing ends while this is the delay. */
#define LONG 1000000

#define THREADS "-object iothread,id=io0 -object iothread,id=io1 " \
                "-object iothread,id=io2 "
#define ON_THREADS ",iothreads=io0,iothreads=io1,iothreads=io2"

static VirtioGuest *guest_start(const char *objects)
{
    g_autofree char *args = g_strdup_printf("%s" BALLOON, objects);
    VirtioGuest *g = g_new0(VirtioGuest, 1);

    virtio_guest_init(g, rm_start(args), 1ull << VIRTIO_F_VERSION_1 |
                      1ull << VIRTIO_BALLOON_F_REPORTING, REPORTING_QUEUE, 1);
    return g;
}

static void guest_quit(VirtioGuest *g)
{
    virtio_guest_quit(g);
    g_free(g);
}

static void give_back(VirtioGuest *g, uint64_t first, uint64_t nr)
{
    QVirtQueue *vq = g->vq[0];
    uint32_t desc = qvirtqueue_add(g->qts, vq, BASE + first * PAGE,
                                   nr * PAGE, true, false);

    qvirtqueue_kick(g->qts, g->dev, vq, desc);
    qvirtio_wait_used_elem(g->qts, g->dev, vq, desc, NULL, NO_TIMEOUT);
    /* The library does not use descriptors again by itself. */
    qvirtqueue_reset_pool(vq);
}

static void assert_zero(QTestState *qts, uint64_t first, uint64_t nr)
{
    static const uint8_t zeros[PAGE];
    uint8_t got[PAGE];

    for (uint64_t i = first; i < first + nr; i++) {
        qtest_bufread(qts, BASE + i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, zeros, PAGE);
    }
}

/* Without asking the store, and it can be used again. */
static void check_given_back(VirtioGuest *g, uint64_t first, uint64_t nr)
{
    uint64_t fetched = rm_query_member(g->qts, "fetched-pages");

    assert_zero(g->qts, first, nr);
    g_assert_cmpuint(rm_query_member(g->qts, "fetched-pages"), ==, fetched);
    rm_write_pages(g->qts, first, nr, 7);
    rm_check_pages(g->qts, first, nr, 7);
}

/* Until the store has no more than what is not the test's. */
static void wait_store_empty(VirtioGuest *g)
{
    while (rm_store_pages(g->qts, "s0") > OTHER_PAGES) {
        g_usleep(10000);
    }
}

static void run_job(QTestState *qts, const char *command)
{
    g_autofree char *error = NULL;

    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': "
                             "{ 'id': 'ram0', 'job-id': 'job0' } }", command);
    error = rm_job_end(qts, "job0");
    g_assert_cmpstr(error, ==, NULL);
}

/* If this fails, local memory is kept for what the guest has freed. */
static void test_resident(void)
{
    VirtioGuest *g = guest_start(RAM0);
    uint64_t before, resident;

    rm_write_pages(g->qts, 0, NR, 1);
    before = rm_query_member(g->qts, "discarded-pages");
    resident = rm_query_member(g->qts, "resident-size");
    give_back(g, NR / 4, NR / 2);
    g_assert_cmpuint(rm_query_member(g->qts, "discarded-pages") - before, ==,
                     NR / 2);
    g_assert_cmpuint(rm_query_member(g->qts, "resident-size"), <=,
                     resident - NR / 2 * PAGE);
    rm_check_pages(g->qts, 0, NR / 4, 1);
    rm_check_pages(g->qts, NR / 4 * 3, NR / 4, 1);
    check_given_back(g, NR / 4, NR / 2);
    /* Once more, and what was never there. */
    give_back(g, NR / 4, NR / 2);
    give_back(g, NR, NR);
    give_back(g, NR, NR);
    check_given_back(g, NR / 4, NR / 2);
    guest_quit(g);
}

/* If this fails, old contents come back, or the store has them for ever. */
static void check_remote(const char *objects)
{
    VirtioGuest *g = guest_start(objects);

    rm_write_pages(g->qts, 0, NR, 1);
    run_job(g->qts, "remote-memory-evacuate");
    rm_set_cache_size(g->qts, 32 * MiB);
    g_assert_cmpuint(rm_store_pages(g->qts, "s0"), >=, NR / 2);
    give_back(g, 0, NR);
    wait_store_empty(g);
    check_given_back(g, 0, NR);
    guest_quit(g);
}

static void test_remote(void)
{
    check_remote("-object remote-store-ram,id=s0 "
                 RAM0 ",cache-size=32M,store=s0");
}

static void test_compressed(void)
{
    check_remote("-object remote-store-ram,id=s0,compress=lz4 "
                 RAM0 ",cache-size=32M,store=s0");
}

static void test_shards(void)
{
    check_remote("-object remote-store-ram,id=s0 " THREADS
                 RAM0 ",cache-size=32M,store=s0" ON_THREADS);
}

/* A file of 64 MiB that takes no space; or none, if that cannot be had. */
static char *sparse_file(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("remote-store-XXXXXX", &path, NULL);
    bool good;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 64 * MiB), ==, 0);
    good = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      PAGE);
    close(fd);
    if (!good) {
        unlink(path);
    }
    return good ? g_steal_pointer(&path) : NULL;
}

static uint64_t space_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_blocks * 512ull;
}

/* If this fails, a file grows with all that the guest has ever used. */
static void test_block(void)
{
    g_autofree char *path = sparse_file(), *args = NULL;
    uint64_t space;
    VirtioGuest *g;

    if (!path) {
        g_test_skip("no holes in files here");
        return;
    }
    args = g_strdup_printf("-blockdev file,node-name=node0,filename=%s,"
                           "discard=unmap "
                           "-object remote-store-block,id=s0,node-name=node0 "
                           RAM0 ",cache-size=32M,store=s0", path);
    g = guest_start(args);
    rm_write_pages(g->qts, 0, NR, 1);
    run_job(g->qts, "remote-memory-evacuate");
    space = space_of(path);
    g_assert_cmpuint(space, >=, NR / 2 * PAGE);
    give_back(g, 0, NR);
    wait_store_empty(g);
    /* A discard counts from when it begins. */
    while (space_of(path) > space / 8) {
        g_usleep(10000);
    }
    rm_set_cache_size(g->qts, 32 * MiB);
    check_given_back(g, 0, NR);
    guest_quit(g);
    unlink(path);
}

/* If this fails, what is left beside it is lost or keeps it from going. */
static void test_some(void)
{
    VirtioGuest *g = guest_start("-object remote-store-ram,id=s0 " THREADS
                           RAM0 ",cache-size=4M,store=s0" ON_THREADS);

    rm_write_pages(g->qts, 0, NR, 1);
    for (uint64_t i = 0; i + 64 <= NR; i += 64) {
        give_back(g, i + i / 64 % 32, 32);
    }
    for (uint64_t i = 0; i + 64 <= NR; i += 64) {
        uint64_t first = i + i / 64 % 32;

        rm_check_pages(g->qts, i, first - i, 1);
        assert_zero(g->qts, first, 32);
        rm_check_pages(g->qts, first + 32, i + 32 - first, 1);
    }
    give_back(g, 0, NR);
    wait_store_empty(g);
    check_given_back(g, 0, NR);
    guest_quit(g);
}

/*
 * If this fails, a put that ends after its page was given back brings its
 * contents back, or leaves them in the store.
 */
static void test_put_in_flight(void)
{
    VirtioGuest *g = guest_start(FAULTY RAM0 ",cache-size=2M,store=f0");
    uint64_t nr = 64;
    QDict *info;

    rm_set_fault(g->qts, "delay-us", LONG);
    /* There is one once some page is neither clean nor in the guest. */
    do {
        rm_write_pages(g->qts, nr++, 1, 1);
        info = rm_query(g->qts, "ram0");
        g_assert_cmpuint(nr, <, NR);
        if (qdict_get_int(info, "evicted-pages") >
            qdict_get_int(info, "written-pages") +
            qdict_get_int(info, "zero-drops")) {
            break;
        }
        qobject_unref(info);
    } while (true);
    qobject_unref(info);
    give_back(g, 0, nr);
    assert_zero(g->qts, 0, nr);
    rm_set_fault(g->qts, "delay-us", 0);
    /* What was used again may have a copy, until it is given back again. */
    give_back(g, 0, nr);
    wait_store_empty(g);
    check_given_back(g, 0, nr);
    guest_quit(g);
}

/* If this fails, what arrives after that is taken for the page's contents. */
static void test_fetch_in_flight(void)
{
    VirtioGuest *g = guest_start(FAULTY RAM0 ",cache-size=16M,store=f0");
    uint64_t before, remote;

    rm_write_pages(g->qts, 0, NR / 2, 1);
    run_job(g->qts, "remote-memory-evacuate");
    rm_set_cache_size(g->qts, 16 * MiB);
    rm_set_fault(g->qts, "delay-us", LONG);
    before = rm_query_member(g->qts, "discarded-pages");
    remote = rm_query_member(g->qts, "remote-size");
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'remote-memory-warm', "
                             "'arguments': { 'id': 'ram0', 'job-id': 'j' } }");
    while (!rm_query_member(g->qts, "in-flight-size")) {
        g_usleep(1000);
    }
    give_back(g, 0, NR / 2);
    /* Those on their way are counted, too. */
    g_assert_cmpuint(rm_query_member(g->qts, "discarded-pages") - before, >=,
                     remote / PAGE - OTHER_PAGES);
    /* And once more: it is given back already. */
    give_back(g, 0, NR / 2);
    assert_zero(g->qts, 0, NR / 2);
    rm_set_fault(g->qts, "delay-us", 0);
    give_back(g, 0, NR / 2);
    wait_store_empty(g);
    check_given_back(g, 0, NR / 2);
    guest_quit(g);
}

/* If this fails, some order of writing and giving back goes wrong. */
static void test_random(void)
{
    VirtioGuest *g = guest_start("-object remote-store-ram,id=s0 " THREADS
                           "-object remote-store-fault,id=f0,store=s0,"
                           "delay-us=100 "
                           RAM0 ",cache-size=3M,store=f0" ON_THREADS);
    const unsigned block = 64;
    unsigned versions[NR / 64] = { 0 };

    for (unsigned i = 1; i < 1500; i++) {
        unsigned b = g_test_rand_int_range(0, NR / block);

        switch (g_test_rand_int_range(0, 3)) {
        case 0:
            rm_write_pages(g->qts, b * block, block, i);
            versions[b] = i;
            break;
        case 1:
            give_back(g, b * block, block);
            versions[b] = 0;
            break;
        default:
            if (versions[b]) {
                rm_check_pages(g->qts, b * block, block, versions[b]);
            } else {
                assert_zero(g->qts, b * block, block);
            }
        }
    }
    give_back(g, 0, NR);
    wait_store_empty(g);
    guest_quit(g);
}

int main(int argc, char **argv)
{
    static const RmTest tests[] = {
        { "discard/resident", test_resident },
        { "discard/remote", test_remote },
        { "discard/compressed", test_compressed },
        { "discard/shards", test_shards },
        { "discard/block", test_block },
        { "discard/some", test_some },
        { "discard/put-in-flight", test_put_in_flight },
        { "discard/fetch-in-flight", test_fetch_in_flight },
        { "discard/random", test_random },
        { NULL },
    };

    return rm_run(argc, argv, tests);
}
