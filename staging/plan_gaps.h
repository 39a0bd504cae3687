/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_PLAN_GAPS_H
#define NZD_STAGING_PLAN_GAPS_H

#include "plan.h"

/* Inside the plan room: the calls among detailed modules that lose their
 * target. Each is added once; one that lasts counts before one in flight. */
int plan_find_gaps(struct nzd_plan *plan, struct nzd_err *err);

#endif
