/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct harness *harness;
    struct beam_node *node;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct fixture *fixture = harness_alloc(harness, sizeof *fixture);
    struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0"),
        .name = "counter",
    };
    fixture->harness = harness;
    *state = fixture;
    fixture->node = beam_node_start(harness, &options);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    harness_close(fixture->harness);
    return 0;
}

#define nzd(fixture, ...)                                                      \
    harness_nzd((fixture)->harness, (fixture)->node, __VA_ARGS__, NULL)

static const char *bundle(struct fixture *fixture, const char *version)
{
    return harness_fixture(
        fixture->harness,
        harness_text(fixture->harness, "counter-%s", version));
}

static void apply(struct fixture *fixture, const char *version)
{
    struct harness_run run = nzd(fixture, "apply", bundle(fixture, version));
    assert_status(run, 0);
    assert_contains(run.out, harness_text(fixture->harness,
                                          ": counter %s runs on ", version));
}

/* The module files of a release against all of counter that is loaded: both
 * lists are empty when exactly that release runs. */
#define DIFFERING                                                              \
    "begin W = lists:sort([{M, D} || "                                         \
    "F <- filelib:wildcard(\"%s/lib/counter-*/ebin/*.beam\"), "                \
    "{ok, {M, D}} <- [beam_lib:md5(F)]]), "                                    \
    "L = lists:sort([{M, M:module_info(md5)} || {M, _} <- code:all_loaded(), " \
    "lists:prefix(\"counter_\", atom_to_list(M))]), "                          \
    "{length(W) > 5, W -- L, L -- W} end"

static void check_runs(struct fixture *fixture, const char *version)
{
    beam_node_wait_for(
        fixture->node,
        harness_text(fixture->harness, DIFFERING, bundle(fixture, version)),
        "{true,[],[]}", 5000);
}

/* It runs, generation N is in force, and everything agrees. */
static void check_generation(struct fixture *fixture, unsigned generation,
                             const char *version)
{
    check_runs(fixture, version);
    answer_settled(fixture->harness, fixture->node);
    struct harness_run run = nzd(fixture, "status", "--json");
    assert_status(run, 0);
    json_t *status = answer_object(fixture->harness, run.out);
    assert_int_equal(answer_number(status, "generation"), generation);
    assert_int_equal(json_array_size(answer_get(status, "drift")), 0);
}

/* A rollback that is committed as N and goes from one version to another. */
static void rollback(struct fixture *fixture, const char *to, unsigned number,
                     const char *from_version, const char *version)
{
    struct harness_run run =
        to ? nzd(fixture, "rollback", "--to", to) : nzd(fixture, "rollback");
    assert_status(run, 0);
    assert_contains(run.out,
                    harness_text(fixture->harness,
                                 "committed %u: counter %s runs on %s", number,
                                 version, beam_node_name(fixture->node)));
    assert_contains(run.err, harness_text(fixture->harness, "counter %s -> %s,",
                                          from_version, version));
    json_t *txn = answer_txn(fixture->harness, fixture->node, number);
    assert_string_equal(answer_text(txn, "kind"), "rollback");
    assert_string_equal(answer_text(txn, "state"), "committed");
    assert_string_equal(answer_text(txn, "from"), from_version);
    assert_string_equal(answer_text(txn, "to"), version);
    check_generation(fixture, number, version);
}

/* Nothing is written and nothing is loaded. */
static void refuses(struct fixture *fixture, const char *to, int status,
                    const char *message)
{
    size_t count =
        json_array_size(answer_txns(fixture->harness, fixture->node));
    struct harness_run run =
        to ? nzd(fixture, "rollback", "--to", to) : nzd(fixture, "rollback");
    assert_status(run, status);
    assert_contains(run.err, message);
    assert_lacks(run.out, "committed");
    assert_int_equal(
        json_array_size(answer_txns(fixture->harness, fixture->node)), count);
}

