/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/meta.h"
#include "../journal/value.h"
#include "answer.h"
#include "booted.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A node whose VM is started by `nzd boot --`, as erlinit would: what it runs
 * after each kind of end, and with everything damaged. */

static void start(struct scene *scene, bool interactive)
{
    struct beam_node_options options = {
        .release = scene_bundle(scene, "0.1.0"),
        .name = "counter",
        .interactive = interactive,
        .prefix = booted_prefix(scene),
    };
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

static int setup(void **state)
{
    scene_setup(state);
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n tries = 3\n healthy = 0\n}\n");
    start(scene, false);
    return 0;
}

static void apply(struct scene *scene, const char *version)
{
    struct harness_run run =
        scene_nzd(scene, "apply", "--retry", scene_bundle(scene, version));
    assert_status(run, 0);
}

/* --- what boots ---------------------------------------------------------- */

static void the_base_without_a_journal(void **state)
{
    struct scene *scene = *state;
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "os:getenv(\"NZD_BOOT\")", "\"0\"");
    assert_eval(scene->node, "length(element(2, init:get_argument(boot)))",
                "1");
}

static void what_was_committed(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    assert_eval(scene->node, "os:getenv(\"NZD_BOOT\")", "\"1\"");
    assert_eval(scene->node,
                "element(3, lists:keyfind(counter, 1, "
                "application:which_applications()))",
                "\"0.2.0\"");
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_runs(scene, "0.1.0");
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static void generation_upon_generation(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    apply(scene, "0.3.0");
    booted_reboot(scene);
    assert_runs(scene, "0.3.0");
    scene_settled(scene);
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_contains(run.out, "counter 0.2.0 runs");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "rollback", "--to", "0");
    assert_status(run, 0);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

static void in_interactive_mode(void **state)
{
    struct scene *scene = *state;
    start(scene, true);
    apply(scene, "0.2.0");
    booted_reboot(scene);
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.2.0\"");
    assert_eval(scene->node, "counter_rate:module_info(module)",
                "counter_rate");
    assert_eval(scene->node, "code:which(counter_legacy)", "non_existing");
    scene_settled(scene);
}

/* --- what was left open -------------------------------------------------- */

static void what_was_cut_short(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, SCENE_PROGRAM("act", "post", "60s"),
                 scene_script(scene, "act", "echo $$ >began\nsleep 60\n"));
    struct harness_job *job =
        scene_begin(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene_wait_pid(scene, "began");
    /* In this order: else it would see that the VM is gone, and say so. */
    kill(harness_job_pid(job), SIGKILL);
    beam_node_kill(scene->node);
    harness_end(scene->harness, job, 5000);
    scene_record(scene, 1, "armed");
    beam_node_start_again(scene->node);
    scene_record(scene, 1, "rolled_back");
    assert_runs(scene, "0.1.0");
    scene_config(scene, "%s", "");
    scene_settled(scene);
    apply(scene, "0.2.0");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
}

/* --- health -------------------------------------------------------------- */

