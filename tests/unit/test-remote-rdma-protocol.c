/*
 * Unit tests: what of RDMA needs no RDMA: the protocol, tables, memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "rdma-slabs.h"
#include "remote-memory/rdma-protocol.h"
#include "slab.h"

/* Private data, which rdma_cm pads. */
typedef struct Padded {
    union {
        RdmaHello hello;
        RdmaWelcome welcome;
        uint8_t bytes[196];
    };
} Padded;

static void hello_init(Padded *data)
{
    memset(data, 0, sizeof(*data));
    data->hello = (RdmaHello) {
        .magic = RDMA_MAGIC,
        .version = RDMA_VERSION,
        .kind = RDMA_KIND_QUEUE,
        .namespace = { 1, 2, 3 },
        .queue = 0x12345,
        .nr_pages = 0x123456789a,
    };
    rdma_hello_swap(&data->hello);
}

/* Two servers must agree on every byte. */
static void test_bytes(void)
{
    static const uint8_t bytes[40] = {
        'q', 'r', 'm', 'p', 0, 1, 0, 1,
        1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 1, 0x23, 0x45, 0, 0, 0, 0,
        0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a,
    };
    static const uint8_t ask_bytes[16] = {
        0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4,
    };
    static const uint8_t tell_bytes[24] = {
        0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 3, 4,
        0x7f, 0, 0, 0, 0, 0x20, 0, 0,
    };
    RdmaAsk ask = { .type = RDMA_ASK_MAKE, .slab = 0x304 };
    RdmaTell tell = { .rkey = 0x1020304, .slab = 0x304,
                      .addr = 0x7f00000000200000 };
    Padded data;

    hello_init(&data);
    g_assert_cmpmem(data.bytes, sizeof(bytes), bytes, sizeof(bytes));
    rdma_ask_swap(&ask);
    g_assert_cmpmem(&ask, sizeof(ask), ask_bytes, sizeof(ask_bytes));
    rdma_tell_swap(&tell);
    g_assert_cmpmem(&tell, sizeof(tell), tell_bytes, sizeof(tell_bytes));
}

static void test_hello(void)
{
    RdmaHello hello;
    Padded data;

    hello_init(&data);
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==, RDMA_STATUS_OK);
    g_assert_cmpuint(hello.nr_pages, ==, 0x123456789a);
    g_assert_cmpuint(hello.queue, ==, 0x12345);
    g_assert_cmpint(rdma_hello_read(&hello, &data, sizeof(hello)), ==,
                    RDMA_STATUS_OK);
    g_assert_cmpint(rdma_hello_read(&hello, &data, sizeof(hello) - 1), ==,
                    RDMA_STATUS_INVALID);
    g_assert_cmpint(rdma_hello_read(&hello, NULL, 0), ==, RDMA_STATUS_INVALID);

    data.hello.version = cpu_to_be16(RDMA_VERSION + 1);
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==,
                    RDMA_STATUS_VERSION);
    hello_init(&data);
    data.hello.magic ^= 1;
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==,
                    RDMA_STATUS_INVALID);
    hello_init(&data);
    data.hello.nr_pages = 0;
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==,
                    RDMA_STATUS_INVALID);
    data.hello.kind = cpu_to_be16(RDMA_KIND_PROBE);
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==, RDMA_STATUS_OK);
    data.hello.kind = cpu_to_be16(4);
    g_assert_cmpint(rdma_hello_read(&hello, &data, 56), ==,
                    RDMA_STATUS_INVALID);
}

static void test_welcome(void)
{
    RdmaWelcome welcome;
    Padded data = {
        .welcome = { .magic = RDMA_MAGIC, .version = RDMA_VERSION,
                     .incarnation = 7, .slab_pages = 64 },
    };

    rdma_welcome_swap(&data.welcome);
    g_assert_true(rdma_welcome_read(&welcome, &data, 196));
    g_assert_cmpuint(welcome.incarnation, ==, 7);
    g_assert_cmpuint(welcome.slab_pages, ==, 64);
    g_assert_false(rdma_welcome_read(&welcome, &data, sizeof(welcome) - 1));
    g_assert_false(rdma_welcome_read(&welcome, NULL, 0));
    data.welcome.slab_pages = cpu_to_be32(63);
    g_assert_false(rdma_welcome_read(&welcome, &data, 196));
    data.welcome.slab_pages = 0;
    g_assert_false(rdma_welcome_read(&welcome, &data, 196));
    /* A refusal need not say that; and unknown ones have words, too. */
    data.welcome.status = cpu_to_be16(99);
    g_assert_true(rdma_welcome_read(&welcome, &data, 196));
    g_assert_nonnull(rdma_status_str(welcome.status));
    data.welcome.magic = 0;
    g_assert_false(rdma_welcome_read(&welcome, &data, 196));
}

