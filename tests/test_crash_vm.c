/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The VM is killed, restarted or not, at each point of nzd, which goes on or
 * is killed with it. What nzd then says by its exit status is true, and
 * whoever comes next settles the rest.
 */
#include "hold.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE 2u
/* A VM of this host that is gone is proven gone at once. */
#define LIMIT_MS 5000

/* What becomes of the VM before the next nzd comes. */
enum fate { STARTED_AGAIN, AWAY };

static const char *story_of(struct sweep *sweep,
                            const struct operation *operation, unsigned at,
                            const char *what)
{
    return harness_text(sweep->harness, "%s at point %u of %s, %s", what, at,
                        operation->name, sweep_point(sweep, at));
}

/* The very process is gone: that settles it without a node. */
static void settle_without(struct sweep *sweep, unsigned last,
                           const char *after)
{
    struct harness_run run = sweep_run(sweep, &sweep_recover, 0, NULL);
    const char *state = claim_state(sweep, last + 1);
    if (run.status != 0 || run.ms > LIMIT_MS || strcmp(state, "armed") == 0 ||
        strcmp(state, "undoing") == 0 || strcmp(state, "trial") == 0)
        harness_fail("after %s, recover without the node: %d, %s\n%s%s", after,
                     run.status, state, run.out, run.err);
    run = harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL);
    assert_status(run, 0);
}

static void kill_vm(struct sweep *sweep, const struct operation *operation,
                    unsigned at, bool both, enum fate fate)
{
    const char *after = story_of(sweep, operation, at,
                                 both ? "VM and nzd killed" : "VM killed");
    sweep_prepare(sweep, operation);
    unsigned last = claim_before(sweep, operation);
    struct harness_run run =
        sweep_run(sweep, operation, at,
                  harness_text(sweep->harness, "signal %d %d%s",
                               (int)beam_node_pid(sweep->node), SIGKILL,
                               both ? ";kill" : ""));
    assert_true(beam_node_wait_end(sweep->node, LIMIT_MS));
    if (both)
        assert_status(run, 128 + SIGKILL);
    else
        claim_check(sweep, operation, last, run, LIMIT_MS, after);
    if (fate == AWAY)
        settle_without(sweep, last, after);
    beam_node_start_again(sweep->node);
    sweep_verify_restarted(sweep, "%s, %s", after,
                           fate == AWAY ? "recovered without it" : "restarted");
}

static void sweep_vm(struct sweep *sweep, const char *row,
                     const struct operation *operation, bool both)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        if (sweep->full || next % 2)
            kill_vm(sweep, operation, at, both, STARTED_AGAIN);
        if (sweep->full || next % 2 == 0)
            kill_vm(sweep, operation, at, both, AWAY);
    }
    sweep_end(sweep);
}

static void vm_killed_in_apply(void **state)
{
    sweep_vm(*state, "VM killed in apply", &sweep_apply, false);
}

static void vm_killed_in_rollback(void **state)
{
    sweep_vm(*state, "VM killed in rollback", &sweep_rollback, false);
}

static void vm_killed_in_failing_apply(void **state)
{
    sweep_vm(*state, "VM killed in failing apply", &sweep_failing, false);
}

static void both_killed_in_apply(void **state)
{
    sweep_vm(*state, "VM and nzd killed in apply", &sweep_apply, true);
}

static void both_killed_in_rollback(void **state)
{
    sweep_vm(*state, "VM and nzd killed in rollback", &sweep_rollback, true);
}

static void both_killed_in_failing_apply(void **state)
{
    sweep_vm(*state, "VM and nzd killed in failing apply", &sweep_failing,
             true);
}

/* --- restarted in place --- */

/* What a VM that is restarted in place boots was set behind the last commit:
 * the generation in force, or the one before; that is drift, and a rollback
 * to what is in force puts it right. */
