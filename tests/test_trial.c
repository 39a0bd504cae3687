/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "scene.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A commit that is still to be confirmed: how it ends, by whom, and what else
 * goes meanwhile. */

#define SOON_MS 20000

/* --- words --------------------------------------------------------------- */

static struct harness_run try_out(struct scene *scene, const char *version,
                                  const char *lasts)
{
    struct harness_run run = scene_nzd(scene, "apply", "--retry", "--confirm",
                                       lasts, scene_bundle(scene, version));
    assert_status(run, 0);
    return run;
}

static const char *program(void)
{
    static char absolute[4096];
    const char *given = getenv("NZD");
    if (!realpath(given ? given : "build/nzd", absolute))
        harness_fail("nzd is not there");
    return absolute;
}

/* How many processes of nzd there are: keepers, and what they have run. */
static unsigned processes(struct scene *scene)
{
    return process_count_marked(harness_text(scene->harness, "NZD_TEST_DIR=%s",
                                             harness_dir(scene->harness)),
                                program());
}

static void wait_for_no_process(struct scene *scene)
{
    double until = process_now_ms() + SOON_MS;
    while (processes(scene)) {
        if (process_now_ms() > until)
            harness_fail("a process of nzd is left");
        process_sleep_ms(10);
    }
}

/* The one that attends this scene's journal; 0: none. */
static pid_t keeper(struct scene *scene)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    while (proc && !found && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char path[64], words[4096];
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        FILE *file = pid > 1 ? fopen(path, "r") : NULL;
        size_t size = file ? fread(words, 1, sizeof words, file) : 0;
        if (file)
            fclose(file);
        if (memmem(words, size, "--attend", 9) &&
            memmem(words, size, scene->journal, strlen(scene->journal) + 1))
            found = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

static void kill_keeper(struct scene *scene)
{
    pid_t pid = keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
    wait_for_no_process(scene);
}

static const char *state_of(struct scene *scene, unsigned id)
{
    return answer_text(answer_txn(scene->harness, scene->node, id), "state");
}

static void wait_for_state(struct scene *scene, unsigned id, const char *state)
{
    double until = process_now_ms() + SOON_MS;
    const char *found;
    while (strcmp(found = state_of(scene, id), state) != 0) {
        if (process_now_ms() > until)
            harness_fail("transaction %u is %s, not %s", id, found, state);
        process_sleep_ms(20);
    }
}

static void assert_why(struct scene *scene, unsigned id, const char *why)
{
    assert_contains(
        answer_text(answer_txn(scene->harness, scene->node, id), "why"), why);
}

/* It is over: the old code runs, the journal says so, and the next goes. */
static void assert_undone(struct scene *scene, unsigned id, const char *why)
{
    wait_for_state(scene, id, "rolled_back");
    wait_for_no_process(scene);
    assert_runs(scene, "0.1.0");
    assert_why(scene, id, why);
    scene_settled(scene);
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- it is confirmed ----------------------------------------------------- */

static void it_is_confirmed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = try_out(scene, "0.2.0", "1h");
    assert_matches(run.out, "^on trial 1: counter 0.2.0 runs on counter");
    assert_matches(run.out, "^  until 20.* UTC \\((60|59) min left\\), then "
                            "0.1.0 comes back");
    assert_contains(run.out, "nzd confirm keeps it, nzd rollback ends it");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    scene_record(scene, 1, "trial");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 is confirmed on ");
    wait_for_no_process(scene);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    assert_eval(scene->node, "application:get_key(counter, vsn)",
                "{ok,\"0.2.0\"}");
    const char *record = scene_record(scene, 1, "committed");
    assert_contains(record, "\"lasts_us\":3600000000,");
    assert_contains(record, "\"exit\":0,");
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  keep +the agent undoes it by itself in 60 min");
    assert_matches(run.out, "  TRIAL +for 60 min, then undone unless it is");
    assert_matches(run.out, "  confirm +the agent keeps the new code");
    assert_matches(run.out, "  COMMITTED +confirmed");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 is confirmed already");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static void nothing_is_on_trial(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "no trial is open: there is no journal");
    assert_contains(run.err, "untouched  nothing was touched");
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_matches(run.err, "^nzd: no trial is open$");
    run = scene_nzd(scene, "confirm", "--dry-run");
    assert_status(run, 5);
    run = scene_nzd(scene, "confirm", "--json");
    assert_status(run, 5);
    assert_contains(run.out, "\"exit\":5");
    run = scene_nzd(scene, "recover", "--attend");
    assert_status(run, 0);
    scene_settled(scene);
}

/* --- what else goes ------------------------------------------------------ */

static void assert_refused(struct harness_run run)
{
    assert_status(run, 5);
    assert_matches(run.err, "transaction 1 is on trial on counter.* until "
                            "20.* UTC \\((60|59) min left\\)");
    assert_contains(run.err, "untouched  nothing was touched");
    assert_contains(run.err, "nzd confirm keeps it, nzd rollback ends it");
}

static void others_wait(void **state)
{
    struct scene *scene = *state;
    const char *other = scene_bundle(scene, "0.3.0");
    try_out(scene, "0.2.0", "1h");
    assert_refused(scene_nzd(scene, "apply", other));
    assert_refused(scene_nzd(scene, "apply", "--confirm", "1m", other));
    assert_refused(scene_nzd(scene, "apply", "--dry-run", other));
    assert_refused(scene_nzd(scene, "rollback", "--confirm", "1m"));
    assert_refused(scene_nzd(scene, "plan", other));
    assert_refused(scene_nzd(scene, "journal", "gc"));
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    run = scene_nzd(scene, "recover", "--json");
    assert_status(run, 0);
    json_t *left = answer_object(scene->harness, run.out);
    assert_string_equal(answer_text(left, "state"), "trial");
    assert_true(answer_number(left, "trial.left_us") > 3500000000);
    run = scene_nzd(scene, "confirm", "--dry-run");
    assert_status(run, 0);
    assert_contains(run.out, "would commit 1: counter 0.2.0 is on trial on ");
    run = scene_nzd(scene, "check");
    assert_status(run, 0);
    assert_matches(run.out, "transaction .*1 is on trial until ");
    assert_matches(run.out, "agent .*undoes transaction 1 at its deadline");
    scene_record(scene, 1, "trial");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
}

static void status_tells_of_it(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "1h");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.2.0, on trial +proved: "
                            "([0-9]+) of \\1 module md5s$");
    assert_matches(run.out, "^trial +1 until 20.* UTC \\((60|59) min left\\)$");
    run = scene_nzd(scene, "status", "--check");
    assert_status(run, 10);
    run = scene_nzd(scene, "status", "--json");
    assert_status(run, 0);
    json_t *status = answer_object(scene->harness, run.out);
    assert_int_equal(answer_number(status, "trial.txn"), 1);
    assert_true(answer_number(status, "trial.left_us") > 3500000000);
    assert_int_equal(answer_number(status, "generation"), 0);
    assert_int_equal(answer_number(status, "proved.ok"),
                     answer_number(status, "proved.total"));
    beam_node_eval(scene->node,
                   "true = code:soft_purge(counter_text), "
                   "{module, _} = code:load_abs(\"%s/lib/counter-0.3.0/ebin/"
                   "counter_text\")",
                   scene_bundle(scene, "0.3.0"));
    run = scene_nzd(scene, "status");
    assert_matches(run.out, "^running +NOT what is on trial: 1 of ");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- it is not confirmed ------------------------------------------------- */

