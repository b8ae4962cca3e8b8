/*
 * Unit tests: what the device remote-memory-hints makes of what a guest says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hint-limit.h"
#include "hint-ring.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"

#define ALL_OPS (1u << HINT_OP_WILLNEED | 1u << HINT_OP_COLD | \
                 1u << HINT_OP_FORGET)
#define MS 1000000ll

/* Limit */

/* If this fails, a guest may say less, or more, than the operator allows. */
static void test_rate(void)
{
    HintLimit limit;

    hint_limit_init(&limit, 1000, 5 * MS);
    g_assert_cmpuint(hint_limit_take(&limit, 600, 5 * MS), ==, 600);
    g_assert_cmpuint(hint_limit_take(&limit, 600, 5 * MS), ==, 400);
    g_assert_cmpuint(hint_limit_take(&limit, 1, 5 * MS), ==, 0);
    g_assert_cmpuint(hint_limit_take(&limit, 600, 105 * MS), ==, 100);
    /* It holds no more than a second's worth. */
    g_assert_cmpuint(hint_limit_take(&limit, 5000, 9000 * MS), ==, 1000);
    g_assert_cmpuint(hint_limit_take(&limit, 5000, INT64_MAX), ==, 1000);
}

/* If this fails, who asks often gets nothing, or more than it is due. */
static void test_often(void)
{
    static const uint32_t rates[] = { 1, 3, 999, 262144, UINT32_MAX };

    for (int i = 0; i < ARRAY_SIZE(rates); i++) {
        HintLimit limit;
        uint64_t sum = 0;

        hint_limit_init(&limit, rates[i], 0);
        hint_limit_take(&limit, rates[i], 0);
        for (int64_t now = 0; now <= 4000 * MS; now += 999983) {
            sum += hint_limit_take(&limit, UINT32_MAX, now);
        }
        g_assert_cmpuint(sum, <=, 4 * (uint64_t)rates[i]);
        g_assert_cmpuint(sum, >=, 4 * (uint64_t)rates[i] * 99 / 100 - 1);
    }
}

/* If this fails, a clock that is set back is a way around the limit. */
static void test_back(void)
{
    HintLimit limit;

    hint_limit_init(&limit, 1000, 5000 * MS);
    g_assert_cmpuint(hint_limit_take(&limit, 1000, 5000 * MS), ==, 1000);
    g_assert_cmpuint(hint_limit_take(&limit, 1000, 1000 * MS), ==, 0);
    g_assert_cmpuint(hint_limit_take(&limit, 1000, 1100 * MS), ==, 100);
}

/* Ring */

/* If this fails, descriptors are lost or seen twice where numbers wrap. */
static void test_wrap(void)
{
    HintRing ring = { .posted = UINT32_MAX - 300, .done = UINT32_MAX - 300 };
    unsigned slot, expected = ring.posted % HINT_SLOTS;

    for (int round = 0; round < 10; round++) {
        uint32_t nr = g_test_rand_int_range(1, HINT_SLOTS + 1);

        g_assert_true(hint_ring_post(&ring, ring.posted + nr));
        while (nr--) {
            g_assert_true(hint_ring_next(&ring, &slot));
            g_assert_cmpuint(slot, ==, expected);
            expected = (expected + 1) % HINT_SLOTS;
        }
        g_assert_false(hint_ring_next(&ring, &slot));
    }
}

/* If this fails, a guest that has lost count keeps QEMU busy for long. */
static void test_lost_count(void)
{
    static const uint32_t steps[] = { HINT_SLOTS + 1, 1u << 31, UINT32_MAX };

    for (int i = 0; i < ARRAY_SIZE(steps); i++) {
        HintRing ring = { .posted = 7, .done = 7 };
        unsigned slot;

        g_assert_false(hint_ring_post(&ring, 7 + steps[i]));
        g_assert_false(hint_ring_next(&ring, &slot));
        g_assert_cmpuint(ring.done, ==, 7 + steps[i]);
        g_assert_true(hint_ring_post(&ring, ring.posted + 1));
        g_assert_true(hint_ring_next(&ring, &slot));
    }
}

/* Descriptors */

