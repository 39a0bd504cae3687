/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/term.h"
#include "terms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ENCODINGS 4 /* that nzd_test_facts:terms/1 writes of each term */

static const struct nzd_term *parse_all(struct facts *fixture, const char *text)
{
    const struct nzd_term *terms = NULL;

    if (nzd_term_parse(nzd_view_text(text), &fixture->arena, &terms,
                       &fixture->err))
        fail_msg("%s: %s", text, fixture->err.message);
    return terms;
}

/* One term, given without its dot. */
static const struct nzd_term *parse(struct facts *fixture, const char *text)
{
    const struct nzd_term *terms =
        parse_all(fixture, nzd_arena_printf(&fixture->arena, "%s .", text));

    assert_int_equal(nzd_term_length(terms), 1);
    return nzd_term_at(terms, 0);
}

static void assert_other(const struct nzd_term *a, const struct nzd_term *b)
{
    struct nzd_digest left = nzd_term_digest(a);
    struct nzd_digest right = nzd_term_digest(b);
    int order = nzd_term_compare(a, b);

    assert_int_not_equal(order, 0);
    assert_true((order < 0) == (nzd_term_compare(b, a) > 0));
    assert_false(nzd_digest_equal(&left, &right));
}

static const char *printed(struct facts *fixture, const struct nzd_term *term,
                           size_t limit)
{
    nzd_buf_reset(&fixture->buf);
    nzd_term_print(term, limit, &fixture->buf);
    return nzd_buf_string(&fixture->buf);
}

/* --- against the VM --- */

static const char terms_text[] =
    "%% -*- coding: utf-8 -*-\n"
    "a. 'A b'. ''.\n"
    "'quo\\'te\\\\'. aB_1@x. 'fun'. 'andalso'. [$a|b]. [a,b|c]. [1,2|[3]].\n"
    "0. 255. 256. -1. 2147483647. -2147483648. 2147483648. 16#ff. 1_000.\n"
    "9223372036854775807. 9223372036854775808. -9223372036854775808.\n"
    "-9223372036854775809. 340282366920938463463374607431768211456. 36#zZ.\n"
    "- 5. +5. -$a. 1.0. -0.0. 1.0e3. 0.1. 1.5e-10. 1.0e22. 123456789.125.\n"
    "$a. $\\n. $\\x{41}. $\\s. $\\^a. $\\101. $\\\\. $\n. % white\n"
    "\"\". \"abc\". \"a\" \"b\"\n  \"c\". \"\\x41\\x{263a}\". "
    "\"tab\\tq\\\"\\0\".\n"
    "\"\xc3\xa9\". \"two\nlines\". \"\\q\\e\\d\". [255,256]. "
    "\"abc\xe2\x82\xac\".\n"
    "{}. {a}. {a,{b,[c]}}. []. [[]]. #{}. #{b => 1,a => [2],\"k\" => {}}.\n"
    "#{1 => a,1.0 => b}.\n"
    "<<>>. <<\"abc\">>. <<1,2,3>>. <<\"\xc3\xa9\"/utf8>>. <<300,-1,0>>. "
    "<<5:3>>.\n"
    "<<1:16,2:24>>. <<\"ab\":16>>. <<$a,\"b\" \"c\">>. <<-3:12>>. "
    "<<1:1,0:1,\"a\">>.\n"
    "<<16#263a/utf8,1/big-unsigned-integer>>. "
    "<<16#fffffffffffffffffffe00:88>>.\n"
    "fun lists:map/2. fun 'A b':c/0. {[],'',<<>>,0,{[{[]}]}}.\n";

static void check_encodings(struct facts *fixture, const struct nzd_term *terms)
{
    struct nzd_reader reader;
    struct nzd_view block;
    uint32_t count = 0;

    nzd_reader_init(&reader, facts_file(fixture->harness, "etf"));
    while (facts_block(&reader, &block)) {
        assert_same(terms_decode(fixture, block),
                    nzd_term_at(terms, count / ENCODINGS));
        count++;
    }
    assert_int_equal(count, ENCODINGS * nzd_term_length(terms));
}

