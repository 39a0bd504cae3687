/* SPDX-License-Identifier: Apache-2.0 */
#include "source_backend.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/*
 * gzip is inflated here and not by libarchive, which neither checks a
 * member's CRC-32 and length (RFC 1952) nor tells what follows the last one.
 * zstd, xz and bzip2 check themselves; libarchive's raw format gives them.
 */

#define FILE_BYTES   (64u << 10)
#define STREAM_BYTES (128u << 10)

enum encoding { PLAIN, GZIP, FILTERED };

struct source_stream {
    int fd;
    enum encoding encoding;
    uint64_t size;        /* of the file */
    uint64_t read;        /* of the file so far */
    uint64_t produced;    /* decompressed so far */
    struct nzd_view head; /* read while opening, not yet given out */
    uint8_t file[FILE_BYTES];
    uint8_t stream[STREAM_BYTES];
    z_stream inflate;
    bool inflating; /* `inflate` is initialised */
    bool in_member; /* between a member's first and last byte */
    struct archive *archive;
};

/* --- the file --- */

/* 1 with bytes, 0 at the end of the file. */
static int read_file(struct source_stream *stream, struct nzd_view *out,
                     struct nzd_err *err)
{
    ssize_t got;

    if (stream->head.size > 0) {
        *out = stream->head;
        stream->head.size = 0;
        return 1;
    }
    do
        got = read(stream->fd, stream->file, sizeof(stream->file));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return nzd_err_system(err, NZD_EBUNDLE, errno, "read");
    stream->read += (uint64_t)got;
    *out = nzd_view_of(stream->file, (size_t)got);
    return got > 0;
}

/* --- gzip --- */

static int refill(struct source_stream *stream, struct nzd_err *err)
{
    struct nzd_view view = {NULL, 0};
    int code = read_file(stream, &view, err);

    if (code > 0) {
        /* zlib's interface is not const, its use is. */
        stream->inflate.next_in = (Bytef *)(uintptr_t)view.data;
        stream->inflate.avail_in = (uInt)view.size;
    }
    return code;
}

static int inflate_some(struct source_stream *stream, struct nzd_err *err)
{
    int result = inflate(&stream->inflate, Z_NO_FLUSH);

    if (result == Z_MEM_ERROR)
        return nzd_err_memory(err);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return nzd_err_set(err, NZD_EBUNDLE, "damaged gzip stream: %s",
                           stream->inflate.msg ? stream->inflate.msg
                                               : "it does not inflate");
    if (result == Z_STREAM_END) {
        stream->in_member = false;
        inflateReset(&stream->inflate);
    }
    return 0;
}

/* At a byte after a member: a further member, or what does not belong. */
static int begin_member(struct source_stream *stream, struct nzd_err *err)
{
    if (!stream->inflate.next_in || stream->inflate.next_in[0] != 0x1f)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "bytes after the end of the gzip stream");
    stream->in_member = true;
    return 0;
}

static int next_gzip(struct source_stream *stream, struct nzd_view *out,
                     struct nzd_err *err)
{
    z_stream *inflater = &stream->inflate;
    int code = 0;

    inflater->next_out = stream->stream;
    inflater->avail_out = STREAM_BYTES;
    while (code == 0 && inflater->avail_out > 0) {
        if (inflater->avail_in == 0) {
            code = refill(stream, err);
            if (code == 0 && stream->in_member)
                code = nzd_err_set(err, NZD_EBUNDLE, "truncated gzip stream");
            if (code <= 0)
                break;
        }
        code = stream->in_member ? 0 : begin_member(stream, err);
        if (code == 0)
            code = inflate_some(stream, err);
    }
    if (code < 0)
        return code;
    *out = nzd_view_of(stream->stream, STREAM_BYTES - inflater->avail_out);
    return out->size > 0;
}

static int open_gzip(struct source_stream *stream, struct nzd_err *err)
{
    /* 16: a gzip header and trailer, both checked. */
    if (inflateInit2(&stream->inflate, 16 + MAX_WBITS) != Z_OK)
        return nzd_err_memory(err);
    stream->inflating = true;
    return 0;
}

/* --- zstd, xz, bzip2 --- */

static la_ssize_t give_file(struct archive *archive, void *context,
                            const void **out)
{
    struct nzd_view view = {NULL, 0};
    struct nzd_err err = NZD_ERR_INIT;
    int code = read_file(context, &view, &err);

    if (code < 0) {
        archive_set_error(archive, err.sys, "%s", err.message);
        return -1;
    }
    *out = view.data;
    return code > 0 ? (la_ssize_t)view.size : 0;
}

