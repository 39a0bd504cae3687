/* SPDX-License-Identifier: Apache-2.0 */

/* What `nzd journal import` takes for no export. */
#include "exported.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The export of a journal of every kind. */
static const char *filled(struct exported *place)
{
    exported_fill(place);
    return exported_text(place);
}

static void refused(struct exported *place, const char *text, const char *says)
{
    const char *path = harness_path(place->harness, "spoilt.jsonl");
    struct harness_run run;

    harness_write_file(path, text);
    run = exported_journal(place, place->to, "import", path);
    if (run.status != 3)
        print_error("%.300s\n", text);
    assert_status(run, 3);
    assert_string_equal(run.out, "");
    assert_contains(run.err, says);
    assert_string_equal(exported_beside(place), "");
}

/* The text with an end that holds for all before it. */
static const char *sealed(struct exported *place, const char *text)
{
    const char *end = strstr(text, "{\"nzd\":1,\"record\":\"end\"");
    struct nzd_view before =
        nzd_view_of(text, end ? (size_t)(end - text) : strlen(text));
    struct nzd_digest digest = nzd_digest_of(before);
    char hex[NZD_DIGEST_HEX];
    unsigned lines = 0;

    for (size_t i = 0; i < before.size; i++)
        lines += before.data[i] == '\n';
    nzd_digest_hex(hex, &digest);
    return harness_text(place->harness,
                        "%.*s{\"nzd\":1,\"record\":\"end\",\"lines\":%u,"
                        "\"xxh3\":\"%s\"}\n",
                        (int)before.size, text, lines, hex);
}

/* The first `what` made `with`, and the end made to hold. */
static const char *with(struct exported *place, const char *text,
                        const char *what, const char *with)
{
    const char *at = strstr(text, what);

    if (!at)
        harness_fail("the export has no %s", what);
    return sealed(place,
                  harness_text(place->harness, "%.*s%s%s", (int)(at - text),
                               text, with, at + strlen(what)));
}

