/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Changes that go through a restart of the VM: nzd is killed at each of its
 * points, in the recovery that follows, and in the recovery of that; the VM is
 * killed at each of them. In place, and by a command under nzd boot; committed
 * at once, or on trial, which ends in each way there is, cut short as well.
 */
#include "hold.h"
#include "supervised.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE 1u /* of each subject */

#define THROUGH "--min", "restart-vm", "--max", "restart-vm"
static const struct operation apply = {
    "apply through a restart", "0.1.0", {"apply", THROUGH}, "0.2.0", 0};
static const struct operation rollback = {"rollback through a restart",
                                          "0.2.0",
                                          {"rollback", "--to", "0", THROUGH},
                                          NULL,
                                          0};
static const struct operation failing = {
    "failing apply through a restart", "0.2.0", {"apply", THROUGH}, "0.3.0", 6};

/* --- nzd ----------------------------------------------------------------- */

/* Those that stand behind a restart, where most is to be told, come often
 * enough among so few points. */
static void kill_at(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    sweep_bring_to(sweep, operation->before);
    struct harness_run killed = sweep_run(sweep, operation, at, NULL);
    assert_status(killed, 128 + SIGKILL);
}

static void kill_in_recovery(struct sweep *sweep,
                             const struct operation *operation, unsigned at)
{
    const char *point = sweep_point(sweep, at);
    kill_at(sweep, operation, at);
    unsigned count = sweep_count_here(sweep, &sweep_recover);
    unsigned step = sweep->full && count > 8 ? count / 8 : count + 1;
    for (unsigned i = 0; i < count; i += step) {
        unsigned first = 1 + sweep_choose(sweep, count);
        kill_at(sweep, operation, at);
        if (sweep_run(sweep, &sweep_recover, first, NULL).status != 0)
            sweep_run(sweep, &sweep_recover, 1 + sweep_choose(sweep, first),
                      NULL);
        sweep->tally->points++;
        sweep_check(sweep,
                    "nzd killed at point %u of %s, %s; its recovery at %u", at,
                    operation->name, point, first);
    }
}

static void sweep_nzd(struct sweep *sweep, const char *row,
                      const struct operation *operation)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        kill_at(sweep, operation, at);
        sweep_verify(sweep, "nzd killed at point %u of %s, %s", at,
                     operation->name, sweep_point(sweep, at));
        kill_in_recovery(sweep, operation, at);
    }
    sweep_end(sweep);
}

static void nzd_killed_in_apply(void **state)
{
    sweep_nzd(*state, "nzd killed, apply through a restart", &apply);
}

static void nzd_killed_in_rollback(void **state)
{
    sweep_nzd(*state, "nzd killed, rollback through a restart", &rollback);
}

static void nzd_killed_in_failing_apply(void **state)
{
    sweep_nzd(*state, "nzd killed, failing one through a restart", &failing);
}

/* --- on trial ------------------------------------------------------------ */

static const struct operation trial = {
    "trial through a restart",
    "0.1.0",
    {"apply", THROUGH, "--confirm", "1h", "--wait=20s"},
    "0.2.0",
    0};
static const struct operation confirm = {
    "confirm", NULL, {"confirm", "--wait", "20s"}, NULL, 0};
static const struct operation ending = {
    "rollback that ends it", NULL, {"rollback", "--wait", "20s"}, NULL, 0};

static bool is_on_trial(struct sweep *sweep)
{
    struct harness_run run = sweep_run(sweep, &sweep_recover, 0, NULL);
    assert_status(run, 0);
    return strcmp(claim_state(sweep, claim_last(sweep)), "trial") == 0;
}

/* The generation before boots, whoever restarts it. */
static const char *restart_vm(struct sweep *sweep)
{
    beam_node_eval(sweep->node, "init:restart()");
    beam_node_wait_for(sweep->node,
                       "{persistent_term:get({nzd, token}, none), "
                       "init:get_status()}",
                       "{none,{started,started}}", 20000);
    return "a restart of the VM";
}

/* `at` 0: not cut short. Behind the last point nobody is killed. */
static const char *end_once(struct sweep *sweep, unsigned at)
{
    unsigned how = sweep_choose(sweep, at ? 2 : 3);
    const struct operation *operation = how ? &ending : &confirm;
    if (how == 2)
        return restart_vm(sweep);
    struct harness_run run = sweep_run(sweep, operation, at, NULL);
    if (!at || run.status != 128 + SIGKILL)
        assert_status(run, 0);
    return operation->name;
}

#define END_POINTS 16u /* of those that end it; some have fewer */

