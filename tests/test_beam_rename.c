/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/beam.h"
#include "../staging/beam_rename.h"
#include "facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Names as data, as callees, as both; what a shadow must tell apart. */
static const char ren_a[] =
    "-module(ren_a).\n-vsn(7).\n"
    "-export([data/1, which/1, field/1, calls/0, far/0, mine/0, lambda/1,"
    " named/0, stack/0, ren_a/0, dyn/1, dyn/2, app/2]).\n"
    "-record(ren_a, {x}).\n"
    "data(#{'__struct__' := ren_a, b := ren_b}) ->"
    " {ok, ren_a, ren_b, ?MODULE}.\n"
    "which(ren_a) -> 1; which(ren_b) -> 2; which('x.ren_a') -> 3;"
    " which(other) -> 4.\n"
    "ren_a() -> ren_a(1).\n"
    "ren_a(X) -> fun(Y) -> X + Y end(ren_b:ren_a()).\n"
    "dyn(M) -> M:f().\n"
    "dyn(M, X) -> {ok, M:f(X)}.\n"
    "app(M, A) -> apply(M, f, A).\n"
    "field(#ren_a{x = X}) -> X.\n"
    "calls() -> ren_b:who(?MODULE).\n"
    "far() -> ?MODULE:mine().\n"
    "mine() -> mine.\n"
    "lambda(X) -> fun(Y) -> X + Y end.\n"
    "named() -> fun ren_b:who/1.\n"
    "stack() -> try {ok, ren_b:fails(1)} catch _:_:S ->"
    " lists:sublist(S, 2) end.\n";
static const char ren_b[] =
    "-module(ren_b).\n-export([who/1, fails/1, ren_a/0]).\n"
    "ren_a() -> 5.\n"
    "who(From) -> {b, ?MODULE, From}.\n"
    "fails(2) -> {?MODULE, \"two\"}.\n";

static int setup(void **state)
{
    struct facts *fixture;

    if (facts_set_up_vm(state))
        return -1;
    fixture = *state;
    harness_write_file(harness_path(fixture->harness, "ren_a.erl"), ren_a);
    harness_write_file(harness_path(fixture->harness, "ren_b.erl"), ren_b);
    return 0;
}

static int rename_one(struct facts *fixture, struct nzd_view file)
{
    static const char *const pair[] = {"ren_a", "ren_b"};
    struct nzd_rename rename = {"x.", pair, 2};
    struct nzd_arena arena = {0};
    struct nzd_beam beam;
    int rc = nzd_beam_read(file, 0, &arena, &beam, &fixture->err);

    if (rc == 0 && strncmp(beam.module, "ren_", 4) != 0) {
        rename.modules = &beam.module;
        rename.count = 1;
    }
    nzd_buf_reset(&fixture->buf);
    if (rc == 0)
        rc = nzd_beam_rename(file, &rename, &fixture->buf, &fixture->err);
    nzd_arena_clear(&arena);
    return rc;
}

/* Elixir holds a few that load code of their own, none that cannot be. */
static void the_vm_takes_what_comes_out(void **state)
{
    struct facts *fixture = *state;
    struct nzd_buf all = {0};
    struct nzd_reader reader;
    struct nzd_view file;
    int count = 0;

    facts_run(fixture->harness, "to_rename");
    nzd_reader_init(&reader, facts_file(fixture->harness, "beams"));
    for (; facts_block(&reader, &file); count++) {
        if (rename_one(fixture, file) != 0)
            fail_msg("module %d: %s", count, fixture->err.message);
        nzd_buf_block(&all, nzd_buf_view(&fixture->buf));
    }
    facts_write(fixture->harness, "renamed", nzd_buf_view(&all));
    nzd_buf_clear(&all);
    assert_int_equal(atoi(facts_run(fixture->harness, "renamed")), count - 4);
    assert_true(count > 300);
}

static struct nzd_view first_made(struct facts *fixture)
{
    struct nzd_reader reader;
    struct nzd_view file;

    facts_run(fixture->harness, "made");
    nzd_reader_init(&reader, facts_file(fixture->harness, "beams"));
    assert_true(facts_block(&reader, &file));
    return file;
}

static void refuse(struct facts *fixture, struct nzd_view file,
                   const struct nzd_rename *rename, int code, const char *why)
{
    nzd_err_clear(&fixture->err);
    nzd_buf_reset(&fixture->buf);
    assert_int_equal(
        nzd_beam_rename(file, rename, &fixture->buf, &fixture->err), code);
    assert_contains(fixture->err.message, why);
}

static void what_cannot_be_renamed_is_refused(void **state)
{
    static const char *const names[] = {"ren_a"};
    static const char *const others[] = {"ren", "ren_aa"};
    struct facts *fixture = *state;
    struct nzd_view file = first_made(fixture);
    struct nzd_buf prefix = {0}, unknown = {0};
    struct nzd_rename rename = {"x.", names, 1};
    uint8_t *code;

    rename.modules = others;
    rename.count = 2;
    refuse(fixture, file, &rename, NZD_EREFUSED, "not one of those");
    for (int i = 0; i < 251; i++)
        nzd_buf_text(&prefix, "p");
    rename = (struct nzd_rename){nzd_buf_string(&prefix), names, 1};
    refuse(fixture, file, &rename, NZD_EREFUSED, "too long");
    /* The first instruction, behind the head of 20 bytes, is a label. */
    nzd_buf_bytes(&unknown, file.data, file.size);
    code = memmem(unknown.data, unknown.size, "Code", 4);
    assert_int_equal(code[28], 1);
    code[28] = 250;
    rename.prefix = "x.";
    refuse(fixture, nzd_buf_view(&unknown), &rename, NZD_EREFUSED, "newer VM");
    refuse(fixture, nzd_view_of(file.data, file.size / 2), &rename, NZD_EBUNDLE,
           "cut short");
    nzd_buf_clear(&prefix);
    nzd_buf_clear(&unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_vm_takes_what_comes_out, setup,
                                        facts_tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_renamed_is_refused,
                                        setup, facts_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
