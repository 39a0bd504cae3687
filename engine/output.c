/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include "interrupt.h"
#include "line.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH       80u
#define NARROWEST   20u
#define LABEL       11u /* columns of the label of a step */
#define BAR_CELLS   20u
#define BAR_LEAST   4u
#define ERASE       "\r\033[K"
#define ERROR_LABEL 13u

/* --- set up ---------------------------------------------------------- */

static bool coloured(int fd, enum nzd_color_mode mode)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    if (mode != NZD_COLOR_AUTO)
        return mode == NZD_COLOR_ALWAYS;
    if (no && no[0])
        return false;
    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

/* Asked anew for each line: a window changes its size. 0: no terminal, or one
 * that does not say. */
static unsigned columns_of(int fd)
{
    struct winsize size;

    if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 0;
    return size.ws_col < NARROWEST ? NARROWEST : size.ws_col;
}

static unsigned width_now(struct nzd_output *output)
{
    unsigned columns = columns_of(STDERR_FILENO);

    output->width = columns > 0 && columns < WIDTH ? columns : WIDTH;
    return output->width;
}

void nzd_output_init(struct nzd_output *output, bool json, bool quiet,
                     bool verbose, enum nzd_color_mode color)
{
    const char *term = getenv("TERM");

    memset(output, 0, sizeof(*output));
    setlocale(LC_CTYPE, "");
    output->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    output->json = json;
    output->quiet = quiet;
    output->verbose = verbose;
    output->color_out = !json && coloured(STDOUT_FILENO, color);
    output->color_err = !json && coloured(STDERR_FILENO, color);
    output->bar = !json && !quiet && isatty(STDERR_FILENO) && term &&
                  strcmp(term, "dumb") != 0;
    (void)width_now(output);
}

/* --- colour ---------------------------------------------------------- */

const char *nzd_color(const struct nzd_output *output, char role)
{
    return output->color_out ? nzd_line_mark(role) : "";
}

static const char *color(bool on, char role)
{
    return on ? nzd_line_sequence(role) : "";
}

/* --- one safe line --------------------------------------------------- */

static void plain(const struct nzd_output *output, struct nzd_view text,
                  struct nzd_buf *out)
{
    if (output->utf8)
        nzd_printable(out, text);
    else
        nzd_printable_ascii(out, text);
}

/* Appends `text`: nothing but our own colours, if those, controls. */
static void clean(const struct nzd_output *output, bool colors_on,
                  const char *text, struct nzd_buf *out)
{
    size_t length = strlen(text);

    if (length > 0 && text[length - 1] == '\n')
        length--;
    while (length > 0) {
        const char *sequence = "";
        size_t mark = nzd_line_mark_at(text, &sequence);
        size_t run = 1;

        if (mark > 0) {
            nzd_buf_text(out, colors_on ? sequence : "");
            text += mark;
            length -= mark;
            continue;
        }
        while (run < length && text[run] != '\033')
            run++;
        plain(output, nzd_view_of(text, run), out);
        text += run;
        length -= run;
    }
}

static void clean_args(const struct nzd_output *output, bool colors_on,
                       struct nzd_buf *out, const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0) {
        out->failed = true;
        return;
    }
    clean(output, colors_on, text, out);
    free(text);
}

void nzd_output_name(const struct nzd_output *output, const char *text,
                     size_t width, struct nzd_buf *out)
{
    size_t begin = out->size;
    size_t columns;

    plain(output, nzd_view_text(text), out);
    columns = nzd_columns(nzd_buf_string(out) + begin);
    if (columns < width)
        nzd_buf_printf(out, "%*s", (int)(width - columns), "");
}

/* --- to the streams -------------------------------------------------- */

static void trim(struct nzd_buf *line)
{
    while (line->size > 0 && line->data[line->size - 1] == ' ')
        line->size--;
}

/* What stands in the line is the bar, or the ^C that a terminal shows where
 * it was typed. */
static void bar_clear(struct nzd_output *output)
{
    if (output->bar_shown || (output->bar && nzd_interrupt_noted()))
        fputs(ERASE, stderr);
    output->bar_shown = false;
}

/* One write, so that lines of several writers do not mix. */
static void put_stderr(struct nzd_output *output, struct nzd_buf *line)
{
    fflush(stdout);
    bar_clear(output);
    trim(line);
    nzd_buf_u8(line, '\n');
    if (!line->failed)
        fwrite(line->data, 1, line->size, stderr);
    nzd_buf_clear(line);
}

static void put_stdout(struct nzd_output *output, struct nzd_buf *line)
{
    bar_clear(output);
    trim(line);
    nzd_buf_u8(line, '\n');
    if (line->failed || fwrite(line->data, 1, line->size, stdout) != line->size)
        output->broken = true;
    nzd_buf_clear(line);
}

