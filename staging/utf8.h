/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_UTF8_H
#define NZD_STAGING_UTF8_H

/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms. */

#include "../journal/bytes.h"

/* Takes the character at the head of `view` and moves past it; -1, and
 * nothing is taken, when there is none that is well formed. */
int32_t nzd_utf8_take(struct nzd_view *view);

/* Writes a character, 1 to 4 bytes; 0 when it is none. */
size_t nzd_utf8_put(uint8_t out[4], uint32_t character);

/* Number of characters; false when not all is well formed. */
bool nzd_utf8_count(struct nzd_view view, size_t *out);

/* Appends Latin-1 bytes as UTF-8. */
void nzd_utf8_latin1(struct nzd_view latin1, struct nzd_buf *out);

#endif
