/* SPDX-License-Identifier: Apache-2.0 */
#include "planned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- inventories by hand --- */

static void add_app(struct nzd_inventory *side, const char *name,
                    const char *version)
{
    static const struct nzd_term spec = {.kind = NZD_TERM_LIST};
    struct nzd_app *app = nzd_inventory_add_app(side);

    app->name = name;
    app->version = version;
    app->spec = &spec;
    app->in_script = true;
}

/* "m:f/1 m:g/0", or of exports "f/1 g/0". */
static uint32_t read_functions(struct nzd_arena *arena, const char *text,
                               const struct nzd_beam_function **out)
{
    struct nzd_beam_function *list = nzd_arena_alloc(arena, 8 * sizeof(*list));
    char *copy = nzd_arena_text(arena, text, strlen(text));
    char *rest = NULL;
    uint32_t count = 0;

    for (char *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        char *colon = strchr(word, ':');
        char *slash = strchr(word, '/');

        *slash = 0;
        list[count].arity = (uint32_t)atoi(slash + 1);
        if (colon) {
            *colon = 0;
            list[count].module = word;
        }
        list[count++].name = colon ? colon + 1 : word;
    }
    *out = list;
    return count;
}

static struct nzd_module *add_module(struct nzd_inventory *side,
                                     const char *app, const char *name,
                                     uint8_t md5, const char *exports,
                                     const char *imports)
{
    struct nzd_module *module = nzd_inventory_add_module(side);
    struct nzd_beam *beam = nzd_arena_alloc(&side->arena, sizeof(*beam));

    module->app = app;
    module->name = name;
    module->md5.bytes[0] = md5;
    module->attrs.bytes[0] = 1;
    module->flags = NZD_MODULE_DETAILED;
    module->beam = beam;
    beam->module = name;
    beam->export_count = read_functions(&side->arena, exports, &beam->exports);
    beam->import_count = read_functions(&side->arena, imports, &beam->imports);
    return module;
}

static void make_releases(struct planned *fixture)
{
    fixture->old.is_release = fixture->new.is_release = true;
    fixture->old.release = fixture->new.release = "counter";
    fixture->old.version = "0.1.0";
    fixture->new.version = "0.2.0";
}

static void make_plan(struct planned *fixture)
{
    nzd_plan_clear(&fixture->plan);
    assert_int_equal(nzd_inventory_sort(&fixture->old, &fixture->err), 0);
    assert_int_equal(nzd_inventory_sort(&fixture->new, &fixture->err), 0);
    if (nzd_plan_diff(&fixture->old, &fixture->new, &fixture->plan,
                      &fixture->err) != 0 ||
        nzd_plan_judge(&fixture->plan, &fixture->err) != 0)
        fail_msg("%s", fixture->err.message);
}

static void expect_steps(struct planned *fixture, const char *expected)
{
    struct nzd_buf text = {0};

    for (uint32_t i = 0; i < fixture->plan.step_count; i++)
        nzd_buf_printf(&text, "%s%c%s%s", i ? " " : "",
                       "~+-"[fixture->plan.steps[i].change],
                       fixture -> plan.steps[i].name,
                       fixture->plan.steps[i].after_others ? "*" : "");
    assert_string_equal(nzd_buf_string(&text), expected);
    nzd_buf_clear(&text);
}

static void expect_gaps(struct planned *fixture, const char *expected)
{
    struct nzd_buf text = {0};

    for (uint32_t i = 0; i < fixture->plan.gap_count; i++) {
        const struct nzd_gap *gap = &fixture->plan.gaps[i];

        nzd_buf_printf(&text, "%s%s>%s:%s/%u%s", i ? " " : "", gap->caller,
                       gap->module, gap->function, gap->arity,
                       gap->in_flight ? "?" : "");
    }
    assert_string_equal(nzd_buf_string(&text), expected);
    nzd_buf_clear(&text);
}

static void expect_evidence(struct planned *fixture, const char *subject,
                            const char *source)
{
    assert_int_equal(fixture->plan.evidence.count, 1);
    assert_string_equal(fixture->plan.evidence.items[0].subject, subject);
    assert_string_equal(fixture->plan.evidence.items[0].source, source);
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_RESTART_VM);
}

/* --- steps --- */

