/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Foreign text on its way to a terminal or into JSON, and Base64. Besides
 * memory errors: nothing that a terminal obeys comes out, what is safe comes
 * out as it is, and lines are as wide as they are said to be.
 */

#include "../engine/base64.h"
#include "../engine/format.h"
#include "../engine/line.h"
#include "../engine/output.h"
#include "support.h"

#include <string.h>

static void check_printable(struct nzd_view text)
{
    struct nzd_buf out = {0}, again = {0};

    nzd_printable(&out, text);
    for (struct nzd_view left = nzd_buf_view(&out); left.size > 0;) {
        uint32_t point = 0;
        size_t length = nzd_utf8_next(left, &point);

        fuzz_require(length > 0 && point >= 0x20 &&
                     (point < 0x7f || point >= 0xa0));
        fuzz_require(point < 0x202a || point > 0x202e);
        left.data += length;
        left.size -= length;
    }
    nzd_printable(&again, nzd_buf_view(&out));
    fuzz_require(nzd_view_equal(nzd_buf_view(&out), nzd_buf_view(&again)));
    (void)nzd_columns(nzd_buf_string(&out));
    nzd_buf_clear(&again);
    nzd_buf_clear(&out);
}

static void check_ascii(struct nzd_view text)
{
    struct nzd_buf out = {0};

    nzd_printable_ascii(&out, text);
    for (size_t i = 0; i < out.size; i++)
        fuzz_require(out.data[i] >= 0x20 && out.data[i] < 0x7f);
    fuzz_require(nzd_columns(nzd_buf_string(&out)) == out.size);
    nzd_buf_clear(&out);
}

static void check_json(struct nzd_arena *arena, struct nzd_view text)
{
    char *copy = nzd_arena_text(arena, (const char *)text.data, text.size);
    json_t *made = nzd_json_text(copy);
    char *dumped;

    fuzz_require(made != NULL);
    dumped = json_dumps(made, JSON_ENCODE_ANY);
    fuzz_require(dumped != NULL);
    free(dumped);
    json_decref(made);
}

static void check_base64(struct nzd_view text)
{
    struct nzd_buf made = {0}, back = {0}, again = {0};

    nzd_base64(&made, text);
    fuzz_require(nzd_unbase64(&back, nzd_buf_view(&made)));
    fuzz_require(nzd_view_equal(nzd_buf_view(&back), text));
    nzd_buf_reset(&back);
    if (nzd_unbase64(&back, text)) {
        nzd_base64(&again, nzd_buf_view(&back));
        fuzz_require(nzd_view_equal(nzd_buf_view(&again), text));
    } else {
        fuzz_require(back.size == 0);
    }
    nzd_buf_clear(&made);
    nzd_buf_clear(&back);
    nzd_buf_clear(&again);
}

/* Without what breaking a line adds or takes. */
static size_t squeeze(const char *text, char *out)
{
    size_t size = 0;

    for (; *text; text++)
        if (*text != ' ' && *text != '\n')
            out[size++] = *text;
    return size;
}

static void check_lines(struct nzd_arena *arena, const char *text,
                        struct nzd_buf *made, size_t limit)
{
    const char *broken = nzd_buf_string(made);
    char *one = nzd_arena_alloc(arena, strlen(text) + 1);
    char *two = nzd_arena_alloc(arena, made->size + 1);
    size_t size = squeeze(text, one);

    fuzz_require(one && two);
    fuzz_require(squeeze(broken, two) == size && memcmp(one, two, size) == 0);
    for (const char *line = broken; *line;) {
        size_t length = strcspn(line, "\n");
        const char *next = line + length + (line[length] == '\n');
        char *copy;

        /* Spaces at the end are not written. */
        while (length > 0 && line[length - 1] == ' ')
            length--;
        copy = nzd_arena_text(arena, line, length);
        fuzz_require(copy && nzd_line_columns(copy) <= limit);
        line = next;
    }
    nzd_buf_clear(made);
}

/* However narrow, no line is too wide and nothing is lost. */
static void check_broken(struct nzd_arena *arena, struct nzd_view text)
{
    struct nzd_buf safe = {0}, made = {0};
    const char *all;
    size_t limit = 20 + text.size % 40;

    nzd_printable(&safe, text);
    all = nzd_buf_string(&safe);
    nzd_line_fold(&made, all, limit);
    check_lines(arena, all, &made, limit);
    (void)nzd_line_wrap(&made, all, 0, limit);
    check_lines(arena, all, &made, limit);
    nzd_line_row(&made, "", all, "", limit, true);
    check_lines(arena, all, &made, limit);
    nzd_buf_clear(&safe);
}

/* Each number has a form that fits. */
static void check_forms(struct nzd_view text)
{
    static void (*const forms[])(char *, uint64_t) = {
        nzd_format_duration, nzd_format_took,    nzd_format_bytes,
        nzd_format_time,     nzd_format_rfc3339, nzd_format_clock,
    };
    struct nzd_reader reader;
    uint64_t number;
    char out[40];

    nzd_reader_init(&reader, text);
    number = nzd_read_u64(&reader);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        memset(out, 1, sizeof(out));
        forms[i](out, number);
        fuzz_require(memchr(out, 0, i < 3 ? 32 : sizeof(out)) && out[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_view text = nzd_view_of(data, size);
    struct nzd_arena arena = {0};

    check_printable(text);
    check_ascii(text);
    check_json(&arena, text);
    check_base64(text);
    check_broken(&arena, text);
    check_forms(text);
    nzd_arena_clear(&arena);
    return 0;
}
