/* SPDX-License-Identifier: Apache-2.0 */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/*
 * What nzd refuses, and the reasons it gives, against real nodes and between
 * two releases: a verdict over the limit, what loads when a module does,
 * bundles that are none, a bundle that failed before.
 */

/* --- words --- */

/* Compiles the text into counter's folder of a release. */
static void compile(struct verdict *verdict, const char *release,
                    const char *module, const char *text)
{
    struct harness *harness = verdict->harness;
    const char *source = harness_path(harness, "%s.erl", module);
    const char *script =
        harness_text(harness, "erlc +deterministic -o %s/lib/counter-*/ebin %s",
                     release, source);
    const char *const argv[] = {"sh", "-c", script, NULL};
    harness_write_file(source, text);
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

/* --- above hot --- */

struct way {
    const char *verdict;  /* behind "restart-vm" */
    const char *evidence; /* at the end of its line */
    const char *refusal;  /* of apply on this host; NULL: none */
};
static const struct way in_place = {", by a restart in place", "", NULL};
static const struct way new_start = {
    ", by a new start of the VM", " +\\(needs a new start\\)",
    "restart-vm is over what nzd can restart here: "};
static const struct way new_base = {
    ", needs a new base", " +\\(needs a new base\\)",
    "restart-vm is over what a restart can carry: "};

/* Apply refuses, plan shows, plan of the two releases shows the same. */
static void restart_vm(struct verdict *verdict, const char *old,
                       const char *new, const char *subject,
                       const char *evidence, struct way way)
{
    const char *head =
        harness_text(verdict->harness, "verdict: restart-vm%s$", way.verdict);
    struct harness_run run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_matches(run.err, harness_text(verdict->harness,
                                         "^nzd: verdict restart-vm is over "
                                         "the limit migrate: %s",
                                         subject));
    verdict_untouched(verdict, run);

    run = verdict_nzd(verdict, "apply", new, "--max", "hot");
    assert_status(run, 5);
    assert_contains(run.err, "restart-vm is over the limit hot: ");
    run =
        verdict_nzd(verdict, "apply", new, "--max", "restart-vm", "--dry-run");
    assert_status(run, way.refusal ? 5 : 0);
    if (way.refusal) {
        assert_contains(run.err, way.refusal);
        verdict_untouched(verdict, run);
    }

    const char *line = harness_text(verdict->harness, "^  restart-vm +%s%s$",
                                    evidence, way.evidence);
    run = verdict_nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, head);
    assert_matches(run.out, line);
    run = verdict_offline(verdict, "plan", old, new);
    assert_status(run, 0);
    assert_matches(run.out, head);
    assert_matches(run.out, line);
    run = verdict_offline(verdict, "plan", old, new, "--max", "restart-app");
    assert_status(run, 5);
    assert_matches(run.out, line);
    assert_contains(run.err, "restart-vm is over --max restart-app");
    run = verdict_offline(verdict, "plan", old, new, "--max", "restart-vm");
    assert_status(run, 0);
    assert_eval(verdict->node, LOADED, verdict->before);
}

static void settings_need_a_restart(void **state)
{
    struct verdict *verdict = *state;
    const char *old = verdict_fixture(verdict, "counter-0.2.0");
    verdict_start(verdict, old);
    const char *new = verdict_copy(verdict, "counter-0.2.0", "boot");
    verdict_shell(
        verdict,
        harness_text(verdict->harness,
                     "echo '[{counter, [{greeting, \"hello\"}, {limit, "
                     "100}]}, {kernel, [{logger_level, error}]}].' > "
                     "%s/releases/0.2.0/sys.config",
                     new));
    restart_vm(verdict, old, new, "sys.config -> \\{logger_level,error\\}",
               "sys.config +\\{logger_level,error\\} +kernel: logger_level",
               in_place);

    new = verdict_copy(verdict, "counter-0.2.0", "args");
    verdict_shell(verdict,
                  harness_text(verdict->harness,
                               "echo '+P 500000' >> %s/releases/0.2.0/vm.args",
                               new));
    restart_vm(verdict, old, new, "vm.args -> \\+P 500000",
               "vm.args +\\+P 500000 +vm.args", new_start);

    new = verdict_copy(verdict, "counter-0.2.0", "erts");
    verdict_shell(
        verdict,
        harness_text(verdict->harness,
                     "sed -i 's/^[^ ]*/99.9/' %s/releases/start_erl.data",
                     new));
    restart_vm(verdict, old, new, "erts [0-9.]+ -> 99.9",
               "erts [0-9.]+ -> 99.9 +releases/start_erl.data", new_base);
}