static void it_is_undone_at_its_deadline(void **state)
{
    struct scene *scene = *state;
    double begin = process_now_ms();
    try_out(scene, "0.2.0", "2s");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    assert_true(process_now_ms() - begin >= 1990);
    assert_true(process_now_ms() - begin < 6000);
    wait_for_state(scene, 1, "rolled_back");
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_contains(run.err, "transaction 1 was rolled back, it was not "
                             "confirmed within 2");
    run = scene_nzd(scene, "apply", scene_bundle(scene, "0.2.0"));
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1");
    assert_undone(scene, 1, "it was not confirmed within 2");
}

/* Nobody but the agent knows of it, and it has `nzd recover` run. */
static void the_keeper_is_lost(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "2s");
    kill_keeper(scene);
    assert_undone(scene, 1, "it was not confirmed within 2");
}

/* The program that was applied with is gone too. */
static void try_out_alone(struct scene *scene, const char *lasts)
{
    struct harness *harness = scene->harness;
    const char *copy = harness_path(harness, "nzd.copy");
    const char *const *argv =
        scene_argv(scene, harness_argv(harness, scene->node, "apply", "--retry",
                                       scene_bundle(scene, "0.2.0"),
                                       "--confirm", lasts, NULL));
    const char *own[] = {copy, NULL};
    harness_copy(harness, program(), copy);
    struct harness_run run =
        harness_run(harness, harness_concat(harness, own, argv + 1), NULL);
    assert_status(run, 0);
    harness_remove(harness, copy);
    pid_t pid = keeper(scene);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
}

