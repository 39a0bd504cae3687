/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A node, or nzd itself, that is lost at each stage: what is true then, and
 * what the next nzd makes of it. */

/* --- lost before anything was touched --- */

static void assert_untouched(const struct harness_run *run, const char *why)
{
    harness_check_status(run, 4, __FILE__, __LINE__);
    assert_contains(run->err, why);
    assert_contains(run->err, "untouched  nothing was touched");
    assert_lacks(run->out, "committed");
}

/* No transaction has got a number. */
static void assert_no_transaction(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "journal", "show", "1");
    assert_status(run, 2);
    assert_contains(run.err, "transaction 1 is not held");
}

static struct harness_run apply_to(struct scene *scene, const char *node,
                                   const char *cookie,
                                   const char *const *environment)
{
    const char *const *argv = harness_argv(
        scene->harness, NULL, "apply", scene_bundle(scene, "0.2.0"), "--node",
        node, "--cookie-file", cookie, "--timeout", "1s", NULL);
    return harness_run(scene->harness, scene_argv(scene, argv), environment);
}

static void node_refuses_the_cookie(void **state)
{
    struct scene *scene = *state;
    const char *node = beam_node_name(scene->node);
    const char *other = harness_path(scene->harness, "other.cookie");
    harness_write_file(other, "quiteanothercookie");
    struct harness_run run = apply_to(scene, node, other, NULL);
    assert_untouched(
        &run, harness_text(scene->harness, "nzd: %s refuses our cookie", node));
    assert_contains(run.err, "--cookie-file FILE");
    assert_lacks(run.err, "quiteanothercookie");
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "whereis(nzd)", "undefined");
    assert_no_transaction(scene);
}

static void node_is_not_known(void **state)
{
    struct scene *scene = *state;
    const char *cookie = harness_cookie_file(scene->harness);
    struct harness_run run = apply_to(scene, "nobody@localhost", cookie, NULL);
    assert_untouched(&run, "does not know nobody\n");
    assert_runs(scene, "0.1.0");

    beam_node_stop(scene->node);
    run = scene_apply(scene, "0.2.0");
    assert_untouched(&run, "does not know counter");
    assert_no_transaction(scene);
}

static void epmd_is_absent(void **state)
{
    struct scene *scene = *state;
    const char *const nowhere[] = {"ERL_EPMD_PORT=1", NULL};
    struct harness_run run =
        apply_to(scene, beam_node_name(scene->node),
                 harness_cookie_file(scene->harness), nowhere);
    assert_untouched(&run, "epmd: nothing listens on 127.0.0.1 port 1: "
                           "Connection refused\n");
    assert_runs(scene, "0.1.0");
    assert_no_transaction(scene);
}

static void node_is_frozen_before(void **state)
{
    struct scene *scene = *state;
    beam_node_freeze(scene->node);
    struct harness_run run = scene_nzd(
        scene, "apply", scene_bundle(scene, "0.2.0"), "--timeout", "1s");
    assert_untouched(&run, "takes the connection but does not answer");
    assert_in_range(run.ms, 900, 6000);
    run = scene_nzd(scene, "status", "--timeout", "1s");
    assert_status(run, 4);
    beam_node_thaw(scene->node);
    assert_runs(scene, "0.1.0");
    assert_no_transaction(scene);
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
}

/* --- lost after armed --- */

/* A post hook that does this to the node or to nzd, and then goes on. */
static void configure_post(struct scene *scene, const char *act)
{
    scene_config(scene, SCENE_PROGRAM("act", "post", "60s"),
                 scene_script(scene, "act", "%s\n", act));
}

/* What a transaction that was undone leaves, whoever has undone it. */
static void assert_undone(struct scene *scene, const char *why)
{
    assert_runs(scene, "0.1.0");
    const char *record = scene_record(scene, 1, "rolled_back");
    assert_contains(record, "\"exit\":6");
    assert_contains(record, harness_text(scene->harness, "\"why\":\"%s", why));
    scene_settled(scene);
    assert_eval(scene->node, "erlang:module_loaded(counter_rate)", "false");
    /* And the next apply meets nothing of it. */
    scene_config(scene, "%s", "");
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
}

