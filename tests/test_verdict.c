/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What nzd refuses, and the reasons it gives, against real nodes and between
 * two releases: a verdict over the limit, calls without a target, code that
 * the VM does not take, bundles that are none, a bundle that failed before.
 */
struct verdict {
    struct harness *harness;
    struct beam_node *node;
    const char *before; /* loaded(), when the node was up */
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct verdict *verdict = harness_alloc(harness, sizeof *verdict);
    verdict->harness = harness;
    *state = verdict;
    return 0;
}

static int teardown(void **state)
{
    struct verdict *verdict = *state;
    harness_close(verdict->harness);
    return 0;
}

/* --- words --- */

/* What runs, and all that a reload could have left behind. */
#define LOADED                                                                 \
    "erlang:md5(term_to_binary({lists:sort([{M, M:module_info(md5), "          \
    "erlang:check_old_code(M)} || {M, _} <- code:all_loaded(), "               \
    "not lists:prefix(\"nzd_agent_\", atom_to_list(M))]), "                    \
    "application:get_all_env(counter), application:which_applications(), "     \
    "code:get_path(), lists:sort(registered()) -- [nzd]}))"

static void start(struct verdict *verdict, const char *release)
{
    struct beam_node_options options = {.release = release};
    verdict->node = beam_node_start(verdict->harness, &options);
    verdict->before = beam_node_eval(verdict->node, LOADED);
}

static const char *fixture(struct verdict *verdict, const char *name)
{
    return harness_fixture(verdict->harness, name);
}

#define nzd(verdict, ...)                                                      \
    harness_nzd((verdict)->harness, (verdict)->node, __VA_ARGS__, NULL)
#define offline(verdict, ...)                                                  \
    harness_nzd((verdict)->harness, NULL, __VA_ARGS__, NULL)

/* Nothing was touched, and nothing got a number. */
static void untouched(struct verdict *verdict, struct harness_run run)
{
    assert_contains(run.err, "\n  untouched  nothing was touched\n");
    assert_eval(verdict->node, LOADED, verdict->before);
    assert_int_equal(
        json_array_size(answer_txns(verdict->harness, verdict->node)), 0);
    run = nzd(verdict, "journal", "verify");
    assert_status(run, 0);
}

/* A copy of a release, to be changed. */
static const char *copy(struct verdict *verdict, const char *release,
                        const char *name)
{
    const char *to = harness_path(verdict->harness, "%s", name);
    harness_copy(verdict->harness, fixture(verdict, release), to);
    return to;
}

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

static void shell(struct verdict *verdict, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct harness_run run = harness_run(verdict->harness, argv, NULL);
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
    struct harness_run run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_matches(run.err, harness_text(verdict->harness,
                                         "^nzd: verdict restart-vm is over "
                                         "the limit migrate: %s",
                                         subject));
    untouched(verdict, run);

    run = nzd(verdict, "apply", new, "--max", "hot");
    assert_status(run, 5);
    assert_contains(run.err, "restart-vm is over the limit hot: ");
    run = nzd(verdict, "apply", new, "--max", "restart-vm", "--dry-run");
    assert_status(run, way.refusal ? 5 : 0);
    if (way.refusal) {
        assert_contains(run.err, way.refusal);
        untouched(verdict, run);
    }

    const char *line = harness_text(verdict->harness, "^  restart-vm +%s%s$",
                                    evidence, way.evidence);
    run = nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, head);
    assert_matches(run.out, line);
    run = offline(verdict, "plan", old, new);
    assert_status(run, 0);
    assert_matches(run.out, head);
    assert_matches(run.out, line);
    run = offline(verdict, "plan", old, new, "--max", "restart-app");
    assert_status(run, 5);
    assert_matches(run.out, line);
    assert_contains(run.err, "restart-vm is over --max restart-app");
    run = offline(verdict, "plan", old, new, "--max", "restart-vm");
    assert_status(run, 0);
    assert_eval(verdict->node, LOADED, verdict->before);
}

