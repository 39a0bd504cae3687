/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_DESK_H
#define NZD_TESTS_DESK_H

/*
 * The rows of files that a plan against a real node comes to. Nothing is
 * restarted here: a transaction is committed in the journal alone, and whether
 * the node runs what is in force then is told by its token, which a test sets.
 * What fails here fails the running test; texts live until the harness is
 * closed.
 */

#include "../engine/question_internal.h"
#include "../engine/snapshot.h"
#include "beam_node.h"

struct desk {
    struct harness *harness;
    struct beam_node *node;
    struct nzd_context context;
    struct nzd_question q;
    struct nzd_transaction t;
    bool runs; /* what is in force */
    struct nzd_err err;
};

#define desk_verdict(desk) (desk)->q.plan.verdict
#define desk_need(desk)    nzd_plan_need(&(desk)->q.plan)

int desk_set_up(void **state);
int desk_tear_down(void **state);
/* Fails unless it is 0. */
void desk_ok(struct desk *desk, int code);
const char *desk_fixture(struct desk *desk, const char *name);
/* A node of this release, and a journal. */
void desk_start(struct desk *desk, const char *release);
/* The node is asked anew; what there was of a plan is gone. */
void desk_connect_node(struct desk *desk);
/* Rows of modules and files: "~/boot +/app/x -/priv/counter/a". */
const char *desk_rows_of(struct desk *desk, bool files);
/* To a bundle, or back to a generation, and its rows. */
void desk_plan(struct desk *desk, const char *bundle);
void desk_plan_back(struct desk *desk, uint64_t to);
/* As a transaction does, but for all that it does to the node. */
void desk_commit(struct desk *desk, uint64_t from, uint64_t to);
/* The same of a bundle. */
void desk_apply(struct desk *desk, uint64_t from);
/* Files in force: "/boot -/priv/counter/a". */
const char *desk_live(struct desk *desk);
const struct nzd_module_row *desk_row_of(struct desk *desk, const char *name);
/* The content that the journal holds of a row's new side. */
void expect_content(struct desk *desk, const char *name, const char *path);
/* Must succeed. */
void desk_shell(struct desk *desk, const char *script);
/* Of a fixture, to be changed. */
const char *desk_copy(struct desk *desk, const char *release, const char *name);

#endif
