/* SPDX-License-Identifier: Apache-2.0 */
#include "planned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

int planned_set_up(void **state)
{
    struct planned *planned = calloc(1, sizeof(*planned));

    assert_non_null(planned);
    nzd_inventory_init(&planned->old);
    nzd_inventory_init(&planned->new);
    *state = planned;
    return 0;
}

int planned_tear_down(void **state)
{
    struct planned *planned = *state;

    nzd_plan_clear(&planned->plan);
    nzd_inventory_clear(&planned->old);
    nzd_inventory_clear(&planned->new);
    free(planned);
    return 0;
}
