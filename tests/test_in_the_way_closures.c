/* SPDX-License-Identifier: Apache-2.0 */
#include "in_the_way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- closures --- */

/* A process outside of way_hold that holds one of its funs. */
static void hold(struct way *way, const char *name, const char *fun)
{
    way_begin(way, name, harness_text(way->harness, "way_same:hold(%s)", fun));
}

static void answers(struct way *way, const char *name, const char *expected)
{
    beam_node_check(way->node,
                    harness_text(way->harness,
                                 "P = whereis(%s), P ! {call, self(), 37}, "
                                 "receive {P, X} -> X end",
                                 name),
                    expected, __FILE__, __LINE__);
}

static void closures_keep_their_code(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    hold(way, "two", "way_hold:adder(6)");
    /* Of the current code: nothing is in the way. */
    struct harness_run run = way_plan(way, 2, "--quiet");
    assert_lacks(run.out, "in the way");
    run = way_apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);

    /* The purger has had its time, and left the code where it is. */
    process_sleep_ms(1500);
    way_old_code(way, "way_hold", true);
    way_old_code(way, "way_srv", false);
    answers(way, "one", "{1,42}");
    answers(way, "two", "{1,43}");
    run = harness_nzd(way->harness, way->node, "status", NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^old code   .*way_hold|^old code   .*1 module");

    run = way_apply(way, 1, "--drain", "300ms");
    way_refused(way, run, 2);
    assert_contains(run.err, "2 closures of old code of way_hold "
                             "(-adder/1-fun-0-) are still held after 300 ms");
    run = way_plan(way, 1, "--quiet");
    assert_contains(run.out, "in the way   2 closures of old code of way_hold "
                             "(-adder/1-fun-0-)");
    answers(way, "one", "{1,42}");
    assert_int_equal(json_array_size(answer_txns(way->harness, way->node)), 1);

    /* One ends, the other forgets: what it forgot is garbage on its heap, and
     * nobody is refused for that. */
    beam_node_eval(way->node, "exit(whereis(one), kill), two ! drop");
    run = way_apply(way, 1, "--drain", "1s");
    assert_status(run, 0);
    way_alive(way, "two", true);
    way_runs(way, 1);
    answer_settled(way->harness, way->node);
}

/* Released, and nobody asks: the code goes by itself. */
static void released_code_goes_by_itself(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    struct harness_run run = way_apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    beam_node_eval(way->node, "one ! drop");
    beam_node_wait_for(way->node, "erlang:check_old_code(way_hold)", "false",
                       5000);
    way_alive(way, "one", true);
    answer_settled(way->harness, way->node);
}

/* A fun without anything in it holds its code no less. */
static void a_plain_closure_counts(void **state)
{
    struct way *way = *state;
    way_begin(
        way, "one",
        "F = way_hold:plain(), receive {call, P, _} -> P ! {self(), F()}, "
        "receive stop -> F() end end");
    struct harness_run run = way_apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    process_sleep_ms(1000);
    way_old_code(way, "way_hold", true);
    run = way_apply(way, 1, "--drain", "0ms");
    way_refused(way, run, 2);
    assert_contains(run.err, "of old code of way_hold (-plain/0-fun-0-)");
    answers(way, "one", "1");
    beam_node_eval(way->node, "exit(whereis(one), kill)");
    run = way_apply(way, 1, "--drain", "5s");
    assert_status(run, 0);
    answer_settled(way->harness, way->node);
}

/* The operator's word gives the closures up; no process ends of it. */
static void kill_gives_closures_up(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    struct harness_run run = way_apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    run = way_apply(way, 1, "--drain", "0ms", "--kill", "one");
    way_refused(way, run, 2);
    run = way_apply(way, 1, "--drain", "0ms", "--kill", "way_hold");
    assert_status(run, 0);
    assert_lacks(run.err, "ended ");
    way_alive(way, "one", true);
    way_runs(way, 1);
}

#define FAILS WAY_HOOK("selftest", "post", "way_same:no", "")

/* --- who blocks an undo --- */

static void resident_is_ended_for_the_undo(void **state)
{
    struct way *way = *state;
    const char *pid = way_begin(way, "left", "way_hold:wait()");
    way_begin(way, "elsewhere", "way_same:deep()");
    harness_write_file(way->config, FAILS);
    struct harness_run run = way_apply(way, 2, "--kill", "left");
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: way 1.0.0 runs on");
    assert_contains(run.err, harness_text(way->harness,
                                          "ended      %s left in way_hold:"
                                          "wait/0, by --kill",
                                          pid));
    way_alive(way, "left", false);
    way_alive(way, "elsewhere", true);
    way_runs(way, 1);
    assert_txn(way->harness, way->node, 1, "rolled_back");
    way_event(way, 1, "ended", pid);
    answer_settled(way->harness, way->node);
}

/* Allowed is not needed: the load itself ends nobody. */
static void resident_outlives_a_commit(void **state)
{
    struct way *way = *state;
    way_begin(way, "left", "way_hold:wait()");
    struct harness_run run = way_apply(way, 2, "--kill", "left");
    assert_status(run, 0);
    assert_contains(run.err, "may end ");
    assert_lacks(run.err, "ended ");
    way_alive(way, "left", true);
    beam_node_eval(way->node, "left ! stop");
    answer_settled(way->harness, way->node);
}

/* It came after the last look, and the operator's word is of another: the undo
 * waits, for the next nzd if need be. */
static void a_blocked_undo_is_finished_later(void **state)
{
    struct way *way = *state;
    const char *pid = way_begin(way, "left", "way_hold:wait()");
    harness_write_file(way->config, WAY_HOOK("enter", "pre", "way_same:enter",
                                             "\"late\"") FAILS);
    struct harness_run run = way_apply(way, 2, "--kill", "left");
    assert_status(run, 10);
    assert_contains(run.err, "the undo is blocked: ");
    assert_contains(run.err, " late is in old code of way_hold");
    assert_contains(run.err, "next nzd command");
    assert_txn(way->harness, way->node, 1, "undoing");
    assert_txn(way->harness, way->node, 1, "undoing");
    way_event(way, 1, "ended", pid);
    way_event(way, 1, "blocked", " late is in old code of way_hold");
    way_alive(way, "left", false);

    /* Not in between: all of the new code still runs. */
    way_runs(way, 2);
    run = harness_nzd(way->harness, way->node, "status", "--check", NULL);
    assert_status(run, 10);

    beam_node_eval(way->node, "late ! stop");
    run = harness_nzd(way->harness, way->node, "recover", NULL);
    assert_status(run, 0);
    assert_txn(way->harness, way->node, 1, "rolled_back");
    way_event(way, 1, "ended", pid);
    way_runs(way, 1);
    harness_write_file(way->config, "");
    run = way_apply(way, 2, "--retry");
    assert_status(run, 0);
    assert_txn(way->harness, way->node, 2, "committed");
    answer_settled(way->harness, way->node);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, way_set_up, way_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(closures_keep_their_code),
        real(released_code_goes_by_itself),
        real(a_plain_closure_counts),
        real(kill_gives_closures_up),
        real(resident_is_ended_for_the_undo),
        real(resident_outlives_a_commit),
        real(a_blocked_undo_is_finished_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
