/*
 * Keys of pages in memcached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "memcached-key.h"

#define BITS_PER_DIGIT 6
#define UUID_DIGITS 22
#define PAGE_DIGITS 8

QEMU_BUILD_BUG_ON(UUID_DIGITS + PAGE_DIGITS != MC_KEY_LEN);
QEMU_BUILD_BUG_ON(MC_PAGE_BITS + MC_GENERATION_BITS !=
                  PAGE_DIGITS * BITS_PER_DIGIT);

/* '!' is not a digit of base64url. */
static const char mark[PAGE_DIGITS] = "!present";

/* The low 6 * @nr bits of @value, the highest first. */
static char *put_digits(char *out, uint64_t value, unsigned nr)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    while (nr--) {
        *out++ = digits[(value >> (nr * BITS_PER_DIGIT)) & 0x3f];
    }
    return out;
}

/* Base64url without padding: each 3 bytes make 4 digits, the last one 2. */
static char *put_uuid(char *out, const QemuUUID *uuid)
{
    const uint8_t *data = uuid->data;
    size_t i;

    for (i = 0; i + 3 <= sizeof(uuid->data); i += 3) {
        out = put_digits(out, data[i] << 16 | data[i + 1] << 8 | data[i + 2],
                         4);
    }
    return put_digits(out, data[i] << 4, 2);
}

void mc_key_page(McKey *key, const QemuUUID *uuid, uint64_t page,
                 unsigned generation)
{
    char *end = put_uuid(key->text, uuid);

    assert(page < 1ull << MC_PAGE_BITS);
    assert(generation < 1u << MC_GENERATION_BITS);
    end = put_digits(end, (uint64_t)generation << MC_PAGE_BITS | page,
                     PAGE_DIGITS);
    *end = '\0';
}

void mc_key_mark(McKey *key, const QemuUUID *uuid)
{
    char *end = put_uuid(key->text, uuid);

    memcpy(end, mark, sizeof(mark));
    end[sizeof(mark)] = '\0';
}
