/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include "key.h"

#include <inttypes.h>

typedef int each_row(void *context, struct nzd_view key, struct nzd_view value,
                     struct nzd_err *err);

static int walk(struct nzd_store_txn *txn, enum nzd_store_table table,
                struct nzd_view prefix, each_row *each, void *context,
                struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_store_seek(txn, table, prefix, &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = each(context, key, value, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

struct gathering {
    struct nzd_digester *digester;
    struct nzd_buf *copies; /* NULL: none are wanted */
    uint32_t count;
};

static int gather(void *context, struct nzd_view key, struct nzd_view value,
                  struct nzd_err *err)
{
    struct gathering *gathering = context;

    (void)key;
    nzd_digester_add(gathering->digester, value);
    gathering->count++;
    if (!gathering->copies)
        return NZD_OK;
    nzd_buf_block(gathering->copies, value);
    return gathering->copies->failed ? nzd_err_memory(err) : NZD_OK;
}

int nzd_rows_copy(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view prefix, struct nzd_buf *out,
                  struct nzd_set *set, struct nzd_err *err)
{
    struct gathering gathering = {nzd_digester_begin(), out, 0};
    struct nzd_set found;
    int rc;

    if (!gathering.digester)
        return nzd_err_memory(err);
    rc = walk(txn, table, prefix, gather, &gathering, err);
    found.count = gathering.count;
    found.digest = nzd_digester_end(gathering.digester);
    if (rc == NZD_OK && set)
        *set = found;
    return rc;
}

int nzd_rows_set(struct nzd_store_txn *txn, enum nzd_store_table table,
                 struct nzd_view prefix, struct nzd_set *out,
                 struct nzd_err *err)
{
    return nzd_rows_copy(txn, table, prefix, NULL, out, err);
}

bool nzd_set_equal(const struct nzd_set *a, const struct nzd_set *b)
{
    return a->count == b->count && nzd_digest_equal(&a->digest, &b->digest);
}

static int gather_key(void *context, struct nzd_view key, struct nzd_view value,
                      struct nzd_err *err)
{
    struct nzd_buf *keys = context;

    (void)value;
    nzd_buf_block(keys, key);
    return keys->failed ? nzd_err_memory(err) : NZD_OK;
}

int nzd_rows_delete_keys(struct nzd_store_txn *txn, enum nzd_store_table table,
                         struct nzd_view keys, struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = NZD_OK;

    nzd_reader_init(&reader, keys);
    while (rc == NZD_OK && !reader.failed && reader.left > 0)
        rc = nzd_store_delete(txn, table,
                              nzd_read_block(&reader, NZD_STORE_KEY_MAX), err);
    return rc;
}

int nzd_rows_delete(struct nzd_store_txn *txn, enum nzd_store_table table,
                    struct nzd_view prefix, struct nzd_err *err)
{
    struct nzd_buf keys = {0};
    int rc = walk(txn, table, prefix, gather_key, &keys, err);

    if (rc == NZD_OK)
        rc = nzd_rows_delete_keys(txn, table, nzd_buf_view(&keys), err);
    nzd_buf_clear(&keys);
    return rc;
}

int nzd_rows_txn(struct nzd_store_txn *txn, uint64_t id, struct nzd_txn *out,
                 struct nzd_err *err)
{
    struct nzd_key key = nzd_key_txn(id);
    struct nzd_txn record;
    struct nzd_view value;
    int rc = nzd_store_get(txn, NZD_STORE_TXN, nzd_key_view(&key), &value, err);

    if (rc)
        return rc;
    rc = nzd_txn_decode(value, &record, err);
    if (rc) {
        nzd_err_prefix(err, "transaction %" PRIu64, id);
        return rc;
    }
    if (record.id != id) {
        nzd_txn_clear(&record);
        return nzd_err_damage(
            err, "transaction %" PRIu64 " holds another's record", id);
    }
    *out = record;
    return NZD_OK;
}

int nzd_rows_txn_held(struct nzd_store_txn *txn, uint64_t id,
                      struct nzd_txn *out, struct nzd_err *err)
{
    int rc = nzd_rows_txn(txn, id, out, err);

    if (rc != NZD_ENOTFOUND)
        return rc;
    return nzd_err_damage(err, "transaction %" PRIu64 " is missing", id);
}
