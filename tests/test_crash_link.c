/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The node is on another host, and the network between it and nzd is cut at
 * each point of an operation: for a moment, for longer than both ends wait,
 * in one direction only, or by a reset. Nobody can prove such a VM gone: until
 * it answers again nzd has to say that it does not know.
 */
#include "hold.h"
#include "lanes.h"
#include "network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In full: copies that run side by side, since most of it is waiting. */
#define LANES 6u
/* Of a sample: points of each row. */
#define SAMPLE 1u
/* A moment that both ends wait out. */
#define MOMENT_MS 500.0
/* Without a word the node gives a link up after 3 to 5 s, nzd after 2. */
#define TICKTIME   4
#define NODE_MS    8000
#define SHORT_WAIT "--timeout=2s"
#define LONG_WAIT  "--timeout=20s"
/* nzd tries a lost node again for 10 s, each time for as long as --timeout. */
#define END_MS 30000

struct link_test {
    struct harness *harness; /* of the network */
    struct network *network;
    struct sweep *sweep;
};

/* How the network goes. */
enum kind { MOMENT, LONG, RESET, KINDS };

static const char *why_not;

/* One node for all tests. */
static int setup(void **state)
{
    struct link_test *test;
    struct harness *harness;
    if (why_not)
        return 0;
    harness = harness_open();
    test = harness_alloc(harness, sizeof *test);
    test->harness = harness;
    test->network = network_open(harness);
    const struct beam_node_options options = {
        .address = NETWORK_ADDRESS,
        .net_ticktime = TICKTIME,
        .prefix = network_prefix(test->network),
    };
    test->sweep = sweep_open(&options);
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    struct link_test *test = *state;
    if (why_not)
        return 0;
    sweep_teardown((void **)&test->sweep);
    harness_close(test->harness);
    return 0;
}

static const char *name_of(enum network_cut how)
{
    static const char *const names[] = {"both ways", "towards the node",
                                        "towards nzd"};
    return names[how];
}

/* The operation with a time limit of its own. */
static struct operation limited(const struct operation *operation,
                                const char *timeout)
{
    struct operation own = *operation;
    size_t count = 0;
    while (own.words[count])
        count++;
    own.words[count] = timeout;
    return own;
}

/*
 * The node must give the link up by itself. It does so for silence only while
 * what it has to say is not stuck: then its ticker waits to be heard (OTP 25)
 * until TCP gives up.
 */
static void expect_link_lost(struct link_test *test, const char *after)
{
    double until = process_now_ms() + NODE_MS;
    const char *left;
    while (strcmp(left = beam_node_eval(
                      test->sweep->node,
                      "[N || {N, P} <- erlang:system_info(dist_ctrl), "
                      "erlang:port_info(P, queue_size) =:= {queue_size, 0}]"),
                  "[]") != 0) {
        if (process_now_ms() > until)
            harness_fail("after %s: the node holds on to %s", after, left);
        process_sleep_ms(10);
    }
}

/* --- one interruption ------------------------------------------------------
 */

static void cut_for_a_moment(struct link_test *test,
                             const struct operation *operation, unsigned at,
                             enum network_cut how)
{
    struct sweep *sweep = test->sweep;
    struct operation own = limited(operation, LONG_WAIT);
    sweep_prepare(sweep, operation);
    struct harness_job *job = hold_at(sweep, &own, at);
    network_cut(test->network, how);
    hold_continue(job);
    process_sleep_ms(MOMENT_MS);
    network_heal(test->network);
    struct harness_run run = harness_end(sweep->harness, job, END_MS);
    assert_status(run, operation->status);
    sweep_verify(sweep, "a moment without network (%s) at point %u of %s, %s",
                 name_of(how), at, operation->name, sweep_point(sweep, at));
}

/* Whether nzd, held where it is, can know that the old code is back: the
 * journal says so, or the undo was made before that is written. */