static void falls_back_after_tries(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    for (int i = 0; i < 3; i++) {
        booted_reboot(scene);
        assert_runs(scene, "0.2.0");
    }
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_record(scene, 1, "quarantined");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
    struct harness_run run = scene_nzd(scene, "rollback", "--to", "1");
    assert_status(run, 2);
    run = scene_nzd(scene, "health", "lift", "1");
    assert_status(run, 0);
    run = scene_nzd(scene, "rollback", "--to", "1");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void health_ok_keeps_it(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    for (int i = 0; i < 5; i++) {
        booted_reboot(scene);
        assert_runs(scene, "0.2.0");
        struct harness_run run = scene_nzd(scene, "health", "ok");
        assert_status(run, 0);
        assert_contains(run.out, "generation 1: healthy");
    }
    apply(scene, "0.3.0");
    for (int i = 0; i < 3; i++) {
        booted_reboot(scene);
        assert_runs(scene, "0.3.0");
    }
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void health_bad_ends_it(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_nzd(scene, "health", "ok");
    assert_status(run, 5);
    apply(scene, "0.2.0");
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 5);
    booted_reboot(scene);
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    assert_runs(scene, "0.2.0");
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* Not back to what was left for it: to the one before that. */
static void never_back_to_the_bad_one(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    struct harness_run run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    apply(scene, "0.3.0");
    booted_reboot(scene);
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

/* Every module of counter is that version's; it calls itself 0.2.0. */
static void runs_with_state(struct scene *scene)
{
    assert_eval(scene->node,
                harness_text(scene->harness,
                             "[M || F <- filelib:wildcard("
                             "\"%s/lib/counter-*/ebin/*.beam\"), "
                             "{ok, {M, D}} <- [beam_lib:md5(F)], "
                             "M:module_info(md5) =/= D]",
                             scene_bundle(scene, "0.2.0-state")),
                "[]");
    assert_eval(scene->node, "element(1, counter_srv:call())", "\"0.2.0\"");
}

/* Of one module the way had led to the base's code: it leads away again. */
static void back_from_the_base(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0-state");
    booted_reboot(scene);
    runs_with_state(scene);
    apply(scene, "0.3.0");
    booted_reboot(scene);
    assert_runs(scene, "0.3.0");
    struct harness_run run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    booted_reboot(scene);
    assert_eval(scene->node, "os:getenv(\"NZD_BOOT\")", "\"3\"");
    runs_with_state(scene);
    scene_settled(scene);
}

/* Nobody says of the base that it is a generation, though one ran before. */
static void health_of_the_base(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    scene_config(scene, "%s", "boot { rubbish");
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    scene_config(scene, "%s", "");
    struct harness_run run = scene_nzd(scene, "health", "ok");
    assert_status(run, 5);
    assert_contains(run.err, "there is no generation to speak of");
}

static void wait_restarted(struct scene *scene, const char *generation)
{
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node,
                       "{persistent_term:get({nzd, booted}, 0), "
                       "init:get_status(), whereis(nzd)}",
                       harness_text(scene->harness,
                                    "{%s,{started,started},undefined}",
                                    generation),
                       20000);
}

/* The process is the one that nzd boot has started with another generation;
 * what it has booted since the VM says itself. */
static void health_of_what_was_restarted(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    apply(scene, "0.3.0");
    struct harness_run run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    assert_contains(run.out, "generation 1: healthy");
    wait_restarted(scene, "2");
    run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    assert_contains(run.out, "generation 2: healthy");
    run = scene_nzd(scene, "status");
    assert_matches(run.out, "^boot +healthy, 0 of 12 tries used$");
    run = scene_nzd(scene, "check");
    assert_contains(run.out, "nzd boot started the VM, which has booted "
                             "generation 2");
    run = scene_nzd(scene, "health", "bad");
    assert_status(run, 0);
    assert_contains(run.out, "generation 2: bad");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    assert_eval(scene->node, "persistent_term:get({nzd, booted})", "3");
}

/* Back at the base in place: of what it was started with nobody speaks. */
static void health_of_the_base_in_place(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    struct harness_run run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    wait_restarted(scene, "0");
    run = scene_nzd(scene, "health", "ok");
    assert_status(run, 5);
    assert_contains(run.err, "there is no generation to speak of");
}

/* What nzd boot noted down holds where nothing else can have booted since. */
static void health_of_a_vm_that_hides(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    const char *const *ok = harness_argv(scene->harness, NULL, "health", "ok",
                                         "--node", "nobody@localhost", NULL);
    struct harness_run run = scene_run(scene, ok);
    assert_status(run, 0);
    assert_contains(run.out, "generation 1: healthy");
    apply(scene, "0.3.0");
    run = scene_run(scene, ok);
    assert_status(run, 5);
    assert_contains(run.err, "nzd boot started the VM with generation 1; "
                             "whether it has booted another one since");
    assert_contains(run.err, "--node NAME");
}

/* A VM that stays up is healthy. */
static void the_keeper_sees_it(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s", "boot {\n tries = 1\n healthy = 200ms\n}\n");
    apply(scene, "0.2.0");
    for (int i = 0; i < 3; i++) {
        booted_reboot(scene);
        assert_runs(scene, "0.2.0");
        process_sleep_ms(500);
    }
    /* But for one that ends before, each boot is a try. */
    scene_config(scene, "%s", "boot {\n tries = 1\n healthy = 1h\n}\n");
    apply(scene, "0.3.0");
    booted_reboot(scene);
    assert_runs(scene, "0.3.0");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
}

/* --- with everything damaged --------------------------------------------- */

static void damage(struct scene *scene, const char *name, off_t at)
{
    const char *path =
        harness_text(scene->harness, "%s/%s", scene->journal, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (off_t i = 0; i < 16; i++)
        assert_int_equal(pwrite(fd, "rubbish!", 8, at + i * 4096), 8);
    close(fd);
}

static void a_damaged_journal(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    damage(scene, "data.mdb", 24);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    assert_contains(beam_node_log(scene->node), "the base boots: ");
}

static int put_format(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    const uint32_t *format = context;
    struct nzd_buf value = {0};
    size_t begin = nzd_value_begin(&value, 1);
    nzd_buf_u32(&value, *format);
    int code = nzd_value_end(&value, begin, err);
    if (!code)
        code = nzd_store_put(txn, NZD_STORE_META, nzd_view_text("format"),
                             nzd_buf_view(&value), err);
    nzd_buf_clear(&value);
    return code;
}

static void set_format(struct scene *scene, uint32_t format)
{
    const struct nzd_store_options options = {.max_bytes = 64 << 20};
    struct nzd_store *store = NULL;
    struct nzd_err err = NZD_ERR_INIT;
    int code = nzd_store_open(scene->journal, &options, &store, &err);
    if (!code)
        code = nzd_store_write(store, false, put_format, &format, &err);
    nzd_store_close(store);
    if (code)
        harness_fail("%s", err.message);
}

/* After a downgrade of nzd: its journal is whole, and stays where it is. */
static void a_journal_of_a_newer_nzd(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    set_format(scene, 7);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    assert_contains(beam_node_log(scene->node), "the base boots: ");
    assert_contains(beam_node_log(scene->node), "newer nzd (format 7");
    set_format(scene, NZD_JOURNAL_FORMAT);
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
}

static void a_truncated_journal(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    assert_int_equal(
        truncate(harness_text(scene->harness, "%s/data.mdb", scene->journal),
                 4096),
        0);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
}

/* A count that does not hold is one of nothing: the generation boots. */
static void a_damaged_count(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    booted_reboot(scene);
    damage(scene, "boot", 8);
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
}

static void a_count_that_cannot_be_written(void **state)
{
    struct scene *scene = *state;
    const char *boot = harness_text(scene->harness, "%s/boot", scene->journal);
    apply(scene, "0.2.0");
    assert_int_equal(unlink(boot), 0);
    assert_int_equal(mkdir(boot, 0700), 0);
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    assert_contains(beam_node_log(scene->node), "the base boots: ");
    assert_int_equal(rmdir(boot), 0);
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
}

static void a_configuration_of_rubbish(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    scene_config(scene, "%s", "boot { rubbish");
    booted_reboot(scene);
    assert_runs(scene, "0.1.0");
    assert_contains(beam_node_log(scene->node), "the base boots: ");
    assert_contains(beam_node_log(scene->node),
                    harness_text(scene->harness, "%s:1: ", scene->config));
    scene_config(scene, "%s", "");
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
}

/* Somebody else holds the journal: what is in force boots all the same. */
static void a_journal_that_is_held(void **state)
{
    struct scene *scene = *state;
    apply(scene, "0.2.0");
    int fd =
        open(harness_text(scene->harness, "%s/lock", scene->journal), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    booted_reboot(scene);
    assert_runs(scene, "0.2.0");
    close(fd);
}

/* Who looks hangs, and not even SIGKILL ends it: it is left behind. */
static void a_disk_that_does_not_answer(void **state)
{
    struct scene *scene = *state;
    booted_on_mute_disk(scene);
    static const char *const command[] = {"echo", "as it is", NULL};
    struct harness_run run = harness_run(
        scene->harness,
        harness_concat(scene->harness, booted_prefix(scene), command), NULL);
    assert_status(run, 0);
    assert_string_equal(run.out, "as it is\n");
    assert_contains(run.err, "was not found out in time");
    assert_true(run.ms >= 1900 && run.ms < 6000);
}

static void a_command_that_is_not_there(void **state)
{
    struct scene *scene = *state;
    const char *const *nzd = harness_argv(scene->harness, NULL, NULL);
    const char *const argv[] = {nzd[0], "boot", "--", "/no/such/erlexec", NULL};
    struct harness_run run = harness_run(scene->harness, argv, NULL);
    assert_status(run, 127);
    assert_contains(run.err, "/no/such/erlexec");
    const char *const none[] = {nzd[0], "boot", NULL};
    run = harness_run(scene->harness, none, NULL);
    assert_status(run, 2);
    const char *const other[] = {nzd[0], "boot", "--journal", scene->journal,
                                 "--",   "echo", "as it is",  NULL};
    run = harness_run(scene->harness, other, NULL);
    assert_status(run, 0);
    assert_string_equal(run.out, "as it is\n");
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(the_base_without_a_journal),
        in(what_was_committed),
        in(generation_upon_generation),
        in(in_interactive_mode),
        in(what_was_cut_short),
        in(falls_back_after_tries),
        in(health_ok_keeps_it),
        in(health_bad_ends_it),
        in(never_back_to_the_bad_one),
        in(back_from_the_base),
        in(health_of_the_base),
        in(health_of_what_was_restarted),
        in(health_of_the_base_in_place),
        in(health_of_a_vm_that_hides),
        in(the_keeper_sees_it),
        in(a_damaged_journal),
        in(a_truncated_journal),
        in(a_journal_of_a_newer_nzd),
        in(a_damaged_count),
        in(a_count_that_cannot_be_written),
        in(a_configuration_of_rubbish),
        in(a_journal_that_is_held),
        in(a_disk_that_does_not_answer),
        in(a_command_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
