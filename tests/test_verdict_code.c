/* SPDX-License-Identifier: Apache-2.0 */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The same of code: what the VM does not take, and calls without a target. */

/* --- what the VM does not take --- */

static void sticky_modules_are_refused(void **state)
{
    struct verdict *verdict = *state;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    beam_node_eval(verdict->node, "ok = code:stick_dir(filename:dirname("
                                  "code:which(counter_text)))");
    verdict->before = beam_node_eval(verdict->node, LOADED);
    const char *new = verdict_fixture(verdict, "counter-0.2.0");
    struct harness_run run = verdict_nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  restart-vm +counter_text +sticky directory$");
    run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_matches(run.err, "verdict restart-vm is over the limit migrate: "
                            "counter_");
    verdict_untouched(verdict, run);
}

/* A right header and instructions that mean nothing. */
static void damaged_code_is_refused(void **state)
{
    struct verdict *verdict = *state;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    const char *new = verdict_copy(verdict, "counter-0.2.0", "new");
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
    struct harness_run run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, " refuses module counter_text: badfile");
    assert_contains(run.err, "untouched  no code was loaded");
    assert_eval(verdict->node, LOADED, verdict->before);
    assert_txn(verdict->harness, verdict->node, 1, "aborted");
    run = verdict_nzd(verdict, "apply",
                      verdict_fixture(verdict, "counter-0.2.0"));
    assert_status(run, 0);
    assert_txn(verdict->harness, verdict->node, 2, "committed");
    answer_settled(verdict->harness, verdict->node);
}

/* --- what runs, and is nowhere to be had --- */

static void refused_without(struct verdict *verdict, const char *why)
{
    struct harness_run run = verdict_nzd(
        verdict, "apply", verdict_fixture(verdict, "counter-0.2.0"));
    assert_status(run, 5);
    assert_contains(run.err,
                    harness_text(verdict->harness,
                                 "nzd: the running code of counter_text is "
                                 "nowhere to be had: %s",
                                 why));
    assert_contains(run.err, "load counter_text from its file, or restart");
    verdict_untouched(verdict, run);
}

/* Writes what the expression makes of the chunks of the file F. */
static void rewrite(struct verdict *verdict, const char *file, const char *as)
{
    beam_node_eval(verdict->node,
                   "F = \"%s\", {ok, counter_text, Cs} = "
                   "beam_lib:all_chunks(F), ok = file:write_file(F, %s)",
                   file, as);
}

/* An undo could not put it back. */
static void running_code_without_a_file(void **state)
{
    struct verdict *verdict = *state;
    const char *base = verdict_copy(verdict, "counter-0.1.0", "base");
    const char *file = harness_text(
        verdict->harness, "%s/lib/counter-0.1.0/ebin/counter_text.beam", base);
    const char *other = "its file holds other code";
    verdict_start(verdict, base);
    verdict_shell(verdict,
                  harness_text(verdict->harness, "cp %s %s.kept", file, file));
    rewrite(verdict, file,
            "element(2, beam_lib:build_module(lists:keyreplace(\"Attr\", 1, "
            "Cs, {\"Attr\", term_to_binary([{vsn, [7]}])})))");
    refused_without(verdict, other);
    rewrite(verdict, file, "binary:part(element(2, file:read_file(F)), 0, 99)");
    refused_without(verdict, other);
    verdict_shell(
        verdict, harness_text(verdict->harness,
                              "cp %s/lib/counter-0.3.0/ebin/counter_text.beam "
                              "%s",
                              verdict_fixture(verdict, "counter-0.3.0"), file));
    refused_without(verdict, other);
    verdict_shell(verdict, harness_text(verdict->harness, "rm %s", file));
    refused_without(verdict, "it has no file");
    verdict_shell(verdict,
                  harness_text(verdict->harness, "mv %s.kept %s", file, file));
    struct harness_run run = verdict_nzd(
        verdict, "apply", verdict_fixture(verdict, "counter-0.2.0"));
    assert_status(run, 0);
}

/* Loads other code of counter_text in the agent's way, behind the inventory
 * that it has given; tries that are too late change nothing. */
static void load_meanwhile(struct verdict *verdict)
{
    beam_node_eval(
        verdict->node,
        "spawn(fun() -> Agent = whereis(nzd), "
        "erlang:trace(Agent, true, ['receive']), "
        "receive {trace, Agent, 'receive', {nzd, _, _, _, base_files}} -> "
        "true = erlang:suspend_process(Agent), "
        "{module, _} = code:load_abs(\"%s/lib/counter-0.3.0/ebin/"
        "counter_text\"), true = code:soft_purge(counter_text), "
        "erlang:resume_process(Agent) end end)",
        verdict_fixture(verdict, "counter-0.3.0"));
}

