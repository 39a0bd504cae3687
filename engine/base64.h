/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BASE64_H
#define NZD_ENGINE_BASE64_H

/* Base64 of RFC 4648, section 4: with padding, without line breaks. Pure. */

#include "../journal/bytes.h"

/* Appends the text of `bytes`. */
void nzd_base64(struct nzd_buf *out, struct nzd_view bytes);
/* Appends what `text` stands for. False, and `out` is as it was, unless it is
 * exactly what nzd_base64() makes of some bytes. */
bool nzd_unbase64(struct nzd_buf *out, struct nzd_view text);

#endif
