/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "collect.h"
#include "file_row.h"
#include "journal_internal.h"
#include "key.h"
#include "rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Proves, in one read transaction, that every value decodes, that nothing is
 * missing and nothing is left over: transactions first..last, their rows, the
 * chain of events from anchor to head, the live rows of each base, and each
 * blob under the digest of its content, with every root's blob there.
 */

struct proof {
    struct nzd_store_txn *txn;
    struct nzd_heads heads;
    uint64_t modules; /* rows that belong to a transaction */
    uint64_t events;
    uint64_t live;
};

/* --- module rows --- */

static int check_module(struct proof *proof, const struct nzd_txn *record,
                        struct nzd_view key, struct nzd_view value,
                        struct nzd_err *err)
{
    struct nzd_module_row row;
    struct nzd_key named;
    const char *flaw;
    int rc = nzd_module_row_decode(value, &row, err);

    if (rc)
        return rc;
    named = nzd_key_module(record->id, row.module);
    flaw = nzd_file_row_flaw(&row);
    if (!nzd_view_equal(nzd_key_view(&named), key))
        rc = nzd_err_damage(err, "the row of module %s lies under another key",
                            row.module);
    else if (flaw)
        rc = nzd_err_damage(err, "the row of %s: %s", row.module, flaw);
    if (rc == NZD_OK && nzd_collect_is_root(record->state)) {
        rc = nzd_blob_find(proof->txn, &row.old_blob, err);
        if (rc == NZD_OK)
            rc = nzd_blob_find(proof->txn, &row.new_blob, err);
        if (rc == NZD_ENOTFOUND)
            rc = nzd_err_damage(err, "a blob of module %s is missing",
                                row.module);
    }
    nzd_module_row_clear(&row);
    return rc;
}