/* Where a page is follows from its number. */
static void test_slabs(void)
{
    RdmaSlabs slabs = { 0 };
    uint64_t addr;
    uint32_t rkey;

    g_assert_true(rdma_slabs_init(&slabs, (1ull << 28) + 1, 256));
    g_assert_cmpuint(slabs.nr, ==, (1 << 20) + 1);
    g_assert_false(rdma_slabs_find(&slabs, 0, &addr, &rkey));
    rdma_slabs_set(&slabs, 1, 0x100000, 0);
    rdma_slabs_set(&slabs, 1 << 20, 0x900000, 5);
    g_assert_false(rdma_slabs_find(&slabs, 255, &addr, &rkey));
    g_assert_true(rdma_slabs_find(&slabs, 256, &addr, &rkey));
    g_assert_cmphex(addr, ==, 0x100000);
    g_assert_true(rdma_slabs_find(&slabs, 511, &addr, &rkey));
    g_assert_cmphex(addr, ==, 0x1ff000);
    g_assert_cmpuint(rkey, ==, 0);
    g_assert_false(rdma_slabs_find(&slabs, 512, &addr, &rkey));
    g_assert_true(rdma_slabs_find(&slabs, 1ull << 28, &addr, &rkey));
    g_assert_cmphex(addr, ==, 0x900000);
    g_assert_cmpuint(rkey, ==, 5);
    rdma_slabs_free(&slabs);
    rdma_slabs_free(&slabs);
}

static void assert_pool_refused(uint64_t slab_size, uint64_t limit,
                                const char *what)
{
    SlabPool pool;
    Error *err = NULL;

    g_assert_false(slab_pool_init(&pool, slab_size, limit, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    error_free(err);
}

/* The limit holds, and what is lent is never what somebody else has left. */
static void test_pool(void)
{
    uint64_t *slabs[2], *part;
    SlabPool pool;

    g_assert_true(slab_pool_init(&pool, 4 * MiB, 11 * MiB, &error_abort));
    for (int i = 0; i < 2; i++) {
        slabs[i] = slab_new(&pool, 4 * MiB);
        g_assert_nonnull(slabs[i]);
        for (size_t j = 0; j < 4 * MiB / sizeof(uint64_t); j++) {
            g_assert_cmpuint(slabs[i][j], ==, 0);
        }
        memset(slabs[i], 0xff, 4 * MiB);
    }
    g_assert_null(slab_new(&pool, 4 * MiB));
    g_assert_cmpuint(pool.used, ==, 8 * MiB);
    part = slab_new(&pool, 8 * KiB);
    memset(part, 0xff, 8 * KiB);
    g_assert_cmpuint(pool.used, ==, 8 * MiB + 8 * KiB);
    slab_free(&pool, part, 8 * KiB);
    slab_free(&pool, slabs[0], 4 * MiB);
    slabs[0] = slab_new(&pool, 4 * MiB);
    g_assert_cmpuint(slabs[0][0], ==, 0);
    slab_free(&pool, slabs[0], 4 * MiB);
    slab_free(&pool, slabs[1], 4 * MiB);
    g_assert_cmpuint(pool.used, ==, 0);

    assert_pool_refused(3 * MiB, 100 * MiB, "--slab-size: 3145728");
    assert_pool_refused(4096, 100 * MiB, "--slab-size: 4096");
    assert_pool_refused(2 * GiB, 100 * GiB, "--slab-size: 2147483648");
    assert_pool_refused(32 * MiB, 31 * MiB, "--limit: ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-rdma/bytes", test_bytes);
    g_test_add_func("/remote-rdma/hello", test_hello);
    g_test_add_func("/remote-rdma/welcome", test_welcome);
    g_test_add_func("/remote-rdma/slabs", test_slabs);
    g_test_add_func("/remote-rdma/pool", test_pool);
    return g_test_run();
}
