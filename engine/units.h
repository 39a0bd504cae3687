/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_UNITS_H
#define NZD_ENGINE_UNITS_H

/*
 * Numbers, durations and sizes as they are written in the configuration and on
 * the command line. False where the text is none, or more than 64 bits hold;
 * *out is then not to be used.
 */

#include <stdbool.h>
#include <stdint.h>

/* "5s", "200ms", "10m", "2h", "1d" into microseconds; "64M", "512K", "1G",
 * "100B" into bytes (powers of 1024). A bare number but 0 fails. */
bool nzd_parse_duration(const char *text, uint64_t *out_us);
bool nzd_parse_size(const char *text, uint64_t *out);
/* Decimal digits and nothing else. */
bool nzd_parse_count(const char *text, uint64_t *out);
/* "50%"; the sign is needed. */
bool nzd_parse_percent(const char *text, uint64_t *out);

#endif
