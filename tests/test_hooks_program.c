/* SPDX-License-Identifier: Apache-2.0 */
#include "hooked.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

/* --- before armed --- */

static void pre_program_fails(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("room", "pre", "5s"),
                 scene_script(scene, "room", "echo no room; exit 3\n"));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_aborted(scene, &run, 1);
    assert_matches(run.err, "^nzd: hook room .*/room exited with 3$");
    assert_contains(scene_record(scene, 1, "aborted"),
                    "\"output\":\"no room\\n\"");
}

/* --- programs --- */

static void program_is_told(void **state)
{
    struct scene *scene = *state;
    const char *tell =
        scene_script(scene, "tell",
                     "echo \"$NZD_PHASE,$NZD_TXN,$NZD_NODE,$NZD_BUNDLE,"
                     "$NZD_OUTCOME,$(ls /proc/self/fd | tr '\\n' ' '),"
                     "$(cat | wc -c)\" >>told\necho said to stdout\n"
                     "echo said to stderr >&2\n");
    const char *format = SCENE_PROGRAM("a", "pre", "5s")
        SCENE_PROGRAM("b", "post", "5s") SCENE_PROGRAM("c", "outcome", "5s");
    scene_config(scene, format, tell, tell, tell);
    const char *bundle = scene_bundle(scene, "0.2.0");
    struct harness_run run = scene_nzd(scene, "apply", bundle);
    assert_committed(scene, &run, 1);
    const char *node = beam_node_name(scene->node);
    /* 3 is the folder that ls itself reads. */
    assert_string_equal(
        scene_wait_file(scene, "told"),
        harness_text(scene->harness,
                     "pre,1,%s,%s,,0 1 2 3 ,0\npost,1,%s,%s,,0 1 2 3 ,0\n"
                     "outcome,1,%s,%s,committed,0 1 2 3 ,0\n",
                     node, bundle, node, bundle, node, bundle));
    const char *record = scene_record(scene, 1, "committed");
    hooked_output_of(record, "hook pre", "said to stdout\nsaid to stderr\n");
    hooked_output_of(record, "hook post", "said to stdout\nsaid to stderr\n");
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "^ +\\+[0-9.]+ m?s +hook post b ok ");
    assert_contains(run.out, "| said to stdout\n");
    assert_contains(run.out, "| said to stderr\n");
}

static void program_ends_badly(void **state)
{
    struct scene *scene = *state;
    const char *script = scene_script(scene, "one", "echo why; exit 1\n");
    scene_config(scene, SCENE_PROGRAM("one", "post", "5s"), script);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(
        scene, &run, 1,
        harness_text(scene->harness, "one %s exited with 1", script));
    hooked_output_of(scene_record(scene, 1, "rolled_back"), "hook post",
                     "why\n");

    script = scene_script(scene, "dies", "kill -9 $$\n");
    scene_config(scene, SCENE_PROGRAM("dies", "post", "5s"), script);
    run = scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_rolled_back(
        scene, &run, 2,
        harness_text(scene->harness, "dies %s died of signal 9", script));
}

static void program_is_missing(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("absent", "post", "5s"),
                 "/nonexistent/program");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(scene, &run, 1,
                       "absent /nonexistent/program cannot be started: No such "
                       "file or directory");
    const char *plain = scene_script(scene, "plain", "exit 0\n");
    assert_int_equal(chmod(plain, 0600), 0);
    scene_config(scene, SCENE_PROGRAM("plain", "post", "5s"), plain);
    run = scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_rolled_back(scene, &run, 2,
                       harness_text(scene->harness,
                                    "plain %s cannot be started: Permission "
                                    "denied",
                                    plain));
}

/* Its group, what ignores TERM, and what went to a session of its own. */
static void program_is_ended_in_time(void **state)
{
    struct scene *scene = *state;
    const char *script = scene_script(
        scene, "slow",
        "sleep 1000 & echo $! >child\n"
        "setsid sh -c 'sleep 1000 & echo $! >grandchild; wait' &\n"
        "(trap '' TERM; echo ready >ready; while :; do sleep 1; done) &\n"
        "echo $! >deaf\necho $$ >self\necho waiting\nwait\n");
    scene_config(scene, SCENE_PROGRAM("slow", "post", "700ms"), script);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(scene, &run, 1,
                       harness_text(scene->harness,
                                    "slow %s did not end within 700 ms",
                                    script));
    assert_in_range(run.ms, 700, 8000);
    assert_true(scene_is_gone(scene_wait_pid(scene, "self")));
    assert_true(scene_is_gone(scene_wait_pid(scene, "child")));
    /* qemu-user knows no PR_SET_CHILD_SUBREAPER. */
    if (!getenv("NZD_TEST_EMULATED"))
        assert_true(scene_is_gone(scene_wait_pid(scene, "grandchild")));
    assert_true(scene_is_gone(scene_wait_pid(scene, "deaf")));
    hooked_output_of(scene_record(scene, 1, "rolled_back"), "hook post",
                     "waiting\n");
}

