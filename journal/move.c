/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "collect.h"
#include "file_row.h"
#include "journal_internal.h"
#include "key.h"
#include "live.h"
#include "rows.h"

#include <inttypes.h>
#include <string.h>

/*
 * The durable move, one write transaction:
 *
 *   1. what is on disk says whether the move is legal
 *   2. module rows (first move), events onto the chain
 *   3. live rows (commit)
 *   4. the record itself, then the heads of the journal
 *   5. what is past `keep` is dropped, blobs without a root go (commit)
 *
 * It may run more than once (the map grows), so it works on a copy and the
 * caller's record is filled in when all is durable.
 */

/* Pages that the bookkeeping of a commit dirties besides what the caller
 * counted: a path of each tree, and rows and blobs that are dropped. */
#define OWN_BYTES (128u << 10)

struct act {
    struct nzd_journal *journal;
    const struct nzd_move *move;
    struct nzd_txn record; /* borrows the texts of move->txn */
    struct nzd_heads heads;
    enum nzd_state from;
};

static int illegal(const struct nzd_txn *record, enum nzd_state from,
                   struct nzd_err *err)
{
    return nzd_err_set(
        err, NZD_EINTERNAL, "transaction %" PRIu64 " cannot move from %s to %s",
        record->id, nzd_state_name(from), nzd_state_name(record->state));
}

static int refuse_second(struct nzd_store_txn *txn,
                         const struct nzd_heads *heads, struct nzd_err *err)
{
    struct nzd_txn other;
    bool open;
    int rc;

    for (uint64_t id = heads->last; id >= heads->first && id > 0; id--) {
        rc = nzd_rows_txn_held(txn, id, &other, err);
        if (rc)
            return rc;
        open = nzd_state_is_open(other.state);
        nzd_txn_clear(&other);
        if (open)
            return nzd_err_set(err, NZD_EINTERNAL,
                               "transaction %" PRIu64 " is still open", id);
    }
    return NZD_OK;
}

/* --- module rows --- */

static int check_row(const struct nzd_module_row *row, struct nzd_err *err)
{
    size_t size = row->module ? strlen(row->module) : 0;
    const char *flaw;

    if (size == 0 || size > NZD_RECORD_MODULE_MAX)
        return nzd_err_set(err, NZD_EINTERNAL, "a module name of %zu bytes",
                           size);
    flaw = nzd_file_row_flaw(row);
    return flaw ? nzd_err_set(err, NZD_EINTERNAL, "the row of %s: %s",
                              row->module, flaw)
                : NZD_OK;
}

/* An armed transaction must be able to put back what it takes away. */
static int check_blobs(struct nzd_store_txn *txn,
                       const struct nzd_module_row *row, struct nzd_err *err)
{
    int rc = nzd_blob_find(txn, &row->old_blob, err);

    if (rc == NZD_OK)
        rc = nzd_blob_find(txn, &row->new_blob, err);
    if (rc == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "the code of %s is not in the journal", row->module);
    return rc;
}

static int put_row(struct nzd_store_txn *txn, uint64_t id,
                   const struct nzd_module_row *row, struct nzd_buf *value,
                   struct nzd_err *err)
{
    struct nzd_key key = nzd_key_module(id, row->module);
    struct nzd_view before;
    int rc =
        nzd_store_get(txn, NZD_STORE_MODULE, nzd_key_view(&key), &before, err);

    if (rc == NZD_OK)
        return nzd_err_set(err, NZD_EINTERNAL, "module %s is named twice",
                           row->module);
    if (rc != NZD_ENOTFOUND)
        return rc;
    nzd_buf_reset(value);
    rc = nzd_module_row_encode(row, value, err);
    if (rc)
        return rc;
    return nzd_store_put(txn, NZD_STORE_MODULE, nzd_key_view(&key),
                         nzd_buf_view(value), err);
}

static int put_rows(struct nzd_store_txn *txn, struct act *act,
                    struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_txn(act->record.id);
    struct nzd_buf value = {0};
    int rc = NZD_OK;

    for (size_t i = 0; i < act->move->module_count && rc == NZD_OK; i++) {
        const struct nzd_module_row *row = &act->move->modules[i];

        rc = check_row(row, err);
        if (rc == NZD_OK && nzd_state_is_open(act->record.state))
            rc = check_blobs(txn, row, err);
        if (rc == NZD_OK)
            rc = put_row(txn, act->record.id, row, &value, err);
    }
    nzd_buf_clear(&value);
    if (rc)
        return rc;
    return nzd_rows_set(txn, NZD_STORE_MODULE, nzd_key_view(&prefix),
                        &act->record.rows, err);
}

/* --- the two kinds of move --- */

static int move_first(struct nzd_store_txn *txn, struct act *act,
                      struct nzd_err *err)
{
    int rc;

    act->from = NZD_STATE_NONE;
    if (!nzd_state_can_move(act->from, act->record.state))
        return illegal(&act->record, act->from, err);
    if (nzd_state_is_open(act->record.state)) {
        rc = refuse_second(txn, &act->heads, err);
        if (rc)
            return rc;
    }
    act->record.id = ++act->heads.last;
    if (act->heads.first == 0)
        act->heads.first = act->record.id;
    act->record.events = 0;
    rc = put_rows(txn, act, err);
    if (rc == NZD_OK)
        rc = nzd_live_change(txn, &act->record, false, err);
    if (rc == NZD_OK && !nzd_state_is_open(act->record.state))
        act->record.new_set = act->record.old_set;
    return rc;
}

