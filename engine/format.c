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

/* Unicode's East Asian Width W and F, and its Mn, Me and Cf that are drawn, as
 * far as terminals agree on them. */
static const struct {
    uint32_t first;
    uint32_t last;
    uint8_t columns;
} widths[] = {
    {0x0300, 0x036F, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05BD, 0},
    {0x0610, 0x061A, 0},   {0x064B, 0x065F, 0},   {0x1100, 0x115F, 2},
    {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x20D0, 0x20FF, 0},
    {0x231A, 0x231B, 2},   {0x23E9, 0x23EC, 2},   {0x25FD, 0x25FE, 2},
    {0x2614, 0x2615, 2},   {0x2648, 0x2653, 2},   {0x26A1, 0x26A1, 2},
    {0x26AA, 0x26AB, 2},   {0x26BD, 0x26BE, 2},   {0x2705, 0x2705, 2},
    {0x270A, 0x270B, 2},   {0x2728, 0x2728, 2},   {0x274C, 0x274C, 2},
    {0x2753, 0x2755, 2},   {0x2795, 0x2797, 2},   {0x2B1B, 0x2B1C, 2},
    {0x2B50, 0x2B50, 2},   {0x2E80, 0x303E, 2},   {0x3041, 0xA4CF, 2},
    {0xA960, 0xA97F, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
    {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0xFE30, 0xFE6F, 2},
    {0xFF00, 0xFF60, 2},   {0xFFE0, 0xFFE6, 2},   {0x16FE0, 0x18CFF, 2},
    {0x1AFF0, 0x1B2FB, 2}, {0x1F300, 0x1F320, 2}, {0x1F32D, 0x1F335, 2},
    {0x1F337, 0x1F37C, 2}, {0x1F37E, 0x1F393, 2}, {0x1F3A0, 0x1F3CA, 2},
    {0x1F3E0, 0x1F3F0, 2}, {0x1F3F8, 0x1F43E, 2}, {0x1F440, 0x1F440, 2},
    {0x1F442, 0x1F4FC, 2}, {0x1F4FF, 0x1F53D, 2}, {0x1F550, 0x1F567, 2},
    {0x1F5FB, 0x1F64F, 2}, {0x1F680, 0x1F6C5, 2}, {0x1F6D5, 0x1F6DF, 2},
    {0x1F7E0, 0x1F7EB, 2}, {0x1F90C, 0x1F9FF, 2}, {0x1FA70, 0x1FAFF, 2},
    {0x20000, 0x3FFFD, 2},
};

size_t nzd_point_columns(uint32_t point)
{
    size_t low = 0;
    size_t high = sizeof(widths) / sizeof(widths[0]);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (point > widths[middle].last)
            low = middle + 1;
        else if (point < widths[middle].first)
            high = middle;
        else
            return widths[middle].columns;
    }
    return 1;
}

size_t nzd_columns(const char *text)
{
    struct nzd_view left = nzd_view_text(text);
    size_t columns = 0;

    while (left.size > 0) {
        uint32_t point = 0;
        size_t length = nzd_utf8_next(left, &point);

        columns += length ? nzd_point_columns(point) : 1;
        length = length ? length : 1;
        left.data += length;
        left.size -= length;
    }
    return columns;
}

/* Characters that move the cursor, start a new line, turn the direction of
 * writing, or are not to be seen, so that a line could show something else than
 * it says. */
static const struct {
    uint32_t first;
    uint32_t last;
} unsafe[] = {
    {0x00, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},
    {0x061C, 0x061C},   {0x115F, 0x1160},   {0x180E, 0x180E},
    {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},
    {0x3164, 0x3164},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},
    {0xFFF9, 0xFFFB},   {0x13430, 0x1345F}, {0x1BCA0, 0x1BCA3},
    {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

static bool is_unsafe(uint32_t point)
{
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        if (point >= unsafe[i].first && point <= unsafe[i].last)
            return true;
    return false;
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
