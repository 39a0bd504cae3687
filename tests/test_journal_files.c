/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/boot_fallback.h"
#include "../journal/file_row.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- what is in force --- */

static const struct change there[] = {{"/app/counter", "spec 1", "spec 2"},
                                      {"/app/new", NULL, "new 1"},
                                      {"/app/old", "old 1", NULL},
                                      {"/boot", "base:boot", "boot 2"},
                                      {"/priv/counter/a", "base:a", "a 2"},
                                      {"/priv/counter/b", "base:b", NULL},
                                      {"/priv/counter/c", NULL, ""},
                                      {"/runtime.exs", NULL, "exs 2"},
                                      {"/sys.config", "base:config", "conf 2"},
                                      {"/vm.args", "base:args", "args 2"}};
static const struct change back[] = {{"/app/counter", "spec 2", "spec 1"},
                                     {"/app/new", "new 1", NULL},
                                     {"/app/old", NULL, "old 1"},
                                     {"/boot", "boot 2", "base:boot"},
                                     {"/priv/counter/a", "a 2", "base:a"},
                                     {"/priv/counter/b", NULL, "base:b"},
                                     {"/priv/counter/c", "", NULL},
                                     {"/runtime.exs", "exs 2", NULL},
                                     {"/sys.config", "conf 2", "base:config"},
                                     {"/vm.args", "args 2", "base:args"}};

static const char THERE[] =
    "/app/counter=spec 2 /app/new=new 1 /app/old=- /boot=boot 2 "
    "/priv/counter/a=a 2 /priv/counter/b=- /priv/counter/c= "
    "/runtime.exs=exs 2 /sys.config=conf 2 /vm.args=args 2";

static void there_and_back(void **state)
{
    struct ledger *ledger = *state;

    ledger_apply(ledger, there, 10);
    assert_string_equal(ledger_live_files(ledger), THERE);
    assert_string_equal(ledger_live(ledger), "");
    ledger_verify(ledger);
    ledger_apply(ledger, back, 10);
    assert_string_equal(ledger_live_files(ledger), "");
    ledger_verify(ledger);
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_verify(ledger);
}

/* A side that is the base's stays so over a generation in between. */
static void by_way_of_another(void **state)
{
    struct ledger *ledger = *state;
    const struct change on[] = {{"/boot", "boot 2", "boot 3"},
                                {"/priv/counter/b", NULL, "b 3"}};
    const struct change home[] = {{"/boot", "boot 3", "base:boot"},
                                  {"/priv/counter/b", "b 3", "base:b"}};

    ledger_apply(ledger, there, 10);
    ledger_apply(ledger, on, 2);
    ledger_verify(ledger);
    ledger_apply(ledger, home, 2);
    assert_null(strstr(ledger_live_files(ledger), "/boot"));
    assert_null(strstr(ledger_live_files(ledger), "/counter/b"));
    ledger_verify(ledger);
}

/* A node that was not booted with what is in force runs the base's files, and
 * says so; what the journal took for the base's file need not be one. */
static void restated(void **state)
{
    struct ledger *ledger = *state;
    const struct change again[] = {{"/boot", "base:boot", "base:boot"},
                                   {"/runtime.exs", NULL, NULL},
                                   {"/sys.config", "base:2", "base:2"}};

    ledger_apply(ledger, there, 10);
    ledger_apply(ledger, again, 3);
    assert_null(strstr(ledger_live_files(ledger), "/boot"));
    assert_null(strstr(ledger_live_files(ledger), "/runtime.exs"));
    assert_null(strstr(ledger_live_files(ledger), "/sys.config"));
    ledger_verify(ledger);
}

static void blobs_stay_while_needed(void **state)
{
    struct ledger *ledger = *state;

    ledger_close(ledger);
    ledger->options.keep = 1;
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_apply(ledger, there, 10);
    for (int i = 0; i < 3; i++)
        ledger_apply_one(ledger, "m", i % 2 ? "2" : "1", i % 2 ? "1" : "2");
    assert_true(ledger_has(ledger, "boot 2"));
    assert_true(ledger_has(ledger, "a 2"));
    assert_string_equal(ledger_live_files(ledger), THERE);
    ledger_verify(ledger);
    ledger_apply(ledger, back, 10);
    for (int i = 0; i < 3; i++)
        ledger_apply_one(ledger, "m", i % 2 ? "1" : "2", i % 2 ? "2" : "1");
    assert_false(ledger_has(ledger, "boot 2"));
    assert_false(ledger_has(ledger, "a 2"));
    ledger_verify(ledger);
}

/* --- back by a fall-back, without a node --- */

static void fall_back(struct ledger *ledger)
{
    struct nzd_txn bad, undone;

    ledger_ok(ledger, nzd_journal_in_force(ledger->journal, &ledger->base, &bad,
                                           &ledger->err));
    ledger_ok(ledger, nzd_boot_fall_back(ledger->journal, &bad, "it is ill",
                                         &undone, &ledger->err));
    nzd_txn_clear(&bad);
    nzd_txn_clear(&undone);
    ledger_verify(ledger);
}

static void falls_back_to_the_base(void **state)
{
    struct ledger *ledger = *state;

    ledger_apply(ledger, there, 10);
    fall_back(ledger);
    assert_string_equal(ledger_live_files(ledger), "");
}

