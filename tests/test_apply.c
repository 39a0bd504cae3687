/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = harness_open();
    return 0;
}

static int teardown(void **state)
{
    harness_close(*state);
    return 0;
}

static struct beam_node *start(struct harness *harness, const char *fixture,
                               bool interactive)
{
    struct beam_node_options options = {
        .release = harness_fixture(harness, fixture),
        .interactive = interactive,
    };
    return beam_node_start(harness, &options);
}

/* What `apply` of a fixture did, which succeeded. */
static struct harness_run apply(struct harness *harness, struct beam_node *node,
                                const char *fixture)
{
    struct harness_run run = harness_nzd(
        harness, node, "apply", harness_fixture(harness, fixture), NULL);
    assert_status(run, 0);
    return run;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Every loaded module: its name, md5 and whether it has old code. Asked
 * before and after what must touch nothing. */
static const char *loaded(struct beam_node *node)
{
    return beam_node_eval(
        node, "erlang:md5(term_to_binary(lists:sort([{M, M:module_info(md5), "
              "erlang:check_old_code(M)} || {M, _} <- code:all_loaded(), "
              "not lists:prefix(\"nzd_agent_\", atom_to_list(M))])))");
}

/* Those modules of a folder of BEAM files that the node does not run, byte for
 * byte; "[]" is what a committed apply leaves. */
#define NOT_RUN(ebin)                                                          \
    "[M || F <- filelib:wildcard(\"" ebin "/*.beam\"), "                       \
    "{ok, B} <- [file:read_file(F)], {ok, {M, D}} <- [beam_lib:md5(B)], "      \
    "not erlang:module_loaded(M) orelse M:module_info(md5) =/= D]"

static void runs_all_of(struct harness *harness, struct beam_node *node,
                        const char *ebin)
{
    const char *folder = harness_fixture(harness, ebin);
    beam_node_check(node, harness_text(harness, NOT_RUN("%s"), folder), "[]",
                    __FILE__, __LINE__);
    /* Nor is the folder empty. */
    beam_node_check(node,
                    harness_text(harness,
                                 "length(filelib:wildcard(\"%s/*.beam\")) > 3",
                                 folder),
                    "true", __FILE__, __LINE__);
}

/* --- the main job --- */

/* Counter 0.1.0 becomes 0.2.0 and says so everywhere. */
static void reload_counter(struct harness *harness, struct beam_node *node,
                           const char *bundle)
{
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",2}");
    assert_eval(node, "counter_legacy:count(1)", "2");
    const char *server = beam_node_eval(node, "whereis(counter_srv)");

    struct harness_run run = harness_nzd(harness, node, "apply", bundle, NULL);
    assert_status(run, 0);
    assert_matches(run.out,
                   harness_text(harness,
                                "^committed 1: counter 0\\.2\\.0 runs on %s "
                                "\\([0-9.]+ .?s, paused [0-9.]+ .?s\\)$",
                                beam_node_name(node)));
    assert_matches(run.err,
                   "^plan +counter 0\\.1\\.0 -> 0\\.2\\.0, 4 modules, hot ");
    assert_matches(run.err, "^prepare +3 new, 3 old ");
    assert_matches(run.err, "^armed +transaction 1 ");
    assert_matches(run.err, "^switch +3 loaded at once, 1 to remove ");
    assert_contains(run.err, "boots the base again: counter 0.1.0");

    assert_eval(node, "counter_srv:call()", "{\"0.2.0\",3}");
    assert_string_equal(beam_node_eval(node, "whereis(counter_srv)"), server);
    assert_eval(node, "counter_http:get(7)",
                "{\"0.2.0\",\"0.2.0\",\"hello hello, now counted 7 times\"}");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    runs_all_of(harness, node, "counter-0.2.0/lib/counter-0.2.0/ebin");
    answer_settled(harness, node);
}

