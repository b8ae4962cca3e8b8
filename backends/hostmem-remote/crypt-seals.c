/*
 * Encryption: what is known of the pages of a region
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypt-seals.h"
#include "qemu/bswap.h"
#include "sparse.h"

/*
 * Saved are the number of keys, the keys, a bitmap of the pages that have a
 * seal, and these seals in order.  All numbers are big endian.
 */
typedef struct QEMU_PACKED SavedSeal {
    uint8_t tag[PAGE_CRYPT_TAG_LEN];
    uint64_t counter;
    uint32_t queue;
    uint32_t key;
} SavedSeal;

#define NO_KEY UINT32_MAX

static size_t seals_size(const CryptSeals *s)
{
    return s->nr_pages * sizeof(PageSeal);
}

bool crypt_seals_init(CryptSeals *s, uint64_t nr_pages)
{
    *s = (CryptSeals) { .nr_pages = nr_pages };
    s->seals = sparse_new(seals_size(s));
    return s->seals;
}

void crypt_seals_clear(CryptSeals *s)
{
    for (uint32_t i = 0; i < s->nr_keys; i++) {
        page_crypt_forget(s->keys[i]);
    }
    g_free(s->keys);
    sparse_free(s->seals, seals_size(s));
}

uint8_t *crypt_seals_add_key(CryptSeals *s)
{
    uint8_t (*keys)[PAGE_CRYPT_KEY_LEN] =
        g_malloc_n(s->nr_keys + (size_t)1, sizeof(*keys));

    /* Not by realloc(), which would leave the others where they were. */
    for (uint32_t i = 0; i < s->nr_keys; i++) {
        memcpy(keys[i], s->keys[i], sizeof(keys[i]));
        page_crypt_forget(s->keys[i]);
    }
    g_free(s->keys);
    s->keys = keys;
    memset(keys[s->nr_keys], 0, sizeof(keys[0]));
    return keys[s->nr_keys++];
}

static uint64_t bitmap_bytes(const CryptSeals *s)
{
    return DIV_ROUND_UP(s->nr_pages, BITS_PER_BYTE);
}

/* Keys that no page needs any more are left out.  Returns: their number. */
static uint32_t number_keys(const CryptSeals *s, uint32_t *numbers,
                            uint64_t *nr_seals)
{
    uint32_t nr = 0;

    *nr_seals = 0;
    for (uint32_t i = 0; i < s->nr_keys; i++) {
        numbers[i] = NO_KEY;
    }
    for (uint64_t page = 0; page < s->nr_pages; page++) {
        const PageSeal *seal = &s->seals[page];

        if (seal->counter) {
            ++*nr_seals;
            if (numbers[seal->key] == NO_KEY) {
                numbers[seal->key] = nr++;
            }
        }
    }
    return nr;
}

static void save_keys(const CryptSeals *s, const uint32_t *numbers,
                      uint32_t nr, uint8_t *data)
{
    stl_be_p(data, nr);
    data += sizeof(nr);
    for (uint32_t i = 0; i < s->nr_keys; i++) {
        if (numbers[i] != NO_KEY) {
            memcpy(data + (size_t)numbers[i] * PAGE_CRYPT_KEY_LEN, s->keys[i],
                   PAGE_CRYPT_KEY_LEN);
        }
    }
}

static void save_seals(const CryptSeals *s, const uint32_t *numbers,
                       uint8_t *bitmap)
{
    SavedSeal *saved = (SavedSeal *)(bitmap + bitmap_bytes(s));

    memset(bitmap, 0, bitmap_bytes(s));
    for (uint64_t page = 0; page < s->nr_pages; page++) {
        const PageSeal *seal = &s->seals[page];

        if (seal->counter) {
            bitmap[page / BITS_PER_BYTE] |= 1 << page % BITS_PER_BYTE;
            memcpy(saved->tag, seal->tag, sizeof(saved->tag));
            saved->counter = cpu_to_be64(seal->counter);
            saved->queue = cpu_to_be32(seal->queue);
            saved->key = cpu_to_be32(numbers[seal->key]);
            saved++;
        }
    }
}

bool crypt_seals_save(const CryptSeals *s, GByteArray *state)
{
    g_autofree uint32_t *numbers = g_new(uint32_t, s->nr_keys);
    uint64_t nr_seals, keys_size, size;
    uint32_t nr_keys;
    size_t begin = state->len;

    nr_keys = number_keys(s, numbers, &nr_seals);
    keys_size = sizeof(nr_keys) + (uint64_t)nr_keys * PAGE_CRYPT_KEY_LEN;
    size = keys_size + bitmap_bytes(s) + nr_seals * sizeof(SavedSeal);
    if (size > UINT32_MAX - begin) {
        return false;
    }
    g_byte_array_set_size(state, begin + size);
    save_keys(s, numbers, nr_keys, state->data + begin);
    save_seals(s, numbers, state->data + begin + keys_size);
    return true;
}

static bool load_seal(PageSeal *seal, const SavedSeal *saved,
                      uint32_t nr_keys)
{
    if (!saved) {
        return false;
    }
    memcpy(seal->tag, saved->tag, sizeof(seal->tag));
    seal->counter = be64_to_cpu(saved->counter);
    seal->queue = be32_to_cpu(saved->queue);
    seal->key = be32_to_cpu(saved->key);
    return seal->counter && seal->key < nr_keys;
}

bool crypt_seals_load(CryptSeals *s, FilterState *state)
{
    const void *number = filter_take(state, sizeof(uint32_t));
    uint32_t nr = number ? ldl_be_p(number) : 0;
    const uint8_t *keys = filter_take(state, (uint64_t)nr * PAGE_CRYPT_KEY_LEN);
    const uint8_t *bitmap = filter_take(state, bitmap_bytes(s));

    assert(!s->nr_keys);
    if (!number || !keys || !bitmap) {
        return false;
    }
    for (uint64_t page = 0; page < s->nr_pages; page++) {
        if (bitmap[page / BITS_PER_BYTE] & 1 << page % BITS_PER_BYTE &&
            !load_seal(&s->seals[page],
                       filter_take(state, sizeof(SavedSeal)), nr)) {
            return false;
        }
    }
    s->keys = g_malloc_n(nr, PAGE_CRYPT_KEY_LEN);
    memcpy(s->keys, keys, (size_t)nr * PAGE_CRYPT_KEY_LEN);
    s->nr_keys = nr;
    return true;
}
