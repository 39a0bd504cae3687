/* SPDX-License-Identifier: Apache-2.0 */

/* A journal as records, and the same journal made of them. */
#include "../journal/rebuild.h"
#include "../journal/store.h"
#include "ledger.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    struct ledger from;
    struct ledger to; /* in a scratch folder of its own */
};

static int set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    ledger_make(&pair->from);
    ledger_make(&pair->to);
    ledger_open(&pair->from, NZD_JOURNAL_CREATE);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;

    ledger_drop(&pair->from);
    ledger_drop(&pair->to);
    free(pair);
    return 0;
}

/* --- carrying over --------------------------------------------------- */

/* Adds records to a rebuild, but for what a test has done to one of them. */
struct carrier {
    struct nzd_rebuild *rebuild;
    enum nzd_transfer_kind kind; /* of these */
    unsigned at;                 /* the n-th, from 1 */
    unsigned seen;
    bool left_out;
    bool twice;
    void (*spoil)(struct nzd_transfer *record);
};

static int carry(void *context, const struct nzd_transfer *record,
                 struct nzd_err *err)
{
    struct carrier *carrier = context;
    struct nzd_transfer copy = *record;
    int rc = 0;

    if (record->kind != carrier->kind || ++carrier->seen != carrier->at)
        return nzd_rebuild_add(carrier->rebuild, record, err);
    if (carrier->spoil)
        carrier->spoil(&copy);
    if (!carrier->left_out)
        rc = nzd_rebuild_add(carrier->rebuild, &copy, err);
    if (rc == 0 && carrier->twice)
        rc = nzd_rebuild_add(carrier->rebuild, &copy, err);
    return rc;
}

static int carry_over(struct pair *pair, struct carrier *carrier)
{
    struct nzd_err *err = &pair->to.err;
    int rc = nzd_rebuild_begin(pair->to.directory, &pair->to.options,
                               &carrier->rebuild, err);

    if (rc == 0)
        rc = nzd_transfer_each(pair->from.journal, carry, carrier, err);
    if (rc == 0)
        rc = nzd_rebuild_finish(carrier->rebuild, err);
    nzd_rebuild_end(carrier->rebuild);
    carrier->rebuild = NULL;
    return rc;
}

/* Names in the folder around the target. */
static const char *around(const struct pair *pair)
{
    static char names[512];
    DIR *entries = opendir(tree_path(&pair->to.tree, "a"));
    struct dirent *entry;

    names[0] = '\0';
    while (entries && (entry = readdir(entries)) != NULL) {
        size_t size = strlen(names);

        if (entry->d_name[0] != '.')
            (void)snprintf(names + size, sizeof(names) - size, "%s ",
                           entry->d_name);
    }
    if (entries)
        closedir(entries);
    return names;
}

