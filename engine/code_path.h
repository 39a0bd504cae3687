/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CODE_PATH_H
#define NZD_ENGINE_CODE_PATH_H

/*
 * The running VM after a commit, as if it had booted the generation: what it
 * loads from a file later, what code:lib_dir/1 and code:priv_dir/1 say, what
 * is told of its applications (vsn, modules, description ...), and what
 * init:restart/0 boots.
 */

#include "question.h"

/*
 * Before the switch of an armed transaction whose files of priv come into
 * force with the code: lays out what its commit would put in force, and tells
 * the agent, which puts it on the code path in the switch and has it back in
 * an undo. What init:restart/0 boots is left alone. It can be done again: the
 * commit lays the same out once more. On failure nothing was loaded, and the
 * agent has forgotten the transaction, so that an undo has nothing to do.
 */
int nzd_code_path_lay(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_txn *txn, struct nzd_err *err);

/*
 * Lays the overlay of the committed transaction out and puts its folders on
 * the code path in place of the base's, where the VM is of this host; and
 * gives the applications' data the keys of the specifications in force. The
 * generation before stays laid out, for who keeps a path into it. Can be
 * repeated. What cannot be done is left as it is, with a warning. True when
 * init:restart/0 boots the generation.
 */
bool nzd_code_path_put(struct nzd_context *context, struct nzd_journal *journal,
                       struct nzd_question *q, const struct nzd_txn *txn);

#endif
