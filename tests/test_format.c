/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct number {
    uint64_t value;
    const char *text;
};

#define SECOND 1000000ull
#define HOUR   (3600 * SECOND)

static void check_numbers(void (*format)(char out[32], uint64_t value),
                          const struct number *rows, size_t count)
{
    char out[32];

    for (size_t i = 0; i < count; i++) {
        format(out, rows[i].value);
        assert_string_equal(out, rows[i].text);
    }
}

static void durations(void **state)
{
    static const struct number rows[] = {
        {0, "0.0 ms"},
        {1, "1 us"},
        {99, "99 us"},
        {100, "0.1 ms"},
        {1200, "1.2 ms"},
        {9949, "9.9 ms"},
        {9950, "10 ms"},
        {48000, "48 ms"},
        {999499, "999 ms"},
        {999500, "1.0 s"},
        {3100000, "3.1 s"},
        {9949999, "9.9 s"},
        {9950000, "10 s"},
        {119 * SECOND, "119 s"},
        {120 * SECOND, "2 min"},
        {119 * 60 * SECOND, "119 min"},
        {2 * HOUR, "2 h"},
        {47 * HOUR, "47 h"},
        {12 * 24 * HOUR, "12 d"},
        {UINT64_MAX, "213503982 d"},
    };

    (void)state;
    check_numbers(nzd_format_duration, rows, sizeof(rows) / sizeof(rows[0]));
}

static void times_of_a_column(void **state)
{
    static const struct number rows[] = {
        {400, "0.4 ms"},    {12400, "12.4 ms"}, {18000, "18.0 ms"},
        {99949, "99.9 ms"}, {99950, "100 ms"},  {350000, "350 ms"},
        {3100000, "3.1 s"},
    };

    (void)state;
    check_numbers(nzd_format_took, rows, sizeof(rows) / sizeof(rows[0]));
}

static void sizes(void **state)
{
    static const struct number rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1 KB"},
        {31744, "31 KB"},
        {32255, "31 KB"},
        {32256, "32 KB"},
        {1024 * 1024 - 1, "1 MB"},
        {64 << 20, "64 MB"},
        {14889779, "14.2 MB"},
        {150 * 1048576 + 900000, "151 MB"},
        {1610612736, "1.5 GB"},
        {UINT64_MAX, "16 EB"},
    };

    (void)state;
    check_numbers(nzd_format_bytes, rows, sizeof(rows) / sizeof(rows[0]));
}

static void times(void **state)
{
    const uint64_t at = 1741081252ull * SECOND + 123456;
    char out[40];

    (void)state;
    nzd_format_time(out, at);
    assert_string_equal(out, "2025-03-04 09:40:52");
    nzd_format_rfc3339(out, at);
    assert_string_equal(out, "2025-03-04T09:40:52.123Z");
    nzd_format_clock(out, at);
    assert_string_equal(out, "09:40:52.123");
    nzd_format_rfc3339(out, 0);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    nzd_format_rfc3339(out, UINT64_MAX);
    assert_int_equal(strlen(out), 24);
}

static void check_printable(const char *in, size_t size, const char *utf8,
                            const char *ascii)
{
    struct nzd_buf out = {0};

    nzd_printable(&out, nzd_view_of(in, size));
    assert_string_equal(nzd_buf_string(&out), utf8);
    nzd_buf_reset(&out);
    nzd_printable_ascii(&out, nzd_view_of(in, size));
    assert_string_equal(nzd_buf_string(&out), ascii);
    nzd_buf_clear(&out);
}

/* Every day that can be told, against the C library, where time_t is wide
 * enough for that; the one of a machine with 32 bits is not. */
