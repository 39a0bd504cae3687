/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "booted.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* `nzd check`: what it says of each part, and that one that fails hides none
 * of the others. */

static struct harness_run check(struct scene *scene, int expected)
{
    struct harness_run run = scene_nzd(scene, "check");
    assert_status(run, expected);
    assert_string_equal(run.err, "");
    return run;
}

/* Every check has its line, whatever became of the others. */
static void assert_whole(struct harness_run run)
{
    static const char *const names[] = {"configuration", "journal", "lock",
                                        "boot",          "overlay", "health"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_contains(run.out, names[i]);
    assert_matches(run.out, "^(node|cookie) ");
}

/* --- all is well --------------------------------------------------------- */

static void before_the_first_apply(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = check(scene, 0);
    assert_whole(run);
    assert_matches(run.out, "^configuration  ok    .* is valid, 0 hooks$");
    assert_matches(run.out, "^cookie         ok    /.*/\\.erlang\\.cookie$");
    assert_matches(run.out, "^journal        ok    none yet; the first apply ");
    assert_matches(run.out, "^node           ok    counter_.* answers, OTP ");
    assert_matches(run.out, "^boot           warn  nzd boot did not start ");
    assert_contains(run.out, "next  start it by nzd boot -- COMMAND");
    assert_int_not_equal(access(scene->journal, F_OK), 0);
}

static void started_by_nzd_boot(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n tries = 2\n healthy = 0\n}\n");
    booted_start(scene);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = check(scene, 0);
    assert_lacks(run.out, " warn ");
    assert_contains(run.out, "nzd boot started the VM, which has booted the "
                             "base");
    assert_matches(run.out, "^journal        ok    /.*, 1 transaction, ");
    assert_matches(run.out, "^transaction    ok    none is open$");
    assert_matches(run.out, "^agent          ok    ");
    booted_reboot(scene);
    run = check(scene, 0);
    assert_contains(run.out, "which has booted generation 1");
    assert_contains(run.out, "generation 1: not found healthy yet, 1 of 2 ");
    booted_reboot(scene);
    run = check(scene, 0);
    assert_matches(run.out, "^health         warn  generation 1 is bad, or ");
    booted_reboot(scene);
    run = check(scene, 0);
    assert_matches(run.out, "^quarantine     warn  1 generation, last 1$");
    assert_contains(run.out, "nzd health lift 1");
}

static void as_json(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "rubbish");
    struct harness_run run = scene_nzd(scene, "check", "--json");
    assert_status(run, 2);
    json_t *answer = answer_object(scene->harness, run.out);
    assert_int_equal(answer_number(answer, "exit"), 2);
    assert_string_equal(answer_text(answer, "checks.0.name"), "configuration");
    assert_string_equal(answer_text(answer, "checks.0.state"), "fail");
    assert_true(json_array_size(json_object_get(answer, "checks")) >= 8);
}

/* --- one part fails ------------------------------------------------------ */

static void a_configuration_of_rubbish(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "keep = 20\nrubbish = 1\n");
    struct harness_run run = check(scene, 2);
    assert_whole(run);
    assert_matches(run.out, "^configuration  fail  /.*:2: unknown key");
    assert_matches(run.out, "^node           ok    ");
    scene_config(scene, "%s",
                 "hook \"gone\" {\n phase = post\n command = "
                 "{\"/no/such/program\"}\n timeout = 1s\n}\n");
    run = check(scene, 0);
    assert_matches(run.out, "^configuration  warn  hook gone: /no/such/");
    scene_config(scene, "%s",
                 "restart {\n command = {\"/no/such/restart\"}\n}\n");
    run = check(scene, 0);
    assert_matches(run.out,
                   "^configuration  warn  the restart command /no/such/");
}

static void a_node_that_is_gone(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    beam_node_kill(scene->node);
    run = check(scene, 4);
    assert_whole(run);
    assert_matches(run.out, "^node           fail  ");
    assert_matches(run.out, "^journal        ok    ");
    assert_matches(run.out, "^transaction    ok    ");
    assert_contains(run.out, "does not run: not to be told");
}

static void a_journal_that_is_damaged(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_int_equal(
        truncate(harness_text(scene->harness, "%s/data.mdb", scene->journal),
                 4096),
        0);
    run = check(scene, 8);
    assert_whole(run);
    assert_matches(run.out, "^journal        fail  ");
    assert_matches(run.out, "^node           ok    ");
}

static void the_node_of_another_journal(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene->journal = harness_path(scene->harness, "another");
    run = check(scene, 9);
    assert_whole(run);
    assert_matches(run.out, "^agent          fail  .* belongs to another ");
}

static void a_cookie_for_everybody(void **state)
{
    struct scene *scene = *state;
    const char *cookie = harness_path(scene->harness, ".erlang.cookie");
    assert_int_equal(chmod(cookie, 0444), 0);
    struct harness_run run = check(scene, 0);
    assert_matches(run.out, "^cookie         warn  everybody on this host ");
}

/* --- nzd at work, and nzd killed ----------------------------------------- */

static void at_work_and_cut_short(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("act", "post", "60s"),
                 scene_script(scene, "act", "echo $$ >began\nsleep 60\n"));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_pid(scene, "began");
    struct harness_run run = check(scene, 0);
    assert_matches(run.out, "^lock           warn  journal ");
    assert_matches(run.out, "is held by[[:space:]]+pid [0-9]+ ");
    assert_matches(run.out, "^transaction    warn  1 is armed: nzd is at work");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    run = check(scene, 10);
    assert_whole(run);
    assert_matches(run.out, "^lock           ok    ");
    assert_matches(run.out, "^transaction    fail  1 is armed, and no nzd is ");
    assert_matches(run.out, "^ +next  nzd recover$");
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    check(scene, 0);
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(before_the_first_apply),
        in(started_by_nzd_boot),
        in(as_json),
        in(a_configuration_of_rubbish),
        in(a_node_that_is_gone),
        in(a_journal_that_is_damaged),
        in(the_node_of_another_journal),
        in(a_cookie_for_everybody),
        in(at_work_and_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
