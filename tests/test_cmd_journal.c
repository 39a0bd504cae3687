/* SPDX-License-Identifier: Apache-2.0 */

/* `nzd journal` over a journal that is made here. */

#include "../journal/journal.h"
#include "harness.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* 2025-03-04 09:38:11.204 UTC */
#define OPENED 1741081091204000ull

static int set_up(void **state)
{
    *state = harness_open();
    return 0;
}

static int tear_down(void **state)
{
    harness_close(*state);
    return 0;
}

/* --- a journal of three transactions --------------------------------- */

static struct nzd_digest filled(uint8_t first)
{
    struct nzd_digest digest;

    for (size_t i = 0; i < NZD_DIGEST_SIZE; i++)
        digest.bytes[i] = (uint8_t)(first + i);
    return digest;
}

static struct nzd_journal *open_journal(struct harness *harness)
{
    const struct nzd_journal_options options = {.no_sync = 1};
    struct nzd_journal *journal = NULL;
    struct nzd_err err = NZD_ERR_INIT;

    if (nzd_journal_open(harness_journal(harness), NZD_JOURNAL_CREATE, &options,
                         &journal, &err) < 0)
        fail_msg("%s", err.message);
    return journal;
}

static void move(struct nzd_journal *journal, const struct nzd_move *move)
{
    struct nzd_err err = NZD_ERR_INIT;

    if (nzd_journal_move(journal, move, &err) < 0)
        fail_msg("%s", err.message);
}

static void put_blob(struct nzd_journal *journal, const char *text,
                     struct nzd_digest *out)
{
    struct nzd_view view = nzd_view_text(text);
    struct nzd_err err = NZD_ERR_INIT;

    if (nzd_journal_put_blobs(journal, &view, 1, out, NULL, &err) < 0)
        fail_msg("%s", err.message);
}

static struct nzd_txn record(enum nzd_txn_kind kind, char *from, char *to)
{
    struct nzd_txn txn = {
        .kind = kind,
        .state = NZD_STATE_ARMED,
        .verdict = NZD_LEVEL_HOT,
        .max = NZD_LEVEL_MIGRATE,
        .epoch = 1,
        .base = filled(0xd1),
        .bundle = filled(0x9a),
        .bundle_bytes = 14889779,
        .vm = {.boot_id = "3f9c0000-0000-0000-0000-000000000000", .pid = 42},
        .opened_us = OPENED,
        .armed_us = OPENED + 28000,
        .release = "counter",
        .from_version = from,
        .to_version = to,
        .base_version = "0.1.0",
        .base_path = "/srv/counter",
        .node = "counter@web1",
        .source = "/tmp/counter-0.2.0.tar.gz",
        .operator_name = "root from ssh",
    };

    return txn;
}

static struct nzd_module_row row(char *name, enum nzd_module_change change)
{
    struct nzd_module_row out = {.module = name,
                                 .application = "counter",
                                 .change = change,
                                 .old_path = "/srv/counter/x.beam",
                                 .new_path = "x.beam"};

    if (change != NZD_MODULE_ADDED) {
        out.old_md5 = filled(0x17);
        out.old_attrs = filled(1);
        out.old_bytes = 3;
    } else {
        out.old_path = "";
    }
    if (change != NZD_MODULE_REMOVED) {
        out.new_md5 = filled(0xc6);
        out.new_attrs = filled(2);
        out.new_bytes = 4;
    } else {
        out.new_path = "";
    }
    return out;
}

/* Of the base: it needs no blob. */
static struct nzd_module_row file(char *name, enum nzd_module_change change)
{
    struct nzd_module_row out = row(name, change);

    out.old_path = out.new_path = "";
    out.old_attrs = out.new_attrs = (struct nzd_digest){{0}};
    out.flags = NZD_ROW_TO_BASE;
    return out;
}

static const struct nzd_event before_armed[] = {
    {.kind = NZD_EVENT_OPEN,
     .at_us = OPENED,
     .label = "open",
     .text = "verdict hot, limit migrate"},
    {.kind = NZD_EVENT_HOOK,
     .at_us = OPENED + 15000,
     .mono_us = 15000,
     .took_us = 12400,
     .label = "hook pre",
     .text = "disk ok"},
    {.kind = NZD_EVENT_MOVE,
     .at_us = OPENED + 28000,
     .mono_us = 28000,
     .took_us = 400,
     .label = "ARMED",
     .text = "31 KB written, synced"},
};

