/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/beam_reach.h"
#include "facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each function does one thing; rea_b is fetched when it is wanted. */
static const char rea_a[] =
    "-module(rea_a).\n-compile([export_all, nowarn_export_all]).\n"
    "sum(L) -> lists:foldl(fun(A, B) -> A + B end, 0, L).\n"
    "here(X) -> two(X).\n"
    "two(X) when X > 1 -> here(X - 1); two(X) -> {byte_size(X), get(x)}.\n"
    "calls(F) -> F(1).\n"
    "sends(P) -> P ! hello.\n"
    "waits() -> receive X -> X end.\n"
    "sleeps() -> receive after 10 -> ok end.\n"
    "writes(X) -> file:write_file(\"x\", X).\n"
    "branch(X) -> case X of 1 -> one; _ -> writes(X) end.\n"
    "lambda(X) -> fun() -> ets:insert(x, X) end.\n"
    "dynamic(M) -> M:f(1).\n"
    "applied(M, F) -> apply(M, F, [1, 2]).\n"
    "literal() -> [{f, fun rea_b:pure/1}, fun ets:delete/1].\n"
    "of_set() -> {fun rea_a:sum/1}.\n"
    "away(X) -> rea_b:pure(X).\n"
    "far(X) -> rea_b:bad(X).\n"
    "back(X) -> rea_b:back(X).\n"
    "by_name(X) -> rea_b:dynamic(X).\n"
    "nowhere(X) -> rea_c:f(X).\n"
    "undefined(X) -> rea_b:none(X).\n"
    "native(X) -> rea_n:f(X).\n"
    "exits(P) -> exit(P, kill).\n"
    "fails(X) -> exit(X).\n"
    "flag() -> process_flag(trap_exit, true).\n"
    "env() -> application:get_env(a, b).\n"
    "now_() -> {erlang:system_time(), erlang:monotonic_time()}.\n";
static const char rea_b[] =
    "-module(rea_b).\n-export([pure/1, bad/1, back/1, dynamic/1]).\n"
    "back(X) -> rea_a:sum(X).\n"
    "dynamic(M) -> M:f(1).\n"
    "pure(X) -> maps:map(fun(_, V) -> V + 1 end, X).\n"
    "bad(X) -> pure(X), note(X).\n"
    "note(X) -> gen_server:cast(rea, X).\n";
static const char rea_n[] = "-module(rea_n).\n-export([f/1, g/0]).\n"
                            "g() -> erlang:load_nif(\"x\", 0).\n"
                            "f(X) -> X.\n";

struct fixture {
    struct harness *harness;
    struct nzd_reach *reach;
    struct nzd_view beams[3];
    struct nzd_err err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct nzd_reader reader;

    *state = fixture;
    if (!fixture)
        return -1;
    fixture->harness = harness_open();
    harness_write_file(harness_path(fixture->harness, "rea_a.erl"), rea_a);
    harness_write_file(harness_path(fixture->harness, "rea_b.erl"), rea_b);
    harness_write_file(harness_path(fixture->harness, "rea_n.erl"), rea_n);
    facts_run(fixture->harness, "made");
    nzd_reader_init(&reader, facts_file(fixture->harness, "beams"));
    for (int i = 0; i < 3; i++)
        facts_block(&reader, &fixture->beams[i]);
    if (nzd_reach_open(&fixture->reach, &fixture->err) != 0)
        return -1;
    return nzd_reach_add(fixture->reach, fixture->beams[0], true,
                         &fixture->err);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    nzd_reach_close(fixture->reach);
    harness_close(fixture->harness);
    free(fixture);
    return 0;
}

