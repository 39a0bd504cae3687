/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Configuration and applications that change in a running node, on one node
 * for all: there, back, and back from each place where it can break off. */

struct live {
    struct scene *scene;
    const char *base;  /* counter 0.2.0, whose application tells what it is
                          told of its configuration */
    const char *conf;  /* the same with another sys.config */
    const char *extra; /* the same with one application more */
};

static void sh(struct live *live, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(live->scene->harness, argv, NULL);
    assert_status(run, 0);
}

static const char *copy(struct live *live, const char *from, const char *name)
{
    const char *to = harness_path(live->scene->harness, "%s", name);
    harness_copy(live->scene->harness, from, to);
    return to;
}

/* `refuse`, `raise` and `hang` of what they are told are in the node. */
static const char counter_app[] =
    "-module(counter_app).\n"
    "-export([start/2, stop/1, config_change/3]).\n"
    "start(_, _) -> counter_sup:start_link().\n"
    "stop(_) -> ok.\n"
    "config_change(Changed, New, Removed) ->\n"
    "    Told = persistent_term:get(told, []),\n"
    "    Limit = application:get_env(counter, limit),\n"
    "    persistent_term:put(told, Told ++ [{Changed, lists:sort(New), Removed,"
    " Limit}]),\n"
    "    case persistent_term:get(answer, ok) of\n"
    "        raise -> exit(no);\n"
    "        Answer -> Answer\n"
    "    end.\n";

static const char extra_app[] =
    "-module(counter_extra_app).\n"
    "-export([start/2, stop/1]).\n"
    "start(_, _) ->\n"
    "    case persistent_term:get(start, ok) of\n"
    "        ok -> {ok, proc_lib:spawn_link(timer, sleep, [infinity])};\n"
    "        hang -> timer:sleep(infinity);\n"
    "        Why -> {error, Why}\n"
    "    end.\n"
    "stop(_) -> ok.\n";

static void compile(struct live *live, const char *folder, const char *module,
                    const char *text)
{
    struct harness *harness = live->scene->harness;
    const char *source = harness_path(harness, "%s.erl", module);
    harness_write_file(source, text);
    sh(live, harness_text(harness, "erlc +debug_info +deterministic -o %s %s",
                          folder, source));
}

/* counter_extra is a library in the fixture; here it runs, as its .app file and
 * the boot script say. */
static void let_extra_run(struct live *live)
{
    struct harness *harness = live->scene->harness;
    const char *ebin =
        harness_text(harness, "%s/lib/counter_extra-1.0.0/ebin", live->extra);
    const char *boot =
        harness_text(harness, "%s/releases/0.2.0-app/start.boot", live->extra);
    compile(live, ebin, "counter_extra_app", extra_app);
    sh(live, harness_text(harness,
                          "sed -i 's/{registered/{mod,{counter_extra_app,[]}},"
                          "{env,[{own,1}]},{registered/' %s/counter_extra.app",
                          ebin));
    beam_node_eval(
        live->scene->node,
        "{ok, B} = file:read_file(\"%s\"), {script, I, L} = binary_to_term(B), "
        "F = fun({apply, {application, load, [{application, counter_extra, "
        "K}]}}) -> {apply, {application, load, [{application, counter_extra, "
        "[{mod, {counter_extra_app, []}}, {env, [{own, 1}]} | K]}]}}; (X) -> X "
        "end, ok = file:write_file(\"%s\", term_to_binary({script, I, "
        "[F(X) || X <- L]}))",
        boot, boot);
}

static int setup(void **state)
{
    struct scene *scene = scene_open();
    struct harness *harness = scene->harness;
    struct live *live = harness_alloc(harness, sizeof *live);
    live->scene = scene;
    live->base = copy(live, harness_fixture(harness, "counter-0.2.0"), "base");
    compile(live,
            harness_text(harness, "%s/lib/counter-0.2.0/ebin", live->base),
            "counter_app", counter_app);
    live->conf = copy(live, live->base, "conf");
    harness_write_file(
        harness_text(harness, "%s/releases/0.2.0/sys.config", live->conf),
        "[{counter, [{greeting, \"good day\"}, {fresh, [a, b]}, "
        "{db_password, \"hush\"}, {flagged, 1}, {elsewhere, 2}]}].\n");
    live->extra =
        copy(live, harness_fixture(harness, "counter-0.2.0-app"), "extra");
    sh(live, harness_text(harness,
                          "cp %s/lib/counter-0.2.0/ebin/* "
                          "%s/lib/counter-0.2.0/ebin/",
                          live->base, live->extra));
    /* A boot reads these over sys.config. */
    const char *more = harness_path(harness, "more.config");
    harness_write_file(more, "[{counter, [{elsewhere, 9}]}].\n");
    const char **arguments = harness_alloc(harness, 6 * sizeof(char *));
    arguments[0] = "-counter";
    arguments[1] = "flagged";
    arguments[2] = "7";
    arguments[3] = "-config";
    arguments[4] = more;
    scene->node = beam_node_start(
        harness, &(struct beam_node_options){.release = live->base,
                                             .name = "live",
                                             .arguments = arguments});
    scene_load_hooks(scene);
    let_extra_run(live);
    *state = live;
    return 0;
}

