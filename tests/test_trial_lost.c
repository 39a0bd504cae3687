/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "booted.h"
#include "trial.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* The same where the VM, its agent or its host is lost, or hangs, or does not
 * let go. */

/* --- the VM is another one ----------------------------------------------- */

#define RESTARTED "the VM was restarted before it was confirmed"

static void its_vm_is_killed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run;
    trial_begin(scene, "0.2.0", "1h");
    beam_node_kill(scene->node);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_contains(run.out, "too late to confirm counter 0.2.0; its VM was "
                             "restarted");
    beam_node_start_again(scene->node);
    trial_check_undone(scene, 1, RESTARTED);
}

static void its_vm_restarts_in_place(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "1h");
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_restart(scene->node, TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "the trial of counter 0.2.0 is over, its VM was "
                             "restarted");
    trial_check_undone(scene, 1, RESTARTED);
}

/* The keeper meets another VM under the same name. */
static void its_vm_restarts_and_nobody_comes(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "8s");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    trial_check_undone(scene, 1, RESTARTED);
}

static struct harness_run before_start(struct scene *scene)
{
    const char *const *nzd = harness_argv(scene->harness, NULL, NULL);
    const char *const argv[] = {nzd[0],         "recover",     "--before-start",
                                "--config",     scene->config, "--journal",
                                scene->journal, NULL};
    return harness_run(scene->harness, argv, NULL);
}

/* As a step before the start: nobody is asked. */
static void it_is_settled_before_a_start(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "1h");
    struct harness_run run = before_start(scene);
    assert_status(run, 10);
    assert_contains(run.err, "transaction 1 is trial");
    beam_node_kill(scene->node);
    run = before_start(scene);
    assert_status(run, 0);
    beam_node_start_again(scene->node);
    trial_check_undone(scene, 1, RESTARTED);
}

/* Another boot of the host: pid and start time may be those of anybody. */
static void its_host_restarts(void **state)
{
    struct scene *scene = *state;
    struct harness *harness = scene->harness;
    const char *boot_id = harness_path(harness, "boot_id");
    const char *const prefix[] = {
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --bind $0 /proc/sys/kernel/random/boot_id && exec \"$@\"",
        boot_id,
        NULL};
    if (geteuid() != 0)
        skip();
    harness_write_file(boot_id, "3f9c0000-0000-0000-0000-000000000000\n");
    trial_begin(scene, "0.2.0", "1h");
    const char *const *words =
        harness_argv(harness, NULL, "recover", "--before-start", "--journal",
                     scene->journal, "--config", scene->config, NULL);
    struct harness_run run =
        harness_run(harness, harness_concat(harness, prefix, words), NULL);
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    trial_check_undone(scene, 1, RESTARTED);
}

