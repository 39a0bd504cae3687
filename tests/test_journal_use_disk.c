/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- full, on a file system of its own --- */

static void unmount(void *path)
{
    const char *const argv[] = {"umount", "-l", path, NULL};
    struct process_command command = {.argv = argv};
    process_wait(process_spawn(&command), 10000, NULL);
}

/* False, and said so, where this user may not mount. */
static bool mount_small(struct scene *scene, const char *size)
{
    const char *path = harness_path(scene->harness, "small");
    struct harness_run run = scene_shell(
        scene, harness_text(scene->harness,
                            "mkdir %s && mount -t tmpfs -o size=%s nzd %s",
                            path, size, path));
    if (run.status != 0) {
        print_message("no tmpfs can be mounted here: %s", run.err);
        return false;
    }
    harness_at_close(
        scene->harness, unmount,
        (void *)(uintptr_t)harness_text(scene->harness, "%s", path));
    scene->journal = harness_text(scene->harness, "%s/journal", path);
    return true;
}

#define SMALL(scene, size)                                                     \
    do {                                                                       \
        if (!mount_small((scene), (size)))                                     \
            skip();                                                            \
    } while (0)

/* Takes every byte that is left. */
static const char *filler(struct scene *scene)
{
    return harness_text(scene->harness,
                        "dd if=/dev/zero of=%s bs=4096 2>/dev/null; true",
                        harness_path(scene->harness, "small/filler"));
}

static void make_room(struct scene *scene)
{
    harness_remove(scene->harness,
                   harness_path(scene->harness, "small/filler"));
}

static void disk_is_full_at_first(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_must(scene, filler(scene));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_journal(&run, "nzd: ");
    assert_matches(run.err, "full|No space left");
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "whereis(nzd)", "undefined");
    run = scene_nzd(scene, "status");
    assert_status(run, 0);

    make_room(scene);
    scene_commit(scene, "0.2.0", 1);
    scene_settled(scene);
}

static void disk_is_full_later(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_commit(scene, "0.2.0", 1);
    scene_must(scene, filler(scene));
    struct harness_run run = scene_apply(scene, "0.3.0");
    assert_journal(&run, "untouched");
    assert_matches(run.err, "full|No space left");
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "journal", "show", "2");
    assert_status(run, 2);
    scene_settled(scene);
    scene_record(scene, 1, "committed");

    make_room(scene);
    scene_commit(scene, "0.3.0", 2);
    scene_settled(scene);
}

/* Before armed, in a pre hook: no room is left to take. */
static void disk_fills_before_armed(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_commit(scene, "0.2.0", 1);
    scene_config(scene, SCENE_PROGRAM("fill", "pre", "20s"),
                 scene_script(scene, "fill", "%s\n", filler(scene)));
    struct harness_run run = scene_apply(scene, "0.3.0");
    assert_journal(&run, "untouched  no code was loaded");
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "journal", "show", "2");
    assert_status(run, 2);
    scene_settled(scene);

    make_room(scene);
    scene_config(scene, "%s", "");
    scene_commit(scene, "0.3.0", 2);
    scene_settled(scene);
}

/* After armed: the room for the commit was taken before. */
static void disk_fills_after_armed(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_config(scene, SCENE_PROGRAM("fill", "post", "20s"),
                 scene_script(scene, "fill", "%s\n", filler(scene)));
    scene_commit(scene, "0.2.0", 1);
    scene_record(scene, 1, "committed");
    scene_settled(scene);
    make_room(scene);
    scene_config(scene, "%s", "");
    scene_commit(scene, "0.3.0", 2);
    scene_settled(scene);
}

/* And the room for an undo. */
static void disk_fills_before_an_undo(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_config(scene, SCENE_PROGRAM("fill", "post", "20s"),
                 scene_script(scene, "fill", "%s\nexit 1\n", filler(scene)));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 6);
    assert_runs(scene, "0.1.0");
    scene_record(scene, 1, "rolled_back");
    scene_settled(scene);
}

/* --- read-only --- */

static void read_only_mount(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "4m");
    scene_commit(scene, "0.2.0", 1);
    scene_must(scene, harness_text(scene->harness, "mount -o remount,ro %s",
                                   harness_path(scene->harness, "small")));
    struct harness_run run = scene_apply(scene, "0.3.0");
    assert_journal(&run, "Read-only file system");
    run = scene_nzd(scene, "rollback");
    assert_journal(&run, "Read-only file system");
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "journal", "show");
    assert_status(run, 0);
    assert_matches(run.out, "^\\* +1 .* committed ");
    run = scene_nzd(scene, "plan", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);
    scene_record(scene, 1, "committed");
    scene_settled(scene);
}

static void read_only_from_the_start(void **state)
{
    struct scene *scene = *state;
    SMALL(scene, "1m");
    scene_must(scene, harness_text(scene->harness, "mount -o remount,ro %s",
                                   harness_path(scene->harness, "small")));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_journal(&run, "Read-only file system");
    assert_runs(scene, "0.1.0");
    run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_contains(run.out, "journal    none");
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(disk_is_full_at_first),     real(disk_is_full_later),
        real(disk_fills_before_armed),   real(disk_fills_after_armed),
        real(disk_fills_before_an_undo), real(read_only_mount),
        real(read_only_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
