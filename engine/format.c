/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include "../staging/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- text ------------------------------------------------------------ */

size_t nzd_utf8_next(struct nzd_view text, uint32_t *out)
{
    struct nzd_view after = text;
    int32_t point = text.size ? nzd_utf8_take(&after) : -1;

    if (point < 0)
        return 0;
    if (out)
        *out = (uint32_t)point;
    return text.size - after.size;
}

size_t nzd_columns(const char *text)
{
    struct nzd_view left = nzd_view_text(text);
    size_t columns = 0;

    while (left.size > 0) {
        size_t length = nzd_utf8_next(left, NULL);

        length = length ? length : 1;
        left.data += length;
        left.size -= length;
        columns++;
    }
    return columns;
}

/* Characters that move the cursor, start a new line or turn the direction
 * of writing, so that a line could show something else than it says. */
static bool is_unsafe(uint32_t point)
{
    if (point < 0x20 || (point >= 0x7F && point < 0xA0))
        return true;
    if (point == 0x061C || point == 0x200E || point == 0x200F)
        return true;
    return (point >= 0x2028 && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}

static void escape(struct nzd_buf *out, uint32_t point)
{
    if (point == '\n')
        nzd_buf_text(out, "\\n");
    else if (point == '\t')
        nzd_buf_text(out, "\\t");
    else if (point == '\r')
        nzd_buf_text(out, "\\r");
    else if (point < 0x80)
        nzd_buf_printf(out, "\\x%02" PRIx32, point);
    else
        nzd_buf_printf(out, "\\u{%" PRIx32 "}", point);
}

static void printable(struct nzd_buf *out, struct nzd_view text, bool ascii)
{
    while (text.size > 0) {
        uint32_t point = 0;
        size_t length = nzd_utf8_next(text, &point);

        if (length == 0) {
            nzd_buf_printf(out, "\\x%02x", text.data[0]);
            length = 1;
        } else if (is_unsafe(point) || (ascii && point > 0x7E)) {
            escape(out, point);
        } else {
            nzd_buf_bytes(out, text.data, length);
        }
        text.data += length;
        text.size -= length;
    }
}

void nzd_printable(struct nzd_buf *out, struct nzd_view text)
{
    printable(out, text, false);
}

void nzd_printable_ascii(struct nzd_buf *out, struct nzd_view text)
{
    printable(out, text, true);
}

/* --- numbers --------------------------------------------------------- */

/* value / unit rounded half up, without overflow. */
static uint64_t rounded(uint64_t value, uint64_t unit)
{
    return value / unit + (value % unit >= (unit + 1) / 2);
}

static void tenths(char out[32], uint64_t value, uint64_t unit,
                   const char *name)
{
    uint64_t t = rounded(value, unit / 10);

    snprintf(out, 32, "%" PRIu64 ".%" PRIu64 " %s", t / 10, t % 10, name);
}

static void whole(char out[32], uint64_t value, uint64_t unit, const char *name)
{
    snprintf(out, 32, "%" PRIu64 " %s", rounded(value, unit), name);
}

#define MS     1000ull
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* The bounds are where rounding reaches the next form: 9.95 ms is 10 ms. */
static void duration(char out[32], uint64_t us, uint64_t decimals_to)
{
    if (us > 0 && us < 100)
        whole(out, us, 1, "us");
    else if (us < decimals_to)
        tenths(out, us, MS, "ms");
    else if (us < SECOND - MS / 2)
        whole(out, us, MS, "ms");
    else if (us < 10 * SECOND - SECOND / 20)
        tenths(out, us, SECOND, "s");
    else if (us < 2 * MINUTE)
        whole(out, us, SECOND, "s");
    else if (us < 2 * HOUR)
        whole(out, us, MINUTE, "min");
    else if (us < 2 * DAY)
        whole(out, us, HOUR, "h");
    else
        whole(out, us, DAY, "d");
}

void nzd_format_duration(char out[32], uint64_t us)
{
    duration(out, us, 10 * MS - MS / 20);
}

void nzd_format_took(char out[32], uint64_t us)
{
    duration(out, us, 100 * MS - MS / 20);
}

void nzd_format_bytes(char out[32], uint64_t bytes)
{
    static const char *const names[] = {"KB", "MB", "GB", "TB", "PB", "EB"};
    unsigned i = 0;
    uint64_t unit = 1024;
    uint64_t t;

    if (bytes < 1024) {
        snprintf(out, 32, "%" PRIu64 " B", bytes);
        return;
    }
    while (i + 1 < sizeof(names) / sizeof(names[0]) &&
           rounded(bytes, unit) >= 1024) {
        unit *= 1024;
        i++;
    }
    t = bytes / unit * 10 + (bytes % unit * 10 + unit / 2) / unit;
    if (i == 0 || t % 10 == 0 || t >= 1000)
        whole(out, bytes, unit, names[i]);
    else
        snprintf(out, 32, "%" PRIu64 ".%" PRIu64 " %s", t / 10, t % 10,
                 names[i]);
}

/* --- times ----------------------------------------------------------- */

/* Years of more than four digits would not be RFC 3339. */
#define LAST_SECOND 253402300799ull /* 9999-12-31T23:59:59Z */

/* The proleptic Gregorian calendar in years that begin in March, so that the
 * leap day is the last one; eras are its 400 years of 146097 days. */
static void set_date(struct tm *out, uint64_t days)
{
    uint64_t since = days + 719468; /* 0000-03-01 */
    unsigned of_era = (unsigned)(since % 146097);
    unsigned year =
        (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* 0: March */

    out->tm_mday = (int)(of_year - (153 * month + 2) / 5 + 1);
    out->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    out->tm_year = (int)(year + since / 146097 * 400 - 1900 + (month >= 10));
}

/* By hand: where time_t has 32 bits gmtime_r(3) ends in 2038. */
static struct tm utc(uint64_t wall_us)
{
    uint64_t seconds = wall_us / SECOND;
    struct tm out = {0};

    if (seconds > LAST_SECOND)
        seconds = LAST_SECOND;
    set_date(&out, seconds / 86400);
    out.tm_hour = (int)(seconds / 3600 % 24);
    out.tm_min = (int)(seconds / 60 % 60);
    out.tm_sec = (int)(seconds % 60);
    return out;
}

static unsigned milliseconds(uint64_t wall_us)
{
    return (unsigned)(wall_us / MS % 1000);
}

void nzd_format_time(char out[40], uint64_t wall_us)
{
    struct tm tm = utc(wall_us);

    strftime(out, 40, "%Y-%m-%d %H:%M:%S", &tm);
}

void nzd_format_rfc3339(char out[40], uint64_t wall_us)
{
    struct tm tm = utc(wall_us);
    size_t used = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);

    snprintf(out + used, 40 - used, ".%03uZ", milliseconds(wall_us));
}

void nzd_format_clock(char out[40], uint64_t wall_us)
{
    struct tm tm = utc(wall_us);
    size_t used = strftime(out, 40, "%H:%M:%S", &tm);

    snprintf(out + used, 40 - used, ".%03u", milliseconds(wall_us));
}
