/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/*
 * Supervisors whose specifications change, Elixir's and OTP's: what they take
 * over in the running node, which children come and go, in which order, and
 * that no other child ends. One node; each test begins and ends with version 1.
 */
struct trees {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

#define START(name)                                                            \
    "{ok, _} = 'Elixir.DynamicSupervisor':start_child('Elixir.Trees.Dynamic'," \
    " #{id => " name ", start => {'Elixir.Trees.Worker', start_link, [" name   \
    "]}})"

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct trees *trees = harness_alloc(harness, sizeof *trees);
    trees->harness = harness;
    trees->config = harness_path(harness, "nzd.conf");
    harness_write_file(trees->config, "");
    trees->node = beam_node_start(
        harness, &(struct beam_node_options){
                     .release = harness_fixture(harness, "greeter-0.1.0"),
                     .name = "trees",
                     .interactive = true});
    beam_node_eval(
        trees->node,
        "true = code:add_patha(\"%s\"), ok = "
        "application:start(trees), " START("a") ", " START(
            "b") ", "
                 "{ok, _} = supervisor:start_child('Elixir.Trees.Simple', "
                 "[s]), 'Elixir.Task.Supervisor':start_child("
                 "'Elixir.Trees.Tasks', timer, sleep, [infinity])",
        harness_fixture(harness, "trees-1/lib/trees-1.0.0/ebin"));
    *state = trees;
    return 0;
}

static int teardown(void **state)
{
    struct trees *trees = *state;
    harness_close(trees->harness);
    return 0;
}

/* --- words --------------------------------------------------------------- */

static struct harness_run apply(struct trees *trees)
{
    return harness_nzd(trees->harness, trees->node, "apply", "--retry",
                       harness_fixture(trees->harness, "trees-2"), "--config",
                       trees->config, NULL);
}

static void goes(struct trees *trees)
{
    struct harness_run run = apply(trees);
    assert_status(run, 0);
}

static void goes_back(struct trees *trees)
{
    struct harness_run run =
        harness_nzd(trees->harness, trees->node, "rollback", NULL);
    assert_status(run, 0);
}

/* As they are started. */
#define CHILDREN                                                               \
    "[I || {I, _, _, _} <- "                                                   \
    "lists:reverse(supervisor:which_children('Elixir.Trees.Top'))]"
static const char children_1[] =
    "[first,'Elixir.Trees.Dynamic','Elixir.Trees.Tasks','Elixir.Trees.Parts',"
    "'Elixir.Trees.Simple',last]";
static const char children_2[] =
    "[first,'Elixir.Trees.Nested','Elixir.Trees.Dynamic',middle,"
    "'Elixir.Trees.Tasks','Elixir.Trees.Parts','Elixir.Trees.Simple',last]";

#define SPECS                                                                  \
    "begin T = sys:get_state('Elixir.Trees.Top'), "                            \
    "S = sys:get_state('Elixir.Trees.Simple'), "                               \
    "{ok, C} = supervisor:get_childspec('Elixir.Trees.Simple', simple), "      \
    "{ok, K} = supervisor:get_childspec('Elixir.Trees.Top', "                  \
    "'Elixir.Trees.Tasks'), {element(3, T), element(6, T), element(6, S), "    \
    "maps:get(shutdown, C), maps:get(max_children, "                           \
    "sys:get_state('Elixir.Trees.Dynamic')), element(3, maps:get(start, K))} " \
    "end"
static const char specs_1[] =
    "{one_for_one,3,1,1000,10,[[{name,'Elixir.Trees.Tasks'},"
    "{max_children,10}]]}";
static const char specs_2[] =
    "{rest_for_one,6,2,2000,20,[[{name,'Elixir.Trees.Tasks'},"
    "{max_children,20}]]}";

/* Those of version 1, who are to live on. */
#define ALL                                                                    \
    "lists:sort([P || P <- processes(), {dictionary, D} <- "                   \
    "[process_info(P, dictionary)], [A | _] <- "                               \
    "[proplists:get_value('$ancestors', D, [])], is_atom(A), "                 \
    "lists:prefix(\"Elixir.Trees\", atom_to_list(A))])"
