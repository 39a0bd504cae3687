/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SPOOL_H
#define NZD_STAGING_SPOOL_H

/*
 * The bytes a plan needs later, read once and kept outside our heap: a memfd,
 * or an unlinked file in `directory` once it passes `memory_limit` bytes. It is
 * read back with pread into the caller's buffer, never mapped, so it does not
 * count to our resident memory.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

struct nzd_spool;

int nzd_spool_open(const char *directory, uint64_t memory_limit,
                   struct nzd_spool **out, struct nzd_err *err);
/* One that keeps nothing: what is appended goes to `put`, offsets are counted
 * from 0, and nothing can be read back. */
typedef int nzd_spool_put(void *context, struct nzd_view view,
                          struct nzd_err *err);
int nzd_spool_open_elsewhere(nzd_spool_put *put, void *context,
                             struct nzd_spool **out, struct nzd_err *err);
void nzd_spool_close(struct nzd_spool *spool);
/* Appends; gives where it starts. */
int nzd_spool_append(struct nzd_spool *spool, struct nzd_view view,
                     uint64_t *offset, struct nzd_err *err);
/* `size` bytes from `offset` into `out` (reset first), proved by `content`
 * (XXH3-128) where that is not NULL. */
int nzd_spool_read(struct nzd_spool *spool, uint64_t offset, uint64_t size,
                   const struct nzd_digest *content, struct nzd_buf *out,
                   struct nzd_err *err);
uint64_t nzd_spool_size(const struct nzd_spool *spool);

#endif
