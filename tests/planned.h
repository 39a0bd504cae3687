/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_PLANNED_H
#define NZD_TESTS_PLANNED_H

/* Two inventories that a test makes by hand, and the plan between them. */

#include "../staging/plan.h"

struct planned {
    struct nzd_inventory old;
    struct nzd_inventory new;
    struct nzd_plan plan;
    struct nzd_err err;
};

/* Both inventories are empty, and there is no plan. */
int planned_set_up(void **state);
int planned_tear_down(void **state);

#endif
