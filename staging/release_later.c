/* SPDX-License-Identifier: Apache-2.0 */
#include "release.h"

#include <stdlib.h>
#include <string.h>

/* Of a bundle that is read before it is known what the node has. */
#define LATER_BYTES (8u << 20)

static int do_now(struct release_reader *reader, const struct release_later *it,
                  struct nzd_err *err)
{
    return release_blame(reader, it->path, it->work(reader, it->index, err),
                         err);
}

static bool make_room(struct release_reader *reader)
{
    uint32_t capacity = 2 * reader->later_capacity + 64;
    struct release_later *grown;

    if (reader->later_count < reader->later_capacity)
        return true;
    grown = realloc(reader->later, capacity * sizeof(*grown));
    if (!grown)
        return false;
    reader->later = grown;
    reader->later_capacity = capacity;
    return true;
}

/* Takes the bytes of the current file over. */
static int put_off(struct release_reader *reader, struct release_later *it,
                   struct nzd_err *err)
{
    it->path = strdup(it->path);
    if (!it->path || !make_room(reader)) {
        free((char *)it->path);
        return nzd_err_memory(err);
    }
    it->bytes = reader->bytes;
    memset(&reader->bytes, 0, sizeof(reader->bytes));
    reader->later_bytes += it->bytes.capacity;
    reader->later[reader->later_count++] = *it;
    return 0;
}

int release_later(struct release_reader *reader, const char *path,
                  release_work *work, uint32_t index, struct nzd_err *err)
{
    struct release_later it = {.path = path, .work = work, .index = index};
    int code;

    if (!reader->options->settle || reader->settled)
        return do_now(reader, &it, err);
    code = put_off(reader, &it, err);
    if (code == 0 && reader->later_bytes > LATER_BYTES)
        code = release_settle(reader, err);
    return code;
}

int release_settle(struct release_reader *reader, struct nzd_err *err)
{
    int code = 0;

    if (!reader->options->settle || reader->settled)
        return 0;
    reader->settled = true;
    reader->options->settle(reader->options->context);
    for (uint32_t i = 0; i < reader->later_count && code == 0; i++) {
        nzd_buf_clear(&reader->bytes);
        reader->bytes = reader->later[i].bytes;
        memset(&reader->later[i].bytes, 0, sizeof(reader->bytes));
        code = do_now(reader, &reader->later[i], err);
    }
    release_forget_later(reader);
    return code;
}

void release_forget_later(struct release_reader *reader)
{
    for (uint32_t i = 0; i < reader->later_count; i++) {
        free((char *)reader->later[i].path);
        nzd_buf_clear(&reader->later[i].bytes);
    }
    free(reader->later);
    reader->later = NULL;
    reader->later_count = reader->later_capacity = 0;
    reader->later_bytes = 0;
}
