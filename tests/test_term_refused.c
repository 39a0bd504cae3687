/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/limits.h"
#include "../staging/term.h"
#include "terms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- source text --- */

static void text_refused(void **state)
{
    static const char *const refused[][2] = {
        {"a", "line 1: expected a dot after the term"},
        {"\n\na b.", "line 3: expected a dot after the term"},
        {"{a}.{b}.", "line 1: expected a dot after the term"},
        {"{a.", "line 1: expected , or }"},
        {"{a,\n}.", "line 2: not a term"},
        {"[a|b,c].", "line 1: expected , or ]"},
        {"#{a}.", "line 1: expected =>"},
        {"#{a => 1,a => 2}.", "line 1: a map with a key twice"},
        {"#r{}.", "line 1: expected #{"},
        {"{X}.", "line 1: a variable is not a term"},
        {"{_}.", "line 1: a variable is not a term"},
        {"a + b.", "line 1: expected a dot after the term"},
        {"\n\"abc\n.\n", "line 2: a quote that is never closed"},
        {"'abc", "line 1: a quote that is never closed"},
        {"1.0e999.", "line 1: not a float"},
        {"37#1.", "line 1: a base is 2 to 36"},
        {"2#3.", "line 1: expected digits"},
        {"1__0.", "line 1: expected a dot after the term"},
        {"\"\\x{110000}\".", "line 1: not a character"},
        {"\"\\x{d800}\".", "line 1: not a character"},
        {"\"\\xz\".", "line 1: wrong \\x escape"},
        {"$", "line 1: cut short"},
        {"{a,", "line 1: cut short"},
        {"<<1", "line 1: expected , or >>"},
        {"<<a>>.", "line 1: expected digits"},
        {"<<1.5>>.", "line 1: a float in a binary"},
        {"<<1:999999>>.", "line 1: wrong size of a segment"},
        {"<<1/little>>.", "line 1: a type of segment that is no constant"},
        {"fun a/1.", "line 1: expected fun Module:Function/Arity"},
        {"fun a:b/256.", "line 1: not an arity"},
        {"fun() -> ok end.", "line 1: expected an atom"},
        {"\"\"\"\n x\n  \"\"\".", "line 2: wrong indentation of a "
                                  "triple-quoted string"},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct nzd_term *out = NULL;
        struct nzd_err err = NZD_ERR_INIT;

        assert_int_equal(nzd_term_parse(nzd_view_text(refused[i][0]),
                                        &fixture->arena, &out, &err),
                         NZD_EBUNDLE);
        assert_string_equal(err.message, refused[i][1]);
        assert_null(out);
    }
}

/* --- damage --- */

static void refused_at(struct facts *fixture, const char *bytes, size_t size,
                       const char *message)
{
    const struct nzd_term *out = NULL;
    struct nzd_err err = NZD_ERR_INIT;

    assert_int_equal(
        nzd_term_decode(nzd_view_of(bytes, size), &fixture->arena, &out, &err),
        NZD_EBUNDLE);
    assert_string_equal(err.message, message);
    assert_null(out);
}

