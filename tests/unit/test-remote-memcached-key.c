/*
 * Unit tests: keys of pages in memcached, and their generations
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "memcached-generation.h"
#include "memcached-key.h"

#define MAX_PAGE ((1ull << MC_PAGE_BITS) - 1)
#define MAX_GENERATION ((1u << MC_GENERATION_BITS) - 1)

static const QemuUUID uuid = {
    .data = { 0x00, 0x10, 0x83, 0x10, 0x51, 0x87, 0x20, 0x92,
              0x8b, 0x30, 0xd3, 0x8f, 0x41, 0x14, 0x93, 0xff },
};

/* The bytes that a key's text stands for, as glib reads base64. */
static guchar *decode(const McKey *key, gsize *len)
{
    g_autofree char *text = g_strdup_printf("%.22s==", key->text);

    g_strdelimit(text, "-", '+');
    g_strdelimit(text, "_", '/');
    return g_base64_decode(text, len);
}

/* A key that memcached does not take, or reads differently, loses the page. */
static void test_form(void)
{
    McKey key;

    mc_key_page(&key, &uuid, 0, 0);
    g_assert_cmpstr(key.text, ==, "ABCDEFGHIJKLMNOPQRST_wAAAAAAAA");
    mc_key_page(&key, &uuid, 1, 0);
    g_assert_cmpstr(key.text, ==, "ABCDEFGHIJKLMNOPQRST_wAAAAAAAB");
    mc_key_page(&key, &uuid, MAX_PAGE, MAX_GENERATION);
    g_assert_cmpstr(key.text, ==, "ABCDEFGHIJKLMNOPQRST_w________");
    mc_key_page(&key, &uuid, 0, 1);
    g_assert_cmpstr(key.text, ==, "ABCDEFGHIJKLMNOPQRST_wABAAAAAA");
    for (int i = 0; i < 1000; i++) {
        mc_key_page(&key, &uuid, i * 68719477ull % MAX_PAGE, i);
        g_assert_cmpuint(strlen(key.text), ==, MC_KEY_LEN);
        for (const char *p = key.text; *p; p++) {
            g_assert_true(g_ascii_isalnum(*p) || *p == '-' || *p == '_');
        }
    }
}

/* Two VMs with one prefix would overwrite each other's pages. */
static void test_uuid(void)
{
    for (int i = 0; i < 100; i++) {
        g_autofree guchar *bytes = NULL;
        QemuUUID random;
        McKey key;
        gsize len;

        qemu_uuid_generate(&random);
        mc_key_page(&key, &random, i, 0);
        bytes = decode(&key, &len);
        g_assert_cmpmem(bytes, len, random.data, sizeof(random.data));
    }
}

/* Two pages with one key would overwrite each other. */
static void test_distinct(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                       g_free, NULL);
    McKey key;

    for (int bit = 0; bit < MC_PAGE_BITS; bit++) {
        for (int g = 0; g < MC_GENERATION_BITS; g++) {
            mc_key_page(&key, &uuid, 1ull << bit, 1u << g);
            g_assert_true(g_hash_table_add(seen, g_strdup(key.text)));
        }
        mc_key_page(&key, &uuid, 1ull << bit, 0);
        g_assert_true(g_hash_table_add(seen, g_strdup(key.text)));
    }
    for (uint64_t page = 1000; page < 9000; page++) {
        mc_key_page(&key, &uuid, page, 0);
        if (!is_power_of_2(page)) {
            g_assert_true(g_hash_table_add(seen, g_strdup(key.text)));
        }
    }
}

/* A mark that a page overwrites says that the server is fine when it is not. */
static void test_mark(void)
{
    McKey mark, key;

    mc_key_mark(&mark, &uuid);
    mc_key_page(&key, &uuid, 0, 0);
    g_assert_cmpuint(strlen(mark.text), ==, MC_KEY_LEN);
    g_assert_cmpmem(mark.text, 22, key.text, 22);
    g_assert_nonnull(strchr(mark.text, '!'));
    for (const char *p = mark.text; *p; p++) {
        g_assert_true(g_ascii_isgraph(*p));
    }
}

/* A key that is used again after it was in doubt can bring old content. */
static void test_retire(void)
{
    McGenerations *table = mc_generations_new();
    unsigned generation;

    g_assert_cmpuint(mc_generation_current(table, 7), ==, 0);
    g_assert_false(mc_generation_garbage(table, 7, &generation));
    mc_generation_retire(table, 7);
    mc_generation_retire(table, 7);
    mc_generation_retire(table, MAX_PAGE);
    g_assert_cmpuint(mc_generation_current(table, 7), ==, 2);
    g_assert_cmpuint(mc_generation_current(table, MAX_PAGE), ==, 1);
    g_assert_cmpuint(mc_generation_current(table, 8), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(mc_generation_garbage(table, 7, &generation));
        g_assert_cmpuint(generation, ==, i);
        mc_generation_cleaned(table, 7);
    }
    g_assert_false(mc_generation_garbage(table, 7, &generation));
    g_assert_cmpuint(mc_generation_current(table, 7), ==, 2);
    mc_generations_free(table);
}

/* Even after thousands of failures a key must differ from the last ones. */
static void test_wrap(void)
{
    McGenerations *table = mc_generations_new();
    unsigned last, generation;

    for (unsigned i = 0; i < 3 * MAX_GENERATION; i++) {
        last = mc_generation_current(table, 0);
        mc_generation_retire(table, 0);
        g_assert_cmpuint(mc_generation_current(table, 0), !=, last);
        g_assert_cmpuint(mc_generation_current(table, 0), <=, MAX_GENERATION);
        g_assert_true(mc_generation_garbage(table, 0, &generation));
        g_assert_cmpuint(mc_generation_current(table, 0), !=, generation);
    }
    mc_generations_free(table);
}

/* A new queue that does not know uses the keys that are in doubt. */
static void test_merge(void)
{
    McGenerations *a = mc_generations_new(), *b = mc_generations_new();
    uint64_t page;
    unsigned generation, nr = 0;

    mc_generation_retire(a, 1);
    mc_generation_retire(b, 2);
    mc_generation_retire(b, 1);
    mc_generation_retire(b, 1);
    mc_generations_merge(a, b);
    g_assert_cmpuint(mc_generation_current(a, 1), ==, 2);
    g_assert_cmpuint(mc_generation_current(a, 2), ==, 1);
    while (mc_generations_next_garbage(a, &page, &generation)) {
        g_assert_true(page == 1 || page == 2);
        g_assert_cmpuint(generation, <, page == 1 ? 2 : 1);
        nr++;
    }
    g_assert_cmpuint(nr, ==, 3);
    mc_generations_free(a);
    mc_generations_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-memcached/key/form", test_form);
    g_test_add_func("/remote-memcached/key/uuid", test_uuid);
    g_test_add_func("/remote-memcached/key/distinct", test_distinct);
    g_test_add_func("/remote-memcached/key/mark", test_mark);
    g_test_add_func("/remote-memcached/generation/retire", test_retire);
    g_test_add_func("/remote-memcached/generation/wrap", test_wrap);
    g_test_add_func("/remote-memcached/generation/merge", test_merge);
    return g_test_run();
}
