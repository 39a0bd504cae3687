/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A trial that nobody confirms, or only just: its keeper is killed at each of
 * its points, also where it ends a VM that hangs; nzd, while it settles what
 * the agent has ended; and a confirmation meets the deadline. Of both ends
 * there is one, and everybody tells the same.
 */
#include "answer.h"
#include "hold.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLE   2u
#define LIMIT_MS 20000
/* Confirmations, in full, from so long before the deadline to so long behind
 * it; a sample takes a few of them. */
#define RACES     60u
#define BEFORE_MS 150
#define BEHIND_MS 30
/* Points of a keeper that ends a VM; a sample takes one of them. */
#define HUNG_POINTS  8u
#define HUNG_MOST_MS 60000

static const struct operation short_trial = {
    "apply on trial", "0.1.0", {"apply", "--confirm=1s"}, "0.2.0", 0};
static const struct operation hung_trial = {
    "apply on trial",
    "0.1.0",
    {"apply", "--confirm=1s", "--timeout", "1s"},
    "0.2.0",
    0};

/* The number of the trial. One that was over before it had begun, on a busy
 * host, is none. */
static unsigned begin_trial(struct sweep *sweep,
                            const struct operation *operation,
                            const char *const *environment)
{
    struct harness_run begun;
    for (int i = 0; i < 5; i++) {
        sweep_prepare(sweep, operation);
        begun = harness_run(sweep->harness, sweep_argv(sweep, operation),
                            environment);
        if (begun.status != 6)
            break;
    }
    assert_status(begun, 0);
    return claim_last(sweep);
}

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

static const char *log_of_keeper(struct sweep *sweep)
{
    return harness_path(sweep->harness, "keeper.points");
}

/* With the keeper killed at its point `at`; 0: its points are logged. */
static unsigned try_with_keeper(struct sweep *sweep,
                                const struct operation *operation, unsigned at)
{
    struct harness *harness = sweep->harness;
    const char *environment[] = {
        "NZD_POINT_ROLE=keeper", harness_text(harness, "NZD_POINT_AT=%u", at),
        at ? NULL
           : harness_text(harness, "NZD_POINT_LOG=%s", log_of_keeper(sweep)),
        NULL};
    return begin_trial(sweep, operation, environment);
}

static unsigned points_of_keeper(struct sweep *sweep)
{
    unsigned count = 0;
    for (const char *text =
             harness_read_file(sweep->harness, log_of_keeper(sweep));
         *text; text++)
        count += *text == '\n';
    if (count < 4)
        harness_fail("a keeper passed only %u points", count);
    return count;
}

/* The agent has nzd run, and nobody has to come by. */
static void keeper_killed(void **state)
{
    struct sweep *sweep = *state;
    unsigned next = 0, at;
    sweep_begin(sweep, "keeper of a trial killed");
    wait_for_state(sweep, try_with_keeper(sweep, &short_trial, 0),
                   "rolled_back", "a trial");
    sweep_check(sweep, "a trial that nobody confirmed");
    unsigned count = points_of_keeper(sweep);
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        const char *after = harness_text(
            sweep->harness, "the keeper was killed at its point %u", at);
        unsigned id = try_with_keeper(sweep, &short_trial, at);
        wait_for_state(sweep, id, "rolled_back", after);
        sweep_verify(sweep, "%s", after);
    }
    sweep_end(sweep);
}

/* --- a VM that hangs ----------------------------------------------------- */

/* Its VM is started by nzd boot, and may be ended. */
static int setup_hung(void **state)
{
    struct sweep *sweep = sweep_open_bare();
    struct harness *harness = sweep->harness;
    harness_write_file(
        sweep->config,
        harness_text(harness, "%sboot {\n healthy = 0\n}\n%s",
                     harness_read_file(harness, sweep->config),
                     "trial {\n hung = restart\n hung_after = 1s\n}\n"));
    static const char *const none[] = {NULL};
    const char *const prefix[] = {*harness_argv(harness, NULL, NULL),
                                  "boot",
                                  "--journal",
                                  harness_journal(harness),
                                  "--config",
                                  sweep->config,
                                  "--",
                                  NULL};
    const struct beam_node_options options = {
        .name = "counter",
        .release = harness_fixture(harness, "counter-0.1.0"),
        .prefix = harness_concat(harness, prefix, none)};
    sweep->node = beam_node_start(harness, &options);
    *state = sweep;
    return 0;
}

