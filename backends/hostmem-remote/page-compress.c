/*
 * Compression of single pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <lz4.h>
#include <zstd.h>
#include "page-compress.h"

/* Only the members of the codec's own method are set. */
struct PageCodec {
    RemoteStoreCompression method;
    void *lz4_state;
    ZSTD_CCtx *zstd_cctx;
    ZSTD_DCtx *zstd_dctx;
};

/* Speed-up of LZ4 at the cost of size; 1 is none. */
#define LZ4_ACCELERATION 1

/*
 * The sizes of a frame and of its dictionary are known here, and memory is
 * its own checksum: do not spend bytes on them in each page.
 */
static bool zstd_codec_init(PageCodec *codec)
{
    codec->zstd_cctx = ZSTD_createCCtx();
    codec->zstd_dctx = ZSTD_createDCtx();
    if (!codec->zstd_cctx || !codec->zstd_dctx) {
        return false;
    }
    ZSTD_CCtx_setParameter(codec->zstd_cctx, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(codec->zstd_cctx, ZSTD_c_checksumFlag, 0);
    ZSTD_CCtx_setParameter(codec->zstd_cctx, ZSTD_c_dictIDFlag, 0);
    return true;
}

static bool lz4_codec_init(PageCodec *codec)
{
    codec->lz4_state = g_try_malloc(LZ4_sizeofState());
    return codec->lz4_state;
}

PageCodec *page_codec_new(RemoteStoreCompression method)
{
    PageCodec *codec = g_new0(PageCodec, 1);
    bool ok;

    assert(method != REMOTE_STORE_COMPRESSION_OFF);
    codec->method = method;
    if (method == REMOTE_STORE_COMPRESSION_ZSTD) {
        ok = zstd_codec_init(codec);
    } else {
        ok = lz4_codec_init(codec);
    }
    if (!ok) {
        page_codec_free(codec);
        return NULL;
    }
    return codec;
}

void page_codec_free(PageCodec *codec)
{
    if (codec) {
        ZSTD_freeCCtx(codec->zstd_cctx);
        ZSTD_freeDCtx(codec->zstd_dctx);
        g_free(codec->lz4_state);
        g_free(codec);
    }
}

size_t page_codec_compress(PageCodec *codec, const void *page, void *out)
{
    if (codec->method == REMOTE_STORE_COMPRESSION_ZSTD) {
        size_t len = ZSTD_compress2(codec->zstd_cctx, out, PAGE_COMPRESS_MAX,
                                    page, REMOTE_STORE_PAGE_SIZE);
        return ZSTD_isError(len) ? 0 : len;
    }
    return LZ4_compress_fast_extState(codec->lz4_state, page, out,
                                      REMOTE_STORE_PAGE_SIZE,
                                      PAGE_COMPRESS_MAX, LZ4_ACCELERATION);
}

bool page_codec_decompress(PageCodec *codec, const void *in, size_t len,
                           void *page)
{
    if (len == 0 || len > PAGE_COMPRESS_MAX) {
        return false;
    }
    if (codec->method == REMOTE_STORE_COMPRESSION_ZSTD) {
        /* An error code is larger than any size. */
        return ZSTD_decompressDCtx(codec->zstd_dctx, page,
                                   REMOTE_STORE_PAGE_SIZE, in, len)
               == REMOTE_STORE_PAGE_SIZE;
    }
    return LZ4_decompress_safe(in, page, len, REMOTE_STORE_PAGE_SIZE)
           == REMOTE_STORE_PAGE_SIZE;
}
