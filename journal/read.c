/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "journal_internal.h"
#include "key.h"
#include "live.h"
#include "rows.h"

#include <inttypes.h>

/* --- one transaction --- */

/* Which one is looked for, from the newest down. */
struct search {
    uint64_t id;                   /* this one, or 0 */
    const struct nzd_digest *base; /* the last committed one over it, or NULL */
    struct nzd_txn found;
};

static bool matches(const struct search *search, const struct nzd_txn *record)
{
    if (!search->base)
        return nzd_state_is_open(record->state);
    return record->state == NZD_STATE_COMMITTED &&
           nzd_digest_equal(&record->base, search->base);
}

static int find(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    struct search *search = context;
    struct nzd_heads heads;
    int rc;

    if (search->id)
        return nzd_rows_txn(txn, search->id, &search->found, err);
    rc = nzd_meta_heads(txn, &heads, err);
    if (rc)
        return rc;
    for (uint64_t id = heads.last; id >= heads.first && id > 0; id--) {
        rc = nzd_rows_txn_held(txn, id, &search->found, err);
        if (rc || matches(search, &search->found))
            return rc;
        nzd_txn_clear(&search->found);
    }
    return NZD_ENOTFOUND;
}

int nzd_journal_txn(struct nzd_journal *journal, uint64_t id,
                    struct nzd_txn *out, struct nzd_err *err)
{
    struct search search = {.id = id};
    int rc = id ? nzd_journal_look(journal, find, &search, err) : NZD_ENOTFOUND;

    if (rc == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_ENOTFOUND,
                           "the journal holds no transaction %" PRIu64, id);
    if (rc == NZD_OK)
        *out = search.found;
    return rc;
}

int nzd_journal_open_txn(struct nzd_journal *journal, struct nzd_txn *out,
                         struct nzd_err *err)
{
    struct search search = {.id = 0};
    int rc = nzd_journal_look(journal, find, &search, err);

    if (rc == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_ENOTFOUND, "no transaction is open");
    if (rc == NZD_OK)
        *out = search.found;
    return rc;
}

int nzd_journal_in_force(struct nzd_journal *journal,
                         const struct nzd_digest *base, struct nzd_txn *out,
                         struct nzd_err *err)
{
    struct search search = {.base = base};
    char hex[NZD_DIGEST_HEX];
    int rc = nzd_journal_look(journal, find, &search, err);

    if (rc == NZD_ENOTFOUND) {
        nzd_digest_hex(hex, base);
        return nzd_err_set(err, NZD_ENOTFOUND,
                           "no transaction is in force over base %.8s", hex);
    }
    if (rc == NZD_OK)
        *out = search.found;
    return rc;
}

static int read_epoch(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    struct nzd_heads heads;
    uint64_t *epoch = context;
    int rc = nzd_meta_heads(txn, &heads, err);

    if (rc == NZD_OK)
        *epoch = heads.epoch;
    return rc;
}

int nzd_journal_epoch(struct nzd_journal *journal, uint64_t *out,
                      struct nzd_err *err)
{
    return nzd_journal_look(journal, read_epoch, out, err);
}

/* --- many rows, copied before the first call back --- */

struct copying {
    uint64_t id;
    const struct nzd_digest *base;
    struct nzd_buf rows; /* blocks */
};

static struct nzd_view next_row(struct nzd_reader *reader)
{
    return nzd_read_block(reader, UINT32_MAX);
}

static int copy_txns(struct nzd_store_txn *txn, void *context,
                     struct nzd_err *err)
{
    struct copying *copying = context;
    struct nzd_heads heads;
    int rc = nzd_meta_heads(txn, &heads, err);

    for (uint64_t id = heads.last; rc == NZD_OK && id >= heads.first && id > 0;
         id--) {
        struct nzd_key key = nzd_key_txn(id);
        struct nzd_view value;

        rc = nzd_store_get(txn, NZD_STORE_TXN, nzd_key_view(&key), &value, err);
        if (rc == NZD_ENOTFOUND)
            return nzd_err_damage(err, "transaction %" PRIu64 " is missing",
                                  id);
        if (rc == NZD_OK)
            nzd_buf_block(&copying->rows, value);
    }
    return rc == NZD_OK && copying->rows.failed ? nzd_err_memory(err) : rc;
}

