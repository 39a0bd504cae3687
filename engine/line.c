/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include "format.h"
#include "interrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define LEAST 12u /* columns that a text needs beside others */

/* --- colour ---------------------------------------------------------- */

static const struct {
    char role;
    const char *sequence;
} colors[] = {
    {'0', "\033[0m"},  {'b', "\033[1m"},  {'d', "\033[2m"},
    {'r', "\033[31m"}, {'g', "\033[32m"}, {'y', "\033[33m"},
};
#define COLORS (sizeof(colors) / sizeof(colors[0]))

/* ESC, eight digits that nobody else knows, the role. */
#define DIGITS    8
#define MARK_SIZE (1 + DIGITS + 1)

static char marks[COLORS][MARK_SIZE + 1];

static void make_marks(void)
{
    uint32_t secret = 0;

    if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) !=
        (ssize_t)sizeof(secret))
        secret = (uint32_t)nzd_clock_us() ^ (uint32_t)getpid() << 16;
    for (size_t i = 0; i < COLORS; i++)
        (void)snprintf(marks[i], sizeof(marks[i]), "\033%08" PRIx32 "%c",
                       secret, colors[i].role);
}

const char *nzd_line_mark(char role)
{
    if (!marks[0][0])
        make_marks();
    for (size_t i = 0; i < COLORS; i++) {
        if (colors[i].role == role)
            return marks[i];
    }
    return "";
}

size_t nzd_line_mark_at(const char *text, const char **sequence)
{
    for (size_t i = 0; text[0] == '\033' && marks[0][0] && i < COLORS; i++) {
        if (strncmp(text, marks[i], MARK_SIZE) != 0)
            continue;
        if (sequence)
            *sequence = colors[i].sequence;
        return MARK_SIZE;
    }
    return 0;
}

const char *nzd_line_sequence(char role)
{
    for (size_t i = 0; i < COLORS; i++) {
        if (colors[i].role == role)
            return colors[i].sequence;
    }
    return "";
}

/* --- columns --------------------------------------------------------- */

/* Bytes of the sequence that `text` starts with: only ours are left in what
 * is safe to print. */
static size_t sequence_at(const char *text)
{
    for (size_t i = 0; text[0] == '\033' && i < COLORS; i++) {
        size_t length = strlen(colors[i].sequence);

        if (strncmp(text, colors[i].sequence, length) == 0)
            return length;
    }
    return 0;
}

/* Bytes of the character or sequence at `text` and the columns it takes. */
static size_t step_over(const char *text, size_t *columns)
{
    size_t length = sequence_at(text);
    uint32_t point = 0;

    *columns = 0;
    if (length > 0)
        return length;
    length = nzd_utf8_next(nzd_view_text(text), &point);
    *columns = length > 0 ? nzd_point_columns(point) : 1;
    return length ? length : 1;
}

size_t nzd_line_columns(const char *text)
{
    size_t total = 0;
    size_t columns;

    for (; *text; total += columns)
        text += step_over(text, &columns);
    return total;
}

/* --- breaking -------------------------------------------------------- */

/* Bytes of the longest piece of `text` that fits, cut behind a space where
 * there is one. `whole`: 0 rather than a word that is cut. */
static size_t piece_of(const char *text, size_t room, bool whole)
{
    size_t used = 0;
    size_t at = 0;
    size_t space = 0;

    while (text[at]) {
        size_t columns;
        size_t length = step_over(text + at, &columns);

        if (used + columns > room && text[at] == ' ')
            return at + 1;
        if (used + columns > room)
            return space > 0 || whole ? space : at > 0 ? at : length;
        used += columns;
        at += length;
        if (text[at - 1] == ' ')
            space = at;
    }
    return at;
}

static void trim(struct nzd_buf *line)
{
    while (line->size > 0 && line->data[line->size - 1] == ' ')
        line->size--;
}

/* `column` of the line are taken; later lines begin at `later`. `whole`: no
 * word is cut on the first line. */
static size_t wrap(struct nzd_buf *out, const char *text, size_t column,
                   size_t later, size_t limit, bool whole)
{
    for (;;) {
        size_t room = limit > column ? limit - column : 1;
        size_t piece = piece_of(text, room, whole);

        nzd_buf_bytes(out, text, piece);
        if (!text[piece])
            return column + nzd_line_columns(text);
        trim(out);
        text += piece + strspn(text + piece, " ");
        if (!*text)
            return column;
        nzd_buf_printf(out, "\n%*s", (int)later, "");
        column = later;
        whole = false;
    }
}

size_t nzd_line_wrap(struct nzd_buf *out, const char *text, size_t indent,
                     size_t limit)
{
    size_t left = limit > 2 * LEAST ? 4 : 2;
    bool tight = limit < indent + LEAST && left < indent;

    return wrap(out, text, indent, tight ? left : indent, limit, tight);
}

static void put_right(struct nzd_buf *out, const char *right, size_t column,
                      size_t end, bool wrapped)
{
    size_t width = nzd_line_columns(right);

    if (width == 0)
        return;
    if (wrapped && column + 2 + width > end) {
        trim(out);
        nzd_buf_u8(out, '\n');
        column = 0;
    }
    nzd_buf_printf(out, "%*s",
                   end > column + width + 1 ? (int)(end - column - width)
                   : column > 0             ? 2
                                            : 0,
                   "");
    nzd_buf_text(out, right);
}

/* Bytes up to the second column: behind the first two spaces after a word; 0:
 * there is none. */
static size_t second_column(const char *text)
{
    const char *gap = strstr(text + strspn(text, " "), "  ");

    return gap ? (size_t)(gap - text) + strspn(gap, " ") : 0;
}

void nzd_line_fold(struct nzd_buf *out, const char *text, size_t limit)
{
    size_t leading = strspn(text, " ");
    struct nzd_buf first = {0};
    size_t lead, indent;

    /* There would be no room for a word. */
    if (leading > 2 && leading > limit / 2) {
        text += leading - 2;
        leading = 2;
    }
    lead = second_column(text);
    nzd_buf_bytes(&first, text, lead);
    indent = nzd_line_columns(nzd_buf_string(&first));
    nzd_buf_clear(&first);
    if (lead == 0 || indent > limit / 2) {
        lead = leading;
        indent = leading + 2 <= limit / 2 ? leading + 2 : 2;
    }
    nzd_buf_bytes(out, text, lead);
    (void)wrap(out, text + lead, lead == leading ? leading : indent, indent,
               limit, false);
}

void nzd_line_row(struct nzd_buf *out, const char *lead, const char *text,
                  const char *right, size_t end, bool wrapped)
{
    size_t indent = nzd_line_columns(lead);
    struct nzd_buf both = {0};
    size_t width = nzd_line_columns(right);
    size_t room = width > 0 ? width + 2 : 0;
    size_t limit = end >= room + indent + LEAST ? end - room : end;

    if (wrapped && indent + LEAST / 2 > end) {
        nzd_buf_printf(&both, "%s%s  %s", lead, text, right);
        nzd_line_fold(out, nzd_buf_string(&both), end);
        nzd_buf_clear(&both);
        return;
    }
    nzd_buf_text(out, lead);
    put_right(out, right,
              nzd_line_wrap(out, text, indent, wrapped ? limit : (size_t)-1),
              end, wrapped);
}
