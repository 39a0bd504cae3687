/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "trial.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A commit that is still to be confirmed: how it ends, and what else goes
 * meanwhile. */

/* --- it is confirmed ----------------------------------------------------- */

static void it_is_confirmed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = trial_begin(scene, "0.2.0", "1h");
    assert_matches(run.out, "^on trial 1: counter 0.2.0 runs on counter");
    assert_matches(run.out, "^  until 20.* UTC \\((60|59) min left\\), then "
                            "0.1.0 comes back");
    assert_contains(run.out, "nzd confirm keeps it, nzd rollback ends it");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    scene_record(scene, 1, "trial");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 is confirmed on ");
    trial_wait_alone(scene);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    assert_eval(scene->node, "application:get_key(counter, vsn)",
                "{ok,\"0.2.0\"}");
    const char *record = scene_record(scene, 1, "committed");
    assert_contains(record, "\"lasts_us\":3600000000,");
    assert_contains(record, "\"exit\":0,");
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  keep +the agent undoes it by itself in 60 min");
    assert_matches(run.out, "  TRIAL +for 60 min, then undone unless it is");
    assert_matches(run.out, "  confirm +the agent keeps the new code");
    assert_matches(run.out, "  COMMITTED +confirmed");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 is confirmed already");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static void nothing_is_on_trial(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "no trial is open: there is no journal");
    assert_contains(run.err, "untouched  nothing was touched");
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_matches(run.err, "^nzd: no trial is open$");
    run = scene_nzd(scene, "confirm", "--dry-run");
    assert_status(run, 5);
    run = scene_nzd(scene, "confirm", "--json");
    assert_status(run, 5);
    assert_contains(run.out, "\"exit\":5");
    run = scene_nzd(scene, "recover", "--attend");
    assert_status(run, 0);
    scene_settled(scene);
}

/* --- what else goes ------------------------------------------------------ */

static void assert_refused(struct harness_run run)
{
    assert_status(run, 5);
    assert_matches(run.err, "transaction 1 is on trial on counter.* until "
                            "20.* UTC \\((60|59) min left\\)");
    assert_contains(run.err, "untouched  nothing was touched");
    assert_contains(run.err, "nzd confirm keeps it, nzd rollback ends it");
}

static void others_wait(void **state)
{
    struct scene *scene = *state;
    const char *other = scene_bundle(scene, "0.3.0");
    trial_begin(scene, "0.2.0", "1h");
    assert_refused(scene_nzd(scene, "apply", other));
    assert_refused(scene_nzd(scene, "apply", "--confirm", "1m", other));
    assert_refused(scene_nzd(scene, "apply", "--dry-run", other));
    assert_refused(scene_nzd(scene, "rollback", "--confirm", "1m"));
    assert_refused(scene_nzd(scene, "plan", other));
    assert_refused(scene_nzd(scene, "journal", "gc"));
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    run = scene_nzd(scene, "recover", "--json");
    assert_status(run, 0);
    json_t *left = answer_object(scene->harness, run.out);
    assert_string_equal(answer_text(left, "state"), "trial");
    assert_true(answer_number(left, "trial.left_us") > 3500000000);
    run = scene_nzd(scene, "confirm", "--dry-run");
    assert_status(run, 0);
    assert_contains(run.out, "would commit 1: counter 0.2.0 is on trial on ");
    run = scene_nzd(scene, "check");
    assert_status(run, 0);
    assert_matches(run.out, "transaction .*1 is on trial until ");
    assert_matches(run.out, "agent .*holds the deadline of transaction 1");
    scene_record(scene, 1, "trial");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
}

static void status_tells_of_it(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "1h");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.2.0, on trial +proved: "
                            "([0-9]+) of \\1 module md5s$");
    assert_matches(run.out, "^trial +1 until 20.* UTC \\((60|59) min left\\)$");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    run = scene_nzd(scene, "status", "--json");
    assert_status(run, 0);
    json_t *status = answer_object(scene->harness, run.out);
    assert_int_equal(answer_number(status, "trial.txn"), 1);
    assert_true(answer_number(status, "trial.left_us") > 3500000000);
    assert_int_equal(answer_number(status, "generation"), 0);
    assert_int_equal(answer_number(status, "proved.ok"),
                     answer_number(status, "proved.total"));
    beam_node_eval(scene->node,
                   "true = code:soft_purge(counter_text), "
                   "{module, _} = code:load_abs(\"%s/lib/counter-0.3.0/ebin/"
                   "counter_text\")",
                   scene_bundle(scene, "0.3.0"));
    run = scene_nzd(scene, "status");
    assert_matches(run.out, "^running +NOT what is on trial: 1 of ");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- it is not confirmed ------------------------------------------------- */

static void it_is_undone_at_its_deadline(void **state)
{
    struct scene *scene = *state;
    double begin = process_now_ms();
    trial_begin(scene, "0.2.0", "5s");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    assert_true(process_now_ms() - begin >= 4990);
    assert_true(process_now_ms() - begin < 9000);
    trial_wait_state(scene, 1, "rolled_back");
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 was rolled back, it was not "
                             "confirmed within 5");
    trial_wait_alone(scene);
    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.2.0"));
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1");
    trial_check_undone(scene, 1, "it was not confirmed within 5");
}

/* Nobody but the agent knows of it, and it has `nzd recover` run. */
static void the_keeper_is_lost(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "5s");
    trial_kill_keeper(scene);
    trial_check_undone(scene, 1, "it was not confirmed within 5");
}

