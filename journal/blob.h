/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_BLOB_H
#define NZD_JOURNAL_BLOB_H

/*
 * Blobs: an encoding byte (0 raw, 1 zstd), the size of the content as a u64
 * and the content, in the envelope of value.h; under the XXH3-128 of the
 * content. Compressed where that is smaller.
 */

#include "digest.h"
#include "store.h"

#define NZD_BLOB_MAX (64u << 20) /* bytes of one content */

/* Keeps the compressor and a buffer from blob to blob. Zeros to begin with. */
struct nzd_blob_coder {
    void *compressor;
    struct nzd_buf value;
    struct nzd_buf content;
};
void nzd_blob_coder_clear(struct nzd_blob_coder *coder);

int nzd_blob_encode(struct nzd_blob_coder *coder, struct nzd_view content,
                    struct nzd_buf *out, struct nzd_err *err);
/* Appends the content to `out`; on failure `out` is as it was. */
int nzd_blob_decode(struct nzd_view value, struct nzd_buf *out,
                    struct nzd_err *err);

/*
 * Stores a content; `written` grows by the bytes it took, by none when it was
 * there. One that is there but damaged is written anew; another content under
 * the same digest is NZD_EJOURNAL.
 */
int nzd_blob_put(struct nzd_store_txn *txn, struct nzd_blob_coder *coder,
                 struct nzd_view content, struct nzd_digest *digest,
                 uint64_t *written, struct nzd_err *err);
/* Appends the content and checks its digest. NZD_ENOTFOUND. */
int nzd_blob_get(struct nzd_store_txn *txn, const struct nzd_digest *digest,
                 struct nzd_buf *out, struct nzd_err *err);
/* NZD_OK or NZD_ENOTFOUND; the content is not read. A zero digest is none
 * and always there. */
int nzd_blob_find(struct nzd_store_txn *txn, const struct nzd_digest *digest,
                  struct nzd_err *err);

#endif
