/* SPDX-License-Identifier: Apache-2.0 */
#include "planned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Plans of modules that somebody made up to have nzd compare for hours: what
 * each looks up among many takes no longer for how it is ordered. */

#define MANY     60000u
#define GAPS     9999u /* one less than are told */
#define CPU_MOST 3     /* seconds; of each with each it would be many more */

static void add_app(struct nzd_inventory *side, const char *version)
{
    static const struct nzd_term spec = {.kind = NZD_TERM_LIST};
    struct nzd_app *app = nzd_inventory_add_app(side);

    app->name = "counter";
    app->version = version;
    app->spec = &spec;
}

static int set_up(void **state)
{
    struct planned *fixture;

    (void)planned_set_up(state);
    fixture = *state;
    add_app(&fixture->old, "1");
    add_app(&fixture->new, "2");
    return 0;
}

static struct nzd_beam *add_module(struct nzd_inventory *side, const char *name,
                                   uint8_t md5)
{
    struct nzd_module *module = nzd_inventory_add_module(side);
    struct nzd_beam *beam = nzd_arena_alloc(&side->arena, sizeof(*beam));

    assert_non_null(beam);
    beam->module = name;
    module->app = "counter";
    module->name = name;
    module->md5.bytes[0] = md5;
    module->flags = NZD_MODULE_DETAILED;
    module->beam = beam;
    return beam;
}

/* f0 to f59999. */
static struct nzd_beam_function *functions(struct nzd_inventory *side)
{
    struct nzd_beam_function *list =
        nzd_arena_alloc(&side->arena, MANY * sizeof(*list));

    assert_non_null(list);
    for (uint32_t i = 0; i < MANY; i++)
        list[i].name = nzd_arena_printf(&side->arena, "f%u", i);
    return list;
}

static void export(struct nzd_beam *beam, const struct nzd_beam_function *list)
{
    beam->exports = list;
    beam->export_count = MANY;
}

static void make_plan_soon(struct planned *fixture)
{
    clock_t began = clock();

    assert_int_equal(nzd_inventory_sort(&fixture->old, &fixture->err), 0);
    assert_int_equal(nzd_inventory_sort(&fixture->new, &fixture->err), 0);
    if (nzd_plan_diff(&fixture->old, &fixture->new, &fixture->plan,
                      &fixture->err) != 0 ||
        nzd_plan_judge(&fixture->plan, &fixture->err) != 0)
        fail_msg("%s", fixture->err.message);
    assert_true((clock() - began) / CLOCKS_PER_SEC < CPU_MOST);
}

static void exports_the_other_way_round(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam_function *old = functions(&fixture->old);
    struct nzd_beam_function *new = functions(&fixture->new);
    static const struct nzd_beam_function call = {"many", "f59992", 0};
    struct nzd_beam *caller = add_module(&fixture->new, "caller", 1);

    for (uint32_t i = 0; i < MANY; i++)
        new[i].name = old[MANY - 1 - i].name;
    new[7].name = "other";
    export(add_module(&fixture->old, "many", 1), old);
    export(add_module(&fixture->new, "many", 2), new);
    caller->imports = &call;
    caller->import_count = 1;
    make_plan_soon(fixture);
    assert_int_equal(fixture->plan.gap_count, 1);
    assert_string_equal(fixture->plan.gaps[0].function, call.name);
}

static void exports_of_other_names(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam_function *new = functions(&fixture->new);
    struct nzd_beam_function *lost = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < MANY; i++)
        new[i].arity = 1;
    export(add_module(&fixture->old, "many", 1), functions(&fixture->old));
    export(add_module(&fixture->new, "many", 2), new);
    make_plan_soon(fixture);
    assert_int_equal(nzd_plan_removed_functions(&fixture->plan, &lost, &count,
                                                &fixture->err),
                     0);
    assert_int_equal(count, MANY);
}

static void calls_again_and_again(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam_function *calls = functions(&fixture->new);
    struct nzd_beam *caller = add_module(&fixture->new, "caller", 1);

    export(add_module(&fixture->old, "many", 1), functions(&fixture->old));
    (void)add_module(&fixture->new, "many", 2);
    for (uint32_t i = 0; i < MANY; i++) {
        calls[i].module = "many";
        if (i >= GAPS)
            calls[i].name = calls[GAPS - 1].name;
    }
    caller->imports = calls;
    caller->import_count = MANY;
    make_plan_soon(fixture);
    assert_int_equal(fixture->plan.gap_count, GAPS);
}

#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, set_up, planned_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(exports_the_other_way_round),
        CASE(exports_of_other_names),
        CASE(calls_again_and_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
