/*
 * Encryption: what is known of the pages of a region
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_CRYPT_SEALS_H
#define REMOTE_MEMORY_CRYPT_SEALS_H

#include "page-crypt.h"
#include "store-filter.h"

/**
 * struct CryptSeals - what is known
 * @nr_pages: how many pages there are
 * @keys: with which they are encrypted
 * @nr_keys: how many
 * @seals: of each page; @counter is 0 if there is none
 */
typedef struct CryptSeals {
    uint64_t nr_pages;
    uint8_t (*keys)[PAGE_CRYPT_KEY_LEN];
    uint32_t nr_keys;
    PageSeal *seals;
} CryptSeals;

/** crypt_seals_init: no seals, no keys.  Returns: false if errno says why */
bool crypt_seals_init(CryptSeals *s, uint64_t nr_pages);

/** crypt_seals_clear: forget all */
void crypt_seals_clear(CryptSeals *s);

/** crypt_seals_add_key: append a key.  Returns: where to put it */
uint8_t *crypt_seals_add_key(CryptSeals *s);

/**
 * crypt_seals_save: append what another process needs to @state
 * @s: the seals; none of them changes
 * @state: where to.  It has the keys, so it is as secret as the pages are
 *
 * Returns: false if it is more than fits.
 */
bool crypt_seals_save(const CryptSeals *s, GByteArray *state);

/**
 * crypt_seals_load: take over what crypt_seals_save() wrote
 * @s: without seals and keys, and of the same number of pages
 * @state: what it wrote; what was behind that is left
 *
 * Returns: whether it makes sense.
 */
bool crypt_seals_load(CryptSeals *s, FilterState *state);

#endif
