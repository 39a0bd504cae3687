/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/journal_line.h"

#include <stdlib.h>
#include <string.h>

/*
 * The lines of an export, one after the other: what is read as a line must be
 * written as the very same bytes, and encoded as records it must decode to
 * the same line.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int gather(const char *data, size_t size, void *context)
{
    nzd_buf_bytes(context, data, size);
    return 0;
}

static void write_again(const struct nzd_journal_line *line,
                        struct nzd_view text)
{
    struct nzd_buf again = {0};

    if (nzd_journal_line_write(line, gather, &again, NULL) != NZD_OK ||
        !nzd_view_equal(nzd_buf_view(&again), text))
        abort();
    nzd_buf_clear(&again);
}

/* As the journal keeps it; what it keeps whole is not cut. */
static bool stored(const struct nzd_transfer *record, struct nzd_transfer *out,
                   struct nzd_buf *value)
{
    *out = *record;
    switch (record->kind) {
    case NZD_TRANSFER_TXN:
        return nzd_txn_encode(&record->txn, value, NULL) == NZD_OK &&
               nzd_txn_decode(nzd_buf_view(value), &out->txn, NULL) == NZD_OK;
    case NZD_TRANSFER_MODULE:
        return nzd_module_row_encode(&record->module, value, NULL) == NZD_OK &&
               nzd_module_row_decode(nzd_buf_view(value), &out->module, NULL) ==
                   NZD_OK;
    case NZD_TRANSFER_EVENT:
        return nzd_event_encode(&record->event, value, NULL) == NZD_OK &&
               nzd_event_decode(nzd_buf_view(value), &out->event, NULL) ==
                   NZD_OK;
    case NZD_TRANSFER_LIVE:
        return nzd_live_row_encode(&record->live, value, NULL) == NZD_OK &&
               nzd_live_row_decode(nzd_buf_view(value), &out->live, NULL) ==
                   NZD_OK;
    default:
        memset(out, 0, sizeof(*out));
        return false;
    }
}

static void try_line(struct nzd_view text)
{
    struct nzd_journal_line line;
    struct nzd_journal_line again = {0};
    struct nzd_buf value = {0};

    if (nzd_journal_line_read(text, &line, NULL) != NZD_OK)
        return;
    write_again(&line, text);
    if (!line.end && stored(&line.record, &again.record, &value)) {
        write_again(&again, text);
        nzd_transfer_clear(&again.record);
    } else if (value.size > 0) {
        abort();
    }
    nzd_buf_clear(&value);
    nzd_transfer_clear(&line.record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;

        try_line(nzd_view_of(data, length));
        length += end != NULL;
        data += length;
        size -= length;
    }
    return 0;
}