static void the_agent_is_alone(void **state)
{
    struct scene *scene = *state;
    trial_begin_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    scene_record(scene, 1, "trial");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.1.0, generation 0 +proved: ");
    assert_matches(run.out, "^trial +1 is over: it was not confirmed");
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    trial_check_undone(scene, 1, "it was not confirmed within 1");
}

static void it_is_confirmed_too_late(void **state)
{
    struct scene *scene = *state;
    trial_begin_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_matches(run.out, "^rolled back 1: too late to confirm counter "
                            "0.2.0$");
    assert_contains(run.out, "counter 0.1.0 runs on ");
    assert_contains(run.out, "why   it was not confirmed within 1");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    trial_check_undone(scene, 1, "it was not confirmed within 1");
}

/* Any command that writes settles it first. */
static void the_next_apply_settles_it(void **state)
{
    struct scene *scene = *state;
    trial_begin_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    struct harness_run run =
        scene_nzd(scene, "apply", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    scene_record(scene, 2, "committed");
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
}

/* --- it is ended --------------------------------------------------------- */

static void a_rollback_ends_it(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    trial_begin(scene, "0.3.0", "1h");
    assert_eval(scene->node, "counter_text:version()", "\"0.3.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_matches(run.out, "^rolled back 2: the trial of counter 0.3.0 is "
                            "over$");
    assert_matches(run.out, "^  now   counter 0.2.0 runs on .*, as before$");
    trial_wait_alone(scene);
    assert_runs(scene, "0.2.0");
    trial_check_why(scene, 2, "ended by nzd rollback");
    scene_settled(scene);
    /* What it went back to was not touched. */
    scene_record(scene, 1, "committed");
    run = scene_nzd(scene, "journal", "show", "3");
    assert_status(run, 2);
    trial_begin(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--json");
    assert_status(run, 0);
    assert_contains(run.out, "\"state\":\"rolled_back\",\"txn\":3,\"exit\":0");
    /* With --to it ends it, and goes there. */
    trial_begin(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    scene_record(scene, 4, "rolled_back");
    scene_record(scene, 5, "committed");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
    trial_wait_alone(scene);
}

static void a_rollback_is_on_trial(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    run = scene_nzd(scene, "rollback", "--confirm", "2s");
    assert_status(run, 0);
    assert_contains(run.out, "on trial 2: counter 0.1.0 runs on ");
    trial_wait_state(scene, 2, "rolled_back");
    assert_runs(scene, "0.2.0");
    trial_wait_alone(scene);
    scene_settled(scene);
    run = scene_nzd(scene, "rollback", "--confirm", "1h");
    assert_status(run, 0);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- who attends it ------------------------------------------------------ */

/* Of the command that left it, it needs nothing, and of its terminal neither.
 */
static void the_keeper_stays_alone(void **state)
{
    struct scene *scene = *state;
    char to[4096] = "";
    trial_begin(scene, "0.2.0", "1h");
    pid_t pid = trial_keeper(scene);
    assert_true(pid > 1);
    trial_wait_asleep(scene, pid);
    assert_int_not_equal(getsid(pid), getsid(0));
    assert_int_not_equal(getpgid(pid), getpgid(0));
    assert_int_equal(
        readlink(harness_text(scene->harness, "/proc/%d/cwd", (int)pid), to,
                 sizeof to),
        1);
    assert_string_equal(to, "/");
    kill(pid, SIGTERM);
    trial_wait_alone(scene);
    /* Another can be had. */
    struct harness_job *job = scene_begin(scene, "recover", "--attend");
    process_sleep_ms(500);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    run = harness_end(scene->harness, job, 5000);
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    assert_runs(scene, "0.2.0");
}

static void the_journal_goes_away(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "5s");
    harness_remove(scene->harness, scene->journal);
    trial_wait_alone(scene);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
}

/* --- configured ---------------------------------------------------------- */

static void the_configuration_asks_for_it(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n confirm = 1h\n}\n");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.out, "on trial 1: ");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    /* By hand it is meant, and nothing is on trial for no time. */
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "committed 2: ");
    run = scene_nzd(scene, "apply", "--confirm", "0",
                    scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_contains(run.out, "committed 3: ");
    scene_settled(scene);
}

static void hooks_hear_the_outcome(void **state)
{
    struct scene *scene = *state;
    scene_config(
        scene, SCENE_PROGRAM("told", "outcome", "5s"),
        scene_script(scene, "told", "echo $NZD_TXN $NZD_OUTCOME >>outcomes\n"));
    trial_begin(scene, "0.2.0", "1h");
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_string_equal(scene_wait_file(scene, "outcomes"), "1 committed\n");
    trial_begin(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    trial_begin(scene, "0.3.0", "1s");
    trial_wait_state(scene, 3, "rolled_back");
    trial_wait_alone(scene);
    assert_string_equal(scene_wait_file(scene, "outcomes"),
                        "1 committed\n2 rolled_back\n3 rolled_back\n");
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(it_is_confirmed),
        in(nothing_is_on_trial),
        in(others_wait),
        in(status_tells_of_it),
        in(it_is_undone_at_its_deadline),
        in(the_keeper_is_lost),
        in(the_agent_is_alone),
        in(it_is_confirmed_too_late),
        in(the_next_apply_settles_it),
        in(a_rollback_ends_it),
        in(a_rollback_is_on_trial),
        in(the_keeper_stays_alone),
        in(the_journal_goes_away),
        in(the_configuration_asks_for_it),
        in(hooks_hear_the_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
