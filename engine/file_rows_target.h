/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_ROWS_TARGET_H
#define NZD_ENGINE_FILE_ROWS_TARGET_H

/* Files of a generation, for the new side of a rollback. */

#include "question.h"

/* What the node has, where no generation says otherwise: q->new becomes a
 * release of what q->old is one of. */
int nzd_file_rows_keep(struct nzd_question *q, struct nzd_err *err);

/*
 * Gives q->new the files of generation `to`, and with its boot script the
 * applications that come and go: `ids` are the committed transactions over
 * the base, newest first, `after` of them newer than `to`.
 */
int nzd_file_rows_target(struct nzd_question *q, struct nzd_journal *journal,
                         uint64_t to, const uint64_t *ids, uint32_t count,
                         uint32_t after, struct nzd_err *err);

#endif