/* --- there and back --- */

static void undoes_the_last_commit(void **state)
{
    struct fixture *fixture = *state;
    assert_eval(fixture->node, "counter_srv:call()", "{\"0.1.0\",1}");
    apply(fixture, "0.2.0");
    check_generation(fixture, 1, "0.2.0");
    assert_eval(fixture->node, "counter_srv:call()", "{\"0.2.0\",2}");

    rollback(fixture, NULL, 2, "0.2.0", "0.1.0");
    assert_eval(fixture->node, "counter_srv:call()", "{\"0.1.0\",3}");
    assert_eval(fixture->node, "counter_legacy:count(1)", "2");

    /* A rollback is undone like any other. */
    rollback(fixture, NULL, 3, "0.1.0", "0.2.0");
    assert_eval(fixture->node, "counter_srv:call()", "{\"0.2.0\",4}");
    rollback(fixture, NULL, 4, "0.2.0", "0.1.0");
}

static void goes_to_a_generation(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    apply(fixture, "0.3.0");
    apply(fixture, "0.2.0-state");
    rollback(fixture, "1", 4, "0.2.0-state", "0.2.0");
    rollback(fixture, "2", 5, "0.2.0", "0.3.0");
    rollback(fixture, "0", 6, "0.3.0", "0.1.0");
    rollback(fixture, "4", 7, "0.1.0", "0.2.0");
    struct harness_run run = nzd(fixture, "rollback", "--to", "7");
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do: counter 0.2.0 runs on ");
    assert_int_equal(
        json_array_size(answer_txns(fixture->harness, fixture->node)), 7);
}

static void past_a_failed_one(void **state)
{
    struct fixture *fixture = *state;
    const char *config = harness_path(fixture->harness, "nzd.conf");
    harness_write_file(config, "hook \"selftest\" {\n phase = post\n call = "
                               "\"counter_check:run\"\n args = {\"quick\", "
                               "\"[{limit,100}]\"}\n timeout = 5s\n}\n");
    apply(fixture, "0.2.0");
    struct harness_run run =
        nzd(fixture, "apply", bundle(fixture, "0.3.0"), "--config", config);
    assert_status(run, 6);
    check_generation(fixture, 1, "0.2.0");
    refuses(fixture, "2", 2, "generation 2 does not exist");
    rollback(fixture, NULL, 3, "0.2.0", "0.1.0");
}

/* --- refusals --- */

static void nothing_committed(void **state)
{
    struct fixture *fixture = *state;
    struct harness_run run = nzd(fixture, "rollback");
    assert_status(run, 5);
    assert_contains(run.err, "there is no journal in ");
    assert_contains(run.err, "nothing was touched");
    run = nzd(fixture, "rollback", "--json");
    assert_status(run, 5);
    assert_int_equal(
        answer_number(answer_object(fixture->harness, run.out), "error.exit"),
        5);
    /* None was made by asking. */
    assert_int_equal(access(harness_journal(fixture->harness), F_OK), -1);

    run = nzd(fixture, "apply", bundle(fixture, "0.1.0"));
    assert_status(run, 0);
    refuses(fixture, NULL, 5,
            "nothing is committed over the base counter "
            "0.1.0");
    check_runs(fixture, "0.1.0");
}

static void beyond_what_is(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    refuses(fixture, "2", 2, "generation 2 does not exist; the newest is 1");
    refuses(fixture, "18446744073709551615", 2, "does not exist");
    refuses(fixture, "-1", 2, "");
    refuses(fixture, "one", 2, "");
    check_generation(fixture, 1, "0.2.0");
}

static void dry_run(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    check_generation(fixture, 1, "0.2.0");
    struct harness_run run = nzd(fixture, "rollback", "--dry-run");
    assert_status(run, 0);
    assert_matches(run.out,
                   "^counter 0\\.2\\.0 -> 0\\.1\\.0 on .*verdict: hot$");
    assert_matches(run.out, "^    \\+ counter_legacy ");
    assert_matches(run.out, "^    - counter_rate ");
    assert_int_equal(
        json_array_size(answer_txns(fixture->harness, fixture->node)), 1);
    check_generation(fixture, 1, "0.2.0");
}

