/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CHECK_LIST_H
#define NZD_ENGINE_CHECK_LIST_H

/*
 * What `nzd check` found out, one line for each thing: printed, as JSON, and
 * as an exit status.
 */

#include "output.h"

enum nzd_check_state { NZD_CHECK_OK, NZD_CHECK_WARN, NZD_CHECK_FAIL };

struct nzd_check_item {
    const char *name; /* "journal"; static */
    enum nzd_check_state state;
    int code; /* of the failure */
    char text[NZD_ERR_MESSAGE];
    char next[NZD_ERR_NEXT]; /* what to do, or "" */
};

#define NZD_CHECK_ITEMS 16

struct nzd_check_list {
    struct nzd_check_item items[NZD_CHECK_ITEMS];
    unsigned count;
};

void nzd_check_ok(struct nzd_check_list *list, const char *name,
                  const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void nzd_check_warn(struct nzd_check_list *list, const char *name,
                    const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Message, next and code are the error's. */
void nzd_check_fail(struct nzd_check_list *list, const char *name,
                    const struct nzd_err *err);
/* What to do about the last line; only the first counts. */
void nzd_check_next(struct nzd_check_list *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * 0 where nothing failed, warnings or not. Else the exit status of the failure
 * that is to be mended first: the configuration or cookie (2), the journal
 * (8), the node (4), its owner (9), what is not settled (10).
 */
int nzd_check_exit(const struct nzd_check_list *list);
void nzd_check_print(struct nzd_output *output,
                     const struct nzd_check_list *list);

#endif