static int refuse_archive(struct archive *archive, struct nzd_err *err)
{
    const char *text = archive_error_string(archive);

    return nzd_err_set(err, NZD_EBUNDLE, "damaged: %s",
                       text ? text : "unreadable");
}

static int open_filtered(struct source_stream *stream, struct nzd_err *err)
{
    struct archive_entry *entry;
    struct archive *archive = archive_read_new();

    stream->archive = archive;
    if (!archive)
        return nzd_err_memory(err);
    /* Not ARCHIVE_OK: this libarchive would run a program for it. */
    if (archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
        archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
        archive_read_support_filter_bzip2(archive) != ARCHIVE_OK ||
        archive_read_support_format_raw(archive) != ARCHIVE_OK)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "libarchive here cannot read zstd, xz and bzip2; "
                           "use a .tar.gz");
    if (archive_read_open(archive, stream, NULL, give_file, NULL) !=
            ARCHIVE_OK ||
        archive_read_next_header(archive, &entry) != ARCHIVE_OK)
        return refuse_archive(archive, err);
    return 0;
}

static int next_filtered(struct source_stream *stream, struct nzd_view *out,
                         struct nzd_err *err)
{
    struct nzd_view rest = {NULL, 0};
    const void *data = NULL;
    size_t size = 0;
    la_int64_t offset;
    int code, result;

    do
        result =
            archive_read_data_block(stream->archive, &data, &size, &offset);
    while (result == ARCHIVE_OK && size == 0);
    if (result == ARCHIVE_OK) {
        *out = nzd_view_of(data, size);
        return 1;
    }
    if (result != ARCHIVE_EOF)
        return refuse_archive(stream->archive, err);
    /* What the filter did not take does not belong to it. */
    code = read_file(stream, &rest, err);
    if (code == 0 &&
        (uint64_t)archive_filter_bytes(stream->archive, -1) == stream->size)
        return 0;
    return nzd_err_set(err, NZD_EBUNDLE,
                       "bytes after the end of the compressed stream");
}

/* --- the room --- */

static enum encoding encoding_of(struct nzd_view head)
{
    static const struct {
        const char *magic;
        size_t size;
        enum encoding encoding;
    } known[] = {{"\x1f\x8b", 2, GZIP},
                 {"\x28\xb5\x2f\xfd", 4, FILTERED},
                 {"\xfd"
                  "7zXZ",
                  5, FILTERED},
                 {"BZh", 3, FILTERED}};

    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (head.size >= known[i].size &&
            memcmp(head.data, known[i].magic, known[i].size) == 0)
            return known[i].encoding;
    return PLAIN;
}

int source_stream_open(int fd, uint64_t size, struct source_stream **out,
                       struct nzd_err *err)
{
    struct source_stream *stream = calloc(1, sizeof(*stream));
    struct nzd_view head = {NULL, 0};
    int code;

    if (!stream) {
        close(fd);
        return nzd_err_memory(err);
    }
    stream->fd = fd;
    stream->size = size;
    code = read_file(stream, &head, err);
    if (code >= 0) {
        stream->head = head;
        stream->encoding = encoding_of(head);
        code = stream->encoding == GZIP       ? open_gzip(stream, err)
               : stream->encoding == FILTERED ? open_filtered(stream, err)
                                              : 0;
    }
    if (code < 0)
        source_stream_close(stream);
    else
        *out = stream;
    return code;
}

void source_stream_close(struct source_stream *stream)
{
    if (!stream)
        return;
    if (stream->archive)
        archive_read_free(stream->archive);
    if (stream->inflating)
        inflateEnd(&stream->inflate);
    close(stream->fd);
    free(stream);
}

int source_stream_next(struct source_stream *stream, struct nzd_view *out,
                       struct nzd_err *err)
{
    int code = stream->encoding == GZIP       ? next_gzip(stream, out, err)
               : stream->encoding == FILTERED ? next_filtered(stream, out, err)
                                              : read_file(stream, out, err);

    if (code > 0) {
        stream->produced += out->size;
        if (stream->produced > NZD_LIMIT_BUNDLE_BYTES)
            return nzd_err_set(err, NZD_EBUNDLE,
                               "it unpacks to more than %llu bytes",
                               NZD_LIMIT_BUNDLE_BYTES);
    }
    return code;
}

uint64_t source_stream_consumed(const struct source_stream *stream)
{
    return stream->read;
}
