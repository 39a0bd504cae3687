/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PLAN_VIEW_H
#define NZD_ENGINE_PLAN_VIEW_H

/* A plan for people (stdout) and as JSON. */

#include "question.h"

/* What the plan says beyond the plan itself; NULL and 0 leave lines out. */
struct nzd_plan_view {
    const struct nzd_plan *plan;
    const struct nzd_question *question;    /* NULL: two releases, no node */
    const struct nzd_journal_stat *journal; /* NULL: none yet */
    enum nzd_level max;
    const struct nzd_options *options;
};

void nzd_plan_show(struct nzd_output *output, const struct nzd_plan_view *view);
json_t *nzd_plan_json(const struct nzd_plan_view *view);

#endif