bool nzd_output_flush(struct nzd_output *output)
{
    bar_clear(output);
    if (fflush(stdout) != 0 || ferror(stdout))
        output->broken = true;
    return !output->broken;
}

/* --- answers --------------------------------------------------------- */

void nzd_output_line(struct nzd_output *output, const char *format, ...)
{
    struct nzd_buf text = {0};
    struct nzd_buf line = {0};
    unsigned limit = columns_of(STDOUT_FILENO);
    va_list args;

    if (output->json)
        return;
    va_start(args, format);
    clean_args(output, output->color_out, &text, format, args);
    va_end(args);
    if (limit > 0 && nzd_line_columns(nzd_buf_string(&text)) > limit)
        nzd_line_fold(&line, nzd_buf_string(&text), limit);
    else
        nzd_buf_text(&line, nzd_buf_string(&text));
    line.failed = line.failed || text.failed;
    put_stdout(output, &line);
    nzd_buf_clear(&text);
}

void nzd_output_row(struct nzd_output *output, const char *lead,
                    const char *text, const char *right, unsigned column)
{
    const char *parts[] = {lead, text, right};
    struct nzd_buf safe[3] = {{0}, {0}, {0}};
    struct nzd_buf line = {0};
    unsigned limit = columns_of(STDOUT_FILENO);

    if (output->json)
        return;
    for (size_t i = 0; i < 3; i++)
        clean(output, output->color_out, parts[i], &safe[i]);
    nzd_line_row(&line, nzd_buf_string(&safe[0]), nzd_buf_string(&safe[1]),
                 nzd_buf_string(&safe[2]),
                 limit > 0 && limit < column ? limit : column, true);
    put_stdout(output, &line);
    for (size_t i = 0; i < 3; i++)
        nzd_buf_clear(&safe[i]);
}

/* DEL is the one control byte that jansson writes as it is. */
static void json_line(struct nzd_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == 0x7F)
            nzd_buf_text(out, "\\u007f");
        else
            nzd_buf_u8(out, (uint8_t)*text);
    }
}

void nzd_output_json(struct nzd_output *output, json_t *object)
{
    struct nzd_buf line = {0};
    json_t *whole = json_pack("{s:i}", "nzd", 1);
    char *text = NULL;

    if (whole && object && json_object_update(whole, object) == 0)
        text = json_dumps(whole, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text)
        json_line(&line, text);
    else
        line.failed = true;
    put_stdout(output, &line);
    nzd_output_flush(output);
    free(text);
    json_decref(whole);
    json_decref(object);
}

json_t *nzd_json_text(const char *text)
{
    struct nzd_view left = nzd_view_text(text ? text : "");
    struct nzd_buf good = {0};
    json_t *out = NULL;

    while (left.size > 0) {
        size_t length = nzd_utf8_next(left, NULL);

        if (length > 0)
            nzd_buf_bytes(&good, left.data, length);
        else
            nzd_buf_text(&good, "\xEF\xBF\xBD");
        length = length ? length : 1;
        left.data += length;
        left.size -= length;
    }
    if (!good.failed)
        out = json_stringn(good.data ? (const char *)good.data : "", good.size);
    nzd_buf_clear(&good);
    return out;
}

json_t *nzd_json_digest(const struct nzd_digest *digest)
{
    char hex[NZD_DIGEST_HEX];

    if (nzd_digest_is_zero(digest))
        return json_null();
    nzd_digest_hex(hex, digest);
    return json_string(hex);
}

json_t *nzd_json_time(uint64_t wall_us)
{
    char text[40];

    if (wall_us == 0)
        return json_null();
    nzd_format_rfc3339(text, wall_us);
    return json_string(text);
}

/* --- progress -------------------------------------------------------- */

static void step_json(struct nzd_output *output, const char *label,
                      uint64_t took_us, json_t *extra, const char *text)
{
    json_t *object = json_object();
    char event[64];

    snprintf(event, sizeof(event), "%s", label);
    for (char *at = event; *at; at++)
        *at = *at == ' ' ? '_' : *at;
    json_object_set_new(object, "event", nzd_json_text(event));
    if (extra)
        json_object_update(object, extra);
    if (text[0])
        json_object_set_new(object, "text", nzd_json_text(text));
    if (took_us > 0)
        json_object_set_new(object, "us", json_integer((json_int_t)took_us));
    nzd_output_json(output, object);
}