static void settings_need_a_restart(void **state)
{
    struct verdict *verdict = *state;
    const char *old = fixture(verdict, "counter-0.2.0");
    start(verdict, old);
    const char *new = copy(verdict, "counter-0.2.0", "boot");
    shell(verdict,
          harness_text(verdict->harness,
                       "echo '[{counter, [{greeting, \"hello\"}, {limit, "
                       "100}]}, {kernel, [{logger_level, error}]}].' > "
                       "%s/releases/0.2.0/sys.config",
                       new));
    restart_vm(verdict, old, new, "sys.config -> \\{logger_level,error\\}",
               "sys.config +\\{logger_level,error\\} +kernel: logger_level",
               in_place);

    new = copy(verdict, "counter-0.2.0", "args");
    shell(verdict,
          harness_text(verdict->harness,
                       "echo '+P 500000' >> %s/releases/0.2.0/vm.args", new));
    restart_vm(verdict, old, new, "vm.args -> \\+P 500000",
               "vm.args +\\+P 500000 +vm.args", new_start);

    new = copy(verdict, "counter-0.2.0", "erts");
    shell(verdict,
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
    const char *old = fixture(verdict, "greeter-0.2.0");
    const char *new = copy(verdict, "greeter-0.2.0-runtime", "provider");
    start(verdict, old);
    shell(verdict, harness_text(verdict->harness,
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
    const char *old = fixture(verdict, "counter-0.2.0");
    const char *more = fixture(verdict, "counter-0.2.0-app");
    struct harness_run run = offline(verdict, "plan", old, more);
    assert_status(run, 0);
    assert_matches(run.out, "verdict: hot$");
    assert_matches(run.out,
                   "^  hot +counter_extra +1.0.0, permanent +boot script$");
    run = offline(verdict, "plan", more, old, "--max", "migrate");
    assert_status(run, 5);
    assert_matches(run.out, "verdict: restart-app$");
    assert_contains(run.err, "restart-app is over --max migrate");
    run = offline(verdict, "plan", old, fixture(verdict, "counter-0.2.0-conf"));
    assert_status(run, 0);
    assert_matches(run.out, "^  hot +sys.config \\{greeting,\"hello\"\\} -> "
                            "\\{greeting,\"good day\"\\} +counter: greeting$");
}

/* JSON says it too, for a release of which only code differs as well. */
static void evidence_in_json(void **state)
{
    struct verdict *verdict = *state;
    struct harness_run run =
        offline(verdict, "plan", "--json", fixture(verdict, "counter-0.1.0"),
                fixture(verdict, "counter-0.2.0-conf"), "--max", "hot");
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

    run = offline(verdict, "plan", "--json", fixture(verdict, "counter-0.1.0"),
                  fixture(verdict, "counter-0.2.0"), "--max", "hot");
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
    start(verdict, fixture(verdict, "counter-0.1.0"));
    const char *new = fixture(verdict, "counter-0.2.0");
    struct harness_run run = nzd(verdict, "apply", new, "--min", "restart-app");
    assert_status(run, 5);
    assert_contains(run.err, "--min restart-app: nzd carries out hot, migrate "
                             "and restart-vm");
    untouched(verdict, run);
    /* Also where nothing differs: a restart is not nothing. */
    run = nzd(verdict, "apply", fixture(verdict, "counter-0.1.0"), "--min",
              "restart-vm");
    assert_status(run, 5);
    untouched(verdict, run);
    run = nzd(verdict, "apply", new, "--min", "hot", "--max", "hot");
    assert_status(run, 0);
    assert_eval(verdict->node, "counter_srv:call()", "{\"0.2.0\",1}");
    answer_settled(verdict->harness, verdict->node);
}

/* --- on_load and native libraries --- */

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

static void load(struct verdict *verdict, const char *module)
{
    beam_node_eval(verdict->node, "{module, _} = code:load_file(%s)", module);
    verdict->before = beam_node_eval(verdict->node, LOADED);
}

static void a_native_library_needs_a_restart(void **state)
{
    struct verdict *verdict = *state;
    const char *old = copy(verdict, "counter-0.1.0", "old");
    const char *new = copy(verdict, "counter-0.1.0", "new");
    compile(verdict, old, "counter_nif", NATIVE("1"));
    compile(verdict, new, "counter_nif", NATIVE("2"));
    start(verdict, old);
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
    const char *base = fixture(verdict, "counter-0.1.0");
    const char *one = copy(verdict, "counter-0.1.0", "one");
    const char *two = copy(verdict, "counter-0.2.0", "two");
    compile(verdict, one, "counter_late", LATE("1"));
    compile(verdict, two, "counter_late", LATE("2"));
    start(verdict, base);

    struct harness_run run = nzd(verdict, "plan", one);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: hot");
    assert_matches(run.out, "\\+ counter_late .* on_load, after the others$");
    run = nzd(verdict, "apply", one);
    assert_status(run, 0);
    assert_eval(verdict->node,
                "{counter_late:version(), persistent_term:get(counter_late)}",
                "{1,1}");

    /* Changed, and undone because of a hook. */
    harness_write_file(config, "hook \"no\" {\n phase = post\n call = "
                               "\"erlang:is_atom\"\n args = {\"1\"}\n}\n");
    run = nzd(verdict, "apply", two, "--config", config);
    assert_status(run, 6);
    assert_eval(verdict->node,
                "{counter_late:version(), counter_text:version()}",
                "{1,\"0.1.0\"}");
    assert_txn(harness, verdict->node, 2, "rolled_back");

    run = nzd(verdict, "apply", two, "--retry");
    assert_status(run, 0);
    assert_eval(verdict->node,
                "{counter_late:version(), persistent_term:get(counter_late), "
                "counter_text:version()}",
                "{2,2,\"0.2.0\"}");
    run = nzd(verdict, "rollback", "--to", "0");
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
    const char *new = copy(verdict, "counter-0.2.0", "new");
    compile(verdict, new, "counter_late",
            ON_LOAD("counter_late", "3", "{error, not_today}"));
    start(verdict, fixture(verdict, "counter-0.1.0"));
    struct harness_run run = nzd(verdict, "apply", new);
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
    const char *one = copy(verdict, "counter-0.1.0", "one");
    compile(verdict, one, "counter_late", LATE("1"));
    run = nzd(verdict, "apply", one);
    assert_status(run, 0);
    run = nzd(verdict, "apply", new, "--retry");
    assert_status(run, 6);
    assert_eval(verdict->node,
                "{counter_late:version(), counter_text:version()}",
                "{1,\"0.1.0\"}");
    answer_settled(harness, verdict->node);
}

/* --- what the VM does not take --- */

static void sticky_modules_are_refused(void **state)
{
    struct verdict *verdict = *state;
    start(verdict, fixture(verdict, "counter-0.1.0"));
    beam_node_eval(verdict->node, "ok = code:stick_dir(filename:dirname("
                                  "code:which(counter_text)))");
    verdict->before = beam_node_eval(verdict->node, LOADED);
    const char *new = fixture(verdict, "counter-0.2.0");
    struct harness_run run = nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  restart-vm +counter_text +sticky directory$");
    run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_matches(run.err, "verdict restart-vm is over the limit migrate: "
                            "counter_");
    untouched(verdict, run);
}

/* A right header and instructions that mean nothing. */
static void damaged_code_is_refused(void **state)
{
    struct verdict *verdict = *state;
    start(verdict, fixture(verdict, "counter-0.1.0"));
    const char *new = copy(verdict, "counter-0.2.0", "new");
    beam_node_eval(verdict->node,
                   "F = \"%s/lib/counter-0.2.0/ebin/counter_text.beam\", "
                   "{ok, _, Cs} = beam_lib:all_chunks(F), "
                   "{_, Code} = lists:keyfind(\"Code\", 1, Cs), "
                   "N = byte_size(Code) div 2, "
                   "<<A:N/binary, _, B/binary>> = Code, "
                   "Bad = {\"Code\", <<A/binary, 255, B/binary>>}, "
                   "{ok, Bin} = beam_lib:build_module("
                   "lists:keyreplace(\"Code\", 1, Cs, Bad)), "
                   "ok = file:write_file(F, Bin)",
                   new);
    struct harness_run run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, " refuses module counter_text: badfile");
    assert_contains(run.err, "untouched  no code was loaded");
    assert_eval(verdict->node, LOADED, verdict->before);
    assert_txn(verdict->harness, verdict->node, 1, "aborted");
    run = nzd(verdict, "apply", fixture(verdict, "counter-0.2.0"));
    assert_status(run, 0);
    assert_txn(verdict->harness, verdict->node, 2, "committed");
    answer_settled(verdict->harness, verdict->node);
}

/* --- gaps --- */

static void a_call_in_flight_is_named(void **state)
{
    struct verdict *verdict = *state;
    start(verdict, fixture(verdict, "counter-0.2.0"));
    const char *new = fixture(verdict, "counter-0.2.0-gap");
    struct harness_run run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, "nzd: code in flight of counter_http calls "
                             "counter_text:greeting/0, which the new code "
                             "does not have\n");
    assert_contains(run.err, "--accept-gap");
    untouched(verdict, run);
    run = nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  gap +old code of counter_http calls "
                            "counter_text:greeting/0, gone in the new code$");
    run = offline(verdict, "plan", fixture(verdict, "counter-0.2.0"), new);
    assert_status(run, 0);
    assert_contains(run.out, "counter_text:greeting/0");

    run = nzd(verdict, "apply", new, "--accept-gap");
    assert_status(run, 0);
    assert_eval(verdict->node,
                "erlang:function_exported(counter_text, greeting, 0)", "false");
    answer_settled(verdict->harness, verdict->node);
}

