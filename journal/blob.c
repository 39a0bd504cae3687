/* SPDX-License-Identifier: Apache-2.0 */
#include "blob.h"

#include "value.h"

#include <zstd.h>
#include <zstd_errors.h>

#define BLOB_VERSION 1
#define LEVEL        3

enum encoding { RAW = 0, ZSTD = 1 };

static const char what[] = "a blob";

void nzd_blob_coder_clear(struct nzd_blob_coder *coder)
{
    ZSTD_freeCCtx(coder->compressor);
    coder->compressor = NULL;
    nzd_buf_clear(&coder->value);
    nzd_buf_clear(&coder->content);
}

static void put_header(struct nzd_buf *out, enum encoding encoding,
                       uint64_t size)
{
    nzd_buf_u8(out, (uint8_t)encoding);
    nzd_buf_u64(out, size);
}

/* True when what it added to `out` is smaller than the content. */
static bool compress(struct nzd_blob_coder *coder, struct nzd_view content,
                     struct nzd_buf *out)
{
    size_t room = ZSTD_compressBound(content.size);
    uint8_t *to = nzd_buf_reserve(out, room);
    size_t size;

    if (!coder->compressor)
        coder->compressor = ZSTD_createCCtx();
    if (!to || !coder->compressor)
        return false;
    size = ZSTD_compressCCtx(coder->compressor, to, room, content.data,
                             content.size, LEVEL);
    if (ZSTD_isError(size) || size >= content.size)
        return false;
    out->size += size;
    return true;
}

int nzd_blob_encode(struct nzd_blob_coder *coder, struct nzd_view content,
                    struct nzd_buf *out, struct nzd_err *err)
{
    size_t begin = nzd_value_begin(out, BLOB_VERSION);
    size_t header = out->size;

    put_header(out, ZSTD, content.size);
    if (!compress(coder, content, out)) {
        out->size = out->failed ? out->size : header;
        put_header(out, RAW, content.size);
        nzd_buf_bytes(out, content.data, content.size);
    }
    return nzd_value_end(out, begin, err);
}

static int bad(const char *why, struct nzd_err *err)
{
    return nzd_err_damage(err, "%s is damaged: %s", what, why);
}

static int inflate(struct nzd_view packed, size_t size, struct nzd_buf *out,
                   struct nzd_err *err)
{
    uint8_t *to = nzd_buf_reserve(out, size);
    size_t found;

    if (!to)
        return nzd_err_memory(err);
    found = ZSTD_decompress(to, size, packed.data, packed.size);
    if (ZSTD_getErrorCode(found) == ZSTD_error_memory_allocation)
        return nzd_err_memory(err);
    if (found != size)
        return bad("it does not decompress", err);
    out->size += size;
    return NZD_OK;
}

int nzd_blob_decode(struct nzd_view value, struct nzd_buf *out,
                    struct nzd_err *err)
{
    struct nzd_reader reader;
    struct nzd_view content;
    uint8_t encoding;
    uint64_t size;
    int rc = nzd_value_open(value, BLOB_VERSION, what, &reader, err);

    if (rc)
        return rc;
    encoding = nzd_read_u8(&reader);
    size = nzd_read_u64(&reader);
    content = nzd_read_bytes(&reader, reader.left);
    if (!nzd_reader_done(&reader) || encoding > ZSTD)
        return bad("its header does not hold", err);
    if (size > NZD_BLOB_MAX)
        return bad("it names a size past the bound", err);
    if (encoding == ZSTD)
        return inflate(content, (size_t)size, out, err);
    if (content.size != size)
        return bad("its size does not hold", err);
    nzd_buf_bytes(out, content.data, content.size);
    return out->failed ? nzd_err_memory(err) : NZD_OK;
}

static struct nzd_view key_of(const struct nzd_digest *digest)
{
    return nzd_view_of(digest->bytes, sizeof(digest->bytes));
}

static int tell(const struct nzd_digest *digest, int code, const char *why,
                struct nzd_err *err)
{
    char hex[NZD_DIGEST_HEX];

    nzd_digest_hex(hex, digest);
    return nzd_err_set(err, code, "blob %s %s", hex, why);
}

/* NZD_OK: it is there, whole. NZD_ENOTFOUND: it has to be written. */
static int compare(struct nzd_store_txn *txn, struct nzd_blob_coder *coder,
                   const struct nzd_digest *digest, struct nzd_view content,
                   struct nzd_err *err)
{
    struct nzd_view value;
    struct nzd_digest found;
    int rc = nzd_store_get(txn, NZD_STORE_BLOB, key_of(digest), &value, err);

    if (rc)
        return rc;
    nzd_buf_reset(&coder->content);
    if (nzd_blob_decode(value, &coder->content, NULL) != NZD_OK)
        return coder->content.failed ? nzd_err_memory(err) : NZD_ENOTFOUND;
    if (nzd_view_equal(nzd_buf_view(&coder->content), content))
        return NZD_OK;
    found = nzd_digest_of(nzd_buf_view(&coder->content));
    if (nzd_digest_equal(&found, digest))
        return tell(digest, NZD_EJOURNAL, "is taken by another content", err);
    return NZD_ENOTFOUND;
}

int nzd_blob_put(struct nzd_store_txn *txn, struct nzd_blob_coder *coder,
                 struct nzd_view content, struct nzd_digest *digest,
                 uint64_t *written, struct nzd_err *err)
{
    struct nzd_digest key = nzd_digest_of(content);
    int rc;

    if (content.size > NZD_BLOB_MAX)
        return nzd_err_set(err, NZD_EREFUSED,
                           "a file of %zu bytes is past the %u MiB of a blob",
                           content.size, NZD_BLOB_MAX >> 20);
    rc = compare(txn, coder, &key, content, err);
    if (rc == NZD_ENOTFOUND) {
        nzd_buf_reset(&coder->value);
        rc = nzd_blob_encode(coder, content, &coder->value, err);
        if (rc == NZD_OK)
            rc = nzd_store_put(txn, NZD_STORE_BLOB, key_of(&key),
                               nzd_buf_view(&coder->value), err);
        if (rc == NZD_OK)
            *written += coder->value.size;
    }
    if (rc == NZD_OK)
        *digest = key;
    return rc;
}

int nzd_blob_get(struct nzd_store_txn *txn, const struct nzd_digest *digest,
                 struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_view value;
    struct nzd_digest found;
    char hex[NZD_DIGEST_HEX];
    size_t before = out->size;
    int rc = nzd_store_get(txn, NZD_STORE_BLOB, key_of(digest), &value, err);

    if (rc == NZD_ENOTFOUND)
        return tell(digest, NZD_ENOTFOUND, "is not in the journal", err);
    if (rc == NZD_OK)
        rc = nzd_blob_decode(value, out, err);
    if (rc)
        return rc;
    found = nzd_digest_of(
        nzd_view_of(out->data ? out->data + before : NULL, out->size - before));
    if (nzd_digest_equal(&found, digest))
        return NZD_OK;
    out->size = before;
    nzd_digest_hex(hex, digest);
    return nzd_err_damage(err, "blob %s is damaged: it holds another content",
                          hex);
}

int nzd_blob_find(struct nzd_store_txn *txn, const struct nzd_digest *digest,
                  struct nzd_err *err)
{
    struct nzd_view value;

    if (nzd_digest_is_zero(digest))
        return NZD_OK;
    return nzd_store_get(txn, NZD_STORE_BLOB, key_of(digest), &value, err);
}