static const struct nzd_event after_armed[] = {
    {.kind = NZD_EVENT_HOOK,
     .at_us = OPENED + 30000,
     .mono_us = 30000,
     .took_us = 18000,
     .label = "hook post",
     .text = "selftest ok and a text that is much longer than its column",
     .output = "100 checks\tpassed\r\n\033[31mred \xFF\n"},
    {.kind = NZD_EVENT_RECOVERY,
     .at_us = OPENED + 90000000,
     .label = "recovery",
     .text = "the VM is the same"},
    {.kind = NZD_EVENT_MOVE,
     .at_us = OPENED + 93000000,
     .mono_us = 93000000,
     .took_us = 400,
     .label = "COMMITTED"},
};

/* Armed, then its end. */
static void transact(struct nzd_journal *journal, struct nzd_txn *txn,
                     const struct nzd_module_row *rows, size_t count,
                     enum nzd_state end)
{
    move(journal, &(struct nzd_move){.txn = txn,
                                     .modules = rows,
                                     .module_count = count,
                                     .events = before_armed,
                                     .event_count = 3});
    if (end == NZD_STATE_ROLLED_BACK) {
        txn->state = NZD_STATE_UNDOING;
        move(journal, &(struct nzd_move){.txn = txn});
    }
    txn->state = end;
    txn->ended_us = OPENED + 48000;
    txn->took_us = 48000;
    txn->pause_us = 1200;
    move(journal, &(struct nzd_move){
                      .txn = txn, .events = after_armed, .event_count = 3});
}

static void make_journal(struct harness *harness)
{
    struct nzd_journal *journal = open_journal(harness);
    struct nzd_module_row rows[] = {
        row("counter_http", NZD_MODULE_CHANGED),
        row("counter_legacy", NZD_MODULE_REMOVED),
        row("counter_rate", NZD_MODULE_ADDED),
    };
    struct nzd_module_row files[] = {
        file("/priv/counter/motd.txt", NZD_MODULE_REMOVED),
        file("/sys.config", NZD_MODULE_CHANGED),
    };
    struct nzd_txn first = record(NZD_TXN_APPLY, "0.1.0", "0.2.0");
    struct nzd_txn second = record(NZD_TXN_ROLLBACK, "0.2.0", "0.1.0");
    struct nzd_txn third = record(NZD_TXN_APPLY, "0.1.0", "0.3.0");

    put_blob(journal, "old", &rows[0].old_blob);
    put_blob(journal, "new!", &rows[0].new_blob);
    rows[1].old_blob = rows[0].old_blob;
    rows[2].new_blob = rows[0].new_blob;
    first.changed = first.added = first.removed = 1;
    first.to_generation = 1;
    transact(journal, &first, rows, 3, NZD_STATE_COMMITTED);
    second.from_generation = 1;
    second.source = "";
    transact(journal, &second, files, 2, NZD_STATE_COMMITTED);
    third.opened_us = OPENED + 161000000;
    third.why = "hook selftest returned {error,{limit,120}}";
    third.outcome = 6;
    transact(journal, &third, NULL, 0, NZD_STATE_ROLLED_BACK);
    nzd_journal_close(journal);
}

/* --- tests ----------------------------------------------------------- */

static struct harness_run journal(struct harness *harness, const char *what,
                                  const char *more)
{
    return harness_nzd(harness, NULL, "journal", "--journal",
                       harness_journal(harness), what, more, NULL);
}

static void no_journal_is_no_failure(void **state)
{
    struct harness *harness = *state;
    struct harness_run run = journal(harness, "show", NULL);
    const char *expected = harness_text(
        harness, "no journal in %s: nothing was ever applied here\n",
        harness_journal(harness));

    assert_status(run, 0);
    assert_string_equal(run.out, expected);
    run = journal(harness, "verify", NULL);
    assert_status(run, 0);
    assert_string_equal(run.out, expected);
    run = journal(harness, "show", "--json");
    assert_status(run, 0);
    assert_string_equal(run.out,
                        "{\"nzd\":1,\"journal\":null,\"transactions\":[]}\n");
    run = journal(harness, "show", "7");
    assert_status(run, 2);
    assert_contains(run.err, "transaction 7 is not held: there is no journal");
    assert_int_equal(access(harness_journal(harness), F_OK), -1);
}

