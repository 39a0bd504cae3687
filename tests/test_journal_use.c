/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* The journal as an operator meets it: held by another nzd, foreign, damaged,
 * too small; and a configuration that is wrong. */

/* --- two at once --- */

/* An apply of 0.2.0 that waits in a hook of this phase until it may go on. */
static struct harness_job *begin_waiting(struct scene *scene, const char *phase)
{
    scene_config(scene,
                 "hook \"wait\" {\n phase = %s\n command = {\"%s\"}\n"
                 " timeout = 60s\n}\n",
                 phase,
                 scene_script(scene, "wait",
                              "echo $$ >began\n"
                              "while ! [ -e go ]; do sleep 0.02; done\n"));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_file(scene, "began");
    scene_config(scene, "%s", "");
    return job;
}

static struct harness_run let_go(struct scene *scene, struct harness_job *job)
{
    harness_write_file(harness_path(scene->harness, "go"), "go\n");
    return harness_end(scene->harness, job, 20000);
}

static void second_is_told_who_holds_it(void **state)
{
    struct scene *scene = *state;
    struct harness_job *first = begin_waiting(scene, "pre");
    struct harness_run run = scene_apply(scene, "0.3.0");
    assert_status(run, 9);
    /* qemu-user shows a process another start time of itself. */
    assert_contains(run.err,
                    getenv("NZD_TEST_EMULATED")
                        ? "is held by "
                        : harness_text(scene->harness, "is held by pid %d (nzd",
                                       (int)harness_job_pid(first)));
    assert_contains(run.err, "--wait 60s");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 9);
    run = scene_nzd(scene, "plan", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);
    run = scene_nzd(scene, "apply", "--dry-run", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);

    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.3.0"), "--wait",
                    "300ms");
    assert_status(run, 9);
    assert_in_range(run.ms, 300, 5000);

    struct harness_job *second = scene_begin(
        scene, "apply", scene_bundle(scene, "0.3.0"), "--wait", "20s");
    process_sleep_ms(200);
    assert_true(process_alive(harness_job_pid(second)));
    run = let_go(scene, first);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0");
    run = harness_end(scene->harness, second, 20000);
    assert_status(run, 0);
    assert_contains(run.out, "committed 2: counter 0.3.0");
    scene_wait_removed(scene);
    assert_runs(scene, "0.3.0");
    scene_record(scene, 1, "committed");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
}

/* Who only reads neither waits nor disturbs. */
static void readers_do_not_disturb(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = begin_waiting(scene, "post");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^open +1 is armed");
    run = scene_nzd(scene, "journal", "show");
    assert_status(run, 0);
    assert_matches(run.out, "^ +1 .* armed$");
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);
    run = let_go(scene, job);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0");
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* The same while the hook runs in the node. */
static void readers_are_answered_during_a_call(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    beam_node_eval(scene->node, "register(nzd_test_gate, spawn(fun() -> "
                                "receive go -> ok end end))");
    scene_config(scene, "%s",
                 SCENE_CALL("wait", "post", "nzd_test_hook:wait_gone",
                            "\"nzd_test_gate\""));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.2.0\"",
                       5000);
    struct harness_run run = scene_nzd(scene, "status", "--timeout", "2s");
    assert_status(run, 0);
    assert_matches(run.out, "^open +1 is armed");
    beam_node_eval(scene->node, "nzd_test_gate ! go");
    run = harness_end(scene->harness, job, 20000);
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* A lock file that a killed nzd left behind holds nobody up. */
static void killed_holder_holds_nothing(void **state)
{
    struct scene *scene = *state;
    struct harness_job *job = begin_waiting(scene, "pre");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    scene_commit(scene, "0.2.0", 1);
    scene_settled(scene);
}

/* --- foreign --- */

