/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A rehearsal, of states whose code_change fails, while nzd, its agent, the
 * rehearsal's own processes, the VM or the link between them is ended at each
 * point. Nothing was touched then, and nothing of the other code is left.
 */
#include "sides.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 60000
#define MODULES                                                                \
    "[rehearsal_srv, rehearsal_util, rehearsal_same, rehearsal_event, "        \
    "rehearsal_loop, rehearsal_machine]"
/* Nothing is written, nobody has another state, was ended or is suspended. */
#define TELLS                                                                  \
    "{[rehearsal_srv:state(P) || P <- [one, two, three]] =:= "                 \
    "persistent_term:get(states), [whereis(P) || P <- [one, two, three, "      \
    "rehearsal_event, rehearsal_loop, rehearsal_machine]] =:= "                \
    "persistent_term:get(pids), rehearsal_util:version()}"

static void begin(struct sides *sides)
{
    struct sweep *sweep = sides->sweep;
    beam_node_eval(
        sweep->node,
        "true = code:add_patha(\"%s\"), ok = application:load(rehearsal), "
        "[{module, M} = code:load_file(M) || M <- " MODULES "], Self = self(), "
        "spawn(fun() -> ets:new(rehearsal_notes, [named_table, public]), "
        "[rehearsal_srv:start(N, C) || {N, C} <- [{one, 1}, {two, 2}, "
        "{three, 3}]], rehearsal_event:start(), rehearsal_loop:start(), "
        "rehearsal_machine:start(5), Self ! done, timer:sleep(infinity) end), "
        "receive done -> ok end, "
        "persistent_term:put(states, [rehearsal_srv:state(P) || P <- [one, "
        "two, three]]), persistent_term:put(pids, [whereis(P) || P <- [one, "
        "two, three, rehearsal_event, rehearsal_loop, rehearsal_machine]])",
        harness_fixture(sweep->harness,
                        "rehearsal-1/lib/rehearsal-1.0.0/ebin"));
}

static int setup(void **state)
{
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    const struct beam_node_options options = {.name = "stage",
                                              .arguments = arguments};
    struct sweep *sweep = sweep_open_bare();
    struct sides *sides = harness_alloc(sweep->harness, sizeof *sides);
    harness_write_file(sweep->config, "");
    sweep->node = beam_node_start(sweep->harness, &options);
    *sides = (struct sides){
        .sweep = sweep,
        .tells = TELLS,
        .values = {"{true,true,1}", ""},
        .restarted = begin,
        .limit_ms = LIMIT_MS,
    };
    begin(sides);
    *state = sides;
    return 0;
}

static int teardown(void **state)
{
    struct sides *sides = *state;
    harness_close(sides->sweep->harness);
    return 0;
}

static void sweep(void **state, enum sides_kind kind)
{
    struct sides *sides = *state;
    const char *bundle = harness_fixture(sides->sweep->harness, "rehearsal-3");
    const struct sides_turn turn = {
        .operation = {"rehearsal",
                      NULL,
                      {"apply", bundle, "--rehearse", "--retry", "--wait=20s",
                       "--timeout=6s"},
                      NULL,
                      5},
        .from = SIDES_OLD,
        .stays = true};
    sides_sweep(sides, kind, &turn);
}

static void nzd_is_killed(void **state)
{
    sweep(state, SIDES_NZD);
}

static void the_agent_is_killed(void **state)
{
    sweep(state, SIDES_AGENT);
}

static void within_the_rehearsal(void **state)
{
    sweep(state, SIDES_INSIDE);
}

static void the_vm_is_killed(void **state)
{
    sweep(state, SIDES_VM);
}

int main(void)
{
#define on_stage(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        on_stage(nzd_is_killed),
        on_stage(the_agent_is_killed),
        on_stage(within_the_rehearsal),
        on_stage(the_vm_is_killed),
    };
    cmocka_set_test_filter(getenv("NZD_CRASH_TESTS"));
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}