/* The journal says armed, and everybody is told so. */
static void assert_open(struct scene *scene)
{
    scene_record(scene, 1, "armed");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^open +1 is armed: nzd is at work, or was cut "
                            "short; see nzd recover$");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    run = scene_nzd(scene, "status", "--json");
    assert_contains(run.out, "\"open\":{\"txn\":1,\"state\":\"armed\"}");
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);
}

static void node_is_frozen_after(void **state)
{
    struct scene *scene = *state;
    /* Its threads stand when its first one does, and that takes a moment. */
    int vm = (int)beam_node_pid(scene->node);
    configure_post(scene, harness_text(scene->harness,
                                       "kill -STOP %d; until grep -q "
                                       "'^State:.T' /proc/%d/status; do "
                                       "sleep 0.01; done; sleep 0.1",
                                       vm, vm));
    struct harness_run run = scene_nzd(
        scene, "apply", scene_bundle(scene, "0.2.0"), "--timeout", "2s");
    assert_status(run, 10);
    assert_contains(run.err, "transaction 1 is not settled");
    assert_contains(run.err, "untouched  the journal says armed");
    assert_in_range(run.ms, 1000, 25000);
    scene_record(scene, 1, "armed");
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);

    /* It sees that nzd has gone, and undoes what it was not told to keep. */
    beam_node_thaw(scene->node);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       5000);
    assert_open(scene);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_undone(scene, "");
}

static void node_is_killed_after(void **state)
{
    struct scene *scene = *state;
    configure_post(scene, harness_text(scene->harness, "kill -KILL %d",
                                       (int)beam_node_pid(scene->node)));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: ");
    assert_true(beam_node_wait_end(scene->node, 5000));
    const char *record = scene_record(scene, 1, "rolled_back");
    assert_contains(record, "its memory is gone");
    beam_node_start_again(scene->node);
    assert_undone(scene, "");
}

/* --- nzd is lost --- */

static const char *hanging(void)
{
    return "sleep 1000 & echo $! >sleeper\necho $$ >began\nwait";
}

static struct harness_job *begin_until_post(struct scene *scene)
{
    configure_post(scene, hanging());
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, "began");
    assert_string_equal(beam_node_eval(scene->node, "counter_text:version()"),
                        "\"0.2.0\"");
    return job;
}

static void kill_nzd(struct scene *scene, struct harness_job *job)
{
    kill(harness_job_pid(job), SIGKILL);
    struct harness_run run = harness_end(scene->harness, job, 5000);
    assert_int_equal(run.status, 128 + SIGKILL);
}

static void wait_gone(pid_t pid)
{
    double until = process_now_ms() + 5000;
    while (!scene_is_gone(pid)) {
        if (process_now_ms() > until)
            fail_msg("process %d was left behind", (int)pid);
        process_sleep_ms(10);
    }
}

static void nzd_is_killed(void **state)
{
    struct scene *scene = *state;
    kill_nzd(scene, begin_until_post(scene));
    wait_gone(scene_wait_pid(scene, "began"));
    wait_gone(scene_wait_pid(scene, "sleeper"));
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       5000);
    assert_open(scene);

    /* Any command that writes settles it first. */
    scene_config(scene, "%s", "");
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);
    assert_matches(run.err, "^recover +transaction 1 was left armed$");
    assert_matches(run.err, "^recover +transaction 1 rolled_back$");
    assert_contains(run.out, "committed 2: counter 0.3.0");
    scene_wait_removed(scene);
    assert_runs(scene, "0.3.0");
    assert_contains(scene_record(scene, 1, "rolled_back"),
                    "\"why\":\"nzd ended before it was finished\"");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
}

/* A hook in the node ends with the nzd that wanted it. */
static void nzd_is_killed_in_a_call(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    scene_config(scene,
                 "hook \"hang\" {\n phase = post\n"
                 " call = \"nzd_test_hook:hang\"\n"
                 " args = {\"\\\"%s/began\\\"\"}\n timeout = 10m\n}\n",
                 harness_dir(scene->harness));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, "began");
    kill_nzd(scene, job);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       5000);
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 5);
    assert_contains(run.err, "there is nothing to roll back");
    assert_undone(scene, "nzd ended before it was finished");
}

