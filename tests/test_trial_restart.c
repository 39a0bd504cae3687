/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "supervised.h"
#include "trial.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A change that went through a restart of the VM, and is still to be
 * confirmed: whatever else happens, the generation before boots again. */

#define THROUGH "--min", "restart-vm", "--max", "restart-vm", "--retry"
#define CONFIRM "--confirm", "1h"

static const char boot_keys[] = "boot {\n tries = 3\n healthy = 0\n}\n";
static const char booted[] = "persistent_term:get({nzd, booted}, 0)";
static const char up[] = "{persistent_term:get({nzd, booted}, 0), "
                         "init:get_status()}";
#define UP(generation) "{" generation ",{started,started}}"
/* What init:restart/0 boots. */
static const char next_boot[] =
    "begin {ok, [[B|_]|_]} = init:get_argument(boot), "
    "string:find(B, \"/nzd/overlay/\") =/= nomatch end";

static int setup(void **state)
{
    scene_setup(state);
    scene_config(*state, "%s", boot_keys);
    return 0;
}

static int setup_supervised(void **state)
{
    scene_setup(state);
    supervised_start(*state, boot_keys, "");
    return 0;
}

static struct harness_run begin(struct scene *scene, const char *version,
                                const char *lasts)
{
    struct harness_run run = scene_nzd(scene, "apply", THROUGH, "--confirm",
                                       lasts, scene_bundle(scene, version));
    assert_status(run, 0);
    return run;
}

/* The generation before has booted, and the journal says why. */
static void check_undone(struct scene *scene, unsigned id, const char *version,
                         const char *generation, const char *why)
{
    trial_wait_state(scene, id, "rolled_back");
    trial_wait_alone(scene);
    trial_check_why(scene, id, why);
    assert_runs(scene, version);
    assert_eval(scene->node, booted, generation);
    scene_settled(scene);
}

/* The next change goes. */
static void check_next(struct scene *scene)
{
    struct harness_run run =
        scene_nzd(scene, "apply", THROUGH, scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- in place ------------------------------------------------------------ */

static void assert_told(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.2.0, on trial +proved: "
                            "([0-9]+) of \\1 module md5s$");
    assert_matches(run.out, "^trial +1 until 20.* UTC \\((60|59) min left\\)$");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    run = scene_nzd(scene, "confirm", "--dry-run");
    assert_status(run, 0);
    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.3.0"));
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 is on trial");
    run = scene_nzd(scene, "recover", "--before-start");
    assert_status(run, 10);
    scene_record(scene, 1, "trial");
}

static void it_is_confirmed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = begin(scene, "0.2.0", "1h");
    assert_matches(run.out, "^on trial 1: counter 0.2.0 runs on counter");
    assert_contains(run.out, "then 0.1.0 boots again; so it does when the VM");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    assert_eval(scene->node, booted, "1");
    assert_eval(scene->node, next_boot, "false");
    assert_true(trial_keeper(scene) > 1);
    assert_told(scene);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 is confirmed on ");
    trial_wait_alone(scene);
    assert_runs(scene, "0.2.0");
    assert_eval(scene->node, next_boot, "true");
    scene_settled(scene);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  RESTARTING");
    assert_matches(run.out, "  keep +the agent has the deadline, in 60 min");
    assert_matches(run.out, "  TRIAL +for 60 min, then the generation before");
    assert_matches(run.out, "  COMMITTED +confirmed");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 is confirmed already");
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node, up, UP("1"), TRIAL_SOON_MS);
    assert_runs(scene, "0.2.0");
}

static void it_is_not_confirmed(void **state)
{
    struct scene *scene = *state;
    const char *pid = beam_node_eval(scene->node, "os:getpid()");
    begin(scene, "0.2.0", "1s");
    trial_wait_state(scene, 1, "rolled_back");
    assert_eval(scene->node, "os:getpid()", pid);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 was rolled back, it was not "
                             "confirmed within 1");
    assert_contains(scene_record(scene, 1, "rolled_back"), "REBOOT PENDING");
    check_undone(scene, 1, "0.1.0", "0", "it was not confirmed within 1");
    check_next(scene);
}

/* Neither keeper nor program: the agent restarts the VM by itself. */
static void the_agent_is_alone(void **state)
{
    struct scene *scene = *state;
    static const char *const through[] = {"--min", "restart-vm", "--max",
                                          "restart-vm", NULL};
    trial_begin_alone_by(scene, "1s", through);
    beam_node_wait_for(scene->node, up, UP("0"), TRIAL_SOON_MS);
    scene_record(scene, 1, "trial");
    assert_eval(scene->node, "counter_text:version()", "\"0.1.0\"");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.1.0, generation 0 +proved: ");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_contains(run.out, "why   the VM was restarted before it was");
    check_undone(scene, 1, "0.1.0", "0", "the VM was restarted before");
}

/* Of an agent that is alone, but can start programs. */
static void the_keeper_is_lost(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1s");
    trial_kill_keeper(scene);
    check_undone(scene, 1, "0.1.0", "0", "it was not confirmed within 1");
}

