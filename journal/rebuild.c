/* SPDX-License-Identifier: Apache-2.0 */
#include "rebuild.h"

#include "journal_internal.h"
#include "key.h"
#include "point.h"
#include "rebuild_place.h"
#include "rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 *   1. a store without identity (no format, no uuid: nobody takes it for a
 *      journal), beside the place
 *   2. rows, a batch a transaction; a row is a byte (its table), its key and
 *      its value as blocks
 *   3. bases, heads and identity with the last batch
 *   4. opened as every journal is, proved, renamed
 */

#define BATCH_BYTES (512u << 10)
#define MAX_BYTES   (64u << 20)

struct nzd_rebuild {
    struct nzd_rebuild_place place;
    struct nzd_store_options options;
    struct nzd_store *store;
    struct nzd_blob_coder coder;
    struct nzd_transfer_journal journal;
    bool begun;          /* the record of the journal was there */
    struct nzd_buf last; /* where the last record stood in the order */
    struct nzd_buf rows;
    struct nzd_buf value; /* of one row, used again */
    struct nzd_base *bases;
    size_t base_count;
};

struct nzd_base {
    struct nzd_digest identity;
    struct nzd_live_set live;
};

/* --- batches --------------------------------------------------------- */

static int nothing(struct nzd_store_txn *txn, void *context,
                   struct nzd_err *err)
{
    (void)txn;
    (void)context;
    (void)err;
    return NZD_OK;
}

static int put_rows(struct nzd_store_txn *txn, void *context,
                    struct nzd_err *err)
{
    const struct nzd_rebuild *rebuild = context;
    struct nzd_reader reader;
    int rc = NZD_OK;

    nzd_reader_init(&reader, nzd_buf_view(&rebuild->rows));
    while (rc == NZD_OK && reader.left > 0) {
        uint8_t table = nzd_read_u8(&reader);
        struct nzd_view key = nzd_read_block(&reader, NZD_STORE_KEY_MAX);
        struct nzd_view value = nzd_read_block(&reader, UINT32_MAX);

        rc = nzd_store_put(txn, (enum nzd_store_table)table, key, value, err);
    }
    return rc;
}

static int put_last(struct nzd_store_txn *txn, void *context,
                    struct nzd_err *err)
{
    const struct nzd_rebuild *rebuild = context;
    int rc = put_rows(txn, context, err);

    for (size_t i = 0; i < rebuild->base_count && rc == NZD_OK; i++)
        rc = nzd_meta_put_live(txn, &rebuild->bases[i].identity,
                               &rebuild->bases[i].live, err);
    if (rc)
        return rc;
    return nzd_meta_restore(txn, rebuild->journal.uuid, &rebuild->journal.heads,
                            err);
}

static int write_batch(struct nzd_rebuild *rebuild, nzd_store_body *body,
                       struct nzd_err *err)
{
    int rc = nzd_store_write(rebuild->store, false, body, rebuild, err);

    /* What one large blob took is not kept for all that follow. */
    if (rebuild->rows.capacity > 2 * BATCH_BYTES)
        nzd_buf_clear(&rebuild->rows);
    nzd_buf_reset(&rebuild->rows);
    return rc;
}

/* The value is what rebuild->value holds; `encoded` how that went. */
static int put(struct nzd_rebuild *rebuild, enum nzd_store_table table,
               struct nzd_view key, int encoded, struct nzd_err *err)
{
    if (encoded)
        return encoded;
    nzd_buf_u8(&rebuild->rows, (uint8_t)table);
    nzd_buf_block(&rebuild->rows, key);
    nzd_buf_block(&rebuild->rows, nzd_buf_view(&rebuild->value));
    if (rebuild->rows.failed)
        return nzd_err_memory(err);
    return rebuild->rows.size < BATCH_BYTES
               ? NZD_OK
               : write_batch(rebuild, put_rows, err);
}

/* --- the order ------------------------------------------------------- */

static int bad(struct nzd_err *err, const char *why)
{
    return nzd_err_set(err, NZD_EBUNDLE, "%s", why);
}

