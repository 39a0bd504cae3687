/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Structs whose keys change, against what processes hold: Steady.Item of
 * fixture steady has `sum` in version 1, `total` and `count` in version 2. One
 * node holds some in the state of an Agent, deep in other terms, in a process
 * dictionary, in a process that hibernates, and where nobody looks.
 */
struct stage {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

#define ITEM "'Elixir.Steady.Item':'__struct__'()"

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct stage *stage = harness_alloc(harness, sizeof *stage);
    struct beam_node_options options = {.name = "structs"};
    stage->harness = harness;
    stage->config = harness_path(harness, "nzd.conf");
    harness_write_file(stage->config, "");
    stage->node = beam_node_start(harness, &options);
    beam_node_eval(stage->node,
                   "[Elixir] = filelib:wildcard(\"%s/lib/elixir-*/ebin\"), "
                   "true = code:add_pathz(Elixir), true = "
                   "code:add_patha(\"%s\"), "
                   "{ok, _} = application:ensure_all_started(steady)",
                   harness_fixture(harness, "greeter-0.1.0"),
                   harness_fixture(harness, "steady-1/lib/steady-1.0.0/ebin"));
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    harness_close(stage->harness);
    return 0;
}

static void hold(struct stage *stage)
{
    beam_node_eval(
        stage->node,
        "{ok, P} = 'Elixir.Agent':start(fun() -> [{deep, #{in => " ITEM
        "}}, x] end), register(items, P), "
        "{ok, Q} = 'Elixir.Agent':start(fun() -> " ITEM
        " end, [{hibernate_after, 1}]), register(sleeper, Q), "
        "Self = self(), spawn(fun() -> put(mine, {" ITEM "}), "
        "register(noter, self()), ets:new(table, [named_table]), "
        "ets:insert(table, {item, " ITEM "}), Self ! done, "
        "timer:sleep(infinity) end), receive done -> ok end");
    beam_node_wait_for(stage->node,
                       "element(2, process_info(whereis(sleeper), "
                       "current_function))",
                       "{erlang,hibernate,3}", 2000);
}

#define nzd(stage, command, ...)                                               \
    harness_nzd((stage)->harness, (stage)->node, command, "--config",          \
                (stage)->config, __VA_ARGS__)
#define NEW(stage) harness_fixture((stage)->harness, "steady-2")

/* Some are held by nobody: it is still said what changed, and where nobody was
 * looked for. */
static void a_plan_without_holders(void **state)
{
    struct stage *stage = *state;
    struct harness_run run = nzd(stage, "plan", NEW(stage), NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^  struct +Elixir.Steady.Item: keys count and "
                            "total added, key sum removed$");
    assert_lacks(run.out, "holds one");
    assert_matches(run.out,
                   "^ +looked at [0-9]+ processes; not at ETS, messages");
}

static void a_plan_names_who_holds_some(void **state)
{
    struct stage *stage = *state;
    hold(stage);
    struct harness_run run = nzd(stage, "plan", NEW(stage), NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^ +<[0-9.]+> items holds one in its state$");
    assert_matches(run.out,
                   "^ +<[0-9.]+> noter holds one in its process dictionary$");
    assert_matches(run.out, "^ +looked at [0-9]+ processes; not at ETS, "
                            "messages, .*[0-9]+ that hibernate");
    /* It was not woken. */
    assert_eval(stage->node,
                "element(2, process_info(whereis(sleeper), current_function))",
                "{erlang,hibernate,3}");
    run = nzd(stage, "plan", NEW(stage), "--json", NULL);
    assert_status(run, 0);
    json_t *all =
        json_object_get(answer_object(stage->harness, run.out), "structs");
    assert_int_equal(json_array_size(all), 1);
    json_t *one = json_array_get(all, 0);
    assert_string_equal(answer_text(one, "module"), "Elixir.Steady.Item");
    assert_int_equal(answer_number(one, "count"), 2);
    assert_int_equal(json_array_size(json_object_get(one, "holders")), 2);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(one, "removed"), 0)),
        "sum");
}