/* Where it ends, once rea_b and rea_n are there; rea_c is nowhere. */
static struct nzd_reach_end from(struct fixture *fixture, const char *function,
                                 uint32_t arity)
{
    struct nzd_reach_end end;

    do {
        int rc = nzd_reach_from(fixture->reach, "rea_a", function, arity, &end,
                                &fixture->err);

        assert_int_equal(rc, 0);
        if (end.kind != NZD_REACH_WANTS)
            break;
        if (strcmp(end.module, "rea_c") == 0)
            rc = nzd_reach_add_missing(fixture->reach, "rea_c", &fixture->err);
        else
            rc = nzd_reach_add(fixture->reach,
                               fixture->beams[end.module[4] == 'b' ? 1 : 2],
                               false, &fixture->err);
        assert_int_equal(rc, 0);
    } while (true);
    return end;
}

static void pure(struct fixture *fixture, const char *function, uint32_t arity,
                 bool calls_funs)
{
    struct nzd_reach_end end = from(fixture, function, arity);

    if (end.kind != NZD_REACH_PURE)
        fail_msg("%s: %d, %s", function, end.kind, end.why);
    assert_int_equal(end.calls_funs, calls_funs);
}

static void impure(struct fixture *fixture, const char *function,
                   uint32_t arity, const char *why)
{
    struct nzd_reach_end end = from(fixture, function, arity);

    if (end.kind != NZD_REACH_EFFECT)
        fail_msg("%s: %d", function, end.kind);
    assert_string_equal(end.why, why);
}

static void what_only_computes(void **state)
{
    struct fixture *fixture = *state;

    assert_false(nzd_reach_used(fixture->reach, "rea_a"));
    pure(fixture, "sum", 1, true);
    assert_true(nzd_reach_used(fixture->reach, "rea_a"));
    pure(fixture, "here", 1, false);
    pure(fixture, "calls", 1, true);
    pure(fixture, "away", 1, true);
    pure(fixture, "undefined", 1, false);
    pure(fixture, "fails", 1, false);
    pure(fixture, "env", 0, false);
    pure(fixture, "now_", 0, false);
    assert_false(nzd_reach_used(fixture->reach, "rea_b"));
    assert_int_equal(from(fixture, "sum", 2).kind, NZD_REACH_ABSENT);
}

static void what_does_more(void **state)
{
    struct fixture *fixture = *state;

    impure(fixture, "sends", 1, "a message, by rea_a:sends/1");
    impure(fixture, "waits", 0, "a message, by rea_a:waits/0");
    impure(fixture, "sleeps", 0, "a message, by rea_a:sleeps/0");
    impure(fixture, "writes", 1, "file:write_file/2, by rea_a:writes/1");
    impure(fixture, "branch", 1, "file:write_file/2, by rea_a:writes/1");
    impure(fixture, "lambda", 1, "ets:insert/2, by rea_a:-lambda/1-fun-0-/1");
    impure(fixture, "exits", 1, "erlang:exit/2, by rea_a:exits/1");
    impure(fixture, "flag", 0, "erlang:process_flag/2, by rea_a:flag/0");
    impure(fixture, "far", 1, "gen_server:cast/2, by rea_b:note/1");
}

static void what_cannot_be_followed(void **state)
{
    struct fixture *fixture = *state;

    /* Renamed code does not come there, other code does. */
    pure(fixture, "dynamic", 1, false);
    pure(fixture, "applied", 2, false);
    impure(fixture, "by_name", 1,
           "a call of a module that only shows when it runs, by "
           "rea_b:dynamic/1");
    impure(fixture, "back", 1,
           "the present code of rea_a:sum/1, by rea_b:back/1");
    impure(fixture, "literal", 0, "ets:delete/1, by rea_a:literal/0");
    impure(fixture, "of_set", 0, "fun rea_a:sum/1, by rea_a:of_set/0");
    impure(fixture, "nowhere", 1, "code of rea_c:f/1, by rea_a:nowhere/1");
    impure(fixture, "native", 1, "native code of rea_n:f/1, by rea_a:native/1");
}

static void damage_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_view half = {fixture->beams[1].data, fixture->beams[1].size / 2};

    assert_int_equal(nzd_reach_add(fixture->reach, half, false, &fixture->err),
                     NZD_EBUNDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_computes),
        cmocka_unit_test(what_does_more),
        cmocka_unit_test(what_cannot_be_followed),
        cmocka_unit_test(damage_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
