/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include "key.h"
#include "meta.h"
#include "rows.h"

#include <inttypes.h>
#include <string.h>

/*
 * A change is two blocks, the key of a live row and its new value; an empty
 * value takes the row away. Changes are in the order of their keys, because
 * module rows are, and both keys end in the same form of the name.
 */

static void sides(const struct nzd_module_row *row, struct nzd_live_row *live)
{
    static const struct nzd_digest none;
    bool removed = row->change == NZD_MODULE_REMOVED;

    live->blob = removed ? none : row->new_blob;
    live->md5 = removed ? none : row->new_md5;
    live->attrs = removed ? none : row->new_attrs;
    live->bytes = removed ? 0 : row->new_bytes;
    live->flags =
        removed ? 0 : row->flags & (NZD_ROW_ON_LOAD | NZD_ROW_EXECUTABLE);
}

static void base_is_new(const struct nzd_module_row *row,
                        struct nzd_live_row *live)
{
    if (row->change == NZD_MODULE_REMOVED)
        return;
    live->base_md5 = row->new_md5;
    live->base_attrs = row->new_attrs;
    live->base_blob = row->new_blob;
    live->base_bytes = row->new_bytes;
    live->base_path = row->new_path;
}

/* What the base holds: the new side where it goes back to the base; else as
 * the live row before says; else the old side. Texts are borrowed from
 * `before` or `row`. */
static int base_side(struct nzd_store_txn *txn, struct nzd_view key,
                     const struct nzd_module_row *row,
                     struct nzd_live_row *before, struct nzd_live_row *live,
                     struct nzd_err *err)
{
    struct nzd_view value;
    int rc;

    if (row->flags & NZD_ROW_TO_BASE) {
        base_is_new(row, live);
        return NZD_OK;
    }
    rc = nzd_store_get(txn, NZD_STORE_LIVE, key, &value, err);
    if (rc == NZD_OK) {
        rc = nzd_live_row_decode(value, before, err);
        live->base_md5 = before->base_md5;
        live->base_attrs = before->base_attrs;
        live->base_blob = before->base_blob;
        live->base_bytes = before->base_bytes;
        live->base_path = before->base_path;
        return rc;
    }
    if (rc != NZD_ENOTFOUND)
        return rc;
    if (row->change != NZD_MODULE_ADDED) {
        live->base_md5 = row->old_md5;
        live->base_attrs = row->old_attrs;
        live->base_blob = row->old_blob;
        live->base_bytes = row->old_bytes;
        live->base_path = row->old_path;
    }
    return NZD_OK;
}

static int add_change(struct nzd_store_txn *txn, const struct nzd_txn *record,
                      const struct nzd_module_row *row, struct nzd_buf *changes,
                      struct nzd_err *err)
{
    struct nzd_key key = nzd_key_live(&record->base, row->module);
    struct nzd_live_row live = {
        .module = row->module,
        .application = row->application,
        .since = record->id,
        .path = row->new_path,
    };
    struct nzd_live_row before = {0};
    struct nzd_buf value = {0};
    int rc = base_side(txn, nzd_key_view(&key), row, &before, &live, err);

    sides(row, &live);
    if (rc == NZD_OK && (!nzd_digest_equal(&live.md5, &live.base_md5) ||
                         !nzd_digest_equal(&live.attrs, &live.base_attrs)))
        rc = nzd_live_row_encode(&live, &value, err);
    if (rc == NZD_OK) {
        nzd_buf_block(changes, nzd_key_view(&key));
        nzd_buf_block(changes, nzd_buf_view(&value));
        rc = changes->failed ? nzd_err_memory(err) : NZD_OK;
    }
    nzd_live_row_clear(&before);
    nzd_buf_clear(&value);
    return rc;
}

