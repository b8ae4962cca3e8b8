/*
 * Encryption of pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef REMOTE_MEMORY_PAGE_CRYPT_H
#define REMOTE_MEMORY_PAGE_CRYPT_H

/**
 * DOC: Encryption of pages
 *
 * AES-256-GCM (NIST SP 800-38D).  A page is encrypted in place; what proves
 * that it is the one that was stored, its tag, stays here, and so does the
 * nonce.  The number of the page is authenticated along with it.  So a store
 * can neither read a page, nor alter it, nor give another one in its place,
 * nor an older version of it: that has another nonce.
 *
 * No nonce may be used twice with a key, or both pages can be read.  Each
 * region has a key of its own, derived from the user's by HKDF (RFC 5869) with
 * the region's random namespace and a random number as salt, and each queue
 * counts in nonces of its own.
 *
 * A process that takes pages over gets the keys that they were encrypted with,
 * and encrypts with another one, of its own.  To go on counting where the
 * source has stopped would not do: the source may go on as well, since the
 * destination has died; the same pages may be offered to a second one; and
 * whether the first has written by then is the word of a store that is not
 * trusted.  So nobody but who has made a key ever encrypts with it.
 */

/** PAGE_CRYPT_KEY_LEN: length of a key, in bytes */
#define PAGE_CRYPT_KEY_LEN 32
/** PAGE_CRYPT_TAG_LEN: length of a tag, in bytes */
#define PAGE_CRYPT_TAG_LEN 16

/**
 * struct PageSeal - what is known of an encrypted page
 * @tag: proves its content
 * @counter: the queue's count when it was encrypted, 0 for none
 * @queue: number of the queue
 * @key: number of the region's key
 */
typedef struct PageSeal {
    uint8_t tag[PAGE_CRYPT_TAG_LEN];
    uint64_t counter;
    uint32_t queue;
    uint32_t key;
} PageSeal;

typedef struct PageCrypt PageCrypt;

/**
 * page_crypt_derive: the key of a region
 * @key: the user's
 * @salt: never used before
 * @salt_len: its length, in bytes
 * @derived: set to the region's key
 *
 * Returns: false if the library refuses.
 */
bool page_crypt_derive(const uint8_t key[PAGE_CRYPT_KEY_LEN],
                       const void *salt, size_t salt_len,
                       uint8_t derived[PAGE_CRYPT_KEY_LEN]);

/** page_crypt_forget: overwrite a key */
void page_crypt_forget(uint8_t key[PAGE_CRYPT_KEY_LEN]);

/**
 * page_crypt_new: get ready, for one thread at a time
 * @key: the region's key
 *
 * Returns: %NULL if the library refuses.
 */
PageCrypt *page_crypt_new(const uint8_t key[PAGE_CRYPT_KEY_LEN]);

/** page_crypt_free: the other end of page_crypt_new().  May be %NULL */
void page_crypt_free(PageCrypt *crypt);

/**
 * page_crypt_seal: encrypt a page in place
 * @crypt: the encryption
 * @page: its number
 * @buf: its content
 * @seal: @counter and @queue are given, and were never given before with this
 *     key; @tag is set
 */
void page_crypt_seal(PageCrypt *crypt, uint64_t page, void *buf,
                     PageSeal *seal);

/**
 * page_crypt_open: decrypt a page in place
 * @crypt: the encryption
 * @page: its number
 * @buf: what the store has for it; on failure its content is undefined
 * @seal: as page_crypt_seal() left it
 *
 * Returns: whether it is the page that was sealed.
 */
bool page_crypt_open(PageCrypt *crypt, uint64_t page, void *buf,
                     const PageSeal *seal);

#endif