static void code_that_is_loaded_meanwhile(void **state)
{
    struct verdict *verdict = *state;
    struct harness_run run;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    const char *new = verdict_fixture(verdict, "counter-0.2.0");
    run = verdict_nzd(verdict, "status");
    assert_status(run, 0);
    for (int tries = 0; tries < 10; tries++) {
        load_meanwhile(verdict);
        run = verdict_nzd(verdict, "plan", new);
        if (run.status != 0)
            break;
        beam_node_eval(verdict->node, "code:purge(counter_text), {module, _} = "
                                      "code:load_file(counter_text)");
    }
    assert_status(run, 5);
    assert_contains(run.err, "nzd: other code of counter_text was loaded while "
                             "the plan was made\n");
    assert_contains(run.err, "untouched  nothing was touched");
    run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 0);
}

/* --- gaps --- */

static void a_call_in_flight_is_named(void **state)
{
    struct verdict *verdict = *state;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.2.0"));
    const char *new = verdict_fixture(verdict, "counter-0.2.0-gap");
    struct harness_run run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, "nzd: code in flight of counter_http calls "
                             "counter_text:greeting/0, which the new code "
                             "does not have\n");
    assert_contains(run.err, "--accept-gap");
    verdict_untouched(verdict, run);
    run = verdict_nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  gap +old code of counter_http calls "
                            "counter_text:greeting/0, gone in the new code$");
    run = verdict_offline(verdict, "plan",
                          verdict_fixture(verdict, "counter-0.2.0"), new);
    assert_status(run, 0);
    assert_contains(run.out, "counter_text:greeting/0");

    run = verdict_nzd(verdict, "apply", new, "--accept-gap");
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
    verdict_shell(verdict,
                  harness_text(harness, "cd %s && erlc %s.erl", dir, name));
    beam_node_eval(verdict->node, "{module, _} = code:load_abs(\"%s/%s\")", dir,
                   name);
}

/* Who calls from outside of the bundle stays as it is, and would fail at each
 * call; who has a fun of it, too. */
static void a_caller_outside_is_named(void **state)
{
    struct verdict *verdict = *state;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.2.0"));
    outside(verdict, "outside", "counter_text:greeting()");
    outside(verdict, "outside_fun", "[{fun counter_text:greeting/0}]");
    outside(verdict, "outside_apply", "apply(counter_text, greeting, [])");
    outside(verdict, "outside_other", "[{fun counter_text:greeting/7}]");
    verdict->before = beam_node_eval(verdict->node, LOADED);

    const char *new = verdict_fixture(verdict, "counter-0.2.0-gap");
    struct harness_run run = verdict_nzd(verdict, "plan", new);
    assert_status(run, 0);
    assert_matches(run.out, "^  gap +outside calls counter_text:greeting/0, "
                            "gone in the new code$");
    assert_matches(run.out, "^  gap +outside_fun calls counter_text:greeting");
    assert_matches(run.out, "^  gap +outside_apply calls counter_text:greet");
    assert_lacks(run.out, "outside_other");
    run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err, "counter_text:greeting/0, which the new code "
                             "does not have (and others)");
    verdict_untouched(verdict, run);
    assert_eval(verdict->node, "outside:say()", "\"hello\"");
}

/* Its file does not call it: what an earlier apply put in force does. */
static void a_caller_in_force_is_named(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    verdict_shell(
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
            harness_dir(harness), verdict_fixture(verdict, "counter-0.1.0")));
    struct harness_run run =
        verdict_nzd(verdict, "apply", harness_path(harness, "one"));
    assert_status(run, 0);
    run = verdict_nzd(verdict, "apply", harness_path(harness, "two"));
    assert_status(run, 5);
    assert_contains(run.err, "counter_legacy calls counter_text:formatter/0, "
                             "which the new code does not have");
}

/* The same of a module that goes as a whole. */
static void a_caller_of_a_removed_module_is_named(void **state)
{
    struct verdict *verdict = *state;
    struct harness *harness = verdict->harness;
    verdict_start(verdict, verdict_fixture(verdict, "counter-0.1.0"));
    const char *dir = harness_dir(harness);
    harness_write_file(harness_path(harness, "outside.erl"),
                       "-module(outside).\n-export([more/1]).\n"
                       "more(N) -> counter_legacy:count(N).\n");
    verdict_shell(verdict,
                  harness_text(harness, "cd %s && erlc outside.erl", dir));
    beam_node_eval(verdict->node, "{module, _} = code:load_abs(\"%s/outside\")",
                   dir);
    verdict->before = beam_node_eval(verdict->node, LOADED);
    const char *new = verdict_fixture(verdict, "counter-0.2.0");
    struct harness_run run = verdict_nzd(verdict, "apply", new);
    assert_status(run, 5);
    assert_contains(run.err,
                    "nzd: module outside calls counter_legacy:count/1, "
                    "which the new code does not have\n");
    verdict_untouched(verdict, run);
    assert_eval(verdict->node, "outside:more(1)", "2");
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, verdict_set_up, verdict_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(sticky_modules_are_refused),
        real(damaged_code_is_refused),
        real(running_code_without_a_file),
        real(code_that_is_loaded_meanwhile),
        real(a_call_in_flight_is_named),
        real(a_caller_outside_is_named),
        real(a_caller_in_force_is_named),
        real(a_caller_of_a_removed_module_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
