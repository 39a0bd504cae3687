/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PLAN_VIEW_INTERNAL_H
#define NZD_ENGINE_PLAN_VIEW_INTERNAL_H

#include "plan_view.h"

const char *nzd_plan_occupant_kind(enum nzd_occupant_kind kind);

/* Structs that changed, and who holds some; nothing where none did. */
void nzd_plan_show_structs(struct nzd_output *output,
                           const struct nzd_structs *structs);
json_t *nzd_plan_structs_json(const struct nzd_structs *structs);

/* What was rehearsed; nothing where nothing was asked for. */
void nzd_plan_show_rehearsal(struct nzd_output *output,
                             const struct nzd_rehearsal *rehearsal);
/* null where nothing was asked for. */
json_t *nzd_plan_rehearsal_json(const struct nzd_rehearsal *rehearsal);

#endif