static bool may_know(struct sweep *sweep, const struct operation *operation,
                     unsigned id)
{
    const char *state = claim_state(sweep, id);
    const char *runs = beam_node_eval(sweep->node, "counter_text:version()");
    return strcmp(state, "rolled_back") == 0 ||
           (strcmp(state, "undoing") == 0 &&
            strncmp(runs + 1, operation->before, strlen(operation->before)) ==
                0);
}

static void cut_for_long(struct link_test *test,
                         const struct operation *operation, unsigned at,
                         enum network_cut how)
{
    struct sweep *sweep = test->sweep;
    struct operation own = limited(operation, SHORT_WAIT);
    sweep_prepare(sweep, operation);
    unsigned last = claim_before(sweep, operation);
    const char *after = harness_text(
        sweep->harness, "the network was cut (%s) at point %u of %s, %s",
        name_of(how), at, operation->name, sweep_point(sweep, at));
    struct harness_job *job = hold_at(sweep, &own, at);
    bool known = may_know(sweep, operation, last + 1);
    network_cut(test->network, how);
    hold_continue(job);
    struct harness_run run = harness_end(sweep->harness, job, HARNESS_LIMIT_MS);
    claim_check(sweep, operation, last, run, END_MS, after);
    if (run.status == 6 && !known)
        harness_fail("after %s: nobody could tell, but it says\n%s%s", after,
                     run.out, run.err);
    expect_link_lost(test, after);
    network_heal(test->network);
    sweep_verify(sweep, "%s", after);
}

static void reset_at(struct link_test *test, const struct operation *operation,
                     unsigned at, enum network_cut how)
{
    struct sweep *sweep = test->sweep;
    (void)how;
    sweep_prepare(sweep, operation);
    unsigned last = claim_before(sweep, operation);
    const char *after =
        harness_text(sweep->harness, "a reset at point %u of %s, %s", at,
                     operation->name, sweep_point(sweep, at));
    struct harness_job *job = hold_at(sweep, operation, at);
    bool done = network_reset(test->network);
    struct harness_run run = hold_release(sweep, job);
    if (!done) {
        print_message("this kernel resets no connections\n");
        sweep_end(sweep);
        skip();
    }
    claim_check(sweep, operation, last, run, END_MS, after);
    sweep_verify(sweep, "%s", after);
}

static void skip_all(void)
{
    print_message("no network of its own: %s\n", why_not);
    skip();
}

/* --- at every point --------------------------------------------------------
 */

/* Most of it is waiting, so a sample is one row of each kind. */
static bool is_sample(struct link_test *test, enum kind kind, unsigned number)
{
    static unsigned chosen[KINDS];
    static const unsigned rows[KINDS] = {[MOMENT] = 3, [LONG] = 4, [RESET] = 3};
    if (test->sweep->full)
        return true;
    if (!chosen[kind])
        chosen[kind] = 1 + sweep_choose(test->sweep, rows[kind]);
    return number == chosen[kind];
}

static void at_each_point(void **state, enum kind kind, unsigned number,
                          const char *row, const struct operation *operation)
{
    static void (*const interrupt[KINDS])(struct link_test *,
                                          const struct operation *, unsigned,
                                          enum network_cut) = {
        [MOMENT] = cut_for_a_moment, [LONG] = cut_for_long, [RESET] = reset_at};
    struct link_test *test = *state;
    unsigned next = 0, at;
    if (why_not)
        skip_all();
    if (!is_sample(test, kind, number))
        return;
    network_heal(test->network);
    sweep_begin(test->sweep, row);
    unsigned count = sweep_count(test->sweep, operation);
    while ((at = sweep_next(test->sweep, count, SAMPLE, &next))) {
        if (lanes_take(at) || !test->sweep->full)
            interrupt[kind](test, operation, at, at % 3);
        else
            test->sweep->tally->points--;
    }
    sweep_end(test->sweep);
}

static void moment_in_apply(void **state)
{
    at_each_point(state, MOMENT, 1, "network gone for a moment in apply",
                  &sweep_apply);
}

