/* SPDX-License-Identifier: Apache-2.0 */
#include "document.h"

#include "../journal/bytes.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 64

struct reader {
    struct harness *harness;
    struct document *document;
    struct document_display **last_display;
    struct document_phrase **last_phrase;
    struct document_reference **last_reference;
    const char *at; /* the rest of the file */
    unsigned line;  /* of `text` */
    char *text;     /* the line, without its end */
    struct document_mark *marks;
};

#define FAIL(reader, ...)                                                      \
    harness_fail("%s:%u: %s", (reader)->document->path, (reader)->line,        \
                 harness_text((reader)->harness, __VA_ARGS__))

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool next_line(struct reader *reader)
{
    size_t size = strcspn(reader->at, "\n");
    if (!*reader->at)
        return false;
    reader->text = harness_alloc(reader->harness, size + 1);
    memcpy(reader->text, reader->at, size);
    reader->at += size + (reader->at[size] != '\0');
    reader->line++;
    return true;
}

/* --- what is found --- */

static void add_mark(struct reader *reader, const char *text, size_t size)
{
    struct document_mark *mark = harness_alloc(reader->harness, sizeof *mark);
    struct document_mark **last = &reader->marks;
    mark->text = harness_text(reader->harness, "%.*s", (int)size, text);
    while (*last)
        last = &(*last)->next;
    *last = mark;
}

static void add_display(struct reader *reader, unsigned line, const char *text)
{
    struct document_display *display =
        harness_alloc(reader->harness, sizeof *display);
    *display = (struct document_display){
        .line = line, .text = text, .marks = reader->marks};
    reader->marks = NULL;
    *reader->last_display = display;
    reader->last_display = &display->next;
}

static void add_phrase(struct reader *reader, const char *text)
{
    struct document_phrase *phrase =
        harness_alloc(reader->harness, sizeof *phrase);
    *phrase = (struct document_phrase){.line = reader->line, .text = text};
    *reader->last_phrase = phrase;
    reader->last_phrase = &phrase->next;
}

static void add_reference(struct reader *reader, const char *text)
{
    struct document_reference *reference =
        harness_alloc(reader->harness, sizeof *reference);
    *reference =
        (struct document_reference){.line = reader->line, .text = text};
    *reader->last_reference = reference;
    reader->last_reference = &reference->next;
}

static void need_no_marks(struct reader *reader)
{
    if (reader->marks)
        FAIL(reader, "no display follows the mark \"%s\"", reader->marks->text);
}

/* Up to the line that ends it; `shown` gives each line as a reader sees it. */
static void read_display(struct reader *reader, const char *end,
                         const char *(*shown)(struct reader *, const char *))
{
    struct nzd_buf buf = {0};
    unsigned line = reader->line + 1;
    while (next_line(reader) && strcmp(reader->text, end) != 0)
        nzd_buf_printf(&buf, "%s\n", shown(reader, reader->text));
    if (strcmp(reader->text, end) != 0)
        FAIL(reader, "the display of line %u has no end", line);
    add_display(reader, line,
                harness_text(reader->harness, "%s", nzd_buf_string(&buf)));
    nzd_buf_clear(&buf);
}

/* --- Markdown --- */

static const char *as_it_is(struct reader *reader, const char *line)
{
    (void)reader;
    return line;
}

static void keep_code(struct reader *reader, const char *code)
{
    if (begins(code, "nzd ") || begins(code, "--"))
        add_phrase(reader, code);
}

static bool is_open(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '`';
    return count % 2 != 0;
}

/* Code spans; one may go on over the end of its line. */
static void markdown_code(struct reader *reader)
{
    const char *text = reader->text;
    while (is_open(text)) {
        if (!next_line(reader) || !*reader->text)
            FAIL(reader, "a code span has no end");
        text = harness_text(reader->harness, "%s %s", text,
                            reader->text + strspn(reader->text, " "));
    }
    for (const char *begin; (begin = strchr(text, '`'));) {
        const char *end = strchr(begin + 1, '`');
        keep_code(reader, harness_text(reader->harness, "%.*s",
                                       (int)(end - begin - 1), begin + 1));
        text = end + 1;
    }
}

static void markdown_links(struct reader *reader)
{
    for (const char *at = reader->text; (at = strstr(at, "](")); at += 2) {
        size_t size = strcspn(at + 2, ")#");
        if (size > 0 && !begins(at + 2, "http"))
            add_reference(reader, harness_text(reader->harness, "%.*s",
                                               (int)size, at + 2));
    }
}

static bool markdown_mark(struct reader *reader)
{
    const char *end = strstr(reader->text, " -->");
    if (!begins(reader->text, "<!--@ "))
        return false;
    if (!end || end[4])
        FAIL(reader, "a mark ends in \" -->\"");
    add_mark(reader, reader->text + 6, (size_t)(end - reader->text - 6));
    return true;
}

static void read_markdown(struct reader *reader)
{
    while (next_line(reader)) {
        if (markdown_mark(reader))
            continue;
        if (begins(reader->text, "```")) {
            read_display(reader, "```", as_it_is);
            continue;
        }
        need_no_marks(reader);
        if (begins(reader->text, "    ") || strchr(reader->text, '\t') ||
            strstr(reader->text, "```") || strstr(reader->text, "~~~") ||
            strstr(reader->text, "<pre") || strstr(reader->text, "<code"))
            FAIL(reader, "what is shown stands in fences of ```");
        markdown_links(reader);
        markdown_code(reader);
    }
}

