/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd is killed at each of its points, in the operation, in the recovery that
 * follows, and in the recovery of that.
 */
#include "sweep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Of a sample: kills of the operation. */
#define SAMPLE_FIRST 6u
#define SAMPLE_TRIAL 2u

/* Brings it to where nzd was killed at this point. */
static void kill_at(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    sweep_prepare(sweep, operation);
    struct harness_run killed = sweep_run(sweep, operation, at, NULL);
    assert_status(killed, 128 + SIGKILL);
}

/* Kills the recovery at a point, and the recovery of that at another. One
 * that came to its end before was overtaken by the agent's own. */
static void kill_recoveries(struct sweep *sweep, unsigned first)
{
    if (sweep_run(sweep, &sweep_recover, first, NULL).status != 0)
        sweep_run(sweep, &sweep_recover, 1 + sweep_choose(sweep, first), NULL);
}

/* All points of the recovery, or one of them. */
static void kill_in_recovery(struct sweep *sweep,
                             const struct operation *operation, unsigned at)
{
    const char *point = sweep_point(sweep, at);
    kill_at(sweep, operation, at);
    unsigned count = sweep_count_here(sweep, &sweep_recover);
    unsigned step = sweep->full || !count ? 1 : count;
    sweep_check(sweep, "nzd killed at point %u of %s, %s", at, operation->name,
                point);
    for (unsigned i = 0; i < count; i += step) {
        unsigned first = sweep->full ? i + 1 : 1 + sweep_choose(sweep, count);
        kill_at(sweep, operation, at);
        kill_recoveries(sweep, first);
        sweep->tally->points++;
        sweep_check(sweep,
                    "nzd killed at point %u of %s, %s; its recovery at %u", at,
                    operation->name, point, first);
    }
}

static void kill_and_recover(struct sweep *sweep,
                             const struct operation *operation, unsigned at)
{
    kill_at(sweep, operation, at);
    sweep_verify(sweep, "nzd killed at point %u of %s, %s", at, operation->name,
                 sweep_point(sweep, at));
    kill_in_recovery(sweep, operation, at);
}

static void sweep_kills(struct sweep *sweep, const char *row,
                        const struct operation *operation, unsigned sample)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, sample, &next)))
        kill_and_recover(sweep, operation, at);
    sweep_end(sweep);
}

static void nzd_killed_in_apply(void **state)
{
    sweep_kills(*state, "nzd killed in apply", &sweep_apply, SAMPLE_FIRST);
}

static void nzd_killed_in_rollback(void **state)
{
    sweep_kills(*state, "nzd killed in rollback", &sweep_rollback,
                SAMPLE_FIRST);
}

static void nzd_killed_in_failing_apply(void **state)
{
    sweep_kills(*state, "nzd killed in failing apply", &sweep_failing,
                SAMPLE_FIRST);
}

static void nzd_killed_in_trial(void **state)
{
    sweep_kills(*state, "nzd killed in apply on trial", &sweep_trial,
                SAMPLE_TRIAL);
    sweep_kills(*state, "nzd killed in confirm", &sweep_confirm, SAMPLE_TRIAL);
    sweep_kills(*state, "nzd killed in rollback of a trial", &sweep_ended,
                SAMPLE_TRIAL);
}

static int setup_interactive(void **state)
{
    const struct beam_node_options options = {.interactive = true};
    *state = sweep_open(&options);
    return 0;
}

/* There the overlay is laid out, too. */
static void nzd_killed_interactive(void **state)
{
    sweep_kills(*state, "nzd killed in apply, interactive node", &sweep_apply,
                SAMPLE_FIRST);
}

/* As if nothing had ever been applied to the node. */
static void forget_journal(struct sweep *sweep)
{
    sweep_bring_to(sweep, sweep_apply.before);
    harness_remove(sweep->harness, harness_journal(sweep->harness));
    assert_eval(sweep->node, "begin persistent_term:erase({nzd,owner}), ok end",
                "ok");
}

/* Which makes the journal. */
static void nzd_killed_in_first_apply(void **state)
{
    struct sweep *sweep = *state;
    unsigned count, next = 0, at;
    sweep_begin(sweep, "nzd killed in the first apply");
    forget_journal(sweep);
    count = sweep_count_here(sweep, &sweep_apply);
    while ((at = sweep_next(sweep, count, SAMPLE_FIRST, &next))) {
        forget_journal(sweep);
        struct harness_run killed = sweep_run(sweep, &sweep_apply, at, NULL);
        assert_status(killed, 128 + SIGKILL);
        sweep_verify(sweep, "nzd killed at point %u of the first apply", at);
    }
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nzd_killed_in_apply, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_rollback, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_failing_apply,
                                        sweep_setup, sweep_teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_trial, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_interactive,
                                        setup_interactive, sweep_teardown),
        cmocka_unit_test_setup_teardown(nzd_killed_in_first_apply, sweep_setup,
                                        sweep_teardown),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
