/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_NODE_ROWS_H
#define NZD_ENGINE_NODE_ROWS_H

/*
 * The module rows of a journaled transaction against a node: giving an agent
 * that forgot them the old code again, and proving which side runs.
 */

#include "../journal/journal.h"
#include "node.h"

/* Sends the old code of every changed module, from its blobs, what was added
 * and removed, the lambdas of both sides, and what live_config.h has kept. */
int nzd_rows_resend(struct nzd_node *node, struct nzd_journal *journal,
                    uint64_t id, struct nzd_err *err);

/*
 * Every changed module of the transaction runs its old side, by md5 and
 * attributes. `left`: how many added modules may still be loaded.
 * NZD_EUNSETTLED names the first that does not.
 */
int nzd_rows_prove_old(struct nzd_node *node, struct nzd_journal *journal,
                       uint64_t id, uint32_t left, struct nzd_err *err);

/*
 * The same of the new side, in a VM that has booted it: what it has not loaded
 * it may load later. NZD_EROLLEDBACK names the first module that differs, or
 * was removed and is there.
 */
int nzd_rows_prove_new(struct nzd_node *node, struct nzd_journal *journal,
                       uint64_t id, struct nzd_err *err);

#endif
