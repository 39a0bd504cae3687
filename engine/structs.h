/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_STRUCTS_H
#define NZD_ENGINE_STRUCTS_H

/*
 * Structs whose keys are others in the new code, and who holds some now: code
 * that expects a key meets a map without it. A warning, never a reason: what a
 * code_change makes of them only it knows.
 *
 * Which structs those are is read from both sides' BEAM files
 * (staging/beam_struct.h); who holds them is a bounded look of the agent
 * (beam/nzd_agent_holders.erl), and what it left out is said.
 */

#include "question.h"
#include "timeline.h"

/* Fills q->structs, in the arena; of a plan that restarts the VM it stays
 * empty, for nobody holds anything behind that. The node is asked only where
 * some struct has changed. */
int nzd_structs_find(struct nzd_question *q, struct nzd_err *err);

/* "Elixir.Cart: key total added, key sum removed". Into `out`, which is emptied
 * first; so do these. */
void nzd_structs_line(const struct nzd_struct_change *change,
                      struct nzd_buf *out);
/* "<0.99.0> carts holds one in its state, which its code_change converts". */
void nzd_structs_holder_line(const struct nzd_struct_holder *holder,
                             struct nzd_buf *out);
/* "looked at 57 processes; not at ETS, messages, 2 that hibernate". */
void nzd_structs_looked_line(const struct nzd_structs *structs,
                             struct nzd_buf *out);

/* A warning for each, and an event. */
void nzd_structs_warn(struct nzd_output *output, const struct nzd_structs *all,
                      struct nzd_timeline *timeline);

#endif