/* Of a provider that is not Elixir's own nobody knows what it would say. */
static void a_provider_needs_one(void **state)
{
    struct verdict *verdict = *state;
    const char *old = verdict_fixture(verdict, "greeter-0.2.0");
    const char *new =
        verdict_copy(verdict, "greeter-0.2.0-runtime", "provider");
    verdict_start(verdict, old);
    verdict_shell(verdict,
                  harness_text(verdict->harness,
                               "sed -i s/Elixir.Config.Reader/Elixir.Vault/ "
                               "%s/releases/0.2.0-runtime/sys.config",
                               new));
    restart_vm(verdict, old, new,
               "boot script -> \\{apply,\\{'Elixir.Config.Provider'",
               "runtime.exs +config :greeter, greeting: .*GREETING.*",
               in_place);
}

/* Applications that would stop are the operator's word. */
static void live_settings_are_not(void **state)
{
    struct verdict *verdict = *state;
    const char *old = verdict_fixture(verdict, "counter-0.2.0");
    const char *more = verdict_fixture(verdict, "counter-0.2.0-app");
    struct harness_run run = verdict_offline(verdict, "plan", old, more);
    assert_status(run, 0);
    assert_matches(run.out, "verdict: hot$");
    assert_matches(run.out,
                   "^  hot +counter_extra +1.0.0, permanent +boot script$");
    run = verdict_offline(verdict, "plan", more, old, "--max", "migrate");
    assert_status(run, 5);
    assert_matches(run.out, "verdict: restart-app$");
    assert_contains(run.err, "restart-app is over --max migrate");
    run = verdict_offline(verdict, "plan", old,
                          verdict_fixture(verdict, "counter-0.2.0-conf"));
    assert_status(run, 0);
    assert_matches(run.out, "^  hot +sys.config \\{greeting,\"hello\"\\} -> "
                            "\\{greeting,\"good day\"\\} +counter: greeting$");
}

/* JSON says it too, for a release of which only code differs as well. */
static void evidence_in_json(void **state)
{
    struct verdict *verdict = *state;
    struct harness_run run = verdict_offline(
        verdict, "plan", "--json", verdict_fixture(verdict, "counter-0.1.0"),
        verdict_fixture(verdict, "counter-0.2.0-conf"), "--max", "hot");
    assert_status(run, 0);
    json_t *plan = answer_object(verdict->harness, run.out);
    assert_string_equal(answer_text(plan, "verdict"), "hot");
    assert_string_equal(answer_text(plan, "max"), "hot");
    assert_true(json_is_true(answer_get(plan, "allowed")));
    assert_string_equal(answer_text(plan, "evidence.0.subject"), "sys.config");
    assert_string_equal(answer_text(plan, "evidence.0.level"), "hot");
    assert_string_equal(answer_text(plan, "evidence.0.need"), "switch");
    assert_string_equal(answer_text(plan, "need"), "switch");
    assert_int_equal(json_array_size(answer_get(plan, "modules")), 4);

    run = verdict_offline(
        verdict, "plan", "--json", verdict_fixture(verdict, "counter-0.1.0"),
        verdict_fixture(verdict, "counter-0.2.0"), "--max", "hot");
    assert_status(run, 0);
    plan = answer_object(verdict->harness, run.out);
    assert_string_equal(answer_text(plan, "verdict"), "hot");
    assert_string_equal(answer_text(plan, "need"), "switch");
    assert_true(json_is_true(answer_get(plan, "allowed")));
    assert_int_equal(json_array_size(answer_get(plan, "evidence")), 0);
}

static void more_is_asked_for(void **state)
{
    struct verdict *verdict = *state;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    const char *new = verdict_fixture(verdict, "counter-0.2.0");
    struct harness_run run =
        verdict_nzd(verdict, "apply", new, "--min", "restart-app");
    assert_status(run, 5);
    assert_contains(run.err, "--min restart-app: nzd carries out hot, migrate "
                             "and restart-vm");
    verdict_untouched(verdict, run);
    /* Also where nothing differs: a restart is not nothing. */
    run =
        verdict_nzd(verdict, "apply", verdict_fixture(verdict, "counter-0.1.0"),
                    "--min", "restart-vm");
    assert_status(run, 5);
    verdict_untouched(verdict, run);
    run = verdict_nzd(verdict, "apply", new, "--min", "hot", "--max", "hot");
    assert_status(run, 0);
    assert_eval(verdict->node, "counter_srv:call()", "{\"0.2.0\",1}");
    answer_settled(verdict->harness, verdict->node);
}

#define ON_LOAD(module, version, body)                                         \
    "-module(" module ").\n-export([version/0]).\n-on_load(load/0).\n"         \
    "version() -> " version ".\nload() -> " body ".\n"