static int check_modules(struct proof *proof, const struct nzd_txn *record,
                         struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_txn(record->id);
    struct nzd_store_cursor cursor = {0};
    struct nzd_set set;
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_rows_set(proof->txn, NZD_STORE_MODULE, nzd_key_view(&prefix),
                          &set, err);

    if (rc == NZD_OK && !nzd_set_equal(&set, &record->rows))
        rc = nzd_err_damage(err, "its module rows are not those it began with");
    if (rc == NZD_OK)
        rc = nzd_store_seek(proof->txn, NZD_STORE_MODULE, nzd_key_view(&prefix),
                            &cursor, err);
    proof->modules += set.count;
    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = check_module(proof, record, key, value, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

/* --- transactions --- */

/* The chain says nothing of the keys, which say whose an event is. */
static int check_event_count(const struct proof *proof,
                             const struct nzd_txn *record, struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_txn(record->id);
    struct nzd_set set;
    int rc = nzd_rows_set(proof->txn, NZD_STORE_EVENT, nzd_key_view(&prefix),
                          &set, err);

    if (rc == NZD_OK && set.count != record->events)
        rc = nzd_err_damage(err, "it has %" PRIu32 " events, not its %" PRIu64,
                            set.count, (uint64_t)record->events);
    return rc;
}

static int check_txns(struct proof *proof, struct nzd_err *err)
{
    const struct nzd_heads *heads = &proof->heads;
    uint64_t held = 0;
    uint64_t open = 0;
    uint64_t there = 0;
    int rc = nzd_store_count(proof->txn, NZD_STORE_TXN, &there, err);

    for (uint64_t id = heads->first; id > 0 && id <= heads->last; id++) {
        struct nzd_txn record;

        if (rc == NZD_OK)
            rc = nzd_rows_txn_held(proof->txn, id, &record, err);
        if (rc)
            return rc;
        open += nzd_state_is_open(record.state);
        proof->events += record.events;
        held++;
        rc = check_modules(proof, &record, err);
        if (rc == NZD_OK)
            rc = check_event_count(proof, &record, err);
        if (rc)
            nzd_err_prefix(err, "transaction %" PRIu64, id);
        nzd_txn_clear(&record);
    }
    if (rc == NZD_OK && held != there)
        rc = nzd_err_damage(err,
                            "it holds %" PRIu64 " transactions, not %" PRIu64,
                            there, held);
    if (rc == NZD_OK && open > 1)
        rc = nzd_err_damage(err, "%" PRIu64 " transactions are open", open);
    return rc;
}

/* --- events --- */

struct link {
    struct nzd_digest previous;
    struct nzd_digest digest;
    bool there;
};

static int load_link(const struct proof *proof, struct nzd_view key,
                     struct nzd_view value, struct link *links,
                     struct nzd_err *err)
{
    uint32_t sequence = nzd_key_sequence(key);
    struct nzd_event event;
    struct link *link;
    int rc;

    if (sequence < proof->heads.first_event ||
        sequence >= proof->heads.next_event)
        return nzd_err_damage(err, "event %" PRIu32 " is not of its chain",
                              sequence);
    rc = nzd_event_decode(value, &event, err);
    if (rc) {
        nzd_err_prefix(err, "event %" PRIu32, sequence);
        return rc;
    }
    link = &links[sequence - proof->heads.first_event];
    if (link->there)
        rc = nzd_err_damage(err, "event %" PRIu32 " is there twice", sequence);
    link->there = true;
    link->previous = event.previous;
    link->digest = nzd_digest_of(value);
    nzd_event_clear(&event);
    return rc;
}

static int load_links(struct proof *proof, struct link *links,
                      struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_store_seek(proof->txn, NZD_STORE_EVENT, nzd_view_of(NULL, 0),
                            &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = load_link(proof, key, value, links, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int check_links(const struct proof *proof, const struct link *links,
                       struct nzd_err *err)
{
    struct nzd_digest before = proof->heads.anchor;
    uint32_t count = proof->heads.next_event - proof->heads.first_event;

    for (uint32_t i = 0; i < count; i++) {
        if (!links[i].there || !nzd_digest_equal(&links[i].previous, &before))
            return nzd_err_damage(
                err, "the chain of events is broken at event %" PRIu32,
                proof->heads.first_event + i);
        before = links[i].digest;
    }
    if (!nzd_digest_equal(&before, &proof->heads.head))
        return nzd_err_damage(err, "the chain of events ends elsewhere");
    return NZD_OK;
}

static int check_events(struct proof *proof, struct nzd_err *err)
{
    const struct nzd_heads *heads = &proof->heads;
    struct link *links;
    uint64_t there = 0;
    int rc = nzd_store_count(proof->txn, NZD_STORE_EVENT, &there, err);

    if (rc)
        return rc;
    if (heads->next_event < heads->first_event || there != proof->events ||
        there != heads->next_event - heads->first_event)
        return nzd_err_damage(err, "it holds %" PRIu64 " events, not %" PRIu64,
                              there, proof->events);
    links = calloc((size_t)there + 1, sizeof(*links));
    if (!links)
        return nzd_err_memory(err);
    rc = load_links(proof, links, err);
    if (rc == NZD_OK)
        rc = check_links(proof, links, err);
    free(links);
    return rc;
}

/* --- live rows --- */

static int find_blob(struct proof *proof, const struct nzd_live_row *row,
                     const struct nzd_digest *blob, const char *which,
                     struct nzd_err *err)
{
    int rc = nzd_blob_find(proof->txn, blob, err);

    if (rc == NZD_ENOTFOUND)
        rc = nzd_err_damage(err, "the blob %s of module %s is missing", which,
                            row->module);
    return rc;
}

static int check_live_row(struct proof *proof, const struct nzd_digest *base,
                          struct nzd_view key, struct nzd_view value,
                          struct nzd_err *err)
{
    struct nzd_live_row row;
    struct nzd_key named;
    const char *flaw;
    int rc = nzd_live_row_decode(value, &row, err);

    if (rc)
        return rc;
    named = nzd_key_live(base, row.module);
    flaw = nzd_file_row_live_flaw(&row);
    if (!nzd_view_equal(nzd_key_view(&named), key))
        rc = nzd_err_damage(err,
                            "the live row of module %s lies under another key",
                            row.module);
    else if (flaw)
        rc = nzd_err_damage(err, "the live row of %s: %s", row.module, flaw);
    if (rc == NZD_OK)
        rc = find_blob(proof, &row, &row.blob, "in force", err);
    if (rc == NZD_OK)
        rc = find_blob(proof, &row, &row.base_blob, "of the base", err);
    nzd_live_row_clear(&row);
    return rc;
}

/* The transaction that made the live rows is held, and says the same. */
static int check_maker(struct proof *proof, const struct nzd_digest *base,
                       const struct nzd_live_set *noted, struct nzd_err *err)
{
    struct nzd_txn record;
    bool same;
    int rc = nzd_rows_txn_held(proof->txn, noted->txn, &record, err);

    if (rc)
        return rc;
    same = nzd_digest_equal(&record.base, base) &&
           nzd_set_equal(&record.new_set, &noted->set);
    nzd_txn_clear(&record);
    if (same)
        return NZD_OK;
    return nzd_err_damage(
        err, "transaction %" PRIu64 " did not leave the live rows", noted->txn);
}

static int check_base(struct proof *proof, const struct nzd_digest *base,
                      struct nzd_err *err)
{
    struct nzd_key prefix = nzd_key_live(base, NULL);
    struct nzd_store_cursor cursor = {0};
    struct nzd_live_set noted;
    struct nzd_set set;
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_meta_live(proof->txn, base, &noted, err);

    if (rc == NZD_OK)
        rc = nzd_rows_set(proof->txn, NZD_STORE_LIVE, nzd_key_view(&prefix),
                          &set, err);
    if (rc)
        return rc;
    if (!nzd_set_equal(&set, &noted.set))
        return nzd_err_damage(err,
                              "the live rows are not those that transaction "
                              "%" PRIu64 " left",
                              noted.txn);
    proof->live += set.count;
    rc = check_maker(proof, base, &noted, err);
    if (rc)
        return rc;
    rc = nzd_store_seek(proof->txn, NZD_STORE_LIVE, nzd_key_view(&prefix),
                        &cursor, err);
    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = check_live_row(proof, base, key, value, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int check_live(struct proof *proof, struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_digest base;
    struct nzd_view key;
    uint64_t there = 0;
    int rc = nzd_store_seek(proof->txn, NZD_STORE_META, nzd_meta_live_prefix(),
                            &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, NULL, err);
        if (rc == NZD_OK && nzd_meta_live_base(key, &base))
            rc = check_base(proof, &base, err);
    }
    nzd_store_end(&cursor);
    if (rc == NZD_ENOTFOUND)
        rc = nzd_store_count(proof->txn, NZD_STORE_LIVE, &there, err);
    if (rc == NZD_OK && there != proof->live)
        rc = nzd_err_damage(err, "%" PRIu64 " live rows belong to no base",
                            there - proof->live);
    return rc;
}

/* --- blobs --- */

static int check_blobs(struct proof *proof, struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_buf content = {0};
    struct nzd_digest digest;
    struct nzd_view key;
    int rc = nzd_store_seek(proof->txn, NZD_STORE_BLOB, nzd_view_of(NULL, 0),
                            &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, NULL, err);
        if (rc == NZD_OK && key.size != sizeof(digest.bytes))
            rc = nzd_err_damage(err, "a blob has no digest");
        if (rc == NZD_OK) {
            memcpy(digest.bytes, key.data, sizeof(digest.bytes));
            nzd_buf_reset(&content);
            rc = nzd_blob_get(proof->txn, &digest, &content, err);
        }
    }
    nzd_store_end(&cursor);
    nzd_buf_clear(&content);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

int nzd_journal_prove(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    struct proof proof = {.txn = txn};
    uint64_t modules = 0;
    uint8_t uuid[16];
    int rc = nzd_meta_identity(txn, uuid, err);

    (void)context;
    if (rc == NZD_OK)
        rc = nzd_meta_heads(txn, &proof.heads, err);
    if (rc == NZD_OK)
        rc = check_txns(&proof, err);
    if (rc == NZD_OK)
        rc = nzd_store_count(txn, NZD_STORE_MODULE, &modules, err);
    if (rc == NZD_OK && modules != proof.modules)
        rc = nzd_err_damage(err, "module rows belong to no transaction");
    if (rc == NZD_OK)
        rc = check_events(&proof, err);
    if (rc == NZD_OK)
        rc = check_live(&proof, err);
    if (rc == NZD_OK)
        rc = check_blobs(&proof, err);
    return rc;
}

int nzd_journal_verify(struct nzd_journal *journal, struct nzd_err *err)
{
    return nzd_journal_look(journal, nzd_journal_prove, NULL, err);
}