/* --- mdoc --- */

static const struct {
    const char *escape, *shown;
} escapes[] = {{"\\(dq", "\""}, {"\\(aq", "'"}, {"\\e", "\\"},
               {"\\&", ""},     {"\\-", "-"},   {"\\(rs", "\\"}};

static const char *unescaped(struct reader *reader, const char *text)
{
    struct nzd_buf buf = {0};
    while (*text) {
        size_t i = 0, count = sizeof escapes / sizeof *escapes;
        while (i < count && !begins(text, escapes[i].escape))
            i++;
        if (i < count) {
            nzd_buf_text(&buf, escapes[i].shown);
            text += strlen(escapes[i].escape);
            continue;
        }
        if (*text == '\\')
            FAIL(reader, "this escape is not known: %.4s", text);
        nzd_buf_u8(&buf, (uint8_t)*text++);
    }
    const char *shown =
        harness_text(reader->harness, "%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return shown;
}

static const char *mdoc_shown(struct reader *reader, const char *line)
{
    if (*line == '.')
        FAIL(reader, "a macro in a display: %s", line);
    return unescaped(reader, line);
}

static unsigned split(struct reader *reader, const char *words[])
{
    const char *text = reader->text + 1;
    unsigned count = 0;
    while (*(text += strspn(text, " ")) && count < WORDS_MAX) {
        bool quoted = *text == '"';
        size_t size = strcspn(text += quoted, quoted ? "\"" : " ");
        words[count++] = harness_text(reader->harness, "%.*s", (int)size, text);
        text += size + (quoted && text[size]);
    }
    return count;
}

/* Macros that may stand within a line and say nothing that we look at. */
static bool is_macro(const char *word)
{
    static const char *const macros[] = {"Ar", "Cm", "Op", "Oo", "Oc", "No",
                                         "Pa", "Va", "Pq", "Ns", "Xo", "Xc"};
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (strcmp(word, macros[i]) == 0)
            return true;
    return false;
}

/* The words of a macro as a reader sees them: "Fl -max" is "--max". */
static const char *join(struct reader *reader, const char *words[],
                        unsigned count)
{
    struct nzd_buf buf = {0};
    for (unsigned i = 0; i < count; i++) {
        bool flag = strcmp(words[i], "Fl") == 0 && i + 1 < count;
        if (is_macro(words[i]) || (ispunct(*words[i]) && !words[i][1]))
            continue;
        nzd_buf_printf(&buf, "%s%s%s", buf.size ? " " : "", flag ? "-" : "",
                       unescaped(reader, words[i + flag]));
        i += flag;
    }
    const char *text =
        harness_text(reader->harness, "%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return text;
}

static bool is(const char *word, const char *macro)
{
    return strcmp(word, macro) == 0;
}

/* .Ic nzd plan ..., .Ql nzd ..., .Fl -max; .Xr nzd-boot 8 */
static void mdoc_macro(struct reader *reader)
{
    const char *words[WORDS_MAX + 1] = {NULL};
    unsigned count = split(reader, words);
    if (count < 2)
        return;
    if (is(words[0], "Dl") || is(words[0], "D1"))
        FAIL(reader, "what is shown stands in .Bd -literal");
    if (is(words[0], "Xr") && count > 2)
        add_reference(
            reader, harness_text(reader->harness, "%s %s", words[1], words[2]));
    if (is(words[0], "Ic") || is(words[0], "Ql") || is(words[0], "Li")) {
        const char *text = join(reader, words + 1, count - 1);
        if (begins(text, "nzd "))
            add_phrase(reader, text);
        return;
    }
    for (unsigned i = 0; i + 1 < count; i++)
        if (is(words[i], "Fl") && begins(words[i + 1], "-") && words[i + 1][1])
            add_phrase(reader,
                       harness_text(reader->harness, "-%s", words[i + 1]));
}

static void read_mdoc(struct reader *reader)
{
    while (next_line(reader)) {
        if (begins(reader->text, ".\\\"@ ")) {
            add_mark(reader, reader->text + 5, strlen(reader->text + 5));
            continue;
        }
        if (begins(reader->text, ".Bd -literal")) {
            read_display(reader, ".Ed", mdoc_shown);
            continue;
        }
        need_no_marks(reader);
        if (begins(reader->text, ".Bd") || begins(reader->text, ".nf") ||
            begins(reader->text, ".EX"))
            FAIL(reader, "what is shown stands in .Bd -literal");
        if (begins(reader->text, ".") && !begins(reader->text, ".\\\""))
            mdoc_macro(reader);
    }
}

struct document *document_read(struct harness *harness, const char *path)
{
    struct document *document = harness_alloc(harness, sizeof *document);
    struct reader reader = {.harness = harness,
                            .document = document,
                            .last_display = &document->displays,
                            .last_phrase = &document->phrases,
                            .last_reference = &document->references,
                            .at = harness_read_file(harness, path)};
    const char *suffix = strrchr(path, '.');
    document->path = path;
    if (!*reader.at)
        harness_fail("%s cannot be read, or is empty", path);
    if (suffix && is(suffix, ".md"))
        read_markdown(&reader);
    else
        read_mdoc(&reader);
    need_no_marks(&reader);
    return document;
}
