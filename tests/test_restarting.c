/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "supervised.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Changes that go through a restart of the VM, in place and by a command: to
 * the end, failing, and cut short. */

#define THROUGH "--min", "restart-vm", "--max", "restart-vm", "--retry"

static const char boot_keys[] = "boot {\n tries = 3\n healthy = 0\n}\n";

static int setup(void **state)
{
    scene_setup(state);
    struct scene *scene = *state;
    scene_config(scene, "%s", boot_keys);
    return 0;
}

static struct harness_run through(struct scene *scene, const char *version)
{
    return scene_nzd(scene, "apply", THROUGH, scene_bundle(scene, version));
}

static void assert_booted(struct scene *scene, const char *generation)
{
    assert_eval(scene->node, "persistent_term:get({nzd, booted}, 0)",
                generation);
}

/* --- in place ------------------------------------------------------------ */

static void in_place(void **state)
{
    struct scene *scene = *state;
    const char *pid = beam_node_eval(scene->node, "os:getpid()");
    struct harness_run run = through(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 runs on");
    assert_contains(run.err, "init:restart/0");
    assert_runs(scene, "0.2.0");
    assert_booted(scene, "1");
    assert_eval(scene->node, "os:getpid()", pid);
    scene_record(scene, 1, "committed");
    scene_settled(scene);

    run = scene_nzd(scene, "rollback", THROUGH);
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    assert_booted(scene, "0");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
}

/* A module that had been removed by one comes back, and goes again. */
static void and_hot_again(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = through(scene, "0.2.0");
    assert_status(run, 0);
    run = scene_apply(scene, "0.1.0");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "filelib:is_file(code:which(counter_legacy))",
                "true");
    /* It boots, though the boot script that is in force came with 0.2.0. */
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node,
                       "{persistent_term:get({nzd, booted}, 0), "
                       "init:get_status()}",
                       "{2,{started,started}}", 20000);
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "application:get_key(counter, vsn)",
                "{ok,\"0.1.0\"}");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    run = scene_apply(scene, "0.1.0");
    assert_status(run, 0);
    run = through(scene, "0.2.0");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void over_a_generation(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = through(scene, "0.3.0");
    assert_status(run, 0);
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void a_hook_says_no(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_config(scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(scene, "no", "echo not today\nexit 3\n"));
    run = through(scene, "0.3.0");
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 2: counter 0.2.0 runs on");
    assert_contains(run.out, "hook no ");
    assert_runs(scene, "0.2.0");
    assert_booted(scene, "1");
    const char *record = scene_record(scene, 2, "rolled_back");
    assert_contains(record, "REBOOT PENDING");
    assert_contains(record, "not today");
    scene_settled(scene);
}

/* The application of the bundle does not start: the VM ends. */
static const char *bad_bundle(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *bundle = harness_path(harness, "bad");
    harness_copy(harness, scene_bundle(scene, "0.2.0"), bundle);
    const char *const argv[] = {
        "sh", "-c",
        harness_text(harness,
                     "cd %s/lib/counter-0.2.0/ebin && printf '%%s\\n' "
                     "'-module(counter_app).' '-export([start/2, stop/1]).' "
                     "'start(_, _) -> {error, broken}.' 'stop(_) -> ok.' "
                     ">counter_app.erl && erlc +debug_info counter_app.erl && "
                     "rm counter_app.erl",
                     bundle),
        NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    return bundle;
}

static void the_vm_does_not_come_back(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%srestart {\n timeout = 3s\n}\n", boot_keys);
    struct harness_run run =
        scene_nzd(scene, "apply", THROUGH, bad_bundle(scene));
    assert_status(run, 7);
    assert_contains(run.err, "transaction 1 is reboot_pending");
    assert_contains(run.err, "boots the old generation");
    scene_record(scene, 1, "reboot_pending");
    beam_node_wait_end(scene->node, 5000);
    beam_node_start_again(scene->node);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- all that a release has ---------------------------------------------- */

static void release_in_place(struct scene *scene, const char *from)
{
    const struct beam_node_options options = {
        .release = harness_fixture(scene->harness, from), .name = "release"};
    beam_node_kill(scene->node);
    scene->node = beam_node_start(scene->harness, &options);
}

static void goes(struct scene *scene, const char *bundle)
{
    struct harness_run run = scene_nzd(scene, "apply", THROUGH,
                                       harness_fixture(scene->harness, bundle));
    assert_status(run, 0);
    scene_settled(scene);
    run = scene_nzd(scene, "apply", harness_fixture(scene->harness, bundle));
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
}

static void goes_back(struct scene *scene, const char *to)
{
    struct harness_run run = scene_nzd(scene, "rollback", "--to", to, THROUGH);
    assert_status(run, 0);
    scene_settled(scene);
}

static const char greeting[] = "application:get_env(counter, greeting)";
static const char motd[] =
    "element(2, file:read_file(filename:join(code:priv_dir(counter), "
    "\"motd.txt\")))";
static const char extra[] =
    "lists:keymember(counter_extra, 1, application:which_applications())";

/* One after the other; each also takes back what the one before brought. */
static void configuration_applications_and_priv(void **state)
{
    struct scene *scene = *state;
    release_in_place(scene, "counter-0.2.0");
    const char *before = beam_node_eval(scene->node, "%s", motd);
    goes(scene, "counter-0.2.0-conf.tar.gz");
    assert_eval(scene->node, greeting, "{ok,\"good day\"}");
    goes(scene, "counter-0.2.0-app.tar.gz");
    assert_eval(scene->node, greeting, "{ok,\"hello\"}");
    assert_eval(scene->node, extra, "true");
    assert_eval(scene->node, "counter_extra:twice()",
                "{{\"0.2.0\",1},{\"0.2.0\",2}}");
    goes(scene, "counter-0.2.0-priv.tar.gz");
    assert_eval(scene->node, extra, "false");
    assert_string_not_equal(beam_node_eval(scene->node, "%s", motd), before);
    goes_back(scene, "1");
    assert_eval(scene->node, greeting, "{ok,\"good day\"}");
    assert_eval(scene->node, extra, "false");
    assert_eval(scene->node, motd, before);
    goes_back(scene, "0");
    assert_eval(scene->node, greeting, "{ok,\"hello\"}");
    assert_eval(scene->node, motd, before);
}

/* A hot change upon it keeps what it brought. */
static void and_code_upon_it(void **state)
{
    struct scene *scene = *state;
    release_in_place(scene, "counter-0.2.0");
    goes(scene, "counter-0.2.0-app.tar.gz");
    struct harness_run run =
        scene_nzd(scene, "apply", THROUGH,
                  harness_fixture(scene->harness, "counter-0.3.0.tar.gz"));
    assert_status(run, 0);
    assert_eval(scene->node, extra, "false");
    assert_eval(scene->node, "counter_text:version()", "\"0.3.0\"");
    scene_settled(scene);
    goes_back(scene, "1");
    assert_eval(scene->node, extra, "true");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
}

static void runtime_exs(void **state)
{
    struct scene *scene = *state;
    release_in_place(scene, "greeter-0.2.0");
    goes(scene, "greeter-0.2.0-runtime.tar.gz");
    assert_eval(scene->node, "application:get_env(greeter, greeting)",
                "{ok,<<\"Good day\">>}");
    goes_back(scene, "0");
    assert_string_not_equal(
        beam_node_eval(scene->node, "application:get_env(greeter, greeting)"),
        "{ok,<<\"Good day\">>}");
}

/* A copy of its configuration is to be written, which Elixir writes to. */
static const char *written_bundle(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *bundle = harness_path(harness, "written");
    const char *const argv[] = {
        "sed",
        "-i",
        "-e",
        "s/RUNTIME_CONFIG=false/RUNTIME_CONFIG=true/",
        "-e",
        "s/{greeter,\\[/&{more,1},/",
        harness_text(harness, "%s/releases/0.2.0-runtime/sys.config", bundle),
        NULL};
    harness_copy(harness, harness_fixture(harness, "greeter-0.2.0-runtime"),
                 bundle);
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    return bundle;
}

/* What was laid out for a restart that could not be asked for is put back:
 * what init:restart/0 boots is what was in force. */
static void it_cannot_be_restarted(void **state)
{
    struct scene *scene = *state;
    release_in_place(scene, "greeter-0.2.0");
    goes(scene, "greeter-0.2.0-runtime.tar.gz");
    const char *tmp = beam_node_eval(scene->node, "os:getenv(\"RELEASE_TMP\")");
    beam_node_eval(scene->node, "os:putenv(\"RELEASE_TMP\", \"/dev/null\")");
    struct harness_run run =
        scene_nzd(scene, "apply", THROUGH, written_bundle(scene));
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 2: ");
    assert_contains(run.out, "enotdir");
    beam_node_eval(scene->node, "os:putenv(\"RELEASE_TMP\", %s)", tmp);
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_restart(scene->node, 20000);
    assert_booted(scene, "1");
    scene_settled(scene);
}

/* --- by a command -------------------------------------------------------- */

static void by_a_command(void **state)
{
    struct scene *scene = *state;
    supervised_start(scene, boot_keys, "");
    const char *pid = beam_node_eval(scene->node, "os:getpid()");
    struct harness_run run = through(scene, "0.2.0");
    assert_status(run, 0);
    assert_lacks(run.err, "init:restart/0");
    assert_runs(scene, "0.2.0");
    assert_booted(scene, "1");
    assert_string_not_equal(beam_node_eval(scene->node, "os:getpid()"), pid);
    scene_settled(scene);
    run = scene_nzd(scene, "rollback", THROUGH);
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* nzd boot starts it once; then it is the old one's turn. */
static void it_does_not_start(void **state)
{
    struct scene *scene = *state;
    supervised_start(scene, boot_keys, "");
    struct harness_run run =
        scene_nzd(scene, "apply", THROUGH, bad_bundle(scene));
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: counter 0.1.0 runs on");
    assert_contains(run.out, "booted the generation before");
    assert_runs(scene, "0.1.0");
    scene_record(scene, 1, "rolled_back");
    scene_settled(scene);
}

static void the_command_fails(void **state)
{
    struct scene *scene = *state;
    supervised_start(scene, boot_keys, "");
    scene_config(scene, "%srestart {\n command = {\"%s\"}\n}\n", boot_keys,
                 scene_script(scene, "broken", "exit 4\n"));
    struct harness_run run = through(scene, "0.2.0");
    assert_status(run, 6);
    assert_matches(run.out, "why +the restart command .*broken exited with 4");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* It did what it is for all the same: what has booted decides. */
static void the_command_fails_late(void **state)
{
    struct scene *scene = *state;
    supervised_start(scene, boot_keys, "");
    scene_config(scene, "%srestart {\n command = {\"%s\"}\n}\n", boot_keys,
                 scene_script(scene, "late", "kill -9 $(cat %s)\nexit 4\n",
                              harness_path(scene->harness, "vm.pid")));
    struct harness_run run = through(scene, "0.2.0");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    assert_booted(scene, "1");
    scene_settled(scene);
}

/* --- nzd is lost --------------------------------------------------------- */

/* While the VM is down. */
static void kill_nzd(struct scene *scene, const char *bundle)
{
    supervised_start(scene, boot_keys, "");
    scene_config(
        scene, "%srestart {\n command = {\"%s\"}\n timeout = 40s\n}\n",
        boot_keys,
        scene_script(scene, "slowly",
                     "kill -9 $(cat %s)\necho $PPID >began\nsleep 60\n",
                     harness_path(scene->harness, "vm.pid")));
    struct harness_job *job = scene_begin(scene, "apply", THROUGH, bundle);
    scene_wait_file(scene, "began");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 10000);
    beam_node_wait_for(scene->node, "persistent_term:get({nzd, booted}, 0)",
                       "1", 20000);
    scene_config(scene, "%srestart {\n command = {\"%s\"}\n timeout = 40s\n}\n",
                 boot_keys, harness_path(scene->harness, "restart"));
}

static void nzd_is_killed(void **state)
{
    struct scene *scene = *state;
    kill_nzd(scene, scene_bundle(scene, "0.2.0"));
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    scene_record(scene, 1, "committed");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* Whoever goes on has not seen the bundle: the record keeps them. */
static void with_hooks_of_its_bundle(void **state)
{
    struct scene *scene = *state;
    struct harness *harness = scene->harness;
    const char *bundle = harness_path(harness, "bundle");
    harness_copy(harness, scene_bundle(scene, "0.2.0"), bundle);
    const char *const argv[] = {"mkdir",
                                harness_text(harness, "%s/nzd", bundle), NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    harness_write_file(harness_text(harness, "%s/nzd/hooks.conf", bundle),
                       SCENE_CALL("own", "post", "counter_check:run",
                                  "\"quick\", \"[{limit,89}]\""));
    kill_nzd(scene, bundle);
    harness_remove(harness, bundle);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    const char *record = scene_record(scene, 1, "rolled_back");
    assert_contains(record, "own FAILED: returned {error,{limit,90}}");
    assert_contains(record, "\"why\":\"hook own returned {error,{limit,90}}");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static bool is_committed(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "journal", "show", "1", "--json");
    return run.status == 0 && strstr(run.out, "\"committed\"");
}

/* The device goes down with it: SIGTERM, and the next boot goes on. */
static void everybody_ends(void **state)
{
    struct scene *scene = *state;
    supervised_start(scene, boot_keys, "");
    scene_config(scene, "%srestart {\n command = {\"%s\"}\n timeout = 40s\n}\n",
                 boot_keys,
                 scene_script(scene, "shutdown",
                              "kill -TERM $(cat nzd.pid)\nsleep 60\n"));
    const char *path = harness_path(scene->harness, "nzd.pid");
    struct harness_job *job =
        scene_begin(scene, "apply", THROUGH, scene_bundle(scene, "0.2.0"));
    harness_write_file(
        path, harness_text(scene->harness, "%d\n", (int)harness_job_pid(job)));
    struct harness_run run = harness_end(scene->harness, job, 60000);
    assert_status(run, 7);
    assert_contains(run.err, "boots the new generation");
    scene_record(scene, 1, "restarting");
    beam_node_kill(scene->node);
    /* Nobody is left to settle it but the keeper. */
    scene_config(scene, "%s", "boot {\n healthy = 1s\n}\n");
    beam_node_start_again(scene->node);
    for (unsigned i = 0; i < 200 && !is_committed(scene); i++)
        process_sleep_ms(100);
    scene_record(scene, 1, "committed");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- refused ------------------------------------------------------------- */

static void nothing_differs(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = through(scene, "0.1.0");
    assert_status(run, 5);
    assert_contains(run.err, "nothing differs");
    assert_runs(scene, "0.1.0");
}

#define of(test) cmocka_unit_test_setup_teardown(test, setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        of(in_place),
        of(and_hot_again),
        of(over_a_generation),
        of(a_hook_says_no),
        of(the_vm_does_not_come_back),
        of(configuration_applications_and_priv),
        of(and_code_upon_it),
        of(runtime_exs),
        of(it_cannot_be_restarted),
        of(by_a_command),
        of(it_does_not_start),
        of(the_command_fails),
        of(the_command_fails_late),
        of(nzd_is_killed),
        of(with_hooks_of_its_bundle),
        of(everybody_ends),
        of(nothing_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
