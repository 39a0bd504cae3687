/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What a node is like after a commit: as one that has booted the generation,
 * and the same after it was restarted in place. */

static void scene_start_mode(struct scene *scene, bool interactive)
{
    const struct beam_node_options options = {
        .release = scene_bundle(scene, "0.1.0"),
        .name = "counter",
        .interactive = interactive,
    };
    beam_node_stop(scene->node);
    scene_start(scene, &options);
}

static void assert_folder(struct scene *scene, const char *version)
{
    assert_eval(scene->node, "filename:basename(code:lib_dir(counter))",
                harness_text(scene->harness, "\"counter-%s\"", version));
    assert_eval(scene->node,
                "filelib:is_regular(filename:join(code:priv_dir(counter), "
                "\"motd.txt\"))",
                "true");
    assert_eval(scene->node,
                "begin {ok, [{application, counter, Keys}]} = "
                "file:consult(code:where_is_file(\"counter.app\")), "
                "proplists:get_value(vsn, Keys) end",
                harness_text(scene->harness, "\"%s\"", version));
}

static void assert_version_of_application(struct scene *scene,
                                          const char *version)
{
    beam_node_wait_for(scene->node,
                       "element(3, lists:keyfind(counter, 1, "
                       "application:which_applications()))",
                       harness_text(scene->harness, "\"%s\"", version), 10000);
}

/* What is told of the running application, at once. */
static void assert_application(struct scene *scene, const char *version,
                               const char *has, const char *lacks)
{
    assert_eval(
        scene->node,
        "[element(3, lists:keyfind(counter, 1, A)) || A <- "
        "[application:which_applications(), "
        "application:loaded_applications()]]",
        harness_text(scene->harness, "[\"%s\",\"%s\"]", version, version));
    assert_eval(scene->node,
                harness_text(scene->harness,
                             "begin {ok, Ms} = application:get_key(counter, "
                             "modules), [lists:member(M, Ms) || M <- "
                             "[counter_srv, %s, %s]] end",
                             has, lacks),
                "[true,true,false]");
    assert_eval(scene->node, "application:get_application(counter_srv)",
                "{ok,counter}");
}

static void restart(struct scene *scene)
{
    assert_eval(scene->node, "begin init:restart(), ok end", "ok");
    beam_node_wait_restart(scene->node, 20000);
}

static const char *all_keys(struct scene *scene)
{
    return beam_node_eval(scene->node,
                          "begin {ok, Ks} = application:get_all_key(counter), "
                          "[{K, V} || {K, V} <- Ks, K =/= env] end");
}

/* Restarted in place, it runs what was committed, and nzd knows it. */
static void restarts_into_it(struct scene *scene)
{
    const char *base = all_keys(scene);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_folder(scene, "0.2.0");
    assert_application(scene, "0.2.0", "counter_rate", "counter_legacy");
    const char *all = all_keys(scene);
    restart(scene);
    assert_version_of_application(scene, "0.2.0");
    assert_string_equal(all_keys(scene), all);
    assert_folder(scene, "0.2.0");
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.2.0\"");
    assert_eval(scene->node, "code:which(counter_legacy)", "non_existing");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 0);
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do: counter 0.2.0 runs");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "counter 0.1.0 runs");
    assert_folder(scene, "0.1.0");
    assert_application(scene, "0.1.0", "counter_legacy", "counter_rate");
    assert_string_equal(all_keys(scene), base);
    restart(scene);
    assert_version_of_application(scene, "0.1.0");
    assert_folder(scene, "0.1.0");
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.1.0\"");
    scene_settled(scene);
}

static void embedded(void **state)
{
    restarts_into_it(*state);
    assert_runs((struct scene *)*state, "0.1.0");
}

static void interactive(void **state)
{
    scene_start_mode(*state, true);
    restarts_into_it(*state);
}

/* Two generations, one after the other, then restarts. */
static void over_another(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = scene_apply(scene, "0.3.0");
    assert_status(run, 0);
    assert_folder(scene, "0.3.0");
    restart(scene);
    assert_folder(scene, "0.3.0");
    assert_version_of_application(scene, "0.3.0");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "counter 0.2.0 runs");
    assert_folder(scene, "0.2.0");
    restart(scene);
    assert_version_of_application(scene, "0.2.0");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* No folder can be made: as where the disk in RAM is full. */
