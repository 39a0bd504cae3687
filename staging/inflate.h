/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_INFLATE_H
#define NZD_STAGING_INFLATE_H

/*
 * The one place that knows zlib: compressed terms (RFC 1950), gzipped BEAM
 * files (RFC 1952).
 */

#include "../journal/bytes.h"

/*
 * Appends to `out` what one whole zlib or gzip stream holds (which of them,
 * its first bytes tell). Fails NZD_EBUNDLE when the stream is damaged, does
 * not end with `view`, or gives more than `limit` bytes; NZD_EINTERNAL
 * without memory. After a failure `out` holds a part.
 */
int nzd_inflate(struct nzd_view view, size_t limit, struct nzd_buf *out,
                struct nzd_err *err);

#endif
