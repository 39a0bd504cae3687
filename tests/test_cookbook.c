/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/*
 * Each instruction of OTP's Appup Cookbook, by a release that has it in its
 * appup, or in a relup that systools has made: what it does there, nzd does,
 * up and down again, or it refuses and says why. One node for all; each begins
 * and ends with release 1.
 */
struct recipe {
    const char *title; /* of the cookbook, in its order */
    const char *bundle;
    const char *max;     /* --max; NULL: the default, migrate */
    const char *look;    /* an expression, and its value in either release */
    const char *before;  /* and behind the way down */
    const char *after;   /* NULL: it is refused, and nothing is touched */
    const char *because; /* of what is refused */
};

#define CHILDREN                                                               \
    "lists:sort([I || {I, P, _, _} <- supervisor:which_children(ck_sup), "     \
    "is_pid(P), lists:member(I, [ck_more, ck_spare])])"
#define INTENSITY "element(6, sys:get_state(ck_sup))"
#define SHUTDOWN                                                               \
    "maps:get(shutdown, element(2, supervisor:get_childspec(ck_sup, "          \
    "ck_spare)))"
#define RUNS(app)                                                              \
    "proplists:get_value(" app ", proplists:get_value(started, "               \
    "application:info()))"
/* Its state is lost where it starts anew, and the others keep theirs. */
#define ANEW                                                                   \
    "begin V = gen_server:call(ck_srv, value), "                               \
    "ok = gen_server:call(ck_srv, {put, kept}), "                              \
    "{V, " RUNS("ck") "} end"

static const struct recipe recipes[] = {
    {"changing a functional module", "functional", NULL, "ck_lib:version()",
     "1", "2", NULL},
    {"changing a residence module", "residence", NULL, "ck_reside:version()",
     "1", NULL, "ck_reside is still in ck_reside:loop/1"},
    {"changing a callback module", "callback", NULL,
     "gen_server:call(ck_srv, value)", "{1,kept}", "{2,kept}", NULL},
    {"changing internal state", "state", NULL,
     "gen_server:call(ck_state, "
     "value)",
     "{1,7}", "{2,{state,7,{going,up}}}", NULL},
    {"changing internal state, relup", "state-relup", NULL,
     "gen_server:call(ck_state, value)", "{1,7}", "{2,{state,7,{going,up}}}",
     NULL},
    {"module dependencies", "dependencies", NULL, "ck_a:call()", "{1,1}",
     "{2,2}", NULL},
    {"changing code for a special process", "special", NULL, "ck_loop:value()",
     "{1,first}", "{2,{second,more}}", NULL},
    {"changing a supervisor: properties", "property", NULL, INTENSITY, "1", "9",
     NULL},
    {"changing a supervisor: a child's specification", "child-spec", NULL,
     SHUTDOWN, "5000", "1234", NULL},
    {"changing a supervisor: a child that starts anew", "child-again", NULL,
     SHUTDOWN, "5000", NULL,
     "terminate_child,\\[ck_sup,ck_spare\\].*would start anew"},
    {"changing a supervisor: adding a child", "child-add", NULL, CHILDREN,
     "[ck_spare]", "[ck_more,ck_spare]", NULL},
    {"changing a supervisor: deleting a child", "child-delete", NULL, CHILDREN,
     "[ck_spare]", "[]", NULL},
    {"changing a supervisor, relup", "children-relup", NULL, CHILDREN,
     "[ck_spare]", "[ck_more,ck_spare]", NULL},
    {"adding or deleting a module", "modules", NULL,
     "{erlang:function_exported(ck_new, here, 0), "
     "erlang:function_exported(ck_gone, here, 0)}",
     "{false,true}", "{true,false}", NULL},
    {"starting or terminating a process", "process", NULL, CHILDREN,
     "[ck_spare]", NULL,
     "restart_child,\\[ck_sup,ck_spare\\].*no change of a supervisor"},
    {"adding an application", "app-add", "restart-app", RUNS("ck_more"),
     "undefined", "permanent", NULL},
    {"adding an application, relup", "app-add-relup", "restart-app",
     RUNS("ck_more"), "undefined", "permanent", NULL},
    {"removing an application, not allowed", "app-remove", NULL,
     RUNS("ck_less"), "permanent", NULL, "ck_less"},
    {"removing an application", "app-remove", "restart-app", RUNS("ck_less"),
     "permanent", "undefined", NULL},
    {"removing an application, relup", "app-remove-relup", "restart-app",
     RUNS("ck_less"), "permanent", "undefined", NULL},
    {"restarting an application, not allowed", "app-restart", NULL,
     "gen_server:call(ck_srv, value)", "{1,kept}", NULL,
     "restart_application,ck.*stops and starts anew"},
    {"restarting an application", "app-restart", "restart-app", ANEW,
     "{{1,0},permanent}", "{{2,0},permanent}", NULL},
    {"restarting an application, relup", "app-restart-relup", "restart-app",
     ANEW, "{{1,0},permanent}", "{{2,0},permanent}", NULL},
    {"changing an application specification", "app-spec", NULL,
     "application:get_key(ck, description)", "{ok,\"of the cookbook\"}",
     "{ok,\"changed\"}", NULL},
    {"changing application configuration", "config", NULL,
     "lists:sort(application:get_all_env(ck))", "[]",
     "[{fresh,1},{greeting,\"good day\"}]", NULL},
    {"changing included applications", "included", NULL,
     "{application:get_key(ck, included_applications), "
     "application:get_key(ck_more, vsn)}",
     "{{ok,[]},undefined}", "{{ok,[ck_more]},{ok,\"1\"}}", NULL},
    {"changing non-Erlang code", "port", NULL,
     "os:cmd(code:priv_dir(ck) ++ \"/port\")", "\"one\\n\"", "\"two\\n\"",
     NULL},
    {"emulator restart", "emulator", "restart-app", "ck_lib:version()", "1",
     NULL, "restart_emulator.*another start of the VM"},
    {"emulator upgrade", "new-emulator", "restart-app", "ck_lib:version()", "1",
     NULL, "restart_new_emulator.*another start of the VM"},
    {"an arbitrary call", "call", "restart-app", "ck_lib:version()", "1", NULL,
     "apply,.ck_lib,version,.*nobody knows how to undo"},
    {"synchronised nodes", "nodes", "restart-app", "ck_lib:version()", "1",
     NULL, "sync_nodes.*waits for other nodes"},
};
#define RECIPES (sizeof recipes / sizeof *recipes)