static void foreign_journal_is_refused(void **state)
{
    struct scene *scene = *state;
    const char *own = scene->journal;
    scene_commit(scene, "0.2.0", 1);
    scene->journal = harness_path(scene->harness, "other");
    struct harness_run run = scene_apply(scene, "0.3.0");
    assert_status(run, 9);
    assert_contains(run.err, "belongs to another journal");
    assert_contains(run.err, "--adopt");
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_status(run, 2);
    run = scene_nzd(scene, "apply", "--dry-run", scene_bundle(scene, "0.3.0"));
    assert_status(run, 9);

    /* On its base the node can be taken over. */
    scene->journal = own;
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene->journal = harness_path(scene->harness, "other");
    run = scene_apply(scene, "0.3.0");
    assert_status(run, 9);
    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.3.0"), "--adopt");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.3.0");
    scene_record(scene, 1, "committed");
    scene_settled(scene);

    /* Now the first one is the foreign one. */
    scene->journal = own;
    run = scene_nzd(scene, "rollback");
    assert_status(run, 9);
    assert_contains(run.err, "belongs to another journal");
    assert_runs(scene, "0.3.0");
    scene_record(scene, 1, "committed");
}

/* --- damaged --- */

static void assert_refused_by_all(struct scene *scene, const char *what)
{
    const char *const commands[][4] = {
        {"apply", scene_bundle(scene, "0.3.0")},
        {"apply", "--dry-run", scene_bundle(scene, "0.3.0")},
        {"plan", scene_bundle(scene, "0.3.0")},
        {"rollback"},
        {"recover"},
        {"status"},
        {"journal", "show"},
        {"journal", "show", "1"},
        {"journal", "verify"},
    };
    const char *compare =
        harness_text(scene->harness, "cmp %s/data.mdb %s", scene->journal,
                     harness_path(scene->harness, "damaged.copy"));
    scene_must(scene,
               harness_text(scene->harness, "cp %s/data.mdb %s", scene->journal,
                            harness_path(scene->harness, "damaged.copy")));
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct harness_run run =
            scene_nzd(scene, commands[i][0], commands[i][1], commands[i][2]);
        if (run.status != 8)
            print_error("%s:\n", what);
        assert_journal(&run, scene->journal);
        scene_must(scene, compare);
    }
    assert_runs(scene, "0.2.0");
}

static void damage_is_told_by_all(void **state)
{
    struct scene *scene = *state;
    static const char *const damages[][2] = {
        {"zeros", "s=$(stat -c %s \"$f\"); head -c $s /dev/zero >\"$f\""},
        {"empty", ": >\"$f\""},
        {"cut", "truncate -s 6000 \"$f\""},
        {"text", "echo no database >\"$f\""},
        {"headers",
         "s=$(stat -c %s \"$f\"); p=2; "
         "while [ $((p * 4096)) -lt $s ]; do "
         "printf '\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377'"
         "'\\377\\377\\377\\377\\377\\377' | dd of=\"$f\" bs=1 "
         "seek=$((p * 4096)) conv=notrunc 2>/dev/null; "
         "p=$((p + 1)); [ $p -lt 40 ] || break; done"},
    };
    const char *own = scene->journal;
    scene_commit(scene, "0.2.0", 1);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        scene->journal = harness_path(scene->harness, "%s", damages[i][0]);
        harness_copy(scene->harness, own, scene->journal);
        scene_must(scene, harness_text(scene->harness, "f=%s/data.mdb; %s",
                                       scene->journal, damages[i][1]));
        assert_refused_by_all(scene, damages[i][0]);
    }
    scene->journal = own;
    scene_settled(scene);
}