static void check_printed(struct facts *fixture, const struct nzd_term *terms)
{
    const char *lines = harness_read_file(
        fixture->harness, harness_path(fixture->harness, "printed"));

    for (uint32_t i = 0; i < nzd_term_length(terms); i++) {
        const char *end = strchr(lines, '\n');

        assert_non_null(end);
        assert_string_equal(
            printed(fixture, nzd_term_at(terms, i), 1000),
            nzd_arena_text(&fixture->arena, lines, (size_t)(end - lines)));
        lines = end + 1;
    }
    assert_string_equal(lines, "");
}

static void vm_agrees(void **state)
{
    struct facts *fixture = *state;
    const char *text = terms_text;
    const struct nzd_term *terms = parse_all(fixture, text);
    struct nzd_buf ours = {0};

    facts_write(fixture->harness, "terms", nzd_view_text(text));
    (void)facts_run(fixture->harness, "terms");
    check_encodings(fixture, terms);
    check_printed(fixture, terms);
    for (uint32_t i = 0; i < nzd_term_length(terms); i++) {
        nzd_buf_reset(&fixture->buf);
        nzd_etf_version(&fixture->buf);
        nzd_term_encode(nzd_term_at(terms, i), &fixture->buf);
        nzd_buf_block(&ours, nzd_buf_view(&fixture->buf));
    }
    facts_write(fixture->harness, "ours", nzd_buf_view(&ours));
    nzd_buf_clear(&ours);
    assert_string_equal(facts_run(fixture->harness, "same"), "same");
}

static void identities_keep_their_bytes(void **state)
{
    static const char *const begin[] = {"<nonode@nohost.", "#Ref<>", "#Port<>",
                                        "#Fun<>"};
    struct facts *fixture = *state;
    struct nzd_reader reader;
    struct nzd_view block;
    unsigned count = 0;

    (void)facts_run(fixture->harness, "identities");
    nzd_reader_init(&reader, facts_file(fixture->harness, "identities"));
    for (; facts_block(&reader, &block); count++) {
        const struct nzd_term *term = terms_decode(fixture, block);

        assert_int_equal(term->kind, NZD_TERM_OTHER);
        assert_true(strstr(printed(fixture, term, 100), begin[count]) ==
                    nzd_buf_string(&fixture->buf));
        nzd_buf_reset(&fixture->buf);
        nzd_etf_version(&fixture->buf);
        nzd_term_encode(term, &fixture->buf);
        assert_true(nzd_view_equal(nzd_buf_view(&fixture->buf), block));
    }
    assert_int_equal(count, 4);
}

/* An .app costs a few times its bytes. */
static void installed_texts_read(void **state)
{
    struct facts *fixture = *state;
    struct nzd_reader reader;
    struct nzd_view text;
    struct nzd_view etf;
    unsigned count = 0;

    (void)facts_run(fixture->harness, "texts");
    nzd_reader_init(&reader, facts_file(fixture->harness, "texts"));
    while (facts_block(&reader, &text) && facts_block(&reader, &etf)) {
        struct nzd_arena arena = {0};
        const struct nzd_term *terms;

        assert_int_equal(nzd_term_parse(text, &arena, &terms, &fixture->err),
                         0);
        assert_true(arena.total < 10 * text.size + 1024);
        assert_same(terms, terms_decode(fixture, etf));
        nzd_arena_clear(&arena);
        nzd_arena_clear(&fixture->arena);
        count++;
    }
    assert_true(count > 20);
}

/* --- meaning --- */

