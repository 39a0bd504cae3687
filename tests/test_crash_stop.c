/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The VM is stopped at each point of nzd. Continued while nzd waits, it is as
 * if nothing had been; left stopped, nzd comes to a true end, and what it had
 * sent is read by the agent long after that.
 */
#include "hold.h"
#include "lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE 1u
#define LANES  6u
/* The node is waited for ten seconds. */
#define LIMIT_MS  40000
#define PAUSED_MS 300

static void stop_vm(struct sweep *sweep, const struct operation *operation,
                    unsigned at, bool continued)
{
    sweep_prepare(sweep, operation);
    const char *after =
        harness_text(sweep->harness, "VM stopped%s at point %u of %s, %s",
                     continued ? " and continued" : "", at, operation->name,
                     sweep_point(sweep, at));
    unsigned last = claim_before(sweep, operation);
    struct harness_job *job = hold_at(sweep, operation, at);
    beam_node_freeze(sweep->node);
    hold_continue(job);
    if (continued) {
        process_sleep_ms(PAUSED_MS);
        beam_node_thaw(sweep->node);
    }
    struct harness_run run = harness_end(sweep->harness, job, 2 * LIMIT_MS);
    beam_node_thaw(sweep->node);
    claim_check(sweep, operation, last, run, LIMIT_MS, after);
    if (continued)
        assert_status(run, operation->status);
    sweep_verify(sweep, "%s", after);
}

static void sweep_stops(struct sweep *sweep, const char *row,
                        const struct operation *operation, bool continued)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        if (lanes_take(at))
            stop_vm(sweep, operation, at, continued);
        else
            sweep->tally->points--;
    }
    sweep_end(sweep);
}

static void vm_continued_in_apply(void **state)
{
    sweep_stops(*state, "VM stopped and continued in apply", &sweep_apply,
                true);
}

static void vm_continued_in_rollback(void **state)
{
    sweep_stops(*state, "VM stopped and continued in rollback", &sweep_rollback,
                true);
}

static void vm_continued_in_failing_apply(void **state)
{
    sweep_stops(*state, "VM stopped and continued in failing apply",
                &sweep_failing, true);
}

static void vm_stopped_in_apply(void **state)
{
    sweep_stops(*state, "VM stopped in apply", &quick_apply, false);
}

static void vm_stopped_in_rollback(void **state)
{
    sweep_stops(*state, "VM stopped in rollback", &quick_rollback, false);
}

static void vm_stopped_in_failing_apply(void **state)
{
    sweep_stops(*state, "VM stopped in failing apply", &quick_failing, false);
}

static void vm_continued_in_trial(void **state)
{
    if (sweep_takes(*state, 0, 2))
        sweep_stops(*state, "VM stopped and continued in apply on trial",
                    &sweep_trial, true);
    if (sweep_takes(*state, 1, 2))
        sweep_stops(*state, "VM stopped and continued in confirm",
                    &sweep_confirm, true);
}

static void vm_stopped_in_trial(void **state)
{
    if (sweep_takes(*state, 0, 2))
        sweep_stops(*state, "VM stopped in apply on trial", &quick_trial,
                    false);
    if (sweep_takes(*state, 1, 2))
        sweep_stops(*state, "VM stopped in confirm", &quick_confirm, false);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(vm_continued_in_apply),         real(vm_continued_in_rollback),
        real(vm_continued_in_failing_apply), real(vm_stopped_in_apply),
        real(vm_stopped_in_rollback),        real(vm_stopped_in_failing_apply),
        real(vm_continued_in_trial),         real(vm_stopped_in_trial),
    };
    int status = lanes_run(LANES);
    if (status >= 0)
        return status;
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
