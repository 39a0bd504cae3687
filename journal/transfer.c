/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer.h"

#include "journal_internal.h"
#include "key.h"
#include "rows.h"

#include <inttypes.h>
#include <string.h>

#define PART_BYTES (64u << 10) /* rows that one reader copies, and one more */

typedef int each_record(void *context, const struct nzd_transfer *record,
                        struct nzd_err *err);

struct walk {
    struct nzd_journal *journal;
    uint64_t version; /* of the one state that is read */
    each_record *each;
    void *context;
};

void nzd_transfer_clear(struct nzd_transfer *record)
{
    switch (record->kind) {
    case NZD_TRANSFER_TXN:
        nzd_txn_clear(&record->txn);
        break;
    case NZD_TRANSFER_MODULE:
        nzd_module_row_clear(&record->module);
        break;
    case NZD_TRANSFER_EVENT:
        nzd_event_clear(&record->event);
        break;
    case NZD_TRANSFER_LIVE:
        nzd_live_row_clear(&record->live);
        break;
    case NZD_TRANSFER_BLOB:
        nzd_buf_clear(&record->blob);
        break;
    default:
        break;
    }
    memset(record, 0, sizeof(*record));
}

static int check_version(const struct walk *walk,
                         const struct nzd_store_txn *txn, struct nzd_err *err)
{
    if (nzd_store_version(txn) == walk->version)
        return NZD_OK;
    nzd_err_set(err, NZD_EBUSY, "journal %s was changed while it was read",
                walk->journal->directory);
    nzd_err_next(err, "try again when the nzd that is at work has ended");
    return NZD_EBUSY;
}

/* --- some rows, copied ----------------------------------------------- */

/* A part of the rows under a prefix: keys and values as blocks. */
struct part {
    const struct walk *walk;
    enum nzd_store_table table;
    struct nzd_view prefix;
    struct nzd_buf last; /* key of the last one copied before; empty: none */
    struct nzd_buf rows;
    bool done;
};

static int copy_rows(struct part *part, struct nzd_store_cursor *cursor,
                     struct nzd_err *err)
{
    struct nzd_view key;
    struct nzd_view value;
    int rc = NZD_OK;

    while (part->rows.size < PART_BYTES) {
        rc = nzd_store_next(cursor, &key, &value, err);
        if (rc)
            break;
        nzd_buf_block(&part->rows, key);
        nzd_buf_block(&part->rows, value);
        nzd_buf_reset(&part->last);
        nzd_buf_bytes(&part->last, key.data, key.size);
    }
    part->done = rc == NZD_ENOTFOUND;
    if (part->rows.failed || part->last.failed)
        return nzd_err_memory(err);
    return part->done ? NZD_OK : rc;
}

static int copy_part(struct nzd_store_txn *txn, void *context,
                     struct nzd_err *err)
{
    struct part *part = context;
    struct nzd_store_cursor cursor = {0};
    int rc = check_version(part->walk, txn, err);

    nzd_buf_reset(&part->rows);
    if (rc == NZD_OK)
        rc = nzd_store_seek(txn, part->table, part->prefix, &cursor, err);
    if (rc == NZD_OK && part->last.size > 0)
        rc = nzd_store_resume(&cursor, nzd_buf_view(&part->last), err);
    if (rc == NZD_OK)
        rc = copy_rows(part, &cursor, err);
    nzd_store_end(&cursor);
    if (rc == NZD_ENOTFOUND)
        rc = nzd_err_set(err, NZD_EJOURNAL, "a row went while it was read");
    return rc;
}

typedef int take_row(struct walk *walk, struct nzd_view key,
                     struct nzd_view value, struct nzd_err *err);

static int take_part(struct walk *walk, const struct part *part, take_row *take,
                     struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = NZD_OK;

    nzd_reader_init(&reader, nzd_buf_view(&part->rows));
    while (rc == NZD_OK && reader.left > 0) {
        struct nzd_view key = nzd_read_block(&reader, NZD_STORE_KEY_MAX);
        struct nzd_view value = nzd_read_block(&reader, UINT32_MAX);

        rc = take(walk, key, value, err);
    }
    return rc;
}

