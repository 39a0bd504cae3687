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

/* Of a sample: kills of the operation, and of each recovery after one. */
#define SAMPLE_FIRST 6u
#define SAMPLE_DEPTH 1u
#define DEPTH_MAX    3u

/* Kills a recovery at one of its points, and the recovery of that. */
static void kill_recoveries(struct sweep *sweep, unsigned depth)
{
    unsigned at = 1 + sweep_choose(sweep, 30);
    for (; depth; depth--) {
        struct harness_run killed = sweep_run(sweep, &sweep_recover, at, NULL);
        if (killed.status != 128 + SIGKILL)
            return; /* it came to its end before that point */
        at = 1 + sweep_choose(sweep, at);
    }
}

static void kill_at(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    sweep_bring_to(sweep, operation->before);
    struct harness_run killed = sweep_run(sweep, operation, at, NULL);
    assert_status(killed, 128 + SIGKILL);
    kill_recoveries(sweep, sweep->full ? DEPTH_MAX - 1 : SAMPLE_DEPTH);
    sweep_verify(sweep, "nzd killed at point %u of %s, %s", at, operation->name,
                 sweep_point(sweep, at));
}

static void sweep_kills(struct sweep *sweep, const char *row,
                        const struct operation *operation)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE_FIRST, &next)))
        kill_at(sweep, operation, at);
    sweep_end(sweep);
}

static void nzd_killed_in_apply(void **state)
{
    sweep_kills(*state, "nzd killed in apply", &sweep_apply);
}

static void nzd_killed_in_rollback(void **state)
{
    sweep_kills(*state, "nzd killed in rollback", &sweep_rollback);
}

static void nzd_killed_in_failing_apply(void **state)
{
    sweep_kills(*state, "nzd killed in failing apply", &sweep_failing);
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
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