/* The generation before it boots, and not the base. */
static void the_old_generation_boots(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n healthy = 0\n}\n");
    booted_start(scene);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    trial_begin(scene, "0.3.0", "1h");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    scene_record(scene, 2, "rolled_back");
    trial_check_why(scene, 2, RESTARTED);
    trial_wait_alone(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    /* One that is confirmed boots. */
    trial_begin(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
}

/* --- another host's clock ------------------------------------------------ */

/* A VM that has another boot id than we: of its deadline only it can tell. */
static void start_elsewhere(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *boot_id = harness_path(harness, "boot_id");
    const char **prefix = harness_alloc(harness, 7 * sizeof *prefix);
    const struct beam_node_options options = {.name = "counter",
                                              .prefix = prefix};
    if (geteuid() != 0)
        skip();
    harness_write_file(boot_id, "3f9c0000-0000-0000-0000-000000000000\n");
    prefix[0] = "unshare";
    prefix[1] = "--mount";
    prefix[2] = "sh";
    prefix[3] = "-c";
    prefix[4] = "mount --bind $0 /proc/sys/kernel/random/boot_id && "
                "exec \"$@\"";
    prefix[5] = boot_id;
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

static void another_host_has_the_deadline(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    trial_begin(scene, "0.2.0", "8s");
    assert_contains(scene_record(scene, 1, "trial"),
                    "\"boot_id\":\"3f9c0000-0000-0000-0000-000000000000\"}");
    struct harness_run run =
        scene_nzd(scene, "plan", scene_bundle(scene, "0.3.0"));
    assert_status(run, 5);
    assert_contains(run.err, "is on trial on counter");
    assert_contains(run.err, "until its deadline");
    run = scene_nzd(scene, "status");
    assert_matches(run.out, "^trial +1 until 20.* UTC ");
    run = scene_nzd(scene, "recover", "--wait", "10s");
    assert_matches(run.out, "^left: transaction 1 is on trial until 20");
    trial_check_undone(scene, 1, "it was not confirmed within 8");
}

/* With its guard; another may take its name at once. */
static void kill_the_agent(struct scene *scene)
{
    const char *agent = beam_node_eval(scene->node, "whereis(nzd)");
    beam_node_eval(scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(scene->node,
                       harness_text(scene->harness,
                                    "is_process_alive(list_to_pid(\"%s\"))",
                                    agent),
                       "false", TRIAL_SOON_MS);
}

static void another_host_is_confirmed(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    scene_load_hooks(scene);
    trial_begin(scene, "0.2.0", "1h");
    assert_true(trial_keeper(scene) > 1);
    /* The keeper may start another one at any time: it asks for the clock. */
    kill_the_agent(scene);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    trial_wait_alone(scene);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

#define EPOCH "persistent_term:get({nzd, epoch})"

/* The keeper has a new agent told, and stays the only one. */
static void the_keeper_finds_that_the_agent_was_lost(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    scene_load_hooks(scene);
    trial_begin(scene, "0.2.0", "1h");
    pid_t keeper = trial_keeper(scene);
    trial_wait_asleep(scene, keeper);
    const char *epoch = beam_node_eval(scene->node, EPOCH);
    kill_the_agent(scene);
    /* As whoever has written into the journal does. */
    close(open(harness_text(scene->harness, "%s/lock", scene->journal),
               O_WRONLY | O_CLOEXEC));
    beam_node_wait_for(scene->node,
                       harness_text(scene->harness, EPOCH " > %s", epoch),
                       "true", TRIAL_SOON_MS);
    trial_wait_asleep(scene, keeper);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    trial_wait_alone(scene);
}

/* A keeper that is held before it asks for the clock. */
static pid_t begin_and_hold_keeper(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *const environment[] = {
        "NZD_POINT_ROLE=keeper", "NZD_POINT_AT=2", "NZD_POINT_DO=stop", NULL};
    const char *own[] = {trial_points_program(), NULL};
    const char *const *argv = scene_argv(
        scene, harness_argv(harness, scene->node, "apply", "--confirm", "1h",
                            scene_bundle(scene, "0.2.0"), NULL));
    struct harness_run run = harness_run(
        harness, harness_concat(harness, own, argv + 1), environment);
    assert_status(run, 0);
    pid_t keeper = trial_keeper(scene);
    assert_true(keeper > 1);
    double until = process_now_ms() + TRIAL_SOON_MS;
    while (!process_is_stopped(keeper)) {
        if (process_now_ms() > until)
            harness_fail("the keeper asked nothing");
        process_sleep_ms(5);
    }
    return keeper;
}

/* Nobody answers it; that it is over it sees soon all the same. */
static void the_agent_dies_before_it_answers_the_keeper(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    scene_load_hooks(scene);
    pid_t keeper = begin_and_hold_keeper(scene);
    kill_the_agent(scene);
    kill(keeper, SIGCONT);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    double until = process_now_ms() + TRIAL_SOON_MS;
    while (!scene_is_gone(keeper)) {
        if (process_now_ms() > until)
            harness_fail("the keeper stays");
        process_sleep_ms(10);
    }
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- something stands in the way ----------------------------------------- */

/* What runs is loaded once more, and a process stays in what it was. */
static void block(struct scene *scene)
{
    beam_node_eval(scene->node,
                   "{ok, _} = counter_feed:start(10), timer:sleep(50), "
                   "code:soft_purge(counter_http), "
                   "{module, _} = code:load_abs(\"%s/lib/counter-0.2.0/ebin/"
                   "counter_http\")",
                   scene_bundle(scene, "0.2.0"));
}

/* It is over all the same, and tried until it can be undone. */
static void its_undo_is_blocked(void **state)
{
    struct scene *scene = *state;
    trial_begin(scene, "0.2.0", "4s");
    block(scene);
    trial_wait_state(scene, 1, "undoing");
    struct harness_run run = scene_nzd(scene, "confirm", "--wait", "30s");
    assert_status(run, 10);
    assert_contains(run.err, "the undo is blocked");
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.2.0\"");
    beam_node_eval(scene->node, "counter_feed:stop()");
    double until = process_now_ms() + 60000;
    while (trial_processes(scene) && process_now_ms() < until)
        process_sleep_ms(50);
    trial_check_undone(scene, 1, "it was not confirmed within 4");
}

/* --- the agent is another one -------------------------------------------- */

static void kill_agent(struct scene *scene, const char *function)
{
    beam_node_eval(scene->node, "spawn(nzd_test_hook, %s, [])", function);
    process_sleep_ms(300);
}

/* The guard starts it again, with the deadline. */
static void the_agent_is_killed(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    double begin = process_now_ms();
    trial_begin_alone(scene, "6s");
    kill_agent(scene, "kill_agent");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    assert_true(process_now_ms() - begin >= 5990);
    assert_true(process_now_ms() - begin < 13000);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    trial_check_undone(scene, 1, "it was not confirmed within 6");
}

/* Nobody in the node knows of it: the next nzd tells a new one. */
static void the_agent_and_its_guard_are_killed(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    trial_begin_alone(scene, "8s");
    kill_agent(scene, "kill_agent_and_guard");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    trial_kill_keeper(scene);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       TRIAL_SOON_MS);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    trial_check_undone(scene, 1, "it was not confirmed within 8");
}

static void a_new_agent_confirms_it(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    trial_begin(scene, "0.2.0", "1h");
    kill_agent(scene, "kill_agent_and_guard");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
}

/* --- the VM hangs -------------------------------------------------------- */

static void its_vm_stands_still(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n hung = restart\n hung_after = 1s\n}");
    trial_begin(scene, "0.2.0", "4s");
    beam_node_freeze(scene->node);
    process_sleep_ms(5000);
    struct harness_run run =
        scene_nzd(scene, "recover", "--timeout", "1s", "--wait", "30s");
    assert_status(run, 10);
    scene_record(scene, 1, "trial");
    /* nzd boot did not start it, so nobody would start it again. */
    process_sleep_ms(15000);
    assert_true(beam_node_alive(scene->node));
    beam_node_thaw(scene->node);
    trial_check_undone(scene, 1, "it was not confirmed within 4");
}

/* Who supervises the VM starts it again; here we do. */
static void a_vm_that_hangs_is_ended(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n hung = restart\n hung_after = 1s\n}");
    booted_start(scene);
    struct harness_run run =
        scene_nzd(scene, "apply", "--confirm", "4s", "--timeout", "2s",
                  scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    beam_node_freeze(scene->node);
    assert_true(beam_node_wait_end(scene->node, 60000));
    beam_node_start_again(scene->node);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  end +the VM, pid [0-9]+, said nothing for ");
    assert_matches(run.out, "  why +the VM, .* and was to be ended$");
    trial_check_undone(scene, 1, "the VM, pid ");
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(its_vm_is_killed),
        in(its_vm_restarts_in_place),
        in(its_vm_restarts_and_nobody_comes),
        in(it_is_settled_before_a_start),
        in(its_host_restarts),
        in(the_old_generation_boots),
        in(another_host_has_the_deadline),
        in(another_host_is_confirmed),
        in(the_keeper_finds_that_the_agent_was_lost),
        in(the_agent_dies_before_it_answers_the_keeper),
        in(its_undo_is_blocked),
        in(the_agent_is_killed),
        in(the_agent_and_its_guard_are_killed),
        in(a_new_agent_confirms_it),
        in(its_vm_stands_still),
        in(a_vm_that_hangs_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