static void etf_refused(void **state)
{
    static const struct {
        const char *etf;
        size_t size;
        const char *message;
    } cases[] = {
#define RAW(bytes) bytes, sizeof(bytes) - 1
        {RAW(""), "term: not an external term"},
        {RAW("\x82j"), "term: not an external term"},
        {RAW("\x83"), "term: cut short at byte 1"},
        {RAW("\x83jj"), "term: bytes after its end at byte 2"},
        {RAW("\x83\xff"), "term: an unknown tag at byte 2"},
        {RAW("\x83"
             "F\x7f\xf0\0\0\0\0\0\0"),
         "term: a float that is no number at byte 10"},
        {RAW("\x83w\1\xff"), "term: an atom that is not UTF-8 at byte 4"},
        {RAW("\x83t\0\0\0\2a\1a\2a\1a\3"),
         "term: a map with a key twice at byte 14"},
        {RAW("\x83t\0\0\0\2a\1jn\1\0\1j"),
         "term: a map with a key twice at byte 14"},
        {RAW("\x83M\0\0\0\0\1"),
         "term: a bitstring with a wrong number of bits at byte 7"},
        {RAW("\x83M\0\0\0\1\11x"),
         "term: a bitstring with a wrong number of bits at byte 8"},
        {RAW("\x83ga\1\0\0\0\0\0\0\0\0\0"), "term: not an atom at byte 4"},
        {RAW("\x83qw\1aw\1bw\1c"), "term: not an external fun at byte 11"},
        {RAW("\x83P\xff\xff\xff\xff\x78\x9c"),
         "term: a wrong size of compressed data"},
        {RAW("\x83P\0\0\0\5\x78\x9cxxxx"), "compressed data: cut short"},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused_at(fixture, cases[i].etf, cases[i].size, cases[i].message);
}

/* Numbers of elements that are not there cost no memory. */
static void claims_cost_nothing(void **state)
{
    static const char *const heads[] = {
        "l\xff\xff\xff\xff", "t\xff\xff\xff\xff", "i\xff\xff\xff\xff",
        "l\0\0\x7f\xff",     "m\xff\xff\xff\xff", "o\xff\xff\xff\xff"};
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        const struct nzd_term *out = NULL;
        struct nzd_err err = NZD_ERR_INIT;

        nzd_buf_reset(&fixture->buf);
        nzd_etf_version(&fixture->buf);
        for (int k = 0; k < 100; k++)
            nzd_buf_bytes(&fixture->buf, heads[i], 5);
        for (int k = 0; k < 0x8000; k++)
            nzd_etf_nil(&fixture->buf);
        assert_int_equal(nzd_term_decode(nzd_buf_view(&fixture->buf),
                                         &fixture->arena, &out, &err),
                         NZD_EBUNDLE);
        assert_true(fixture->arena.total < 20 * fixture->buf.size);
        nzd_arena_clear(&fixture->arena);
    }
}

/* [x|[x|[x|...BIG]]]: each tail that is a list is copied into the list before
 * it, which is counted. */
static void tails_are_counted(void **state)
{
    struct facts *fixture = *state;

    nzd_etf_version(&fixture->buf);
    for (int i = 0; i < 150; i++) {
        nzd_etf_list(&fixture->buf, 1);
        nzd_etf_nil(&fixture->buf);
    }
    nzd_etf_list(&fixture->buf, 100000);
    for (int i = 0; i <= 100000; i++)
        nzd_etf_nil(&fixture->buf);
    refused_at(fixture, (char *)fixture->buf.data, fixture->buf.size,
               "term: too many terms at byte 100907");
    assert_true(fixture->arena.total < 8 * (NZD_LIMIT_TERM_NODES + 200000u));
}

static void nesting_ends(void **state)
{
    struct facts *fixture = *state;
    struct nzd_buf text = {0};
    const struct nzd_term *out = NULL;
    struct nzd_err err = NZD_ERR_INIT;

    nzd_etf_version(&fixture->buf);
    for (int i = 0; i < 100000; i++) {
        nzd_etf_tuple(&fixture->buf, 1);
        nzd_buf_text(&text, "[");
    }
    nzd_etf_nil(&fixture->buf);
    refused_at(fixture, (char *)fixture->buf.data, fixture->buf.size,
               "term: nested too deep at byte 403");
    assert_int_equal(
        nzd_term_parse(nzd_buf_view(&text), &fixture->arena, &out, &err),
        NZD_EBUNDLE);
    assert_string_equal(err.message, "line 1: nested too deep");
    nzd_buf_clear(&text);
}