static struct harness_run without_folders(struct scene *scene,
                                          const char *const *argv)
{
    static const char *const strace[] = {
        "strace", "-f",          "-o", "/dev/null",
        "-e",     "trace=mkdir", "-e", "inject=mkdir:error=ENOSPC:when=1+",
        NULL};
    static const char *const environment[] = {"ASAN_OPTIONS=detect_leaks=0",
                                              NULL};
    return harness_run(
        scene->harness,
        harness_concat(scene->harness, strace, scene_argv(scene, argv)),
        environment);
}

/* A rollback that could not set the code path leaves the generation's folders
 * there; what comes next is not misled by them. */
static void path_left_behind(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = without_folders(
        scene, harness_argv(scene->harness, scene->node, "rollback", NULL));
    assert_status(run, 0);
    assert_contains(run.err, "the code path was left as it is");
    assert_folder(scene, "0.2.0");
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_version_of_application(scene, "0.2.0");
    restart(scene);
    assert_version_of_application(scene, "0.2.0");
    assert_folder(scene, "0.2.0");
    scene_settled(scene);
}

/* A restart in place right behind a rollback boots what is no longer in force.
 * What the node runs then is not taken for the base. */
static void drifted_by_a_restart(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = without_folders(
        scene, harness_argv(scene->harness, scene->node, "rollback", NULL));
    assert_status(run, 0);
    restart(scene);
    assert_version_of_application(scene, "0.2.0");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    run = scene_nzd(scene, "rollback", "--to", "2");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    restart(scene);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* What lies in RAM may vanish: the base is known all the same. */
static void vanished(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_eval(scene->node,
                "file:del_dir_r(filename:dirname(filename:dirname("
                "filename:dirname(code:lib_dir(counter)))))",
                "ok");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* Nothing but the version differs: that is in force too. */
static void version_only(void **state)
{
    struct scene *scene = *state;
    const char *bundle = harness_path(scene->harness, "counter-0.1.1");
    harness_copy(scene->harness, scene_bundle(scene, "0.1.0"), bundle);
    const char *app = harness_text(
        scene->harness, "%s/lib/counter-0.1.0/ebin/counter.app", bundle);
    const char *const argv[] = {"sed", "-i", "s/0\\.1\\.0/0.1.1/", app, NULL};
    struct harness_run run = harness_run(scene->harness, argv, NULL);
    assert_status(run, 0);
    run = scene_nzd(scene, "apply", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1");
    run = scene_nzd(scene, "apply", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
    restart(scene);
    assert_version_of_application(scene, "0.1.1");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    restart(scene);
    assert_version_of_application(scene, "0.1.0");
    scene_settled(scene);
}

/* Whoever asks meanwhile is never told that a value is not there, nor a value
 * that was not set; what was set at run time stays. */
static void the_environment_stays(void **state)
{
    struct scene *scene = *state;
    assert_eval(scene->node,
                "application:set_env(counter, at_run_time, {set, here})", "ok");
    struct beam_load *load = beam_load_start(
        scene->node, 20, 0, "application", "get_env", "[counter, at_run_time]");
    struct beam_load *key = beam_load_start(scene->node, 4, 0, "application",
                                            "get_key", "[counter, vsn]");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    beam_load_wait(load, 1000);
    beam_load_wait(key, 1000);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    beam_load_wait(load, 1000);
    beam_load_wait(key, 1000);
    struct beam_load_result got = beam_load_stop(load);
    assert_int_equal(got.undef + got.fail + got.killed, 0);
    assert_string_equal(got.results,
                        harness_text(scene->harness, "[{{ok,{set,here}},%llu}]",
                                     (unsigned long long)got.ok));
    got = beam_load_stop(key);
    assert_int_equal(got.undef + got.fail + got.killed, 0);
    assert_matches(got.results, "^\\[\\{\\{ok,\"0\\.[12]\\.0\"\\},[0-9]+\\},"
                                "\\{\\{ok,\"0\\.[12]\\.0\"\\},[0-9]+\\}\\]$");
    assert_eval(scene->node, "application:get_env(counter, at_run_time)",
                "{ok,{set,here}}");
}

/* A form that is not known is left alone, and that is said. */
static void an_unknown_form(void **state)
{
    struct scene *scene = *state;
    assert_eval(scene->node,
                "begin [{K, V}] = ets:lookup(ac_tab, {loaded, counter}), "
                "ets:insert(ac_tab, {K, setelement(2, V, another)}) end",
                "true");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.err, "keeps it in a form that is not known (counter)");
    assert_eval(scene->node, "application:get_key(counter, vsn)",
                "{ok,\"0.1.0\"}");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(embedded),         in(interactive),           in(over_another),
        in(path_left_behind), in(drifted_by_a_restart),  in(vanished),
        in(version_only),     in(the_environment_stays), in(an_unknown_form)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