/* One that holds some twice is one holder. */
static void a_process_counts_once(void **state)
{
    struct stage *stage = *state;
    beam_node_eval(stage->node,
                   "{ok, P} = 'Elixir.Agent':start(fun() -> put(mine, " ITEM
                   "), " ITEM " end), register(both, P)");
    struct harness_run run = nzd(stage, "plan", NEW(stage), NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^ +<[0-9.]+> both holds one in its state and "
                            "process dictionary$");
    run = nzd(stage, "plan", NEW(stage), "--json", NULL);
    json_t *one = json_array_get(
        json_object_get(answer_object(stage->harness, run.out), "structs"), 0);
    assert_int_equal(answer_number(one, "count"), 3);
    beam_node_eval(stage->node, "exit(whereis(both), kill)");
}

/* Asked for its state it would begin its timeout anew. */
static void who_waits_with_a_timeout_is_not_asked(void **state)
{
    struct stage *stage = *state;
    beam_node_eval(
        stage->node,
        "Self = self(), proc_lib:spawn(fun() -> register(timed, self()), "
        "Self ! ready, gen_server:enter_loop('Elixir.Agent.Server', [], {" ITEM
        "}, 600000) end), receive ready -> ok end, "
        "Tracer = spawn(fun() -> receive {trace, _, 'receive', _} -> "
        "register(asked, self()), timer:sleep(infinity) end end), "
        "erlang:trace(whereis(timed), true, ['receive', {tracer, Tracer}])");
    struct harness_run run = nzd(stage, "plan", NEW(stage), NULL);
    assert_status(run, 0);
    assert_lacks(run.out, " timed holds");
    assert_matches(run.out, " 1 that wait with a timeout");
    assert_eval(stage->node, "whereis(asked)", "undefined");
    beam_node_eval(stage->node, "exit(whereis(timed), kill)");
}

/* A heap that is large is not copied, and a term that is too much is left. */
static void what_is_large_is_left_out(void **state)
{
    struct stage *stage = *state;
    beam_node_eval(stage->node, "{ok, P} = 'Elixir.Agent':start(fun() -> "
                                "{lists:seq(1, 500000), " ITEM "} end), "
                                "register(large, P)");
    struct harness_run run = nzd(stage, "plan", NEW(stage), NULL);
    assert_status(run, 0);
    assert_lacks(run.out, " large holds");
    assert_matches(run.out, "[0-9]+ with large heaps");
    beam_node_eval(stage->node, "exit(whereis(large), kill)");
}

static void apply_and_rollback_warn(void **state)
{
    struct stage *stage = *state;
    struct harness_run run = nzd(stage, "apply", NEW(stage), "-q", NULL);
    assert_status(run, 0);
    assert_matches(run.err,
                   "warning: struct Elixir.Steady.Item: keys count and total "
                   "added, key sum removed; <[0-9.]+> [a-z]+ holds one in its "
                   "(state|process dictionary), and so does 1 more \\(looked "
                   "at [0-9]+ processes");
    run = nzd(stage, "journal", "show", "1", NULL);
    assert_contains(run.out, "struct");
    assert_contains(run.out, "Elixir.Steady.Item: keys count and total added");
    /* Back again the struct of Steady goes, too: its server's state is one, and
     * is converted. */
    run = nzd(stage, "rollback", "--dry-run", NULL);
    assert_status(run, 0);
    assert_contains(run.out, "Elixir.Steady: is no struct any more");
    assert_matches(run.out, "<[0-9.]+> Elixir.Steady holds one in its state, "
                            "which its code_change converts");
    assert_matches(run.out, "Elixir.Steady.Item: key sum added, keys count and "
                            "total removed");
    run = nzd(stage, "rollback", NULL);
    assert_status(run, 0);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plan_without_holders),
        TEST(a_plan_names_who_holds_some),
        TEST(a_process_counts_once),
        TEST(who_waits_with_a_timeout_is_not_asked),
        TEST(what_is_large_is_left_out),
        TEST(apply_and_rollback_warn),
    };

    return cmocka_run_group_tests_name("structs", tests, setup, teardown);
}
