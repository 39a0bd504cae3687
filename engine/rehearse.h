/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_REHEARSE_H
#define NZD_ENGINE_REHEARSE_H

/*
 * A rehearsal: what code_change will do is tried out before anybody is
 * suspended. The code that will run it is loaded under other names
 * (staging/beam_rename.h), and called on copies of states that processes hold
 * now (beam/nzd_agent_rehearse.erl). Only a code_change that by its
 * instructions changes nothing else (staging/beam_reach.h) is tried: what it
 * calls outside the plan is read from the node to see that. The others are told
 * with what they may do.
 *
 * That is the new code on the way up, and on the way to a lower version the
 * code that is about to go (migrate.h).
 *
 * Nothing of the node changes: what was loaded is gone when this returns, or
 * when the link is lost.
 */

#include "question.h"
#include "timeline.h"

/*
 * `down` is which way the states go (migrate.h). Fills q->rehearsal and, where
 * `timeline` is given, prints and notes a line for each module. Fails
 * NZD_EREFUSED where a code_change fails; the message names the process, the
 * shape of its state and the stack. q->rehearsal is filled then, too.
 */
int nzd_rehearse(struct nzd_context *context, struct nzd_question *q, bool down,
                 struct nzd_timeline *timeline, struct nzd_err *err);

/* "3 processes, ok in 1.2 ms", or what was not well; into `out`, which is
 * emptied first. */
void nzd_rehearsal_line(const struct nzd_rehearsal_part *part,
                        struct nzd_buf *out);
/* "<0.99.0> counter_srv: error: function_clause, at counter_srv:f/1; its state
 * is integer". */
void nzd_rehearsal_note_line(const struct nzd_rehearsal_note *note,
                             struct nzd_buf *out);
/* The first that failed; false: none did. */
bool nzd_rehearsal_refuse(const struct nzd_rehearsal *rehearsal,
                          struct nzd_err *err);

#endif