/* A module of nobody's, in the node. */
static void outside(struct verdict *verdict, const char *name, const char *body)
{
    struct harness *harness = verdict->harness;
    const char *dir = harness_dir(harness);
    const char *source = harness_path(harness, "%s.erl", name);
    harness_write_file(source, harness_text(harness,
                                            "-module(%s).\n-export([say/0]).\n"
                                            "say() -> %s.\n",
                                            name, body));
    shell(verdict, harness_text(harness, "cd %s && erlc %s.erl", dir, name));
    beam_node_eval(verdict->node, "{module, _} = code:load_abs(\"%s/%s\")", dir,
                   name);
}

/* Who calls from outside of the bundle stays as it is, and would fail at each
 * call; who has a fun of it, too. */
static void a_caller_outside_is_named(void **state)
{
    struct verdict *verdict = *state;
    start(verdict, fixture(verdict, "counter-0.2.0"));
    outside(verdict, "outside", "counter_text:greeting()");
    outside(verdict, "outside_fun", "[{fun counter_text:greeting/0}]");
    outside(verdict, "outside_apply", "apply(counter_text, greeting, [])");
    outside(verdict, "outside_other", "[{fun counter_text:greeting/7}]");
    verdict->before = beam_node_eval(verdict->node, LOADED);

    const char *new = fixture(verdict, "counter-0.2.0-gap");
    struct harness_run run = nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  gap +outside calls counter_text:greeting/0, "
                            "gone in the new code$");
    assert_matches(run.out, "^  gap +outside_fun calls counter_text:greeting");
    assert_matches(run.out, "^  gap +outside_apply calls counter_text:greet");
    assert_lacks(run.out, "outside_other");
    run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, "counter_text:greeting/0, which the new code "
                             "does not have (and others)");
    untouched(verdict, run);
    assert_eval(verdict->node, "outside:say()", "\"hello\"");
}