static int teardown(void **state)
{
    struct live *live = *state;
    harness_close(live->scene->harness);
    return 0;
}

/* Whatever a test before has left, nothing is set but what it says. */
static int fresh(void **state)
{
    struct live *live = *state;
    scene_config(live->scene, "%s", "");
    beam_node_eval(live->scene->node,
                   "[persistent_term:erase(K) || K <- [told, answer, start]], "
                   "application:set_env(counter, mine, fun() -> 1 end), "
                   "application:set_env(counter, kept, self(), "
                   "[{persistent, true}])");
    return 0;
}

/* --- what is there ------------------------------------------------------- */

/* With what nobody's file names: a closure, a pid. */
static const char *environment(struct live *live)
{
    return beam_node_eval(
        live->scene->node,
        "[{A, lists:sort(application:get_all_env(A))} || A <- [counter, "
        "counter_extra, sasl, kernel, stdlib, elixir]]");
}

static const char *applications(struct live *live)
{
    return beam_node_eval(
        live->scene->node,
        "{lists:sort([A || {A, _, _} <- application:loaded_applications()]), "
        "lists:sort(proplists:get_value(started, application:info()))}");
}

struct before {
    const char *environment;
    const char *applications;
};

static struct before look(struct live *live)
{
    return (struct before){environment(live), applications(live)};
}

static void assert_as(struct live *live, const struct before *before)
{
    assert_string_equal(environment(live), before->environment);
    assert_string_equal(applications(live), before->applications);
}

static struct harness_run apply(struct live *live, const char *bundle)
{
    return scene_nzd(live->scene, "apply", "--retry", bundle);
}

static void goes(struct live *live, const char *bundle)
{
    struct harness_run run = apply(live, bundle);
    assert_status(run, 0);
    scene_settled(live->scene);
}

static void goes_back(struct live *live)
{
    struct harness_run run =
        scene_nzd(live->scene, "rollback", "--max", "restart-app");
    assert_status(run, 0);
    scene_settled(live->scene);
}

static void fails(struct live *live, const char *bundle, const char *why)
{
    struct before before = look(live);
    struct harness_run run = apply(live, bundle);
    assert_status(run, 6);
    assert_contains(run.out, why);
    assert_as(live, &before);
    scene_settled(live->scene);
}

/* --- configuration ------------------------------------------------------- */

static void the_plan_names_the_keys(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    struct harness_run run = scene_nzd(live->scene, "plan", live->conf);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: hot");
    assert_matches(run.out, "counter: greeting");
    assert_contains(run.out, "good day");
    assert_contains(run.out, "counter: limit");
    assert_contains(run.out, "counter: db_password");
    assert_lacks(run.out, "hush");
    assert_as(live, &before);
}

/* What was kept for undos goes along. */
static void is_portable(struct live *live)
{
    struct harness *harness = live->scene->harness;
    const char *file = harness_path(harness, "exported");
    struct harness_run run = scene_nzd(live->scene, "journal", "export", file);
    assert_status(run, 0);
    run = harness_run(harness,
                      harness_argv(harness, NULL, "journal", "import", file,
                                   "--journal",
                                   harness_path(harness, "imported"), NULL),
                      NULL);
    assert_status(run, 0);
}

static const char told[] = "persistent_term:get(told)";

static void there_and_back(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    goes(live, live->conf);
    assert_eval(live->scene->node, told,
                "[{[{greeting,\"good day\"}],[{db_password,\"hush\"},"
                "{fresh,[a,b]}],[limit],undefined}]");
    assert_eval(live->scene->node,
                "{application:get_env(counter, greeting), "
                "application:get_env(counter, limit)}",
                "{{ok,\"good day\"},undefined}");
    struct before then = look(live);
    assert_string_not_equal(then.environment, before.environment);
    struct harness_run run = apply(live, live->conf);
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
    assert_as(live, &then);

    beam_node_eval(live->scene->node, "persistent_term:erase(told)");
    goes_back(live);
    assert_as(live, &before);
    assert_eval(live->scene->node, told,
                "[{[{greeting,\"hello\"}],[{limit,100}],[db_password,fresh],"
                "{ok,100}}]");
    is_portable(live);
}