static void the_agent_is_alone(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    scene_record(scene, 1, "trial");
    struct harness_run run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_matches(run.out, "^running +counter 0.1.0, generation 0 +proved: ");
    assert_matches(run.out, "^trial +1 is over: it was not confirmed");
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    assert_undone(scene, 1, "it was not confirmed within 1");
}

static void it_is_confirmed_too_late(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_matches(run.out, "^rolled back 1: too late to confirm counter "
                            "0.2.0$");
    assert_contains(run.out, "counter 0.1.0 runs on ");
    assert_contains(run.out, "why   it was not confirmed within 1");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 5);
    assert_undone(scene, 1, "it was not confirmed within 1");
}

/* Any command that writes settles it first. */
static void the_next_apply_settles_it(void **state)
{
    struct scene *scene = *state;
    try_out_alone(scene, "1s");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    struct harness_run run =
        scene_nzd(scene, "apply", scene_bundle(scene, "0.3.0"));
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    scene_record(scene, 2, "committed");
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
}

/* --- it is ended --------------------------------------------------------- */

static void a_rollback_ends_it(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    try_out(scene, "0.3.0", "1h");
    assert_eval(scene->node, "counter_text:version()", "\"0.3.0\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_matches(run.out, "^rolled back 2: the trial of counter 0.3.0 is "
                            "over$");
    assert_matches(run.out, "^  now   counter 0.2.0 runs on .*, as before$");
    wait_for_no_process(scene);
    assert_runs(scene, "0.2.0");
    assert_why(scene, 2, "ended by nzd rollback");
    scene_settled(scene);
    /* What it went back to was not touched. */
    scene_record(scene, 1, "committed");
    run = scene_nzd(scene, "journal", "show", "3");
    assert_status(run, 2);
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--json");
    assert_status(run, 0);
    assert_contains(run.out, "\"state\":\"rolled_back\",\"txn\":3,\"exit\":0");
    /* With --to it ends it, and goes there. */
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    scene_record(scene, 4, "rolled_back");
    scene_record(scene, 5, "committed");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
    wait_for_no_process(scene);
}

static void a_rollback_is_on_trial(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    scene_wait_removed(scene);
    run = scene_nzd(scene, "rollback", "--confirm", "2s");
    assert_status(run, 0);
    assert_contains(run.out, "on trial 2: counter 0.1.0 runs on ");
    wait_for_state(scene, 2, "rolled_back");
    assert_runs(scene, "0.2.0");
    wait_for_no_process(scene);
    scene_settled(scene);
    run = scene_nzd(scene, "rollback", "--confirm", "1h");
    assert_status(run, 0);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* --- who attends it ------------------------------------------------------ */

static void assert_nothing_open(struct scene *scene, pid_t pid)
{
    const char *folder = harness_text(scene->harness, "/proc/%d/fd", (int)pid);
    DIR *files = opendir(folder);
    struct dirent *entry;
    assert_non_null(files);
    while ((entry = readdir(files))) {
        char to[4096] = "";
        const char *path =
            harness_text(scene->harness, "%s/%s", folder, entry->d_name);
        ssize_t size = readlink(path, to, sizeof to - 1);
        if (size > 0 && strcmp(to, "/dev/null") != 0 &&
            strncmp(to, "anon_inode:", 11) != 0)
            harness_fail("the keeper holds %s", to);
    }
    closedir(files);
}

/* Of the command that left it, it needs nothing, and of its terminal neither.
 */
static void the_keeper_stays_alone(void **state)
{
    struct scene *scene = *state;
    char to[4096] = "";
    try_out(scene, "0.2.0", "1h");
    pid_t pid = keeper(scene);
    assert_true(pid > 1);
    process_sleep_ms(300);
    assert_nothing_open(scene, pid);
    assert_int_not_equal(getsid(pid), getsid(0));
    assert_int_not_equal(getpgid(pid), getpgid(0));
    assert_int_equal(
        readlink(harness_text(scene->harness, "/proc/%d/cwd", (int)pid), to,
                 sizeof to),
        1);
    assert_string_equal(to, "/");
    assert_int_equal(processes(scene), 1);
    kill(pid, SIGTERM);
    wait_for_no_process(scene);
    /* Another can be had. */
    struct harness_job *job = scene_begin(scene, "recover", "--attend");
    process_sleep_ms(500);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    run = harness_end(scene->harness, job, 5000);
    assert_status(run, 0);
    assert_contains(run.out, "settled: nothing is open");
    assert_runs(scene, "0.2.0");
}

static void the_journal_goes_away(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "2s");
    harness_remove(scene->harness, scene->journal);
    wait_for_no_process(scene);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
}

