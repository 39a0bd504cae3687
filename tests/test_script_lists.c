/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "../staging/script_lists.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a boot script loads, after the code under it has changed. */

static const char base[] =
    "{script, {\"r\", \"1\"}, ["
    "{path, [\"$ROOT/k/ebin\", \"$ROOT/s/ebin\"]}, {primLoad, [init]}, "
    "{path, [\"$ROOT/k/ebin\"]}, {primLoad, [code, file]}, "
    "{path, [\"$ROOT/a/ebin\"]}, {primLoad, [a, a_old, a_moved]}]}.";

static const struct nzd_term *parse(struct nzd_arena *arena, const char *text)
{
    const struct nzd_term *terms = NULL;
    assert_int_equal(nzd_term_parse(nzd_view_text(text), arena, &terms, NULL),
                     0);
    return nzd_term_at(terms, 0);
}

/* What the script loads from there on is this. */
static void check(const char *lists, const char *held, const char *removed,
                  const char *expected)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_term *out = NULL;
    char text[1024];
    const char *one[] = {held}, *other[] = {removed};
    const struct nzd_script_names has = {one, held != NULL};
    const struct nzd_script_names lacks = {other, removed != NULL};
    (void)snprintf(text, sizeof(text), "{script, {\"r\", \"2\"}, [%s]}.",
                   lists);
    assert_int_equal(nzd_script_lists(parse(&arena, text), parse(&arena, base),
                                      &has, &lacks, &arena, &out, &err),
                     0);
    (void)snprintf(text, sizeof(text), "{script, {\"r\", \"2\"}, [%s]}.",
                   expected);
    assert_true(nzd_term_equal(out, parse(&arena, text)));
    nzd_arena_clear(&arena);
}

#define A(list)                                                                \
    "{path, [\"$ROOT/a/ebin\"]}, {primLoad, [" list "]}, {progress, x}"

static void what_is_there_is_loaded(void **state)
{
    (void)state;
    check(A("a, a_old, a_moved"), NULL, NULL, A("a, a_old, a_moved"));
    /* a_new came with the script and went; a_old went with it and came. */
    check(A("a, a_new, a_moved"), NULL, NULL, A("a, a_moved, a_old"));
    check(A("a, a_new, a_moved"), "a_new", "a_old", A("a, a_new, a_moved"));
}

/* Twice would be old code from the first moment on. */
static void what_lies_elsewhere(void **state)
{
#define B       "{path, [\"$ROOT/b/ebin\"]}, {primLoad, [a_moved, b]}"
#define B_AGAIN "{path, [\"$ROOT/b/ebin\"]}, {primLoad, [a_moved]}"
    (void)state;
    check(A("a, a_old") ", " B, "a_moved", NULL, A("a, a_old") ", " B_AGAIN);
}

/* What is needed to load the rest, and other commands. */
static void what_is_left_alone(void **state)
{
    static const char early[] =
        "{preLoaded, [erlang]}, {path, [\"$ROOT/k/ebin\", \"$ROOT/s/ebin\"]}, "
        "{primLoad, [init, other]}, {apply, {a, b, []}}";
    (void)state;
    check(early, NULL, NULL, early);
}

static void what_is_no_script(void **state)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_term *out = NULL;
    const struct nzd_script_names none = {NULL, 0};
    (void)state;
    assert_int_equal(nzd_script_lists(parse(&arena, "{script, 1}."),
                                      parse(&arena, base), &none, &none, &arena,
                                      &out, &err),
                     NZD_EBUNDLE);
    nzd_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_loaded),
        cmocka_unit_test(what_lies_elsewhere),
        cmocka_unit_test(what_is_left_alone),
        cmocka_unit_test(what_is_no_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
