/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LINE_H
#define NZD_ENGINE_LINE_H

/*
 * One line for people, of text that is safe to print: its colours, how many
 * columns it takes, and where it is broken when that is too much. Pure: knows
 * neither a terminal nor a locale.
 *
 * What asks for a colour is not the sequence a terminal obeys but a mark with a
 * number that is drawn anew in each process: no name from a node or a bundle
 * can hold one.
 */

#include "../journal/bytes.h"

/* Of a role: 'b'old, 'g'ood (green), 'r'ed, 'y'ellow, 'd'im, '0' reset; "" of
 * another. */
const char *nzd_line_mark(char role);
/* The bytes of the mark that `text` starts with, 0: none. `sequence` (may be
 * NULL) is what it stands for. */
size_t nzd_line_mark_at(const char *text, const char **sequence);
const char *nzd_line_sequence(char role);

/* Columns of a text; sequences of ours take none. */
size_t nzd_line_columns(const char *text);

/*
 * Appends `text` behind the `indent` columns that stand there already, broken
 * so that no line is wider than `limit`: behind a space where there is one.
 * Later lines begin at `indent` too, or further left where that leaves too
 * little. Returns the columns of the last line.
 */
size_t nzd_line_wrap(struct nzd_buf *out, const char *text, size_t indent,
                     size_t limit);

/*
 * Appends a line of three parts: `lead` as it is, `text` wrapped behind it, and
 * `right` so that it ends at the column `end`; on a line of its own where the
 * text leaves no room. `wrapped` false: all on one line, however wide.
 */
void nzd_line_row(struct nzd_buf *out, const char *lead, const char *text,
                  const char *right, size_t end, bool wrapped);

/* The same of a whole line whose columns are parted by two spaces or more:
 * later lines begin below the second column, where that is not too far right.
 */
void nzd_line_fold(struct nzd_buf *out, const char *text, size_t limit);

#endif