static void equal_by_meaning(void **state)
{
    static const struct {
        const char *etf;
        size_t size;
        const char *text;
    } same[] = {
#define ETF(bytes) "\x83" bytes, sizeof("\x83" bytes) - 1
        {ETF("d\0\2ok"), "ok"},
        {ETF("s\2ok"), "ok"},
        {ETF("v\0\2ok"), "ok"},
        {ETF("d\0\1\xe9"), "'\xc3\xa9'"},
        {ETF("k\0\2ab"), "[97,98]"},
        {ETF("l\0\0\0\2a\x61"
             "a\x62"
             "j"),
         "\"ab\""},
        {ETF("l\0\0\0\1a\x61k\0\1b"), "\"ab\""},
        {ETF("l\0\0\0\1a\x61l\0\0\0\1a\2a\3"), "[97,2|3]"},
        {ETF("l\0\0\0\0j"), "[]"},
        {ETF("k\0\0"), "\"\""},
        {ETF("n\1\0\5"), "5"},
        {ETF("n\3\1\5\0\0"), "-5"},
        {ETF("o\0\0\0\2\0\0\1"), "256"},
        {ETF("b\0\0\0\5"), "5"},
        {ETF("n\1\1\0"), "0"},
        {ETF("c1.50000000000000000000e+00\0\0\0\0\0"), "1.5"},
        {ETF("i\0\0\0\1a\1"), "{1}"},
        {ETF("t\0\0\0\2a\2a\3a\1a\0"), "#{1 => 0,2 => 3}"},
        {ETF("M\0\0\0\1\3\xbf"), "<<5:3>>"},
        {ETF("M\0\0\0\1\10\xbf"), "<<16#bf>>"},
        {ETF("qd\0\1ad\0\1ba\3"), "fun a:b/3"},
        {ETF("qw\1aw\1ba\3"), "fun a:b/3"},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_same(
            terms_decode(fixture, nzd_view_of(same[i].etf, same[i].size)),
            parse(fixture, same[i].text));
}

static void different_by_meaning(void **state)
{
    static const char *const terms[] = {
        "1",
        "1.0",
        "2",
        "-1",
        "a",
        "b",
        "\"a\"",
        "<<97>>",
        "[]",
        "{}",
        "#{}",
        "[a]",
        "[a,b]",
        "[a|b]",
        "{a}",
        "#{a => b}",
        "#{b => a}",
        "0.0",
        "-0.0",
        "<<97:7>>",
        "fun a:b/1",
        "fun a:b/2",
        "\"ab\"",
        "[97|98]",
        "[97,98,99]",
        "[97,256]",
        "16#ffffffffffffffffff",
        "-16#ffffffffffffffffff",
        "<<0>>",
        "<<0:7>>",
        "''",
        "'1'",
    };
    struct facts *fixture = *state;
    size_t count = sizeof(terms) / sizeof(terms[0]);

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            assert_other(parse(fixture, terms[i]), parse(fixture, terms[k]));
    }
}

static void order_is_transitive(void **state)
{
    static const char *const ascending[] = {
        "-5",     "0",        "7",      "1.5", "a",    "b",     "{}",
        "{z}",    "{a,a}",    "{a,b}",  "#{}", "[]",   "\"a\"", "[97,1]",
        "\"ab\"", "[97,256]", "[97,a]", "[a]", "<<>>", "<<0>>", "<<0,0>>",
    };
    struct facts *fixture = *state;
    size_t count = sizeof(ascending) / sizeof(ascending[0]);

    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++)
            assert_true(nzd_term_compare(parse(fixture, ascending[i]),
                                         parse(fixture, ascending[k])) < 0);
    }
}

/* --- source text --- */

