/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_MOVES_H
#define NZD_TESTS_MOVES_H

/*
 * The states of processes over a change of code. One node runs fixture moves
 * for all cases of a group: each begins and ends with version 1. In version 2
 * every kind of process has another shape of state, and code_change insists on
 * the version it is called with. Texts live until the harness is closed.
 */

#include "beam_node.h"

struct moves {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

#define moves_apply(moves, ...)                                                \
    harness_nzd((moves)->harness, (moves)->node, "apply", "--retry",           \
                harness_fixture((moves)->harness, "moves-2"), "--config",      \
                (moves)->config, __VA_ARGS__, NULL)
#define moves_rollback(moves, ...)                                             \
    harness_nzd((moves)->harness, (moves)->node, "rollback", "--to", "0",      \
                "--config", (moves)->config, __VA_ARGS__, NULL)

/* What a change of code must leave as it is. */
#define COUNTS                                                                 \
    "{element(2, gen_server:call(moves_srv, value)), "                         \
    "element(2, moves_event:count(a)), element(2, moves_event:count(b)), "     \
    "lists:sum([N || {_, N} <- moves_do:all(value)])}"

/* For the group. */
int moves_set_up(void **state);
int moves_tear_down(void **state);
/* To version 1 again. */
void moves_down(struct moves *moves);
/* Everybody answers out of the code of this version; the states are whole. */
void moves_runs(struct moves *moves, int version);
/* Has code_change of a module do this; V is the version it is called with. */
void moves_in_code_change(struct moves *moves, const char *module,
                          const char *body);
/* That it does nothing more. */
void moves_forget(struct moves *moves);

#endif