/* --- the VM is another one ----------------------------------------------- */

#define RESTARTED "the VM was restarted before it was confirmed"

static void its_vm_is_killed(void **state)
{
    struct scene *scene = *state;
    struct harness_run run;
    try_out(scene, "0.2.0", "1h");
    beam_node_kill(scene->node);
    run = scene_nzd(scene, "confirm");
    assert_status(run, 6);
    assert_contains(run.out, "too late to confirm counter 0.2.0; its VM was "
                             "restarted");
    beam_node_start_again(scene->node);
    assert_undone(scene, 1, RESTARTED);
}

static void its_vm_restarts_in_place(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "1h");
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_restart(scene->node, SOON_MS);
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "the trial of counter 0.2.0 is over, its VM was "
                             "restarted");
    assert_undone(scene, 1, RESTARTED);
}

/* The keeper meets another VM under the same name. */
static void its_vm_restarts_and_nobody_comes(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "3s");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_undone(scene, 1, RESTARTED);
}

static struct harness_run before_start(struct scene *scene)
{
    const char *const *nzd = harness_argv(scene->harness, NULL, NULL);
    const char *const argv[] = {nzd[0],         "recover",     "--before-start",
                                "--config",     scene->config, "--journal",
                                scene->journal, NULL};
    return harness_run(scene->harness, argv, NULL);
}

/* As a step before the start: nobody is asked. */
static void it_is_settled_before_a_start(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "1h");
    struct harness_run run = before_start(scene);
    assert_status(run, 10);
    assert_contains(run.err, "transaction 1 is trial");
    beam_node_kill(scene->node);
    run = before_start(scene);
    assert_status(run, 0);
    beam_node_start_again(scene->node);
    assert_undone(scene, 1, RESTARTED);
}

/* Another boot of the host: pid and start time may be those of anybody. */
static void its_host_restarts(void **state)
{
    struct scene *scene = *state;
    struct harness *harness = scene->harness;
    const char *boot_id = harness_path(harness, "boot_id");
    const char *const prefix[] = {
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --bind $0 /proc/sys/kernel/random/boot_id && exec \"$@\"",
        boot_id,
        NULL};
    if (geteuid() != 0)
        skip();
    harness_write_file(boot_id, "3f9c0000-0000-0000-0000-000000000000\n");
    try_out(scene, "0.2.0", "1h");
    const char *const *words =
        harness_argv(harness, NULL, "recover", "--before-start", "--journal",
                     scene->journal, "--config", scene->config, NULL);
    struct harness_run run =
        harness_run(harness, harness_concat(harness, prefix, words), NULL);
    assert_status(run, 0);
    scene_record(scene, 1, "rolled_back");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_undone(scene, 1, RESTARTED);
}

static const char *const *boot_prefix(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char **words = harness_alloc(harness, 8 * sizeof *words);
    words[0] = nzd[0];
    words[1] = "boot";
    words[2] = "--journal";
    words[3] = scene->journal;
    words[4] = "--config";
    words[5] = scene->config;
    words[6] = "--";
    return words;
}