static void json_of_rollback(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    struct harness_run run = nzd(fixture, "rollback", "--json");
    assert_status(run, 0);
    json_t *outcome = answer_event(fixture->harness, run.out, "outcome");
    assert_string_equal(answer_text(outcome, "state"), "committed");
    assert_int_equal(answer_number(outcome, "txn"), 2);
    assert_int_equal(answer_number(outcome, "exit"), 0);
    assert_int_equal(
        answer_number(answer_event(fixture->harness, run.out, "armed"), "txn"),
        2);
}

/* --- drift --- */

static void load_by_hand(struct fixture *fixture, const char *version,
                         const char *module)
{
    beam_node_eval(fixture->node,
                   "{module, _} = code:load_abs(hd(filelib:wildcard("
                   "\"%s/lib/counter-*/ebin\")) ++ \"/%s\"), "
                   "true = code:soft_purge(%s)",
                   bundle(fixture, version), module, module);
}

static void drift_is_told_and_put_right(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    check_generation(fixture, 1, "0.2.0");
    load_by_hand(fixture, "0.3.0", "counter_text");

    struct harness_run run = nzd(fixture, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +NOT generation 1: 1 of [0-9]+ modules "
                            "differs$");
    assert_matches(run.out, "^  counter_text +runs [0-9a-f]{8}, journal "
                            "[0-9a-f]{8}$");
    assert_contains(run.out, "nzd rollback --to 1 puts generation 1 back");
    assert_lacks(run.out, "proved:");
    run = nzd(fixture, "status", "--check");
    assert_status(run, 10);
    run = nzd(fixture, "status", "--json");
    json_t *status = answer_object(fixture->harness, run.out);
    assert_int_equal(json_array_size(answer_get(status, "drift")), 1);
    assert_string_equal(answer_text(status, "drift.0.module"), "counter_text");
    assert_int_equal(answer_number(status, "proved.ok") + 1,
                     answer_number(status, "proved.total"));

    run = nzd(fixture, "rollback", "--to", "1");
    assert_status(run, 0);
    json_t *txn = answer_txn(fixture->harness, fixture->node, 2);
    assert_int_equal(answer_number(txn, "changed"), 1);
    assert_string_equal(answer_text(txn, "modules.0.name"), "counter_text");
    check_generation(fixture, 2, "0.2.0");
}

/* Where nothing was ever applied the files are the measure. */
static void drift_from_the_base(void **state)
{
    struct fixture *fixture = *state;
    beam_node_eval(fixture->node,
                   "{ok, B} = file:read_file(\"%s/lib/counter-0.3.0/ebin/"
                   "counter_text.beam\"), {module, _} = code:load_binary("
                   "counter_text, code:which(counter_text), B), "
                   "true = code:soft_purge(counter_text)",
                   bundle(fixture, "0.3.0"));
    struct harness_run run = nzd(fixture, "status", "--check");
    assert_status(run, 10);
    assert_matches(run.out, "^  counter_text +runs [0-9a-f]{8}, its file "
                            "[0-9a-f]{8}$");
}

/* Also for code that has a file of its own, elsewhere. */
static void drift_from_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    load_by_hand(fixture, "0.3.0", "counter_text");
    struct harness_run run = nzd(fixture, "status", "--check");
    assert_status(run, 10);
    assert_matches(run.out, "^  counter_text +runs [0-9a-f]{8}, its file "
                            "[0-9a-f]{8}$");
}

static void restart(struct fixture *fixture)
{
    beam_node_stop(fixture->node);
    beam_node_start_again(fixture->node);
    check_runs(fixture, "0.1.0");
    struct harness_run run = nzd(fixture, "status", "--check");
    assert_status(run, 10);
}

