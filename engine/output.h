/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OUTPUT_H
#define NZD_ENGINE_OUTPUT_H

/*
 * What people and programs see. Answers go to stdout, progress and errors to
 * stderr; with --json every line is an object with "nzd":1. Text is at most
 * 80 columns wide where it can be (or the terminal's width when narrower),
 * ASCII unless the locale is UTF-8, coloured on a terminal unless NO_COLOR is
 * set or --color=never. Whatever came from a node or a bundle is made
 * printable first: no control byte ever reaches the terminal.
 */

#include "../journal/record.h"

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
    unsigned width; /* columns */
};

void nzd_output_init(struct nzd_output *output, bool json, bool quiet,
                     bool verbose, enum nzd_color_mode color);

/*
 * A line of progress on stderr in the three columns of SAMPLES:
 * "prepare    3 new, 3 old                                6.0 ms". took_us 0:
 * no time. In JSON: {"nzd":1,"event":LABEL,"text":...,"us":N} on stdout,
 * `extra` (may be NULL, stolen) merged in.
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
/* The answer as one JSON object on stdout; steals `object`, adds "nzd":1. */
void nzd_output_json(struct nzd_output *output, json_t *object);
/* A warning on stderr ("nzd: warning: ..."), {"event":"warning"} in JSON. */
void nzd_output_warn(struct nzd_output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "nzd: message" + "  untouched ..." + "  next ..." on stderr; in JSON
 * {"nzd":1,"error":{exit,code,message,untouched,next}} on stdout. */
void nzd_output_error(struct nzd_output *output, const struct nzd_err *err);

/* Appends `text` with control bytes and bad UTF-8 escaped. */
void nzd_printable(struct nzd_buf *out, struct nzd_view text);
/* "1.2 ms", "48 ms", "3.1 s", "12 d"; "31 KB", "14.2 MB" into out. */
void nzd_format_duration(char out[32], uint64_t us);
void nzd_format_bytes(char out[32], uint64_t bytes);
/* "2025-03-04 09:40:52" and RFC 3339 "2025-03-04T09:40:52.123Z", UTC. */
void nzd_format_time(char out[40], uint64_t wall_us);
void nzd_format_rfc3339(char out[40], uint64_t wall_us);
/* Escape sequence for a role, "" without colour: 'b'old, 'g'ood (green),
 * 'r'ed, 'y'ellow, 'd'im, '0' reset. */
const char *nzd_color(const struct nzd_output *output, char role);

/* One line per durable move: to stderr when it is not a terminal's progress
 * (quiet or no stderr), to syslog where /dev/log is, else /dev/kmsg; never
 * blocks, never fails. */
void nzd_log_move(const struct nzd_txn *txn);

#endif