static void verify_booted(struct sweep *sweep, const char *after)
{
    struct harness_run run = sweep_run(sweep, &sweep_recover, 0, NULL);
    assert_status(run, 0);
    const char *runs =
        harness_text(sweep->harness, "\"%s\"", sweep_in_force(sweep));
    if (strcmp(beam_node_eval(sweep->node, "counter_text:version()"), runs) !=
        0) {
        run =
            harness_nzd(sweep->harness, sweep->node, "status", "--check", NULL);
        assert_status(run, 10);
        run = harness_nzd(
            sweep->harness, sweep->node, "rollback", "--to",
            harness_text(sweep->harness, "%u", sweep_generation(sweep)), NULL);
        assert_status(run, 0);
        assert_eval(sweep->node, "counter_text:version()", runs);
        beam_node_stop(sweep->node);
        beam_node_start_again(sweep->node);
        sweep_verify_restarted(sweep, "%s", after);
        return;
    }
    sweep_verify(sweep, "%s", after);
}

/* init:restart/0: the same process of the system, but nothing of what was in
 * its memory. Every second time nzd meets it while it is still starting. */
static void restart_vm(struct sweep *sweep, const struct operation *operation,
                       unsigned at, bool wait)
{
    const char *after = story_of(sweep, operation, at, "VM restarted in place");
    sweep_prepare(sweep, operation);
    unsigned last = claim_before(sweep, operation);
    pid_t pid = beam_node_pid(sweep->node);
    struct harness_job *job = hold_at(sweep, operation, at);
    beam_node_eval(sweep->node, "init:restart()");
    if (wait)
        beam_node_wait_restart(sweep->node, 20000);
    struct harness_run run = hold_release(sweep, job);
    if (!wait)
        beam_node_wait_restart(sweep->node, 20000);
    assert_int_equal(beam_node_pid(sweep->node), pid);
    claim_check(sweep, operation, last, run, 3 * LIMIT_MS, after);
    verify_booted(sweep, after);
}

static void sweep_restarts(struct sweep *sweep, const char *row,
                           const struct operation *operation)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next)))
        restart_vm(sweep, operation, at, (sweep_choose(sweep, 2) + at) % 2);
    sweep_end(sweep);
}

static void vm_restarted_in_apply(void **state)
{
    sweep_restarts(*state, "VM restarted in place in apply", &sweep_apply);
}

static void vm_restarted_in_rollback(void **state)
{
    sweep_restarts(*state, "VM restarted in place in rollback",
                   &sweep_rollback);
}

static void vm_restarted_in_failing_apply(void **state)
{
    sweep_restarts(*state, "VM restarted in place in failing apply",
                   &sweep_failing);
}

static void vm_lost_in_trial(void **state)
{
    struct sweep *sweep = *state;
    if (sweep_takes(sweep, 0, 3))
        sweep_vm(sweep, "VM killed in apply on trial", &sweep_trial, false);
    if (sweep_takes(sweep, 1, 3))
        sweep_vm(sweep, "VM and nzd killed in apply on trial", &sweep_trial,
                 true);
    if (sweep_takes(sweep, 2, 3))
        sweep_restarts(sweep, "VM restarted in place in apply on trial",
                       &sweep_trial);
}

static void vm_lost_in_confirm(void **state)
{
    struct sweep *sweep = *state;
    if (sweep_takes(sweep, 0, 3))
        sweep_vm(sweep, "VM killed in confirm", &sweep_confirm, false);
    if (sweep_takes(sweep, 1, 3))
        sweep_vm(sweep, "VM and nzd killed in confirm", &sweep_confirm, true);
    if (sweep_takes(sweep, 2, 3))
        sweep_restarts(sweep, "VM restarted in place in confirm",
                       &sweep_confirm);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(vm_killed_in_apply),
        real(vm_killed_in_rollback),
        real(vm_killed_in_failing_apply),
        real(both_killed_in_apply),
        real(both_killed_in_rollback),
        real(both_killed_in_failing_apply),
        real(vm_restarted_in_apply),
        real(vm_restarted_in_rollback),
        real(vm_restarted_in_failing_apply),
        real(vm_lost_in_trial),
        real(vm_lost_in_confirm),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