static void spelt_otherwise(void **state)
{
    static const struct {
        const char *what;
        const char *with;
        const char *says;
    } cases[] = {
        {"\"last\":3", "\"last\":3,\"new\":1", "line 1: \"new\" is not known"},
        {"\"last\":3,", "", "line 1: \"last\" is not there as a whole number"},
        {"\"last\":3", "\"last\":3.0", "\"last\" is not there as a whole"},
        {"\"last\":3", "\"last\":\"3\"", "\"last\" is not there as a whole"},
        {"\"last\":3", "\"last\":3,\"last\":3", "line 1: it is no JSON"},
        {"\"last\":3", "\"last\": 3", "line 1: it is not as nzd writes it"},
        {"\"last\":3", "\"last\":9", "transaction 4 is missing"},
        {"\"first\":1,\"last\":3", "\"last\":3,\"first\":1", "as nzd writes"},
        {"\"last\":3", "\"last\":99999999999999999999", "it is no JSON"},
        {"\"format\":1", "\"format\":2", "written by a newer nzd (format 2"},
        {"{\"nzd\":1,", "{\"nzd\":2,", "line 1: \"nzd\" is not 1"},
        {"{\"nzd\":1,", "[{\"nzd\":1,", "line 1: it is no JSON"},
        {"\"record\":\"module\"", "\"record\":\"modul\"", "\"record\" is not"},
        {"\"kind\":\"apply\"", "\"kind\":\"appl\"", "\"kind\" is not one of"},
        {"\"verdict\":\"nothing\"", "\"verdict\":\"hot\\u0000\"", "no JSON"},
        {"\"state\":\"committed\"", "\"state\":\"committed \"", "\"state\""},
        {"\"app\":\"app\"", "\"app\":\"\xFF\"", "it is no JSON"},
        {"\"app\":\"app\"", "\"app\":\"app\",\"app_base64\":\"YXBw\"",
         "\"app_base64\" is not known"},
        {"\"app\":\"app\"", "\"app\":\"app\",\"app_base64\":\"YQA=\"",
         "\"app_base64\" is not the base64 of a text"},
        {"\"app\":\"app\"", "\"app\":\"other\"", "module rows are not those"},
        {"\"new_md5\":\"", "\"new_md5\":\"A", "hexadecimal"},
        {"\"count\":1", "\"count\":4294967297", "a number of 32 bits"},
        {"\"label\":\"armed\"", "\"label\":\"Armed\"", "the chain of events"},
        {"\"bytes\":6,\"base64\"", "\"bytes\":7,\"base64\"",
         "\"bytes\" is not"},
        {"\"base64\":\"Y29k", "\"base64\":\"Y29K", "another digest"},
        {"\"base64\":\"Y29k", "\"base64\":\"Y2 9k", "\"base64\" is not"},
        {"\"base64\":\"Y29k", "\"base64\":\"\",\"x\":\"Y29k", "\"base64\""},
        {"{\"nzd\":1,\"record\":\"blob\"", "\n{\"nzd\":1,\"record\":\"blob\"",
         "it is no JSON"},
    };
    struct exported *place = *state;
    const char *text = filled(place);

    assert_string_equal(sealed(place, text), text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(place, with(place, text, cases[i].what, cases[i].with),
                cases[i].says);
}

static void texts_past_their_bounds(void **state)
{
    struct exported *place = *state;
    struct nzd_buf longer = {0};
    const char *text = filled(place);

    nzd_buf_text(&longer, "\"why\":\"");
    for (int i = 0; i < NZD_RECORD_TEXT_MAX; i++)
        nzd_buf_u8(&longer, 'x');
    nzd_buf_text(&longer, "x");
    refused(place, with(place, text, "\"why\":\"", nzd_buf_string(&longer)),
            "\"why\" is not within the bound");
    nzd_buf_reset(&longer);
    for (int i = 0; i < 100000; i++)
        nzd_buf_text(&longer, "[");
    refused(place, with(place, text, "{\"nzd\":1", nzd_buf_string(&longer)),
            "it is no JSON");
    nzd_buf_clear(&longer);
}

static void lines_out_of_order(void **state)
{
    struct exported *place = *state;
    const char *text = filled(place);
    const char *rest;

    for (rest = text; *rest;) {
        size_t size = strcspn(rest, "\n") + 1;
        int before = (int)(rest - text);
        const char *next = rest + size;
        size_t more = *next ? strcspn(next, "\n") + 1 : 0;

        /* Twice, left out, and after its successor. */
        refused(place,
                harness_text(place->harness, "%.*s%.*s%s", before + (int)size,
                             text, (int)size, rest, next),
                "line ");
        refused(place,
                harness_text(place->harness, "%.*s%s", before, text, next),
                "line ");
        if (more > 0)
            refused(place,
                    sealed(place, harness_text(place->harness, "%.*s%.*s%.*s%s",
                                               before, text, (int)more, next,
                                               (int)size, rest, next + more)),
                    "spoilt.jsonl: ");
        rest = next;
    }
}

static void cut_anywhere(void **state)
{
    struct exported *place = *state;
    const char *text = filled(place);
    size_t size = strlen(text);

    for (size_t at = 0; at < size; at += 1 + at % 7 + size / 25)
        refused(place, harness_text(place->harness, "%.*s", (int)at, text),
                "line ");
    refused(place, harness_text(place->harness, "%.*s", (int)size - 1, text),
            "it is cut off");
    refused(place, harness_text(place->harness, "%s\n", text), "line ");
    refused(place, harness_text(place->harness, "%s{}", text), "line ");
    refused(place,
            harness_text(place->harness, "%.*s1%s",
                         (int)(strstr(text, "\"lines\":") + 8 - text), text,
                         strstr(text, "\"lines\":") + 8),
            " lines before it, not 1");
    refused(place, "", "line 1: it is missing, the export is not whole");
}

static void flipped_anywhere(void **state)
{
    struct exported *place = *state;
    const char *text = filled(place);
    size_t size = strlen(text);

    for (size_t at = 0; at < size; at += 1 + at % 5 + size / 35) {
        char *copy = harness_alloc(place->harness, size + 1);

        memcpy(copy, text, size);
        copy[at] = (char)(copy[at] ^ (1 << at % 7));
        if (copy[at] == '\0')
            copy[at] = ' ';
        refused(place, copy, "line ");
    }
}

static void a_line_without_end(void **state)
{
    struct exported *place = *state;
    struct harness_run run;

    ledger_close(&place->from);
    run = exported_shell(
        place,
        "head -c 95000000 /dev/zero | tr '\\0' x | %s journal import "
        "- --journal %s %s %s",
        place->to, "", "");
    assert_status(run, 3);
    assert_contains(run.err, "line 1: it is longer than any line can be");
    assert_string_equal(exported_beside(place), "");
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, exported_set_up, exported_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(spelt_otherwise),    CASE(texts_past_their_bounds),
        CASE(lines_out_of_order), CASE(cut_anywhere),
        CASE(flipped_anywhere),   CASE(a_line_without_end),
    };

    return cmocka_run_group_tests_name("cmd_transfer_bad", tests, NULL, NULL);
}
