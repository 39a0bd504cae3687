/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_REBUILD_H
#define NZD_JOURNAL_REBUILD_H

/*
 * A journal made from the records of transfer.h: the same uuid, numbers,
 * digests and chain of events. It is built beside its place, in
 * DIRECTORY.import-XXXXXX, in batches; proved; and renamed into place when all
 * of it is on disk. Before that nothing is at its place: whatever ends it in
 * between, what is left is that folder, and the next one removes it.
 */

#include "transfer.h"

struct nzd_rebuild;

/*
 * Begins one for `directory`, which must not exist or be empty; its parents
 * are made. Fails: NZD_EBUSY (a journal is there, or another one is built in
 * the same folder), NZD_EUSAGE (other files are there), NZD_EJOURNAL.
 * `options` as for nzd_journal_open(); of them max_bytes and no_sync count.
 */
int nzd_rebuild_begin(const char *directory,
                      const struct nzd_journal_options *options,
                      struct nzd_rebuild **out, struct nzd_err *err);
/*
 * The next record, in the order of transfer.h. Fails NZD_EBUNDLE where it is
 * not next, or cannot be stored as it is; NZD_EJOURNAL (full, disk). After a
 * failure there is only end().
 */
int nzd_rebuild_add(struct nzd_rebuild *rebuild,
                    const struct nzd_transfer *record, struct nzd_err *err);
/*
 * Proves all that nzd_journal_verify() does and puts the journal in place.
 * Durable when it returns 0. Fails NZD_EBUNDLE where it does not hold.
 */
int nzd_rebuild_finish(struct nzd_rebuild *rebuild, struct nzd_err *err);
/* Removes what is not in place, and frees. NULL is fine. */
void nzd_rebuild_end(struct nzd_rebuild *rebuild);

#endif