static bool decode(uint64_t frame, uint32_t nr, uint32_t op, uint32_t ops,
                   Hint *hint)
{
    struct HintDescriptor descriptor = {
        .frame = cpu_to_le64(frame),
        .nr = cpu_to_le32(nr),
        .op = cpu_to_le32(op),
    };

    return hint_decode(&descriptor, ops, hint);
}

/* If this fails, a hint is about other pages, or says something else. */
static void test_decode(void)
{
    static const RemoteMemoryHint hints[] = {
        [HINT_OP_WILLNEED] = REMOTE_MEMORY_HINT_WILLNEED,
        [HINT_OP_COLD] = REMOTE_MEMORY_HINT_COLD,
        [HINT_OP_FORGET] = REMOTE_MEMORY_HINT_FORGET,
    };
    Hint hint;

    for (uint32_t op = HINT_OP_WILLNEED; op <= HINT_OP_FORGET; op++) {
        g_assert_true(decode(0x123456789ull, HINT_MAX_PAGES, op, ALL_OPS,
                             &hint));
        g_assert_cmpint(hint.hint, ==, hints[op]);
        g_assert_cmphex(hint.frame, ==, 0x123456789ull);
        g_assert_cmpuint(hint.nr, ==, HINT_MAX_PAGES);
        g_assert_false(decode(0, 1, op, ALL_OPS & ~(1u << op), &hint));
    }
}

/* If this fails, nonsense is taken for a hint. */
static void test_nonsense(void)
{
    const uint64_t last = 1ull << (64 - HINT_PAGE_SHIFT);
    Hint hint;

    g_assert_false(decode(0, 0, HINT_OP_COLD, ALL_OPS, &hint));
    g_assert_false(decode(0, HINT_MAX_PAGES + 1, HINT_OP_COLD, ALL_OPS,
                          &hint));
    g_assert_false(decode(0, UINT32_MAX, HINT_OP_COLD, ALL_OPS, &hint));
    g_assert_false(decode(0, 1, HINT_OP_NONE, UINT32_MAX, &hint));
    g_assert_false(decode(0, 1, HINT_OP_FORGET + 1, UINT32_MAX, &hint));
    g_assert_false(decode(0, 1, 1u << 5, UINT32_MAX, &hint));
    g_assert_false(decode(0, 1, UINT32_MAX, UINT32_MAX, &hint));
    g_assert_true(decode(last - 2, 1, HINT_OP_COLD, ALL_OPS, &hint));
    g_assert_false(decode(last - 1, 1, HINT_OP_COLD, ALL_OPS, &hint));
    g_assert_false(decode(last, 1, HINT_OP_COLD, ALL_OPS, &hint));
    g_assert_false(decode(UINT64_MAX, 1, HINT_OP_COLD, ALL_OPS, &hint));
}

/* If this fails, there is a descriptor whose range has no end. */
static void test_random(void)
{
    for (int i = 0; i < 100000; i++) {
        uint64_t words[2];
        struct HintDescriptor descriptor;
        Hint hint;

        for (int k = 0; k < 2; k++) {
            words[k] = ((uint64_t)g_test_rand_int() << 32 |
                        (uint32_t)g_test_rand_int()) >>
                       g_test_rand_int_range(0, 64);
        }
        memcpy(&descriptor, words, sizeof(descriptor));
        if (hint_decode(&descriptor, ALL_OPS, &hint)) {
            uint64_t first = hint.frame << HINT_PAGE_SHIFT;

            g_assert_cmpuint(first >> HINT_PAGE_SHIFT, ==, hint.frame);
            g_assert_cmpuint(first + ((uint64_t)hint.nr << HINT_PAGE_SHIFT),
                             >, first);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memory/hints/rate", test_rate);
    g_test_add_func("/remote-memory/hints/often", test_often);
    g_test_add_func("/remote-memory/hints/back", test_back);
    g_test_add_func("/remote-memory/hints/wrap", test_wrap);
    g_test_add_func("/remote-memory/hints/lost-count", test_lost_count);
    g_test_add_func("/remote-memory/hints/decode", test_decode);
    g_test_add_func("/remote-memory/hints/nonsense", test_nonsense);
    g_test_add_func("/remote-memory/hints/random", test_random);
    return g_test_run();
}