static void start_by_nzd_boot(struct scene *scene)
{
    const struct beam_node_options options = {.name = "counter",
                                              .prefix = boot_prefix(scene)};
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

/* The generation before it boots, and not the base. */
static void the_old_generation_boots(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n healthy = 0\n}\n");
    start_by_nzd_boot(scene);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    try_out(scene, "0.3.0", "1h");
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    scene_record(scene, 2, "rolled_back");
    assert_why(scene, 2, RESTARTED);
    wait_for_no_process(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    /* One that is confirmed boots. */
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
}

/* --- another host's clock ------------------------------------------------ */

/* A VM that has another boot id than we: of its deadline only it can tell. */
static void start_elsewhere(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *boot_id = harness_path(harness, "boot_id");
    const char **prefix = harness_alloc(harness, 7 * sizeof *prefix);
    const struct beam_node_options options = {.name = "counter",
                                              .prefix = prefix};
    if (geteuid() != 0)
        skip();
    harness_write_file(boot_id, "3f9c0000-0000-0000-0000-000000000000\n");
    prefix[0] = "unshare";
    prefix[1] = "--mount";
    prefix[2] = "sh";
    prefix[3] = "-c";
    prefix[4] = "mount --bind $0 /proc/sys/kernel/random/boot_id && "
                "exec \"$@\"";
    prefix[5] = boot_id;
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

static void another_host_has_the_deadline(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    try_out(scene, "0.2.0", "3s");
    assert_contains(scene_record(scene, 1, "trial"),
                    "\"boot_id\":\"3f9c0000-0000-0000-0000-000000000000\"}");
    struct harness_run run =
        scene_nzd(scene, "plan", scene_bundle(scene, "0.3.0"));
    assert_status(run, 5);
    assert_contains(run.err, "is on trial on counter");
    assert_contains(run.err, "until its deadline");
    run = scene_nzd(scene, "status");
    assert_matches(run.out, "^trial +1 until 20.* UTC ");
    run = scene_nzd(scene, "recover", "--wait", "5s");
    assert_matches(run.out, "^left: transaction 1 is on trial until 20");
    assert_undone(scene, 1, "it was not confirmed within 3");
}

static void another_host_is_confirmed(void **state)
{
    struct scene *scene = *state;
    start_elsewhere(scene);
    scene_load_hooks(scene);
    try_out(scene, "0.2.0", "1h");
    assert_int_equal(processes(scene), 1);
    beam_node_eval(scene->node,
                   "spawn(nzd_test_hook, kill_agent_and_guard, [])");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    wait_for_no_process(scene);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

/* --- something stands in the way ----------------------------------------- */

/* What runs is loaded once more, and a process stays in what it was. */
static void block(struct scene *scene)
{
    beam_node_eval(scene->node,
                   "{ok, _} = counter_feed:start(10), timer:sleep(50), "
                   "code:soft_purge(counter_http), "
                   "{module, _} = code:load_abs(\"%s/lib/counter-0.2.0/ebin/"
                   "counter_http\")",
                   scene_bundle(scene, "0.2.0"));
}

/* It is over all the same, and tried until it can be undone. */
static void its_undo_is_blocked(void **state)
{
    struct scene *scene = *state;
    try_out(scene, "0.2.0", "1s");
    block(scene);
    wait_for_state(scene, 1, "undoing");
    struct harness_run run = scene_nzd(scene, "confirm", "--wait", "30s");
    assert_status(run, 10);
    assert_contains(run.err, "the undo is blocked");
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.2.0\"");
    beam_node_eval(scene->node, "counter_feed:stop()");
    double until = process_now_ms() + 60000;
    while (processes(scene) && process_now_ms() < until)
        process_sleep_ms(50);
    assert_undone(scene, 1, "it was not confirmed within 1");
}

/* --- the agent is another one -------------------------------------------- */

static void kill_agent(struct scene *scene, const char *function)
{
    beam_node_eval(scene->node, "spawn(nzd_test_hook, %s, [])", function);
    process_sleep_ms(300);
}

/* The guard starts it again, with the deadline. */
static void the_agent_is_killed(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    double begin = process_now_ms();
    try_out_alone(scene, "3s");
    kill_agent(scene, "kill_agent");
    assert_eval(scene->node, "counter_text:version()", "\"0.2.0\"");
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    assert_true(process_now_ms() - begin >= 2990);
    assert_true(process_now_ms() - begin < 10000);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_undone(scene, 1, "it was not confirmed within 3");
}

/* Nobody in the node knows of it: the next nzd tells a new one. */
static void the_agent_and_its_guard_are_killed(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    try_out_alone(scene, "4s");
    kill_agent(scene, "kill_agent_and_guard");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", SOON_MS);
    struct harness_run run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_matches(run.out, "^left: transaction 1 is on trial until ");
    kill_keeper(scene);
    beam_node_wait_for(scene->node, "counter_text:version()", "\"0.1.0\"",
                       SOON_MS);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_undone(scene, 1, "it was not confirmed within 4");
}

static void a_new_agent_confirms_it(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    try_out(scene, "0.2.0", "1h");
    kill_agent(scene, "kill_agent_and_guard");
    beam_node_wait_for(scene->node, "whereis(nzd)", "undefined", SOON_MS);
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
}

/* --- the VM hangs -------------------------------------------------------- */

static void its_vm_stands_still(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n hung = restart\n hung_after = 1s\n}");
    try_out(scene, "0.2.0", "1s");
    beam_node_freeze(scene->node);
    process_sleep_ms(2000);
    struct harness_run run =
        scene_nzd(scene, "recover", "--timeout", "1s", "--wait", "30s");
    assert_status(run, 10);
    scene_record(scene, 1, "trial");
    /* nzd boot did not start it, so nobody would start it again. */
    process_sleep_ms(15000);
    assert_true(beam_node_alive(scene->node));
    beam_node_thaw(scene->node);
    assert_undone(scene, 1, "it was not confirmed within 1");
}

/* Who supervises the VM starts it again; here we do. */
static void a_vm_that_hangs_is_ended(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n hung = restart\n hung_after = 1s\n}");
    start_by_nzd_boot(scene);
    struct harness_run run =
        scene_nzd(scene, "apply", "--confirm", "1s", "--timeout", "2s",
                  scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    beam_node_freeze(scene->node);
    assert_true(beam_node_wait_end(scene->node, 60000));
    beam_node_start_again(scene->node);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_matches(run.out, "  ended +the VM, pid [0-9]+, said nothing for ");
    assert_undone(scene, 1, "the VM, pid ");
}

/* --- configured ---------------------------------------------------------- */

static void the_configuration_asks_for_it(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "trial {\n confirm = 1h\n}\n");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 0);
    assert_contains(run.out, "on trial 1: ");
    run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    /* By hand it is meant, and nothing is on trial for no time. */
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "committed 2: ");
    run = scene_nzd(scene, "apply", "--confirm", "0",
                    scene_bundle(scene, "0.2.0"));
    assert_status(run, 0);
    assert_contains(run.out, "committed 3: ");
    scene_settled(scene);
}

