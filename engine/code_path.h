/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CODE_PATH_H
#define NZD_ENGINE_CODE_PATH_H

/*
 * The running VM after a commit, as if it had booted the generation: what it
 * loads from a file later, what code:lib_dir/1 and code:priv_dir/1 say, and
 * what init:restart/0 boots. A VM of another host is left as it is.
 */

#include "overlay.h"
#include "question.h"

/* Lays the overlay of `generation` out and puts its folders on the code path
 * in place of the base's. Can be repeated. On failure the path is as it was. */
int nzd_code_path_put(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_digest *base, uint64_t generation,
                      struct nzd_err *err);

#endif