#define LATE(version)                                                          \
    ON_LOAD("counter_late", version,                                           \
            "persistent_term:put(counter_late, " version ")")
/* Loads where its library is not, as a module with a fallback does. */
#define NATIVE(version)                                                        \
    ON_LOAD("counter_nif", version,                                            \
            "_ = erlang:load_nif(\"/nowhere/none\", 0), ok")

/* --- on_load and native libraries --- */

static void load(struct verdict *verdict, const char *module)
{
    beam_node_eval(verdict->node, "{module, _} = code:load_file(%s)", module);
    verdict->before = beam_node_eval(verdict->node, LOADED);
}

static void a_native_library_needs_a_restart(void **state)
{
    struct verdict *verdict = *state;
    const char *old = verdict_copy(verdict, "counter-0.1.0", "old");
    const char *new = verdict_copy(verdict, "counter-0.1.0", "new");
    compile(verdict, old, "counter_nif", NATIVE("1"));
    compile(verdict, new, "counter_nif", NATIVE("2"));
    verdict_start(verdict, old);
    load(verdict, "counter_nif");
    restart_vm(verdict, old, new, "counter_nif loads a native library",
               "counter_nif loads a native library -> loads a native library "
               "+a native library cannot be proved to upgrade in place",
               in_place);
    assert_eval(verdict->node, "counter_nif:version()", "1");
}

static void on_load_is_hot(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    const char *config = harness_path(harness, "nzd.conf");
    const char *base = verdict_fixture(verdict, "counter-0.1.0");
    const char *one = verdict_copy(verdict, "counter-0.1.0", "one");
    const char *two = verdict_copy(verdict, "counter-0.2.0", "two");
    compile(verdict, one, "counter_late", LATE("1"));
    compile(verdict, two, "counter_late", LATE("2"));
    verdict_start(verdict, base);

    struct harness_run run = verdict_nzd(verdict, "plan", one);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: hot");
    assert_matches(run.out, "\\+ counter_late .* on_load, after the others$");
    run = verdict_nzd(verdict, "apply", one);
    assert_status(run, 0);
    assert_eval(verdict->node,
                "{counter_late:version(), persistent_term:get(counter_late)}",
                "{1,1}");

    /* Changed, and undone because of a hook. */
    harness_write_file(config, "hook \"no\" {\n phase = post\n call = "
                               "\"erlang:is_atom\"\n args = {\"1\"}\n}\n");
    run = verdict_nzd(verdict, "apply", two, "--config", config);
    assert_status(run, 6);
    assert_eval(verdict->node,
                "{counter_late:version(), counter_text:version()}",
                "{1,\"0.1.0\"}");
    assert_txn(harness, verdict->node, 2, "rolled_back");

    run = verdict_nzd(verdict, "apply", two, "--retry");
    assert_status(run, 0);
    assert_eval(verdict->node,
                "{counter_late:version(), persistent_term:get(counter_late), "
                "counter_text:version()}",
                "{2,2,\"0.2.0\"}");
    run = verdict_nzd(verdict, "rollback", "--to", "0");
    assert_status(run, 0);
    beam_node_wait_for(verdict->node, "erlang:module_loaded(counter_late)",
                       "false", 5000);
    assert_eval(verdict->node, "counter_text:version()", "\"0.1.0\"");
    answer_settled(harness, verdict->node);
}

/* The others are loaded when it fails: they go back. */
static void on_load_that_fails(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    const char *new = verdict_copy(verdict, "counter-0.2.0", "new");
    compile(verdict, new, "counter_late",
            ON_LOAD("counter_late", "3", "{error, not_today}"));
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    struct harness_run run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: counter 0.1.0 runs on ");
    assert_contains(run.out, "counter_late");
    assert_eval(verdict->node, LOADED, verdict->before);
    assert_eval(verdict->node, "erlang:module_loaded(counter_late)", "false");
    assert_eval(verdict->node, "counter_srv:call()", "{\"0.1.0\",1}");
    json_t *txn = answer_txn(harness, verdict->node, 1);
    assert_string_equal(answer_text(txn, "state"), "rolled_back");
    assert_contains(answer_text(txn, "why"), "counter_late");
    answer_settled(harness, verdict->node);

    /* One that runs and then fails: the old one goes on. */
    const char *one = verdict_copy(verdict, "counter-0.1.0", "one");
    compile(verdict, one, "counter_late", LATE("1"));
    run = verdict_nzd(verdict, "apply", one);
    assert_status(run, 0);
    run = verdict_nzd(verdict, "apply", new, "--retry");
    assert_status(run, 6);
    assert_eval(verdict->node,
                "{counter_late:version(), counter_text:version()}",
                "{1,\"0.1.0\"}");
    answer_settled(harness, verdict->node);
}

