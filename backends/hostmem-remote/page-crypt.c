/*
 * Encryption of pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "page-crypt.h"
#include "remote-memory/store.h"
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define NONCE_LEN 12

/* What a region's key is for, in case that others derive keys as well. */
static const char purpose[] = "qemu remote-store-crypt page key";

struct PageCrypt {
    gnutls_aead_cipher_hd_t handle;
};

bool page_crypt_derive(const uint8_t key[PAGE_CRYPT_KEY_LEN],
                       const void *salt, size_t salt_len,
                       uint8_t derived[PAGE_CRYPT_KEY_LEN])
{
    uint8_t extracted[PAGE_CRYPT_KEY_LEN];
    gnutls_datum_t in = { (uint8_t *)key, PAGE_CRYPT_KEY_LEN };
    gnutls_datum_t with = { (uint8_t *)salt, salt_len };
    gnutls_datum_t middle = { extracted, sizeof(extracted) };
    gnutls_datum_t info = { (uint8_t *)purpose, strlen(purpose) };
    bool done;

    done = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &in, &with, extracted) >= 0 &&
           gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &middle, &info, derived,
                              PAGE_CRYPT_KEY_LEN) >= 0;
    page_crypt_forget(extracted);
    return done;
}

void page_crypt_forget(uint8_t key[PAGE_CRYPT_KEY_LEN])
{
    gnutls_memset(key, 0, PAGE_CRYPT_KEY_LEN);
}

PageCrypt *page_crypt_new(const uint8_t key[PAGE_CRYPT_KEY_LEN])
{
    gnutls_datum_t datum = { (uint8_t *)key, PAGE_CRYPT_KEY_LEN };
    gnutls_aead_cipher_hd_t handle;
    PageCrypt *crypt;

    if (gnutls_aead_cipher_init(&handle, GNUTLS_CIPHER_AES_256_GCM,
                                &datum) < 0) {
        return NULL;
    }
    crypt = g_new(PageCrypt, 1);
    crypt->handle = handle;
    return crypt;
}

void page_crypt_free(PageCrypt *crypt)
{
    if (crypt) {
        gnutls_aead_cipher_deinit(crypt->handle);
        g_free(crypt);
    }
}

static void make_nonce(uint8_t nonce[NONCE_LEN], const PageSeal *seal)
{
    stl_le_p(nonce, seal->queue);
    stq_le_p(nonce + sizeof(uint32_t), seal->counter);
}

void page_crypt_seal(PageCrypt *crypt, uint64_t page, void *buf,
                     PageSeal *seal)
{
    uint64_t number = cpu_to_le64(page);
    giovec_t about = { &number, sizeof(number) };
    giovec_t content = { buf, REMOTE_STORE_PAGE_SIZE };
    size_t tag_len = PAGE_CRYPT_TAG_LEN;
    uint8_t nonce[NONCE_LEN];
    int ret;

    make_nonce(nonce, seal);
    ret = gnutls_aead_cipher_encryptv2(crypt->handle, nonce, sizeof(nonce),
                                       &about, 1, &content, 1, seal->tag,
                                       &tag_len);
    /* There is nothing that could go wrong but the arguments. */
    if (ret < 0 || tag_len != PAGE_CRYPT_TAG_LEN) {
        abort();
    }
}

bool page_crypt_open(PageCrypt *crypt, uint64_t page, void *buf,
                     const PageSeal *seal)
{
    uint64_t number = cpu_to_le64(page);
    giovec_t about = { &number, sizeof(number) };
    giovec_t content = { buf, REMOTE_STORE_PAGE_SIZE };
    uint8_t nonce[NONCE_LEN];

    make_nonce(nonce, seal);
    return gnutls_aead_cipher_decryptv2(crypt->handle, nonce, sizeof(nonce),
                                        &about, 1, &content, 1,
                                        (void *)seal->tag,
                                        PAGE_CRYPT_TAG_LEN) >= 0;
}