static void finds_the_steps(void **state)
{
    struct planned *fixture = *state;

    make_releases(fixture);
    add_app(&fixture->old, "counter", "0.1.0");
    add_app(&fixture->new, "counter", "0.2.0");
    add_app(&fixture->old, "aaa", "1");
    add_app(&fixture->new, "aaa", "1");
    add_module(&fixture->old, "counter", "same", 1, "", "");
    add_module(&fixture->new, "counter", "same", 1, "", "");
    add_module(&fixture->old, "counter", "changed", 1, "", "");
    add_module(&fixture->new, "counter", "changed", 2, "", "");
    add_module(&fixture->old, "counter", "attrs", 1, "", "");
    add_module(&fixture->new, "counter", "attrs", 1, "", "")->attrs.bytes[0] =
        2;
    add_module(&fixture->old, "counter", "gone", 1, "", "");
    add_module(&fixture->new, "aaa", "zzz", 1, "", "");
    make_plan(fixture);
    expect_steps(fixture, "+zzz ~attrs ~changed -gone");
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_HOT);
    assert_int_equal(fixture->plan.changed, 2);
    assert_int_equal(fixture->plan.added, 1);
    assert_int_equal(fixture->plan.removed, 1);
    assert_int_equal(fixture->plan.unchanged_modules, 1);
    assert_int_equal(fixture->plan.unchanged_apps, 0);
    assert_string_equal(fixture->plan.release, "counter");
    assert_string_equal(fixture->plan.from_version, "0.1.0");
    assert_string_equal(fixture->plan.to_version, "0.2.0");
}

static void finds_nothing(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "0.1.0");
    add_app(&fixture->new, "counter", "0.1.1");
    add_module(&fixture->old, "counter", "same", 1, "", "");
    add_module(&fixture->new, "counter", "same", 1, "", "");
    make_plan(fixture);
    expect_steps(fixture, "");
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_NOTHING);
    assert_int_equal(fixture->plan.unchanged_apps, 1);
    assert_string_equal(fixture->plan.release, "counter");
    assert_string_equal(fixture->plan.to_version, "0.1.1");
}

/* What a part does not hold stays; so does what no application owns. */
static void removes_only_what_the_bundle_speaks_for(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_app(&fixture->old, "other", "1");
    add_app(&fixture->old, "named", "1");
    add_app(&fixture->new, "named", "1");
    fixture->new.apps[1].spec = NULL;
    add_module(&fixture->new, "counter", "one", 1, "", "");
    add_module(&fixture->old, "counter", "one", 1, "", "");
    add_module(&fixture->old, "counter", "gone", 1, "", "");
    add_module(&fixture->old, "other", "kept", 1, "", "");
    add_module(&fixture->old, "named", "installed", 1, "", "");
    add_module(&fixture->old, "", "loose", 1, "", "");
    add_module(&fixture->old, "counter", "pre", 1, "", "")->flags |=
        NZD_MODULE_PRELOADED;
    make_plan(fixture);
    expect_steps(fixture, "-gone");
    make_releases(fixture);
    make_plan(fixture);
    expect_steps(fixture, "-gone -kept");
    nzd_inventory_app(&fixture->old, "other")->in_script = false;
    make_plan(fixture);
    expect_steps(fixture, "-gone");
}

/* The old release names kernel, the new one brings the same along. */
static void adds_nothing_that_was_installed(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "kernel", "8.5");
    fixture->old.apps[0].spec = NULL;
    add_app(&fixture->new, "kernel", "8.5");
    add_module(&fixture->new, "kernel", "code", 1, "", "");
    make_plan(fixture);
    expect_steps(fixture, "");
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_NOTHING);
}

/* --- what cannot change hot --- */

static void two_sides(struct planned *fixture, const char *app,
                      struct nzd_beam **old, struct nzd_beam **new)
{
    add_app(&fixture->old, app, "1");
    add_app(&fixture->new, app, "2");
    *old = (struct nzd_beam *)(uintptr_t)add_module(&fixture->old, app, "m", 1,
                                                    "", "")
               ->beam;
    *new = (struct nzd_beam *)(uintptr_t)add_module(&fixture->new, app, "m", 2,
                                                    "", "")
               ->beam;
}

static void restarts_for_a_native_library(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam *old, *new;

    two_sides(fixture, "counter", &old, &new);
    old->loads_nif = old->has_on_load = true;
    make_plan(fixture);
    expect_evidence(fixture, "m",
                    "a native library cannot be proved to upgrade in place");
    assert_string_equal(fixture->plan.evidence.items[0].old,
                        "loads a native library");
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_RESTART);
}

static void loads_on_load_after_the_others(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam *old, *new, *added;

    two_sides(fixture, "counter", &old, &new);
    new->has_on_load = true;
    added = (struct nzd_beam *)(uintptr_t)add_module(&fixture->new, "counter",
                                                     "nif", 1, "", "")
                ->beam;
    added->has_on_load = added->loads_nif = true;
    make_plan(fixture);
    expect_steps(fixture, "~m* +nif*");
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_HOT);
    assert_int_equal(fixture->plan.evidence.count, 0);
}

