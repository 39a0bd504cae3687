/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int pair_set_up(void **state)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    ledger_make(&pair->from);
    ledger_make(&pair->to);
    ledger_open(&pair->from, NZD_JOURNAL_CREATE);
    *state = pair;
    return 0;
}

int pair_tear_down(void **state)
{
    struct pair *pair = *state;

    ledger_drop(&pair->from);
    ledger_drop(&pair->to);
    free(pair);
    return 0;
}

int carrier_add(void *context, const struct nzd_transfer *record,
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

int pair_carry_over(struct pair *pair, struct carrier *carrier)
{
    struct nzd_err *err = &pair->to.err;
    int rc = nzd_rebuild_begin(pair->to.directory, &pair->to.options,
                               &carrier->rebuild, err);

    if (rc == 0)
        rc = nzd_transfer_each(pair->from.journal, carrier_add, carrier, err);
    if (rc == 0)
        rc = nzd_rebuild_finish(carrier->rebuild, err);
    nzd_rebuild_end(carrier->rebuild);
    carrier->rebuild = NULL;
    return rc;
}

const char *pair_around(const struct pair *pair)
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

void pair_check_same(struct pair *pair)
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

void pair_check_carried(struct pair *pair)
{
    ledger_ok(&pair->to, pair_carry_over(pair, &(struct carrier){0}));
    assert_string_equal(pair_around(pair), "journal ");
    pair_check_same(pair);
}
