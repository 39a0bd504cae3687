/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What of nzd runs in the node is killed at each point: the agent, its guard,
 * both in either order. nzd, or whoever comes next, has the old code back or
 * the new one kept, as the journal says.
 */
#include "hold.h"
#include "lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE 2u
#define LANES  6u
/* The node is waited for ten seconds. */
#define LIMIT_MS 30000

/* Who dies, and in which order. */
struct victims {
    const char *name;
    const char *expression;
};

#define GUARD                                                                  \
    "[exit(P, kill) || P <- processes(), {current_function, {_, guard_loop, "  \
    "_}} <- [process_info(P, current_function)]]"
#define AGENT "[exit(P, kill) || P <- [whereis(nzd)], is_pid(P)]"
/* So that the guard cannot start another one meanwhile. */
#define AT_ONCE(first, second)                                                 \
    "begin process_flag(priority, max), " first ", " second ", ok end"

static const struct victims all_victims[] = {
    {"agent killed", AGENT},
    {"guard killed", GUARD},
    {"guard and agent killed", AT_ONCE(GUARD, AGENT)},
    {"agent and guard killed", AT_ONCE(AGENT, GUARD)},
};
#define VICTIMS (sizeof all_victims / sizeof all_victims[0])

static void kill_agent(struct sweep *sweep, const struct operation *operation,
                       unsigned at, const struct victims *victims)
{
    sweep_prepare(sweep, operation);
    const char *after =
        harness_text(sweep->harness, "%s at point %u of %s, %s", victims->name,
                     at, operation->name, sweep_point(sweep, at));
    unsigned last = claim_before(sweep, operation);
    struct harness_job *job = hold_at(sweep, operation, at);
    beam_node_eval(sweep->node, "%s", victims->expression);
    struct harness_run run = hold_release(sweep, job);
    claim_check(sweep, operation, last, run, LIMIT_MS, after);
    sweep_verify(sweep, "%s", after);
}

static void sweep_agent(struct sweep *sweep, const char *row,
                        const struct operation *operation)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        if (!lanes_take(at)) {
            sweep->tally->points--;
            continue;
        }
        size_t first = sweep_choose(sweep, VICTIMS);
        size_t how_many = sweep->full ? VICTIMS : 1;
        for (size_t i = 0; i < how_many; i++)
            kill_agent(sweep, operation, at,
                       &all_victims[(first + i) % VICTIMS]);
    }
    sweep_end(sweep);
}

static void agent_killed_in_apply(void **state)
{
    sweep_agent(*state, "agent killed in apply", &quick_apply);
}

static void agent_killed_in_rollback(void **state)
{
    sweep_agent(*state, "agent killed in rollback", &quick_rollback);
}

static void agent_killed_in_failing_apply(void **state)
{
    sweep_agent(*state, "agent killed in failing apply", &quick_failing);
}

static void agent_killed_in_trial(void **state)
{
    if (sweep_takes(*state, 0, 2))
        sweep_agent(*state, "agent killed in apply on trial", &quick_trial);
    if (sweep_takes(*state, 1, 2))
        sweep_agent(*state, "agent killed in confirm", &quick_confirm);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(agent_killed_in_apply),
        real(agent_killed_in_rollback),
        real(agent_killed_in_failing_apply),
        real(agent_killed_in_trial),
    };
    int status = lanes_run(LANES);
    if (status >= 0)
        return status;
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
