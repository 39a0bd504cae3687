/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/*
 * Applications that come, go, and are loaded or started in another way, in a
 * running node: there, back, and back from where it breaks off. One node for
 * all; each test begins and ends with release 1 of the fixture apps.
 */
static struct scene *scene;

static int setup(void **state)
{
    scene = scene_open();
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    scene->node = beam_node_start(
        scene->harness,
        &(struct beam_node_options){
            .release = harness_fixture(scene->harness, "apps/1"),
            .name = "apps",
            .arguments = arguments});
    scene_load_hooks(scene);
    *state = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_close(scene->harness);
    return 0;
}

/* --- words --------------------------------------------------------------- */

static const char *look(const char *expression)
{
    return beam_node_eval(scene->node, "%s", expression);
}

/* Everything of them that the VM tells; and who runs. */
#define ALL                                                                    \
    "[{A, application:get_all_key(A), "                                        \
    "lists:sort(application:get_all_env(A))} || A <- lists:sort([A || {A, _, " \
    "_} <- application:loaded_applications()]), lists:prefix(\"la_\", "        \
    "atom_to_list(A))]"
#define TYPES                                                                  \
    "lists:sort([S || {A, _} = S <- proplists:get_value(started, "             \
    "application:info()), lists:prefix(\"la_\", atom_to_list(A))])"
#define CHILDREN "[I || {I, _, _, _} <- supervisor:which_children(la_main)]"
/* The application with files of priv, as the VM finds it. */
#define FILES                                                                  \
    "case code:priv_dir(la_far) of {error, _} = E -> E; D -> {file:read_file(" \
    "D ++ \"/data/far\"), os:cmd(D ++ \"/port\"), [P || P <- "                 \
    "code:get_path(), string:find(P, \"la_far\") =/= nomatch, "                \
    "code:lib_dir(la_far) ++ \"/ebin\" =/= P]} end"
#define EVERYTHING "{" ALL ", " TYPES ", " CHILDREN ", " FILES "}"
#define LOG        "persistent_term:get(la_log, [])"

static const char types_1[] = "[{la_gone,permanent},{la_main,permanent},"
                              "{la_run,permanent},{la_solo,permanent},"
                              "{la_type,permanent}]";
static const char types_2[] = "[{la_far,transient},{la_lib,permanent},"
                              "{la_main,permanent},{la_type,transient}]";

static void forget(void)
{
    look("[persistent_term:erase(K) || {K, _} <- persistent_term:get(), "
         "K =:= la_log orelse is_tuple(K) andalso element(1, K) =:= says]");
}

static int fresh(void **state)
{
    (void)state;
    scene_config(scene, "%s", "");
    forget();
    return 0;
}

static struct harness_run apply(const char *release)
{
    return scene_nzd(
        scene, "apply", "--retry", "--max", "restart-app",
        harness_fixture(scene->harness,
                        harness_text(scene->harness, "apps/%s", release)));
}

static void goes(const char *release)
{
    struct harness_run run = apply(release);
    assert_status(run, 0);
    scene_settled(scene);
}

static void goes_back(void)
{
    struct harness_run run =
        scene_nzd(scene, "rollback", "--to", "0", "--max", "restart-app");
    assert_status(run, 0);
    scene_settled(scene);
}

static void fails(const char *release, const char *why)
{
    const char *before = look(EVERYTHING);
    struct harness_run run = apply(release);
    assert_status(run, 6);
    assert_contains(run.out, why);
    assert_string_equal(look(EVERYTHING), before);
    scene_settled(scene);
}

/* --- what a boot does with them ------------------------------------------ */

