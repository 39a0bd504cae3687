/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OUTPUT_H
#define NZD_ENGINE_OUTPUT_H

/*
 * What people and programs see. Answers go to stdout, progress and errors to
 * stderr; with --json every line is an object with "nzd":1. Text is at most
 * 80 columns wide where it can be; on a narrower terminal lines are broken at
 * its width, which is asked for anew for each of them. ASCII unless the locale
 * is UTF-8, coloured on a terminal unless NO_COLOR is set or --color=never.
 * Whatever came from a node or a bundle is made printable first: no control
 * byte ever reaches the terminal.
 */

#include "../journal/record.h"
#include "format.h"
#include "log.h"

#include <jansson.h>

enum nzd_color_mode { NZD_COLOR_AUTO, NZD_COLOR_ALWAYS, NZD_COLOR_NEVER };

struct nzd_output {
    bool json;
    bool quiet;     /* no progress */
    bool verbose;   /* more detail lines */
    bool color_out; /* decided at init for stdout */
    bool color_err; /* and stderr */
    bool utf8;
    bool bar; /* stderr is a terminal: a progress bar may be drawn */
    bool bar_shown;
    unsigned bar_percent; /* what the shown bar says */
    unsigned width;       /* columns of stderr, when it last was asked */
    bool broken;          /* stdout took no more (EPIPE, ENOSPC ...) */
};

void nzd_output_init(struct nzd_output *output, bool json, bool quiet,
                     bool verbose, enum nzd_color_mode color);

/* Flushes stdout. False: not all of the answer was written (`broken`). */
bool nzd_output_flush(struct nzd_output *output);

/*
 * Every text below is one line: a newline at its end is dropped, other
 * control bytes are escaped; what nzd_color() gave becomes colour where that
 * stream is coloured and vanishes where it is not.
 *
 * A line of progress on stderr in three columns:
 * "prepare    3 new, 3 old                                6.0 ms". took_us 0:
 * no time. In JSON: {"nzd":1,"event":LABEL,...,"text":...,"us":N} on stdout,
 * `extra` (may be NULL, stolen) merged in; spaces of LABEL become '_'.
 */
void nzd_output_step(struct nzd_output *output, const char *label,
                     uint64_t took_us, json_t *extra, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Redraws the bar (nothing unless a terminal); done when total is reached. */
void nzd_output_bar(struct nzd_output *output, const char *label, uint64_t done,
                    uint64_t total);

/* A line of the answer on stdout (text mode only). */
void nzd_output_line(struct nzd_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same in three parts: `lead` as it is, `text` wrapped behind it where it
 * is too long, `right` (may be "") so that it ends at `column`. */
void nzd_output_row(struct nzd_output *output, const char *lead,
                    const char *text, const char *right, unsigned column);
/* Appends a name as it will be seen, and spaces up to `width` columns. */
void nzd_output_name(const struct nzd_output *output, const char *text,
                     size_t width, struct nzd_buf *out);
/* The answer as one JSON object on stdout; steals `object`, adds "nzd":1. */
void nzd_output_json(struct nzd_output *output, json_t *object);
/* A warning on stderr ("nzd: warning: ..."), {"event":"warning"} in JSON. */
void nzd_output_warn(struct nzd_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "nzd: message" + "  untouched ..." + "  next ..." on stderr; in JSON
 * {"nzd":1,"error":{exit,code,message,untouched,next}} on stdout. */
void nzd_output_error(struct nzd_output *output, const struct nzd_err *err);

/* A JSON string of text of any origin: bad UTF-8 becomes U+FFFD, NULL "". */
json_t *nzd_json_text(const char *text);
/* 32 hex digits; null for a digest of zeros. */
json_t *nzd_json_digest(const struct nzd_digest *digest);
/* RFC 3339; null for 0. */
json_t *nzd_json_time(uint64_t wall_us);

/* What has the texts above change colour, "" without colour (line.h has the
 * roles): no sequence for a terminal, and nothing that foreign text can hold.
 */
const char *nzd_color(const struct nzd_output *output, char role);

#endif