/* Whether the keeper has ended it; else the keeper was killed before. */
static bool is_ended(struct sweep *sweep, const char *after)
{
    const char *journal = harness_journal(sweep->harness);
    double until = process_now_ms() + HUNG_MOST_MS;
    while (process_with_words("--attend", journal))
        if (beam_node_wait_end(sweep->node, 50))
            return true;
        else if (process_now_ms() > until)
            harness_fail("after %s, the keeper ends nothing", after);
    return beam_node_wait_end(sweep->node, 200);
}

/* It is started again by who supervises it, or it goes on by itself. */
static void hang(struct sweep *sweep, unsigned at)
{
    const char *after =
        harness_text(sweep->harness, "a VM hung, its keeper killed at %u", at);
    unsigned id = try_with_keeper(sweep, &hung_trial, at);
    beam_node_freeze(sweep->node);
    if (is_ended(sweep, after))
        beam_node_start_again(sweep->node);
    else if (at)
        beam_node_thaw(sweep->node);
    else
        harness_fail("the keeper has not ended the VM");
    wait_for_state(sweep, id, "rolled_back", after);
    sweep_verify(sweep, "%s", after);
}

static void keeper_of_a_hung_vm_killed(void **state)
{
    struct sweep *sweep = *state;
    unsigned next = 0, at, count = HUNG_POINTS;
    sweep_begin(sweep, "keeper of a hung VM killed");
    if (sweep->full) {
        hang(sweep, 0);
        count = points_of_keeper(sweep);
    }
    while ((at = sweep_next(sweep, count, 1, &next)))
        hang(sweep, at);
    sweep_end(sweep);
}

/* --- what the agent has ended -------------------------------------------- */

/* A program whose file is gone: the agent is offered none to run. It is the
 * descriptor's, which the caller closes. */
static int lose_program(struct sweep *sweep)
{
    const char *copy = harness_path(sweep->harness, "nzd.copy");
    harness_copy(sweep->harness, sweep->nzd, copy);
    int fd = open(copy, O_RDONLY); /* the program inherits it */
    assert_true(fd >= 0);
    unlink(copy);
    return fd;
}

/* Neither is a keeper left: it kills itself. */
static void let_expire(struct sweep *sweep)
{
    static const char *const environment[] = {"NZD_POINT_ROLE=keeper",
                                              "NZD_POINT_AT=1", NULL};
    const char *real = sweep->nzd;
    int fd = lose_program(sweep);
    sweep->nzd = harness_text(sweep->harness, "/proc/self/fd/%d", fd);
    unsigned id = begin_trial(sweep, &short_trial, environment);
    sweep->nzd = real;
    close(fd);
    beam_node_wait_for(sweep->node, "counter_text:version()", "\"0.1.0\"",
                       LIMIT_MS);
    assert_string_equal(claim_state(sweep, id), "trial");
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
                  int early)
{
    const char *after =
        harness_text(sweep->harness, "a confirmation %d ms before", early);
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

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool race(struct sweep *sweep, int early)
{
    unsigned id = begin_trial(sweep, &short_trial, NULL);
    int64_t deadline =
        answer_number(answer_txn(sweep->harness, sweep->node, id),
                      "trial.deadline_boottime_us");
    while (now_us() < deadline - early * 1000)
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
        int early =
            BEFORE_MS - (int)sweep_choose(sweep, BEFORE_MS + BEHIND_MS + 1);
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
        cmocka_unit_test_setup_teardown(keeper_of_a_hung_vm_killed, setup_hung,
                                        sweep_teardown),
        real(nzd_killed_behind_the_deadline),
        real(confirmed_at_the_deadline),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
