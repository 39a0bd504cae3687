/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MODULES                                                                \
    "[moves_do, moves_event, moves_late, moves_loop, moves_machine, "          \
    "moves_pool, moves_srv, moves_sup]"
/* With their supervisor. */
#define WORKERS 100

int moves_set_up(void **state)
{
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    struct harness *harness = harness_open();
    struct moves *moves = harness_alloc(harness, sizeof *moves);
    struct beam_node_options options = {.name = "moves",
                                        .arguments = arguments};
    moves->harness = harness;
    moves->config = harness_path(harness, "nzd.conf");
    harness_write_file(moves->config, "");
    moves->node = beam_node_start(harness, &options);
    beam_node_eval(moves->node,
                   "true = code:add_patha(\"%s\"), "
                   "[{module, M} = code:load_file(M) || M <- " MODULES "], "
                   "ok = application:start(moves), ok = moves_do:start(%d)",
                   harness_fixture(harness, "moves-1/lib/moves-1.0.0/ebin"),
                   WORKERS);
    *state = moves;
    return 0;
}

int moves_tear_down(void **state)
{
    struct moves *moves = *state;
    harness_close(moves->harness);
    return 0;
}

void moves_down(struct moves *moves)
{
    struct harness_run run = moves_rollback(moves, "-q");
    assert_status(run, 0);
}

void moves_runs(struct moves *moves, int version)
{
    const char *all = harness_text(
        moves->harness, "lists:usort([V || {V, _} <- moves_do:all(value)] ++ "
                        "[element(1, gen_server:call(moves_srv, value)), "
                        "element(1, moves_machine:push()), "
                        "element(1, moves_event:count(a)), "
                        "element(1, moves_loop:count())])");
    beam_node_check(moves->node, all,
                    harness_text(moves->harness, "[%d]", version), __FILE__,
                    __LINE__);
    beam_node_wait_unsuspended(moves->node);
    assert_eval(moves->node,
                "[P || P <- processes(), {dictionary, D} <- "
                "[process_info(P, dictionary)], {{'$nzd_kept', _}, _} <- D]",
                "[]");
}

void moves_in_code_change(struct moves *moves, const char *module,
                          const char *body)
{
    beam_node_eval(moves->node, "moves_do:set(%s, fun(V) -> %s end)", module,
                   body);
}

void moves_forget(struct moves *moves)
{
    beam_node_eval(moves->node, "moves_do:clear()");
}
