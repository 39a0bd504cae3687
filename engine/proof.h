/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PROOF_H
#define NZD_ENGINE_PROOF_H

/*
 * The proof of what runs: every loaded module of the node against what should
 * run, which is the journal's row in force, else the file the module was
 * loaded from, or, where that lies elsewhere, the one that a boot would take.
 */

#include "question.h"

struct nzd_drift {
    const char *module;
    struct nzd_digest runs;     /* zero: it is not loaded */
    struct nzd_digest expected; /* zero: it should not be loaded */
    bool from_journal;          /* `expected` is the journal's, not a file's */
};

struct nzd_proof {
    uint32_t total; /* modules with something to compare with */
    uint32_t ok;
    uint32_t in_force; /* rows of the journal over this base */
    uint32_t in_force_ok;
    struct nzd_drift *drift;
    uint32_t drift_count;
    uint32_t removed_count; /* of them: removed, but still loaded */
    uint32_t drift_capacity;
    struct nzd_arena arena;
};

/* `journal` NULL: everything against its file. `trial`: a transaction that is
 * on trial, whose new side runs where it has a row; 0: none. The caller clears
 * `out`. */
int nzd_proof_make(struct nzd_question *q, struct nzd_journal *journal,
                   uint64_t trial, struct nzd_proof *out, struct nzd_err *err);
void nzd_proof_clear(struct nzd_proof *proof);

#endif
