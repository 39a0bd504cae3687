/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_ROWS_H
#define NZD_ENGINE_FILE_ROWS_H

/*
 * Files of a release as rows of a transaction. The specification of each
 * application has one in any transaction, without which a boot of the
 * generation would show the base's versions; boot script, configuration and
 * priv have theirs where the VM is restarted into the new side, or what they
 * say is changed in it (live_config.h). A row holds
 * what the node has before and after; a transaction to what the base holds
 * takes the live row away again. Where the node does not run what is in force,
 * rows say so of what it has instead.
 */

#include "transaction.h"

/* Appends the rows to t->rows, after those of modules. NZD_EREFUSED: a file
 * is named that the journal cannot hold. */
int nzd_file_rows_add(struct nzd_transaction *t, struct nzd_err *err);

/* Appends the row of something that is no file and kept beside them for the way
 * back, NZD_FILE_KEPT or NZD_FILE_EXTRAS: both its sides are `bytes`. */
int nzd_file_rows_add_kept(struct nzd_transaction *t, const char *name,
                           struct nzd_view bytes, struct nzd_err *err);

/* The content of a side of such a row: 1, or 0 where the journal or the base
 * holds it, or the row is a module's. */
int nzd_file_rows_bytes(const struct nzd_transaction *t,
                        const struct nzd_module_row *row, bool old,
                        struct nzd_buf *bytes, struct nzd_err *err);

/* The plan is carried out by a boot of the VM. */
bool nzd_file_rows_restarts(const struct nzd_plan *plan);

/* The name of the application whose specification the row is, or NULL. */
const char *nzd_file_rows_app(const char *name);

#define NZD_FILE_ROWS_APP_MAX 1024

/* Of a file below an application's priv: the application, and the path below
 * its folder, "priv/static/app.js", as an inventory has it, in `file`. False:
 * the row is something else. */
bool nzd_file_rows_priv(const char *name, char app[NZD_FILE_ROWS_APP_MAX],
                        char file[NZD_FILE_ROWS_APP_MAX]);
/* The name of its row, in the buffer, which is reset first; NZD_EREFUSED: it
 * is too long for one. */
int nzd_file_rows_priv_name(const char *app, const char *file,
                            struct nzd_buf *out, struct nzd_err *err);

#endif