static void carry_fails(struct pair *pair, struct carrier carrier, int code,
                        const char *part)
{
    int rc = carry_over(pair, &carrier);

    if (!strstr(pair->to.err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", pair->to.err.message, part);
    ledger_fails(&pair->to, rc, code);
    assert_string_equal(around(pair), "");
}

/* --- two journals are the same --------------------------------------- */

static int dump_tables(struct nzd_store_txn *txn, void *context,
                       struct nzd_err *err)
{
    struct nzd_buf *out = context;

    for (int table = 0; table < NZD_STORE_TABLES; table++) {
        struct nzd_store_cursor cursor = {0};
        struct nzd_view key;
        struct nzd_view value;
        int rc = nzd_store_seek(txn, (enum nzd_store_table)table,
                                nzd_view_of(NULL, 0), &cursor, err);

        nzd_buf_u8(out, (uint8_t)table);
        while (rc == 0 &&
               (rc = nzd_store_next(&cursor, &key, &value, err)) == 0) {
            nzd_buf_block(out, key);
            nzd_buf_block(out, value);
        }
        nzd_store_end(&cursor);
        if (rc != NZD_ENOTFOUND)
            return rc;
    }
    return 0;
}

/* Every key and value of every table. */
static void dump(struct ledger *ledger, struct nzd_buf *out)
{
    struct nzd_store_options options = {.max_bytes = 64 << 20,
                                        .read_only = true};
    struct nzd_store *store = NULL;

    ledger_ok(ledger, nzd_store_open(ledger->directory, &options, &store,
                                     &ledger->err));
    ledger_ok(ledger, nzd_store_read(store, dump_tables, out, &ledger->err));
    nzd_store_close(store);
    assert_false(out->failed);
}

/* Closes both and opens the second. */
static void check_same(struct pair *pair)
{
    struct nzd_buf from = {0};
    struct nzd_buf to = {0};

    ledger_close(&pair->from);
    dump(&pair->from, &from);
    dump(&pair->to, &to);
    assert_int_equal(from.size, to.size);
    assert_memory_equal(from.data, to.data, from.size);
    nzd_buf_clear(&from);
    nzd_buf_clear(&to);
    ledger_open(&pair->to, NZD_JOURNAL_WRITE);
    ledger_verify(&pair->to);
}

static void check_carried(struct pair *pair)
{
    ledger_ok(&pair->to, carry_over(pair, &(struct carrier){0}));
    assert_string_equal(around(pair), "journal ");
    check_same(pair);
}

/* --- journals of many kinds ------------------------------------------ */

static void test_empty(void **state)
{
    struct pair *pair = *state;

    check_carried(pair);
    /* The first transaction of it works. */
    ledger_apply_one(&pair->to, "m", "old", "new");
    assert_int_equal(pair->to.txn.id, 1);
}

static void test_all_kinds(void **state)
{
    struct pair *pair = *state;
    struct nzd_journal_stat stat_;
    struct nzd_txn txn;

    ledger_fill(&pair->from);
    ledger_ok(&pair->from,
              nzd_journal_stat(pair->from.journal, &stat_, &pair->from.err));
    assert_true(stat_.first > 1);
    check_carried(pair);
    ledger_ok(&pair->to,
              nzd_journal_open_txn(pair->to.journal, &txn, &pair->to.err));
    assert_int_equal(txn.vm.token[3], 0xA5);
    assert_int_equal(txn.id, stat_.last);
    nzd_txn_clear(&txn);
    assert_string_equal(ledger_live(&pair->to), "added=new gone=- m=code 9");
}

/* What was carried over goes on as if it had always been there. */
static void test_goes_on(void **state)
{
    struct pair *pair = *state;

    ledger_apply_numbered(&pair->from, 0, 3);
    check_carried(pair);
    ledger_apply_numbered(&pair->to, 3, 5);
    assert_int_equal(pair->to.txn.id, 5);
    assert_string_equal(ledger_live(&pair->to), "m=code 5");
    ledger_verify(&pair->to);
}

/* More rows than one reader copies, more bytes than one batch, a name past
 * the bound of a key, a blob past that of a batch. */
static void test_many(void **state)
{
    struct pair *pair = *state;
    enum { COUNT = 700 };
    struct change *changes = calloc(COUNT, sizeof(*changes));
    char(*names)[1024] = calloc(COUNT, sizeof(*names));
    struct nzd_buf large = {0};

    assert_non_null(changes);
    assert_non_null(names);
    for (unsigned i = 0; i < 200000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    for (int i = 0; i < COUNT; i++) {
        memset(names[i], 'n', i % 3 ? 20 : 900);
        (void)snprintf(names[i] + strlen(names[i]), 32, "%04d", i);
        changes[i] = (struct change){names[i], "before", names[i]};
    }
    changes[5].after = nzd_buf_string(&large);
    ledger_apply(&pair->from, changes, COUNT);
    check_carried(pair);
    assert_true(ledger_has(&pair->to, nzd_buf_string(&large)));
    nzd_buf_clear(&large);
    free(names);
    free(changes);
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
    check_carried(pair);
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
    assert_string_equal(around(pair), "");
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

/* --- the target ------------------------------------------------------ */

static void test_target_is_a_journal(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    ledger_open(&pair->to, NZD_JOURNAL_CREATE);
    ledger_apply_one(&pair->to, "kept", "1", "2");
    ledger_close(&pair->to);
    rc = carry_over(pair, &carrier);
    assert_non_null(strstr(pair->to.err.message, "there is a journal in"));
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    assert_string_equal(around(pair), "journal ");
    ledger_open(&pair->to, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(&pair->to), "kept=2");
}

/* One that appears while it is built is not written over either. */
static void test_target_appears(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    ledger_ok(&pair->to,
              nzd_rebuild_begin(pair->to.directory, &pair->to.options,
                                &carrier.rebuild, &pair->to.err));
    ledger_ok(&pair->to, nzd_transfer_each(pair->from.journal, carry, &carrier,
                                           &pair->to.err));
    tree_text(&pair->to.tree, "a/journal/lock", "");
    rc = nzd_rebuild_finish(carrier.rebuild, &pair->to.err);
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    nzd_rebuild_end(carrier.rebuild);
    assert_string_equal(around(pair), "journal ");
    assert_int_equal(
        access(tree_path(&pair->to.tree, "a/journal/data.mdb"), F_OK), -1);
}

static void test_target_holds_files(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    tree_text(&pair->to.tree, "a/journal/photo.jpg", "x");
    rc = carry_over(pair, &carrier);
    assert_non_null(strstr(pair->to.err.message, "photo.jpg"));
    ledger_fails(&pair->to, rc, NZD_EUSAGE);
    assert_string_equal(around(pair), "journal ");
}

static void test_target_is_an_empty_folder(void **state)
{
    struct pair *pair = *state;

    tree_run(&pair->to.tree, "mkdir -p a/real && ln -s real a/journal");
    ledger_apply_numbered(&pair->from, 0, 1);
    pair->to.directory[strlen(pair->to.directory)] = '/';
    ledger_ok(&pair->to, carry_over(pair, &(struct carrier){0}));
    check_same(pair);
    ledger_close(&pair->to);
    assert_int_equal(access(tree_path(&pair->to.tree, "a/real/data.mdb"), F_OK),
                     0);
}

static void test_leftovers_go(void **state)
{
    struct pair *pair = *state;

    tree_text(&pair->to.tree, "a/journal.import-aB3xYz/data.mdb", "half");
    tree_text(&pair->to.tree, "a/journal.import-aB3xYz/lock.mdb", "");
    tree_text(&pair->to.tree, "a/journal.import-notes/mine.txt", "kept");
    tree_text(&pair->to.tree, "a/journal.import-mine/data.mdb", "kept");
    ledger_ok(&pair->to, carry_over(pair, &(struct carrier){0}));
    assert_null(strstr(around(pair), "aB3xYz"));
    tree_run(&pair->to.tree, "test -f a/journal.import-mine/data.mdb -a -f "
                             "a/journal.import-notes/mine.txt");
}

static void test_two_at_once(void **state)
{
    struct pair *pair = *state;
    struct nzd_rebuild *first = NULL;
    struct nzd_rebuild *second = NULL;
    int rc;

    ledger_ok(&pair->to, nzd_rebuild_begin(pair->to.directory, NULL, &first,
                                           &pair->to.err));
    rc = nzd_rebuild_begin(pair->to.directory, NULL, &second, &pair->to.err);
    assert_non_null(strstr(pair->to.err.message, "another journal is being"));
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    assert_null(second);
    nzd_rebuild_end(first);
    assert_string_equal(around(pair), "");
}

/* --- the other word size --------------------------------------------- */

/* The header of LMDB's first page as the other kind of machine writes it. */
static void test_other_words(void **state)
{
    struct pair *pair = *state;
    uint8_t page[8192] = {0};
    const uint32_t begin[] = {0xBEEFC0DE, 1};
    size_t at = sizeof(void *) == 8 ? 12 : 16;

    page[at - 6] = 0x08; /* of the flags: a meta page */
    memcpy(page + at, begin, sizeof(begin));
    tree_write(&pair->to.tree, "a/journal/data.mdb", page, sizeof(page));
    ledger_open_fails(&pair->to, NZD_JOURNAL_READ, NZD_EJOURNAL,
                      "was written on a machine of ");
    ledger_open_fails(&pair->to, NZD_JOURNAL_CREATE, NZD_EJOURNAL,
                      "was written on a machine of ");
    memset(page + at, 0, sizeof(begin));
    tree_write(&pair->to.tree, "a/journal/data.mdb", page, sizeof(page));
    ledger_open_fails(&pair->to, NZD_JOURNAL_READ, NZD_EJOURNAL, "is damaged");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_empty),
        CASE(test_all_kinds),
        CASE(test_goes_on),
        CASE(test_many),
        CASE(test_spoilt),
        CASE(test_nothing_at_all),
        CASE(test_too_small),
        CASE(test_changed_meanwhile),
        CASE(test_damaged_source),
        CASE(test_boots),
        CASE(test_target_is_a_journal),
        CASE(test_target_appears),
        CASE(test_target_holds_files),
        CASE(test_target_is_an_empty_folder),
        CASE(test_leftovers_go),
        CASE(test_two_at_once),
        CASE(test_other_words),
    };

    return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
