/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_ROWS_H
#define NZD_ENGINE_FILE_ROWS_H

/*
 * Files of a release as rows of a transaction: the specification of
 * each application, without which a boot of the generation would show the
 * base's versions. A row holds what is in force before and after; a
 * transaction to the code that the base holds takes the row away again.
 */

#include "transaction.h"

/* Appends a row for each application of the new side whose specification is
 * not that in force, to t->rows. */
int nzd_file_rows_add(struct nzd_transaction *t, struct nzd_err *err);

/* The content of a side of such a row; none where the journal holds it, or
 * the row is a module's. */
void nzd_file_rows_bytes(const struct nzd_transaction *t,
                         const struct nzd_module_row *row, bool old,
                         struct nzd_buf *bytes);

/*
 * Gives the applications of q->new the specifications of generation `to`:
 * `ids` are the committed transactions over the base, newest first, `after`
 * of them newer than `to`.
 */
int nzd_file_rows_target(struct nzd_question *q, struct nzd_journal *journal,
                         uint64_t to, const uint64_t *ids, uint32_t count,
                         uint32_t after, struct nzd_err *err);

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

/* The name of the application whose specification the row is, or NULL. */
const char *nzd_file_rows_app(const char *name);

#define NZD_FILE_ROWS_APP_MAX 1024

/* Of a file below an application's priv: the application, and the path below
 * its folder, "priv/static/app.js", as an inventory has it, in `file`. False:
 * the row is something else. */
bool nzd_file_rows_priv(const char *name, char app[NZD_FILE_ROWS_APP_MAX],
                        char file[NZD_FILE_ROWS_APP_MAX]);

#endif
