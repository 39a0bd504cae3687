/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void up(struct moves *moves)
{
    struct harness_run run = moves_apply(moves, "-q");
    assert_status(run, 0);
}

/* The event of the newest transaction with this label. */
static json_t *event(struct moves *moves, const char *label)
{
    json_t *txns = answer_txns(moves->harness, moves->node);
    json_t *txn = NULL, *each;
    int64_t id = 0;
    size_t i;
    json_array_foreach(txns, i, each)
    {
        if (answer_number(each, "txn") > id)
            id = answer_number(each, "txn");
    }
    txn = answer_txn(moves->harness, moves->node, (unsigned)id);
    json_array_foreach(json_object_get(txn, "events"), i, each)
    {
        if (!strcmp(answer_text(each, "label"), label))
            return each;
    }
    harness_fail("no %s in %s", label, json_dumps(txn, 0));
}

static void event_says(struct moves *moves, const char *label, const char *part)
{
    assert_contains(answer_text(event(moves, label), "text"), part);
}

/* --- up and down --- */

static void plan_names_them(void **state)
{
    struct moves *moves = *state;
    struct harness_run run =
        harness_nzd(moves->harness, moves->node, "plan",
                    harness_fixture(moves->harness, "moves-2"), NULL);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: migrate");
    assert_matches(run.out, "^  migrate +moves_srv 1 -> 2 +101 processes run "
                            "it, <");
    assert_matches(run.out, "^  migrate +moves_event 1 -> 2 +1 process runs "
                            "it, <[0-9.]+> moves_events$");
    assert_matches(run.out, "^  migrate +moves_machine .* moves_machine$");
    assert_matches(run.out, "^  migrate +moves_loop .* moves_loop$");
    assert_matches(run.out, "^  migrate +moves_sup .* moves_sup$");
    assert_lacks(run.out, "moves_pool");
    assert_lacks(run.out, "in the way");
    run = moves_apply(moves, "--max", "hot");
    assert_status(run, 5);
    assert_contains(run.err, "verdict migrate is over the limit hot: ");
    moves_runs(moves, 1);
}

static void states_go_up_and_down(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    for (int i = 0; i < 2; i++) {
        struct harness_run run = moves_apply(moves, "-v");
        assert_status(run, 0);
        event_says(moves, "suspend", "105 processes, 1 supervisor");
        event_says(moves, "migrate", "105 states converted");
        event_says(moves, "resume", "105 processes");
        moves_runs(moves, 2);
        assert_eval(moves->node, COUNTS, before);
        run = moves_rollback(moves, "-v");
        assert_status(run, 0);
        event_says(moves, "migrate", "105 states converted");
        moves_runs(moves, 1);
        assert_eval(moves->node, COUNTS, before);
    }
}

/* No call fails, and each one counts. */
static void loses_nothing_under_load(void **state)
{
    struct moves *moves = *state;
    const char *count = "element(2, gen_server:call(moves_srv, value))";
    int before = atoi(beam_node_eval(moves->node, "%s", count));
    struct beam_load *load =
        beam_load_start(moves->node, 4, 1, "moves_srv", "count", "[moves_srv]");
    for (int i = 0; i < 2; i++) {
        beam_load_wait(load, 50);
        up(moves);
        beam_load_wait(load, 50);
        moves_down(moves);
    }
    struct beam_load_result result = beam_load_stop(load);
    assert_int_equal(result.fail + result.undef + result.killed, 0);
    assert_int_equal(atoi(beam_node_eval(moves->node, "%s", count)),
                     before + (int)result.ok);
    moves_runs(moves, 1);
}

/* --- what fails --- */

static void rolled_back(struct moves *moves, struct harness_run run,
                        const char *why)
{
    assert_status(run, 6);
    assert_matches(run.out, why);
    moves_runs(moves, 1);
}

/* One of a hundred fails, the others have begun: each has what it had. */
static void one_failure_undoes_all(void **state)
{
    struct moves *moves = *state;
    static const char *const modules[] = {"moves_srv", "moves_event",
                                          "moves_machine", "moves_loop"};
    const char *before = beam_node_eval(moves->node, COUNTS);
    for (size_t i = 0; i < 4; i++) {
        moves_in_code_change(
            moves, modules[i],
            "put(n, case get(n) of undefined -> 1; N -> N + 1 end), "
            "error(not_today)");
        struct harness_run run = moves_apply(moves, "-q");
        rolled_back(moves, run,
                    harness_text(moves->harness,
                                 "<[0-9.]+>[a-z_ ]*: code_change of %s: "
                                 ".*not_today",
                                 modules[i]));
        event_says(moves, "migrate", "each is as it was again");
        assert_eval(moves->node, COUNTS, before);
        moves_forget(moves);
    }
}