/* A key that was set to something else at run time comes back as it was. */
static void a_hook_says_no(void **state)
{
    struct live *live = *state;
    beam_node_eval(live->scene->node,
                   "application:set_env(counter, limit, {at, run, time})");
    scene_config(live->scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(live->scene, "no", "exit 3\n"));
    fails(live, live->conf, "hook no ");
    assert_eval(live->scene->node,
                "[L || {_, _, _, L} <- persistent_term:get("
                "told)]",
                "[undefined,{ok,{at,run,time}}]");
    beam_node_eval(live->scene->node,
                   "application:set_env(counter, limit, 100)");
}

static void the_application_says_no(void **state)
{
    struct live *live = *state;
    beam_node_eval(live->scene->node,
                   "persistent_term:put(answer, {error, not_now})");
    fails(live, live->conf, "config_change/3");
    beam_node_eval(live->scene->node, "persistent_term:put(answer, raise)");
    fails(live, live->conf, "counter_app:config_change/3");
}

static void recovers(struct live *live, const struct before *before)
{
    struct harness_run run = scene_nzd(live->scene, "recover");
    assert_status(run, 0);
    assert_as(live, before);
    scene_settled(live->scene);
}

static void nzd_is_killed(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    struct harness_job *job = scene_begin_until_post(live->scene, live->conf);
    scene_kill(live->scene, job);
    beam_node_wait_for(live->scene->node, "application:get_env(counter, limit)",
                       "{ok,100}", 5000);
    recovers(live, &before);
}

