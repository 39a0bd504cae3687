/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_TERM_BUILD_H
#define NZD_STAGING_TERM_BUILD_H

/*
 * How the readers of terms make them: what is equal comes out in the same
 * shape, and small terms that occur again and again are made once. Everything
 * here gives NULL without memory.
 */

#include "term.h"

/* The last atoms made, by their hash. Initialised by zeros. */
struct nzd_term_atoms {
    const struct nzd_term *slot[256];
};

const struct nzd_term *nzd_term_nil(void);
const struct nzd_term *nzd_term_byte(uint8_t value);

struct nzd_term *nzd_term_new(struct nzd_arena *arena, enum nzd_term_kind kind);
/* `name` is copied, NUL-terminated. */
const struct nzd_term *nzd_term_new_atom(struct nzd_arena *arena,
                                         struct nzd_term_atoms *atoms,
                                         struct nzd_view name);
const struct nzd_term *nzd_term_new_integer(struct nzd_arena *arena,
                                            int64_t value);
/* An integer of any size from its magnitude, least significant byte first. */
const struct nzd_term *nzd_term_new_big(struct nzd_arena *arena, bool negative,
                                        struct nzd_view little);
/* `text` of BINARY or OTHER is borrowed, that of STRING copied. */
const struct nzd_term *nzd_term_new_text(struct nzd_arena *arena,
                                         enum nzd_term_kind kind,
                                         struct nzd_view text);
/* `children` lie in the arena already and are kept. */
const struct nzd_term *nzd_term_new_tuple(struct nzd_arena *arena,
                                          const struct nzd_term **children,
                                          uint32_t count);
/* The same; `tail` may be any term: nil and NULL make the list proper, the
 * elements of a list or string are appended. */
const struct nzd_term *nzd_term_new_list(struct nzd_arena *arena,
                                         const struct nzd_term **children,
                                         uint32_t count,
                                         const struct nzd_term *tail);
/* Elements that new_list() would copy from such a tail. */
uint32_t nzd_term_list_length(const struct nzd_term *term);
/* `children` are `pairs` keys and values and are sorted in place; `repeated`
 * tells, besides NULL, that a key occurs twice. */
const struct nzd_term *nzd_term_new_map(struct nzd_arena *arena,
                                        const struct nzd_term **children,
                                        uint32_t pairs, bool *repeated);
/* `fun Module:Function/Arity`. */
const struct nzd_term *nzd_term_new_export(struct nzd_arena *arena,
                                           const struct nzd_term *module,
                                           const struct nzd_term *function,
                                           uint8_t arity);

#endif