static void moment_in_rollback(void **state)
{
    at_each_point(state, MOMENT, 2, "network gone for a moment in rollback",
                  &sweep_rollback);
}

static void moment_in_failing_apply(void **state)
{
    at_each_point(state, MOMENT, 3,
                  "network gone for a moment in failing apply", &sweep_failing);
}

static void cut_in_apply(void **state)
{
    at_each_point(state, LONG, 1, "network cut in apply", &sweep_apply);
}

static void cut_in_rollback(void **state)
{
    at_each_point(state, LONG, 2, "network cut in rollback", &sweep_rollback);
}

static void cut_in_failing_apply(void **state)
{
    at_each_point(state, LONG, 3, "network cut in failing apply",
                  &sweep_failing);
}

static void reset_in_apply(void **state)
{
    at_each_point(state, RESET, 1, "link reset in apply", &sweep_apply);
}

static void reset_in_rollback(void **state)
{
    at_each_point(state, RESET, 2, "link reset in rollback", &sweep_rollback);
}

static void reset_in_failing_apply(void **state)
{
    at_each_point(state, RESET, 3, "link reset in failing apply",
                  &sweep_failing);
}

/* --- the agent alone -------------------------------------------------------
 */

/* Whether the new code runs at this point of an apply. */
static bool runs_new(struct sweep *sweep, unsigned at)
{
    sweep_bring_to(sweep, "0.1.0");
    struct harness_job *job = hold_at(sweep, &sweep_apply, at);
    bool new_code =
        strcmp(beam_node_eval(sweep->node, "counter_text:version()"),
               "\"0.2.0\"") == 0;
    struct harness_run run = hold_release(sweep, job);
    assert_status(run, 0);
    return new_code;
}

/* The first point behind the switch. */
static unsigned find_switch(struct sweep *sweep, unsigned count)
{
    unsigned low = 1, high = count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (runs_new(sweep, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* It was not told to keep the new code, and hears nothing any more. */
static void the_agent_undoes_by_itself(void **state)
{
    struct link_test *test = *state;
    if (why_not)
        skip_all();
    struct sweep *sweep = test->sweep;
    if (!is_sample(test, LONG, 4) || !lanes_take(1))
        return;
    struct operation own = limited(&sweep_apply, SHORT_WAIT);
    network_heal(test->network);
    sweep_begin(sweep, "network cut behind the switch");
    unsigned at = find_switch(sweep, sweep_count(sweep, &own));
    sweep_bring_to(sweep, "0.1.0");
    unsigned last = claim_last(sweep);
    struct harness_job *job = hold_at(sweep, &own, at);
    assert_eval(sweep->node, "counter_text:version()", "\"0.2.0\"");
    network_cut(test->network, NETWORK_BOTH);
    struct harness_run run = hold_release(sweep, job);
    assert_status(run, 10);
    claim_check(sweep, &sweep_apply, last, run, END_MS, "the network was cut");
    beam_node_wait_for(sweep->node, "counter_text:version()", "\"0.1.0\"",
                       NODE_MS);
    network_heal(test->network);
    sweep->tally->points++;
    sweep_verify(sweep, "the network was cut behind the switch");
    assert_string_equal(claim_state(sweep, last + 1), "rolled_back");
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moment_in_apply),
        cmocka_unit_test(moment_in_rollback),
        cmocka_unit_test(moment_in_failing_apply),
        cmocka_unit_test(cut_in_apply),
        cmocka_unit_test(cut_in_rollback),
        cmocka_unit_test(cut_in_failing_apply),
        cmocka_unit_test(the_agent_undoes_by_itself),
        cmocka_unit_test(reset_in_apply),
        cmocka_unit_test(reset_in_rollback),
        cmocka_unit_test(reset_in_failing_apply),
    };
    int status = lanes_run(LANES);
    if (status >= 0)
        return status;
    if (network_enter(&why_not))
        why_not = NULL;
    return tally_report(cmocka_run_group_tests(tests, setup, teardown));
}
