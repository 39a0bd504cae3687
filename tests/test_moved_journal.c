/* SPDX-License-Identifier: Apache-2.0 */

/* A journal that was exported and imported goes on with its node. */
#include "answer.h"
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct harness_run journal(struct scene *scene, const char *what,
                                  const char *more)
{
    return harness_nzd(scene->harness, NULL, "journal", "--journal",
                       scene->journal, what, more, NULL);
}

/* As on a device that was given another card. */
static void move_journal(struct scene *scene)
{
    const char *file = harness_path(scene->harness, "export.jsonl");
    const char *again = harness_path(scene->harness, "again.jsonl");
    struct harness_run run = journal(scene, "export", file);

    assert_status(run, 0);
    harness_remove(scene->harness, scene->journal);
    run = journal(scene, "import", file);
    assert_status(run, 0);
    run = journal(scene, "export", again);
    assert_status(run, 0);
    assert_string_equal(harness_read_file(scene->harness, again),
                        harness_read_file(scene->harness, file));
}

static void goes_on_with_its_node(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    const char *before;

    assert_status(run, 0);
    run = scene_apply(scene, "0.3.0");
    assert_status(run, 0);
    assert_runs(scene, "0.3.0");
    before = journal(scene, "show", "1").out;
    move_journal(scene);
    assert_string_equal(journal(scene, "show", "1").out, before);
    answer_settled(scene->harness, scene->node);

    /* The code of generation 1 is nowhere but in the journal. */
    run = scene_nzd(scene, "rollback", "--to", "1");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_record(scene, 3, "committed");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    answer_settled(scene->harness, scene->node);
    move_journal(scene);
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_record(scene, 5, "committed");
    answer_settled(scene->harness, scene->node);
}

/* What was left open is settled from the imported journal: the token that
 * tells that the VM is the same came along. */
static void settles_what_was_open(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job;
    struct harness_run run;

    scene_config(
        scene, SCENE_PROGRAM("slow", "post", "30s"),
        scene_script(scene, "slow", "echo $$ > slow.pid\nexec sleep 25\n"));
    job = scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_pid(scene, "slow.pid");
    kill(harness_job_pid(job), SIGKILL);
    run = harness_end(scene->harness, job, 10000);
    assert_status(run, 128 + SIGKILL);
    scene_config(scene, "%s", "");
    move_journal(scene);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_record(scene, 1, "rolled_back");
    answer_settled(scene->harness, scene->node);
}

int main(void)
{
#define REAL(name)                                                             \
    cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        REAL(goes_on_with_its_node),
        REAL(settles_what_was_open),
    };

    return cmocka_run_group_tests_name("moved_journal", tests, NULL, NULL);
}
