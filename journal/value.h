/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_VALUE_H
#define NZD_JOURNAL_VALUE_H

/*
 * The envelope of every value in the store: a version byte, the content, and
 * the XXH3-64 of all before it as a big-endian u64. LMDB's pages carry no
 * checksum of their own.
 */

#include "bytes.h"

#define NZD_VALUE_OVERHEAD 9 /* version and checksum, bytes */

/* Begins a value in `out`; returns where it begins, for the end. */
size_t nzd_value_begin(struct nzd_buf *out, uint8_t version);
/* Ends it with the checksum. Fails only for memory, of any write before. */
int nzd_value_end(struct nzd_buf *out, size_t begin, struct nzd_err *err);

/*
 * Checks version (1 to `version`) and checksum; `content` then reads what
 * lies between. `what` names the value in messages. Fails NZD_EJOURNAL.
 */
int nzd_value_open(struct nzd_view value, uint8_t version, const char *what,
                   struct nzd_reader *content, struct nzd_err *err);
/* NZD_EJOURNAL unless the reader is done. */
int nzd_value_done(const struct nzd_reader *content, const char *what,
                   struct nzd_err *err);

#endif
