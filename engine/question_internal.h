/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_QUESTION_INTERNAL_H
#define NZD_ENGINE_QUESTION_INTERNAL_H

/* What question.c and question_code.c share. */

#include "question.h"

/* Of a module of the new side: set from the journal, its content is a blob. */
#define NZD_QUESTION_TARGET 0x80000000u

int nzd_question_open_spool(struct nzd_question *q, struct nzd_journal *journal,
                            struct nzd_err *err);
/* Diff, old code, judgement, callers, users, digest. */
int nzd_question_plan(struct nzd_question *q, struct nzd_journal *journal,
                      struct nzd_err *err);
/* Details and spools the running code of all steps that have an old side. */
int nzd_question_old_code(struct nzd_question *q, struct nzd_journal *journal,
                          struct nzd_err *err);
/* Loaded code outside the plan that calls what it removes: gaps. */
int nzd_question_callers(struct nzd_question *q, struct nzd_journal *journal,
                         struct nzd_err *err);
/* A module that an earlier commit removed is not there for a plan, even while
 * it waits for the last old code to go: else it would go after the plan that
 * holds it is committed. */
void nzd_question_drop_leaving(struct nzd_question *q);
void nzd_question_name_running(struct nzd_question *q,
                               struct nzd_journal *journal);

/* Asks for the priv files of the base; then q->own and q->old have what
 * file_rows_live.h says. */
int nzd_question_files(struct nzd_question *q, struct nzd_journal *journal,
                       struct nzd_err *err);
/* One digest for what the bundle would make run and for the hooks that it is
 * judged by. */
int nzd_question_digest(struct nzd_question *q, struct nzd_err *err);

/* With the bundle in q->new: what the applications that would go to a lower
 * version have to say of it, into q->old. One that is damaged, or is of another
 * version than the one that runs, says nothing. */
int nzd_question_appups(struct nzd_question *q, struct nzd_err *err);

#endif