#define VALUES                                                                 \
    "lists:usort([gen_server:call(P, value) || P <- processes(), "             \
    "{dictionary, D} <- [process_info(P, dictionary)], "                       \
    "{'Elixir.Trees.Worker', _, _} <- "                                        \
    "[proplists:get_value('$initial_call', D)]])"
static const char values_1[] =
    "[{1,{1,a}},{1,{1,b}},{1,{1,first}},{1,{1,last}},{1,{1,part}},{1,{1,s}}]";
static const char values_2[] =
    "[{2,{2,a}},{2,{2,b}},{2,{2,first}},{2,{2,last}},{2,{2,middle}},"
    "{2,{2,nested}},{2,{2,part}},{2,{2,s}}]";

static void is_version_1(struct trees *trees, const char *all)
{
    assert_eval(trees->node, CHILDREN, children_1);
    assert_eval(trees->node, SPECS, specs_1);
    assert_eval(trees->node, VALUES, values_1);
    assert_string_equal(beam_node_eval(trees->node, ALL), all);
    beam_node_wait_unsuspended(trees->node);
}

/* --- tests --------------------------------------------------------------- */

static void there_and_back(void **state)
{
    struct trees *trees = *state;
    const char *all = beam_node_eval(trees->node, ALL);
    is_version_1(trees, all);
    goes(trees);
    assert_eval(trees->node, CHILDREN, children_2);
    assert_eval(trees->node, SPECS, specs_2);
    assert_eval(trees->node, VALUES, values_2);
    assert_eval(trees->node,
                "[I || {I, _, _, _} <- lists:reverse(supervisor:which_children("
                "'Elixir.Trees.Nested'))]",
                "['Elixir.Trees.Dynamic2',nested]");
    /* Nobody has ended. */
    assert_eval(
        trees->node,
        harness_text(trees->harness,
                     "[ok || P <- [list_to_pid(T) || T <- string:lexemes("
                     "\"%s\", \"[],\")], not is_process_alive(P)]",
                     all),
        "[]");
    goes_back(trees);
    is_version_1(trees, all);
}

/* The order of the children is that of the new init: what stands behind one
 * that ends starts anew with it, what stands before it does not. */
static void rest_for_one(void **state)
{
    struct trees *trees = *state;
    goes(trees);
    assert_eval(trees->node,
                "begin P = fun() -> [X || {_, X, _, _} <- "
                "lists:reverse(supervisor:which_children('Elixir.Trees.Top'))] "
                "end, Before = P(), exit(lists:nth(4, Before), kill), "
                "timer:sleep(100), [A =:= B || {A, B} <- lists:zip(Before, "
                "P())] end",
                "[true,true,true,false,false,false,false,false]");
    goes_back(trees);
    assert_eval(trees->node, CHILDREN, children_1);
    assert_eval(trees->node, SPECS, specs_1);
    /* What went with them is none of ours. */
    beam_node_eval(trees->node,
                   "{ok, _} = supervisor:start_child('Elixir.Trees.Simple', "
                   "[s]), 'Elixir.Task.Supervisor':start_child("
                   "'Elixir.Trees.Tasks', timer, sleep, [infinity])");
}

static void a_nested_one_does_not_start(void **state)
{
    struct trees *trees = *state;
    const char *all = beam_node_eval(trees->node, ALL);
    beam_node_eval(trees->node,
                   "register('Elixir.Trees.Dynamic2', spawn(timer, sleep, "
                   "[infinity]))");
    struct harness_run run = apply(trees);
    assert_status(run, 6);
    assert_contains(run.out, "Trees.Nested");
    is_version_1(trees, all);
    beam_node_eval(trees->node, "exit(whereis('Elixir.Trees.Dynamic2'), kill)");
}

static void a_hook_says_no(void **state)
{
    struct trees *trees = *state;
    const char *all = beam_node_eval(trees->node, ALL);
    harness_write_file(trees->config,
                       "hook \"no\" {\n phase = post\n command = "
                       "{\"/bin/false\"}\n timeout = 10s\n}\n");
    struct harness_run run = apply(trees);
    assert_status(run, 6);
    harness_write_file(trees->config, "");
    is_version_1(trees, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(rest_for_one),
        cmocka_unit_test(a_nested_one_does_not_start),
        cmocka_unit_test(a_hook_says_no),
    };
    return cmocka_run_group_tests_name("trees", tests, setup, teardown);
}
