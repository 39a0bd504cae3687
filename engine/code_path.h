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
 * Lays the overlay of the committed transaction out and puts its folders on
 * the code path in place of the base's, where the VM is of this host; and
 * gives the applications' data the keys of the specifications in force. Can
 * be repeated. What cannot be done is left as it is, with a warning. True when
 * init:restart/0 boots the generation.
 */
bool nzd_code_path_put(struct nzd_context *context, struct nzd_journal *journal,
                       struct nzd_question *q, const struct nzd_txn *txn);

#endif
