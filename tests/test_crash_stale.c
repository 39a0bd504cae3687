/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an earlier nzd sent arrives late: every request of committed, rolled
 * back, recovered and killed transactions is sent to the agent again at each
 * point of the next one. Nothing changes by it.
 */
#include "hold.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE   2u
#define LIMIT_MS 20000

static const char *state_of(struct sweep *sweep)
{
    return beam_node_eval(sweep->node, "{nzd_text, io_lib:format(\"~0p\", "
                                       "[nzd_test_stale:state()])}");
}

/* The agent has nothing open that it would change by itself meanwhile. */
static void replay(struct sweep *sweep, const char *after)
{
    const char *before = state_of(sweep);
    if (strcmp(before, "none") == 0)
        return;
    beam_node_eval(sweep->node, "nzd_test_stale:replay()");
    /* What a dead nzd would have begun ends when its link is missed. */
    process_sleep_ms(20);
    const char *now = state_of(sweep);
    if (strcmp(before, now) != 0)
        harness_fail("after %s, late messages changed\n%s\ninto\n%s", after,
                     before, now);
}

static const char *script_without_agent(void)
{
    return "[exit(P, kill) || P <- processes(), {current_function, {_, "
           "guard_loop, _}} <- [process_info(P, current_function)]], "
           "[exit(P, kill) || P <- [whereis(nzd)], is_pid(P)]";
}

static void run_killed(struct sweep *sweep, const struct operation *operation,
                       unsigned count, unsigned from_end)
{
    sweep_prepare(sweep, operation);
    sweep_run(sweep, operation, count - from_end, NULL);
}

static void must_end(struct sweep *sweep, const struct operation *operation)
{
    struct harness_run run = sweep_run(sweep, operation, 0, NULL);
    assert_status(run, operation->status);
}

static void begin_recording(struct sweep *sweep)
{
    const char *beam = getenv("NZD_TEST_BEAM");
    beam_node_eval(sweep->node, "nzd_test_ctl:load(\"%s/nzd_test_stale\")",
                   beam ? beam : "build/tests/beam");
    beam_node_eval(sweep->node, "nzd_test_stale:record()");
}

/* Every kind of request there is. */
static void record(struct sweep *sweep)
{
    begin_recording(sweep);
    sweep_bring_to(sweep, sweep_failing.before);
    must_end(sweep, &sweep_failing);
    must_end(sweep, &sweep_rollback);
    sweep_prepare(sweep, &sweep_ended);
    must_end(sweep, &sweep_ended);
    sweep_prepare(sweep, &sweep_confirm);
    must_end(sweep, &sweep_confirm);
    unsigned count = sweep_count(sweep, &sweep_apply);
    for (unsigned i = 0; i < 16; i += 5) {
        run_killed(sweep, &sweep_apply, count, i);
        if (i % 2)
            beam_node_eval(sweep->node, "%s", script_without_agent());
        sweep_check(sweep, "nzd killed in apply");
    }
    beam_node_eval(sweep->node, "nzd_test_stale:stop()");
    const char *tags = beam_node_eval(sweep->node, "nzd_test_stale:tags()");
    static const char *const wanted[] = {
        "open", "old,",   "new",   "sets",        "switch",   "validate",
        "keep", "done",   "undo",  "resume_undo", "takeover", "allow_kill",
        "call", "forget", "trial", "begun",       "confirm"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_contains(tags, wanted[i]);
}

static void late_at(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    const char *after =
        harness_text(sweep->harness, "late messages at point %u of %s, %s", at,
                     operation->name, sweep_point(sweep, at));
    sweep_prepare(sweep, operation);
    replay(sweep, "an apply");
    unsigned last = claim_before(sweep, operation);
    struct harness_job *job = hold_at(sweep, operation, at);
    replay(sweep, after);
    struct harness_run run = hold_release(sweep, job);
    claim_check(sweep, operation, last, run, LIMIT_MS, after);
    assert_status(run, operation->status);
    replay(sweep, after);
    sweep_verify(sweep, "%s", after);
}

static void sweep_late(struct sweep *sweep, const char *row,
                       const struct operation *operation)
{
    sweep_begin(sweep, row);
    record(sweep);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next)))
        late_at(sweep, operation, at);
    sweep_end(sweep);
}

static void late_in_apply(void **state)
{
    sweep_late(*state, "late messages in apply", &sweep_apply);
}

static void late_in_rollback(void **state)
{
    sweep_late(*state, "late messages in rollback", &sweep_rollback);
}

static void late_in_failing_apply(void **state)
{
    sweep_late(*state, "late messages in failing apply", &sweep_failing);
}

static void late_in_trial(void **state)
{
    if (sweep_takes(*state, 0, 2))
        sweep_late(*state, "late messages in apply on trial", &sweep_trial);
    if (sweep_takes(*state, 1, 2))
        sweep_late(*state, "late messages in confirm", &sweep_confirm);
}

/* The agent's own code, pushed by several at once or late. */
static void late_pushes(void **state)
{
    struct sweep *sweep = *state;
    sweep_begin(sweep, "late pushes of the agent");
    begin_recording(sweep);
    sweep_bring_to(sweep, "0.2.0");
    beam_node_eval(sweep->node, "nzd_test_stale:stop()");
    const char *before = beam_node_eval(sweep->node, "whereis(nzd)");
    for (unsigned i = 1; i <= 4; i++) {
        assert_eval(sweep->node, "nzd_test_stale:push(1)", "1");
        assert_eval(sweep->node, "whereis(nzd)", before);
        sweep_bring_to(sweep, i % 2 ? "0.1.0" : "0.2.0");
        sweep->tally->runs++;
    }
    assert_eval(sweep->node, "whereis(nzd)", before);
    sweep->tally->points++;
    sweep_end(sweep);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(late_in_apply),         real(late_in_rollback),
        real(late_in_failing_apply), real(late_in_trial),
        real(late_pushes),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
