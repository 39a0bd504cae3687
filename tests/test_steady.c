/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Stateful servers under load over many upgrades and downgrades: fixture steady
 * checks each message by its number. And one, a hundred, ten thousand processes
 * of fixture moves, of which one in the middle fails. One node runs both.
 *
 * By itself the first takes a few rounds; NZD_CRASH=full (`make crash`) takes
 * them all.
 */
#define ROUNDS      3 /* of an upgrade and a downgrade each */
#define ROUNDS_FULL 50
#define CLIENTS     1 /* of each of five servers */
#define WARMING     1 /* rounds before anything is counted */
/* However many rounds: what is first seen in one of them. */
#define ATOMS 20
/* Bytes: garbage that is not collected yet, and tables that grow by doubling.
 */
#define MEMORY (8 << 20)

struct steady {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

static void load(struct steady *steady, const char *project)
{
    beam_node_eval(
        steady->node,
        "true = code:add_patha(\"%s\"), {ok, _} = "
        "application:ensure_all_started(%s), {ok, Mods} = "
        "application:get_key(%s, modules), "
        "[{module, M} = code:ensure_loaded(M) || M <- Mods], ok",
        harness_fixture(steady->harness,
                        harness_text(steady->harness, "%s-1/lib/%s-1.0.0/ebin",
                                     project, project)),
        project, project);
}

static int group_setup(void **state)
{
    struct harness *harness = harness_open();
    struct steady *steady = harness_alloc(harness, sizeof *steady);
    struct beam_node_options options = {.name = "steady"};
    steady->harness = harness;
    steady->config = harness_path(harness, "nzd.conf");
    harness_write_file(steady->config, "");
    steady->node = beam_node_start(harness, &options);
    beam_node_eval(steady->node,
                   "[Elixir] = filelib:wildcard(\"%s/lib/elixir-*/ebin\"), "
                   "true = code:add_pathz(Elixir)",
                   harness_fixture(harness, "greeter-0.1.0"));
    load(steady, "steady");
    load(steady, "moves");
    *state = steady;
    return 0;
}

static int group_teardown(void **state)
{
    struct steady *steady = *state;
    harness_close(steady->harness);
    return 0;
}

#define apply(steady, bundle, ...)                                             \
    harness_nzd((steady)->harness, (steady)->node, "apply", "--retry", "-q",   \
                harness_fixture((steady)->harness, bundle), "--config",        \
                (steady)->config, __VA_ARGS__)
#define rollback(steady, ...)                                                  \
    harness_nzd((steady)->harness, (steady)->node, "rollback", "-q",           \
                "--config", (steady)->config, __VA_ARGS__)

/* --- under load ---------------------------------------------------------- */

static int number(struct steady *steady, const char *expression)
{
    return atoi(beam_node_eval(steady->node, "%s", expression));
}

/* Each client has had answers since. */
static void wait_for_load(struct steady *steady)
{
    int sent = number(steady, "steady_client:sent()");
    for (int i = 0; number(steady, "steady_client:sent()") < sent + 100; i++)
        assert_true(i < 10000);
}

static void round_trip(struct steady *steady)
{
    struct harness_run run = apply(steady, "steady-2", NULL);
    assert_status(run, 0);
    wait_for_load(steady);
    run = rollback(steady, NULL);
    assert_status(run, 0);
    wait_for_load(steady);
}

#define PIDS                                                                   \
    "[whereis(N) || N <- [steady_sup, steady_srv, steady_machine, "            \
    "steady_events, 'Elixir.Steady', 'Elixir.Steady.Agent']]"
#define MEMORY_NOW                                                             \
    "[garbage_collect(P) || P <- processes()], erlang:memory(total)"

/* Whom the agent has started may end a moment later. */
#define PROCESSES                                                              \
    "length([P || P <- processes(), {initial_call, {M, _, _}} <- "             \
    "[process_info(P, initial_call)], "                                        \
    "not lists:prefix(\"nzd_agent\", atom_to_list(M))])"
#define AGENTS                                                                 \
    "length([P || P <- processes(), {initial_call, {M, _, _}} <- "             \
    "[process_info(P, initial_call)], "                                        \
    "lists:prefix(\"nzd_agent\", atom_to_list(M))])"

struct sizes {
    int atoms;
    int processes;
    int ports;
    int modules;
    int memory;
};

static struct sizes measure(struct steady *steady)
{
    return (struct sizes){
        .atoms = number(steady, "erlang:system_info(atom_count)"),
        .processes = number(steady, PROCESSES),
        .ports = number(steady, "erlang:system_info(port_count)"),
        .modules = number(steady, "length(code:all_loaded())"),
        .memory = number(steady, MEMORY_NOW),
    };
}

/* Calls each answered once and right, casts counted, order kept, nobody
 * restarted, nothing logged; and the node is no larger than it was. */
static void loses_nothing_over_many_rounds(void **state)
{
    struct steady *steady = *state;
    const char *how = getenv("NZD_CRASH");
    int rounds = how && !strcmp(how, "full") ? ROUNDS_FULL : ROUNDS;
    unsigned answered = 0, new_code = 0;
    const char *pids = beam_node_eval(steady->node, PIDS);
    beam_node_eval(steady->node, "steady_client:start(%d)", CLIENTS);
    for (int i = 0; i < WARMING; i++)
        round_trip(steady);
    struct sizes before = measure(steady);
    for (int i = 0; i < rounds; i++)
        round_trip(steady);
    struct sizes after = measure(steady);
    const char *end = beam_node_eval(steady->node, "steady_client:stop()");
    assert_int_equal(sscanf(end, "{%u,%u,", &answered, &new_code), 2);
    print_message("%d rounds: %u answers, %u of them by the new code, %d "
                  "atoms, %d KB more\n",
                  rounds, answered, new_code, after.atoms - before.atoms,
                  (after.memory - before.memory) / 1024);
    assert_true(new_code > 0 && answered > new_code);
    assert_string_equal(
        end, harness_text(steady->harness, "{%u,%u,[],0}", answered, new_code));
    assert_eval(steady->node, PIDS, pids);
    assert_eval(steady->node,
                "[M || {M, _} <- code:all_loaded(), lists:prefix("
                "\"nzd_shadow\", atom_to_list(M))]",
                "[]");
    assert_true(after.atoms - before.atoms <= ATOMS);
    assert_true(after.memory - before.memory <= MEMORY);
    assert_int_equal(after.processes, before.processes);
    assert_int_equal(after.ports, before.ports);
    assert_int_equal(after.modules, before.modules);
    /* The agent and its guard; no old code. */
    beam_node_wait_for(steady->node, AGENTS, "2", 5000);
    assert_eval(steady->node,
                "{ok, Mods} = application:get_key(steady, modules), "
                "[M || M <- Mods, erlang:check_old_code(M)]",
                "[]");
}

/* --- one, a hundred, ten thousand ---------------------------------------- */

#define STATES                                                                 \
    "erlang:phash2([sys:get_state(P) || P <- [whereis(moves_srv) | " ALL "]])"
#define ALL "[P || {_, P, _, _} <- supervisor:which_children(moves_pool)]"

/* With the one that the supervisor starts by itself. */
static void have(struct steady *steady, int count)
{
    beam_node_eval(steady->node, "moves_do:start(%d - 1 - length(" ALL "))",
                   count);
    /* In the middle of them. */
    beam_node_eval(steady->node,
                   "persistent_term:put(unlucky, case " ALL " of [] -> "
                   "whereis(moves_srv); Pids -> "
                   "lists:nth((length(Pids) + 1) div 2, Pids) end)");
}

/* Every one of them answers out of this version, and nobody is held. */
static void run_version(struct steady *steady, int version)
{
    beam_node_check(
        steady->node,
        "lists:usort([V || {V, _} <- [gen_server:call(moves_srv, value) | "
        "moves_do:all(value)]])",
        harness_text(steady->harness, "[%d]", version), __FILE__, __LINE__);
    beam_node_wait_unsuspended(steady->node);
    assert_eval(steady->node,
                "[P || P <- processes(), {dictionary, D} <- "
                "[process_info(P, dictionary)], {{'$nzd_kept', _}, _} <- D]",
                "[]");
}

/* What the one in the middle does in its code_change. */
static const struct {
    const char *does;
    const char *why;
} failures[] = {
    {"error(not_today)", "not_today"},
    {"throw({error, {so, sorry}})", "\\{error,\\{so,sorry\\}\\}|"
                                    "\\{so,sorry\\}"},
    {"receive go_on -> ok end", "did not return within"},
    {"exit(not_today)", "not_today"},
};

static void fail_in_the_middle(struct steady *steady, bool up, int count)
{
    const char *before = beam_node_eval(steady->node, STATES);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        /* What does not hang on their number is seen with fewer of them. */
        if (count > 1000 && i != (up ? 0 : 2))
            continue;
        /* A process that hangs is waited for as long as all the others. */
        const char *limit = count > 1000 ? "--timeout=3s" : "--timeout=2s";
        beam_node_eval(steady->node,
                       "moves_do:set(moves_srv, fun(_) -> case "
                       "persistent_term:get(unlucky) =:= self() of true -> %s; "
                       "false -> ok "
                       "end end)",
                       failures[i].does);
        struct harness_run run = up ? apply(steady, "moves-2", limit, NULL)
                                    : rollback(steady, limit, NULL);
        assert_status(run, 6);
        assert_matches(run.out,
                       harness_text(steady->harness,
                                    "<[0-9.]+>[a-z_ ]*: code_change of "
                                    "moves_srv: .*(%s)",
                                    failures[i].why));
        beam_node_eval(
            steady->node,
            "moves_do:clear(), persistent_term:get(unlucky) ! go_on");
        run_version(steady, up ? 1 : 2);
        assert_eval(steady->node, STATES, before);
    }
}

static void up_and_down(struct steady *steady, int count)
{
    have(steady, count);
    const char *first = beam_node_eval(steady->node, STATES);
    fail_in_the_middle(steady, true, count);
    struct harness_run run = apply(steady, "moves-2", NULL);
    assert_status(run, 0);
    run_version(steady, 2);
    fail_in_the_middle(steady, false, count);
    run = rollback(steady, NULL);
    assert_status(run, 0);
    run_version(steady, 1);
    assert_eval(steady->node, STATES, first);
}

static void one_process(void **state)
{
    up_and_down(*state, 1);
}

static void a_hundred(void **state)
{
    up_and_down(*state, 100);
}

static void ten_thousand(void **state)
{
    up_and_down(*state, 10000);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(loses_nothing_over_many_rounds),
        TEST(one_process),
        TEST(a_hundred),
        TEST(ten_thousand),
    };

    return cmocka_run_group_tests_name("steady", tests, group_setup,
                                       group_teardown);
}
