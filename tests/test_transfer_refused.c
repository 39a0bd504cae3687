/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void carry_fails(struct pair *pair, struct carrier carrier, int code,
                        const char *part)
{
    int rc = pair_carry_over(pair, &carrier);

    if (!strstr(pair->to.err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", pair->to.err.message, part);
    ledger_fails(&pair->to, rc, code);
    assert_string_equal(pair_around(pair), "");
}

/* --- what does not hold ---------------------------------------------- */

static void other_text(struct nzd_transfer *record)
{
    static char text[] = "not what was recorded";

    record->event.text = text;
}

static void other_path(struct nzd_transfer *record)
{
    static char text[] = "/elsewhere";

    record->module.new_path = text;
}

static void other_content(struct nzd_transfer *record)
{
    record->blob.size--;
}

static void other_txn(struct nzd_transfer *record)
{
    record->id--;
}

static void no_name(struct nzd_transfer *record)
{
    static char none[] = "";

    record->live.module = none;
}

static void other_first(struct nzd_transfer *record)
{
    record->journal.heads.first = record->journal.heads.last + 1;
}

static void other_last(struct nzd_transfer *record)
{
    record->journal.heads.last++;
}

static void test_spoilt(void **state)
{
    static const struct {
        struct carrier carrier;
        const char *says;
    } cases[] = {
        {{.kind = NZD_TRANSFER_JOURNAL, .at = 1, .left_out = true},
         "the record of the journal is missing"},
        {{.kind = NZD_TRANSFER_JOURNAL, .at = 1, .twice = true}, "there twice"},
        {{.kind = NZD_TRANSFER_JOURNAL, .at = 1, .spoil = other_first},
         "counters"},
        {{.kind = NZD_TRANSFER_JOURNAL, .at = 1, .spoil = other_last},
         "transaction 4 is missing"},
        {{.kind = NZD_TRANSFER_TXN, .at = 2, .left_out = true},
         "transaction 2 is missing"},
        {{.kind = NZD_TRANSFER_TXN, .at = 2, .twice = true}, "there twice"},
        {{.kind = NZD_TRANSFER_MODULE, .at = 2, .left_out = true},
         "module rows are not those"},
        {{.kind = NZD_TRANSFER_MODULE, .at = 2, .twice = true}, "there twice"},
        {{.kind = NZD_TRANSFER_MODULE, .at = 2, .spoil = other_path},
         "module rows are not those"},
        {{.kind = NZD_TRANSFER_MODULE, .at = 2, .spoil = other_txn},
         "not in its place"},
        {{.kind = NZD_TRANSFER_EVENT, .at = 3, .left_out = true},
         "events, not"},
        {{.kind = NZD_TRANSFER_EVENT, .at = 3, .spoil = other_text},
         "the chain of events is broken"},
        {{.kind = NZD_TRANSFER_BASE, .at = 1, .left_out = true},
         "live rows belong to no base"},
        {{.kind = NZD_TRANSFER_LIVE, .at = 1, .left_out = true},
         "the live rows are not those"},
        {{.kind = NZD_TRANSFER_LIVE, .at = 1, .spoil = no_name},
         "a module has no name"},
        {{.kind = NZD_TRANSFER_BLOB, .at = 1, .left_out = true}, "is missing"},
        {{.kind = NZD_TRANSFER_BLOB, .at = 1, .twice = true}, "there twice"},
        {{.kind = NZD_TRANSFER_BLOB, .at = 1, .spoil = other_content},
         "another digest"},
    };
    struct pair *pair = *state;

    ledger_apply_numbered(&pair->from, 0, 3);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        carry_fails(pair, cases[i].carrier, NZD_EBUNDLE, cases[i].says);
    pair_check_carried(pair);
}

static void test_nothing_at_all(void **state)
{
    struct pair *pair = *state;
    struct nzd_rebuild *rebuild = NULL;

    ledger_ok(&pair->to,
              nzd_rebuild_begin(pair->to.directory, &pair->to.options, &rebuild,
                                &pair->to.err));
    ledger_fails(&pair->to, nzd_rebuild_finish(rebuild, &pair->to.err),
                 NZD_EBUNDLE);
    nzd_rebuild_end(rebuild);
    assert_string_equal(pair_around(pair), "");
}

static void test_too_small(void **state)
{
    struct pair *pair = *state;
    struct nzd_buf large = {0};

    for (unsigned i = 0; i < 60000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    ledger_apply_one(&pair->from, "m", "old", nzd_buf_string(&large));
    nzd_buf_clear(&large);
    pair->to.options.max_bytes = 128 << 10;
    carry_fails(pair, (struct carrier){0}, NZD_EJOURNAL, "its bound is 128 KB");
}

/* --- the source ------------------------------------------------------ */

static int write_between(void *context, const struct nzd_transfer *record,
                         struct nzd_err *err)
{
    struct ledger *ledger = context;

    (void)err;
    if (record->kind == NZD_TRANSFER_TXN && record->txn.id == 1)
        ledger_put(ledger, "of an apply that has begun");
    return 0;
}

static void test_changed_meanwhile(void **state)
{
    struct pair *pair = *state;
    int rc;

    ledger_apply_numbered(&pair->from, 0, 2);
    rc = nzd_transfer_each(pair->from.journal, write_between, &pair->from,
                           &pair->to.err);
    assert_non_null(strstr(pair->to.err.message, "changed while it was read"));
    ledger_fails(&pair->to, rc, NZD_EBUSY);
}

static int count_calls(void *context, const struct nzd_transfer *record,
                       struct nzd_err *err)
{
    (void)record;
    (void)err;
    ++*(unsigned *)context;
    return 0;
}

struct row {
    enum nzd_store_table table;
    struct nzd_view key;
    struct nzd_view value;
};

static int put_row(struct nzd_store_txn *txn, void *context,
                   struct nzd_err *err)
{
    const struct row *row = context;

    return nzd_store_put(txn, row->table, row->key, row->value, err);
}

/* Behind the back of the journal. */
static void insert(struct ledger *ledger, struct row row)
{
    struct nzd_store_options options = {.max_bytes = 64 << 20};
    struct nzd_store *store = NULL;

    ledger_close(ledger);
    ledger_ok(ledger, nzd_store_open(ledger->directory, &options, &store,
                                     &ledger->err));
    ledger_ok(ledger,
              nzd_store_write(store, false, put_row, &row, &ledger->err));
    nzd_store_close(store);
    ledger_open(ledger, NZD_JOURNAL_READ);
}

static void test_damaged_source(void **state)
{
    struct pair *pair = *state;
    struct nzd_digest key = nzd_digest_of(nzd_view_text("code 1"));
    unsigned calls = 0;
    int rc;

    ledger_apply_numbered(&pair->from, 0, 2);
    insert(&pair->from,
           (struct row){NZD_STORE_BLOB, nzd_view_of(&key, sizeof(key)),
                        nzd_view_text("no blob")});
    rc = nzd_transfer_each(pair->from.journal, count_calls, &calls,
                           &pair->to.err);
    ledger_fails(&pair->to, rc, NZD_EJOURNAL);
    assert_int_equal(calls, 0);
}

static void test_boots(void **state)
{
    struct pair *pair = *state;
    unsigned calls = 0;
    int rc;

    insert(&pair->from, (struct row){NZD_STORE_BOOT, nzd_view_text("1"),
                                     nzd_view_text("of a later chapter")});
    rc = nzd_transfer_each(pair->from.journal, count_calls, &calls,
                           &pair->to.err);
    assert_non_null(strstr(pair->to.err.message, "records of boots"));
    ledger_fails(&pair->to, rc, NZD_EINTERNAL);
    assert_int_equal(calls, 0);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_spoilt),         CASE(test_nothing_at_all),
        CASE(test_too_small),      CASE(test_changed_meanwhile),
        CASE(test_damaged_source), CASE(test_boots),
    };

    return cmocka_run_group_tests_name("transfer_refused", tests, NULL, NULL);
}