/* What later moves do not change is taken from the disk. */
static int take_over(struct act *act, const struct nzd_txn *disk,
                     struct nzd_err *err)
{
    act->from = disk->state;
    if (!nzd_state_can_move(act->from, act->record.state))
        return illegal(&act->record, act->from, err);
    if (act->move->module_count > 0 || act->record.kind != disk->kind ||
        !nzd_digest_equal(&act->record.base, &disk->base))
        return nzd_err_set(err, NZD_EINTERNAL,
                           "transaction %" PRIu64
                           " cannot change its modules, kind or base",
                           disk->id);
    act->record.rows = disk->rows;
    act->record.old_set = disk->old_set;
    act->record.new_set = disk->new_set;
    act->record.events = disk->events;
    return NZD_OK;
}

static int check_rows(struct nzd_store_txn *txn, const struct nzd_txn *record,
                      struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_txn(record->id);
    struct nzd_set found;
    int rc =
        nzd_rows_set(txn, NZD_STORE_MODULE, nzd_key_view(&prefix), &found, err);

    if (rc || nzd_set_equal(&found, &record->rows))
        return rc;
    return nzd_err_set(err, NZD_EJOURNAL,
                       "the %" PRIu32 " module rows of transaction %" PRIu64
                       " are not the %" PRIu32 " that it began with",
                       found.count, record->id, record->rows.count);
}

static int move_on(struct nzd_store_txn *txn, struct act *act,
                   struct nzd_err *err)
{
    struct nzd_txn disk;
    int rc = nzd_rows_txn(txn, act->record.id, &disk, err);

    if (rc == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "there is no transaction %" PRIu64, act->record.id);
    if (rc)
        return rc;
    rc = take_over(act, &disk, err);
    nzd_txn_clear(&disk);
    if (rc || act->record.state != NZD_STATE_COMMITTED ||
        act->from == NZD_STATE_QUARANTINED)
        return rc;
    rc = check_rows(txn, &act->record, err);
    return rc ? rc : nzd_live_change(txn, &act->record, true, err);
}

/* --- events --- */

static int put_event(struct nzd_store_txn *txn, struct act *act,
                     const struct nzd_event *event, struct nzd_buf *value,
                     struct nzd_err *err)
{
    struct nzd_event linked = *event;
    struct nzd_key key;
    int rc;

    if (act->heads.next_event == UINT32_MAX)
        return nzd_err_set(err, NZD_EJOURNAL, "it holds no more events");
    linked.previous = act->heads.head;
    nzd_buf_reset(value);
    rc = nzd_event_encode(&linked, value, err);
    if (rc)
        return rc;
    key = nzd_key_event(act->record.id, act->heads.next_event);
    act->heads.next_event++;
    act->heads.head = nzd_digest_of(nzd_buf_view(value));
    act->record.events++;
    return nzd_store_put(txn, NZD_STORE_EVENT, nzd_key_view(&key),
                         nzd_buf_view(value), err);
}

static int put_events(struct nzd_store_txn *txn, struct act *act,
                      struct nzd_err *err)
{
    struct nzd_buf value = {0};
    int rc = NZD_OK;

    for (size_t i = 0; i < act->move->event_count && rc == NZD_OK; i++)
        rc = put_event(txn, act, &act->move->events[i], &value, err);
    nzd_buf_clear(&value);
    return rc;
}

static int put_record(struct nzd_store_txn *txn, const struct nzd_txn *record,
                      struct nzd_err *err)
{
    struct nzd_key key = nzd_key_txn(record->id);
    struct nzd_buf value = {0};
    int rc = nzd_txn_encode(record, &value, err);

    if (rc == NZD_OK)
        rc = nzd_store_put(txn, NZD_STORE_TXN, nzd_key_view(&key),
                           nzd_buf_view(&value), err);
    nzd_buf_clear(&value);
    return rc;
}

static int act_out(struct nzd_store_txn *txn, void *context,
                   struct nzd_err *err)
{
    struct act *act = context;
    int rc = nzd_meta_heads(txn, &act->heads, err);

    act->record = *act->move->txn;
    if (rc == NZD_OK)
        rc = act->record.id == 0 ? move_first(txn, act, err)
                                 : move_on(txn, act, err);
    if (rc == NZD_OK)
        rc = put_events(txn, act, err);
    if (rc == NZD_OK)
        rc = put_record(txn, &act->record, err);
    if (rc)
        return rc;
    if (act->record.epoch > act->heads.epoch)
        act->heads.epoch = act->record.epoch;
    if (act->record.state == NZD_STATE_COMMITTED)
        rc = nzd_collect(txn, &act->heads, act->journal->keep, NULL, err);
    return rc ? rc : nzd_meta_put_heads(txn, &act->heads, err);
}

int nzd_journal_move(struct nzd_journal *journal, const struct nzd_move *move,
                     struct nzd_err *err)
{
    struct act act = {.journal = journal, .move = move};
    bool first = move->txn->id == 0;
    int rc = NZD_OK;

    if (first && move->reserve_bytes > 0 && journal->lock >= 0)
        rc = nzd_journal_told(journal,
                              nzd_store_reserve(journal->store,
                                                move->reserve_bytes + OWN_BYTES,
                                                err),
                              err);
    if (rc == NZD_OK)
        rc = nzd_journal_change(journal, !first, act_out, &act, err);
    if (rc)
        return rc;
    move->txn->id = act.record.id;
    move->txn->rows = act.record.rows;
    move->txn->old_set = act.record.old_set;
    move->txn->new_set = act.record.new_set;
    move->txn->events = act.record.events;
    return NZD_OK;
}
