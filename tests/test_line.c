/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(struct nzd_buf *made, const char *expected)
{
    assert_string_equal(nzd_buf_string(made), expected);
    nzd_buf_clear(made);
}

static void fold(const char *text, size_t limit, const char *expected)
{
    struct nzd_buf out = {0};

    nzd_line_fold(&out, text, limit);
    check(&out, expected);
}

static void a_line_goes_on_below_its_second_column(void **state)
{
    (void)state;
    fold("node       counter@web1, up 12 d, OTP 25", 30,
         "node       counter@web1, up 12\n"
         "           d, OTP 25");
    fold("  in the way   <0.1.0> counter_feed loops", 36,
         "  in the way   <0.1.0> counter_feed\n"
         "               loops");
    fold("  a  b", 80, "  a  b");
}

static void or_further_left_where_that_is_too_far(void **state)
{
    (void)state;
    fold("    ~ counter_with_a_long_name   8f21c0aa -> 4be1770d", 30,
         "    ~ counter_with_a_long_name\n"
         "      8f21c0aa -> 4be1770d");
    fold("one two three", 8, "one two\n  three");
    fold("0123456789abcdef", 10, "0123456789\n  abcdef");
}

static void a_wide_character_is_not_halved(void **state)
{
    (void)state;
    fold("\xE8\xA8\x88\xE8\xA8\x88\xE8\xA8\x88\xE8\xA8\x88", 5,
         "\xE8\xA8\x88\xE8\xA8\x88\n  \xE8\xA8\x88\n  "
         "\xE8\xA8\x88");
}

static void row(const char *lead, const char *text, const char *right,
                size_t end, const char *expected)
{
    struct nzd_buf out = {0};

    nzd_line_row(&out, lead, text, right, end, true);
    check(&out, expected);
}

static void what_stands_right_has_room(void **state)
{
    (void)state;
    row("undo       ", "3 modules back", "1.4 ms", 40,
        "undo       3 modules back         1.4 ms");
    row("undo       ", "3 modules back, md5s match", "1.4 ms", 40,
        "undo       3 modules back, md5s\n"
        "           match                  1.4 ms");
    row("undo       ", "modules back", "1.4 ms", 24,
        "undo       modules back\n"
        "                  1.4 ms");
    row("         +15 ms  hook pre  ", "disk ok", "12.4 ms", 20,
        "         +15 ms\n"
        "  hook pre  disk ok\n"
        "  12.4 ms");
}

/* What asks for colour cannot be guessed, and takes no column once it is one.
 */
static void marks(void **state)
{
    const char *sequence = NULL;
    const char *mark = nzd_line_mark('g');

    (void)state;
    assert_int_equal(nzd_line_mark_at(mark, &sequence), strlen(mark));
    assert_string_equal(sequence, "\033[32m");
    assert_int_equal(nzd_line_mark_at("\033[32m", NULL), 0);
    assert_int_equal(nzd_line_mark_at("\03300000000g", NULL), 0);
    assert_string_equal(nzd_line_mark('x'), "");
    assert_int_equal(nzd_line_columns("\033[32mgood\033[0m"), 4);
    fold("\033[32mone\033[0m two", 5, "\033[32mone\033[0m\n  two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_on_below_its_second_column),
        cmocka_unit_test(or_further_left_where_that_is_too_far),
        cmocka_unit_test(a_wide_character_is_not_halved),
        cmocka_unit_test(what_stands_right_has_room),
        cmocka_unit_test(marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
