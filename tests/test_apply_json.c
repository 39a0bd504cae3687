/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What plan, apply and status say to programs. */

struct started {
    struct harness *harness;
    struct beam_node *node;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct started *started = harness_alloc(harness, sizeof *started);
    struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0")};

    started->harness = harness;
    started->node = beam_node_start(harness, &options);
    *state = started;
    return 0;
}

static int teardown(void **state)
{
    struct started *started = *state;

    harness_close(started->harness);
    return 0;
}

static void json_of_plan(void **state)
{
    struct started *started = *state;
    struct harness *harness = started->harness;
    struct beam_node *node = started->node;
    struct harness_run run = harness_nzd(
        harness, node, "plan", harness_fixture(harness, "counter-0.2.0-state"),
        "--json", NULL);
    assert_status(run, 0);
    json_t *plan = answer_object(harness, run.out);
    answer_has(plan, "node from to verdict max allowed modules evidence "
                     "processes journal_bytes boot_integration");
    assert_string_equal(answer_text(plan, "node"), beam_node_name(node));
    assert_string_equal(answer_text(plan, "from"), "0.1.0");
    assert_string_equal(answer_text(plan, "to"), "0.2.0-state");
    assert_true(json_is_true(answer_get(plan, "allowed")));
    assert_int_equal(json_array_size(answer_get(plan, "modules")), 5);
    json_t *module = answer_get(plan, "modules.0");
    answer_has(module, "name app change old_md5 new_md5 bytes");
    assert_int_equal(strlen(answer_text(module, "new_md5")), 32);
    answer_has(answer_get(plan, "processes.0"), "pid name mfa kind");
    assert_string_equal(answer_text(plan, "processes.0.name"), "counter_srv");

    const char *bundle = harness_path(harness, "bundle");
    harness_copy(harness, harness_fixture(harness, "counter-0.2.0"), bundle);
    harness_write_file(
        harness_text(harness, "%s/releases/0.2.0/vm.args", bundle),
        "+P 1024\n");
    run = harness_nzd(harness, node, "plan", bundle, "--json", NULL);
    assert_status(run, 0);
    plan = answer_object(harness, run.out);
    answer_has(answer_get(plan, "evidence.0"), "level subject old new source");
    assert_true(json_is_false(answer_get(plan, "allowed")));
}

static void json_of_apply(void **state)
{
    struct started *started = *state;
    struct harness *harness = started->harness;
    struct beam_node *node = started->node;
    struct harness_run run = harness_nzd(
        harness, node, "apply",
        harness_fixture(harness, "counter-0.2.0.tar.gz"), "--json", NULL);
    assert_status(run, 0);
    json_t *armed = answer_event(harness, run.out, "armed");
    assert_int_equal(answer_number(armed, "txn"), 1);
    assert_true(answer_number(armed, "us") > 0);
    json_t *outcome = answer_event(harness, run.out, "outcome");
    assert_string_equal(answer_text(outcome, "state"), "committed");
    assert_int_equal(answer_number(outcome, "txn"), 1);
    assert_int_equal(answer_number(outcome, "exit"), 0);
    assert_true(answer_number(outcome, "pause_us") > 0);
    /* The outcome is the last line. */
    const char *last = strstr(run.out, "\"event\":\"outcome\"");
    assert_string_equal(strchr(last, '\n'), "\n");

    json_t *txn = answer_txn(harness, node, 1);
    assert_int_equal(answer_number(txn, "pause_us"),
                     answer_number(outcome, "pause_us"));
    answer_has(answer_get(txn, "events.0"),
               "kind label at since_open_us took_us text");
    answer_has(answer_get(txn, "modules.0"),
               "name app change old_md5 new_md5 old_blob new_blob");
    assert_matches(answer_text(txn, "opened"),
                   "^20[0-9-]{8}T[0-9:]{8}\\.[0-9]{3}Z$");
}

static void json_of_status(void **state)
{
    struct started *started = *state;
    struct harness *harness = started->harness;
    struct beam_node *node = started->node;
    struct harness_run run =
        harness_nzd(harness, node, "apply",
                    harness_fixture(harness, "counter-0.2.0.tar.gz"), NULL);
    assert_status(run, 0);
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    run = harness_nzd(harness, node, "status", "--json", NULL);
    assert_status(run, 0);
    json_t *status = answer_object(harness, run.out);
    answer_has(status, "node generation base proved drift boot journal");
    assert_int_equal(answer_number(status, "generation"), 1);
    assert_string_equal(answer_text(status, "base.version"), "0.1.0");
    assert_int_equal(answer_number(status, "proved.ok"),
                     answer_number(status, "proved.total"));
    assert_in_range(answer_number(status, "proved.total"), 100, 100000);
    assert_int_equal(json_array_size(answer_get(status, "drift")), 0);
    assert_int_equal(answer_number(status, "journal.transactions"), 1);
}

static void json_of_failures(void **state)
{
    struct started *started = *state;
    struct harness *harness = started->harness;
    struct beam_node *node = started->node;
    struct harness_run run = harness_nzd(
        harness, node, "apply", harness_fixture(harness, "counter-0.2.0-priv"),
        "--min", "restart-vm", "--json", NULL);
    assert_status(run, 5);
    const char *error = strstr(run.out, "{\"nzd\":1,\"error\"");
    assert_non_null(error);
    json_t *object = answer_object(harness, error);
    answer_has(answer_get(object, "error"), "exit code message untouched next");
    assert_int_equal(answer_number(object, "error.exit"), 5);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(json_of_plan),
        real(json_of_apply),
        real(json_of_status),
        real(json_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
