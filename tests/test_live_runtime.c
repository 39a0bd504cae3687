/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A Mix release whose runtime.exs changes in a running node. */

struct mix {
    struct scene *scene;
    const char *bundle; /* greeter 0.2.0-runtime */
};

static int setup(void **state)
{
    struct scene *scene = scene_open();
    struct harness *harness = scene->harness;
    struct mix *mix = harness_alloc(harness, sizeof *mix);
    mix->scene = scene;
    mix->bundle = harness_path(harness, "runtime");
    harness_copy(harness, harness_fixture(harness, "greeter-0.2.0-runtime"),
                 mix->bundle);
    scene->node = beam_node_start(
        harness, &(struct beam_node_options){
                     .release = harness_fixture(harness, "greeter-0.2.0"),
                     .name = "mix"});
    *state = mix;
    return 0;
}

static int teardown(void **state)
{
    struct mix *mix = *state;
    harness_close(mix->scene->harness);
    return 0;
}

/* What runtime.exs says behind `import Config`. */
static void says(struct mix *mix, const char *text)
{
    struct harness *harness = mix->scene->harness;
    harness_write_file(harness_text(harness,
                                    "%s/releases/0.2.0-runtime/runtime.exs",
                                    mix->bundle),
                       harness_text(harness, "import Config\n%s\n", text));
}

static const char *environment(struct mix *mix)
{
    return beam_node_eval(mix->scene->node,
                          "[{A, lists:sort(application:get_all_env(A))} || A "
                          "<- [greeter, elixir, logger, kernel]]");
}

static struct harness_run apply(struct mix *mix)
{
    return scene_nzd(mix->scene, "apply", "--retry", mix->bundle);
}

static void there_and_back(void **state)
{
    struct mix *mix = *state;
    const char *before = environment(mix);
    struct harness_run run = apply(mix);
    assert_status(run, 0);
    assert_contains(run.err, "greeter greeting");
    assert_eval(mix->scene->node, "application:get_env(greeter, greeting)",
                "{ok,<<\"Good day\">>}");
    scene_settled(mix->scene);

    says(mix, "config :greeter, greeting: \"Hi\", deep: [a: 1, b: [c: 2]]");
    run = apply(mix);
    assert_status(run, 0);
    assert_eval(mix->scene->node,
                "lists:sort(application:get_all_env(greeter))",
                "[{deep,[{a,1},{b,[{c,2}]}]},{greeting,<<\"Hi\">>}]");
    run = scene_nzd(mix->scene, "rollback");
    assert_status(run, 0);
    assert_eval(mix->scene->node,
                "lists:sort(application:get_all_env(greeter))",
                "[{greeting,<<\"Good day\">>}]");
    run = scene_nzd(mix->scene, "rollback", "--to", "0");
    assert_status(run, 0);
    assert_string_equal(environment(mix), before);
    scene_settled(mix->scene);
}

static void refused(struct mix *mix, const char *why)
{
    const char *before = environment(mix);
    struct harness_run run = apply(mix);
    assert_status(run, 5);
    assert_contains(run.err, why);
    assert_string_equal(environment(mix), before);
    scene_settled(mix->scene);
}

static void what_it_says_is_refused(void **state)
{
    struct mix *mix = *state;
    says(mix, "raise \"no database\"");
    refused(mix, "runtime.exs: ** (RuntimeError) no database");
    says(mix, "exit(:away)");
    refused(mix, "runtime.exs: ");
    says(mix, "config :greeter, list: Enum.to_list(1..100_000_000)");
    refused(mix, "runtime.exs: ended by killed");
    says(mix, "config :kernel, logger_level: :error");
    refused(mix, "kernel logger_level is read when the VM boots");
}

/* A value that no file can hold costs no other key. */
static void a_closure_is_named(void **state)
{
    struct mix *mix = *state;
    const char *before = environment(mix);
    says(mix, "config :greeter, greeting: \"Hi\", made: fn -> :here end");
    struct harness_run run = apply(mix);
    assert_status(run, 0);
    assert_eval(mix->scene->node,
                "{ok, F} = application:get_env(greeter, made), {F(), "
                "application:get_env(greeter, greeting)}",
                "{here,{ok,<<\"Hi\">>}}");
    assert_contains(run.err, "greeter made holds what no file can");
    run = scene_nzd(mix->scene, "rollback");
    assert_status(run, 0);
    assert_string_equal(environment(mix), before);
}

static void a_restart_has_it_too(void **state)
{
    struct mix *mix = *state;
    says(mix, "config :greeter, greeting: \"Hi\", deep: [a: 1]");
    struct harness_run run = apply(mix);
    assert_status(run, 0);
    beam_node_eval(mix->scene->node, "init:restart()");
    beam_node_wait_restart(mix->scene->node, 20000);
    assert_eval(mix->scene->node,
                "lists:sort(application:get_all_env(greeter))",
                "[{deep,[{a,1}]},{greeting,<<\"Hi\">>}]");
    scene_settled(mix->scene);
    run = scene_nzd(mix->scene, "rollback");
    assert_status(run, 0);
    assert_eval(mix->scene->node,
                "lists:sort(application:get_all_env(greeter))",
                "[{greeting,<<\"Hello\">>}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(what_it_says_is_refused),
        cmocka_unit_test(a_closure_is_named),
        cmocka_unit_test(a_restart_has_it_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