/* Its file does not call it: what an earlier apply put in force does. */
static void a_caller_in_force_is_named(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    start(verdict, fixture(verdict, "counter-0.1.0"));
    shell(
        verdict,
        harness_text(
            harness,
            "src=$PWD/tests/fixtures/counter/base/apps/counter/src; cd %s && "
            "cp -r %s one && cp -r one two && "
            "printf '%%s\\n' '-module(counter_legacy).' '-export([count/1]).'"
            " 'count(N) -> (counter_text:formatter())(N).' >counter_legacy.erl "
            "&& sed -e 's/formatter.0, //' -e '/^formatter() ->/,$d' "
            "-e '/^cost/,$d' -e 's/, cost.0//' $src/counter_text.erl "
            ">counter_text.erl && "
            "erlc -o one/lib/counter-0.1.0/ebin counter_legacy.erl && "
            "cp one/lib/counter-0.1.0/ebin/counter_legacy.beam "
            "two/lib/counter-0.1.0/ebin && "
            "sed -n '/^cost/,$p' $src/counter_text.erl >>counter_text.erl && "
            "sed -i 's/render.1, greeting.0/&, cost\\/0/' counter_text.erl && "
            "erlc -o two/lib/counter-0.1.0/ebin counter_text.erl",
            harness_dir(harness), fixture(verdict, "counter-0.1.0")));
    struct harness_run run =
        nzd(verdict, "apply", harness_path(harness, "one"));
    assert_status(run, 0);
    run = nzd(verdict, "apply", harness_path(harness, "two"));
    assert_status(run, 5);
    assert_contains(run.err, "counter_legacy calls counter_text:formatter/0, "
                             "which the new code does not have");
}

