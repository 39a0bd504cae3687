/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_FACTS_H
#define NZD_TESTS_FACTS_H

/* What the VM says, by tests/beam/nzd_test_facts.erl. */

#include "../journal/bytes.h"
#include "harness.h"

/* Has erl run nzd_test_facts:Function(Dir), Dir being the harness' folder;
 * what it printed. Fails the test when it raises. */
const char *facts_run(struct harness *harness, const char *function);

/* A file of the harness' folder, and its blocks one by one; false at its
 * end. What does not hold fails the test. */
struct nzd_view facts_file(struct harness *harness, const char *name);
bool facts_block(struct nzd_reader *reader, struct nzd_view *block);
void facts_write(struct harness *harness, const char *name,
                 struct nzd_view bytes);

/* The source of a module, made.erl: it has an on_load, loads a NIF, closes over
 * variables, has attributes twice. */
extern const char facts_made[];

#endif