static int each_row(struct walk *walk, enum nzd_store_table table,
                    struct nzd_view prefix, take_row *take, struct nzd_err *err)
{
    struct part part = {.walk = walk, .table = table, .prefix = prefix};
    int rc = NZD_OK;

    while (rc == NZD_OK && !part.done) {
        rc = nzd_journal_look(walk->journal, copy_part, &part, err);
        if (rc == NZD_OK)
            rc = take_part(walk, &part, take, err);
    }
    nzd_buf_clear(&part.last);
    nzd_buf_clear(&part.rows);
    return rc;
}

/* --- rows as records ------------------------------------------------- */

/* What could not be decoded is a fault of the journal, and said so. */
static int give(struct walk *walk, struct nzd_transfer *record, int decoded,
                struct nzd_err *err)
{
    int rc = nzd_journal_told(walk->journal, decoded, err);

    if (rc == NZD_OK)
        rc = walk->each(walk->context, record, err);
    nzd_transfer_clear(record);
    return rc;
}

static int take_txn(struct walk *walk, struct nzd_view key,
                    struct nzd_view value, struct nzd_err *err)
{
    struct nzd_transfer record = {.kind = NZD_TRANSFER_TXN};

    (void)key;
    return give(walk, &record, nzd_txn_decode(value, &record.txn, err), err);
}

static int take_module(struct walk *walk, struct nzd_view key,
                       struct nzd_view value, struct nzd_err *err)
{
    struct nzd_transfer record = {.kind = NZD_TRANSFER_MODULE,
                                  .id = nzd_key_id(key)};

    return give(walk, &record,
                nzd_module_row_decode(value, &record.module, err), err);
}

static int take_event(struct walk *walk, struct nzd_view key,
                      struct nzd_view value, struct nzd_err *err)
{
    struct nzd_transfer record = {.kind = NZD_TRANSFER_EVENT,
                                  .id = nzd_key_id(key),
                                  .sequence = nzd_key_sequence(key)};

    return give(walk, &record, nzd_event_decode(value, &record.event, err),
                err);
}

static int take_live(struct walk *walk, struct nzd_view key,
                     struct nzd_view value, struct nzd_err *err)
{
    struct nzd_transfer record = {.kind = NZD_TRANSFER_LIVE};

    if (key.size > NZD_DIGEST_SIZE)
        memcpy(record.digest.bytes, key.data, NZD_DIGEST_SIZE);
    return give(walk, &record, nzd_live_row_decode(value, &record.live, err),
                err);
}

static int take_blob(struct walk *walk, struct nzd_view key,
                     struct nzd_view value, struct nzd_err *err)
{
    struct nzd_transfer record = {.kind = NZD_TRANSFER_BLOB};
    struct nzd_digest found;
    int rc = nzd_blob_decode(value, &record.blob, err);

    found = nzd_digest_of(nzd_buf_view(&record.blob));
    if (rc == NZD_OK &&
        !nzd_view_equal(key, nzd_view_of(&found, sizeof(found))))
        rc = nzd_err_set(err, NZD_EJOURNAL, "a blob holds another content");
    record.digest = found;
    return give(walk, &record, rc, err);
}

/* --- the order ------------------------------------------------------- */

struct heads {
    const struct walk *walk;
    struct nzd_transfer record;
    uint64_t boots;
};

static int look_heads(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    struct heads *heads = context;
    struct nzd_transfer_journal *journal = &heads->record.journal;
    int rc = check_version(heads->walk, txn, err);

    if (rc == NZD_OK)
        rc = nzd_meta_identity(txn, journal->uuid, err);
    if (rc == NZD_OK)
        rc = nzd_meta_heads(txn, &journal->heads, err);
    return rc ? rc : nzd_store_count(txn, NZD_STORE_BOOT, &heads->boots, err);
}