static void the_plan_names_them(void **state)
{
    (void)state;
    const char *bundle = harness_fixture(scene->harness, "apps/2");
    struct harness_run run = scene_nzd(scene, "plan", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: restart-app");
    assert_matches(run.out, "la_far.*1, transient");
    assert_matches(run.out, "la_far priv.*2 files");
    assert_matches(run.out, "la_run.*1, permanent.*1, not started");
    assert_matches(run.out, "la_hand.*not loaded.*not started");
    assert_matches(run.out, "la_type.*permanent.*transient.*start type");
    assert_matches(run.out, "la_main.app.*la_solo.*included_applications");
    run = scene_nzd(scene, "apply", bundle);
    assert_status(run, 5);
    assert_contains(run.err, "verdict restart-app is over the limit migrate");
}

/* What needs another is started behind it, and stopped before it: applications
 * and children alike. */
static void there_and_back(void **state)
{
    (void)state;
    const char *before = look(EVERYTHING);
    assert_eval(scene->node, TYPES, types_1);
    goes("2");
    assert_eval(scene->node, TYPES, types_2);
    assert_eval(
        scene->node, LOG,
        "[{start,la_far,one},{start,la_lib,one},"
        "{child,la_more,true,{ok,1},<<\"far\">>},{stop,la_run},{stop,la_gone},"
        "{stop,la_solo}]");
    assert_eval(scene->node, CHILDREN, "[la_more]");
    assert_eval(scene->node,
                "{application:get_key(la_main, vsn), "
                "application:get_key(la_main, applications), "
                "application:get_key(la_main, included_applications), "
                "application:get_key(la_hand, vsn), "
                "application:get_key(la_inner, vsn), "
                "application:get_all_env(la_near)}",
                "{{ok,\"2\"},{ok,[kernel,stdlib,la_far]},{ok,[la_solo]},"
                "{ok,\"1\"},undefined,[{own,near}]}");
    assert_eval(scene->node, FILES, "{{ok,<<\"far\">>},\"port\\n\",[]}");
    const char *then = look(EVERYTHING);
    struct harness_run run = apply("2");
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
    assert_string_equal(look(EVERYTHING), then);

    forget();
    goes_back();
    assert_string_equal(look(EVERYTHING), before);
    assert_eval(scene->node, LOG,
                "[{start,la_solo,one},{start,la_gone,one},{start,la_run,one},"
                "{child_stops,la_more,true},{stop,la_lib},{stop,la_far}]");
}

/* A restart of the VM has the same. */
/* Behind the commit application_controller is busy: it is said what waits for
 * it. Who starts one anew by hand has the last word, whoever is told again that
 * the transaction is committed. */
static void who_is_busy_settles_later(void **state)
{
    (void)state;
    scene_config(scene, "%s",
                 SCENE_CALL("busy", "outcome", "nzd_test_hook:busy",
                            "application_controller, \"5500\""));
    struct harness_run run = apply("2");
    assert_status(run, 0);
    assert_contains(run.err, "application_controller is busy: until it comes "
                             "to it, the start types of ");
    beam_node_wait_for(scene->node, TYPES, types_2, 3000);
    look("ok = application:stop(la_far), "
         "ok = application:start(la_far, temporary), "
         "[exit(P, kill) || P <- processes(), {current_function, {_, "
         "guard_loop, _}} <- [process_info(P, current_function)]], "
         "exit(whereis(nzd), kill)");
    scene_config(scene, "%s", "");
    run = scene_nzd(scene, "recover", NULL);
    assert_status(run, 0);
    assert_contains(look(TYPES), "{la_far,temporary}");
    goes_back();
}

static void a_boot_has_it_too(void **state)
{
    (void)state;
    goes("2");
    const char *then = look(EVERYTHING);
    look("init:restart()");
    beam_node_wait_restart(scene->node, 20000);
    scene_settled(scene);
    assert_string_equal(look(EVERYTHING), then);
    scene_load_hooks(scene);
    goes_back();
    assert_eval(scene->node, TYPES, types_1);
}

/* --- and what fails then ------------------------------------------------- */

static void one_does_not_start(void **state)
{
    (void)state;
    look("persistent_term:put({says, la_lib, one}, broken)");
    fails("2", "application la_lib does not start");
    assert_eval(scene->node, LOG,
                "[{start,la_far,one},{start,la_lib,one},{stop,la_far}]");
}

/* Those that it needs run till its siblings have ended. */
static void a_child_does_not_start(void **state)
{
    (void)state;
    look("persistent_term:put({says, la_more}, broken)");
    fails("2", "la_more");
}

static void a_hook_says_no(void **state)
{
    (void)state;
    scene_config(scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(scene, "no", "exit 3\n"));
    fails("2", "hook no ");
    assert_eval(scene->node, "lists:nthtail(6, " LOG ")",
                "[{start,la_solo,one},{start,la_gone,one},{start,la_run,one},"
                "{child_stops,la_more,true},{stop,la_lib},{stop,la_far}]");
}

/* Nobody in the node remembers: what runs, and how, is in the journal. */
static void everybody_is_killed(void **state)
{
    (void)state;
    const char *before = look(EVERYTHING);
    harness_remove(scene->harness, harness_path(scene->harness, "began"));
    scene_config(scene, SCENE_PROGRAM("wait", "post", "10m"),
                 scene_script(scene, "wait", "echo x >%s/began\nsleep 60\n",
                              harness_dir(scene->harness)));
    struct harness_job *job =
        scene_begin(scene, "apply", "--retry", "--max", "restart-app",
                    harness_fixture(scene->harness, "apps/2"));
    scene_wait_file(scene, "began");
    assert_eval(scene->node, TYPES,
                "[{la_far,temporary},{la_lib,temporary},{la_main,permanent},"
                "{la_type,permanent}]");
    look("spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", 5000);
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    scene_config(scene, "%s", "");
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_string_equal(look(EVERYTHING), before);
    scene_settled(scene);
}

/* The agent tries it again and again, and is there for who comes meanwhile. */
static void a_trial_ends_and_one_does_not_start(void **state)
{
    (void)state;
    const char *before = look(EVERYTHING);
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", "--max", "restart-app",
                  "--confirm", "2s", harness_fixture(scene->harness, "apps/2"));
    assert_status(run, 0);
    trial_kill_keeper(scene);
    look("persistent_term:put({says, la_gone, one}, broken)");
    const char *agent = look("whereis(nzd)");
    beam_node_wait_for(scene->node,
                       "length([x || {start, la_gone, one} <- " LOG "]) > 3",
                       "true", 10000);
    assert_string_equal(look("whereis(nzd)"), agent);
    look("persistent_term:erase({says, la_gone, one})");
    beam_node_wait_for(scene->node, TYPES, types_1, 20000);
    run = scene_nzd(scene, "recover", "--wait", "30s");
    assert_status(run, 0);
    assert_string_equal(look("whereis(nzd)"), agent);
    assert_string_equal(look(EVERYTHING), before);
    scene_settled(scene);
}