static void the_list(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;

    make_journal(harness);
    run = journal(harness, "show", NULL);
    assert_status(run, 0);
    assert_string_equal(run.err, "");
    assert_string_equal(
        run.out,
        "  TXN  WHEN (UTC)           WHAT                        OUTCOME       "
        "  TOOK\n"
        "    3  2025-03-04 09:40:52  apply    0.1.0 -> 0.3.0     rolled back   "
        " 48 ms\n"
        "*   2  2025-03-04 09:38:11  rollback 0.2.0 -> 0.1.0     committed     "
        " 48 ms\n"
        "    1  2025-03-04 09:38:11  apply    0.1.0 -> 0.2.0     committed     "
        " 48 ms\n"
        "* in force, on base counter 0.1.0 (/srv/counter)\n");
}

static void one_of_them(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;

    make_journal(harness);
    run = journal(harness, "show", "1");
    assert_status(run, 0);
    assert_string_equal(
        run.out,
        "transaction 1   apply   counter 0.1.0 -> 0.2.0                     "
        "committed\n"
        "  node     counter@web1, boot 3f9c, base counter 0.1.0 d1d2d3d4\n"
        "  bundle   counter-0.2.0.tar.gz, 14.2 MB, xxh3 9a9b9c9d, by root from "
        "ssh\n"
        "  back to  nzd rollback --to 1\n"
        "\n"
        "  09:38:11.204  open      verdict hot, limit migrate\n"
        "        +15 ms  hook pre  disk ok                                    "
        "  12.4 ms\n"
        "        +28 ms  ARMED     31 KB written, synced                      "
        "   0.4 ms\n"
        "        +30 ms  hook post selftest ok and a text that is much longer\n"
        "                          than its column                            "
        "  18.0 ms\n"
        "                          | 100 checks    passed\n"
        "                          | \\x1b[31mred \\xff\n"
        "  09:39:41.204  recovery  the VM is the same\n"
        "       +93.0 s  COMMITTED                                            "
        "   0.4 ms\n"
        "\n"
        "  MODULE            OLD       NEW       APPLICATION\n"
        "  ~ counter_http    1718191a  c6c7c8c9  counter\n"
        "  - counter_legacy  1718191a  -         counter\n"
        "  + counter_rate    -         c6c7c8c9  counter\n");
}

static void what_else_is_said_of_one(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;

    make_journal(harness);
    run = journal(harness, "show", "2");
    assert_status(run, 0);
    assert_matches(run.out, "^  by       root from ssh$");
    assert_matches(run.out, "^  undo     nzd rollback$");
    assert_lacks(run.out, "MODULE");
    assert_contains(
        run.out, "  FILE                      OLD       NEW       APPLICATION\n"
                 "  - /priv/counter/motd.txt  1718191a  -         counter\n"
                 "  ~ /sys.config             1718191a  c6c7c8c9  counter\n");
    run = journal(harness, "show", "3");
    assert_status(run, 0);
    assert_matches(run.out, "^  why      hook selftest returned ");
    assert_lacks(run.out, "nzd rollback");
    assert_lacks(run.out, "\033");
    run = journal(harness, "show", "9");
    assert_status(run, 2);
    assert_contains(run.err, "transaction 9 is not held: 1 to 3 are");
}

static json_t *loaded(const struct harness_run *run)
{
    json_error_t error;
    json_t *object = json_loads(run->out, JSON_REJECT_DUPLICATES, &error);

    if (!object)
        fail_msg("%s: %s", error.text, run->out);
    assert_int_equal(json_integer_value(json_object_get(object, "nzd")), 1);
    return object;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "(none)";
}

static void the_list_for_programs(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;
    json_t *object;
    const json_t *rows;

    make_journal(harness);
    run = journal(harness, "show", "--json");
    assert_status(run, 0);
    object = loaded(&run);
    rows = json_object_get(object, "transactions");
    assert_int_equal(json_array_size(rows), 3);
    assert_string_equal(text_at(json_array_get(rows, 0), "state"),
                        "rolled_back");
    assert_string_equal(text_at(json_array_get(rows, 0), "to"), "0.3.0");
    assert_true(
        json_is_false(json_object_get(json_array_get(rows, 0), "in_force")));
    assert_true(
        json_is_true(json_object_get(json_array_get(rows, 1), "in_force")));
    assert_string_equal(text_at(json_array_get(rows, 2), "opened"),
                        "2025-03-04T09:38:11.204Z");
    assert_lacks(run.out, "\033");
    json_decref(object);
}

