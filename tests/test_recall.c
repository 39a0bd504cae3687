/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd is lost after the agent was told to keep the new code: the agent has
 * `nzd recover` run, and nobody has to come by.
 */
#include "sweep.h"

#include "answer.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 20000

/* The committing move of an apply: what the agent keeps, it keeps there. */
static unsigned last_commit(struct sweep *sweep)
{
    unsigned count = sweep_count(sweep, &sweep_apply), at = count;
    while (at && strcmp(sweep_point(sweep, at),
                        "before a commit of the journal") != 0)
        at--;
    assert_int_not_equal(at, 0);
    return at;
}

static const char *state_of_newest(struct sweep *sweep)
{
    json_t *txns = answer_txns(sweep->harness, sweep->node);
    return answer_text(json_array_get(txns, 0), "state");
}

static void wait_for_state(struct sweep *sweep, const char *state)
{
    double until = process_now_ms() + LIMIT_MS;
    const char *found;
    while (strcmp(found = state_of_newest(sweep), state) != 0) {
        if (process_now_ms() > until)
            harness_fail("the journal says %s, not %s", found, state);
        process_sleep_ms(20);
    }
}

static void undone_without_anybody(void **state)
{
    struct sweep *sweep = *state;
    sweep_begin(sweep, "recalled before the commit");
    sweep->tally->points++;
    unsigned at = last_commit(sweep);
    sweep_bring_to(sweep, "0.1.0");
    struct harness_run killed = sweep_run(sweep, &sweep_apply, at, NULL);
    assert_status(killed, 128 + SIGKILL);
    wait_for_state(sweep, "rolled_back");
    assert_eval(sweep->node, "counter_text:version()", "\"0.1.0\"");
    sweep_verify(sweep, "nzd was killed before the commit");
    sweep_end(sweep);
}

static void told_done_without_anybody(void **state)
{
    struct sweep *sweep = *state;
    sweep_begin(sweep, "recalled after the commit");
    sweep->tally->points++;
    unsigned at = last_commit(sweep);
    sweep_bring_to(sweep, "0.1.0");
    struct harness_run killed = sweep_run(sweep, &sweep_apply, at + 1, NULL);
    assert_status(killed, 128 + SIGKILL);
    wait_for_state(sweep, "committed");
    /* Done: the old code goes, and what was removed. */
    beam_node_wait_for(sweep->node,
                       "{erlang:module_loaded(counter_legacy), "
                       "erlang:check_old_code(counter_text)}",
                       "{false,false}", LIMIT_MS);
    sweep_verify(sweep, "nzd was killed after the commit");
    sweep_end(sweep);
}

/* The program is gone when it is needed: a hook takes it away meanwhile. */
static void waits_where_it_cannot(void **state)
{
    struct sweep *sweep = *state;
    struct harness *harness = sweep->harness;
    const char *real = sweep->nzd, *copy = harness_path(harness, "nzd.copy");
    sweep_begin(sweep, "waited for, the program is gone");
    sweep->tally->points++;
    harness_write_file(
        sweep->config,
        harness_text(harness,
                     "hook \"away\" {\n  phase = pre\n"
                     "  command = {\"/bin/rm\", \"-f\", \"%s\"}\n}\n",
                     copy));
    unsigned at = last_commit(sweep);
    sweep_bring_to(sweep, "0.1.0");
    harness_copy(harness, real, copy);
    sweep->nzd = copy;
    struct harness_run killed = sweep_run(sweep, &sweep_apply, at, NULL);
    sweep->nzd = real;
    assert_status(killed, 128 + SIGKILL);
    process_sleep_ms(500);
    assert_string_equal(state_of_newest(sweep), "armed");
    /* It still keeps what it was told to keep. */
    assert_eval(sweep->node, "counter_text:version()", "\"0.2.0\"");
    sweep_verify(sweep, "nzd was killed and its program taken away");
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(undone_without_anybody, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(told_done_without_anybody, sweep_setup,
                                        sweep_teardown),
        cmocka_unit_test_setup_teardown(waits_where_it_cannot, sweep_setup,
                                        sweep_teardown),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