/* --- what only a start takes in ------------------------------------------ */

static void one_starts_anew(void **state)
{
    (void)state;
    const char *before = look(EVERYTHING);
    struct harness_run run =
        scene_nzd(scene, "plan", harness_fixture(scene->harness, "apps/anew"));
    assert_contains(run.out, "verdict: restart-app");
    assert_matches(run.out, "la_main.app.*mod, which only a start takes in");
    goes("anew");
    assert_eval(scene->node, LOG,
                "[{stop,la_main},{start,la_main,two},"
                "{phase,la_main,go,[now]}]");
    assert_eval(scene->node, TYPES, types_1);
    forget();
    goes_back();
    assert_eval(scene->node, LOG, "[{stop,la_main},{start,la_main,one}]");
    assert_string_equal(look(EVERYTHING), before);
}

static void it_does_not_start_anew(void **state)
{
    (void)state;
    look("persistent_term:put({says, la_main, two}, broken)");
    fails("anew", "application la_main does not start");
    assert_eval(scene->node, LOG,
                "[{stop,la_main},{start,la_main,two},{start,la_main,one}]");
}

static void its_hook_says_no(void **state)
{
    (void)state;
    scene_config(scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(scene, "no", "exit 3\n"));
    fails("anew", "hook no ");
    assert_eval(scene->node, LOG,
                "[{stop,la_main},{start,la_main,two},{phase,la_main,go,[now]},"
                "{stop,la_main},{start,la_main,one}]");
}

int main(void)
{
#define apps(test) cmocka_unit_test_setup(test, fresh)
    const struct CMUnitTest tests[] = {
        apps(the_plan_names_them),
        apps(there_and_back),
        apps(one_does_not_start),
        apps(a_child_does_not_start),
        apps(a_hook_says_no),
        apps(everybody_is_killed),
        apps(a_trial_ends_and_one_does_not_start),
        apps(one_starts_anew),
        apps(it_does_not_start_anew),
        apps(who_is_busy_settles_later),
        apps(its_hook_says_no),
        apps(a_boot_has_it_too),
    };
    return cmocka_run_group_tests_name("live_apps", tests, setup, teardown);
}