static void one_for_programs(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;
    json_t *object;
    const json_t *event;
    const json_t *module;

    make_journal(harness);
    run = harness_nzd(harness, NULL, "journal", "--journal",
                      harness_journal(harness), "show", "1", "--json", NULL);
    assert_status(run, 0);
    object = loaded(&run);
    assert_int_equal(json_integer_value(json_object_get(object, "txn")), 1);
    assert_int_equal(json_integer_value(json_object_get(object, "pause_us")),
                     1200);
    assert_string_equal(text_at(json_object_get(object, "base"), "identity"),
                        "d1d2d3d4d5d6d7d8d9dadbdcdddedfe0");
    assert_int_equal(json_array_size(json_object_get(object, "events")), 6);
    event = json_array_get(json_object_get(object, "events"), 3);
    assert_string_equal(text_at(event, "label"), "hook post");
    assert_string_equal(text_at(event, "output"),
                        "100 checks\tpassed\r\n\033[31mred \xEF\xBF\xBD\n");
    assert_int_equal(json_integer_value(json_object_get(event, "took_us")),
                     18000);
    module = json_array_get(json_object_get(object, "modules"), 2);
    assert_string_equal(text_at(module, "name"), "counter_rate");
    assert_string_equal(text_at(module, "change"), "added");
    assert_true(json_is_null(json_object_get(module, "old_md5")));
    assert_string_equal(text_at(module, "new_md5"),
                        "c6c7c8c9cacbcccdcecfd0d1d2d3d4d5");
    assert_int_equal(json_array_size(json_object_get(object, "files")), 0);
    json_decref(object);
    run = harness_nzd(harness, NULL, "journal", "--journal",
                      harness_journal(harness), "show", "2", "--json", NULL);
    assert_status(run, 0);
    object = loaded(&run);
    assert_int_equal(json_array_size(json_object_get(object, "modules")), 0);
    module = json_array_get(json_object_get(object, "files"), 0);
    assert_string_equal(text_at(module, "name"), "/priv/counter/motd.txt");
    assert_string_equal(text_at(module, "change"), "removed");
    json_decref(object);
}

static void verify_proves(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;
    json_t *object;

    make_journal(harness);
    run = journal(harness, "verify", NULL);
    assert_status(run, 0);
    assert_matches(run.out, "is whole: 3 transactions, [0-9]+ KB of 64 MB$");
    run = journal(harness, "verify", "--json");
    assert_status(run, 0);
    object = loaded(&run);
    assert_true(json_is_true(json_object_get(object, "whole")));
    json_decref(object);
}

static const char *store_of(struct harness *harness)
{
    return harness_text(harness, "%s/data.mdb", harness_journal(harness));
}

static void damage_is_exit_8(void **state)
{
    static const char *const whats[] = {"show", "verify"};
    struct harness *harness = *state;

    make_journal(harness);
    harness_write_file(store_of(harness), "this is no store");
    for (size_t i = 0; i < 2; i++) {
        struct harness_run run = journal(harness, whats[i], NULL);

        assert_status(run, 8);
        assert_string_equal(run.out, "");
        assert_matches(run.err, "^nzd: ");
        run = journal(harness, whats[i], "--json");
        assert_status(run, 8);
        assert_contains(run.out, "\"error\":{\"exit\":8,\"code\":\"journal\"");
    }
}

static void each_node_of_another_host_has_its_own(void **state)
{
    struct harness *harness = *state;
    const char *home = harness_text(harness, "HOME=%s", harness_dir(harness));
    const char *const environment[] = {home, "XDG_STATE_HOME=", NULL};
    const char *nzd = harness_argv(harness, NULL, NULL)[0];
    const char *const argv[] = {
        nzd, "journal", "show", "--node", "../a@elsewhere.example.org", NULL};
    struct harness_run run = harness_run(harness, argv, environment);

    assert_status(run, 0);
    assert_string_equal(
        run.out,
        harness_text(harness,
                     "no journal in %s/.local/state/nzd/%%2e.%%2fa@elsewhere."
                     "example.org/journal: nothing was ever applied here\n",
                     harness_dir(harness)));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(no_journal_is_no_failure),
        CASE(the_list),
        CASE(one_of_them),
        CASE(what_else_is_said_of_one),
        CASE(the_list_for_programs),
        CASE(one_for_programs),
        CASE(verify_proves),
        CASE(damage_is_exit_8),
        CASE(each_node_of_another_host_has_its_own),
    };

    return cmocka_run_group_tests_name("cmd_journal", tests, NULL, NULL);
}
