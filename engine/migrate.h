/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_MIGRATE_H
#define NZD_ENGINE_MIGRATE_H

/*
 * The states of processes over a change of code, as people see it: who is
 * named beforehand, which way the states go, what became of them. The work is
 * done in the node, by beam/nzd_agent_state.erl.
 *
 * Up: the new code's code_change(Vsn, ...) is called behind the load. Down: the
 * code that is about to go converts the states before the load, by
 * code_change({down, Vsn}, ...). That is release_handler's order too, and Vsn
 * is that of the lower version either way.
 */

#include "../journal/journal.h"
#include "node.h"
#include "node_switch.h"
#include "timeline.h"

/* How long each process is waited for where --timeout does not say it. */
#define NZD_MIGRATE_LIMIT_US 5000000u

/*
 * Down, or up: by the versions of the applications that change; where these are
 * equal an apply goes by those of the releases, and a rollback the other way
 * than what it takes back (`journal` says that). Up where nothing tells.
 */
bool nzd_migrate_is_down(const struct nzd_plan *plan, const struct nzd_txn *txn,
                         struct nzd_journal *journal);
/* The apply that made what generation `id` has in force, 0: the base; and
 * whether it went down. `id` itself where the journal has dropped it. */
uint64_t nzd_migrate_origin(struct nzd_journal *journal, uint64_t id,
                            bool *down);
/* The word for the record's options, or NULL; and what they say. */
const char *nzd_migrate_word(bool down);
struct nzd_node_way nzd_migrate_way(const struct nzd_txn *txn,
                                    uint64_t timeout_us); /* 0: the default */

/* One line of evidence for each changed module that somebody runs. */
int nzd_migrate_evidence(struct nzd_plan *plan,
                         const struct nzd_occupant_list *users,
                         struct nzd_err *err);

/* What a switch or an undo has done to processes: asked once, right behind it.
 * Around the load: begin before its event is added, end behind. Nothing to tell
 * is no event; what cannot be asked is passed over. */
struct nzd_moved_notes {
    struct nzd_moved moved;
    struct nzd_arena arena;
};
void nzd_migrate_begin(struct nzd_output *output, struct nzd_node *node,
                       struct nzd_timeline *timeline, bool undo,
                       struct nzd_moved_notes *notes);
void nzd_migrate_end(struct nzd_output *output, struct nzd_timeline *timeline,
                     struct nzd_moved_notes *notes);

#endif