static void atoms_have_a_length(void **state)
{
    struct facts *fixture = *state;

    nzd_buf_text(&fixture->buf, "\x83w\xff");
    for (int i = 0; i < 255; i++)
        nzd_buf_text(&fixture->buf, "x");
    (void)terms_decode(fixture, nzd_buf_view(&fixture->buf));
    nzd_buf_reset(&fixture->buf);
    nzd_buf_bytes(&fixture->buf, "\x83v\1\0", 4);
    for (int i = 0; i < 256; i++)
        nzd_buf_text(&fixture->buf, "x");
    refused_at(fixture, (char *)fixture->buf.data, fixture->buf.size,
               "term: too long an atom at byte 260");
}

/* Whatever is accepted holds together: it is written and read again. */
static void try_bytes(struct nzd_view view, bool text)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_term *term;
    const struct nzd_term *again;
    struct nzd_buf buf = {0};
    int rc = text ? nzd_term_parse(view, &arena, &term, &err)
                  : nzd_term_decode(view, &arena, &term, &err);

    assert_true(rc == 0 || (rc == NZD_EBUNDLE && err.message[0]));
    if (rc == 0) {
        nzd_etf_version(&buf);
        nzd_term_encode(term, &buf);
        assert_int_equal(
            nzd_term_decode(nzd_buf_view(&buf), &arena, &again, &err), 0);
        assert_same(term, again);
        nzd_term_print(term, 200, &buf);
    }
    nzd_buf_clear(&buf);
    nzd_arena_clear(&arena);
}

/* Each byte cut off, each bit turned around, in memory of just that size. */
static void damage(struct nzd_view view, bool text)
{
    for (size_t size = 0; size <= view.size; size++) {
        uint8_t *copy = malloc(size ? size : 1);

        assert_non_null(copy);
        memcpy(copy, view.data, size);
        try_bytes(nzd_view_of(copy, size), text);
        free(copy);
    }
    for (size_t bit = 0; bit < 8 * view.size; bit++) {
        uint8_t *copy = malloc(view.size);

        assert_non_null(copy);
        memcpy(copy, view.data, view.size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        try_bytes(nzd_view_of(copy, view.size), text);
        free(copy);
    }
}

static void damaged_etf(void **state)
{
    struct facts *fixture = *state;
    struct nzd_reader reader;
    struct nzd_view block;

    facts_write(
        fixture->harness, "terms",
        nzd_view_text("{[{a,\"b\",[256|c]},#{k => <<\"v\">>,[1] => 2.5},"
                      "fun l:m/2],16#ffffffffffffffffff,<<1:3>>,"
                      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}."));
    (void)facts_run(fixture->harness, "terms");
    nzd_reader_init(&reader, facts_file(fixture->harness, "etf"));
    while (facts_block(&reader, &block))
        damage(block, false);
    (void)facts_run(fixture->harness, "identities");
    nzd_reader_init(&reader, facts_file(fixture->harness, "identities"));
    while (facts_block(&reader, &block))
        damage(block, false);
}

static void damaged_text(void **state)
{
    static const char text[] =
        "%% coding: utf-8\n{a,'B c',[\"s\\x{41}\\n\" "
        "\"t\",$c|<<1:3,\"x\"/utf8>>],"
        "#{1.5e3 => 16#fF_F},fun m:f/1,~\"b\"}.\n\"\"\"\n  x\n  \"\"\".\n";

    (void)state;
    damage(nzd_view_text(text), true);
}

int main(void)
{
#define WITH_VM(test)                                                          \
    cmocka_unit_test_setup_teardown(test, facts_set_up_vm, facts_tear_down)
#define ALONE(test)                                                            \
    cmocka_unit_test_setup_teardown(test, facts_set_up, facts_tear_down)
    const struct CMUnitTest tests[] = {
        ALONE(text_refused),        ALONE(etf_refused),
        ALONE(claims_cost_nothing), ALONE(tails_are_counted),
        ALONE(nesting_ends),        ALONE(atoms_have_a_length),
        WITH_VM(damaged_etf),       ALONE(damaged_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
