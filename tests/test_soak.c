/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/soak.h"
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a node does before, and how much worse it may do. */

#define SOON_MS 20000
/* Behind the change, in a process of the node, does this. */
#define WHEN_NEW(act)                                                          \
    "proc_lib:spawn(fun F() -> case counter_text:version() of "                \
    "\"0.1.0\" -> timer:sleep(20), F(); _ -> " act " end end)"
#define HANDLERS                                                               \
    "[I || I <- logger:get_handler_ids(), "                                    \
    "lists:prefix(\"nzd_agent\", atom_to_list(I))]"

/* --- judging ------------------------------------------------------------- */

static const struct nzd_soak_limits limits = {
    .queue = 100,
    .run_queue = 10,
    .latency_us = 1000,
    .memory_percent = 50,
    .processes_percent = 100,
};
static const struct nzd_reading quiet = {
    .us = 1000000, .processes = 100, .memory = 1000000, .reports = true};

static bool passes(const struct nzd_reading *before, struct nzd_reading now,
                   bool ended, const char *why)
{
    char said[512] = "";
    bool good = nzd_soak_judge(&limits, before, &now, ended, said, sizeof said);
    if (!good)
        assert_contains(said, why);
    return good;
}

static void what_is_the_same_passes(void **state)
{
    (void)state;
    assert_true(passes(&quiet, quiet, true, ""));
}

static void the_rate_before_is_allowed(void **state)
{
    struct nzd_reading before = quiet, now = quiet;
    (void)state;
    before.crashes = 2;
    now.us = 10000000;
    now.crashes = 34;
    assert_true(passes(&before, now, false, ""));
    now.crashes = 35;
    assert_false(passes(&before, now, false,
                        "processes crashed: 35 in 10 s, 2 in 1.0 s before"));
    now.crashes = 0;
    now.restarts = 1;
    assert_false(
        passes(&before, now, false, "children of supervisors ended: 1 in"));
}

static void what_is_sampled_is_judged_at_the_end(void **state)
{
    struct nzd_reading now = quiet;
    (void)state;
    now.queue = 101;
    strcpy(now.queue_of, "counter_srv");
    assert_true(passes(&quiet, now, false, ""));
    assert_false(passes(&quiet, now, true,
                        "the longest queue, of counter_srv, is 101, 0 before"));
    now = quiet;
    now.memory = 1500000;
    assert_true(passes(&quiet, now, true, ""));
    now.memory = 1500001;
    assert_false(passes(&quiet, now, true, "the node takes "));
    now = quiet;
    now.processes = 201;
    assert_false(passes(&quiet, now, true, "the processes are 201, 100 "));
    now = quiet;
    now.run_queue = 11;
    assert_false(passes(&quiet, now, true, "the run queue is 11, 0 before"));
    now = quiet;
    now.latency_us = 1001;
    assert_false(passes(&quiet, now, true, "a process waits 1.0 ms to run"));
}

static void one_spike_is_no_median(void **state)
{
    struct nzd_reading samples[] = {quiet, quiet, quiet, quiet, quiet}, out;
    (void)state;
    samples[1].queue = 100000;
    samples[3].latency_us = 5000000;
    samples[4].crashes = 3;
    nzd_soak_median(samples, 5, &out);
    assert_int_equal(out.queue, 0);
    assert_int_equal(out.latency_us, 0);
    assert_int_equal(out.crashes, 3);
    nzd_soak_median(samples, 1, &out);
    assert_int_equal(out.processes, 100);
}

/* --- on a node ----------------------------------------------------------- */

static int setup(void **state)
{
    int status = scene_setup(state);
    struct scene *scene = *state;
    scene_config(scene, "soak {\n before = 300ms\n}\n");
    return status;
}

static struct harness_run soak(struct scene *scene, const char *lasts)
{
    return scene_nzd(scene, "apply", "--retry", "--soak", lasts,
                     scene_bundle(scene, "0.2.0"));
}

static void check_undone(struct scene *scene, struct harness_run run,
                         const char *why)
{
    assert_status(run, 6);
    assert_contains(run.out, why);
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, HANDLERS, "[]");
    scene_record(scene, 1, "rolled_back");
    scene_settled(scene);
}

