/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_STAGE_H
#define NZD_TESTS_STAGE_H

/*
 * Where the commands of a document are run: a node of one of the fixtures, a
 * folder with the bundles, and a program `nzd` that finds the configuration
 * without being told. Knows which places of the test stand for those that
 * documents name. There is one stage at a time; texts live until its harness is
 * closed.
 */

#include "beam_node.h"

void stage_open(struct harness *harness);
/* "counter-0.1.0", "greeter-0.1.0 boot": ends the node before, and what there
 * was of journal and configuration. */
void stage_node(const char *words);
/* The VM is killed, and started as it was. */
void stage_again(void);
void stage_end(void);
/* Evaluated in the node. */
void stage_eval(const char *expression);
/* The text of a configuration, as a document has it; what it lacks of node,
 * cookie and journal is added. */
void stage_configure(const char *text);
/* Runs it in the folder of the bundles; all output is in `out`, and there as a
 * document has it. */
struct harness_run stage_run(const char *command);

#endif