static void hooks_hear_the_outcome(void **state)
{
    struct scene *scene = *state;
    scene_config(
        scene, SCENE_PROGRAM("told", "outcome", "5s"),
        scene_script(scene, "told", "echo $NZD_TXN $NZD_OUTCOME >>outcomes\n"));
    try_out(scene, "0.2.0", "1h");
    struct harness_run run = scene_nzd(scene, "confirm");
    assert_status(run, 0);
    assert_string_equal(scene_wait_file(scene, "outcomes"), "1 committed\n");
    try_out(scene, "0.3.0", "1h");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    try_out(scene, "0.3.0", "1s");
    wait_for_state(scene, 3, "rolled_back");
    wait_for_no_process(scene);
    assert_string_equal(scene_wait_file(scene, "outcomes"),
                        "1 committed\n2 rolled_back\n3 rolled_back\n");
}

#define in(test)                                                               \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(it_is_confirmed),
        in(nothing_is_on_trial),
        in(others_wait),
        in(status_tells_of_it),
        in(it_is_undone_at_its_deadline),
        in(the_keeper_is_lost),
        in(the_agent_is_alone),
        in(it_is_confirmed_too_late),
        in(the_next_apply_settles_it),
        in(a_rollback_ends_it),
        in(a_rollback_is_on_trial),
        in(the_keeper_stays_alone),
        in(the_journal_goes_away),
        in(its_vm_is_killed),
        in(its_vm_restarts_in_place),
        in(its_vm_restarts_and_nobody_comes),
        in(it_is_settled_before_a_start),
        in(its_host_restarts),
        in(the_old_generation_boots),
        in(another_host_has_the_deadline),
        in(another_host_is_confirmed),
        in(its_undo_is_blocked),
        in(the_agent_is_killed),
        in(the_agent_and_its_guard_are_killed),
        in(a_new_agent_confirms_it),
        in(its_vm_stands_still),
        in(a_vm_that_hangs_is_ended),
        in(the_configuration_asks_for_it),
        in(hooks_hear_the_outcome),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
