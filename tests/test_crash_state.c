/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes of each kind migrate while somebody never stops asking them, and
 * nzd, the agent, the VM or the link between them is ended at each point: in an
 * apply, in a rollback, in one whose hook says no, whose code_change fails, or
 * hangs; in a soak and in a rehearsal. Behind it the code and each state are
 * old, or both are new, with the count that the client knows; nobody is dead,
 * suspended or has lost a message; and the children of a changed supervisor
 * are those of its code.
 */
#include "lanes.h"
#include "sides.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of servers in the pool. */
#define WORKERS  8
#define LIMIT_MS 60000

#define MODULES                                                                \
    "[moves_do, moves_event, moves_late, moves_loop, moves_machine, "          \
    "moves_pool, moves_srv, moves_sup]"
#define PATIENT "--wait=20s"

/* Has code_change of the module do this; V is the version it is called with. */
#define CHANGE(module, body)                                                   \
    "moves_do:set(" module ", fun(V) -> V =/= 1 orelse " body " end)"

/* One that has been asked nothing yet. */
static void begin(struct sides *sides)
{
    struct sweep *sweep = sides->sweep;
    const char *beam = getenv("NZD_TEST_BEAM");
    beam_node_eval(
        sweep->node,
        "true = code:add_patha(\"%s\"), "
        "[{module, M} = code:load_file(M) || M <- " MODULES "], "
        "nzd_test_ctl:load(\"%s/nzd_test_clients\"), "
        "ok = application:start(moves), ok = moves_do:start(%d), "
        "persistent_term:put(nzd_test_well, true), "
        "nzd_test_clients:start()",
        harness_fixture(sweep->harness, "moves-1/lib/moves-1.0.0/ebin"),
        beam ? beam : "build/tests/beam", WORKERS);
}

static void open_on(struct sides *sides, struct sweep *sweep,
                    struct beam_node_options options)
{
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    options.name = "moves";
    options.arguments = arguments;
    harness_write_file(sweep->config, "hook \"well\" {\n"
                                      "  phase = post\n"
                                      "  call = \"persistent_term:get\"\n"
                                      "  args = {\"nzd_test_well\", \"true\"}\n"
                                      "}\n"
                                      "soak {\n before = 200ms\n}\n");
    sweep->node = beam_node_start(sweep->harness, &options);
    const char *bundle = harness_fixture(sweep->harness, "moves-2");
    *sides = (struct sides){
        .sweep = sweep,
        .tells = "nzd_test_clients:tells()",
        .values = {"old", "new"},
        .ways =
            {{"rollback", NULL, {"rollback", "--to=0", PATIENT}, NULL, 0},
             {"apply", NULL, {"apply", bundle, "--retry", PATIENT}, NULL, 0}},
        .restarted = begin,
        .limit_ms = LIMIT_MS,
    };
    begin(sides);
}

static int setup(void **state)
{
    struct sweep *sweep = sweep_open_bare();
    struct sides *sides = harness_alloc(sweep->harness, sizeof *sides);
    open_on(sides, sweep, (struct beam_node_options){0});
    *state = sides;
    return 0;
}

static const char *why_not;

static int setup_far(void **state)
{
    if (why_not)
        return 0;
    struct sweep *sweep = sweep_open_bare();
    struct sides *sides = harness_alloc(sweep->harness, sizeof *sides);
    struct network *network = network_open(sweep->harness);
    open_on(sides, sweep,
            (struct beam_node_options){.address = NETWORK_ADDRESS,
                                       .net_ticktime = 4,
                                       .prefix = network_prefix(network)});
    sides->network = network;
    *state = sides;
    return 0;
}

static int teardown_far(void **state)
{
    struct sides *sides = *state;
    if (!why_not)
        harness_close(sides->sweep->harness);
    return 0;
}

static int teardown(void **state)
{
    struct sides *sides = *state;
    harness_close(sides->sweep->harness);
    return 0;
}

static struct sides_turn apply_of(struct sides *sides, const char *name)
{
    struct sides_turn turn = {.operation = sides->ways[SIDES_NEW],
                              .from = SIDES_OLD};
    turn.operation.name = name;
    sides_limit(&turn, "--timeout=6s");
    return turn;
}

