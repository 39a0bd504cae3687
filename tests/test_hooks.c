/* SPDX-License-Identifier: Apache-2.0 */
#include "hooked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- calls --- */

static void call_returns_an_error(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s",
                 SCENE_CALL("selftest", "post", "counter_check:run",
                            "\"quick\", \"[{limit,50}]\""));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(scene, &run, 1, "selftest returned {error,{limit,90}}");
    assert_matches(run.err, "^hook post  selftest FAILED: returned "
                            "\\{error,\\{limit,90\\}\\} ");
    assert_matches(run.err, "^undo +2 modules back, md5s match ");

    /* It failed before: unattended it is not tried again. */
    run = scene_apply(scene, "0.2.0");
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1: "
                             "hook selftest returned {error,{limit,90}}");
    assert_runs(scene, "0.1.0");
    scene_config(scene, "%s",
                 SCENE_CALL("selftest", "post", "counter_check:run",
                            "\"quick\", \"[{limit,100}]\""));
    run = scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_committed(scene, &run, 2);
}

/* Each way to end that is not an answer. */
static void call_ends_badly(void **state)
{
    static const char *const calls[][2] = {
        {SCENE_CALL("raiser", "post", "counter_check:run",
                    "\"crash\", \"boom\""),
         "raiser returned {error,boom,[{counter_check,run,2"},
        {SCENE_CALL("absent", "post", "nzd_no_such_module:run", ""),
         "absent returned {error,undef,[{nzd_no_such_module,run,"},
        {SCENE_CALL("leaver", "post", "erlang:exit", "\"{gone,1}\""),
         "leaver returned {exit,{gone,1},"},
        {SCENE_CALL("suicide", "post", "nzd_test_hook:kill_self", ""),
         "suicide returned {exit,killed}"},
    };
    struct scene *scene = *state;
    scene_load_hooks(scene);
    for (unsigned i = 0; i < 4; i++) {
        scene_config(scene, "%s", calls[i][0]);
        struct harness_run run =
            scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
        assert_rolled_back(scene, &run, i + 1, calls[i][1]);
    }
}

static void call_hangs(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "hook \"sleeper\" {\n phase = post\n"
                        " call = \"counter_check:run\"\n"
                        " args = {\"sleep\", \"infinity\"}\n"
                        " timeout = 300ms\n}\n");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(scene, &run, 1, "sleeper gave no answer within 300 ms");
    assert_in_range(run.ms, 300, 4000);
    assert_eval(scene->node,
                "[P || P <- erlang:processes(), {_, {timer, sleep, 1}} <- "
                "[process_info(P, current_function)]]",
                "[]");
}

/* Anything but ok and true fails, also what looks well. */
static void only_ok_and_true_pass(void **state)
{
    struct scene *scene = *state;
    scene_config(
        scene, "%s%s%s", SCENE_CALL("one", "post", "erlang:is_atom", "\"a\""),
        SCENE_CALL("two", "post", "counter_check:run", "\"quick\", \"[]\""),
        SCENE_CALL("three", "post", "erlang:hd", "\"[{ok,1}]\""));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_rolled_back(scene, &run, 1, "three returned {ok,1}");
    assert_matches(run.err, "^hook post  one ok ");
    assert_matches(run.err, "^hook post  two ok ");

    scene_config(
        scene, "%s%s%s", SCENE_CALL("zero", "pre", "erlang:is_list", "\"[]\""),
        SCENE_CALL("one", "post", "erlang:is_atom", "\"a\""),
        SCENE_CALL("two", "post", "counter_check:run", "\"quick\", \"[]\""));
    run = scene_nzd(scene, "apply", "--retry", scene_bundle(scene, "0.2.0"));
    assert_committed(scene, &run, 2);
    assert_matches(run.err, "^hook pre   zero ok ");
    assert_matches(run.err, "^hook post  one ok ");
    assert_matches(run.err, "^hook post  two ok ");
    run = scene_nzd(scene, "journal", "show", "2");
    assert_contains(run.out, "| 100 checks passed\n");
}

/* --- what hooks print --- */

static void assert_harmless(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    for (; *at; at++) {
        bool control = *at < 0x20 && *at != '\n';
        bool c1 = at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F;
        bool turns =
            at[0] == 0xE2 && at[1] == 0x80 && at[2] >= 0xAA && at[2] <= 0xAE;
        if (control || c1 || turns || *at == 0x7F)
            fail_msg("byte %02x came out in: %.200s", *at, text);
    }
}

