/*
 * Compression of single pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HOSTMEM_REMOTE_PAGE_COMPRESS_H
#define HOSTMEM_REMOTE_PAGE_COMPRESS_H

#include "qapi/qapi-types-remote-store.h"
#include "remote-memory/store.h"

/**
 * PAGE_COMPRESS_MAX: longest output of page_codec_compress(), in bytes
 *
 * A page that would save less than 1/16 counts as incompressible: it would
 * cost time at each fetch and save next to nothing.
 */
#define PAGE_COMPRESS_MAX (REMOTE_STORE_PAGE_SIZE - REMOTE_STORE_PAGE_SIZE / 16)

typedef struct PageCodec PageCodec;

/**
 * page_codec_new: make a codec
 * @method: how to compress, not %REMOTE_STORE_COMPRESSION_OFF
 *
 * A codec is used by one thread at a time.
 * Returns: the codec, or %NULL if there is no memory for it.
 */
PageCodec *page_codec_new(RemoteStoreCompression method);

/**
 * page_codec_free: free a codec
 * @codec: may be %NULL
 */
void page_codec_free(PageCodec *codec);

/**
 * page_codec_compress: compress a page
 * @codec: the codec
 * @page: %REMOTE_STORE_PAGE_SIZE bytes
 * @out: room for %PAGE_COMPRESS_MAX bytes
 *
 * Returns: length of the output, or 0 if the page is incompressible.
 */
size_t page_codec_compress(PageCodec *codec, const void *page, void *out);

/**
 * page_codec_decompress: get a page back
 * @codec: a codec of the same method
 * @in: what page_codec_compress() wrote, or anything else
 * @len: its length
 * @page: %REMOTE_STORE_PAGE_SIZE bytes; undefined on failure
 *
 * Reads and writes within the bounds whatever @in is.
 * Returns: whether @in is a whole page.
 */
bool page_codec_decompress(PageCodec *codec, const void *in, size_t len,
                           void *page);

#endif
