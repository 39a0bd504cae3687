/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "booted.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What plan, apply and status say a restart will boot; and that it does. */

static const char *status(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    return run.out;
}

static json_t *status_json(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "status", "--json");
    assert_status(run, 0);
    return answer_get(answer_object(scene->harness, run.out), "boot");
}

static const char *plan(struct scene *scene)
{
    struct harness_run run =
        scene_nzd(scene, "plan", scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    return run.out;
}

/* --- nzd boot did not start the VM --------------------------------------- */

static void without_nzd_boot(void **state)
{
    struct scene *scene = *state;
    assert_matches(status(scene), "^base .*; a restart boots it$");
    const char *planned = plan(scene);
    assert_matches(planned,
                   "^  at restart +the base boots: counter 0\\.1\\.0 ");
    assert_matches(planned, "^ +but init:restart/0 boots 0\\.2\\.0 again$");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.err, "nzd boot did not start this VM: init:restart/0 "
                             "keeps the new code, a new start boots the base "
                             "again: counter 0.1.0");
    assert_matches(status(scene),
                   "^base .*; init:restart/0 boots generation 1, a new start "
                   "of the VM the base$");
    assert_lacks(status(scene), "\nboot ");
    json_t *boot = status_json(scene);
    assert_false(json_is_true(json_object_get(boot, "nzd_boot")));
    assert_int_equal(answer_number(boot, "restart"), 0);
    assert_int_equal(answer_number(boot, "init_restart"), 1);
    assert_eval(scene->node, "begin init:restart(), ok end", "ok");
    beam_node_wait_restart(scene->node, 20000);
    assert_runs(scene, "0.2.0");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_runs(scene, "0.1.0");
    const char *told = status(scene);
    assert_contains(told, "NOT generation 1");
    assert_matches(told, "^base .*; a restart boots it$");
}

/* --- it did -------------------------------------------------------------- */

static void with_nzd_boot(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n tries = 3\n healthy = 0\n}\n");
    booted_start(scene);
    assert_matches(status(scene), "^base .*; a restart boots it$");
    assert_matches(status(scene), "^boot +nzd boot is set up; ");
    const char *planned = plan(scene);
    assert_matches(planned,
                   "^  at restart +0\\.2\\.0 boots again \\(nzd boot is set "
                   "up\\)$");
    assert_lacks(planned, "init:restart");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_lacks(run.err, "boots the base");
    assert_matches(status(scene), "^base .*; a restart boots generation 1$");
    assert_matches(status(scene), "^boot +not booted yet, 0 of 3 tries used$");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    assert_matches(status(scene),
                   "^boot +not found healthy yet, 1 of 3 tries used$");
    run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    assert_matches(status(scene), "^boot +healthy, 0 of 12 tries used$");
    json_t *boot = status_json(scene);
    assert_true(json_is_true(json_object_get(boot, "nzd_boot")));
    assert_true(json_is_true(json_object_get(boot, "healthy")));
    assert_int_equal(answer_number(boot, "booted"), 1);
    assert_int_equal(answer_number(boot, "restart"), 1);
    assert_int_equal(answer_number(boot, "tries_max"), 12);
}

static void a_bad_one(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n tries = 3\n healthy = 0\n}\n");
    booted_start(scene);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    booted_reboot(scene);
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    assert_matches(status(scene),
                   "^base .*; a restart falls back from generation 1 to the "
                   "one before$");
    assert_matches(status(scene), "^boot +bad, as nzd health was told$");
    assert_int_equal(answer_number(status_json(scene), "restart"), 0);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    assert_matches(status(scene), "^base .*; a restart boots it$");
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {in(without_nzd_boot), in(with_nzd_boot),
                                       in(a_bad_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