static void a_rollback_ends_it(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    begin(scene, "0.3.0", "1h");
    assert_eval(scene->node, booted, "2");
    /* It is generation 1 that any restart would boot. */
    assert_eval(scene->node, next_boot, "true");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "rolled back 2: the trial of counter 0.3.0 is "
                             "over");
    check_undone(scene, 2, "0.2.0", "1", "ended by nzd rollback");
    /* Going back to the base is tried as well. */
    run = scene_nzd(scene, "rollback", THROUGH, CONFIRM);
    assert_status(run, 0);
    assert_eval(scene->node, "counter_text:version()", "\"0.1.0\"");
    assert_eval(scene->node, booted, "0");
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node, booted, "1", TRIAL_SOON_MS);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    trial_wait_alone(scene);
    trial_check_why(scene, 3, "the VM was restarted before it was confirmed");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void the_vm_is_restarted(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1h");
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node, booted, "0", TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    check_undone(scene, 1, "0.1.0", "0", "the VM was restarted before");
}

/* Somebody had the target boot once more: it does not stay. */
static void the_target_boots_again(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1h");
    beam_node_eval(
        scene->node,
        "begin [F|_] = [F || F <- [filename:dirname(code:which(counter_text))]"
        ", string:find(F, \"/nzd/overlay/\") =/= nomatch], "
        "Root = filename:join(lists:takewhile(fun(P) -> P =/= \"lib\" end, "
        "filename:split(F))), "
        "ok = init:make_permanent(filename:join(Root, \"start\"), false), "
        "init:restart() end");
    beam_node_wait_for(scene->node,
                       "{persistent_term:get({nzd, booted}, 0), "
                       "persistent_term:get({nzd, token}, none)}",
                       "{1,none}", TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    check_undone(scene, 1, "0.1.0", "0", "the VM was restarted before");
    check_next(scene);
}

static void the_vm_is_gone(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1h");
    beam_node_kill(scene->node);
    struct harness_run run = scene_nzd(scene, "recover", "--before-start");
    assert_status(run, 0);
    beam_node_start_again(scene->node);
    check_undone(scene, 1, "0.1.0", "0", "the VM was restarted before");
}

/* --- by a command -------------------------------------------------------- */

static void by_a_command(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1h");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    assert_eval(scene->node, booted, "1");
    struct harness_run run = scene_nzd(scene, "status");
    assert_matches(run.out, "^running +counter 0.2.0, on trial +proved: ");
    assert_matches(run.out, "^trial +1 until ");
    run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    assert_contains(run.out, "generation 1: healthy; it is not committed yet");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    trial_wait_alone(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    kill(supervised_pid(scene), SIGKILL);
    beam_node_wait_for(scene->node,
                       "{persistent_term:get({nzd, token}, none), "
                       "init:get_status()}",
                       "{none,{started,started}}", TRIAL_SOON_MS);
    assert_runs(scene, "0.2.0");
    begin(scene, "0.3.0", "1s");
    check_undone(scene, 2, "0.2.0", "1", "it was not confirmed within 1");
}

/* It is nzd boot that writes it down. */
static void the_process_is_lost(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "1h");
    pid_t keeper = trial_keeper(scene);
    assert_true(keeper > 1);
    kill(keeper, SIGKILL);
    kill(supervised_pid(scene), SIGKILL);
    beam_node_wait_for(scene->node, booted, "0", TRIAL_SOON_MS);
    check_undone(scene, 1, "0.1.0", "0", "the VM was restarted before");
    check_next(scene);
}

/* The command needs no answer of it. */
static void it_hangs(void **state)
{
    struct scene *scene = *state;
    begin(scene, "0.2.0", "2s");
    kill(supervised_pid(scene), SIGSTOP);
    beam_node_wait_for(scene->node, booted, "0", 2 * TRIAL_SOON_MS);
    check_undone(scene, 1, "0.1.0", "0", "it was not confirmed within 2");
}

/* Nobody can ask it to restart in place: it is ended, where that is allowed. */
static void it_hangs_in_place(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%strial {\n hung = restart\n hung_after = 1s\n}\n",
                 boot_keys);
    begin(scene, "0.2.0", "2s");
    kill(supervised_pid(scene), SIGSTOP);
    beam_node_wait_for(scene->node, booted, "0", 3 * TRIAL_SOON_MS);
    check_undone(scene, 1, "0.1.0", "0", "said nothing for ");
    assert_contains(scene_record(scene, 1, "rolled_back"), "REBOOT PENDING");
}

/* Whoever comes next puts it on trial, and no later nzd commits it unasked. */
static void nzd_is_killed_before_it(void **state)
{
    struct scene *scene = *state;
    scene_config(
        scene, "%srestart {\n command = {\"%s\"}\n timeout = 40s\n}\n",
        boot_keys,
        scene_script(scene, "slowly",
                     "kill -9 $(cat %s)\necho $PPID >began\nsleep 60\n",
                     harness_path(scene->harness, "vm.pid")));
    struct harness_job *job = scene_begin(scene, "apply", THROUGH, CONFIRM,
                                          scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, "began");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 10000);
    beam_node_wait_for(scene->node, booted, "1", TRIAL_SOON_MS);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    trial_wait_alone(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

#define of(test) cmocka_unit_test_setup_teardown(test, setup, scene_teardown)
#define by(test)                                                               \
    cmocka_unit_test_setup_teardown(test, setup_supervised, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        of(it_is_confirmed),
        of(it_is_not_confirmed),
        of(the_agent_is_alone),
        of(the_keeper_is_lost),
        of(a_rollback_ends_it),
        of(the_vm_is_restarted),
        of(the_target_boots_again),
        of(the_vm_is_gone),
        by(by_a_command),
        by(the_process_is_lost),
        by(it_hangs),
        by(it_hangs_in_place),
        by(nzd_is_killed_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