/* A restart has undone the last commit already: the journal is told so, by a
 * rollback and by an apply of the base, and the next rollback knows. */
static void a_restart_is_a_rollback(void **state)
{
    struct fixture *fixture = *state;
    apply(fixture, "0.2.0");
    restart(fixture);
    struct harness_run run = nzd(fixture, "rollback");
    assert_status(run, 0);
    check_generation(fixture, 2, "0.1.0");

    apply(fixture, "0.2.0");
    restart(fixture);
    apply(fixture, "0.1.0");
    check_generation(fixture, 4, "0.1.0");

    apply(fixture, "0.2.0");
    restart(fixture);
    apply(fixture, "0.2.0");
    check_generation(fixture, 6, "0.2.0");
    run = nzd(fixture, "rollback");
    assert_status(run, 0);
    check_generation(fixture, 7, "0.1.0");
}

/* What the node ran before a transaction is not what was in force: the VM had
 * been restarted, and the base had booted. */
static void after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    const char *copy = harness_path(harness, "only-text");
    apply(fixture, "0.2.0");
    check_generation(fixture, 1, "0.2.0");
    beam_node_stop(fixture->node);
    beam_node_start_again(fixture->node);
    check_runs(fixture, "0.1.0");
    struct harness_run run = nzd(fixture, "status", "--check");
    assert_status(run, 10);
    assert_contains(run.out, "NOT generation 1");

    harness_copy(harness, bundle(fixture, "0.1.0"), copy);
    harness_copy(harness,
                 harness_text(harness,
                              "%s/lib/counter-0.3.0/ebin/counter_text.beam",
                              bundle(fixture, "0.3.0")),
                 harness_path(harness, "only-text/lib/counter-0.1.0/ebin/"));
    run = nzd(fixture, "apply", copy);
    assert_status(run, 0);
    assert_eval(fixture->node, "counter_http:get(7)",
                "{\"0.1.0\",\"0.3.0\",\"hello hello, 7 and counting\"}");

    run = nzd(fixture, "rollback");
    assert_status(run, 0);
    check_generation(fixture, 3, "0.1.0");
    /* All of generation 1, not only what transaction 2 touched. */
    run = nzd(fixture, "rollback", "--to", "1");
    assert_status(run, 0);
    check_generation(fixture, 4, "0.2.0");
    run = nzd(fixture, "rollback", "--to", "0");
    assert_status(run, 0);
    check_generation(fixture, 5, "0.1.0");
}

/* --- a journal that keeps few --- */

static const char *keep(struct fixture *fixture, unsigned count)
{
    const char *config = harness_path(fixture->harness, "keep.conf");
    harness_write_file(config,
                       harness_text(fixture->harness, "keep = %u\n", count));
    return config;
}

/* To and fro: `times` applies that commit. */
static void alternate(struct fixture *fixture, const char *config,
                      unsigned times, const char *a, const char *b)
{
    for (unsigned i = 0; i < times; i++) {
        struct harness_run run =
            nzd(fixture, "apply", bundle(fixture, i % 2 ? b : a), "--config",
                config);
        assert_status(run, 0);
    }
}

/* Twenty besides the one in force, and their blobs. */
static void keeps_twenty(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    const char *config = harness_path(harness, "empty.conf");
    harness_write_file(config, "");
    alternate(fixture, config, 25, "0.2.0", "0.3.0");
    json_t *txns = answer_txns(harness, fixture->node);
    assert_int_equal(json_array_size(txns), 21);
    assert_int_equal(answer_number(txns, "0.txn"), 25);
    assert_int_equal(answer_number(txns, "20.txn"), 5);
    check_generation(fixture, 25, "0.2.0");
    refuses(fixture, "4", 2, "generation 4 is not held any more");
    rollback(fixture, "6", 26, "0.2.0", "0.3.0");
}

