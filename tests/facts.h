/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_FACTS_H
#define NZD_TESTS_FACTS_H

/* What the VM says, by tests/beam/nzd_test_facts.erl, and what a test reads of
 * it with. */

#include "../staging/term.h"
#include "harness.h"

struct facts {
    struct harness *harness;
    struct nzd_arena arena;
    struct nzd_buf buf;
    struct nzd_err err;
};

/* For a case that asks the VM nothing, it has no harness; and for one that
 * does. */
int facts_set_up(void **state);
int facts_set_up_vm(void **state);
int facts_tear_down(void **state);

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