static void records_counter(struct harness *harness, struct beam_node *node)
{
    json_t *txn = answer_txn(harness, node, 1);
    assert_string_equal(answer_text(txn, "state"), "committed");
    assert_string_equal(answer_text(txn, "kind"), "apply");
    assert_string_equal(answer_text(txn, "from"), "0.1.0");
    assert_string_equal(answer_text(txn, "to"), "0.2.0");
    assert_int_equal(answer_number(txn, "changed"), 2);
    assert_int_equal(answer_number(txn, "added"), 1);
    assert_int_equal(answer_number(txn, "removed"), 1);
    assert_int_equal(json_array_size(answer_get(txn, "modules")), 4);
    assert_string_equal(answer_text(txn, "modules.1.name"), "counter_legacy");
    assert_string_equal(answer_text(txn, "modules.1.change"), "removed");
    assert_string_equal(answer_text(txn, "modules.2.name"), "counter_rate");
    assert_string_equal(answer_text(txn, "modules.2.change"), "added");
    assert_int_equal(json_array_size(answer_txns(harness, node)), 1);
}

static void a_tarball(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    reload_counter(harness, node,
                   harness_fixture(harness, "counter-0.2.0.tar.gz"));
    records_counter(harness, node);
    assert_eval(node,
                "catch counter_legacy:count(1), "
                "erlang:module_loaded(counter_legacy)",
                "false");
}

static void a_directory(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    reload_counter(harness, node, harness_fixture(harness, "counter-0.2.0"));
    records_counter(harness, node);
}

/* Only the application that was built lies in it: the others stay. */
static void a_build(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *lib = harness_path(harness, "build/lib");
    assert_int_equal(mkdir(harness_path(harness, "build"), 0700), 0);
    assert_int_equal(mkdir(lib, 0700), 0);
    harness_copy(harness,
                 harness_fixture(harness, "counter-0.2.0/lib/counter-0.2.0"),
                 harness_path(harness, "build/lib/counter"));
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    const char *rest = "erlang:md5(term_to_binary([{M, M:module_info(md5)} || "
                       "{M, _} <- lists:sort(code:all_loaded()), not lists:"
                       "prefix(\"counter\", atom_to_list(M)), not "
                       "lists:prefix(\"nzd_agent_\", atom_to_list(M))]))";
    const char *before = beam_node_eval(node, "%s", rest);
    struct harness_run run = harness_nzd(harness, node, "apply", lib, NULL);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: counter 0.2.0 runs on ");
    assert_eval(node, "counter_srv:call()", "{\"0.2.0\",2}");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    runs_all_of(harness, node, "counter-0.2.0/lib/counter-0.2.0/ebin");
    assert_string_equal(beam_node_eval(node, "%s", rest), before);
    answer_settled(harness, node);
}

/* Modules that nobody called yet are loaded, so that no later auto-load finds
 * the old file. */
static void modules_not_loaded_yet(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", true);
    assert_eval(node, "code:get_mode()", "interactive");
    assert_eval(node,
                "[erlang:module_loaded(M) || M <- [counter_http, counter_text, "
                "counter_srv]]",
                "[false,false,true]");
    apply(harness, node, "counter-0.2.0.tar.gz");
    assert_eval(node,
                "[erlang:module_loaded(M) || M <- [counter_http, counter_text, "
                "counter_rate]]",
                "[true,true,true]");
    assert_eval(node, "counter_http:get(7)",
                "{\"0.2.0\",\"0.2.0\",\"hello hello, now counted 7 times\"}");
    assert_eval(node, "counter_srv:call()", "{\"0.2.0\",1}");
    json_t *txn = answer_txn(harness, node, 1);
    assert_string_equal(answer_text(txn, "modules.0.name"), "counter_http");
    assert_false(json_boolean_value(answer_get(txn, "modules.0.was_loaded")));
    answer_settled(harness, node);
}

/* The protocol lies outside of lib/, consolidated, with a new implementation.
 */
