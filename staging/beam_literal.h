/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_LITERAL_H
#define NZD_STAGING_BEAM_LITERAL_H

/*
 * The literals of a module, and the one thing in them that is called: a
 * `fun M:F/A`. The chunk LitT, deflated (to OTP 27) or not (OTP 28).
 */

#include "beam.h"
#include "beam_file.h"

struct nzd_literals;

/* Copies what it needs of the chunk, which may be empty. Fails NZD_EBUNDLE
 * where it does not hold. */
int nzd_literals_open(struct nzd_view chunk, struct nzd_literals **out,
                      struct nzd_err *err);
void nzd_literals_close(struct nzd_literals *literals); /* NULL is fine */

/* Literal `index` as a term in the arena, NULL where there is none; binaries
 * borrow until close. Fails NZD_EBUNDLE where it is no term. */
int nzd_literals_term(struct nzd_literals *literals, uint64_t index,
                      struct nzd_arena *arena, const struct nzd_term **out,
                      struct nzd_err *err);

uint32_t nzd_literals_count(const struct nzd_literals *literals);

/* The funs that literal `index` holds, until close; none where there is no
 * such literal. Fails NZD_EBUNDLE where it is no term. */
int nzd_literals_funs(struct nzd_literals *literals, uint32_t index,
                      const struct nzd_beam_function **funs, uint32_t *count,
                      struct nzd_err *err);

#endif
