/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_TERM_H
#define NZD_STAGING_TERM_H

/*
 * Erlang terms as a tree in an arena, made from the external term format
 * (erts "External Term Format"; replies of a node, boot scripts, BEAM
 * attributes) or from source text (.app, .rel, sys.config, hook arguments),
 * so that both are compared by meaning. Depth, nodes and bytes are bounded by
 * limits.h; compressed terms are inflated under the same bounds.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

enum nzd_term_kind {
    NZD_TERM_ATOM,
    NZD_TERM_INTEGER, /* fits int64_t */
    NZD_TERM_BIG,     /* `text`: as source text, "-16#1f..." */
    NZD_TERM_FLOAT,
    NZD_TERM_BINARY, /* and bitstrings: `bits` of the last byte, 0 when 8 */
    NZD_TERM_TUPLE,
    NZD_TERM_LIST,   /* proper or not; a string is a list of integers here */
    NZD_TERM_STRING, /* a list of bytes 0..255, kept compact */
    NZD_TERM_MAP,    /* children: key, value, key, value; sorted by key */
    NZD_TERM_OTHER   /* pid, port, reference, fun: its external bytes, which
                        for `fun M:F/A` are the same from every source */
};

/* Only the members named after a kind hold for it; the others share memory. */
struct nzd_term {
    enum nzd_term_kind kind;
    uint8_t bits;   /* of a bitstring's last byte, else 0 */
    uint32_t count; /* children of tuple, list, map (two for each pair) */
    union {
        int64_t integer;      /* INTEGER */
        double real;          /* FLOAT */
        struct nzd_view text; /* ATOM (UTF-8), BIG, BINARY, STRING, OTHER:
                                 borrows from the input or the arena; atoms
                                 and strings are NUL-terminated in the arena */
        struct {
            const struct nzd_term **children; /* TUPLE, LIST, MAP */
            const struct nzd_term *tail;      /* LIST: NULL when proper */
        };
    };
};

/*
 * Decodes one whole term of the external format, the leading 131 included;
 * trailing bytes are an error. Binaries borrow from `view`. Fails
 * NZD_EBUNDLE; the message says what and at which byte.
 */
int nzd_term_decode(struct nzd_view view, struct nzd_arena *arena,
                    const struct nzd_term **out, struct nzd_err *err);

/*
 * Parses source text: terms each ended by a dot, as file:consult/1 reads
 * them (no macros, no expressions, of funs only `fun M:F/A`). All of them as
 * one LIST. Nothing borrows from `text`. Fails NZD_EBUNDLE with "line N: ...".
 * Latin-1 where the `%% coding` comment of epp says so or UTF-8 does not
 * decode, else UTF-8.
 */
int nzd_term_parse(struct nzd_view text, struct nzd_arena *arena,
                   const struct nzd_term **out, struct nzd_err *err);

/* Writes the term in the external format; begin with nzd_etf_version(). Equal
 * terms give equal bytes. */
void nzd_term_encode(const struct nzd_term *term, struct nzd_buf *out);

/* Total order and equality by meaning: a STRING equals the LIST of its
 * bytes, an empty STRING the empty LIST; 1 and 1.0 differ. */
int nzd_term_compare(const struct nzd_term *a, const struct nzd_term *b);
bool nzd_term_equal(const struct nzd_term *a, const struct nzd_term *b);
/* XXH3-128 of a canonical form: equal terms have equal digests, whatever
 * the encoding they came from. All zeros without memory. */
struct nzd_digest nzd_term_digest(const struct nzd_term *term);

/* Printed as ~p on one line would, cut with "..." after `limit` bytes. */
void nzd_term_print(const struct nzd_term *term, size_t limit,
                    struct nzd_buf *out);

/* --- looking in ------------------------------------------------------ */

bool nzd_term_is_atom(const struct nzd_term *term, const char *name);
/* A tuple of `arity` whose first element is the atom `tag` (NULL: any). */
bool nzd_term_is_tagged(const struct nzd_term *term, const char *tag,
                        uint32_t arity);
/* Element i of a tuple or list; NULL when out of range or neither. */
const struct nzd_term *nzd_term_at(const struct nzd_term *term, uint32_t i);
/* Number of elements of a tuple, a proper list or a STRING; 0 else. */
uint32_t nzd_term_length(const struct nzd_term *term);
/* Value of `key` in a map with atom keys or a list of {key, value}. */
const struct nzd_term *nzd_term_get(const struct nzd_term *term,
                                    const char *key);
/* NUL-terminated text of an atom, a string (list of characters, as UTF-8) or
 * a binary, in the arena; NULL when it is none of these or holds a NUL. */
const char *nzd_term_text(const struct nzd_term *term, struct nzd_arena *arena);
bool nzd_term_integer(const struct nzd_term *term, int64_t *out);

/* --- writing the external format by hand ----------------------------- */

void nzd_etf_version(struct nzd_buf *out); /* 131 */
void nzd_etf_tuple(struct nzd_buf *out, uint32_t arity);
void nzd_etf_list(struct nzd_buf *out, uint32_t count); /* 0 writes nil */
void nzd_etf_nil(struct nzd_buf *out); /* ends a list of count > 0 */
void nzd_etf_map(struct nzd_buf *out, uint32_t pairs);
void nzd_etf_atom(struct nzd_buf *out, const char *name);
void nzd_etf_integer(struct nzd_buf *out, int64_t value);
void nzd_etf_unsigned(struct nzd_buf *out, uint64_t value);
void nzd_etf_binary(struct nzd_buf *out, struct nzd_view bytes);
void nzd_etf_string(struct nzd_buf *out, const char *text); /* bytes list */

#endif