static void reload_greeter(struct harness *harness, bool interactive,
                           const char *bundle)
{
    struct beam_node *node = start(harness, "greeter-0.1.0", interactive);
    assert_eval(node, "'Elixir.Greeter.Counter':greet(<<\"Ada\">>)",
                "{1,{<<\"0.1.0\">>,<<\"Hello dear Ada\">>}}");
    assert_eval(node, "'Elixir.Greeter':hello(ada)",
                "{<<\"0.1.0\">>,<<\"Hello :ada\">>}");
    struct harness_run run = apply(harness, node, bundle);
    assert_contains(run.out, "committed 1: greeter 0.2.0 runs on ");
    assert_eval(node, "'Elixir.Greeter.Counter':greet(<<\"Ada\">>)",
                "{2,{<<\"0.2.0\">>,<<\"Hello my dear Ada\">>}}");
    assert_eval(node, "'Elixir.Greeter':hello(ada)",
                "{<<\"0.2.0\">>,<<\"Hello esteemed ada\">>}");
    assert_eval(node, "'Elixir.Greeter.Polite':'__protocol__'('consolidated?')",
                "true");
    if (!interactive)
        runs_all_of(harness, node, "greeter-0.2.0/releases/0.2.0/consolidated");
    answer_settled(harness, node);
}

static void a_mix_release(void **state)
{
    reload_greeter(*state, false, "greeter-0.2.0.tar.gz");
}

static void a_mix_release_interactive(void **state)
{
    reload_greeter(*state, true, "greeter-0.2.0");
}

/* --- what is a change --- */

static void nothing_to_do(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *before = loaded(node);
    struct harness_run run = apply(harness, node, "counter-0.1.0.tar.gz");
    assert_matches(run.out, "^nothing to do: counter 0\\.1\\.0 runs on ");
    assert_int_equal(json_array_size(answer_txns(harness, node)), 0);
    assert_string_equal(loaded(node), before);

    apply(harness, node, "counter-0.2.0.tar.gz");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    /* The same release packed otherwise is the same. */
    run = apply(harness, node, "counter-0.2.0");
    assert_matches(run.out, "^nothing to do: counter 0\\.2\\.0 runs on ");
    run =
        harness_nzd(harness, node, "apply",
                    harness_fixture(harness, "counter-0.2.0"), "--json", NULL);
    assert_status(run, 0);
    json_t *outcome = answer_event(harness, run.out, "outcome");
    assert_string_equal(answer_text(outcome, "state"), "nothing");
    assert_int_equal(answer_number(outcome, "exit"), 0);
    assert_int_equal(json_array_size(answer_txns(harness, node)), 1);
    answer_settled(harness, node);
}

/* Compiles counter_text of 0.1.0 with one attribute more into a copy of its
 * release. */
