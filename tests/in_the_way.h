/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_IN_THE_WAY_H
#define NZD_TESTS_IN_THE_WAY_H

/*
 * Processes and closures that stand in the way of a reload. A bare node runs
 * fixture way-1: way_hold and way_srv change with way-2, way_same does not.
 * What is not as it is asked for fails the running test; texts live until the
 * harness is closed.
 */

#include "answer.h"

struct way {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

/* nzd with the bundle of this version. */
#define way_apply(way, version, ...)                                           \
    harness_nzd((way)->harness, (way)->node, "apply",                          \
                way_fixture((way), (version)), "--config", (way)->config,      \
                __VA_ARGS__, NULL)
#define way_plan(way, version, ...)                                            \
    harness_nzd((way)->harness, (way)->node, "plan",                           \
                way_fixture((way), (version)), __VA_ARGS__, NULL)

/* Of a configuration. */
#define WAY_HOOK(name, phase, call, args)                                      \
    "hook \"" name "\" {\n phase = " phase "\n call = \"" call                 \
    "\"\n args = {" args "}\n timeout = 5s\n}\n"

int way_set_up(void **state);
int way_tear_down(void **state);
const char *way_fixture(struct way *way, int version);
/* A registered process, and its pid as nzd prints it. */
const char *way_begin(struct way *way, const char *name, const char *body);
/* A process of this name is there, or not. */
void way_alive(struct way *way, const char *name, bool expected);
/* Exactly this version runs; old code of a module is there, or not. */
void way_runs(struct way *way, int version);
void way_old_code(struct way *way, const char *module, bool expected);
/* The event with this label, whose text must hold `part`. */
void way_event(struct way *way, unsigned id, const char *label,
               const char *part);
/* Refused, and nothing at all was done. */
void way_refused(struct way *way, struct harness_run run, int version);

#endif
