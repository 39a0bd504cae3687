/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_PUT_H
#define NZD_ENGINE_FILE_PUT_H

/*
 * Files of rows put into an inventory, in the place of what it has of them:
 * so a node that was booted with a generation, or the target of a rollback,
 * is compared by what it really has.
 */

#include "../staging/inventory.h"
#include "file_set.h"

/*
 * `own` holds the base's own files, which a side without content stands for.
 * A specification is put where its application is there, and its version with
 * it. A boot script gives the release its name and version. Of ERTS the
 * inventory has then what the set has, and no other file. NZD_EREFUSED: a
 * side is the base's own but the base has another one now; NZD_EJOURNAL: a
 * content is not what its name says. The inventory is sorted afterwards.
 */
int nzd_file_put_all(struct nzd_inventory *to, const struct nzd_inventory *own,
                     struct nzd_journal *journal,
                     const struct nzd_file_set *set, struct nzd_err *err);

/* A content as a term, in the arena. */
int nzd_file_term(struct nzd_journal *journal, const struct nzd_digest *blob,
                  struct nzd_arena *arena, const struct nzd_term **out,
                  struct nzd_err *err);

/*
 * The side that an inventory has of /boot, /sys.config, /vm.args, /runtime.exs
 * or /erts; its content is appended to `bytes` (may be NULL), and blob and
 * md5 are its digest. md5 zero: it has none.
 */
int nzd_file_side_of(const struct nzd_inventory *from, const char *name,
                     struct nzd_buf *bytes, struct nzd_file_side *out,
                     struct nzd_err *err);

/* The first four, in the order of their names. */
#define NZD_FILE_PUT_NAMES 4
extern const char *const nzd_file_put_names[NZD_FILE_PUT_NAMES];

#endif
