/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_QUESTION_H
#define NZD_ENGINE_QUESTION_H

/*
 * Everything that is found out before anything is touched: the node, its
 * base, what it holds, what the bundle holds, the plan between them, who is
 * in the way. Nothing here changes the node, the journal or a file. Code that
 * a step needs later, old and new, lies in the spool.
 */

#include "../journal/journal.h"
#include "../staging/spool.h"
#include "command.h"
#include "node.h"
#include "node_switch.h"

struct nzd_question {
    struct nzd_target target;
    struct nzd_node *node;
    struct nzd_hello hello;
    struct nzd_base base;
    struct nzd_inventory old; /* of the node */
    struct nzd_inventory own; /* files of the base, no modules or applications;
                                 borrows from `old`, never cleared */
    struct nzd_inventory new; /* of the bundle, or made from the journal */
    struct nzd_plan plan;
    struct nzd_spool *spool;
    struct nzd_arena arena; /* texts of the occupants */
    struct nzd_occupant_list occupants;
    struct nzd_occupant_list users;
    struct nzd_structs structs;     /* of structs.h, in the arena */
    struct nzd_extras extras;       /* of extras.h, in the arena */
    struct nzd_rehearsal rehearsal; /* in the arena; with --rehearse */
    struct nzd_digest bundle;       /* of all modules of the new side */
    uint64_t bundle_bytes;
    uint64_t new_bytes; /* of changed and added modules */
    uint64_t old_bytes;
    bool planned; /* plan holds something to clear */
};

/* Finds the target and its cookie; a warning is printed. */
int nzd_question_target(struct nzd_context *context, struct nzd_target *out,
                        struct nzd_err *err);
/* Connects to q->target, asks who is there. After a failure clear() is due
 * all the same. */
int nzd_question_connect(struct nzd_context *context, struct nzd_question *q,
                         struct nzd_err *err);
/* Inventory and base of the node. `in_force` (NULL: none) tells which
 * version the node is said to run. */
int nzd_question_node(struct nzd_context *context, struct nzd_question *q,
                      struct nzd_err *err);
/*
 * Reads the bundle and makes the plan. `journal` (NULL: none) gives the
 * bytes of running code that is not on the node's disk. Fails NZD_EREFUSED
 * when running code that would have to be snapshotted is nowhere.
 */
int nzd_question_bundle(struct nzd_context *context, struct nzd_question *q,
                        struct nzd_journal *journal, const char *path,
                        struct nzd_err *err);
/* The same towards generation `to` of the journal. */
int nzd_question_generation(struct nzd_context *context, struct nzd_question *q,
                            struct nzd_journal *journal, uint64_t to,
                            struct nzd_err *err);
/* The VM is still the one the transaction in force was committed in, or it
 * was booted with all that is in force; after another restart it runs the base,
 * whatever the journal has in force. */
bool nzd_question_runs(const struct nzd_question *q,
                       struct nzd_journal *journal,
                       const struct nzd_txn *in_force);
/* The generation that runs: the one in force where nzd_question_runs() it,
 * else 0. `journal` may be NULL. */
uint64_t nzd_question_running(const struct nzd_question *q,
                              struct nzd_journal *journal);
/* The same of the one in force; false where none is. `journal` may be NULL. */
bool nzd_question_runs_in_force(const struct nzd_question *q,
                                struct nzd_journal *journal);
/* The folder of the base's applications, or NULL. In the arena. */
const char *nzd_question_lib(const struct nzd_question *q,
                             struct nzd_arena *arena);
/* Who is in the way now; replaces q->occupants. */
int nzd_question_occupants(struct nzd_question *q, struct nzd_err *err);
/* Occupants that block a load or an undo and that --kill does not name. */
uint32_t nzd_question_blocking(const struct nzd_question *q,
                               const struct nzd_options *options);
bool nzd_occupant_may_be_killed(const struct nzd_occupant *occupant,
                                const struct nzd_options *options);
void nzd_question_clear(struct nzd_question *q);

#endif