static void text_forms(void **state)
{
    static const char *const same[][2] = {
        {"~\"a\\n\xc3\xa9\"", "<<\"a\\n\xc3\xa9\"/utf8>>"},
        {"~b\"a\"", "<<\"a\">>"},
        {"~s\"a\"", "\"a\""},
        {"\"\"\"\n  one\n    \"two\" \\n\n\n  \"\"\"",
         "\"one\\n  \\\"two\\\" \\\\n\\n\""},
        {"\"\"\"\"\n\"\"\"\n\"\"\"\"", "[34,34,34]"},
        {"\"\"\"\n\"\"\"", "[]"},
        {"<<16#ffffffffffffffffffff:80>>",
         "<<255,255,255,255,255,255,255,255,255,255>>"},
        {"\"\\^?\"", "[127]"},
        {"{ % why\n a % not\n}", "{a}"},
        {"\"a\" % one\n \"b\"", "\"ab\""},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_same(parse(fixture, same[i][0]), parse(fixture, same[i][1]));
}

static void text_encodings(void **state)
{
    struct facts *fixture = *state;
    const struct nzd_term *accent = parse(fixture, "[233]");

    assert_same(nzd_term_at(parse_all(fixture, "\"\xc3\xa9\"."), 0), accent);
    assert_same(nzd_term_at(parse_all(fixture, "\"\xe9\"."), 0), accent);
    assert_same(nzd_term_at(parse_all(fixture, "\xef\xbb\xbf\"\xc3\xa9\"."), 0),
                accent);
    assert_same(
        nzd_term_at(parse_all(fixture,
                              "% x\n%% -*- coding: Latin-1 -*-\n\"\xc3\xa9\"."),
                    0),
        parse(fixture, "[195,169]"));
    assert_same(
        nzd_term_at(parse_all(fixture, "\n\n%% coding: latin-1\n\"\xc3\xa9\"."),
                    0),
        accent);
    assert_int_equal(nzd_term_length(parse_all(fixture, "")), 0);
    assert_int_equal(nzd_term_length(parse_all(fixture, "a.\nb.%\nc.")), 3);
}

/* --- printing --- */

static void terminals_are_safe(void **state)
{
    static const struct {
        const char *text;
        const char *printed;
    } cases[] = {
        {"<<27,\"[2J\">>", "<<\"\\e[2J\">>"},
        {"\"\\e]0;x\\x{7}\"", "[27,93,48,59,120,7]"},
        {"'\\e[2J\\x{7}\\x{9b}'", "'\\e[2J\\x{7}\\x{9B}'"},
        {"<<\"\\x{202e}abc\"/utf8>>", "<<\"\\x{202E}abc\"/utf8>>"},
        {"<<255,\"a\">>", "<<255,97>>"},
        {"\"\\n\"", "\"\\n\""},
    };
    struct facts *fixture = *state;
    struct nzd_term raw = {.kind = NZD_TERM_ATOM,
                           .text = nzd_view_of("a\xff\x1b", 3)};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(
            printed(fixture, parse(fixture, cases[i].text), 100),
            cases[i].printed);
    assert_string_equal(printed(fixture, &raw, 100), "'a\\xFF\\e'");
}

static void printing_is_cut(void **state)
{
    struct facts *fixture = *state;
    const struct nzd_term *term = parse(fixture, "{abc,\"d\xc3\xa9\",[1,2,3]}");
    const char *whole = "{abc,\"d\xc3\xa9\",[1,2,3]}";

    assert_string_equal(printed(fixture, term, strlen(whole)), whole);
    assert_string_equal(printed(fixture, term, 7), "{abc,\"d...");
    assert_string_equal(printed(fixture, term, 0), "...");
    for (size_t limit = 0; limit < strlen(whole); limit++) {
        size_t size = strlen(printed(fixture, term, limit));

        assert_true(size <= limit + 3);
        assert_memory_equal(fixture->buf.data, whole, size - 3);
    }
}

/* --- looking in, writing by hand --- */

static void looking_in(void **state)
{
    struct facts *fixture = *state;
    const struct nzd_term *app = parse(
        fixture, "{application,x,[{vsn,\"1.2\"},{mod,{x,[]}},odd,{n,-7}]}");
    const struct nzd_term *list = nzd_term_at(app, 2);
    const struct nzd_term *map = parse(fixture, "#{a => 1,\"a\" => 2}");
    int64_t value = 0;

    assert_true(nzd_term_is_tagged(app, "application", 3));
    assert_true(nzd_term_is_tagged(app, NULL, 3));
    assert_false(nzd_term_is_tagged(app, "application", 2));
    assert_false(nzd_term_is_tagged(app, "app", 3));
    assert_false(nzd_term_is_tagged(NULL, NULL, 0));
    assert_true(nzd_term_is_atom(nzd_term_at(app, 1), "x"));
    assert_false(nzd_term_is_atom(nzd_term_at(app, 1), "xx"));
    assert_null(nzd_term_at(app, 3));
    assert_null(nzd_term_at(NULL, 0));
    assert_int_equal(nzd_term_length(list), 4);
    assert_string_equal(
        nzd_term_text(nzd_term_get(list, "vsn"), &fixture->arena), "1.2");
    assert_null(nzd_term_get(list, "odd"));
    assert_true(nzd_term_integer(nzd_term_get(list, "n"), &value));
    assert_int_equal(value, -7);
    assert_false(nzd_term_integer(nzd_term_get(list, "vsn"), &value));
    assert_true(nzd_term_integer(nzd_term_get(map, "a"), &value));
    assert_int_equal(value, 1);
    assert_null(nzd_term_get(map, "b"));
    assert_int_equal(nzd_term_length(parse(fixture, "\"abc\"")), 3);
    assert_int_equal(nzd_term_at(parse(fixture, "\"abc\""), 2)->integer, 'c');
    assert_null(nzd_term_at(parse(fixture, "\"abc\""), 3));
    assert_int_equal(nzd_term_length(parse(fixture, "[a|b]")), 0);
}

static void texts(void **state)
{
    static const char *const cases[][2] = {
        {"atom", "atom"},
        {"\"str\"", "str"},
        {"<<\"bin\">>", "bin"},
        {"\"\"", ""},
        {"<<>>", ""},
        {"[]", ""},
        {"[104,105]", "hi"},
        {"[233]", "\xc3\xa9"},
        {"'\xc3\xa9'", "\xc3\xa9"},
        {"[8364]", "\xe2\x82\xac"},
        {"[a]", NULL},
        {"[104|105]", NULL},
        {"\"a\\0b\"", NULL},
        {"<<0>>", NULL},
        {"<<1:3>>", NULL},
        {"{}", NULL},
        {"1", NULL},
        {"[1114112]", NULL},
        {"[55296]", NULL},
        {"[-1]", NULL},
        {"'a\\0b'", NULL},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text =
            nzd_term_text(parse(fixture, cases[i][0]), &fixture->arena);

        if (cases[i][1])
            assert_string_equal(text, cases[i][1]);
        else
            assert_null(text);
    }
    assert_null(nzd_term_text(NULL, &fixture->arena));
}

static void written_by_hand(void **state)
{
    struct facts *fixture = *state;
    struct nzd_buf *buf = &fixture->buf;

    nzd_etf_version(buf);
    nzd_etf_tuple(buf, 6);
    nzd_etf_atom(buf, "ok");
    nzd_etf_list(buf, 2);
    nzd_etf_integer(buf, INT64_MIN);
    nzd_etf_unsigned(buf, UINT64_MAX);
    nzd_etf_nil(buf);
    nzd_etf_map(buf, 1);
    nzd_etf_string(buf, "key");
    nzd_etf_binary(buf, nzd_view_text("value"));
    nzd_etf_list(buf, 0);
    nzd_etf_string(buf, "");
    nzd_etf_integer(buf, -1);
    assert_false(buf->failed);
    assert_same(terms_decode(fixture, nzd_buf_view(buf)),
                parse(fixture,
                      "{ok,[-9223372036854775808,18446744073709551615],"
                      "#{\"key\" => <<\"value\">>},[],[],-1}"));
}

static void long_ones(void **state)
{
    struct facts *fixture = *state;
    char *text = nzd_arena_alloc(&fixture->arena, 70001);
    const struct nzd_term *term;

    memset(text, 'x', 70000);
    nzd_etf_version(&fixture->buf);
    nzd_etf_tuple(&fixture->buf, 300);
    for (int i = 0; i < 300; i++)
        nzd_etf_string(&fixture->buf, i ? "" : text);
    term = terms_decode(fixture, nzd_buf_view(&fixture->buf));
    assert_int_equal(nzd_term_length(term), 300);
    assert_string_equal(nzd_term_text(nzd_term_at(term, 0), &fixture->arena),
                        text);
    assert_same(
        nzd_term_at(term, 0),
        parse(fixture, nzd_arena_printf(&fixture->arena, "\"%s\"", text)));
}

int main(void)
{
#define WITH_VM(test)                                                          \
    cmocka_unit_test_setup_teardown(test, facts_set_up_vm, facts_tear_down)
#define ALONE(test)                                                            \
    cmocka_unit_test_setup_teardown(test, facts_set_up, facts_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_VM(vm_agrees),
        WITH_VM(identities_keep_their_bytes),
        WITH_VM(installed_texts_read),
        ALONE(equal_by_meaning),
        ALONE(different_by_meaning),
        ALONE(order_is_transitive),
        ALONE(text_forms),
        ALONE(text_encodings),
        ALONE(terminals_are_safe),
        ALONE(printing_is_cut),
        ALONE(looking_in),
        ALONE(texts),
        ALONE(written_by_hand),
        ALONE(long_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
