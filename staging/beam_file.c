/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_file.h"

#include <string.h>

#define LAMBDA_SIZE     24
#define LAMBDA_OLD_UNIQ 20 /* where in it the field begins that md5 ignores */

static const char names[NZD_CHUNK_COUNT][5] = {
    [NZD_CHUNK_ATOMS] = "AtU8",      [NZD_CHUNK_CODE] = "Code",
    [NZD_CHUNK_STRINGS] = "StrT",    [NZD_CHUNK_IMPORTS] = "ImpT",
    [NZD_CHUNK_EXPORTS] = "ExpT",    [NZD_CHUNK_LAMBDAS] = "FunT",
    [NZD_CHUNK_LITERALS] = "LitT",   [NZD_CHUNK_META] = "Meta",
    [NZD_CHUNK_ATTRIBUTES] = "Attr", [NZD_CHUNK_COMPILER] = "CInf"};

int nzd_chunk_refuse(struct nzd_err *err, enum nzd_chunk chunk,
                     const char *what)
{
    return nzd_err_set(err, NZD_EBUNDLE, "chunk %s: %s", names[chunk], what);
}

static int chunk_of(struct nzd_view id)
{
    for (int i = 0; i < NZD_CHUNK_COUNT; i++) {
        if (id.size == 4 && memcmp(names[i], id.data, 4) == 0)
            return i;
    }
    return -1;
}

/* One chunk of the table. */
static int chunk_read(struct nzd_reader *reader, struct nzd_chunks *chunks,
                      struct nzd_err *err)
{
    struct nzd_view id = nzd_read_bytes(reader, 4);
    int chunk = chunk_of(id);
    uint32_t size = nzd_read_u32(reader);
    struct nzd_view view = nzd_read_bytes(reader, size);

    (void)nzd_read_bytes(reader, (4 - size % 4) % 4);
    if (reader->failed)
        return nzd_err_set(err, NZD_EBUNDLE, "BEAM file: cut short");
    if (chunk < 0)
        return 0;
    if (chunks->view[chunk].data)
        return nzd_chunk_refuse(err, (enum nzd_chunk)chunk, "occurs twice");
    chunks->view[chunk] = view;
    return 0;
}

/* What the VM refuses to load without. */
static int check_missing(const struct nzd_chunks *chunks, struct nzd_err *err)
{
    static const enum nzd_chunk needed[] = {
        NZD_CHUNK_ATOMS, NZD_CHUNK_CODE, NZD_CHUNK_IMPORTS, NZD_CHUNK_EXPORTS};

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (chunks->view[needed[i]].size == 0)
            return nzd_chunk_refuse(err, needed[i], "missing");
    }
    return 0;
}

int nzd_chunks_read(struct nzd_view file, struct nzd_chunks *out,
                    struct nzd_err *err)
{
    struct nzd_reader reader;
    struct nzd_view form;
    struct nzd_view kind;
    int rc = 0;

    memset(out, 0, sizeof(*out));
    nzd_reader_init(&reader, file);
    form = nzd_read_bytes(&reader, 4);
    if (form.size != 4 || memcmp(form.data, "FOR1", 4) != 0)
        return nzd_err_set(err, NZD_EBUNDLE, "not a BEAM file");
    form = nzd_read_block(&reader, UINT32_MAX);
    if (!nzd_reader_done(&reader))
        return nzd_err_set(err, NZD_EBUNDLE, "BEAM file: %s",
                           reader.failed ? "cut short" : "bytes after its end");
    nzd_reader_init(&reader, form);
    kind = nzd_read_bytes(&reader, 4);
    if (kind.size != 4 || memcmp(kind.data, "BEAM", 4) != 0)
        return nzd_err_set(err, NZD_EBUNDLE, "not a BEAM file");
    while (rc == 0 && reader.left > 0)
        rc = chunk_read(&reader, out, err);
    return rc ? rc : check_missing(out, err);
}

/* OldUniq counts as zero. */
static int md5_lambdas(struct nzd_md5 *md5, struct nzd_view view,
                       struct nzd_err *err)
{
    static const uint8_t zeros[LAMBDA_SIZE - LAMBDA_OLD_UNIQ];
    struct nzd_reader reader;

    nzd_reader_init(&reader, view);
    nzd_md5_add(md5, nzd_read_bytes(&reader, 4));
    while (reader.left > 0 && !reader.failed) {
        nzd_md5_add(md5, nzd_read_bytes(&reader, LAMBDA_OLD_UNIQ));
        nzd_md5_add(md5, nzd_view_of(zeros, sizeof(zeros)));
        (void)nzd_read_bytes(&reader, sizeof(zeros));
    }
    if (reader.failed)
        return nzd_chunk_refuse(err, NZD_CHUNK_LAMBDAS, "cut short");
    return 0;
}

int nzd_chunks_md5(const struct nzd_chunks *chunks, struct nzd_digest *out,
                   struct nzd_err *err)
{
    struct nzd_md5 md5;
    int rc;

    nzd_md5_init(&md5);
    /* The chunks up to Meta (OTP 26) count, in this order, as they are. */
    for (int i = 0; i <= NZD_CHUNK_META; i++) {
        if (i != NZD_CHUNK_LAMBDAS) {
            nzd_md5_add(&md5, chunks->view[i]);
            continue;
        }
        if (chunks->view[i].size == 0)
            continue;
        rc = md5_lambdas(&md5, chunks->view[i], err);
        if (rc)
            return rc;
    }
    *out = nzd_md5_end(&md5);
    return 0;
}

/* --- compact terms --- */

/* Bytes of a long value whose first byte is `lead`. */
static size_t compact_size(struct nzd_reader *reader, uint8_t lead)
{
    enum nzd_compact_tag tag;
    uint64_t size;

    if (lead >> 5 < 7)
        return (size_t)(lead >> 5) + 2;
    /* No length is that long that it needs a length of its own */
    if (reader->left > 0 && (reader->data[0] & 0xf8) == 0xf8)
        reader->failed = true;
    if (reader->failed)
        return 0;
    size = nzd_read_compact(reader, &tag);
    if (tag != NZD_COMPACT_U || size > reader->left)
        reader->failed = true;
    return reader->failed ? 0 : (size_t)size + 9;
}

uint64_t nzd_read_compact(struct nzd_reader *reader, enum nzd_compact_tag *tag)
{
    uint8_t lead = nzd_read_u8(reader);
    struct nzd_view bytes;
    uint64_t value = 0;

    *tag = (enum nzd_compact_tag)(lead & 7);
    if ((lead & 8) == 0)
        return lead >> 4;
    if ((lead & 16) == 0)
        return (uint64_t)(lead >> 5) << 8 | nzd_read_u8(reader);
    bytes = nzd_read_bytes(reader, compact_size(reader, lead));
    if (bytes.size > 8)
        return UINT64_MAX;
    for (size_t i = 0; i < bytes.size; i++)
        value = value << 8 | bytes.data[i];
    return value;
}