static void restarts_for_the_core(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam *old, *new;

    two_sides(fixture, "stdlib", &old, &new);
    make_plan(fixture);
    expect_evidence(fixture, "stdlib", "1 module of the VM's own code");
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_RESTART);
    fixture->old.modules[0].flags |= NZD_MODULE_PRELOADED;
    make_plan(fixture);
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_BASE);
}

static void restarts_for_sticky_modules(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam *old, *new;

    two_sides(fixture, "counter", &old, &new);
    fixture->old.modules[0].flags |= NZD_MODULE_STICKY;
    make_plan(fixture);
    expect_evidence(fixture, "m", "sticky directory");
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_RESTART);
    fixture->old.modules[0].flags |= NZD_MODULE_PRELOADED;
    make_plan(fixture);
    expect_evidence(fixture, "m", "part of the emulator");
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_BASE);
}

static void counts_settings_in(void **state)
{
    struct planned *fixture = *state;

    make_releases(fixture);
    fixture->old.erts = "13.1";
    fixture->new.erts = "13.2";
    fixture->new.erts_lack = "releases/start_erl.data";
    make_plan(fixture);
    expect_steps(fixture, "");
    expect_evidence(fixture, "erts", "releases/start_erl.data");
}

static void keeps_the_highest_level(void **state)
{
    struct planned *fixture = *state;
    const struct nzd_evidence migrate = {
        NZD_LEVEL_MIGRATE, "srv", "",   "",   "",
        NZD_NEED_SWITCH,   false, NULL, false};
    const struct nzd_evidence reboot = {
        NZD_LEVEL_REBOOT, "slot", "",   "",   "",
        NZD_NEED_BASE,    false,  NULL, false};
    struct nzd_beam *old, *new;

    two_sides(fixture, "counter", &old, &new);
    make_plan(fixture);
    assert_int_equal(
        nzd_plan_add_evidence(&fixture->plan, &reboot, &fixture->err), 0);
    assert_int_equal(
        nzd_plan_add_evidence(&fixture->plan, &migrate, &fixture->err), 0);
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_REBOOT);
}

static void wants_details(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam *old, *new;

    two_sides(fixture, "counter", &old, &new);
    fixture->old.modules[0].beam = NULL;
    assert_int_equal(nzd_plan_diff(&fixture->old, &fixture->new, &fixture->plan,
                                   &fixture->err),
                     0);
    assert_int_equal(nzd_plan_judge(&fixture->plan, &fixture->err),
                     NZD_EINTERNAL);
    assert_non_null(strstr(fixture->err.message, "old code of m"));
}

/* --- gaps --- */

static void finds_calls_in_flight(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "text", 1,
               "hello/1 bye/0 module_info/0", "");
    add_module(&fixture->new, "counter", "text", 2, "hello/1", "");
    add_module(&fixture->old, "counter", "http", 1, "go/0",
               "text:bye/0 text:hello/1 text:never/0 text:module_info/0");
    add_module(&fixture->new, "counter", "http", 2, "go/0",
               "text:hello/1 text:never/0 text:module_info/0");
    make_plan(fixture);
    expect_gaps(fixture, "http>text:bye/0?");
    assert_int_equal(fixture->plan.verdict, NZD_LEVEL_HOT);
}

static void finds_calls_that_stay(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "text", 1, "bye/0", "");
    add_module(&fixture->new, "counter", "text", 2, "", "text:bye/0");
    add_module(&fixture->old, "counter", "http", 1, "", "text:bye/0");
    add_module(&fixture->new, "counter", "http", 2, "", "text:bye/0");
    add_module(&fixture->new, "counter", "rate", 1, "", "text:bye/0");
    add_module(&fixture->old, "counter", "same", 1, "", "text:bye/0");
    add_module(&fixture->new, "counter", "same", 1, "", "text:bye/0");
    make_plan(fixture);
    expect_gaps(fixture, "same>text:bye/0 http>text:bye/0 rate>text:bye/0");
    assert_false(fixture->plan.gaps[0].in_flight);
}

/* A fun of it among the literals calls it, sooner or later. */
static void finds_funs_of_what_is_gone(void **state)
{
    struct planned *fixture = *state;
    struct nzd_arena *arena = &fixture->old.arena;
    struct nzd_beam *beam = nzd_arena_alloc(arena, sizeof(*beam));

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "text", 1, "bye/0 hello/1", "");
    add_module(&fixture->new, "counter", "text", 2, "hello/1", "");
    beam->fun_count =
        read_functions(arena, "text:bye/0 text:hello/1", &beam->funs);
    add_module(&fixture->old, "counter", "http", 1, "", "")->beam = beam;
    add_module(&fixture->new, "counter", "http", 1, "", "")->beam = beam;
    make_plan(fixture);
    expect_gaps(fixture, "http>text:bye/0");
}