/* Blobs of transactions that went go too, those still in force stay. */
static void collects_blobs(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    const char *config = keep(fixture, 1);
    struct harness_run run;
    const char *text = harness_path(harness, "big");
    harness_copy(harness, bundle(fixture, "0.2.0"), text);
    /* Each version brings 60 KB that no compression makes less. */
    int64_t most = 0, last = 0;
    for (unsigned i = 0; i < 6; i++) {
        const char *const argv[] = {
            "sh",
            "-c",
            "cd \"$1\" && { echo '-module(counter_rate). -export([per/2]). "
            "per(A, B) -> A div B + byte_size(x()). x() -> <<'; "
            "od -An -v -tu1 -N60000 /dev/urandom | tr -s ' \\n' ',' | "
            "sed 's/^,//; s/,$//'; echo '>>.'; } >counter_rate.erl && "
            "erlc +deterministic -o lib/counter-0.2.0/ebin counter_rate.erl",
            "sh",
            text,
            NULL};
        run = harness_run(harness, argv, NULL);
        assert_status(run, 0);
        run = nzd(fixture, "apply", text, "--config", config);
        assert_status(run, 0);
        run = nzd(fixture, "status", "--json");
        last = answer_number(answer_object(harness, run.out),
                             "journal.used_bytes");
        if (i == 3)
            most = last;
    }
    assert_in_range(last, 60000, most + 60000);
    answer_settled(harness, fixture->node);
}

/* What the base had is dropped with the transactions that replaced it; then a
 * rollback to it must not do half of it and call that the base. */
/* However much was dropped since: what is in force holds the base's code. */
static void the_base_for_good(void **state)
{
    struct fixture *fixture = *state;
    const char *config = keep(fixture, 2);
    alternate(fixture, config, 7, "0.2.0", "0.3.0");
    check_generation(fixture, 7, "0.2.0");
    refuses(fixture, "2", 2, "generation 2 is not held any more");
    check_generation(fixture, 7, "0.2.0");
    rollback(fixture, "0", 8, "0.2.0", "0.1.0");
    check_generation(fixture, 8, "0.1.0");
}

/* Failures push the generation before the one in force out of the journal;
 * its code is in the rows of the one in force. */
static void the_last_commit_is_always_undone(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    const char *config = harness_path(harness, "nzd.conf");
    harness_write_file(config, "keep = 1\nhook \"selftest\" {\n phase = post\n "
                               "call = \"counter_check:run\"\n args = "
                               "{\"quick\", \"[{limit,100}]\"}\n timeout = "
                               "5s\n}\n");
    alternate(fixture, config, 2, "0.2.0", "0.2.0-state");
    for (int i = 0; i < 3; i++) {
        struct harness_run run = nzd(fixture, "apply", bundle(fixture, "0.3.0"),
                                     "--retry", "--config", config);
        assert_status(run, 6);
    }
    alternate(fixture, config, 1, "0.2.0", "");
    for (int i = 0; i < 2; i++) {
        struct harness_run run = nzd(fixture, "apply", bundle(fixture, "0.3.0"),
                                     "--retry", "--config", config);
        assert_status(run, 6);
    }
    json_t *txns = answer_txns(harness, fixture->node);
    assert_true(answer_number(txns, harness_text(harness, "%zu.txn",
                                                 json_array_size(txns) - 1)) >
                2);
    rollback(fixture, NULL, 9, "0.2.0", "0.2.0-state");
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(undoes_the_last_commit), real(goes_to_a_generation),
        real(past_a_failed_one),      real(nothing_committed),
        real(beyond_what_is),         real(dry_run),
        real(json_of_rollback),       real(drift_is_told_and_put_right),
        real(drift_from_the_base),    real(drift_from_elsewhere),
        real(after_a_restart),        real(a_restart_is_a_rollback),
        real(keeps_twenty),           real(collects_blobs),
        real(the_base_for_good),      real(the_last_commit_is_always_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