/* --- no bundles --- */

static void not_a_bundle(struct verdict *verdict, const char *path,
                         const char *why)
{
    struct harness_run run = verdict_nzd(verdict, "apply", path);
    assert_status(run, 3);
    assert_matches(run.err,
                   harness_text(verdict->harness, "^nzd: %s: .*%s", path, why));
    verdict_untouched(verdict, run);
    run = verdict_nzd(verdict, "plan", path);
    assert_status(run, 3);
    assert_matches(run.err, why);
    run = verdict_offline(verdict, "plan",
                          verdict_fixture(verdict, "counter-0.1.0"), path);
    assert_status(run, 3);
    assert_matches(run.err, why);
}

static void no_bundles(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    const char *tarball = verdict_fixture(verdict, "counter-0.2.0.tar.gz");
    const char *dir = harness_dir(harness);
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    not_a_bundle(verdict, harness_path(harness, "none"),
                 "No such file or directory");
    verdict_shell(
        verdict,
        harness_text(harness,
                     "cd %s && mkdir empty other && echo text > other/file && "
                     "echo text > text && : > nothing && tar -czf "
                     "other.tar.gz other && head -c 3000 %s > cut.tar.gz && "
                     "head -c -20 %s > short.tar.gz",
                     dir, tarball, tarball));
    not_a_bundle(verdict, harness_path(harness, "empty"),
                 "neither a release nor a build's lib/");
    not_a_bundle(verdict, harness_path(harness, "other"),
                 "neither a release nor a build's lib/");
    not_a_bundle(verdict, harness_path(harness, "other.tar.gz"),
                 "neither a release nor a build's lib/");
    not_a_bundle(verdict, harness_path(harness, "text"), "not a tarball");
    not_a_bundle(verdict, harness_path(harness, "nothing"), "");
    not_a_bundle(verdict, harness_path(harness, "cut.tar.gz"), "truncated");
    not_a_bundle(verdict, harness_path(harness, "short.tar.gz"), "truncated");
    not_a_bundle(verdict, "/dev/null", "");
}

/* --- failed before --- */

static void a_failure_is_not_repeated(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    const char *config = harness_path(harness, "nzd.conf");
    const char *bad = verdict_fixture(verdict, "counter-0.3.0");
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    harness_write_file(config, "hook \"selftest\" {\n phase = post\n call = "
                               "\"counter_check:run\"\n args = {\"quick\", "
                               "\"[{limit,100}]\"}\n timeout = 5s\n}\n");
    struct harness_run run =
        verdict_nzd(verdict, "apply", bad, "--config", config);
    assert_status(run, 6);
    assert_contains(run.out, "hook selftest returned {error,{limit,120}}");

    run = verdict_nzd(verdict, "apply", bad, "--config", config);
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1: "
                             "hook selftest returned {error,{limit,120}}");
    assert_contains(run.err, "untouched  nothing was touched\n");
    assert_contains(run.err, "--retry");
    /* The same as a tarball is the same. */
    run = verdict_nzd(verdict, "apply",
                      verdict_fixture(verdict, "counter-0.3.0.tar.gz"),
                      "--config", config);
    assert_status(run, 5);
    assert_int_equal(json_array_size(answer_txns(harness, verdict->node)), 1);

    run = verdict_nzd(verdict, "apply", bad, "--config", config, "--retry");
    assert_status(run, 6);
    assert_txn(harness, verdict->node, 2, "rolled_back");
    run =
        verdict_nzd(verdict, "apply", verdict_fixture(verdict, "counter-0.2.0"),
                    "--config", config);
    assert_status(run, 0);
    /* Once it was good it may come again. */
    run = verdict_nzd(verdict, "apply", bad, "--retry");
    assert_status(run, 0);
    run = verdict_nzd(verdict, "rollback");
    assert_status(run, 0);
    run = verdict_nzd(verdict, "apply", bad);
    assert_status(run, 0);
    assert_eval(verdict->node, "counter_srv:call()", "{\"0.3.0\",1}");
    answer_settled(harness, verdict->node);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, verdict_set_up, verdict_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(settings_need_a_restart),
        real(a_provider_needs_one),
        real(live_settings_are_not),
        real(evidence_in_json),
        real(more_is_asked_for),
        real(a_native_library_needs_a_restart),
        real(on_load_is_hot),
        real(on_load_that_fails),
        real(no_bundles),
        real(a_failure_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
