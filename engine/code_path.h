/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CODE_PATH_H
#define NZD_ENGINE_CODE_PATH_H

/*
 * The code path of an interactive VM after a commit: whatever it loads from a
 * file later must be the generation in force. An embedded VM, or one of
 * another host, is left as it is.
 */

#include "overlay.h"
#include "question.h"

/* Lays the overlay of `generation` out and puts it first on the code path.
 * Can be repeated. On failure the path is as it was. */
int nzd_code_path_put(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_digest *base, uint64_t generation,
                      struct nzd_err *err);

#endif
