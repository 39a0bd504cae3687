/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_DESCRIBE_H
#define NZD_ENGINE_DESCRIBE_H

/* The journal's records in the words and the JSON that people and programs
 * are shown, the same in every command. Pure. */

#include "../journal/record.h"

#include <jansson.h>

const char *nzd_describe_kind(enum nzd_txn_kind kind); /* "rollback" */
const char *nzd_describe_state(enum nzd_state state);  /* "rolled back" */
/* "added", "changed", "removed"; the sign of a table: '+', '~', '-'. */
const char *nzd_describe_change(enum nzd_module_change change);
char nzd_describe_sign(enum nzd_module_change change);
/* Appends "apply 0.1.0 -> 0.2.0", printable. */
void nzd_describe_txn(const struct nzd_txn *txn, struct nzd_buf *out);
/* The first 8 hex digits, "-" for zeros. */
void nzd_describe_digest(char out[9], const struct nzd_digest *digest);
/* "2 min ago", "just now"; of times that lie ahead (a clock that was set)
 * the time itself. */
void nzd_describe_ago(char out[40], uint64_t then_us, uint64_t now_us);

/* The record's fields, in the order of the record. */
json_t *nzd_json_txn(const struct nzd_txn *txn, bool in_force);
json_t *nzd_json_event(const struct nzd_event *event);
json_t *nzd_json_module(const struct nzd_module_row *row);

#endif