static int give_journal(struct walk *walk, struct nzd_heads *out,
                        struct nzd_err *err)
{
    struct heads heads = {.walk = walk,
                          .record = {.kind = NZD_TRANSFER_JOURNAL}};
    int rc = nzd_journal_look(walk->journal, look_heads, &heads, err);

    if (rc)
        return rc;
    if (heads.boots > 0)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "journal %s holds records of boots, which cannot "
                           "be carried over",
                           walk->journal->directory);
    *out = heads.record.journal.heads;
    return walk->each(walk->context, &heads.record, err);
}

static int give_txns(struct walk *walk, const struct nzd_heads *heads,
                     struct nzd_err *err)
{
    int rc = NZD_OK;

    for (uint64_t id = heads->first; id > 0 && id <= heads->last; id++) {
        struct nzd_key key = nzd_key_txn(id);
        struct nzd_view prefix = nzd_key_view(&key);

        rc = each_row(walk, NZD_STORE_TXN, prefix, take_txn, err);
        if (rc == NZD_OK)
            rc = each_row(walk, NZD_STORE_MODULE, prefix, take_module, err);
        if (rc == NZD_OK)
            rc = each_row(walk, NZD_STORE_EVENT, prefix, take_event, err);
        if (rc)
            return rc;
    }
    return rc;
}

struct base {
    const struct walk *walk;
    struct nzd_transfer record;
};

static int look_base(struct nzd_store_txn *txn, void *context,
                     struct nzd_err *err)
{
    struct base *base = context;
    int rc = check_version(base->walk, txn, err);

    if (rc)
        return rc;
    return nzd_meta_live(txn, &base->record.digest, &base->record.base, err);
}

static int take_base(struct walk *walk, struct nzd_view key,
                     struct nzd_view value, struct nzd_err *err)
{
    struct base base = {.walk = walk, .record = {.kind = NZD_TRANSFER_BASE}};
    struct nzd_key prefix;
    int rc;

    (void)value;
    if (!nzd_meta_live_base(key, &base.record.digest))
        return nzd_err_set(err, NZD_EJOURNAL, "a base has no identity");
    rc = nzd_journal_look(walk->journal, look_base, &base, err);
    if (rc == NZD_OK)
        rc = walk->each(walk->context, &base.record, err);
    prefix = nzd_key_live(&base.record.digest, NULL);
    if (rc == NZD_OK)
        rc = each_row(walk, NZD_STORE_LIVE, nzd_key_view(&prefix), take_live,
                      err);
    return rc;
}

static int look_version(struct nzd_store_txn *txn, void *context,
                        struct nzd_err *err)
{
    struct walk *walk = context;

    (void)err;
    walk->version = nzd_store_version(txn);
    return NZD_OK;
}

/* A write between the two is noticed by all that follows. */
static int begin(struct walk *walk, struct nzd_err *err)
{
    int rc = nzd_journal_look(walk->journal, look_version, walk, err);

    return rc ? rc : nzd_journal_verify(walk->journal, err);
}

int nzd_transfer_each(struct nzd_journal *journal, each_record *each,
                      void *context, struct nzd_err *err)
{
    struct walk walk = {.journal = journal, .each = each, .context = context};
    struct nzd_heads heads = {0};
    int rc = begin(&walk, err);

    if (rc == NZD_OK)
        rc = give_journal(&walk, &heads, err);
    if (rc == NZD_OK)
        rc = give_txns(&walk, &heads, err);
    if (rc == NZD_OK)
        rc = each_row(&walk, NZD_STORE_META, nzd_meta_live_prefix(), take_base,
                      err);
    if (rc == NZD_OK)
        rc = each_row(&walk, NZD_STORE_BLOB, nzd_view_of(NULL, 0), take_blob,
                      err);
    return rc;
}
