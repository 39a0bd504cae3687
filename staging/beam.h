/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_H
#define NZD_STAGING_BEAM_H

/*
 * BEAM object files: an IFF container ("FOR1" size "BEAM" chunks padded to
 * 4), plain or gzipped, as erts/emulator/beam/beam_file.c and beam_lib.erl
 * read it. Nothing is executed or loaded. All names are UTF-8 in the arena.
 */

#include "term.h"

struct nzd_beam_function {
    const char *module; /* imports only, else NULL */
    const char *name;
    uint32_t arity;
};

/* A lambda of the FunT chunk: what NEW_FUN_EXT needs to name it. */
struct nzd_beam_lambda {
    const char *name;
    uint32_t arity; /* as the fun is called: free variables not counted */
    uint32_t index;
    uint32_t free_count;
    uint32_t old_uniq;
};

struct nzd_beam {
    const char *module;
    struct nzd_digest md5;   /* as code:module_md5/1 and module_info(md5) */
    struct nzd_digest attrs; /* nzd_term_digest of the attributes; of [] when
                                the chunk is missing */
    const struct nzd_term *attributes;       /* the list, [] when missing */
    const char *compiler;                    /* "8.2.3" from CInf, or "" */
    const struct nzd_beam_function *exports; /* module_info included */
    uint32_t export_count;
    const struct nzd_beam_function *imports;
    uint32_t import_count;
    const struct nzd_beam_function *funs; /* each `fun M:F/A` of its literals,
                                             which no import tells of */
    uint32_t fun_count;
    const struct nzd_beam_lambda *lambdas;
    uint32_t lambda_count;
    bool has_on_load; /* an on_load instruction in the code, or the attribute
                         on_load */
    bool loads_nif;   /* imports erlang:load_nif/2 */
    bool has_code_change; /* exports code_change/3 (gen_server, gen_event),
                             code_change/4 (gen_statem), or
                             system_code_change/4 (special processes) */
};

/* What to read beyond name, md5 and attributes. */
#define NZD_BEAM_CALLS 1u /* exports, imports, on_load, nif, code_change */
#define NZD_BEAM_FUNS  2u /* lambdas */
#define NZD_BEAM_AGAIN 4u /* its md5 is known, and left out */

/*
 * Reads a BEAM file in memory (gzipped ones are inflated within limits).
 * `what` bits choose how much; the rest stays empty. Fails NZD_EBUNDLE with
 * the chunk that does not hold ("chunk ImpT: ..."). Terms and names live in
 * the arena, not in `view`.
 */
int nzd_beam_read(struct nzd_view view, unsigned what, struct nzd_arena *arena,
                  struct nzd_beam *out, struct nzd_err *err);

/* Its md5 alone, as above; fails as nzd_beam_read() does. */
int nzd_beam_md5(struct nzd_view view, struct nzd_digest *out,
                 struct nzd_err *err);

/* The file itself, inflated into `inflated` (initialised by zeros, cleared by
 * the caller, failure or not) where it is gzipped. Fails NZD_EBUNDLE when it is
 * longer than the limit. */
int nzd_beam_plain(struct nzd_view view, struct nzd_buf *inflated,
                   struct nzd_view *out, struct nzd_err *err);

/* True when the bytes begin as a BEAM file or a gzip stream does. */
bool nzd_beam_looks_like(struct nzd_view view);

bool nzd_beam_exports(const struct nzd_beam *beam, const char *name,
                      uint32_t arity);

#endif
