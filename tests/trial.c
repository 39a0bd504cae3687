/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include "answer.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct harness_run trial_begin(struct scene *scene, const char *version,
                               const char *lasts)
{
    struct harness_run run = scene_nzd(scene, "apply", "--retry", "--confirm",
                                       lasts, scene_bundle(scene, version));
    assert_status(run, 0);
    return run;
}

static const char *trial_program(void)
{
    static char absolute[4096];
    const char *given = getenv("NZD");
    if (!realpath(given ? given : "build/nzd", absolute))
        harness_fail("nzd is not there");
    return absolute;
}

const char *trial_points_program(void)
{
    static char absolute[4096];
    const char *given = getenv("NZD_POINTS");
    if (!realpath(given ? given : "build/points/nzd", absolute))
        harness_fail("build/points/nzd is not built: make points");
    return absolute;
}

static const char *trial_mark(struct scene *scene)
{
    return harness_text(scene->harness, "NZD_TEST_DIR=%s",
                        harness_dir(scene->harness));
}

unsigned trial_processes(struct scene *scene)
{
    return process_count_marked(trial_mark(scene), trial_program());
}

static void fail_not_alone(struct scene *scene)
{
    char left[4096];
    process_list_marked(trial_mark(scene), trial_program(), left, sizeof left);
    harness_fail("a process of nzd is left:%s", left);
}

void trial_wait_alone(struct scene *scene)
{
    double until = process_now_ms() + TRIAL_SOON_MS;
    while (trial_processes(scene)) {
        if (process_now_ms() > until)
            fail_not_alone(scene);
        process_sleep_ms(10);
    }
}

pid_t trial_keeper(struct scene *scene)
{
    return process_with_words("--attend", scene->journal);
}

void trial_kill_keeper(struct scene *scene)
{
    pid_t pid = trial_keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
    trial_wait_alone(scene);
}

/* A file that it holds; NULL: none. */
static const char *file_held(struct scene *scene, pid_t pid)
{
    const char *held = NULL;
    const char *folder = harness_text(scene->harness, "/proc/%d/fd", (int)pid);
    DIR *files = opendir(folder);
    struct dirent *entry;
    assert_non_null(files);
    while (!held && (entry = readdir(files))) {
        char to[4096] = "";
        const char *path =
            harness_text(scene->harness, "%s/%s", folder, entry->d_name);
        ssize_t size = readlink(path, to, sizeof to - 1);
        if (size > 0 && strcmp(to, "/dev/null") != 0 &&
            strncmp(to, "anon_inode:", 11) != 0)
            held = harness_text(scene->harness, "%s", to);
    }
    closedir(files);
    return held;
}

void trial_wait_asleep(struct scene *scene, pid_t pid)
{
    double until = process_now_ms() + TRIAL_SOON_MS;
    const char *held;
    process_sleep_ms(300);
    while ((held = file_held(scene, pid)) || trial_processes(scene) != 1) {
        if (process_now_ms() > until)
            harness_fail("the keeper holds %s", held ? held : "another");
        process_sleep_ms(20);
    }
}

static const char *trial_state(struct scene *scene, unsigned id)
{
    return answer_text(answer_txn(scene->harness, scene->node, id), "state");
}

void trial_wait_state(struct scene *scene, unsigned id, const char *state)
{
    double until = process_now_ms() + TRIAL_SOON_MS;
    const char *found;
    while (strcmp(found = trial_state(scene, id), state) != 0) {
        if (process_now_ms() > until)
            harness_fail("transaction %u is %s, not %s", id, found, state);
        process_sleep_ms(20);
    }
}

void trial_check_why(struct scene *scene, unsigned id, const char *why)
{
    assert_contains(
        answer_text(answer_txn(scene->harness, scene->node, id), "why"), why);
}

void trial_check_undone(struct scene *scene, unsigned id, const char *why)
{
    trial_wait_state(scene, id, "rolled_back");
    trial_wait_alone(scene);
    assert_runs(scene, "0.1.0");
    trial_check_why(scene, id, why);
    scene_settled(scene);
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

void trial_begin_alone_by(struct scene *scene, const char *lasts,
                          const char *const *more)
{
    struct harness *harness = scene->harness;
    const char *copy = harness_path(harness, "nzd.copy");
    const char *const *argv =
        scene_argv(scene, harness_argv(harness, scene->node, "apply", "--retry",
                                       scene_bundle(scene, "0.2.0"),
                                       "--confirm", lasts, NULL));
    argv = harness_concat(harness, argv, more);
    const char *own[] = {copy, NULL};
    harness_copy(harness, trial_program(), copy);
    struct harness_run run =
        harness_run(harness, harness_concat(harness, own, argv + 1), NULL);
    assert_status(run, 0);
    harness_remove(harness, copy);
    pid_t pid = trial_keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
}

void trial_begin_alone(struct scene *scene, const char *lasts)
{
    static const char *const none[] = {NULL};
    trial_begin_alone_by(scene, lasts, none);
}