static struct sides_turn fails(struct sides *sides, const char *name,
                               const char *arm, const char *disarm)
{
    struct sides_turn turn = apply_of(sides, name);
    turn.operation.status = 6;
    turn.arm = arm;
    turn.disarm = disarm;
    return turn;
}

/* --- rows ---------------------------------------------------------------- */

static struct sides_turn there(struct sides *sides)
{
    return apply_of(sides, "apply that migrates");
}

static struct sides_turn back(struct sides *sides)
{
    struct sides_turn turn = {.operation = sides->ways[SIDES_OLD],
                              .from = SIDES_NEW};
    turn.operation.name = "rollback that migrates";
    sides_limit(&turn, "--timeout=6s");
    return turn;
}

static struct sides_turn a_hook_says_no(struct sides *sides)
{
    return fails(sides, "hook says no to states",
                 "persistent_term:put(nzd_test_well, false)",
                 "persistent_term:put(nzd_test_well, true)");
}

static struct sides_turn a_change_fails(struct sides *sides)
{
    return fails(sides, "code_change fails",
                 CHANGE("moves_loop", "error(not_today)"), "moves_do:clear()");
}

static struct sides_turn a_change_hangs(struct sides *sides)
{
    struct sides_turn turn = fails(
        sides, "code_change hangs",
        CHANGE("moves_machine", "receive never -> ok after 2500 -> ok end"),
        "moves_do:clear()");
    sides_limit(&turn, "--timeout=2s");
    return turn;
}

static struct sides_turn a_soak(struct sides *sides)
{
    struct sides_turn turn = apply_of(sides, "soak of states");
    turn.operation.words[5] = "--soak=400ms";
    return turn;
}

/* In full side by side, since most of it is waiting; of a sample one. */
static struct sides_turn (*const turns[])(struct sides *) = {
    there, back, a_hook_says_no, a_change_fails, a_change_hangs, a_soak};
#define TURNS (unsigned)(sizeof turns / sizeof *turns)

static void sweep(void **state, enum sides_kind kind)
{
    struct sides *sides = *state;
    for (unsigned i = 0; i < TURNS; i++) {
        if (!sweep_takes(sides->sweep, i, TURNS) || !lanes_take(i))
            continue;
        const struct sides_turn turn = turns[i](sides);
        sides_sweep(sides, kind, &turn);
    }
}

static void nzd_is_killed(void **state)
{
    sweep(state, SIDES_NZD);
}

static void the_agent_is_killed(void **state)
{
    sweep(state, SIDES_AGENT);
}

static void within_the_agent(void **state)
{
    sweep(state, SIDES_INSIDE);
}

static void the_vm_is_killed(void **state)
{
    sweep(state, SIDES_VM);
}

/* Most of it is waiting: a sample takes it now and then. */
static void the_network_is_cut(void **state)
{
    struct sides *sides = *state;
    if (why_not) {
        print_message("no network of its own: %s\n", why_not);
        skip();
    }
    if (sides->sweep->full || sweep_choose(sides->sweep, 3) == 0)
        sweep(state, SIDES_LINK);
}

/* Faults that the sweep has found. */
static void cases(void **state)
{
    struct sides *sides = *state;
    struct sides_turn turn = apply_of(sides, "apply that migrates");
    sides_strike(sides, &turn, "agent", "alone:no_deadline/1");
    turn = a_hook_says_no(sides);
    sides_strike(sides, &turn, "agent", "switch:load_back/1");
    turn = a_change_fails(sides);
    sides_strike(sides, &turn, "agent", "change:refresh/3");
    turn = a_soak(sides);
    sides_strike(sides, &turn, "agent", "probe:start/0");
}

int main(void)
{
#define on_moves(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        on_moves(nzd_is_killed),
        on_moves(the_agent_is_killed),
        on_moves(within_the_agent),
        on_moves(the_vm_is_killed),
        on_moves(cases),
        cmocka_unit_test_setup_teardown(the_network_is_cut, setup_far,
                                        teardown_far),
    };
    cmocka_set_test_filter(getenv("NZD_CRASH_TESTS"));
    int status = lanes_run(TURNS);
    if (status >= 0)
        return status;
    if (network_enter(&why_not))
        why_not = NULL;
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
