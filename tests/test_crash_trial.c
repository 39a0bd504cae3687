/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A trial that nobody confirms, or only just: its keeper is killed at each of
 * its points, nzd while it settles what the agent has ended, and a confirmation
 * meets the deadline. Of both ends there is one, and everybody tells the same.
 */
#include "hold.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE   3u
#define LIMIT_MS 20000
/* Confirmations, in full, from so long before the deadline to so long behind
 * it; a sample takes a few of them. */
#define RACES     60u
#define BEFORE_MS 80
#define BEHIND_MS 40

static const struct operation short_trial = {
    "apply on trial", "0.1.0", {"apply", "--confirm=1s"}, "0.2.0", 0};

static void wait_for_state(struct sweep *sweep, unsigned id, const char *state,
                           const char *after)
{
    double until = process_now_ms() + LIMIT_MS;
    const char *found;
    while (strcmp(found = claim_state(sweep, id), state) != 0) {
        if (process_now_ms() > until)
            harness_fail("after %s, transaction %u is %s, not %s", after, id,
                         found, state);
        process_sleep_ms(20);
    }
}

/* --- the keeper ---------------------------------------------------------- */

/* With the keeper at its point `at`; 0: its points are logged. */
static unsigned try_with_keeper(struct sweep *sweep, unsigned at,
                                const char *log)
{
    struct harness *harness = sweep->harness;
    const char *environment[] = {
        "NZD_POINT_ROLE=keeper", harness_text(harness, "NZD_POINT_AT=%u", at),
        harness_text(harness, "NZD_POINT_LOG=%s", log), NULL};
    sweep_prepare(sweep, &short_trial);
    struct harness_run begun =
        harness_run(harness, sweep_argv(sweep, &short_trial), environment);
    assert_status(begun, 0);
    return claim_last(sweep);
}

static unsigned count_of_keeper(struct sweep *sweep, const char *log)
{
    unsigned count = 0;
    wait_for_state(sweep, try_with_keeper(sweep, 0, log), "rolled_back",
                   "a trial");
    sweep_check(sweep, "a trial that nobody confirmed");
    for (const char *text = harness_read_file(sweep->harness, log); *text;
         text++)
        count += *text == '\n';
    if (count < 4)
        harness_fail("a keeper passed only %u points", count);
    return count;
}

/* The agent has nzd run, and nobody has to come by. */
static void keeper_killed(void **state)
{
    struct sweep *sweep = *state;
    const char *log = harness_path(sweep->harness, "keeper.points");
    unsigned next = 0, at;
    sweep_begin(sweep, "keeper of a trial killed");
    unsigned count = count_of_keeper(sweep, log);
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        const char *after = harness_text(
            sweep->harness, "the keeper was killed at its point %u", at);
        unsigned id = try_with_keeper(sweep, at, log);
        wait_for_state(sweep, id, "rolled_back", after);
        sweep_verify(sweep, "%s", after);
    }
    sweep_end(sweep);
}

/* --- what the agent has ended -------------------------------------------- */

/* Neither a keeper is left nor a program that the agent could run. */
static void let_expire(struct sweep *sweep)
{
    struct harness *harness = sweep->harness;
    const char *real = sweep->nzd, *copy = harness_path(harness, "nzd.copy");
    sweep_prepare(sweep, &short_trial);
    harness_copy(harness, real, copy);
    sweep->nzd = copy;
    struct harness_run begun = sweep_run(sweep, &short_trial, 0, NULL);
    sweep->nzd = real;
    harness_remove(harness, copy);
    assert_status(begun, 0);
    pid_t keeper = process_with_words("--attend", harness_journal(harness));
    assert_true(keeper > 1);
    kill(keeper, SIGKILL);
    beam_node_wait_for(sweep->node, "counter_text:version()", "\"0.1.0\"",
                       LIMIT_MS);
    assert_string_equal(claim_state(sweep, claim_last(sweep)), "trial");
}

static void nzd_killed_behind_the_deadline(void **state)
{
    struct sweep *sweep = *state;
    unsigned next = 0, at;
    sweep_begin(sweep, "nzd killed behind a deadline");
    let_expire(sweep);
    unsigned count = sweep_count_here(sweep, &sweep_recover);
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        let_expire(sweep);
        unsigned id = claim_last(sweep);
        struct harness_run killed = sweep_run(sweep, &sweep_recover, at, NULL);
        assert_status(killed, 128 + SIGKILL);
        sweep_verify(sweep, "nzd killed at point %u behind a deadline", at);
        assert_string_equal(claim_state(sweep, id), "rolled_back");
    }
    sweep_end(sweep);
}

/* --- a confirmation at the deadline -------------------------------------- */

/* What it says is what is. */
static void judge(struct sweep *sweep, unsigned id, struct harness_run run,
                  double early)
{
    const char *after =
        harness_text(sweep->harness, "a confirmation %.0f ms before", early);
    const char *state = run.status == 0 ? "committed" : "rolled_back";
    if (run.status != 0 && run.status != 5 && run.status != 6)
        harness_fail("after %s: exit %d\n%s%s", after, run.status, run.out,
                     run.err);
    if (strcmp(claim_state(sweep, id), state) != 0)
        harness_fail("after %s: exit %d, but it is %s", after, run.status,
                     claim_state(sweep, id));
    if (!sweep_runs_exactly(sweep, run.status == 0 ? "0.2.0" : "0.1.0"))
        harness_fail("after %s: exit %d, but another version runs", after,
                     run.status);
    sweep_verify(sweep, "%s", after);
}

static bool race(struct sweep *sweep, double early)
{
    sweep_prepare(sweep, &short_trial);
    double begin = process_now_ms();
    struct harness_run begun = sweep_run(sweep, &short_trial, 0, NULL);
    assert_status(begun, 0);
    /* It began between both ends of the run. */
    double deadline = (begin + process_now_ms()) / 2 + 1000;
    unsigned id = claim_last(sweep);
    while (process_now_ms() < deadline - early)
        process_sleep_ms(1);
    struct harness_run run =
        harness_nzd(sweep->harness, sweep->node, "confirm", NULL);
    judge(sweep, id, run, early);
    return run.status == 0;
}

static void confirmed_at_the_deadline(void **state)
{
    struct sweep *sweep = *state;
    unsigned races = sweep->full ? RACES : SAMPLE, confirmed = 0;
    sweep_begin(sweep, "confirmed at the deadline");
    for (unsigned i = 0; i < races; i++) {
        double early =
            (double)BEFORE_MS - sweep_choose(sweep, BEFORE_MS + BEHIND_MS + 1);
        sweep->tally->points++;
        confirmed += race(sweep, early);
    }
    printf("%u of %u were in time\n", confirmed, races);
    sweep_end(sweep);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(keeper_killed),
        real(nzd_killed_behind_the_deadline),
        real(confirmed_at_the_deadline),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