static void every_day(void **state)
{
    char out[40];
    char expected[40];

    (void)state;
    for (uint64_t at = 0; at < 253402300800u; at += 86400 + 3661) {
        time_t seconds = (time_t)at;
        struct tm tm;

        if ((uint64_t)seconds != at || seconds < 0)
            break;
        assert_non_null(gmtime_r(&seconds, &tm));
        (void)strftime(expected, sizeof(expected), "%Y-%m-%d %H:%M:%S", &tm);
        nzd_format_time(out, at * 1000000);
        assert_string_equal(out, expected);
    }
    nzd_format_time(out, 4107542400000000u);
    assert_string_equal(out, "2100-03-01 00:00:00");
    nzd_format_time(out, 4107542400000000u - 1);
    assert_string_equal(out, "2100-02-28 23:59:59");
}

static void foreign_text_is_made_printable(void **state)
{
    static const struct {
        const char *in, *utf8, *ascii;
    } rows[] = {
        {"plain", "plain", "plain"},
        {"", "", ""},
        {"a\nb\tc\r", "a\\nb\\tc\\r", "a\\nb\\tc\\r"},
        {"\033[31mred\033]0;x\007", "\\x1b[31mred\\x1b]0;x\\x07",
         "\\x1b[31mred\\x1b]0;x\\x07"},
        {"\x7F", "\\x7f", "\\x7f"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F", "gr\\u{fc}\\u{df}"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\\u{1f600}"},
        /* C1: CSI in one character. */
        {"\xC2\x9B", "\\u{9b}", "\\u{9b}"},
        {"\xC2\x80\xC2\x9F", "\\u{80}\\u{9f}", "\\u{80}\\u{9f}"},
        /* Right-to-left override and isolate, annotation, line separator. */
        {"\xE2\x80\xAE", "\\u{202e}", "\\u{202e}"},
        {"\xE2\x81\xA7", "\\u{2067}", "\\u{2067}"},
        {"\xEF\xBF\xB9", "\\u{fff9}", "\\u{fff9}"},
        {"\xE2\x80\xA8", "\\u{2028}", "\\u{2028}"},
        /* Not UTF-8: lone, overlong, surrogate, above, cut. */
        {"\xFF", "\\xff", "\\xff"},
        {"\xC0\x8A", "\\xc0\\x8a", "\\xc0\\x8a"},
        {"\xED\xA0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},
        {"\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"},
        {"a\xE2\x82", "a\\xe2\\x82", "a\\xe2\\x82"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_printable(rows[i].in, strlen(rows[i].in), rows[i].utf8,
                        rows[i].ascii);
    check_printable("a\0b", 3, "a\\x00b", "a\\x00b");
}

static void columns_are_characters(void **state)
{
    (void)state;
    assert_int_equal(nzd_columns(""), 0);
    assert_int_equal(nzd_columns("abc"), 3);
    assert_int_equal(nzd_columns("gr\xC3\xBC\xC3\x9F"), 4);
    assert_int_equal(nzd_columns("\xFF\xFE"), 2);
    assert_int_equal(nzd_columns("\xE8\xA8\x88\xF0\x9F\x9A\x80"), 4);
    assert_int_equal(nzd_columns("e\xCC\x81"), 1);
}

/* The table is searched by halves. */
static void every_width(void **state)
{
    static const struct {
        uint32_t point;
        size_t columns;
    } rows[] = {
        {'a', 1},     {0x2FF, 1},   {0x300, 0},   {0x36F, 0},   {0x370, 1},
        {0x10FF, 1},  {0x1100, 2},  {0x115F, 2},  {0x1160, 1},  {0x231A, 2},
        {0x2190, 1},  {0x3000, 2},  {0x303F, 1},  {0xAC00, 2},  {0xD7A3, 2},
        {0xFF01, 2},  {0xFF61, 1},  {0xFFE0, 2},  {0x1F600, 2}, {0x1F6FF, 1},
        {0x1FAFF, 2}, {0x1FB00, 1}, {0x20000, 2}, {0x3FFFD, 2}, {0x10FFFF, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(nzd_point_columns(rows[i].point), rows[i].columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(times_of_a_column),
        cmocka_unit_test(sizes),
        cmocka_unit_test(times),
        cmocka_unit_test(every_day),
        cmocka_unit_test(foreign_text_is_made_printable),
        cmocka_unit_test(columns_are_characters),
        cmocka_unit_test(every_width),
    };

    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