/* The same of a module that goes as a whole. */
static void a_caller_of_a_removed_module_is_named(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    start(verdict, fixture(verdict, "counter-0.1.0"));
    const char *dir = harness_dir(harness);
    harness_write_file(harness_path(harness, "outside.erl"),
                       "-module(outside).\n-export([more/1]).\n"
                       "more(N) -> counter_legacy:count(N).\n");
    shell(verdict, harness_text(harness, "cd %s && erlc outside.erl", dir));
    beam_node_eval(verdict->node, "{module, _} = code:load_abs(\"%s/outside\")",
                   dir);
    verdict->before = beam_node_eval(verdict->node, LOADED);
    const char *new = fixture(verdict, "counter-0.2.0");
    struct harness_run run = nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err,
                    "nzd: module outside calls counter_legacy:count/1, "
                    "which the new code does not have\n");
    untouched(verdict, run);
    assert_eval(verdict->node, "outside:more(1)", "2");
}

/* --- no bundles --- */

static void not_a_bundle(struct verdict *verdict, const char *path,
                         const char *why)
{
    struct harness_run run = nzd(verdict, "apply", path);
    assert_status(run, 3);
    assert_matches(run.err,
                   harness_text(verdict->harness, "^nzd: %s: .*%s", path, why));
    untouched(verdict, run);
    run = nzd(verdict, "plan", path);
    assert_status(run, 3);
    assert_matches(run.err, why);
    run = offline(verdict, "plan", fixture(verdict, "counter-0.1.0"), path);
    assert_status(run, 3);
    assert_matches(run.err, why);
}

static void no_bundles(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    const char *tarball = fixture(verdict, "counter-0.2.0.tar.gz");
    const char *dir = harness_dir(harness);
    start(verdict, fixture(verdict, "counter-0.1.0"));
    not_a_bundle(verdict, harness_path(harness, "none"),
                 "No such file or directory");
    shell(
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
    const char *bad = fixture(verdict, "counter-0.3.0");
    start(verdict, fixture(verdict, "counter-0.1.0"));
    harness_write_file(config, "hook \"selftest\" {\n phase = post\n call = "
                               "\"counter_check:run\"\n args = {\"quick\", "
                               "\"[{limit,100}]\"}\n timeout = 5s\n}\n");
    struct harness_run run = nzd(verdict, "apply", bad, "--config", config);
    assert_status(run, 6);
    assert_contains(run.out, "hook selftest returned {error,{limit,120}}");

    run = nzd(verdict, "apply", bad, "--config", config);
    assert_status(run, 5);
    assert_contains(run.err, "this bundle failed before, in transaction 1: "
                             "hook selftest returned {error,{limit,120}}");
    assert_contains(run.err, "untouched  nothing was touched\n");
    assert_contains(run.err, "--retry");
    /* The same as a tarball is the same. */
    run = nzd(verdict, "apply", fixture(verdict, "counter-0.3.0.tar.gz"),
              "--config", config);
    assert_status(run, 5);
    assert_int_equal(json_array_size(answer_txns(harness, verdict->node)), 1);

    run = nzd(verdict, "apply", bad, "--config", config, "--retry");
    assert_status(run, 6);
    assert_txn(harness, verdict->node, 2, "rolled_back");
    run = nzd(verdict, "apply", fixture(verdict, "counter-0.2.0"), "--config",
              config);
    assert_status(run, 0);
    /* Once it was good it may come again. */
    run = nzd(verdict, "apply", bad, "--retry");
    assert_status(run, 0);
    run = nzd(verdict, "rollback");
    assert_status(run, 0);
    run = nzd(verdict, "apply", bad);
    assert_status(run, 0);
    assert_eval(verdict->node, "counter_srv:call()", "{\"0.3.0\",1}");
    answer_settled(harness, verdict->node);
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
        real(sticky_modules_are_refused),
        real(damaged_code_is_refused),
        real(a_call_in_flight_is_named),
        real(a_caller_outside_is_named),
        real(a_caller_in_force_is_named),
        real(a_caller_of_a_removed_module_is_named),
        real(no_bundles),
        real(a_failure_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
