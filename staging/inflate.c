/* SPDX-License-Identifier: Apache-2.0 */
#include "inflate.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

/* The first room asked for; it grows by doubling, to no more than the limit. */
#define FIRST_ROOM(input) (4 * (input) + 512)

/* zlib.h: 32 added to the window bits detects zlib and gzip headers. */
#define ANY_HEADER (MAX_WBITS + 32)

static int damaged(struct nzd_err *err, const char *what)
{
    return nzd_err_set(err, NZD_EBUNDLE, "compressed data: %s", what);
}

/* Inflates on into `out` until the stream ends; one byte over the limit is
 * enough to know. */
static int run(z_stream *stream, size_t limit, struct nzd_buf *out,
               struct nzd_err *err)
{
    size_t begin = out->size, room = FIRST_ROOM(stream->avail_in);
    int status = Z_OK;

    while (status == Z_OK) {
        size_t done = out->size - begin;
        if (room > limit + 1 - done)
            room = limit + 1 - done;
        if (room > UINT_MAX)
            room = UINT_MAX;
        uint8_t *to = nzd_buf_reserve(out, room);
        if (!to)
            return nzd_err_memory(err);
        stream->next_out = to;
        stream->avail_out = (uInt)room;
        status = inflate(stream, Z_NO_FLUSH);
        out->size += room - stream->avail_out;
        if (out->size - begin > limit)
            return damaged(err, "inflates to too many bytes");
        room = out->size - begin + 512;
    }
    if (status == Z_MEM_ERROR)
        return nzd_err_memory(err);
    if (status == Z_BUF_ERROR)
        return damaged(err, "cut short");
    if (status != Z_STREAM_END)
        return damaged(err, stream->msg ? stream->msg : "needs a dictionary");
    if (stream->avail_in)
        return damaged(err, "bytes after its end");
    return 0;
}

int nzd_inflate(struct nzd_view view, size_t limit, struct nzd_buf *out,
                struct nzd_err *err)
{
    z_stream stream;

    memset(&stream, 0, sizeof(stream));
    if (view.size > UINT_MAX)
        return nzd_err_set(err, NZD_EBUNDLE, "too large to inflate");
    stream.next_in = (Bytef *)(uintptr_t)view.data;
    stream.avail_in = (uInt)view.size;
    if (inflateInit2(&stream, ANY_HEADER) != Z_OK)
        return nzd_err_memory(err);
    int code = run(&stream, limit, out, err);
    inflateEnd(&stream);
    return code;
}