static void call_prints_much(void **state)
{
    struct scene *scene = *state;
    scene_load_hooks(scene);
    scene_config(
        scene, "%s",
        SCENE_CALL("chatter", "post", "nzd_test_hook:chatter", "\"20000\""));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_committed(scene, &run, 1);
    size_t size = hooked_output_of(scene_record(scene, 1, "committed"),
                                   "hook post", "1 said ");
    assert_in_range(size, 2000, 12000);

    run = scene_nzd(scene, "journal", "show", "1");
    assert_status(run, 0);
    assert_contains(run.out, "| 1 said ");
    assert_harmless(run.out);
    assert_in_range(strlen(run.out), 3000, 60000);
    run = scene_nzd(scene, "journal", "show", "1", "--json");
    assert_harmless(run.out);
    assert_eval(scene->node, "erlang:memory(total) < 200000000", "true");
}

static void program_prints_much(void **state)
{
    struct scene *scene = *state;
    const char *script = scene_script(
        scene, "chatter",
        "yes \"$(printf 'out \\033[31m\\033]0;t\\a\\r\\302\\2332J')\" | "
        "head -c 3000000\nhead -c 100000 /dev/urandom >&2\n");
    scene_config(scene, SCENE_PROGRAM("chatter", "post", "20s"), script);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_committed(scene, &run, 1);
    assert_in_range(run.peak_kb, 100, 200000);
    size_t size = hooked_output_of(scene_record(scene, 1, "committed"),
                                   "hook post", "out ");
    assert_in_range(size, 2000, 12000);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_status(run, 0);
    assert_contains(run.out, "| out ");
    assert_harmless(run.out);
    assert_in_range(strlen(run.out), 3000, 60000);
}

/* What is printed of a hook that fails goes through the same sieve. */
static void failure_is_harmless(void **state)
{
    struct scene *scene = *state;
    scene_config(scene, "%s",
                 SCENE_CALL("rude", "post", "erlang:list_to_binary",
                            "\"[27, $[, $3, $1, $m, 7, 13, 10, 127]\""));
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 6);
    assert_harmless(run.out);
    assert_harmless(run.err);
    run = scene_nzd(scene, "journal", "show", "1");
    assert_harmless(run.out);
    run = scene_nzd(scene, "journal", "show");
    assert_harmless(run.out);
    run = scene_nzd(scene, "status");
    assert_status(run, 0);
    assert_harmless(run.out);
    assert_runs(scene, "0.1.0");
}

/* --- before armed --- */

static void pre_hook_fails(void **state)
{
    struct scene *scene = *state;
    const char *late = scene_script(scene, "late", "echo ran >late.ran\n");
    const char *format = "%s" SCENE_PROGRAM("later", "pre", "5s")
        SCENE_PROGRAM("post", "post", "5s");
    scene_config(scene, format,
                 SCENE_CALL("disk", "pre", "counter_check:run",
                            "\"quick\", \"[{limit,10}]\""),
                 late, late);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_aborted(scene, &run, 1);
    assert_contains(run.err, "nzd: hook disk returned {error,{limit,80}}\n");
    assert_string_equal(
        harness_read_file(scene->harness,
                          harness_path(scene->harness, "late.ran")),
        "");

    /* It was not the bundle's fault: no --retry is needed. */
    scene_config(scene, "%s", "");
    run = scene_apply(scene, "0.2.0");
    assert_committed(scene, &run, 2);
}

/* --- outcome hooks --- */

static void outcome_cannot_fail(void **state)
{
    struct scene *scene = *state;
    const char *tell = scene_script(
        scene, "tell", "echo \"$NZD_TXN $NZD_OUTCOME\" >>told\nexit 1\n");
    const char *format = "%s" SCENE_PROGRAM("teller", "outcome", "5s")
        SCENE_PROGRAM("absent", "outcome", "5s") "%s";
    scene_config(scene, format,
                 SCENE_CALL("raiser", "outcome", "counter_check:run",
                            "\"crash\", \"boom\""),
                 tell, "/nonexistent/program", "");
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_committed(scene, &run, 1);
    assert_matches(run.err, "^hook outcome raiser FAILED: ");
    assert_matches(run.err, "^hook outcome teller FAILED: .* exited with 1 ");
    assert_matches(run.err, "^hook outcome absent FAILED: ");
    assert_string_equal(scene_wait_file(scene, "told"), "1 committed\n");

    scene_config(scene, format,
                 SCENE_CALL("raiser", "outcome", "counter_check:run",
                            "\"crash\", \"boom\""),
                 tell, "/nonexistent/program",
                 SCENE_CALL("selftest", "post", "counter_check:run",
                            "\"quick\", \"[{limit,1}]\""));
    run = scene_apply(scene, "0.3.0");
    assert_status(run, 6);
    assert_runs(scene, "0.2.0");
    assert_string_equal(scene_wait_file(scene, "told"),
                        "1 committed\n2 rolled_back\n");
    scene_record(scene, 2, "rolled_back");
    scene_settled(scene);
}