/* Bytes that sort as the records are to come. */
static void add_place(const struct nzd_transfer *record, struct nzd_buf *out)
{
    struct nzd_key key;

    nzd_buf_reset(out);
    switch (record->kind) {
    case NZD_TRANSFER_TXN:
        nzd_buf_u8(out, 1);
        nzd_buf_u64(out, record->txn.id);
        break;
    case NZD_TRANSFER_MODULE:
        key = nzd_key_module(record->id, record->module.module);
        nzd_buf_u8(out, 1);
        nzd_buf_u64(out, record->id);
        nzd_buf_u8(out, 1);
        nzd_buf_bytes(out, key.bytes, key.size);
        break;
    case NZD_TRANSFER_EVENT:
        nzd_buf_u8(out, 1);
        nzd_buf_u64(out, record->id);
        nzd_buf_u8(out, 2);
        nzd_buf_u32(out, record->sequence);
        break;
    case NZD_TRANSFER_BASE:
        nzd_buf_u8(out, 2);
        nzd_buf_bytes(out, record->digest.bytes, NZD_DIGEST_SIZE);
        break;
    case NZD_TRANSFER_LIVE:
        key = nzd_key_live(&record->digest, record->live.module);
        nzd_buf_u8(out, 2);
        nzd_buf_bytes(out, key.bytes, key.size);
        break;
    case NZD_TRANSFER_BLOB:
        nzd_buf_u8(out, 3);
        nzd_buf_bytes(out, record->digest.bytes, NZD_DIGEST_SIZE);
        break;
    default:
        nzd_buf_u8(out, 0);
        break;
    }
}

static bool comes_after(struct nzd_view place, struct nzd_view last)
{
    size_t size = place.size < last.size ? place.size : last.size;
    int order = size > 0 ? memcmp(place.data, last.data, size) : 0;

    return order > 0 || (order == 0 && place.size > last.size);
}

static int check_order(struct nzd_rebuild *rebuild,
                       const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_buf place = {0};
    int rc = NZD_OK;

    add_place(record, &place);
    if (place.failed)
        rc = nzd_err_memory(err);
    else if (!rebuild->begun && record->kind != NZD_TRANSFER_JOURNAL)
        rc = bad(err, "the record of the journal is missing");
    else if (!comes_after(nzd_buf_view(&place), nzd_buf_view(&rebuild->last)))
        rc = bad(err, "it is not in its place, or there twice");
    if (rc) {
        nzd_buf_clear(&place);
        return rc;
    }
    nzd_buf_clear(&rebuild->last);
    rebuild->last = place;
    return NZD_OK;
}

/* --- records --------------------------------------------------------- */

static int add_journal(struct nzd_rebuild *rebuild,
                       const struct nzd_transfer_journal *journal,
                       struct nzd_err *err)
{
    const struct nzd_heads *heads = &journal->heads;

    if (heads->first > heads->last ||
        (heads->first == 0) != (heads->last == 0) || heads->first_event == 0 ||
        heads->first_event > heads->next_event)
        return bad(err, "its counters do not hold");
    rebuild->journal = *journal;
    rebuild->begun = true;
    return NZD_OK;
}

static int add_base(struct nzd_rebuild *rebuild,
                    const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_base *bases = realloc(
        rebuild->bases, (rebuild->base_count + 1) * sizeof(*rebuild->bases));

    if (!bases)
        return nzd_err_memory(err);
    rebuild->bases = bases;
    bases[rebuild->base_count].identity = record->digest;
    bases[rebuild->base_count].live = record->base;
    rebuild->base_count++;
    return NZD_OK;
}

/* Encoding would cut it, and the rest would be lost without a word. */
static bool fits(const char *module)
{
    return module && module[0] && strlen(module) <= NZD_RECORD_MODULE_MAX;
}

static int add_module(struct nzd_rebuild *rebuild,
                      const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_key key = nzd_key_module(record->id, record->module.module);

    return put(rebuild, NZD_STORE_MODULE, nzd_key_view(&key),
               nzd_module_row_encode(&record->module, &rebuild->value, err),
               err);
}

static int add_live(struct nzd_rebuild *rebuild,
                    const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_key key = nzd_key_live(&record->digest, record->live.module);

    return put(rebuild, NZD_STORE_LIVE, nzd_key_view(&key),
               nzd_live_row_encode(&record->live, &rebuild->value, err), err);
}

static int add_txn(struct nzd_rebuild *rebuild,
                   const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_key key = nzd_key_txn(record->txn.id);

    return put(rebuild, NZD_STORE_TXN, nzd_key_view(&key),
               nzd_txn_encode(&record->txn, &rebuild->value, err), err);
}

static int add_event(struct nzd_rebuild *rebuild,
                     const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_key key = nzd_key_event(record->id, record->sequence);

    return put(rebuild, NZD_STORE_EVENT, nzd_key_view(&key),
               nzd_event_encode(&record->event, &rebuild->value, err), err);
}

static int add_blob(struct nzd_rebuild *rebuild,
                    const struct nzd_transfer *record, struct nzd_err *err)
{
    struct nzd_view content = nzd_buf_view(&record->blob);
    struct nzd_digest found = nzd_digest_of(content);
    int rc;

    if (content.size > NZD_BLOB_MAX)
        return bad(err, "it is past the bound of a blob");
    if (!nzd_digest_equal(&found, &record->digest))
        return bad(err, "its content has another digest");
    rc = nzd_blob_encode(&rebuild->coder, content, &rebuild->value, err);
    rc = put(rebuild, NZD_STORE_BLOB, nzd_view_of(&found, sizeof(found)), rc,
             err);
    nzd_buf_clear(&rebuild->value);
    return rc;
}