static int find_changes(struct nzd_store_txn *txn, const struct nzd_txn *record,
                        struct nzd_buf *changes, struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_txn(record->id);
    struct nzd_store_cursor cursor = {0};
    struct nzd_module_row row;
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_store_seek(txn, NZD_STORE_MODULE, nzd_key_view(&prefix),
                            &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = nzd_module_row_decode(value, &row, err);
        if (rc == NZD_OK) {
            rc = add_change(txn, record, &row, changes, err);
            nzd_module_row_clear(&row);
        }
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

/* Live rows and changes as one sequence, and its digest. */
struct merge {
    struct nzd_reader changes;
    struct nzd_view key; /* of the next change, empty behind the last */
    struct nzd_view value;
    struct nzd_digester *digester;
    struct nzd_buf *copies; /* NULL: none are wanted */
    uint32_t count;
};

static void next_change(struct merge *merge)
{
    merge->key = nzd_read_block(&merge->changes, NZD_STORE_KEY_MAX);
    merge->value = nzd_read_block(&merge->changes, UINT32_MAX);
}

static void add_value(struct merge *merge, struct nzd_view value)
{
    if (value.size == 0)
        return;
    nzd_digester_add(merge->digester, value);
    if (merge->copies)
        nzd_buf_block(merge->copies, value);
    merge->count++;
}

static int compare(struct nzd_view a, struct nzd_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.data, b.data, size);

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* Takes the changes before `key` in; true if one is at it and replaces it. */
static bool replaced(struct merge *merge, struct nzd_view key)
{
    while (merge->key.size > 0) {
        int order = compare(merge->key, key);

        if (order > 0)
            return false;
        add_value(merge, merge->value);
        next_change(merge);
        if (order == 0)
            return true;
    }
    return false;
}

static int merge_rows(struct nzd_store_txn *txn, const struct nzd_digest *base,
                      struct merge *merge, struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_live(base, NULL);
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_store_seek(txn, NZD_STORE_LIVE, nzd_key_view(&prefix), &cursor,
                            err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK && !replaced(merge, key))
            add_value(merge, value);
    }
    nzd_store_end(&cursor);
    for (; merge->key.size > 0; next_change(merge))
        add_value(merge, merge->value);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int set_after(struct nzd_store_txn *txn, const struct nzd_digest *base,
                     struct nzd_view changes, struct nzd_buf *copies,
                     struct nzd_set *out, struct nzd_err *err)
{
    struct merge merge = {.digester = nzd_digester_begin(), .copies = copies};
    int rc;

    if (!merge.digester)
        return nzd_err_memory(err);
    nzd_reader_init(&merge.changes, changes);
    next_change(&merge);
    rc = merge_rows(txn, base, &merge, err);
    out->count = merge.count;
    out->digest = nzd_digester_end(merge.digester);
    return rc;
}

static int apply_changes(struct nzd_store_txn *txn, struct nzd_view changes,
                         struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = NZD_OK;

    nzd_reader_init(&reader, changes);
    while (rc == NZD_OK && reader.left > 0) {
        struct nzd_view key = nzd_read_block(&reader, NZD_STORE_KEY_MAX);
        struct nzd_view value = nzd_read_block(&reader, UINT32_MAX);

        if (value.size > 0)
            rc = nzd_store_put(txn, NZD_STORE_LIVE, key, value, err);
        else
            rc = nzd_store_delete(txn, NZD_STORE_LIVE, key, err);
        if (rc == NZD_ENOTFOUND)
            rc = NZD_OK;
    }
    return rc;
}

static int told_few(const struct nzd_digest *base, uint32_t found,
                    const struct nzd_live_set *live, struct nzd_err *err)
{
    char hex[NZD_DIGEST_HEX];

    nzd_digest_hex(hex, base);
    return nzd_err_damage(err,
                          "%" PRIu32 " live rows over base %.8s are not the "
                          "%" PRIu32 " that transaction %" PRIu64 " left",
                          found, hex, live->set.count, live->txn);
}

int nzd_live_change(struct nzd_store_txn *txn, struct nzd_txn *record,
                    bool apply, struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_live(&record->base, NULL);
    struct nzd_live_set live;
    struct nzd_buf changes = {0};
    int rc = nzd_meta_live(txn, &record->base, &live, err);

    if (rc == NZD_OK)
        rc = nzd_rows_set(txn, NZD_STORE_LIVE, nzd_key_view(&prefix),
                          &record->old_set, err);
    if (rc)
        return rc;
    if (!nzd_set_equal(&record->old_set, &live.set))
        return told_few(&record->base, record->old_set.count, &live, err);
    rc = find_changes(txn, record, &changes, err);
    if (rc == NZD_OK)
        rc = set_after(txn, &record->base, nzd_buf_view(&changes), NULL,
                       &record->new_set, err);
    if (rc == NZD_OK && apply)
        rc = apply_changes(txn, nzd_buf_view(&changes), err);
    if (rc == NZD_OK && apply) {
        live.txn = record->id;
        live.set = record->new_set;
        rc = nzd_meta_put_live(txn, &record->base, &live, err);
    }
    nzd_buf_clear(&changes);
    return rc;
}

int nzd_live_target(struct nzd_store_txn *txn, const struct nzd_txn *record,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_buf changes = {0};
    struct nzd_set found = {.count = 0};
    int rc = find_changes(txn, record, &changes, err);

    if (rc == NZD_OK)
        rc = set_after(txn, &record->base, nzd_buf_view(&changes), out, &found,
                       err);
    nzd_buf_clear(&changes);
    if (rc == NZD_OK && out->failed)
        return nzd_err_memory(err);
    if (rc == NZD_OK && !nzd_set_equal(&found, &record->new_set))
        rc = nzd_err_damage(err,
                            "%" PRIu32 " rows would be in force, not the "
                            "%" PRIu32 " that transaction %" PRIu64
                            " began with",
                            found.count, record->new_set.count, record->id);
    return rc;
}

int nzd_live_copy(struct nzd_store_txn *txn, const struct nzd_digest *base,
                  struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_live(base, NULL);
    struct nzd_live_set live;
    struct nzd_set found;
    int rc = nzd_meta_live(txn, base, &live, err);

    if (rc == NZD_OK)
        rc = nzd_rows_copy(txn, NZD_STORE_LIVE, nzd_key_view(&prefix), out,
                           &found, err);
    if (rc == NZD_OK && !nzd_set_equal(&found, &live.set))
        rc = told_few(base, found.count, &live, err);
    return rc;
}
