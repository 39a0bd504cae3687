/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PLAN_VIEW_INTERNAL_H
#define NZD_ENGINE_PLAN_VIEW_INTERNAL_H

#include "plan_view.h"

const char *nzd_plan_occupant_kind(enum nzd_occupant_kind kind);

#endif
