/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_JOURNAL_LINE_H
#define NZD_ENGINE_JOURNAL_LINE_H

/*
 * A record of a journal as one line of JSON, and back: the format of
 * `nzd journal export`. The members are those of `journal show N --json`, and
 * what is exact beside them. There is one line for a record and no other: what
 * is read is written again and must come out as the same bytes, so whatever
 * is missing, unknown, twice, rounded or merely spelt differently is refused.
 */

#include "../journal/transfer.h"

/* Bytes of a line without its end. */
#define NZD_JOURNAL_LINE_MAX (NZD_BLOB_LINE + 4096u)
#define NZD_BLOB_LINE        (4u * ((64u << 20) / 3u + 1u))

/* The record "end" has no counterpart in the journal. */
struct nzd_journal_line {
    bool end;
    struct nzd_transfer record; /* unless it is the end */
    uint64_t lines;             /* before the end */
    struct nzd_digest digest;   /* XXH3-128 of them, their ends included */
};

/* Takes bytes of the line; 0, or -1 to give up. As Jansson has it. */
typedef int nzd_journal_line_take(const char *data, size_t size, void *context);

/*
 * Gives the line, without its end, in parts to `take`. No copy of a blob is
 * made. NZD_EINTERNAL when `take` gave up, or memory is short.
 */
int nzd_journal_line_write(const struct nzd_journal_line *line,
                           nzd_journal_line_take *take, void *context,
                           struct nzd_err *err);
/* NZD_EBUNDLE when it is no such line. Else the caller clears out->record. */
int nzd_journal_line_read(struct nzd_view text, struct nzd_journal_line *out,
                          struct nzd_err *err);

#endif
