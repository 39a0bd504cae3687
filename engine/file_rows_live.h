/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_ROWS_LIVE_H
#define NZD_ENGINE_FILE_ROWS_LIVE_H

/*
 * Files that are in force, as the node has them: what it was booted with where
 * it was restarted into a generation, and what it is told of its applications.
 */

#include "question.h"

/* Notes in q->own what the base has; then, where the node runs what is in
 * force, puts that in its place in q->old. `journal` may be NULL. */
int nzd_file_rows_live(struct nzd_question *q, struct nzd_journal *journal,
                       struct nzd_err *err);

/*
 * The specification of each application of which one is in force over the
 * base; behind them, of those that transaction `id` put back, the one it put
 * back to, which is the base's. In the arena.
 */
struct nzd_file_specs {
    const struct nzd_term **items; /* {application, Name, Keys} */
    uint32_t count;
    uint32_t in_force; /* of them */
};
int nzd_file_rows_specs(struct nzd_journal *journal,
                        const struct nzd_digest *base, uint64_t id,
                        struct nzd_arena *arena, struct nzd_file_specs *out,
                        struct nzd_err *err);

#endif
