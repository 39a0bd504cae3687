/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FORMAT_H
#define NZD_ENGINE_FORMAT_H

/*
 * Numbers, times and foreign text in the form that people read. Pure: no I/O,
 * no locale.
 */

#include "../journal/bytes.h"

/*
 * Appends `text` with control bytes (C0, DEL, C1), characters that reorder or
 * break a line or are not to be seen (U+200B, U+202A ...) and what is not UTF-8
 * escaped as \n, \t,
 * \xHH or \u{HHHH}.
 */
void nzd_printable(struct nzd_buf *out, struct nzd_view text);
/* The same, all that is not ASCII escaped too. */
void nzd_printable_ascii(struct nzd_buf *out, struct nzd_view text);
/* Bytes of the well-formed UTF-8 character at the start of `text`, 1 to 4;
 * 0 when there is none. `out` (may be NULL) gets its code point. */
size_t nzd_utf8_next(struct nzd_view text, uint32_t *out);
/* Columns that a character takes on a terminal: 2 for East Asian and most
 * pictures, 0 for what is put over the character before it, else 1. */
size_t nzd_point_columns(uint32_t point);
/* Of a text; one for a bad byte. */
size_t nzd_columns(const char *text);

/* "40 us", "1.2 ms", "48 ms", "3.1 s", "42 s", "5 min", "3 h", "12 d". */
void nzd_format_duration(char out[32], uint64_t us);
/* For a column of times: one decimal up to 100 ms, "12.4 ms". */
void nzd_format_took(char out[32], uint64_t us);
/* "812 B", "31 KB", "14.2 MB", "64 MB", "1.5 GB"; 1 KB is 1024 bytes. */
void nzd_format_bytes(char out[32], uint64_t bytes);
/* "2025-03-04 09:40:52" and RFC 3339 "2025-03-04T09:40:52.123Z", UTC. */
void nzd_format_time(char out[40], uint64_t wall_us);
void nzd_format_rfc3339(char out[40], uint64_t wall_us);
/* "09:40:52.123", UTC. */
void nzd_format_clock(char out[40], uint64_t wall_us);

#endif