static void falls_back_to_a_generation(void **state)
{
    struct ledger *ledger = *state;
    const struct change on[] = {{"/app/new", "new 1", NULL},
                                {"/boot", "boot 2", "base:boot"},
                                {"/priv/counter/a", "a 2", NULL},
                                {"/priv/counter/b", NULL, "b 3"},
                                {"/sys.config", "conf 2", "conf 3"}};

    ledger_apply(ledger, there, 10);
    ledger_apply(ledger, on, 5);
    assert_string_not_equal(ledger_live_files(ledger), THERE);
    fall_back(ledger);
    assert_string_equal(ledger_live_files(ledger), THERE);
}

/* --- rows that cannot be --- */

static const struct nzd_digest some = {{1}};
static const struct nzd_digest other = {{2}};

static void expect_flaw(const struct nzd_module_row *row, const char *flaw)
{
    const char *found = nzd_file_row_flaw(row);

    if (!found || !flaw)
        assert_ptr_equal(found, flaw);
    else
        assert_string_equal(found, flaw);
}

static struct nzd_module_row whole(const char *name)
{
    const struct nzd_module_row row = {.module = (char *)(uintptr_t)name,
                                       .change = NZD_MODULE_CHANGED,
                                       .old_blob = some,
                                       .old_md5 = some,
                                       .new_blob = other,
                                       .new_md5 = other};

    expect_flaw(&row, NULL);
    return row;
}

static void refuses_sides_that_are_not_held(void **state)
{
    static const struct nzd_digest none;
    static const char *const names[] = {"/boot", "/sys.config", "/vm.args",
                                        "/runtime.exs", "/priv/a/b"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct nzd_module_row row = whole(names[i]);

        row.old_blob = none; /* the base's own */
        expect_flaw(&row, NULL);
        row.new_blob = none;
        expect_flaw(&row, "its new content is not held");
        row.flags = NZD_ROW_TO_BASE;
        expect_flaw(&row, NULL);
    }
    struct nzd_module_row spec = whole("/app/a");
    spec.old_blob = none;
    expect_flaw(&spec, "its old content is not held");
    spec = whole("/app/a");
    spec.new_blob = none;
    spec.flags = NZD_ROW_TO_BASE;
    expect_flaw(&spec, "its new content is not held");
}

static void refuses_other_content(void **state)
{
    static const struct nzd_digest none;
    struct nzd_module_row row = whole("/boot");

    (void)state;
    row.new_blob = some;
    expect_flaw(&row, "it holds another content than it says");
    row = whole("/priv/a/b"); /* one is the MD5, the other the blob's */
    row.new_blob = some;
    expect_flaw(&row, NULL);
    row = whole("/boot");
    row.new_md5 = none;
    expect_flaw(&row, "it holds the content of no file");
    row = whole("/boot");
    row.old_attrs = some;
    expect_flaw(&row, "it has attributes");
    row = whole("counter"); /* a module: its md5 is not the blob's */
    row.new_blob = some;
    row.new_attrs = some;
    expect_flaw(&row, NULL);
}

static void refuses_another_change(void **state)
{
    static const struct nzd_digest none;
    struct nzd_module_row row = whole("/boot");

    (void)state;
    row.change = NZD_MODULE_ADDED;
    expect_flaw(&row, "it is not added");
    row.change = NZD_MODULE_REMOVED;
    expect_flaw(&row, "it is not removed");
    row.new_md5 = row.new_blob = none;
    expect_flaw(&row, NULL);
    row.change = NZD_MODULE_CHANGED;
    expect_flaw(&row, "it is not changed");
    assert_int_equal(nzd_file_row_change(&none, &some), NZD_MODULE_ADDED);
    assert_int_equal(nzd_file_row_change(&some, &none), NZD_MODULE_REMOVED);
    assert_int_equal(nzd_file_row_change(&some, &other), NZD_MODULE_CHANGED);
}

static void refuses_to_boot_without_content(void **state)
{
    static const struct nzd_digest none;
    struct nzd_live_row row = {.module = (char *)(uintptr_t) "/sys.config",
                               .blob = some,
                               .md5 = some,
                               .base_md5 = other};

    (void)state;
    assert_null(nzd_file_row_live_flaw(&row));
    row.blob = none;
    assert_string_equal(nzd_file_row_live_flaw(&row),
                        "its content is not held");
    row.md5 = none;
    assert_null(nzd_file_row_live_flaw(&row));
    row.base_blob = some;
    assert_string_equal(nzd_file_row_live_flaw(&row),
                        "it holds another content than it says");
    row.module = (char *)(uintptr_t) "counter";
    assert_null(nzd_file_row_live_flaw(&row));
}

static void writes_none_of_them(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_module_row row = whole("/boot");
    struct nzd_move move = {
        .txn = &ledger->txn, .modules = &row, .module_count = 1};

    row.old_blob = row.new_blob = (struct nzd_digest){{0}};
    ledger->txn.kind = NZD_TXN_APPLY;
    ledger->txn.state = NZD_STATE_ARMED;
    ledger_fails(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err),
                 NZD_EINTERNAL);
    row.flags = NZD_ROW_TO_BASE;
    ledger_ok(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err));
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, ledger_set_up_open, ledger_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(there_and_back),
        TEST(by_way_of_another),
        TEST(restated),
        TEST(blobs_stay_while_needed),
        TEST(falls_back_to_the_base),
        TEST(falls_back_to_a_generation),
        TEST(refuses_sides_that_are_not_held),
        TEST(refuses_other_content),
        TEST(refuses_another_change),
        TEST(refuses_to_boot_without_content),
        TEST(writes_none_of_them),
    };

    return cmocka_run_group_tests_name("journal files", tests, NULL, NULL);
}
