/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_ROWS_INTERNAL_H
#define NZD_ENGINE_FILE_ROWS_INTERNAL_H

/* What the makers of rows share. */

#include "file_put.h"
#include "file_rows.h"

/*
 * Of each file: what is in force, what the node has before and after, and what
 * the base has. A row is due where before and after differ, or where what is
 * in force is not what the node will have.
 */
struct making {
    struct nzd_transaction *t;
    struct nzd_file_set in_force;
    struct nzd_file_set of_base; /* what the base has of them */
    struct nzd_file_set done;    /* by their names: they have their row, or
                                    need none */
    bool runs;                   /* the node has what is in force */
    bool whole;                  /* rows of all files: restarted into the new
                                    side, or changed in the node */
    struct nzd_buf scratch;
    struct nzd_err *err;
};

struct sides {
    const char *name;
    const char *app;
    const struct nzd_file_side *in_force; /* NULL: what the base has */
    struct nzd_file_side base, before, after;
};

/* The row, where one is due. */
int nzd_file_rows_put(struct making *m, const struct sides *sides);

/* The rows of another ERTS (file_rows_erts.c). It is taken whole: from the
 * generation, or, where no row says otherwise, from the base. NZD_EREFUSED: not
 * all of it can be held. */
int nzd_file_rows_add_erts(struct making *m);
/* The new side's file of such a row, or NULL. */
const struct nzd_file *nzd_file_rows_running(const struct nzd_inventory *new,
                                             const char *name);

#endif
