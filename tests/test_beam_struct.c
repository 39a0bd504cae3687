/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/beam_struct.h"

#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Structs of modules that Elixir's own compiler made. */
struct fixture {
    struct harness *harness;
    struct nzd_arena arena;
    struct nzd_err err;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct fixture *fixture = harness_alloc(harness, sizeof *fixture);
    fixture->harness = harness;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    nzd_arena_clear(&fixture->arena);
    harness_close(fixture->harness);
    return 0;
}

static int read_beam(struct fixture *fixture, const char *release,
                     const char *path, size_t cut, struct nzd_beam_struct *out)
{
    static char bytes[1 << 16];
    FILE *file =
        fopen(harness_text(fixture->harness, "%s/%s",
                           harness_fixture(fixture->harness, release), path),
              "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(size > cut);
    return nzd_beam_struct_read(nzd_view_of(bytes, size - cut), &fixture->arena,
                                out, &fixture->err);
}

#define STEADY(n, file) "steady-" n, "lib/steady-" n ".0.0/ebin/" file

static void keys_of_a_struct(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_beam_struct found;
    assert_int_equal(
        read_beam(fixture, STEADY("2", "Elixir.Steady.beam"), 0, &found), 0);
    assert_true(found.found);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.keys[0], "seen");
    assert_string_equal(found.keys[1], "since");
    assert_true(nzd_beam_struct_has(&found, "since"));
    assert_int_equal(
        read_beam(fixture, STEADY("1", "Elixir.Steady.Item.beam"), 0, &found),
        0);
    assert_int_equal(found.count, 3);
    assert_string_equal(found.keys[1], "sum");
    assert_false(nzd_beam_struct_has(&found, "__struct__"));
}

static void others_have_none(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_beam_struct found;
    assert_int_equal(
        read_beam(fixture, STEADY("1", "Elixir.Steady.beam"), 0, &found), 0);
    assert_false(found.found);
    assert_int_equal(
        read_beam(fixture, STEADY("2", "steady_srv.beam"), 0, &found), 0);
    assert_false(found.found);
}

static void damage_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_beam_struct found;
    assert_int_equal(
        read_beam(fixture, STEADY("2", "Elixir.Steady.beam"), 100, &found),
        NZD_EBUNDLE);
    assert_false(found.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_a_struct),
        cmocka_unit_test(others_have_none),
        cmocka_unit_test(damage_is_refused),
    };
    return cmocka_run_group_tests_name("beam_struct", tests, setup, teardown);
}
