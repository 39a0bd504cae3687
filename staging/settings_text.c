/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/*
 * vm.args, env.sh, runtime.exs by their lines: blank lines, indentation and
 * lines that are only a comment mean nothing, but inside a string of several
 * lines they do. Where the quotes do not add up, every byte counts.
 */

/* Finding equal lines is quadratic. */
#define LINES_MAX 2000u

struct line {
    const char *text;
    bool matched;
};

struct lines {
    struct line *items;
    uint32_t count;
};

/* --- which bytes count --- */

struct quoting {
    enum settings_style style;
    char quote; /* the open one, or 0 */
};

static bool begins_comment(const struct quoting *quoting, const char *text,
                           size_t at)
{
    if (quoting->quote || text[at] != '#')
        return false;
    return quoting->style == SETTINGS_ELIXIR || at == 0 ||
           isspace((unsigned char)text[at - 1]);
}

/* Reads one line; the quote that stays open at its end is left set. */
static void follow_quotes(struct quoting *quoting, const char *text,
                          size_t size)
{
    for (size_t at = 0; at < size; at++) {
        if (begins_comment(quoting, text, at))
            return;
        if (text[at] == '\\' && quoting->style == SETTINGS_SHELL &&
            quoting->quote == '\'')
            continue;
        if (text[at] == '\\')
            at++;
        else if (text[at] == quoting->quote)
            quoting->quote = 0;
        else if (!quoting->quote && (text[at] == '"' || text[at] == '\''))
            quoting->quote = text[at];
    }
}

/* A here-document, or a line that goes on: lines are not what they seem. */
static bool is_plain(struct nzd_view text, enum settings_style style)
{
    struct quoting quoting = {style, 0};
    const char *at = (const char *)text.data;
    const char *end;

    if (text.size == 0)
        return true;
    end = at + text.size;
    if (style == SETTINGS_SHELL && memmem(at, text.size, "<<", 2))
        return false;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;

        follow_quotes(&quoting, at, (size_t)(stop - at));
        at = stop + 1;
    }
    return quoting.quote == 0;
}

/* The line as it counts: {NULL, 0} when it does not. */
static struct nzd_view trim(const char *text, size_t size)
{
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    while (size > 0 && isspace((unsigned char)*text)) {
        text++;
        size--;
    }
    if (size > 0 && *text != '#')
        return nzd_view_of(text, size);
    return nzd_view_of(NULL, 0);
}

static void add_line(struct settings_compare *compare,
                     const struct nzd_inventory *side, struct nzd_view view,
                     struct lines *out)
{
    out->items[out->count++].text =
        settings_mark_text(compare, side, (const char *)view.data, view.size);
}

static bool split(struct settings_compare *compare,
                  const struct nzd_inventory *side, struct nzd_view text,
                  enum settings_style style, struct lines *out)
{
    bool plain = is_plain(text, style);
    struct quoting quoting = {style, 0};
    const char *at = (const char *)text.data;
    const char *end = text.size ? at + text.size : at;

    out->items =
        nzd_arena_alloc(&compare->scratch, LINES_MAX * sizeof(*out->items));
    if (!out->items)
        settings_memory(compare);
    while (out->items && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct nzd_view line = nzd_view_of(at, (size_t)(stop - at));

        if (plain && !quoting.quote)
            line = trim(at, (size_t)(stop - at));
        follow_quotes(&quoting, at, (size_t)(stop - at));
        at = stop + 1;
        if (!line.data)
            continue;
        if (out->count == LINES_MAX)
            return false;
        add_line(compare, side, line, out);
    }
    return compare->code == 0;
}

/* --- what differs --- */

static const char *show(struct settings_compare *compare, const char *line)
{
    const char *cut;

    if (!line)
        return "";
    if (strstr(line, "-setcookie"))
        return "(cookie)";
    if (settings_is_secret(line))
        return "(hidden)";
    cut = nzd_arena_printf(&compare->scratch, "%.100s%s", line,
                           strlen(line) > 100 ? "..." : "");
    if (!cut)
        settings_memory(compare);
    return cut ? cut : "";
}

static void match_equal(struct lines *old, struct lines *new)
{
    for (uint32_t i = 0; i < old->count; i++)
        for (uint32_t j = 0; j < new->count; j++) {
            if (new->items[j].matched ||
                strcmp(old->items[i].text, new->items[j].text) != 0)
                continue;
            old->items[i].matched = new->items[j].matched = true;
            break;
        }
}

/* "+K true" and "+K false" are one difference. */
static const char *partner_of(const char *line, struct lines *new)
{
    size_t size = strcspn(line, " \t=:,");

    for (uint32_t j = 0; j < new->count; j++) {
        const char *other = new->items[j].text;

        if (strncmp(line, other, size) == 0 && !new->items[j].matched &&
            strcspn(other, " \t=:,") == size) {
            new->items[j].matched = true;
            return other;
        }
    }
    return NULL;
}

static void say_order(struct settings_compare *compare, enum nzd_need need,
                      const char *subject, const struct lines *old,
                      const struct lines *new)
{
    for (uint32_t i = 0; i < old->count && i < new->count; i++)
        if (strcmp(old->items[i].text, new->items[i].text) != 0) {
            settings_say(
                compare, need, subject, show(compare, old->items[i].text),
                show(compare, new->items[i].text), "order of the lines");
            return;
        }
}

static void say_lines(struct settings_compare *compare, enum nzd_need need,
                      const char *subject, struct lines *old, struct lines *new)
{
    uint32_t said = compare->said;

    match_equal(old, new);
    for (uint32_t i = 0; i < old->count; i++)
        if (!old->items[i].matched) {
            const char *line = old->items[i].text;
            const char *partner = partner_of(line, new);

            settings_say(compare, need, subject, show(compare, line),
                         show(compare, partner), subject);
        }
    for (uint32_t j = 0; j < new->count; j++)
        if (!new->items[j].matched)
            settings_say(compare, need, subject, "",
                         show(compare, new->items[j].text), subject);
    if (compare->said == said)
        say_order(compare, need, subject, old, new);
}

void settings_text(struct settings_compare *compare, enum nzd_need need,
                   const char *subject, enum settings_style style,
                   struct nzd_view old, struct nzd_view new)
{
    struct lines left = {NULL, 0}, right = {NULL, 0};

    if (compare->code < 0 ||
        (!compare->both && (old.size == 0 || new.size == 0)))
        return;
    if (split(compare, compare->old, old, style, &left) &&
        split(compare, compare->new, new, style, &right))
        say_lines(compare, need, subject, &left, &right);
    else if (compare->code == 0 && !nzd_view_equal(old, new))
        settings_say(compare, need, subject, "", "", "its text");
    settings_end(compare, subject);
}