static void a_failure_on_the_way_down(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    up(moves);
    moves_in_code_change(moves, "moves_loop", "error({never, V})");
    struct harness_run run = moves_rollback(moves, "-q");
    assert_status(run, 6);
    assert_matches(run.out, "moves_loop: code_change of moves_loop: "
                            ".*\\{never,\\{down,1\\}\\}");
    moves_runs(moves, 2);
    assert_eval(moves->node, COUNTS, before);
    moves_forget(moves);
    moves_down(moves);
    moves_runs(moves, 1);
    assert_eval(moves->node, COUNTS, before);
}

/* It is let go with the others; when it comes back it finds its state. */
static void one_that_hangs(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    moves_in_code_change(moves, "moves_machine",
                         "receive never -> ok after 2500 -> "
                         "ok end");
    struct harness_run run = moves_apply(moves, "--timeout", "1500ms", "-q");
    rolled_back(moves, run,
                "moves_machine: code_change of moves_machine: did "
                "not return within 150[01] ms");
    assert_eval(moves->node, COUNTS, before);
    moves_forget(moves);
}

/* Until it is told to go on; in none of its module's code. */
static void make_busy(struct moves *moves)
{
    beam_node_eval(moves->node,
                   "spawn(fun() -> sys:replace_state(moves_srv, fun(S) -> "
                   "receive go_on -> S end end, infinity) end), "
                   "timer:sleep(20)");
}

/* Nothing is loaded, and nobody waits for it longer than a slice. */
static void one_that_is_busy(void **state)
{
    struct moves *moves = *state;
    make_busy(moves);
    struct harness_run run = moves_apply(moves, "--timeout", "1500ms", "-q");
    assert_status(run, 6);
    assert_matches(run.out, "<[0-9.]+> moves_srv runs moves_srv and could not "
                            "be suspended within 150[01] ms");
    beam_node_eval(moves->node, "moves_srv ! go_on");
    moves_runs(moves, 1);
    /* It goes on when the others have been let go once. */
    make_busy(moves);
    beam_node_eval(
        moves->node,
        "Held = fun() -> lists:keymember(sys, 1, element(2, "
        "process_info(whereis(moves_machine), current_stacktrace))) end, "
        "Wait = fun W(Is) -> case Held() of Is -> ok; _ -> timer:sleep(2), "
        "W(Is) end end, "
        "spawn(fun() -> Wait(true), Wait(false), moves_srv ! go_on end)");
    up(moves);
    moves_runs(moves, 2);
    moves_down(moves);
}

static void validation_fails(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    const char *config = harness_path(moves->harness, "fail.conf");
    harness_write_file(config, "hook \"no\" {\n phase = post\n call = "
                               "\"erlang:is_atom\"\n args = {\"1\"}\n}\n");
    struct harness_run run = harness_nzd(
        moves->harness, moves->node, "apply", "--retry", "-q",
        harness_fixture(moves->harness, "moves-2"), "--config", config, NULL);
    assert_status(run, 6);
    moves_runs(moves, 1);
    assert_eval(moves->node, COUNTS, before);
    /* One cannot go down again: it says so, and the others do. */
    moves_in_code_change(moves, "moves_event",
                         "V =:= 1 orelse error(no_way_back)");
    run = harness_nzd(moves->harness, moves->node, "apply", "--retry",
                      harness_fixture(moves->harness, "moves-2"), "--config",
                      config, NULL);
    assert_status(run, 6);
    assert_matches(run.err, "not converted +<[0-9.]+> moves_events: "
                            "code_change of moves_event: .*no_way_back.*");
    moves_forget(moves);
    beam_node_eval(moves->node, "exit(whereis(moves_events), kill)");
    beam_node_wait_for(moves->node, "is_pid(whereis(moves_events))", "true",
                       2000);
    moves_runs(moves, 1);
}

/* Its instructions hand an Extra to code_change, up and down. */
static void an_appup_hands_over_more(void **state)
{
    struct moves *moves = *state;
    const char *bundle = harness_path(moves->harness, "with-appup");
    const char *config = harness_path(moves->harness, "fail.conf");
    harness_copy(moves->harness, harness_fixture(moves->harness, "moves-2"),
                 bundle);
    harness_write_file(
        harness_text(moves->harness, "%s/lib/moves-2.0.0/ebin/moves.appup",
                     bundle),
        "{\"2.0.0\", [{<<\"1\\\\..*\">>, [{update, moves_srv, {advanced, "
        "{going, up}}}]}],\n [{\"1.0.0\", [{update, moves_srv, {advanced, "
        "[down]}}]}]}.\n");
    harness_write_file(config, "hook \"no\" {\n phase = post\n call = "
                               "\"moves_do:extra\"\n args = {\"{going,up}\"}\n}"
                               "\nhook \"late\" {\n phase = post\n call = "
                               "\"erlang:is_atom\"\n args = {\"1\"}\n}\n");
    struct harness_run run =
        harness_nzd(moves->harness, moves->node, "apply", "--retry", bundle,
                    "--config", config, NULL);
    assert_status(run, 6);
    assert_matches(run.err, "^hook post +no ok");
    moves_runs(moves, 1);
    assert_eval(moves->node, "persistent_term:get({moves_srv, extra})",
                "[down]");
}

