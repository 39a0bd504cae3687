/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "scene.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A commit that is still to be confirmed: how it ends, by whom, and what else
 * goes meanwhile. */

#define SOON_MS 20000

/* --- words --------------------------------------------------------------- */

static struct harness_run try_out(struct scene *scene, const char *version,
                                  const char *lasts)
{
    struct harness_run run = scene_nzd(scene, "apply", "--retry", "--confirm",
                                       lasts, scene_bundle(scene, version));
    assert_status(run, 0);
    return run;
}

static const char *program(void)
{
    static char absolute[4096];
    const char *given = getenv("NZD");
    if (!realpath(given ? given : "build/nzd", absolute))
        harness_fail("nzd is not there");
    return absolute;
}

/* How many processes of nzd there are: keepers, and what they have run. */
static unsigned processes(struct scene *scene)
{
    return process_count_marked(harness_text(scene->harness, "NZD_TEST_DIR=%s",
                                             harness_dir(scene->harness)),
                                program());
}

static void wait_for_no_process(struct scene *scene)
{
    double until = process_now_ms() + SOON_MS;
    while (processes(scene)) {
        if (process_now_ms() > until)
            harness_fail("a process of nzd is left");
        process_sleep_ms(10);
    }
}

/* The one that attends this scene's journal; 0: none. */
static pid_t keeper(struct scene *scene)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    while (proc && !found && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char path[64], words[4096];
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        FILE *file = pid > 1 ? fopen(path, "r") : NULL;
        size_t size = file ? fread(words, 1, sizeof words, file) : 0;
        if (file)
            fclose(file);
        if (memmem(words, size, "--attend", 9) &&
            memmem(words, size, scene->journal, strlen(scene->journal) + 1))
            found = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

static void kill_keeper(struct scene *scene)
{
    pid_t pid = keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
    wait_for_no_process(scene);
}

static const char *state_of(struct scene *scene, unsigned id)
{
    return answer_text(answer_txn(scene->harness, scene->node, id), "state");
}

static void wait_for_state(struct scene *scene, unsigned id, const char *state)
{
    double until = process_now_ms() + SOON_MS;
    const char *found;
    while (strcmp(found = state_of(scene, id), state) != 0) {
        if (process_now_ms() > until)
            harness_fail("transaction %u is %s, not %s", id, found, state);
        process_sleep_ms(20);
    }
}

static void assert_why(struct scene *scene, unsigned id, const char *why)
{
    assert_contains(
        answer_text(answer_txn(scene->harness, scene->node, id), "why"), why);
}

/* It is over: the old code runs, the journal says so, and the next goes. */
static void assert_undone(struct scene *scene, unsigned id, const char *why)
{
    wait_for_state(scene, id, "rolled_back");
    wait_for_no_process(scene);
    assert_runs(scene, "0.1.0");
    assert_why(scene, id, why);
    scene_settled(scene);
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- it is confirmed ----------------------------------------------------- */

static void it_is_confirmed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = try_out(scene, "0.2.0", "1h");
    assert_matches(run.out, "^on trial 1: counter 0.2.0 runs on counter");
    assert_matches(run.out, "^  until 20.* UTC \\((60|59) min left\\), then "
                            "0.1.0 comes back");
    assert_contains(run.out, "nzd confirm keeps it, nzd rollback ends it");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    scene_record(scene, 1, "trial");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 is confirmed on ");
    wait_for_no_process(scene);
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
    try_out(scene, "0.2.0", "1h");
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
    assert_matches(run.out, "agent .*undoes transaction 1 at its deadline");
    scene_record(scene, 1, "trial");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
}

static void status_tells_of_it(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "1h");
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
    try_out(scene, "0.2.0", "2s");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    assert_true(process_now_ms() - begin >= 1990);
    assert_true(process_now_ms() - begin < 6000);
    wait_for_state(scene, 1, "rolled_back");
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 was rolled back, it was not "
                             "confirmed within 2");
    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.2.0"));
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1");
    assert_undone(scene, 1, "it was not confirmed within 2");
}

/* Nobody but the agent knows of it, and it has `nzd recover` run. */
static void the_keeper_is_lost(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "2s");
    kill_keeper(scene);
    assert_undone(scene, 1, "it was not confirmed within 2");
}

/* The program that was applied with is gone too. */
static void try_out_alone(struct scene *scene, const char *lasts)
{
    struct harness *harness = scene->harness;
    const char *copy = harness_path(harness, "nzd.copy");
    const char *const *argv =
        scene_argv(scene, harness_argv(harness, scene->node, "apply", "--retry",
                                       scene_bundle(scene, "0.2.0"),
                                       "--confirm", lasts, NULL));
    const char *own[] = {copy, NULL};
    harness_copy(harness, program(), copy);
    struct harness_run run =
        harness_run(harness, harness_concat(harness, own, argv + 1), NULL);
    assert_status(run, 0);
    harness_remove(harness, copy);
    pid_t pid = keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
}

static void the_agent_is_alone(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    scene_record(scene, 1, "trial");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.1.0, generation 0 +proved: ");
    assert_matches(run.out, "^trial +1 is over: it was not confirmed");
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    assert_undone(scene, 1, "it was not confirmed within 1");
}

static void it_is_confirmed_too_late(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_matches(run.out, "^rolled back 1: too late to confirm counter "
                            "0.2.0$");
    assert_contains(run.out, "counter 0.1.0 runs on ");
    assert_contains(run.out, "why   it was not confirmed within 1");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_undone(scene, 1, "it was not confirmed within 1");
}

/* Any command that writes settles it first. */
static void the_next_apply_settles_it(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
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
    try_out(scene, "0.3.0", "1h");
    assert_eval(scene->node, "counter_text:version()", "\"0.3.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_matches(run.out, "^rolled back 2: the trial of counter 0.3.0 is "
                            "over$");
    assert_matches(run.out, "^  now   counter 0.2.0 runs on .*, as before$");
    wait_for_no_process(scene);
    assert_runs(scene, "0.2.0");
    assert_why(scene, 2, "ended by nzd rollback");
    scene_settled(scene);
    /* What it went back to was not touched. */
    scene_record(scene, 1, "committed");
    run = scene_nzd(scene, "journal", "show", "3");
    assert_status(run, 2);
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--json");
    assert_status(run, 0);
    assert_contains(run.out, "\"state\":\"rolled_back\",\"txn\":3,\"exit\":0");
    /* With --to it ends it, and goes there. */
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    scene_record(scene, 4, "rolled_back");
    scene_record(scene, 5, "committed");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
    wait_for_no_process(scene);
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
    wait_for_state(scene, 2, "rolled_back");
    assert_runs(scene, "0.2.0");
    wait_for_no_process(scene);
    scene_settled(scene);
    run = scene_nzd(scene, "rollback", "--confirm", "1h");
    assert_status(run, 0);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
