/* SPDX-License-Identifier: Apache-2.0 */
#include "booted.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* `nzd recover --before-start`, as a step before the VM is started: what it
 * settles, what it leaves, and that it always comes to an end. */

static struct harness_run before_start(struct scene *scene, const char *option)
{
    const char *const *nzd = harness_argv(scene->harness, NULL, NULL);
    const char *const argv[] = {nzd[0],         "recover",     "--before-start",
                                "--config",     scene->config, "--journal",
                                scene->journal, option,        NULL};
    return harness_run(scene->harness, argv, NULL);
}

/* An apply that is in its post hook. */
static struct harness_job *begin_apply(struct scene *scene)
{
    scene_config(scene, SCENE_PROGRAM("act", "post", "60s"),
                 scene_script(scene, "act", "echo $$ >began\nsleep 60\n"));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_pid(scene, "began");
    return job;
}

static void end_nzd(struct scene *scene, struct harness_job *job)
{
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    scene_config(scene, "%s", "boot {\n timeout = 3s\n}\n");
}

/* nzd and the VM at one time: neither sees the other go. */
static void cut_short(struct scene *scene)
{
    struct harness_job *job = begin_apply(scene);
    kill(harness_job_pid(job), SIGSTOP);
    beam_node_kill(scene->node);
    end_nzd(scene, job);
    scene_record(scene, 1, "armed");
}

static void nothing_is_open(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 0);
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    /* The lock of another is not waited for where there is nothing to do. */
    int fd = open(harness_text(scene->harness, "%s/lock", scene->journal),
                  O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    run = before_start(scene, NULL);
    close(fd);
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    assert_runs(scene, "0.2.0");
}

static void a_vm_that_is_gone(void **state)
{
    struct scene *scene = *state;
    cut_short(scene);
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    run = before_start(scene, NULL);
    assert_status(run, 0);
    beam_node_start_again(scene->node);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* It is there, and could be asked; but that is not what this is for. */
static void a_vm_that_is_there(void **state)
{
    struct scene *scene = *state;
    end_nzd(scene, begin_apply(scene));
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 10);
    assert_contains(run.err, "transaction 1 is armed");
    assert_contains(run.err, "not proven gone");
    scene_record(scene, 1, "armed");
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    assert_runs(scene, "0.1.0");
}

/* Whoever holds the lock does not let go: a start must not wait for good. */
static void a_lock_that_is_held(void **state)
{
    struct scene *scene = *state;
    cut_short(scene);
    int fd = open(harness_text(scene->harness, "%s/lock", scene->journal),
                  O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 9);
    run = before_start(scene, "--wait=1h");
    assert_status(run, 10);
    assert_contains(run.err, "the journal took too long");
    assert_true(run.ms >= 2900 && run.ms < 10000);
    close(fd);
    run = before_start(scene, NULL);
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
}

/* An nzd that was stopped: it is not ours to end, the start goes on. */
static void a_holder_that_is_stopped(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = begin_apply(scene);
    kill(harness_job_pid(job), SIGSTOP);
    beam_node_kill(scene->node);
    scene_config(scene, "%s", "boot {\n timeout = 3s\n}\n");
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 9);
    assert_true(run.ms < 10000);
    run = before_start(scene, "--wait=1h");
    assert_status(run, 10);
    assert_contains(run.err, "the journal took too long");
    assert_true(run.ms < 10000);
    assert_true(process_alive(harness_job_pid(job)));
    end_nzd(scene, job);
    run = before_start(scene, NULL);
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
}

/* A child that not even SIGKILL ends is left behind. */
static void a_disk_that_does_not_answer(void **state)
{
    struct scene *scene = *state;
    booted_on_mute_disk(scene);
    struct harness_run run = before_start(scene, NULL);
    assert_status(run, 10);
    assert_contains(run.err, "the journal took too long");
    assert_true(run.ms >= 1900 && run.ms < 6000);
}

/* The configuration is read where it may hang, too. */
static void told_to_end(void **state)
{
    struct scene *scene = *state;
    const char *const *nzd = harness_argv(scene->harness, NULL, NULL);
    const char *fifo = harness_path(scene->harness, "fifo");
    const char *const argv[] = {nzd[0],         "recover", "--before-start",
                                "--config",     fifo,      "--journal",
                                scene->journal, NULL};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    struct harness_job *job = harness_begin(scene->harness, argv, NULL);
    process_sleep_ms(500);
    kill(harness_job_pid(job), SIGTERM);
    struct harness_run run = harness_end(scene->harness, job, 10000);
    assert_status(run, 10);
    assert_contains(run.err, "told to end");
}

static void a_journal_that_is_damaged(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    const char *store =
        harness_text(scene->harness, "%s/data.mdb", scene->journal);
    assert_int_equal(truncate(store, 4096), 0);
    run = before_start(scene, NULL);
    assert_status(run, 8);
    assert_matches(run.err, "^nzd: ");
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {in(nothing_is_open),
                                       in(a_vm_that_is_gone),
                                       in(a_vm_that_is_there),
                                       in(a_lock_that_is_held),
                                       in(a_holder_that_is_stopped),
                                       in(a_disk_that_does_not_answer),
                                       in(told_to_end),
                                       in(a_journal_that_is_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