/* --- hooks of the bundle --- */

static const char *bundle_with_hook(struct scene *scene, const char *text)
{
    const char *bundle = harness_path(scene->harness, "bundle");
    harness_remove(scene->harness, bundle);
    harness_copy(scene->harness, scene_bundle(scene, "0.2.0"), bundle);
    const char *const argv[] = {
        "mkdir", harness_text(scene->harness, "%s/nzd", bundle), NULL};
    struct harness_run run = harness_run(scene->harness, argv, NULL);
    assert_status(run, 0);
    harness_write_file(
        harness_text(scene->harness, "%s/nzd/hooks.conf", bundle), text);
    return bundle;
}

static void bundle_brings_hooks(void **state)
{
    struct scene *scene = *state;
    const char *bundle = bundle_with_hook(
        scene, "hook \"evil\" {\n phase = post\n command = {\"/bin/true\"}\n"
               "}\n");
    struct harness_run run = scene_nzd(scene, "apply", bundle);
    assert_status(run, 3);
    assert_contains(run.err, "programs are started only where the "
                             "configuration of the host says so");
    assert_contains(run.err, "untouched");
    assert_runs(scene, "0.1.0");

    bundle =
        bundle_with_hook(scene, SCENE_CALL("own", "post", "counter_check:run",
                                           "\"quick\", \"[{limit,89}]\""));
    run = scene_nzd(scene, "apply", bundle);
    assert_rolled_back(scene, &run, 1, "own returned {error,{limit,90}}");
    bundle =
        bundle_with_hook(scene, SCENE_CALL("own", "post", "counter_check:run",
                                           "\"quick\", \"[{limit,90}]\""));
    run = scene_nzd(scene, "apply", "--retry", bundle);
    assert_committed(scene, &run, 2);
    assert_matches(run.err, "^hook post  own ok ");
}

/* As apply refuses them. */
static void plan_reads_hooks_of_the_bundle(void **state)
{
    struct scene *scene = *state;
    const char *base = scene_bundle(scene, "0.1.0");
    const char *bundle = bundle_with_hook(
        scene, SCENE_CALL("own", "post", "counter_check:run", "\"quick\""));
    struct harness_run run = scene_nzd(scene, "plan", bundle);
    assert_status(run, 0);
    scene_config(scene, "%s", SCENE_CALL("own", "pre", "m:f", ""));
    run = scene_nzd(scene, "plan", bundle);
    assert_status(run, 3);
    assert_contains(run.err, "nzd/hooks.conf");
    assert_contains(run.err, "untouched");
    scene_config(scene, "%s", "");
    bundle = bundle_with_hook(scene,
                              "hook \"own\" {\n phase = post\n call = \"m:f\"\n"
                              " timeout = 61s\n}\n");
    run = scene_nzd(scene, "plan", bundle);
    assert_status(run, 3);
    assert_contains(run.err, "timeout above 60s");
    run = scene_nzd(scene, "plan", base, bundle);
    assert_status(run, 3);
    run = scene_nzd(scene, "plan", bundle, base);
    assert_status(run, 0);
}

/* --- checks that need no hook --- */

static void ends_after_the_switch(struct scene *scene, const char *how,
                                  const char *waited, const char *why)
{
    scene_load_hooks(scene);
    beam_node_eval(scene->node, "{ok, _} = nzd_test_hook:start_worker(%s)",
                   how);
    scene_config(scene,
                 "hook \"wait\" {\n phase = post\n"
                 " call = \"nzd_test_hook:wait_gone\"\n args = {\"%s\"}\n"
                 " timeout = 5s\n}\n",
                 waited);
    struct harness_run run = scene_apply(scene, "0.2.0");
    assert_status(run, 6);
    assert_contains(run.out, why);
    assert_contains(scene_record(scene, 1, "rolled_back"), why);
    assert_eval(scene->node,
                "{counter_text:version(), "
                "erlang:module_loaded(counter_rate)}",
                "{\"0.1.0\",false}");
    scene_settled(scene);
}

static void supervised_process_stays_away(void **state)
{
    ends_after_the_switch(*state, "crash", "nzd_test_worker",
                          "registered name nzd_test_worker gone after the "
                          "switch");
}

static void application_stops(void **state)
{
    ends_after_the_switch(*state, "stop_application", "counter_sup",
                          "application counter, registered name");
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(call_returns_an_error),
        real(call_ends_badly),
        real(call_hangs),
        real(only_ok_and_true_pass),
        real(call_prints_much),
        real(program_prints_much),
        real(failure_is_harmless),
        real(pre_hook_fails),
        real(outcome_cannot_fail),
        real(bundle_brings_hooks),
        real(plan_reads_hooks_of_the_bundle),
        real(supervised_process_stays_away),
        real(application_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