/* One bit anywhere in what is in use: verify names it, nothing crashes. */
static void flipped_bit_is_found(void **state)
{
    struct scene *scene = *state;
    const char *own = scene->journal;
    unsigned found = 0;
    scene_commit(scene, "0.2.0", 1);
    scene->journal = harness_path(scene->harness, "flipped");
    for (unsigned i = 0; i < 12; i++) {
        harness_remove(scene->harness, scene->journal);
        harness_copy(scene->harness, own, scene->journal);
        const char *path =
            harness_text(scene->harness, "%s/data.mdb", scene->journal);
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        long at = 2 * 4096 + (long)i * 2731;
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        int byte = fgetc(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        fputc((byte ^ 0x10) & 0xFF, file);
        assert_int_equal(fclose(file), 0);
        struct harness_run run = scene_nzd(scene, "journal", "verify");
        if (run.status != 0)
            assert_status(run, 8);
        found += run.status == 8;
        run = scene_nzd(scene, "journal", "show", "1");
        if (run.status != 0 && run.status != 2)
            assert_status(run, 8);
    }
    /* Some hit pages that nothing refers to. */
    assert_in_range(found, 2, 12);
    assert_runs(scene, "0.2.0");
}

static void journal_is_a_file(void **state)
{
    struct scene *scene = *state;
    harness_write_file(scene->journal, "a file\n");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_journal(&run, "Not a directory");
    run = scene_nzd(scene, "status");
    assert_journal(&run, "Not a directory");
    run = scene_nzd(scene, "journal", "show");
    assert_journal(&run, "Not a directory");
    assert_string_equal(harness_read_file(scene->harness, scene->journal),
                        "a file\n");
    assert_runs(scene, "0.1.0");
}

/* A folder of somebody else's files is no empty journal. */
static void folder_is_not_a_journal(void **state)
{
    struct scene *scene = *state;
    scene_must(scene, harness_text(scene->harness, "mkdir %s; echo x >%s/notes",
                                   scene->journal, scene->journal));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_journal(&run, scene->journal);
    assert_runs(scene, "0.1.0");
    run = scene_shell(scene,
                      harness_text(scene->harness, "ls %s", scene->journal));
    assert_string_equal(run.out, "notes\n");
}

/* --- too small --- */

static void journal_is_too_small(void **state)
{
    struct scene *scene = *state;
    struct beam_node_options options = {
        .release = harness_fixture(scene->harness, "many-300-1"),
        .name = "many"};
    beam_node_stop(scene->node);
    scene->node = beam_node_start(scene->harness, &options);
    const char *bundle = harness_fixture(scene->harness, "many-300-2");
    scene_config(scene, "journal_max = 1M\n");
    struct harness_run run = scene_nzd(scene, "apply", bundle);
    assert_journal(&run, "is full: its bound is 1024 KB");
    assert_contains(run.err, "untouched");
    assert_contains(run.err, "raise journal_max");
    assert_eval(scene->node,
                "lists:usort([M:pair() || {M, _} <- code:all_loaded(), "
                "lists:prefix(\"many_\", atom_to_list(M))])",
                "[{1,1}]");
    scene_settled(scene);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_status(run, 2);

    scene_config(scene, "journal_max = 16M\n");
    run = scene_nzd(scene, "apply", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1:");
    scene_settled(scene);
}

/* --- configuration --- */

static void configuration_is_wrong(void **state)
{
    struct scene *scene = *state;
    static const char *const wrong[][2] = {
        {"drain = 5s\ncolour = blue\n", ":2: unknown key"},
        {"# one\n\njournal_max = 64\n", ":3: journal_max = \"64\""},
        {"max = boldly\n", ":1: max = \"boldly\""},
        {"journal = \"relative\"\n", ":1: journal = \"relative\""},
        {"hook \"a\" {\n phase = late\n call = \"a:b\"\n}\n", ":2: phase"},
        {"hook \"a\" {\n phase = pre\n}\n", "hook \"a\": needs a call"},
        {"hook \"a\" {\n phase = pre\n call = \"a:b\"\n args = {\"{\"}\n}\n",
         "hook \"a\": argument 1 is no Erlang term"},
        {"hook \"a\" {\n phase = pre\n call = \"a:b\"\n", ":"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        scene_config(scene, "%s", wrong[i][0]);
        struct harness_run run = scene_apply(scene, "0.2.0");
        assert_status(run, 2);
        assert_contains(run.err, wrong[i][1]);
        assert_matches(
            run.err,
            harness_text(scene->harness, "^nzd: %s:[0-9]+: ", scene->config));
        run = scene_nzd(scene, "status", "--json");
        assert_status(run, 2);
        assert_contains(run.out, "{\"nzd\":1,\"error\":{\"exit\":2,");
    }
    scene->config = harness_path(scene->harness, "absent.conf");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 2);
    assert_contains(run.err, "absent.conf");
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "whereis(nzd)", "undefined");
    assert_int_equal(access(scene->journal, F_OK), -1);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(second_is_told_who_holds_it),
        real(readers_do_not_disturb),
        real(readers_are_answered_during_a_call),
        real(killed_holder_holds_nothing),
        real(foreign_journal_is_refused),
        real(damage_is_told_by_all),
        real(flipped_bit_is_found),
        real(journal_is_a_file),
        real(folder_is_not_a_journal),
        real(journal_is_too_small),
        real(configuration_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