static const char *with_attribute(struct harness *harness)
{
    const char *copy = harness_path(harness, "attribute");
    const char *source = harness_path(harness, "counter_text.erl");
    harness_copy(harness, harness_fixture(harness, "counter-0.1.0"), copy);
    static const char script[] =
        "sed 's/^-module(counter_text)\\./&\\n-vsn(\"other\")./' \"$1\" >\"$2\""
        " && erlc +deterministic -o \"$3/lib/counter-0.1.0/ebin\" \"$2\"";
    const char *const argv[] = {
        "sh",
        "-c",
        script,
        "sh",
        "tests/fixtures/counter/base/apps/counter/src/counter_text.erl",
        source,
        copy,
        NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    return copy;
}

/* The md5 of a module does not cover its attributes. */
static void attributes_are_a_change(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *vsn = "proplists:get_value(vsn, "
                      "counter_text:module_info(attributes))";
    const char *md5 = beam_node_eval(node, "counter_text:module_info(md5)");
    struct harness_run run =
        harness_nzd(harness, node, "apply", with_attribute(harness), NULL);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: ");
    assert_eval(node, vsn, "\"other\"");
    assert_string_equal(beam_node_eval(node, "counter_text:module_info(md5)"),
                        md5);
    json_t *txn = answer_txn(harness, node, 1);
    assert_int_equal(answer_number(txn, "changed"), 1);
    assert_string_equal(answer_text(txn, "modules.0.old_md5"),
                        answer_text(txn, "modules.0.new_md5"));
    assert_string_not_equal(answer_text(txn, "modules.0.old_attributes"),
                            answer_text(txn, "modules.0.new_attributes"));
    answer_settled(harness, node);
    run = harness_nzd(harness, node, "rollback", NULL);
    assert_status(run, 0);
    assert_eval(node,
                "is_integer(hd(proplists:get_value(vsn, "
                "counter_text:module_info(attributes))))",
                "true");
    answer_settled(harness, node);
}

/* A holder of a closure may call on into the code that knew the module. */
static void a_removed_module_waits(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    beam_node_eval(node, "register(holder, spawn(fun() -> "
                         "F = counter_text:formatter(), "
                         "receive {call, P} -> P ! F(1) end, "
                         "receive stop -> F end end))");
    apply(harness, node, "counter-0.2.0.tar.gz");
    assert_eval(node, "counter_srv:call()", "{\"0.2.0\",1}");
    process_sleep_ms(1500);
    assert_eval(node, "erlang:module_loaded(counter_legacy)", "true");
    assert_eval(node, "counter_legacy:count(1)", "2");
    /* The closure still answers as it was made, and status tells. */
    assert_eval(node,
                "holder ! {call, self()}, "
                "receive {V, _} -> V after 1000 -> late end",
                "\"0.1.0\"");
    struct harness_run run = harness_nzd(harness, node, "status", NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^  counter_legacy +was removed; it goes when ");
    beam_node_eval(node, "holder ! stop");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 20000);
    answer_settled(harness, node);
}

/* Who has a state of another shape, and a code_change to make it. */
static void plan_names_who_migrates(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    struct harness_run run =
        harness_nzd(harness, node, "plan",
                    harness_fixture(harness, "counter-0.2.0-state"), NULL);
    assert_status(run, 0);
    assert_matches(run.out, "~ counter_srv +[0-9a-f]{8} -> [0-9a-f]{8}");
    assert_matches(run.out,
                   harness_text(harness,
                                "^  migrate +counter_srv [0-9a-f]{8} -> "
                                "[0-9a-f]{8} +1 process runs it, %s "
                                "counter_srv$",
                                beam_node_eval(node, "whereis(counter_srv)")));
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
}

/* --- what touches nothing --- */

static void touches_nothing(void **state, const char *command,
                            const char *option)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *before = loaded(node);
    struct harness_run run = harness_nzd(
        harness, node, command,
        harness_fixture(harness, "counter-0.2.0.tar.gz"), option, NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^counter 0\\.1\\.0 -> 0\\.2\\.0 on .* verdict: "
                            "hot$");
    assert_matches(run.out, "^    ~ counter_http ");
    assert_matches(run.out, "^    \\+ counter_rate ");
    assert_matches(run.out, "^    - counter_legacy ");
    assert_matches(run.out, "^  writes +at most .* to a new journal$");
    assert_lacks(run.out, "committed");
    assert_string_equal(loaded(node), before);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    assert_false(is_there(harness_journal(harness)));
    run = harness_nzd(harness, node, "status", "--check", NULL);
    assert_status(run, 0);
    assert_contains(run.out, "nothing was ever applied");
}

static void plan_touches_nothing(void **state)
{
    touches_nothing(state, "plan", NULL);
}

static void dry_run_touches_nothing(void **state)
{
    touches_nothing(state, "apply", "--dry-run");
}

/* Where there is a journal, it stays as it is to the byte. */
static void dry_run_writes_no_journal(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *const sum[] = {"sha256sum",
                               harness_path(harness, "journal/data.mdb"), NULL};
    apply(harness, node, "counter-0.2.0.tar.gz");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    struct harness_run journal = harness_run(harness, sum, NULL);
    assert_status(journal, 0);
    const char *before = loaded(node);
    static const char *const commands[][3] = {
        {"apply", "counter-0.3.0", "--dry-run"}, {"plan", "counter-0.3.0"}};
    for (size_t i = 0; i < 2; i++) {
        struct harness_run run = harness_nzd(
            harness, node, commands[i][0],
            harness_fixture(harness, commands[i][1]), commands[i][2], NULL);
        assert_status(run, 0);
        assert_contains(run.out, "counter 0.2.0 -> 0.3.0 on ");
    }
    assert_string_equal(loaded(node), before);
    assert_string_equal(harness_run(harness, sum, NULL).out, journal.out);
}

/* --- hooks that come with the bundle --- */

