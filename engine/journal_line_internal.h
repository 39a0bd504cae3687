/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_JOURNAL_LINE_INTERNAL_H
#define NZD_ENGINE_JOURNAL_LINE_INTERNAL_H

/* What writing and reading share: the names, and where a blob's content is. */

#include "journal_line.h"

#include <jansson.h>

#define NZD_LINE_RECORDS (NZD_TRANSFER_KIND_COUNT + 1)
#define NZD_LINE_END     NZD_TRANSFER_KIND_COUNT

/* The value of "record", by nzd_transfer_kind and then the end. */
extern const char *const nzd_journal_line_records[NZD_LINE_RECORDS];
/* Behind the name of a text: what it is where it is no UTF-8. */
#define NZD_LINE_EXACT "_base64"

/* The line as an object; of a blob the content, "base64", is "". NULL
 * without memory. */
json_t *nzd_journal_line_json(const struct nzd_journal_line *line);
/* Gives the text of an object to `take`; 0 or -1. */
int nzd_journal_line_dump(json_t *object, nzd_journal_line_take *take,
                          void *context);

#endif
