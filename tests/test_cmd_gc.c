/* SPDX-License-Identifier: Apache-2.0 */

/* `nzd journal gc` over a journal that is made here. */
#include "answer.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct place {
    struct harness *harness;
    struct ledger ledger;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    place->harness = harness_open();
    ledger_make(&place->ledger);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    ledger_drop(&place->ledger);
    harness_close(place->harness);
    free(place);
    return 0;
}

/* Six commits and a blob that nobody needs; then it is closed. */
static void fill(struct place *place)
{
    static const char *const codes[] = {"code 0", "code 1", "code 2", "code 3",
                                        "code 4", "code 5", "code 6"};

    ledger_open(&place->ledger, NZD_JOURNAL_CREATE);
    for (int i = 0; i < 6; i++)
        ledger_apply_one(&place->ledger, "m", codes[i], codes[i + 1]);
    ledger_put(&place->ledger, "of an interrupted snapshot");
    ledger_close(&place->ledger);
}

static struct harness_run gc(struct place *place, const char *option,
                             const char *more)
{
    const char *config = harness_path(place->harness, "nzd.conf");

    harness_write_file(config, "keep = 2\n");
    return harness_nzd(place->harness, NULL, "journal", "gc", "--journal",
                       place->ledger.directory, "--config", config, option,
                       more, NULL);
}

static const char *shown(struct place *place)
{
    return harness_nzd(place->harness, NULL, "journal", "show", "--journal",
                       place->ledger.directory, NULL)
        .out;
}

static void no_journal_is_no_failure(void **state)
{
    struct place *place = *state;
    struct harness_run run = gc(place, NULL, NULL);

    assert_status(run, 0);
    assert_contains(run.out, "nothing was ever applied here");
}

static void what_is_foretold_is_done(void **state)
{
    struct place *place = *state;
    struct harness_run foretold;
    struct harness_run done;
    const char *before;

    fill(place);
    before = shown(place);
    foretold = gc(place, "--dry-run", NULL);
    assert_status(foretold, 0);
    assert_matches(foretold.out,
                   "^would drop  3 transactions \\(1 to 3\\), 3 blobs, [0-9]+ "
                   "B$");
    assert_string_equal(shown(place), before);

    done = gc(place, NULL, NULL);
    assert_status(done, 0);
    assert_matches(
        done.out, "^dropped     3 transactions \\(1 to 3\\), 3 blobs, [0-9]+ "
                  "B\n"
                  "held        3 transactions: 1 in force, 2 of the newest\n"
                  "            5 blobs, [0-9]+ B: 2 in force or of the base, 3 "
                  "to undo or go back\n"
                  "file        [0-9.]+ KB, [0-9.]+ KB of it free for reuse; "
                  "it does not shrink$");
    assert_lacks(shown(place), "   3  ");
    assert_contains(shown(place), "   4  ");
    assert_matches(gc(place, NULL, NULL).out, "^dropped     nothing$");
}

static void programs_are_told_the_same(void **state)
{
    struct place *place = *state;
    struct harness_run run;
    json_t *foretold;
    json_t *done;

    fill(place);
    run = gc(place, "--dry-run", "--json");
    assert_status(run, 0);
    foretold = answer_object(place->harness, run.out);
    assert_true(json_is_true(answer_get(foretold, "dry_run")));
    assert_int_equal(answer_number(foretold, "dropped.transactions"), 3);
    assert_int_equal(answer_number(foretold, "dropped.last"), 3);
    assert_int_equal(answer_number(foretold, "held.in_force"), 1);
    run = gc(place, "--json", NULL);
    assert_status(run, 0);
    done = answer_object(place->harness, run.out);
    assert_true(json_is_false(answer_get(done, "dry_run")));
    assert_true(json_equal(answer_get(foretold, "dropped"),
                           answer_get(done, "dropped")));
    assert_true(
        json_equal(answer_get(foretold, "held"), answer_get(done, "held")));
}

static void an_open_transaction_is_left_alone(void **state)
{
    static const char *const options[] = {"--dry-run", NULL};
    struct place *place = *state;

    ledger_open(&place->ledger, NZD_JOURNAL_CREATE);
    ledger_ok(&place->ledger,
              ledger_begin(&place->ledger, NZD_STATE_ARMED, NULL, 0));
    ledger_put(&place->ledger, "needed by none");
    ledger_close(&place->ledger);
    for (size_t i = 0; i < 2; i++) {
        struct harness_run run = gc(place, options[i], NULL);

        assert_status(run, 9);
        assert_contains(run.err, "transaction 1 is open (armed)");
        assert_contains(run.err, "nzd recover");
    }
    ledger_open(&place->ledger, NZD_JOURNAL_READ);
    assert_true(ledger_has(&place->ledger, "needed by none"));
}

/* Asking needs no lock; doing waits for it, and says who has it. */
static void a_held_journal_is_left_alone(void **state)
{
    struct place *place = *state;
    struct harness_run run;

    fill(place);
    ledger_open(&place->ledger, NZD_JOURNAL_WRITE);
    run = gc(place, "--dry-run", NULL);
    assert_status(run, 0);
    run = gc(place, "--wait", "100ms");
    assert_status(run, 9);
    assert_matches(run.err, "held by pid [0-9]+ \\(test\\)");
}

static void damage_is_exit_8(void **state)
{
    struct place *place = *state;
    const char *store =
        harness_text(place->harness, "%s/data.mdb", place->ledger.directory);
    struct harness_run run;

    fill(place);
    harness_write_file(store, "this is no store");
    run = gc(place, "--dry-run", NULL);
    assert_status(run, 8);
    run = gc(place, NULL, NULL);
    assert_status(run, 8);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(no_journal_is_no_failure),
        CASE(what_is_foretold_is_done),
        CASE(programs_are_told_the_same),
        CASE(an_open_transaction_is_left_alone),
        CASE(a_held_journal_is_left_alone),
        CASE(damage_is_exit_8),
    };

    return cmocka_run_group_tests_name("cmd_gc", tests, NULL, NULL);
}
