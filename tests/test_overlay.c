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

static void restart(struct scene *scene)
{
    assert_eval(scene->node, "begin init:restart(), ok end", "ok");
    beam_node_wait_restart(scene->node, 20000);
}

/* Restarted in place, it runs what was committed, and nzd knows it. */
static void restarts_into_it(struct scene *scene)
{
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_folder(scene, "0.2.0");
    restart(scene);
    assert_version_of_application(scene, "0.2.0");
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

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {in(embedded), in(interactive),
                                       in(over_another), in(version_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