static struct scene *scene;

static int setup(void **state)
{
    scene = scene_open();
    scene->node = beam_node_start(
        scene->harness,
        &(struct beam_node_options){
            .release = harness_fixture(scene->harness, "cookbook/base"),
            .name = "cookbook"});
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

static struct harness_run nzd(const struct recipe *recipe, const char *command)
{
    const char *bundle = harness_fixture(
        scene->harness,
        harness_text(scene->harness, "cookbook/%s", recipe->bundle));
    const char *max = recipe->max ? recipe->max : "migrate";
    return !strcmp(command, "rollback")
               ? scene_nzd(scene, command, "--max", max)
               : scene_nzd(scene, command, "--drain", "100ms", "--max", max,
                           bundle);
}

/* The processes that no recipe may end but where it starts them anew. */
static const char *processes_of(void)
{
    return beam_node_eval(scene->node,
                          "[whereis(P) || P <- [ck_sup, ck_srv, ck_state, "
                          "ck_loop, ck_reside]]");
}

static void is_refused(const struct recipe *recipe)
{
    struct harness_run run = nzd(recipe, "apply");
    assert_status(run, 5);
    assert_contains(run.err, "nothing was touched");
    /* Every reason is in the plan. */
    struct harness_run plan = nzd(recipe, "plan");
    assert_matches(harness_text(scene->harness, "%s%s", run.err, plan.out),
                   recipe->because);
    assert_eval(scene->node, recipe->look, recipe->before);
}

static void goes_there_and_back(const struct recipe *recipe)
{
    struct harness_run run = nzd(recipe, "apply");
    assert_status(run, 0);
    assert_eval(scene->node, recipe->look, recipe->after);
    run = nzd(recipe, "rollback");
    assert_status(run, 0);
    assert_eval(scene->node, recipe->look, recipe->before);
}

static void follows(void **state)
{
    const struct recipe *recipe = *state;
    bool anew = recipe->after && strstr(recipe->look, "ck_srv, {put");
    beam_node_eval(scene->node, "gen_server:call(ck_srv, {put, %s})",
                   anew ? "0" : "kept");
    const char *before = processes_of();
    assert_eval(scene->node, recipe->look, recipe->before);
    if (recipe->after)
        goes_there_and_back(recipe);
    else
        is_refused(recipe);
    if (anew)
        assert_string_not_equal(processes_of(), before);
    else
        assert_string_equal(processes_of(), before);
    beam_node_wait_unsuspended(scene->node);
}

/* --- an application that starts anew, and what fails then ---------------- */

static struct harness_job *restart_until_post(void)
{
    harness_remove(scene->harness, harness_path(scene->harness, "began"));
    scene_config(scene, SCENE_PROGRAM("wait", "post", "10m"),
                 scene_script(scene, "wait", "echo x >%s/began\nsleep 60\n",
                              harness_dir(scene->harness)));
    struct harness_job *job =
        scene_begin(scene, "apply", "--retry", "--max", "restart-app",
                    harness_fixture(scene->harness, "cookbook/app-restart"));
    scene_wait_file(scene, "began");
    return job;
}

static struct harness_run restart(void)
{
    return scene_nzd(scene, "apply", "--retry", "--max", "restart-app",
                     harness_fixture(scene->harness, "cookbook/app-restart"));
}

#define OLD_AGAIN "{{1,0},permanent}"

static void a_restart_is_undone(void **state)
{
    (void)state;
    beam_node_eval(scene->node, "gen_server:call(ck_srv, {put, kept})");
    scene_config(scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(scene, "no", "exit 3\n"));
    struct harness_run run = restart();
    assert_status(run, 6);
    assert_eval(scene->node, ANEW, OLD_AGAIN);
    scene_config(scene, "%s", "");
}

/* Its own code says no, when it is the new one. */
static void it_does_not_start(void **state)
{
    (void)state;
    beam_node_eval(scene->node, "persistent_term:put(ck_srv, {stop, broken})");
    struct harness_run run = restart();
    assert_status(run, 6);
    assert_contains(run.out, "application ck does not start");
    assert_contains(run.out, "broken");
    assert_eval(scene->node, ANEW, OLD_AGAIN);
    beam_node_eval(scene->node, "persistent_term:erase(ck_srv)");
}

/* Nobody in the node remembers: what runs, and how, is in the journal. */
static void everybody_is_killed(void **state)
{
    (void)state;
    struct harness_job *job = restart_until_post();
    assert_eval(scene->node, RUNS("ck"), "temporary");
    beam_node_eval(scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", 5000);
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    scene_config(scene, "%s", "");
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_eval(scene->node, ANEW, OLD_AGAIN);
}

static void a_trial_of_a_restart_ends(void **state)
{
    (void)state;
    struct harness_run run = scene_nzd(
        scene, "apply", "--retry", "--confirm", "10m", "--max", "restart-app",
        harness_fixture(scene->harness, "cookbook/app-restart"));
    assert_status(run, 0);
    assert_eval(scene->node, ANEW, "{{2,0},temporary}");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_eval(scene->node, ANEW, OLD_AGAIN);
}

static void all_is_settled(void **state)
{
    (void)state;
    scene_settled(scene);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(a_restart_is_undone),
        cmocka_unit_test(it_does_not_start),
        cmocka_unit_test(everybody_is_killed),
        cmocka_unit_test(a_trial_of_a_restart_ends),
        cmocka_unit_test(all_is_settled),
    };
    struct CMUnitTest tests[RECIPES + sizeof others / sizeof *others];
    for (size_t i = 0; i < RECIPES; i++)
        tests[i] = (struct CMUnitTest){.name = recipes[i].title,
                                       .test_func = follows,
                                       .initial_state = (void *)&recipes[i]};
    memcpy(tests + RECIPES, others, sizeof others);
    return cmocka_run_group_tests_name("cookbook", tests, setup, teardown);
}