int nzd_journal_each_txn(struct nzd_journal *journal,
                         int (*each)(void *context, const struct nzd_txn *txn),
                         void *context, struct nzd_err *err)
{
    struct copying copying = {.id = 0};
    struct nzd_reader reader;
    struct nzd_txn record;
    int rc = nzd_journal_look(journal, copy_txns, &copying, err);

    nzd_reader_init(&reader, nzd_buf_view(&copying.rows));
    while (rc == NZD_OK && reader.left > 0) {
        rc = nzd_txn_decode(next_row(&reader), &record, err);
        nzd_journal_told(journal, rc, err);
        if (rc == NZD_OK) {
            rc = each(context, &record);
            nzd_txn_clear(&record);
        }
    }
    nzd_buf_clear(&copying.rows);
    return rc;
}

static int copy_events(struct nzd_store_txn *txn, void *context,
                       struct nzd_err *err)
{
    struct copying *copying = context;
    struct nzd_key prefix = nzd_key_txn(copying->id);
    struct nzd_txn record;
    struct nzd_set found;
    uint64_t events;
    int rc = nzd_rows_txn(txn, copying->id, &record, err);

    if (rc)
        return rc;
    events = record.events;
    nzd_txn_clear(&record);
    rc = nzd_rows_copy(txn, NZD_STORE_EVENT, nzd_key_view(&prefix),
                       &copying->rows, &found, err);
    if (rc == NZD_OK && found.count != events)
        rc = nzd_err_damage(err,
                            "transaction %" PRIu64 " has %" PRIu32
                            " events, not its %" PRIu64,
                            copying->id, found.count, events);
    return rc;
}

static int copy_modules(struct nzd_store_txn *txn, void *context,
                        struct nzd_err *err)
{
    struct copying *copying = context;
    struct nzd_key prefix = nzd_key_txn(copying->id);
    struct nzd_txn record;
    struct nzd_set rows;
    struct nzd_set found;
    int rc = nzd_rows_txn(txn, copying->id, &record, err);

    if (rc)
        return rc;
    rows = record.rows;
    nzd_txn_clear(&record);
    rc = nzd_rows_copy(txn, NZD_STORE_MODULE, nzd_key_view(&prefix),
                       &copying->rows, &found, err);
    if (rc == NZD_OK && !nzd_set_equal(&found, &rows))
        rc = nzd_err_damage(err,
                            "transaction %" PRIu64 " has %" PRIu32
                            " module rows that are not its %" PRIu32,
                            copying->id, found.count, rows.count);
    return rc;
}

static int copy_live(struct nzd_store_txn *txn, void *context,
                     struct nzd_err *err)
{
    struct copying *copying = context;

    return nzd_live_copy(txn, copying->base, &copying->rows, err);
}

static int copy_target(struct nzd_store_txn *txn, void *context,
                       struct nzd_err *err)
{
    struct copying *copying = context;
    struct nzd_txn record;
    int rc = nzd_rows_txn(txn, copying->id, &record, err);

    if (rc)
        return rc;
    if (nzd_state_is_open(record.state))
        rc = nzd_live_target(txn, &record, &copying->rows, err);
    else
        rc = nzd_err_set(err, NZD_EINTERNAL,
                         "transaction %" PRIu64 " is %s, not open", record.id,
                         nzd_state_name(record.state));
    nzd_txn_clear(&record);
    return rc;
}

static int copy_rows(struct nzd_journal *journal, nzd_store_body *body,
                     struct copying *copying, struct nzd_err *err)
{
    int rc = nzd_journal_look(journal, body, copying, err);

    if (rc == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_ENOTFOUND,
                           "the journal holds no transaction %" PRIu64,
                           copying->id);
    return rc;
}