/* A part's caller outside it is known when two releases are compared. */
static void finds_callers_outside_a_part(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->old, "web", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "text", 1, "bye/0", "");
    add_module(&fixture->new, "counter", "text", 2, "", "");
    add_module(&fixture->old, "web", "web", 1, "", "text:bye/0");
    make_plan(fixture);
    expect_gaps(fixture, "web>text:bye/0");
}

/* A removed module stays until no old code knows it. */
static void keeps_removed_modules_for_those_in_flight(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "gone", 1, "run/0", "");
    add_module(&fixture->old, "counter", "http", 1, "", "gone:run/0");
    add_module(&fixture->new, "counter", "http", 2, "", "");
    make_plan(fixture);
    expect_gaps(fixture, "");
    add_module(&fixture->new, "counter", "rate", 1, "", "gone:run/0");
    make_plan(fixture);
    expect_gaps(fixture, "rate>gone:run/0");
}

static void lists_removed_functions(void **state)
{
    struct planned *fixture = *state;
    struct nzd_beam_function *list;
    uint32_t count;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "gone", 1, "run/0", "");
    add_module(&fixture->old, "counter", "text", 1,
               "bye/0 hello/1 module_info/1", "");
    add_module(&fixture->new, "counter", "text", 2, "hello/1", "");
    make_plan(fixture);
    assert_int_equal(nzd_plan_removed_functions(&fixture->plan, &list, &count,
                                                &fixture->err),
                     0);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].module, "text");
    assert_string_equal(list[0].name, "bye");
    assert_int_equal(list[0].arity, 0);
    assert_string_equal(list[1].module, "gone");
    assert_null(list[1].name);
}

/* Who runs old code does not run any more; who stays as it is calls on. */
static void a_restart_leaves_nobody_in_flight(void **state)
{
    struct planned *fixture = *state;

    add_app(&fixture->old, "counter", "1");
    add_app(&fixture->new, "counter", "2");
    add_module(&fixture->old, "counter", "text", 1, "bye/0", "");
    add_module(&fixture->new, "counter", "text", 2, "", "");
    add_module(&fixture->old, "counter", "http", 1, "", "text:bye/0");
    add_module(&fixture->new, "counter", "http", 2, "", "");
    add_module(&fixture->old, "counter", "same", 1, "", "text:bye/0");
    add_module(&fixture->new, "counter", "same", 1, "", "text:bye/0");
    make_plan(fixture);
    expect_gaps(fixture, "same>text:bye/0 http>text:bye/0?");
    assert_int_equal(nzd_plan_need(&fixture->plan), NZD_NEED_SWITCH);
    nzd_inventory_module(&fixture->old, "text")->flags |= NZD_MODULE_STICKY;
    make_plan(fixture);
    expect_gaps(fixture, "same>text:bye/0");
    make_releases(fixture);
    make_plan(fixture);
    expect_gaps(fixture, "");
    /* Of another base nothing of this is known. */
    fixture->new.erts = "13.2";
    fixture->new.erts_lack = "releases/start_erl.data";
    fixture->old.erts = "13.1";
    make_plan(fixture);
    expect_gaps(fixture, "same>text:bye/0 http>text:bye/0?");
}

static void takes_a_gap_once(void **state)
{
    struct planned *fixture = *state;
    char caller[] = "web";
    const struct nzd_gap gap = {caller, "text", "bye", 0, false};

    make_plan(fixture);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(nzd_plan_add_gap(&fixture->plan, &gap, &fixture->err),
                         0);
    caller[0] = 'x';
    expect_gaps(fixture, "web>text:bye/0");
    for (unsigned i = 0; i < 5; i++) {
        caller[1] = (char)('a' + i);
        assert_int_equal(nzd_plan_add_gap(&fixture->plan, &gap, &fixture->err),
                         0);
    }
    assert_int_equal(fixture->plan.gap_count, 6);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, planned_set_up, planned_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(finds_the_steps),
        TEST(finds_nothing),
        TEST(removes_only_what_the_bundle_speaks_for),
        TEST(adds_nothing_that_was_installed),
        TEST(restarts_for_a_native_library),
        TEST(loads_on_load_after_the_others),
        TEST(restarts_for_the_core),
        TEST(restarts_for_sticky_modules),
        TEST(counts_settings_in),
        TEST(keeps_the_highest_level),
        TEST(wants_details),
        TEST(finds_calls_in_flight),
        TEST(finds_calls_that_stay),
        TEST(finds_funs_of_what_is_gone),
        TEST(finds_callers_outside_a_part),
        TEST(keeps_removed_modules_for_those_in_flight),
        TEST(lists_removed_functions),
        TEST(a_restart_leaves_nobody_in_flight),
        TEST(takes_a_gap_once),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