static void nzd_and_node_are_killed(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = begin_until_post(scene);
    kill(beam_node_pid(scene->node), SIGKILL);
    kill_nzd(scene, job);
    assert_true(beam_node_wait_end(scene->node, 5000));

    /* Its very process is gone: that settles it without a node. */
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    run = scene_apply(scene, "0.2.0");
    assert_untouched(&run, "is not to be reached");
    beam_node_start_again(scene->node);
    assert_undone(scene, "nzd ended before it was finished");
}

/* The same name, another VM: its token tells. */
static void node_is_another_one(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = begin_until_post(scene);
    beam_node_eval(scene->node, "spawn(fun() -> timer:sleep(50), "
                                "init:restart() end)");
    kill_nzd(scene, job);
    beam_node_wait_restart(scene->node, 20000);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_contains(scene_record(scene, 1, "rolled_back"),
                    "the VM is another one: its memory is gone");
    assert_undone(scene, "nzd ended before it was finished");
}

/* A hook of an apply that hangs, and what it runs ends with nzd. */
static void kill_nzd_in_hook(struct scene *scene, const char *hook)
{
    scene_config(scene, hook, scene_script(scene, "hang", "%s\n", hanging()));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, "began");
    kill_nzd(scene, job);
    wait_gone(scene_wait_pid(scene, "sleeper"));
}

static void nzd_is_killed_before_armed(void **state)
{
    struct scene *scene = *state;
    kill_nzd_in_hook(scene, SCENE_PROGRAM("hang", "pre", "60s"));
    assert_runs(scene, "0.1.0");
    assert_no_transaction(scene);
    scene_settled(scene);
    scene_config(scene, "%s", "");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_record(scene, 1, "committed");
}

/* Between the commit and the word that it is done. */
static void nzd_is_killed_after_the_commit(void **state)
{
    struct scene *scene = *state;
    kill_nzd_in_hook(scene, SCENE_PROGRAM("hang", "outcome", "60s"));
    scene_record(scene, 1, "committed");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    scene_settled(scene);
    scene_config(scene, "%s", "");
    /* The agent has it settled at the same time. */
    struct harness_run run = scene_nzd(
        scene, "apply", scene_bundle(scene, "0.3.0"), "--wait", "20s");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.3.0");
    scene_record(scene, 2, "committed");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- the agent is lost --- */

static void kill_in_the_node(struct scene *scene, const char *function)
{
    scene_load_hooks(scene);
    scene_config(scene,
                 "hook \"killer\" {\n phase = post\n"
                 " call = \"nzd_test_hook:%s\"\n timeout = 1s\n}\n",
                 function);
    struct harness_run run = scene_nzd(
        scene, "apply", scene_bundle(scene, "0.2.0"), "--timeout", "2s");
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: counter 0.1.0 runs on ");
    assert_in_range(run.ms, 0, 15000);
    assert_undone(scene, "");
}

static void agent_is_killed(void **state)
{
    kill_in_the_node(*state, "kill_agent");
}

/* Nobody in the node remembers: the old code comes from the journal. */
static void agent_and_guard_are_killed(void **state)
{
    kill_in_the_node(*state, "kill_agent_and_guard");
}

/* The agent of a killed nzd is killed too, after the fact. */
static void everybody_is_killed(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    struct harness_job *job = begin_until_post(scene);
    beam_node_freeze(scene->node);
    kill_nzd(scene, job);
    beam_node_thaw(scene->node);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       5000);
    beam_node_eval(scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", 5000);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_undone(scene, "nzd ended before it was finished");
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(node_refuses_the_cookie),
        real(node_is_not_known),
        real(epmd_is_absent),
        real(node_is_frozen_before),
        real(node_is_frozen_after),
        real(node_is_killed_after),
        real(nzd_is_killed),
        real(nzd_is_killed_in_a_call),
        real(nzd_and_node_are_killed),
        real(node_is_another_one),
        real(nzd_is_killed_before_armed),
        real(nzd_is_killed_after_the_commit),
        real(agent_is_killed),
        real(agent_and_guard_are_killed),
        real(everybody_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
