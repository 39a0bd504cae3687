/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_TERM_SCAN_H
#define NZD_STAGING_TERM_SCAN_H

/*
 * The words of Erlang source text, as erl_scan reads them: knows about
 * encodings, comments, escapes, digits and lines, and nothing of terms.
 * White space and comments before each word are skipped. What returns false
 * has set the error, where it does not only look whether something is there.
 */

#include "../journal/bytes.h"

struct nzd_scan {
    struct nzd_view left; /* UTF-8 */
    unsigned line;
    struct nzd_buf text;       /* the input as UTF-8 where it was Latin-1 */
    struct nzd_buf characters; /* uint32_t each: the last string or atom */
    struct nzd_buf name;       /* the last atom */
    size_t next;               /* of `characters` */
    uint32_t highest;          /* of `characters` */
    struct nzd_err *err;
};

enum nzd_scan_kind {
    NZD_SCAN_END,
    NZD_SCAN_ATOM,     /* quoted or not; and words like `fun` */
    NZD_SCAN_VARIABLE, /* or _ */
    NZD_SCAN_STRING,
    NZD_SCAN_NUMBER, /* or a $character, or a sign before one */
    NZD_SCAN_OTHER
};

#define NZD_SCAN_DIGITS 1024 /* of one number */

struct nzd_number {
    bool is_real;
    bool negative;
    double real;
    size_t size;                     /* of `little` */
    uint8_t little[NZD_SCAN_DIGITS]; /* the magnitude, least byte first */
};

/* `text` is borrowed until end(), which frees also after a failure. */
int nzd_scan_begin(struct nzd_scan *scan, struct nzd_view text,
                   struct nzd_err *err);
void nzd_scan_end(struct nzd_scan *scan);

/* Sets "line N: what". */
void nzd_scan_refuse(struct nzd_scan *scan, const char *what);

/* What comes next; it is not taken. */
enum nzd_scan_kind nzd_scan_kind(struct nzd_scan *scan);
/* Takes these characters, that word, if they come next. */
bool nzd_scan_sign(struct nzd_scan *scan, const char *sign);
bool nzd_scan_word(struct nzd_scan *scan, const char *word);
/* The dot that ends a term: white space or the end follow it. */
bool nzd_scan_dot(struct nzd_scan *scan);

/* The name as UTF-8, valid until the next atom. */
bool nzd_scan_atom(struct nzd_scan *scan, struct nzd_view *name);
bool nzd_scan_number(struct nzd_scan *scan, struct nzd_number *number);
/* A string, with those that follow it directly, into `characters`; then its
 * characters one by one, false after the last. */
bool nzd_scan_string(struct nzd_scan *scan);
bool nzd_scan_next_character(struct nzd_scan *scan, uint32_t *character);

/* Quoted text up to and with the closing quote, the opening one being read;
 * appended to `characters`. One character, escaped or not. */
bool nzd_scan_quoted(struct nzd_scan *scan, uint8_t quote);
bool nzd_scan_character(struct nzd_scan *scan, uint32_t *character);
/* The byte at `i`, -1 beyond the end; moving over `count` bytes. */
int nzd_scan_peek(const struct nzd_scan *scan, size_t i);
void nzd_scan_move(struct nzd_scan *scan, size_t count);

/* The segments of a binary up to >>, the << being read. Constants only:
 * integers with an optional size, strings, /utf8. `bits` is what the last
 * byte holds, 0 when 8. */
bool nzd_scan_binary(struct nzd_scan *scan, struct nzd_buf *out, uint8_t *bits);

#endif