static void step_text(struct nzd_output *output, const char *label,
                      uint64_t took_us, const char *text)
{
    unsigned width = width_now(output);
    size_t end = width >= WIDTH ? WIDTH - 3 : width - 1;
    struct nzd_buf lead = {0};
    struct nzd_buf line = {0};
    char took[32] = "";

    if (took_us > 0)
        nzd_format_took(took, took_us);
    nzd_buf_printf(&lead, "%-*s ", (int)LABEL - 1, label);
    nzd_line_row(&line, nzd_buf_string(&lead), text, took, end, output->bar);
    put_stderr(output, &line);
    nzd_buf_clear(&lead);
}

void nzd_output_step(struct nzd_output *output, const char *label,
                     uint64_t took_us, json_t *extra, const char *format, ...)
{
    struct nzd_buf text = {0};
    va_list args;

    va_start(args, format);
    clean_args(output, output->color_err, &text, format, args);
    va_end(args);
    if (output->quiet)
        ;
    else if (output->json)
        step_json(output, label, took_us, extra, nzd_buf_string(&text));
    else
        step_text(output, label, took_us, nzd_buf_string(&text));
    nzd_buf_clear(&text);
    json_decref(extra);
}

/* Cells that a terminal has room for, besides label, brackets and percents. */
static unsigned cells_of(unsigned width)
{
    unsigned others = LABEL + 8;

    if (width < others + BAR_LEAST)
        return 0;
    return width < others + BAR_CELLS ? width - others : BAR_CELLS;
}

void nzd_output_bar(struct nzd_output *output, const char *label, uint64_t done,
                    uint64_t total)
{
    unsigned percent;
    unsigned cells;

    if (!output->bar)
        return;
    if (done >= total) {
        bar_clear(output);
        return;
    }
    percent = (unsigned)((double)done * 100 / (double)total);
    if (output->bar_shown && percent == output->bar_percent)
        return;
    cells = cells_of(width_now(output));
    fprintf(stderr, "%s%-*s", ERASE, (int)LABEL, label);
    if (cells > 0) {
        fputc('[', stderr);
        for (unsigned i = 0; i < cells; i++)
            fputc(i < percent * cells / 100 ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%2u%%", percent);
    fflush(stderr);
    output->bar_shown = true;
    output->bar_percent = percent;
}

/* --- warnings and errors --------------------------------------------- */

static size_t limit_of(struct nzd_output *output)
{
    return output->bar ? width_now(output) - 1 : (size_t)-1;
}

static void warn_json(struct nzd_output *output, const char *text)
{
    json_t *object = json_object();

    json_object_set_new(object, "event", json_string("warning"));
    json_object_set_new(object, "text", nzd_json_text(text));
    nzd_output_json(output, object);
}

void nzd_output_warn(struct nzd_output *output, const char *format, ...)
{
    struct nzd_buf text = {0};
    struct nzd_buf line = {0};
    va_list args;

    va_start(args, format);
    clean_args(output, output->color_err, &text, format, args);
    va_end(args);
    if (output->json) {
        warn_json(output, nzd_buf_string(&text));
    } else {
        nzd_buf_printf(&line, "nzd: %swarning:%s ",
                       color(output->color_err, 'y'),
                       color(output->color_err, '0'));
        (void)nzd_line_wrap(&line, nzd_buf_string(&text), 14, limit_of(output));
        put_stderr(output, &line);
    }
    nzd_buf_clear(&text);
}

static void error_json(struct nzd_output *output, const struct nzd_err *err)
{
    json_t *fields = json_object();
    json_t *object = json_object();

    json_object_set_new(fields, "exit", json_integer(nzd_err_exit(err->code)));
    json_object_set_new(fields, "code", json_string(nzd_err_name(err->code)));
    json_object_set_new(fields, "message", nzd_json_text(err->message));
    json_object_set_new(fields, "untouched", nzd_json_text(err->untouched));
    json_object_set_new(fields, "next", nzd_json_text(err->next));
    json_object_set_new(object, "error", fields);
    nzd_output_json(output, object);
}

static void error_line(struct nzd_output *output, const char *head,
                       size_t indent, const char *text)
{
    struct nzd_buf line = {0};
    struct nzd_buf safe = {0};

    plain(output, nzd_view_text(text), &safe);
    nzd_buf_text(&line, head);
    (void)nzd_line_wrap(&line, nzd_buf_string(&safe), indent, limit_of(output));
    put_stderr(output, &line);
    nzd_buf_clear(&safe);
}

void nzd_output_error(struct nzd_output *output, const struct nzd_err *err)
{
    char head[32];

    if (output->json) {
        error_json(output, err);
        return;
    }
    snprintf(head, sizeof(head), "%snzd:%s ", color(output->color_err, 'r'),
             color(output->color_err, '0'));
    error_line(output, head, 5, err->message);
    if (err->untouched[0])
        error_line(output, "  untouched  ", ERROR_LABEL, err->untouched);
    if (err->next[0])
        error_line(output, "  next       ", ERROR_LABEL, err->next);
}
