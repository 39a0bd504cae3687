/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CHECK_PARTS_H
#define NZD_ENGINE_CHECK_PARTS_H

/*
 * The checks of `nzd check`. Each adds its lines whatever became of the
 * others, and writes nothing: what it could not look at it says so.
 */

#include "check_list.h"
#include "question.h"

struct nzd_checking {
    struct nzd_context *context;
    struct nzd_check_list list;
    struct nzd_question q;
    bool found; /* q.target has a name */
    bool has_cookie;
    bool connected;        /* q.node answers; q.hello and q.base are known */
    const char *directory; /* of the journal */
    struct nzd_journal *journal; /* NULL: none, or it cannot be read */
};

/* Files of this host: check_files.c. */
void nzd_check_configuration(struct nzd_checking *c);
void nzd_check_reading(struct nzd_checking *c); /* of bundles */
void nzd_check_journal(struct nzd_checking *c);
void nzd_check_lock(struct nzd_checking *c);
void nzd_check_transactions(struct nzd_checking *c);

/* The VM and how it is started: check_node.c. */
void nzd_check_cookie(struct nzd_checking *c); /* and which node is meant */
void nzd_check_node(struct nzd_checking *c);
void nzd_check_boot(struct nzd_checking *c);
void nzd_check_overlay(struct nzd_checking *c);
void nzd_check_health(struct nzd_checking *c);

#endif
