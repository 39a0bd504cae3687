/* SPDX-License-Identifier: Apache-2.0 */

/* Does this build of nzd work at all: static, of another machine, packaged? */

#include "../booted.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void succeeds(struct scene *scene, const char *const *argv,
                     const char *says)
{
    struct harness_run run = scene_run(scene, argv);

    assert_status(run, 0);
    assert_contains(run.out, says);
}

#define assert_says(scene, says, ...)                                          \
    succeeds((scene),                                                          \
             harness_argv((scene)->harness, (scene)->node, __VA_ARGS__, NULL), \
             (says))

static void a_change_boots_and_goes_back(void **state)
{
    struct scene *scene = *state;
    const char *tarball =
        harness_fixture(scene->harness, "counter-0.2.0.tar.gz");

    booted_start(scene);
    assert_runs(scene, "0.1.0");
    assert_says(scene, "hot", "plan", tarball);
    assert_says(scene, "counter 0.2.0", "apply", tarball);
    assert_runs(scene, "0.2.0");
    assert_says(scene, "committed", "journal", "show");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    assert_eval(scene->node, "os:getenv(\"NZD_BOOT\")", "\"1\"");
    scene_settled(scene);
    assert_says(scene, "counter 0.1.0 runs", "rollback");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_boots_and_goes_back,
                                        scene_setup, scene_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