#define CHILDREN                                                               \
    "[{I, is_pid(P)} || {I, P, _, _} <- "                                      \
    "lists:sort(supervisor:which_children(moves_sup)), "                       \
    "lists:member(I, [first, second, own])]"

/* --- children --- */

static void children_come_and_go(void **state)
{
    struct moves *moves = *state;
    /* One that is not of init/1 is nobody's business. */
    beam_node_eval(moves->node,
                   "supervisor:start_child(moves_sup, #{id => own, start => "
                   "{gen_event, start_link, []}, restart => temporary})");
    assert_eval(moves->node, CHILDREN, "[{first,true},{own,true}]");
    up(moves);
    assert_eval(moves->node, CHILDREN, "[{own,true},{second,true}]");
    assert_eval(moves->node, "{whereis(first), is_pid(whereis(second))}",
                "{undefined,true}");
    event_says(moves, "children", "moves_sup: first was stopped");
    moves_down(moves);
    assert_eval(moves->node, CHILDREN, "[{first,true},{own,true}]");
    moves_runs(moves, 1);
    beam_node_eval(moves->node, "supervisor:terminate_child(moves_sup, own)");
}

/* The name of the new one is taken: all is as it was, the stopped one too. */
static void a_child_that_does_not_start(void **state)
{
    struct moves *moves = *state;
    beam_node_eval(moves->node, "register(second, spawn(fun() -> receive stop "
                                "-> ok end end))");
    struct harness_run run = moves_apply(moves, "-q");
    rolled_back(moves, run,
                "moves_sup: its new child second was not to be had: "
                ".*already_started");
    assert_eval(moves->node, CHILDREN, "[{first,true}]");
    beam_node_eval(moves->node, "second ! stop");
}

/* --- who is already suspended, who comes and goes --- */

static void somebody_else_has_suspended_one(void **state)
{
    struct moves *moves = *state;
    beam_node_eval(moves->node, "sys:suspend(moves_srv)");
    struct harness_run run = moves_apply(moves, "-v");
    assert_status(run, 0);
    event_says(moves, "suspended", "moves_srv was suspended by somebody else");
    assert_eval(moves->node,
                "{status, _, _, [_, S | _]} = sys:get_status(moves_srv), S",
                "suspended");
    beam_node_eval(moves->node, "sys:resume(moves_srv)");
    moves_runs(moves, 2);
    moves_down(moves);
    moves_runs(moves, 1);
}

/* As many as can be are started and ended all the time: by the supervisor,
 * which is held, and from everywhere else. */
static void some_come_and_go(void **state)
{
    struct moves *moves = *state;
    beam_node_eval(moves->node,
                   "Churn = fun F() -> receive stop -> ok after 1 -> "
                   "{ok, P} = supervisor:start_child(moves_pool, [0]), "
                   "{_, 1} = gen_server:call(P, count), "
                   "{_, 2} = gen_server:call(P, count), "
                   "ok = gen_server:stop(P), F() end end, "
                   "register(churn, spawn(Churn))");
    for (int i = 0; i < 2; i++) {
        up(moves);
        moves_down(moves);
    }
    assert_eval(moves->node, "is_pid(whereis(churn))", "true");
    beam_node_eval(moves->node, "churn ! stop");
    beam_node_wait_for(moves->node, "whereis(churn)", "undefined", 2000);
    moves_runs(moves, 1);
}

/* What has its state from before or behind the load cannot be told. */
static void one_is_started_in_the_middle(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    struct harness_run run =
        harness_nzd(moves->harness, moves->node, "apply", "--retry", "-q",
                    harness_fixture(moves->harness, "moves-3"), "--config",
                    moves->config, NULL);
    const char *started = beam_node_eval(
        moves->node, "P = moves_late:started(), "
                     "exit(P, kill), {nzd_text, pid_to_list(P)}");
    rolled_back(moves, run,
                harness_text(moves->harness,
                             "%s was started while moves_srv was loaded",
                             started));
    event_says(moves, "resume", "105 processes");
    assert_eval(moves->node, COUNTS, before);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plan_names_them),
        TEST(states_go_up_and_down),
        TEST(loses_nothing_under_load),
        TEST(one_failure_undoes_all),
        TEST(a_failure_on_the_way_down),
        TEST(one_that_hangs),
        TEST(one_that_is_busy),
        TEST(validation_fails),
        TEST(an_appup_hands_over_more),
        TEST(children_come_and_go),
        TEST(a_child_that_does_not_start),
        TEST(somebody_else_has_suspended_one),
        TEST(some_come_and_go),
        TEST(one_is_started_in_the_middle),
    };

    return cmocka_run_group_tests_name("migrate", tests, moves_set_up,
                                       moves_tear_down);
}