/* Nobody in the node remembers: what was set is in the journal. */
static void everybody_is_killed(void **state)
{
    struct live *live = *state;
    beam_node_eval(live->scene->node,
                   "application:set_env(counter, limit, {[], <<1:3>>, fun() -> "
                   "whole end})");
    struct before before = look(live);
    struct harness_job *job = scene_begin_until_post(live->scene, live->conf);
    beam_node_eval(live->scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(live->scene->node, "whereis(nzd)", "undefined", 5000);
    scene_kill(live->scene, job);
    recovers(live, &before);
    assert_eval(live->scene->node,
                "begin {ok, {_, _, F}} = application:get_env(counter, limit), "
                "F() end",
                "whole");
    beam_node_eval(live->scene->node,
                   "application:set_env(counter, limit, 100)");
}

static void what_only_a_boot_reads(void **state)
{
    struct live *live = *state;
    const char *bundle = copy(live, live->base, "boot");
    harness_write_file(harness_text(live->scene->harness,
                                    "%s/releases/0.2.0/sys.config", bundle),
                       "[{counter, [{greeting, \"hello\"}, {limit, 100}]}, "
                       "{kernel, [{logger_level, error}]}].\n");
    struct harness_run run = scene_nzd(live->scene, "plan", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: restart-vm");
    assert_contains(run.out, "kernel: logger_level");
}

/* --- applications -------------------------------------------------------- */

static const char runs[] =
    "proplists:get_value(counter_extra, proplists:get_value(started, "
    "application:info()))";

static void one_comes_and_goes(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    struct harness_run run = scene_nzd(live->scene, "plan", live->extra);
    assert_contains(run.out, "verdict: hot");
    goes(live, live->extra);
    assert_eval(live->scene->node, runs, "permanent");
    assert_eval(live->scene->node, "application:get_env(counter_extra, own)",
                "{ok,1}");
    struct before then = look(live);

    /* Who would stop is the operator's word. */
    run = scene_nzd(live->scene, "rollback");
    assert_status(run, 5);
    assert_contains(run.err, "counter_extra");
    assert_as(live, &then);

    /* Stopped, it is started again when that fails. */
    beam_node_eval(live->scene->node,
                   "application:set_env(counter_extra, own, 2)");
    then = look(live);
    scene_config(live->scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(live->scene, "no", "exit 3\n"));
    run = scene_nzd(live->scene, "rollback", "--max", "restart-app");
    assert_status(run, 6);
    assert_as(live, &then);

    scene_config(live->scene, "%s", "");
    goes_back(live);
    assert_as(live, &before);
}

static void one_does_not_start(void **state)
{
    struct live *live = *state;
    beam_node_eval(live->scene->node, "persistent_term:put(start, broken)");
    fails(live, live->extra, "application counter_extra does not start: ");
    beam_node_eval(live->scene->node, "persistent_term:erase(start)");
}

static void everybody_is_killed_with_one_more(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    struct harness_job *job = scene_begin_until_post(live->scene, live->extra);
    assert_eval(live->scene->node, runs, "temporary");
    beam_node_eval(live->scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(live->scene->node, "whereis(nzd)", "undefined", 5000);
    scene_kill(live->scene, job);
    recovers(live, &before);
}

static void a_trial_ends(void **state)
{
    struct live *live = *state;
    struct before before = look(live);
    struct harness_run run = scene_nzd(live->scene, "apply", "--retry",
                                       "--confirm", "10m", live->extra);
    assert_status(run, 0);
    assert_eval(live->scene->node, runs, "temporary");
    run = scene_nzd(live->scene, "rollback");
    assert_status(run, 0);
    assert_as(live, &before);
    run = scene_nzd(live->scene, "apply", "--retry", "--confirm", "10m",
                    live->extra);
    assert_status(run, 0);
    run = scene_nzd(live->scene, "confirm");
    assert_status(run, 0);
    assert_eval(live->scene->node, runs, "permanent");
    goes_back(live);
    assert_as(live, &before);
}

/* --- a later boot -------------------------------------------------------- */

/* Which applications a boot starts stands in no module and no file but the boot
 * script. */
static void a_new_start_lacks_the_boot_script(void **state)
{
    struct live *live = *state;
    struct scene *scene = live->scene;
    goes(live, live->extra);
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    struct harness_run run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    assert_contains(run.out, "the VM was started without its boot script");
    run = scene_nzd(scene, "status", "--json");
    assert_string_equal(
        answer_text(answer_object(scene->harness, run.out), "without"),
        "boot script");
    run = scene_nzd(scene, "rollback", "--to", "0", "--max", "restart-app");
    assert_status(run, 0);
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    scene_settled(scene);
}

static void a_restart_has_it_too(void **state)
{
    struct live *live = *state;
    struct scene *scene = live->scene;
    goes(live, live->extra);
    /* A release that has both. */
    harness_copy(scene->harness,
                 harness_text(scene->harness, "%s/releases/0.2.0/sys.config",
                              live->conf),
                 harness_text(scene->harness,
                              "%s/releases/0.2.0-app/sys.config", live->extra));
    goes(live, live->extra);
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_restart(scene->node, 20000);
    scene_settled(scene);
    assert_eval(scene->node, runs, "permanent");
    assert_eval(scene->node, "lists:sort(application:get_all_env(counter))",
                "[{db_password,\"hush\"},{elsewhere,9},{flagged,7},"
                "{fresh,[a,b]},{greeting,\"good day\"}]");
    struct harness_run run = apply(live, live->extra);
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
    goes_back(live);
    assert_eval(scene->node, "lists:sort(application:get_all_env(counter))",
                "[{elsewhere,9},{flagged,7},{greeting,\"hello\"},"
                "{limit,100}]");
    assert_eval(scene->node, runs, "permanent");
}

/* Started without nzd boot the VM has the base's, and that is told. */
static void a_new_start_has_the_base(void **state)
{
    struct live *live = *state;
    struct scene *scene = live->scene;
    struct harness_run run =
        scene_nzd(scene, "rollback", "--to", "0", "--max", "restart-app");
    assert_status(run, 0);
    goes(live, live->conf);
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_eval(scene->node, "application:get_env(counter, greeting)",
                "{ok,\"hello\"}");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    assert_contains(run.out, "the VM was started without its sys.config");
    const char *next = strstr(run.out, "rollback --to ");
    assert_non_null(next);
    next = harness_text(scene->harness, "%ld", strtol(next + 14, NULL, 10));
    run = scene_nzd(scene, "rollback", "--to", next);
    assert_status(run, 0);
    assert_eval(scene->node, "application:get_env(counter, greeting)",
                "{ok,\"good day\"}");
    scene_settled(scene);
}

int main(void)
{
#define live(test) cmocka_unit_test_setup(test, fresh)
    const struct CMUnitTest tests[] = {
        live(the_plan_names_the_keys),
        live(there_and_back),
        live(a_hook_says_no),
        live(the_application_says_no),
        live(nzd_is_killed),
        live(everybody_is_killed),
        live(what_only_a_boot_reads),
        live(one_comes_and_goes),
        live(one_does_not_start),
        live(everybody_is_killed_with_one_more),
        live(a_trial_ends),
        live(a_new_start_lacks_the_boot_script),
        live(a_restart_has_it_too),
        live(a_new_start_has_the_base),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