static void a_node_that_does_well_keeps_it(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = soak(scene, "600ms");
    assert_status(run, 0);
    assert_matches(run.err, "^before +0 crashed, 0 ended; [0-9]+ processes");
    assert_matches(run.err, "^soak +0 crashed, 0 ended; ");
    assert_eval(scene->node, HANDLERS, "[]");
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  before +0 crashed, 0 children ended in ");
    assert_matches(run.out, "  soak +0 crashed, 0 children ended in ");
    scene_settled(scene);
}

static void what_crashes_anew_ends_it(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node, WHEN_NEW("error(soaked)"));
    struct harness_run run = soak(scene, "20s");
    check_undone(scene, run, "in the soak: processes crashed: 1 in ");
    assert_contains(run.out, "soaked");
    assert_contains(scene_record(scene, 1, "rolled_back"),
                    "\"label\":\"soak\"");
    if (run.ms > 15000)
        harness_fail("it took %.0f ms", run.ms);
}

static void what_crashed_before_does_not(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node,
                   "spawn(fun F() -> proc_lib:spawn(fun() -> exit(often) end), "
                   "timer:sleep(25), F() end)");
    struct harness_run run = soak(scene, "1s");
    assert_status(run, 0);
    assert_eval(scene->node, HANDLERS, "[]");
}

static void a_queue_that_grows_ends_it(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node,
                   WHEN_NEW("register(soaking, self()), "
                            "[self() ! N || N <- lists:seq(1, 2000)], "
                            "timer:sleep(infinity)"));
    check_undone(scene, soak(scene, "700ms"),
                 "in the soak: the longest queue, of soaking, is 2000, ");
}

static void the_hooks_run_again(void **state)
{
    struct scene *scene = *state;
    const char *often = harness_path(scene->harness, "often");
    const char *script = scene_script(
        scene, "third", "echo ran >>%s; test $(wc -l <%s) -lt 3", often, often);
    scene_config(scene,
                 "soak {\n before = 100ms\n hooks = 200ms\n}\n" SCENE_PROGRAM(
                     "third", "post", "5s"),
                 script);
    check_undone(scene, soak(scene, "20s"), "/third exited with 1");
}

static void a_signal_ends_it(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = scene_begin(scene, "apply", "--soak", "60s",
                                          scene_bundle(scene, "0.2.0"));
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.2.0\"",
                       SOON_MS);
    kill(harness_job_pid(job), SIGINT);
    check_undone(scene, harness_end(scene->harness, job, SOON_MS),
                 "interrupted by a signal");
}

static void a_killed_nzd_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = scene_begin(scene, "apply", "--soak", "60s",
                                          scene_bundle(scene, "0.2.0"));
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.2.0\"",
                       SOON_MS);
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, SOON_MS);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    beam_node_wait_for(scene->node, HANDLERS, "[]", SOON_MS);
    struct harness_run run = scene_nzd(scene, "recover", "--wait", "20s");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static void a_silent_logger_is_told(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node, "logger:set_primary_config(level, none)");
    struct harness_run run = soak(scene, "200ms");
    assert_status(run, 0);
    assert_contains(run.err, "logs no errors");
}

static void what_cannot_soak_is_refused(void **state)
{
    struct scene *scene = *state;
    struct harness_run run =
        scene_nzd(scene, "apply", "--soak", "1s", "--min", "restart-vm",
                  "--max", "restart-vm", scene_bundle(scene, "0.2.0"));
    assert_status(run, 5);
    assert_contains(run.err, "restarts the VM cannot soak");
    assert_contains(run.err, "--soak 0");
    run = soak(scene, "30");
    assert_status(run, 2);
    run = soak(scene, "2d");
    assert_status(run, 2);
    assert_contains(run.err, "1d is the most");
    scene_config(scene, "soak {\n memory = 50\n}\n");
    run = soak(scene, "1s");
    assert_status(run, 2);
    assert_contains(run.err, "a percentage");
    assert_runs(scene, "0.1.0");
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_passes),
        cmocka_unit_test(the_rate_before_is_allowed),
        cmocka_unit_test(what_is_sampled_is_judged_at_the_end),
        cmocka_unit_test(one_spike_is_no_median),
        in(a_node_that_does_well_keeps_it),
        in(what_crashes_anew_ends_it),
        in(what_crashed_before_does_not),
        in(a_queue_that_grows_ends_it),
        in(the_hooks_run_again),
        in(a_signal_ends_it),
        in(a_killed_nzd_leaves_nothing),
        in(a_silent_logger_is_told),
        in(what_cannot_soak_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
