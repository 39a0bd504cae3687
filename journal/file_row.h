/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_FILE_ROW_H
#define NZD_JOURNAL_FILE_ROW_H

/*
 * What the rows of a release's files must hold, where record.h says what they
 * mean: a row that says less than a boot needs is never written, and one
 * that was damaged so is found. Of the rows of modules nothing is known here.
 */

#include "record.h"

/* NULL, or what cannot be: "its new content is not held". */
const char *nzd_file_row_flaw(const struct nzd_module_row *row);
const char *nzd_file_row_live_flaw(const struct nzd_live_row *row);

/* The change that leads from one side to the other. */
enum nzd_module_change nzd_file_row_change(const struct nzd_digest *old_md5,
                                           const struct nzd_digest *new_md5);

#endif
