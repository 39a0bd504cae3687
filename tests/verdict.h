/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_VERDICT_H
#define NZD_TESTS_VERDICT_H

/*
 * Words for what nzd refuses and why, of a node and between two releases: a
 * node of a fixture, copies of releases that are changed, and that a refusal
 * left nothing. Texts live until the harness is closed.
 */

#include "answer.h"

struct verdict {
    struct harness *harness;
    struct beam_node *node;
    const char *before; /* LOADED, when the node was up */
};

/* What runs, and all that a reload could have left behind. */
#define LOADED                                                                 \
    "erlang:md5(term_to_binary({lists:sort([{M, M:module_info(md5), "          \
    "erlang:check_old_code(M)} || {M, _} <- code:all_loaded(), "               \
    "not lists:prefix(\"nzd_agent_\", atom_to_list(M))]), "                    \
    "application:get_all_env(counter), application:which_applications(), "     \
    "code:get_path(), lists:sort(registered()) -- [nzd]}))"

/* nzd with the node, and without one. */
#define verdict_nzd(verdict, ...)                                              \
    harness_nzd((verdict)->harness, (verdict)->node, __VA_ARGS__, NULL)
#define verdict_offline(verdict, ...)                                          \
    harness_nzd((verdict)->harness, NULL, __VA_ARGS__, NULL)

int verdict_set_up(void **state);
int verdict_tear_down(void **state);
/* A node of this fixture. */
void verdict_start(struct verdict *verdict, const char *release);
const char *verdict_fixture(struct verdict *verdict, const char *name);
/* Nothing was touched, and nothing got a number. */
void verdict_untouched(struct verdict *verdict, struct harness_run run);
/* A copy of a release, to be changed. */
const char *verdict_copy(struct verdict *verdict, const char *release,
                         const char *name);
/* Must succeed. */
void verdict_shell(struct verdict *verdict, const char *script);

#endif