/* Longer than the node waits for a tick of ours. */
static void link_outlives_a_long_program(void **state)
{
    struct scene *scene = *state;
    struct beam_node_options options = {.name = "ticking", .net_ticktime = 4};
    beam_node_stop(scene->node);
    scene_start(scene, &options);
    assert_eval(scene->node, "net_kernel:get_net_ticktime()", "4");
    scene_config(scene, SCENE_PROGRAM("long", "post", "20s"),
                 scene_script(scene, "long", "sleep 7\n"));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_committed(scene, &run, 1);
    assert_in_range(run.ms, 7000, 20000);
}

/* --- signals --- */

static struct harness_run interrupt(struct scene *scene, const char *waits,
                                    int number)
{
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, waits);
    kill(harness_job_pid(job), number);
    struct harness_run run = harness_end(scene->harness, job, 15000);
    if (run.timed_out)
        fail_msg("nzd did not end after signal %d:\n%s", number, run.err);
    return run;
}

static const char *hanging_program(struct scene *scene)
{
    return scene_script(scene, "hang",
                        "sleep 1000 & echo $! >sleeper\necho $$ >began\n"
                        "wait\n");
}

static void configure_hanging_call(struct scene *scene, const char *phase)
{
    scene_load_hooks(scene);
    scene_config(scene,
                 "hook \"hang\" {\n phase = %s\n"
                 " call = \"nzd_test_hook:hang\"\n"
                 " args = {\"\\\"%s/began\\\"\"}\n timeout = 10m\n}\n",
                 phase, harness_dir(scene->harness));
}

static void assert_program_ended(struct scene *scene)
{
    assert_true(scene_is_gone(scene_wait_pid(scene, "began")));
    assert_true(scene_is_gone(scene_wait_pid(scene, "sleeper")));
}

static void assert_call_ended(struct scene *scene)
{
    beam_node_wait_for(scene->node,
                       "[P || P <- erlang:processes(), "
                       "{_, {timer, sleep, 1}} <- "
                       "[process_info(P, current_function)]]",
                       "[]", 2000);
}

static void signal_in_pre_program(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("hang", "pre", "60s"),
                 hanging_program(scene));
    struct harness_run run = interrupt(scene, "began", SIGTERM);
    assert_aborted(scene, &run, 1);
    assert_in_range(run.ms, 0, 8000);
    assert_program_ended(scene);
}

static void signal_in_pre_call(void **state)
{
    struct scene *scene = *state;
    configure_hanging_call(scene, "pre");
    struct harness_run run = interrupt(scene, "began", SIGINT);
    assert_aborted(scene, &run, 1);
    assert_in_range(run.ms, 0, 8000);
    assert_call_ended(scene);
}

static void signal_in_post_program(void **state)
{
    struct scene *scene = *state;
    const char *script = hanging_program(scene);
    scene_config(scene, SCENE_PROGRAM("hang", "post", "60s"), script);
    struct harness_run run = interrupt(scene, "began", SIGINT);
    assert_rolled_back(scene, &run, 1,
                       harness_text(scene->harness,
                                    "hang %s was ended by a signal to nzd",
                                    script));
    assert_in_range(run.ms, 0, 8000);
    assert_program_ended(scene);
}

/* The agent is busy with the hook; it hears what matters more. */
static void signal_in_post_call(void **state)
{
    struct scene *scene = *state;
    configure_hanging_call(scene, "post");
    struct harness_run run = interrupt(scene, "began", SIGTERM);
    assert_status(run, 6);
    assert_in_range(run.ms, 0, 8000);
    assert_contains(run.out, "rolled back 1:");
    assert_contains(run.out, "  why   interrupted by a signal");
    assert_runs(scene, "0.1.0");
    scene_record(scene, 1, "rolled_back");
    scene_settled(scene);
    assert_call_ended(scene);
}

/* What is committed stays so, and the agent hears that it is done. */
static void signal_after_the_commit(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("hang", "outcome", "60s"),
                 hanging_program(scene));
    struct harness_run run = interrupt(scene, "began", SIGTERM);
    assert_status(run, 0);
    assert_lacks(run.err, "was not told");
    assert_program_ended(scene);
    assert_committed(scene, &run, 1);
    scene_config(scene, "%s", "");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(pre_program_fails),        real(program_is_told),
        real(program_ends_badly),       real(program_is_missing),
        real(program_is_ended_in_time), real(link_outlives_a_long_program),
        real(signal_in_pre_program),    real(signal_in_pre_call),
        real(signal_in_post_program),   real(signal_in_post_call),
        real(signal_after_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