static const char *with_hook(struct harness *harness, const char *name,
                             int limit)
{
    const char *bundle = harness_path(harness, "%s", name);
    harness_copy(harness, harness_fixture(harness, "counter-0.2.0"), bundle);
    assert_int_equal(mkdir(harness_path(harness, "%s/nzd", name), 0700), 0);
    harness_write_file(harness_path(harness, "%s/nzd/hooks.conf", name),
                       harness_text(harness,
                                    "hook \"selftest\" {\n phase = post\n"
                                    " call = \"counter_check:run\"\n"
                                    " args = {\"quick\", \"[{limit,%d}]\"}\n"
                                    " timeout = 10s\n}\n",
                                    limit));
    return bundle;
}

/* The fixed bundle has the same modules and other hooks: it is another one,
 * and no --retry is due. */
static void hooks_of_the_bundle(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *before = loaded(node);
    struct harness_run run = harness_nzd(
        harness, node, "apply", with_hook(harness, "strict", 50), NULL);
    assert_status(run, 6);
    assert_matches(run.err, "^hook post +selftest FAILED: .*\\{limit,90\\}");
    assert_matches(run.out, "^rolled back 1: counter 0\\.1\\.0 runs on ");
    assert_txn(harness, node, 1, "rolled_back");
    beam_node_wait_for(node, "erlang:module_loaded(counter_rate)", "false",
                       5000);
    assert_string_equal(loaded(node), before);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    answer_settled(harness, node);

    run = harness_nzd(harness, node, "apply", with_hook(harness, "mild", 100),
                      NULL);
    assert_status(run, 0);
    assert_matches(run.err, "^hook post +selftest ok ");
    assert_contains(run.out, "committed 2: counter 0.2.0 runs on ");
    run = harness_nzd(harness, node, "journal", "show", "2", NULL);
    assert_matches(run.out, "hook post selftest ok");
    assert_contains(run.out, "| 100 checks passed");
    beam_node_wait_for(node, "code:is_loaded(counter_legacy)", "false", 5000);
    answer_settled(harness, node);
}

/* --- durable moves --- */

/* Lines of strace's report: one for each sync of the journal's data. */
static unsigned syncs(struct harness *harness, const char *path,
                      const char **before_armed)
{
    unsigned count = 0;
    const char *text = harness_read_file(harness, path);
    for (const char *at = text; (at = strstr(at, "data.mdb>")); at++)
        count++;
    *before_armed = text;
    return count;
}

/* Armed and committed, besides the batch with the snapshot. */
static void two_durable_moves(void **state)
{
    struct harness *harness = *state;
    if (system("strace -o /dev/null true 2>/dev/null") != 0)
        skip();
    struct beam_node *node = start(harness, "counter-0.1.0", false);
    const char *report = harness_path(harness, "syncs"), *text;
    const char *const strace[] = {"strace",
                                  "-f",
                                  "-y",
                                  "-E",
                                  "ASAN_OPTIONS=detect_leaks=0",
                                  "-e",
                                  "trace=fsync,fdatasync,msync",
                                  "-o",
                                  report,
                                  NULL};
    const char *const *first =
        harness_argv(harness, node, "apply",
                     harness_fixture(harness, "counter-0.2.0.tar.gz"), NULL);
    apply(harness, node, "counter-0.3.0.tar.gz");
    struct harness_run run =
        harness_run(harness, harness_concat(harness, strace, first), NULL);
    assert_status(run, 0);
    /* The new counter_text is not held yet: one batch. */
    assert_int_equal(syncs(harness, report, &text), 3);
    assert_lacks(text, "msync(");

    /* What is held already is not written again. */
    run = harness_run(
        harness,
        harness_concat(harness, strace,
                       harness_argv(harness, node, "rollback", NULL)),
        NULL);
    assert_status(run, 0);
    assert_int_equal(syncs(harness, report, &text), 2);
    answer_settled(harness, node);
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(a_tarball),
        real(a_directory),
        real(a_build),
        real(modules_not_loaded_yet),
        real(a_mix_release),
        real(a_mix_release_interactive),
        real(nothing_to_do),
        real(attributes_are_a_change),
        real(a_removed_module_waits),
        real(plan_names_who_migrates),
        real(plan_touches_nothing),
        real(dry_run_touches_nothing),
        real(dry_run_writes_no_journal),
        real(hooks_of_the_bundle),
        real(two_durable_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
