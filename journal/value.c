/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include "digest.h"

size_t nzd_value_begin(struct nzd_buf *out, uint8_t version)
{
    size_t begin = out->size;

    nzd_buf_u8(out, version);
    return begin;
}

int nzd_value_end(struct nzd_buf *out, size_t begin, struct nzd_err *err)
{
    if (!out->failed)
        nzd_buf_u64(out, nzd_checksum_of(nzd_view_of(out->data + begin,
                                                     out->size - begin)));
    return out->failed ? nzd_err_memory(err) : NZD_OK;
}

int nzd_value_open(struct nzd_view value, uint8_t version, const char *what,
                   struct nzd_reader *content, struct nzd_err *err)
{
    struct nzd_reader reader;
    struct nzd_reader checksum;
    struct nzd_view body;
    uint8_t found;

    if (value.size < NZD_VALUE_OVERHEAD)
        return nzd_err_damage(err, "%s is damaged: %zu bytes", what,
                              value.size);
    body = nzd_view_of(value.data, value.size - 8);
    nzd_reader_init(&checksum, nzd_view_of(value.data + body.size, 8));
    if (nzd_read_u64(&checksum) != nzd_checksum_of(body))
        return nzd_err_damage(err, "%s is damaged: its checksum does not match",
                              what);
    nzd_reader_init(&reader, body);
    found = nzd_read_u8(&reader);
    if (found > version) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "%s was written by a newer nzd (version %d, we read %d)",
                    what, found, version);
        nzd_err_next(err, "use the nzd that wrote it, or a newer one");
        return NZD_EJOURNAL;
    }
    if (found == 0)
        return nzd_err_damage(err, "%s is damaged: version 0", what);
    *content = reader;
    return NZD_OK;
}

int nzd_value_done(const struct nzd_reader *content, const char *what,
                   struct nzd_err *err)
{
    if (nzd_reader_done(content))
        return NZD_OK;
    return nzd_err_damage(err, "%s is damaged: %s", what,
                          content->failed ? "a field does not hold"
                                          : "bytes are left over");
}
