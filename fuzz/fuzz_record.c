/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/blob.h"
#include "../journal/record.h"
#include "../journal/value.h"

#include <stdlib.h>
#include <string.h>

/*
 * The decoders of values in the journal. The first byte chooses one; its high
 * bit says that the checksum is made to hold, so that a fuzzer gets behind
 * it. What decodes must encode to the same bytes.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct nzd_view value, const struct nzd_buf *again)
{
    if (!nzd_view_equal(value, nzd_buf_view(again)))
        abort();
}

static void try_txn(struct nzd_view value, struct nzd_buf *again)
{
    struct nzd_txn txn;

    if (nzd_txn_decode(value, &txn, NULL) == NZD_OK) {
        if (nzd_txn_encode(&txn, again, NULL) != NZD_OK)
            abort();
        same(value, again);
    }
    nzd_txn_clear(&txn);
}

static void try_module_row(struct nzd_view value, struct nzd_buf *again)
{
    struct nzd_digest before;
    struct nzd_digest after;
    struct nzd_module_row row;

    if (nzd_module_row_decode(value, &row, NULL) == NZD_OK) {
        if (nzd_module_row_encode(&row, again, NULL) != NZD_OK ||
            nzd_module_row_blobs(value, &before, &after, NULL) != NZD_OK)
            abort();
        same(value, again);
    }
    nzd_module_row_clear(&row);
    (void)nzd_module_row_blobs(value, &before, &after, NULL);
}

static void try_live_row(struct nzd_view value, struct nzd_buf *again)
{
    struct nzd_digest blob;
    struct nzd_digest base;
    struct nzd_live_row row;

    if (nzd_live_row_decode(value, &row, NULL) == NZD_OK) {
        if (nzd_live_row_encode(&row, again, NULL) != NZD_OK ||
            nzd_live_row_blobs(value, &blob, &base, NULL) != NZD_OK)
            abort();
        same(value, again);
    }
    nzd_live_row_clear(&row);
    (void)nzd_live_row_blobs(value, &blob, &base, NULL);
}

static void try_event(struct nzd_view value, struct nzd_buf *again)
{
    struct nzd_event event;

    if (nzd_event_decode(value, &event, NULL) == NZD_OK) {
        if (nzd_event_encode(&event, again, NULL) != NZD_OK)
            abort();
        same(value, again);
    }
    nzd_event_clear(&event);
}

/* Another compression of the same content is as good. */
static void try_blob(struct nzd_view value, struct nzd_buf *again)
{
    if (nzd_blob_decode(value, again, NULL) != NZD_OK && again->size != 0)
        abort();
    if (again->size > NZD_BLOB_MAX)
        abort();
}

static void seal(uint8_t *value, size_t size)
{
    struct nzd_buf checksum = {0};

    nzd_buf_u64(&checksum, nzd_checksum_of(nzd_view_of(value, size - 8)));
    if (!checksum.failed)
        memcpy(value + size - 8, checksum.data, 8);
    nzd_buf_clear(&checksum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct nzd_view, struct nzd_buf *) = {
        try_txn, try_module_row, try_live_row, try_event, try_blob,
    };
    struct nzd_buf again = {0};
    uint8_t *copy;

    if (size < 1)
        return 0;
    copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 0x80 && size - 1 >= NZD_VALUE_OVERHEAD)
        seal(copy, size - 1);
    tries[(data[0] & 0x7f) % (sizeof(tries) / sizeof(tries[0]))](
        nzd_view_of(copy, size - 1), &again);
    nzd_buf_clear(&again);
    free(copy);
    return 0;
}