static void end_trial(struct sweep *sweep, unsigned at, const char *point)
{
    const char *cut = "nothing", *whole = "nothing";
    unsigned cut_at = 1 + sweep_choose(sweep, END_POINTS);
    if (is_on_trial(sweep))
        cut = end_once(sweep, cut_at);
    if (is_on_trial(sweep))
        whole = end_once(sweep, 0);
    sweep_verify(sweep,
                 "nzd killed at point %u of %s, %s; then at %u of %s; then %s",
                 at, trial.name, point, cut_at, cut, whole);
}

static void sweep_on_trial(struct sweep *sweep, const char *row)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, &trial), next = 0, at;
    assert_true(is_on_trial(sweep));
    end_once(sweep, 0);
    while ((at = sweep_next(sweep, count, SAMPLE, &next))) {
        kill_at(sweep, &trial, at);
        end_trial(sweep, at, sweep_point(sweep, at));
    }
    sweep_end(sweep);
}

static void nzd_killed_on_trial(void **state)
{
    sweep_on_trial(*state, "nzd killed, trial through a restart");
}

/* --- the VM -------------------------------------------------------------- */

/* It is no nzd boot that starts it again: the base boots. */
static void kill_vm(struct sweep *sweep, const struct operation *operation,
                    unsigned at)
{
    sweep_bring_to(sweep, operation->before);
    struct harness_run run =
        sweep_run(sweep, operation, at,
                  harness_text(sweep->harness, "signal %d %d;kill",
                               (int)beam_node_pid(sweep->node), SIGKILL));
    assert_status(run, 128 + SIGKILL);
    assert_true(beam_node_wait_end(sweep->node, 5000));
    beam_node_start_again(sweep->node);
    sweep_verify_restarted(sweep, "VM and nzd killed at point %u of %s, %s", at,
                           operation->name, sweep_point(sweep, at));
}

static void sweep_vm(struct sweep *sweep, const char *row,
                     const struct operation *operation)
{
    sweep_begin(sweep, row);
    unsigned count = sweep_count(sweep, operation), next = 0, at;
    if (is_on_trial(sweep))
        end_once(sweep, 0);
    while ((at = sweep_next(sweep, count, SAMPLE, &next)))
        kill_vm(sweep, operation, at);
    sweep_end(sweep);
}

static void both_killed_in_apply(void **state)
{
    sweep_vm(*state, "VM and nzd killed, through a restart", &apply);
}

static void both_killed_in_failing_apply(void **state)
{
    sweep_vm(*state, "VM and nzd killed, failing one, restart", &failing);
}

static void both_killed_on_trial(void **state)
{
    sweep_vm(*state, "VM and nzd killed, trial through a restart", &trial);
}

/* --- under nzd boot, by a command ---------------------------------------- */

/* A VM that nzd boot starts again whenever it has ended, as a supervisor of
 * the system does; the restart command ends it. */
static int setup_supervised(void **state)
{
    static const struct beam_node_options plain = {0};
    struct sweep *sweep = sweep_open(&plain);
    struct harness *harness = sweep->harness;
    const struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0"),
        .name = "counter",
        .prefix = supervised_words(harness, sweep->nzd,
                                   harness_journal(harness), sweep->config)};
    harness_write_file(sweep->config,
                       harness_text(harness,
                                    "%sboot {\n healthy = 0\n tries = 1000\n}\n"
                                    "restart {\n command = {%s}\n}\n",
                                    harness_read_file(harness, sweep->config),
                                    supervised_restart(harness)));
    beam_node_kill(sweep->node);
    sweep->node = beam_node_start(harness, &options);
    *state = sweep;
    return 0;
}

static void nzd_killed_by_a_command(void **state)
{
    sweep_nzd(*state, "nzd killed, apply, restart command", &apply);
}

static void nzd_killed_failing_by_a_command(void **state)
{
    sweep_nzd(*state, "nzd killed, failing apply, restart command", &failing);
}

static void nzd_killed_on_trial_by_a_command(void **state)
{
    sweep_on_trial(*state, "nzd killed, trial, restart command");
}

#define plain(test)                                                            \
    cmocka_unit_test_setup_teardown(test, sweep_setup, sweep_teardown)
#define supervised(test)                                                       \
    cmocka_unit_test_setup_teardown(test, setup_supervised, sweep_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        plain(nzd_killed_in_apply),
        plain(nzd_killed_in_rollback),
        plain(nzd_killed_in_failing_apply),
        plain(both_killed_in_apply),
        plain(both_killed_in_failing_apply),
        plain(nzd_killed_on_trial),
        plain(both_killed_on_trial),
        supervised(nzd_killed_by_a_command),
        supervised(nzd_killed_failing_by_a_command),
        supervised(nzd_killed_on_trial_by_a_command),
    };
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
