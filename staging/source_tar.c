/* SPDX-License-Identifier: Apache-2.0 */
#include "source_backend.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* POSIX ends an archive with two records of zeros; all after them is zeros
 * too (pax, "ustar Interchange Format"). */
#define END_BYTES 1024u

struct tarball {
    struct source_stream *stream;
    uint64_t size;
    struct archive *archive;
    uint64_t fed;    /* bytes of the archive given to libarchive or drained */
    uint64_t zeros;  /* of them, the zeros at the end */
    uint64_t offset; /* in the current entry's content */
    uint32_t headers;
    struct nzd_err failure; /* of the stream, met inside libarchive */
};

/* --- the stream under libarchive --- */

static void count(struct tarball *tarball, struct nzd_view view)
{
    size_t zeros = 0;

    while (zeros < view.size && view.data[view.size - zeros - 1] == 0)
        zeros++;
    tarball->zeros = zeros == view.size ? tarball->zeros + zeros : zeros;
    tarball->fed += view.size;
}

static la_ssize_t feed(struct archive *archive, void *context, const void **out)
{
    struct tarball *tarball = context;
    struct nzd_view view = {NULL, 0};
    int code = source_stream_next(tarball->stream, &view, &tarball->failure);

    if (code < 0) {
        archive_set_error(archive, tarball->failure.sys, "stream");
        return -1;
    }
    if (code == 0)
        return 0;
    count(tarball, view);
    *out = view.data;
    return (la_ssize_t)view.size;
}

static int refuse(struct tarball *tarball, struct nzd_err *err)
{
    const char *text = archive_error_string(tarball->archive);

    if (tarball->failure.code)
        return nzd_err_set(err, tarball->failure.code, "%s",
                           tarball->failure.message);
    return nzd_err_set(err, NZD_EBUNDLE, "damaged or not a tarball: %s",
                       text ? text : "unreadable");
}

/* After libarchive's end: zeros, and the end of the stream. */
static int finish(struct tarball *tarball, struct nzd_err *err)
{
    uint64_t end = (uint64_t)archive_read_header_position(tarball->archive);
    struct nzd_view view = {NULL, 0};
    int code;

    while ((code = source_stream_next(tarball->stream, &view, err)) > 0)
        count(tarball, view);
    if (code < 0)
        return code;
    if (tarball->fed < end || tarball->fed - end < END_BYTES)
        return nzd_err_set(err, NZD_EBUNDLE, "truncated: no end of archive");
    if (tarball->zeros < tarball->fed - end)
        return nzd_err_set(err, NZD_EBUNDLE, "bytes after the end of archive");
    return 0;
}

/* --- entries --- */

/* 1 for a regular file, 0 for what is skipped. */
static int judge_entry(struct archive_entry *entry, const char *path,
                       struct nzd_err *err)
{
    if (!path)
        return nzd_err_set(err, NZD_EBUNDLE, "an entry without a name");
    if (archive_entry_hardlink(entry))
        return nzd_err_set(err, NZD_EBUNDLE, "%.200s: a hard link", path);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        break;
    case AE_IFDIR:
        return 0;
    case AE_IFLNK:
        return source_link_refuse(path, err);
    default:
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%.200s: neither a file nor a folder", path);
    }
    if (archive_entry_sparse_count(entry) > 0)
        return nzd_err_set(err, NZD_EBUNDLE, "%.200s: a sparse file", path);
    if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
        return nzd_err_set(err, NZD_EBUNDLE, "%.200s: no size", path);
    return 1;
}

static int tarball_next(void *self, struct nzd_source_entry *out,
                        struct nzd_err *err)
{
    struct tarball *tarball = self;
    struct archive_entry *entry;
    int code = 0;

    while (code == 0) {
        int result = archive_read_next_header(tarball->archive, &entry);

        if (result == ARCHIVE_EOF)
            return finish(tarball, err);
        /* A warning is a name that the C locale cannot show: its bytes are
         * what we want. */
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            return refuse(tarball, err);
        if (tarball->headers++ == 2 * NZD_LIMIT_ENTRIES)
            return nzd_err_set(err, NZD_EBUNDLE,
                               "more than %u files, folders and links",
                               2 * NZD_LIMIT_ENTRIES);
        out->path = archive_entry_pathname(entry);
        code = judge_entry(entry, out->path, err);
    }
    if (code < 0)
        return code;
    out->size = (uint64_t)archive_entry_size(entry);
    out->executable = (archive_entry_perm(entry) & S_IXUSR) != 0;
    tarball->offset = 0;
    return 1;
}

static int tarball_chunk(void *self, struct nzd_view *out, struct nzd_err *err)
{
    struct tarball *tarball = self;
    const void *data = NULL;
    size_t size = 0;
    la_int64_t offset = 0;
    int result;

    do
        result =
            archive_read_data_block(tarball->archive, &data, &size, &offset);
    while (result == ARCHIVE_OK && size == 0);
    if (result == ARCHIVE_EOF)
        return 0;
    if (result != ARCHIVE_OK)
        return refuse(tarball, err);
    if (offset < 0 || (uint64_t)offset != tarball->offset)
        return nzd_err_set(err, NZD_EBUNDLE, "a sparse file");
    tarball->offset += size;
    *out = nzd_view_of(data, size);
    return 1;
}

static uint64_t tarball_bytes(const void *self)
{
    return ((const struct tarball *)self)->size;
}

static unsigned tarball_progress(const void *self)
{
    const struct tarball *tarball = self;
    uint64_t consumed = source_stream_consumed(tarball->stream);

    if (tarball->size == 0 || consumed >= tarball->size)
        return 1000;
    return (unsigned)(consumed * 1000 / tarball->size);
}

static void tarball_close(void *self)
{
    struct tarball *tarball = self;

    if (tarball->archive)
        archive_read_free(tarball->archive);
    source_stream_close(tarball->stream);
    free(tarball);
}

static int open_archive(struct tarball *tarball, struct nzd_err *err)
{
    tarball->archive = archive_read_new();
    if (!tarball->archive)
        return nzd_err_memory(err);
    if (archive_read_support_format_tar(tarball->archive) != ARCHIVE_OK ||
        archive_read_open(tarball->archive, tarball, NULL, feed, NULL) !=
            ARCHIVE_OK)
        return refuse(tarball, err);
    return 0;
}

int source_tarball_open(int fd, uint64_t size, void **out, struct nzd_err *err)
{
    struct tarball *tarball = calloc(1, sizeof(*tarball));
    int code;

    if (!tarball) {
        close(fd);
        return nzd_err_memory(err);
    }
    tarball->size = size;
    code = source_stream_open(fd, size, &tarball->stream, err);
    if (code == 0)
        code = open_archive(tarball, err);
    if (code < 0)
        tarball_close(tarball);
    else
        *out = tarball;
    return code;
}

const struct source_backend source_tarball = {
    .next = tarball_next,
    .chunk = tarball_chunk,
    .bytes = tarball_bytes,
    .progress = tarball_progress,
    .close = tarball_close,
};