int nzd_journal_each_event(struct nzd_journal *journal, uint64_t id,
                           int (*each)(void *context,
                                       const struct nzd_event *event),
                           void *context, struct nzd_err *err)
{
    struct copying copying = {.id = id};
    struct nzd_reader reader;
    struct nzd_event event;
    int rc = copy_rows(journal, copy_events, &copying, err);

    nzd_reader_init(&reader, nzd_buf_view(&copying.rows));
    while (rc == NZD_OK && reader.left > 0) {
        rc = nzd_event_decode(next_row(&reader), &event, err);
        nzd_journal_told(journal, rc, err);
        if (rc == NZD_OK) {
            rc = each(context, &event);
            nzd_event_clear(&event);
        }
    }
    nzd_buf_clear(&copying.rows);
    return rc;
}

static int each_row(struct nzd_journal *journal, uint64_t id, bool files,
                    int (*each)(void *context,
                                const struct nzd_module_row *row),
                    void *context, struct nzd_err *err)
{
    struct copying copying = {.id = id};
    struct nzd_reader reader;
    struct nzd_module_row row;
    int rc = copy_rows(journal, copy_modules, &copying, err);

    nzd_reader_init(&reader, nzd_buf_view(&copying.rows));
    while (rc == NZD_OK && reader.left > 0) {
        rc = nzd_module_row_decode(next_row(&reader), &row, err);
        nzd_journal_told(journal, rc, err);
        if (rc == NZD_OK) {
            if (nzd_row_is_file(row.module) == files)
                rc = each(context, &row);
            nzd_module_row_clear(&row);
        }
    }
    nzd_buf_clear(&copying.rows);
    return rc;
}

int nzd_journal_each_module(struct nzd_journal *journal, uint64_t id,
                            int (*each)(void *context,
                                        const struct nzd_module_row *row),
                            void *context, struct nzd_err *err)
{
    return each_row(journal, id, false, each, context, err);
}

int nzd_journal_each_file(struct nzd_journal *journal, uint64_t id,
                          int (*each)(void *context,
                                      const struct nzd_module_row *row),
                          void *context, struct nzd_err *err)
{
    return each_row(journal, id, true, each, context, err);
}

/* Live rows as `copying` finds them. */
static int each_live(struct nzd_journal *journal, nzd_store_body *body,
                     struct copying *copying, bool files,
                     int (*each)(void *context, const struct nzd_live_row *row),
                     void *context, struct nzd_err *err)
{
    struct nzd_reader reader;
    struct nzd_live_row row;
    int rc = copy_rows(journal, body, copying, err);

    nzd_reader_init(&reader, nzd_buf_view(&copying->rows));
    while (rc == NZD_OK && reader.left > 0) {
        rc = nzd_live_row_decode(next_row(&reader), &row, err);
        nzd_journal_told(journal, rc, err);
        if (rc == NZD_OK) {
            if (nzd_row_is_file(row.module) == files)
                rc = each(context, &row);
            nzd_live_row_clear(&row);
        }
    }
    nzd_buf_clear(&copying->rows);
    return rc;
}

int nzd_journal_each_live(struct nzd_journal *journal,
                          const struct nzd_digest *base,
                          int (*each)(void *context,
                                      const struct nzd_live_row *row),
                          void *context, struct nzd_err *err)
{
    struct copying copying = {.base = base};

    return each_live(journal, copy_live, &copying, false, each, context, err);
}

int nzd_journal_each_live_file(struct nzd_journal *journal,
                               const struct nzd_digest *base,
                               int (*each)(void *context,
                                           const struct nzd_live_row *row),
                               void *context, struct nzd_err *err)
{
    struct copying copying = {.base = base};

    return each_live(journal, copy_live, &copying, true, each, context, err);
}

int nzd_journal_each_target(struct nzd_journal *journal, uint64_t id,
                            int (*each)(void *context,
                                        const struct nzd_live_row *row),
                            void *context, struct nzd_err *err)
{
    struct copying copying = {.id = id};

    return each_live(journal, copy_target, &copying, false, each, context, err);
}

int nzd_journal_each_target_file(struct nzd_journal *journal, uint64_t id,
                                 int (*each)(void *context,
                                             const struct nzd_live_row *row),
                                 void *context, struct nzd_err *err)
{
    struct copying copying = {.id = id};

    return each_live(journal, copy_target, &copying, true, each, context, err);
}