int nzd_rebuild_add(struct nzd_rebuild *rebuild,
                    const struct nzd_transfer *record, struct nzd_err *err)
{
    int rc;

    if ((record->kind == NZD_TRANSFER_MODULE && !fits(record->module.module)) ||
        (record->kind == NZD_TRANSFER_LIVE && !fits(record->live.module)))
        return bad(err, "a module has no name, or one past its bound");
    rc = check_order(rebuild, record, err);
    if (rc)
        return rc;
    nzd_buf_reset(&rebuild->value);
    switch (record->kind) {
    case NZD_TRANSFER_JOURNAL:
        return add_journal(rebuild, &record->journal, err);
    case NZD_TRANSFER_TXN:
        return add_txn(rebuild, record, err);
    case NZD_TRANSFER_MODULE:
        return add_module(rebuild, record, err);
    case NZD_TRANSFER_EVENT:
        return add_event(rebuild, record, err);
    case NZD_TRANSFER_BASE:
        return add_base(rebuild, record, err);
    case NZD_TRANSFER_LIVE:
        return add_live(rebuild, record, err);
    case NZD_TRANSFER_BLOB:
        return add_blob(rebuild, record, err);
    default:
        return bad(err, "it is of no kind that is known");
    }
}

/* --- begin, finish, end ---------------------------------------------- */

static int open_store(struct nzd_rebuild *rebuild, struct nzd_err *err)
{
    const char *path = rebuild->place.path;
    int rc = nzd_store_create(path, &rebuild->options, nothing, NULL, err);

    if (rc)
        return rc;
    return nzd_store_open(path, &rebuild->options, &rebuild->store, err);
}

int nzd_rebuild_begin(const char *directory,
                      const struct nzd_journal_options *options,
                      struct nzd_rebuild **out, struct nzd_err *err)
{
    struct nzd_rebuild *rebuild = calloc(1, sizeof(*rebuild));
    int rc;

    if (!rebuild)
        return nzd_err_memory(err);
    rebuild->place.lock = -1;
    rebuild->options.max_bytes =
        options && options->max_bytes ? options->max_bytes : MAX_BYTES;
    rebuild->options.no_sync = options && options->no_sync;
    rc = nzd_rebuild_place_take(&rebuild->place, directory, err);
    if (rc == NZD_OK)
        rc = open_store(rebuild, err);
    if (rc) {
        nzd_rebuild_end(rebuild);
        return rc;
    }
    *out = rebuild;
    return NZD_OK;
}

/* What does not hold was so in the records: the store is sound. */
static int prove(struct nzd_rebuild *rebuild, struct nzd_err *err)
{
    struct nzd_err report = NZD_ERR_INIT;
    struct nzd_journal *journal = NULL;
    int rc = nzd_journal_open(rebuild->place.path, NZD_JOURNAL_READ, NULL,
                              &journal, err);

    if (rc)
        return rc;
    rc = nzd_store_read(journal->store, nzd_journal_prove, NULL, &report);
    nzd_journal_close(journal);
    if (rc == NZD_EJOURNAL)
        return nzd_err_set(err, NZD_EBUNDLE, "it does not hold together: %s",
                           report.message);
    if (rc)
        nzd_err_set(err, rc, "%s", report.message);
    return rc;
}

int nzd_rebuild_finish(struct nzd_rebuild *rebuild, struct nzd_err *err)
{
    int rc;

    if (!rebuild->begun)
        return bad(err, "the record of the journal is missing");
    rc = write_batch(rebuild, put_last, err);
    nzd_store_close(rebuild->store);
    rebuild->store = NULL;
    if (rc == NZD_OK)
        rc = prove(rebuild, err);
    if (rc)
        return rc;
    nzd_point("before a journal is put in its place");
    rc = nzd_rebuild_place_fill(&rebuild->place, err);
    nzd_point("after a journal was put in its place");
    return rc;
}

void nzd_rebuild_end(struct nzd_rebuild *rebuild)
{
    if (!rebuild)
        return;
    nzd_store_close(rebuild->store);
    nzd_rebuild_place_leave(&rebuild->place);
    nzd_blob_coder_clear(&rebuild->coder);
    nzd_buf_clear(&rebuild->last);
    nzd_buf_clear(&rebuild->rows);
    nzd_buf_clear(&rebuild->value);
    free(rebuild->bases);
    free(rebuild);
}
