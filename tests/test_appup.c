/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/appup.h"
#include "../staging/spool.h"

#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct nzd_arena arena;
    struct nzd_evidence_list list;
    struct nzd_err err;
    struct nzd_inventory old;
    struct nzd_inventory new;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    nzd_inventory_init(&fixture->old);
    nzd_inventory_init(&fixture->new);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    nzd_evidence_clear(&fixture->list);
    nzd_inventory_clear(&fixture->old);
    nzd_inventory_clear(&fixture->new);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

static const struct nzd_term *parse(struct fixture *fixture, const char *text)
{
    const struct nzd_term *terms = NULL;
    if (nzd_term_parse(nzd_view_text(text), &fixture->arena, &terms,
                       &fixture->err))
        fail_msg("%s: %s", fixture->err.message, text);
    return nzd_term_at(terms, 0);
}

/* --- versions ------------------------------------------------------------ */

static void the_version_is_found(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_term *appup =
        parse(fixture, "{\"0.3.0\", [{\"0.1.0\", [one]},"
                       " {<<\"0\\\\.2\\\\.\\\\d+(-rc[0-9]+)?\">>, [two]}],"
                       " [{\"0.1.0\", [three]}]}.");
    assert_true(nzd_appup_is(appup));
    const struct nzd_term *way = nzd_appup_find(appup, "0.1.0", false);
    assert_true(nzd_term_is_atom(nzd_term_at(way, 0), "one"));
    way = nzd_appup_find(appup, "0.2.17-rc3", false);
    assert_true(nzd_term_is_atom(nzd_term_at(way, 0), "two"));
    way = nzd_appup_find(appup, "0.1.0", true);
    assert_true(nzd_term_is_atom(nzd_term_at(way, 0), "three"));
    assert_null(nzd_appup_find(appup, "0.2.x", false));
    assert_null(nzd_appup_find(appup, "10.2.1", false));
    assert_null(nzd_appup_find(appup, "0.2.1", true));
    assert_null(nzd_appup_find(NULL, "0.1.0", false));
}

static void what_is_no_appup_is_told(void **state)
{
    static const char *const others[] = {"[].", "{\"1\", []}.", "{1, [], []}.",
                                         "{\"1\", [], none}.", "up."};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(nzd_appup_is(parse(fixture, others[i])));
    assert_false(nzd_appup_is(NULL));
    /* A version that is none, ways that are none, a pattern that is none. */
    const struct nzd_term *odd =
        parse(fixture, "{\"1\", [x, {1}, {<<\"(\">>, []}, {foo, bar}, "
                       "{<<\"((.{99}){99}){99}\">>, []}, {<<\"(.)\\\\1\">>, "
                       "[]}, {<<\"1\\\\\">>, []}], []}.");
    assert_true(nzd_appup_is(odd));
    assert_null(nzd_appup_find(odd, "(", false));
    assert_null(nzd_appup_find(odd, "11", false));
}

/* --- instructions -------------------------------------------------------- */

static void set_versions(struct fixture *fixture, const char *instructions)
{
    struct nzd_app *app = nzd_inventory_add_app(&fixture->old);
    app->name = "counter";
    app->version = "0.1.0";
    app = nzd_inventory_add_app(&fixture->new);
    app->name = "counter";
    app->version = "0.2.0";
    app->appup = parse(fixture, nzd_arena_printf(&fixture->arena,
                                                 "{\"0.2.0\", [{\"0.1.0\", "
                                                 "[%s]}], []}.",
                                                 instructions));
    assert_int_equal(nzd_inventory_sort(&fixture->old, &fixture->err), 0);
    assert_int_equal(nzd_inventory_sort(&fixture->new, &fixture->err), 0);
    assert_int_equal(nzd_appup_judge(&fixture->old, &fixture->new,
                                     &fixture->arena, &fixture->list,
                                     &fixture->err),
                     0);
}

static void what_nzd_does_raises_nothing(void **state)
{
    struct fixture *fixture = *state;
    set_versions(
        fixture,
        "{load_module, m}, {load_module, m, soft_purge, soft_purge, [n]},"
        "{update, m}, {update, m, supervisor}, {update, m, [n]},"
        "{update, m, {advanced, extra}}, {update, m, soft, brutal_purge,"
        "  brutal_purge, []}, {add_module, n}, {delete_module, o},"
        "{add_application, a}, {add_application, b, transient},"
        "{remove_application, c}, {load_object_code, {a, \"1\", [m]}},"
        "point_of_no_return, {suspend, [m]}, {load, {m, soft_purge,"
        "  soft_purge}}, {code_change, up, [{m, extra}]}, {resume, [m]},"
        "{remove, {o, soft_purge, soft_purge}}, {purge, [o]}");
    assert_int_equal(fixture->list.count, 0);
}

static void what_it_cannot_is_a_reason(void **state)
{
    struct fixture *fixture = *state;
    set_versions(fixture,
                 "{apply, {counter, migrate, [1]}}, {restart_application, "
                 "counter}, restart_new_emulator, {sync_nodes, x, [n]}, "
                 "{stop, [m]}, {fly, away}");
    assert_int_equal(fixture->list.count, 6);
    for (uint32_t i = 0; i < fixture->list.count; i++) {
        assert_int_equal(fixture->list.items[i].level, NZD_LEVEL_RESTART_VM);
        assert_int_equal(fixture->list.items[i].need, NZD_NEED_RESTART);
    }
    assert_string_equal(fixture->list.items[0].subject,
                        "counter.appup {apply,{counter,migrate,[1]}}");
    assert_string_equal(fixture->list.items[0].old, "0.1.0");
    assert_non_null(strstr(fixture->list.items[5].source, "does not know"));
}

/* --- Extra --------------------------------------------------------------- */

static const struct nzd_term *extra(struct fixture *fixture, const char *text)
{
    struct nzd_app old = {.name = "counter", .version = "0.1.0"};
    struct nzd_app new = {
        .name = "counter", .version = "0.2.0", .appup = parse(fixture, text)};
    return nzd_appup_extra(&old, &new, false, "m");
}

#define UP(instructions) "{\"0.2.0\", [{\"0.1.0\", [" instructions "]}], []}."

static void extra_is_found_in_each_form(void **state)
{
    struct fixture *fixture = *state;
    static const char *const forms[] = {
        UP("{update, n, {advanced, no}}, {update, m, {advanced, yes}}"),
        UP("{update, m, {advanced, yes}, [n]}"),
        UP("{update, m, {advanced, yes}, soft_purge, soft_purge, []}"),
        UP("{update, m, 5000, {advanced, yes}, soft_purge, soft_purge, []}"),
        UP("{update, m, static, 5000, {advanced, yes}, soft_purge, "
           "soft_purge, []}"),
        UP("{code_change, [{n, no}, {m, yes}]}"),
        UP("{code_change, up, [{m, yes}]}"),
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (!nzd_term_is_atom(extra(fixture, forms[i]), "yes"))
            fail_msg("none in %s", forms[i]);
    assert_null(extra(fixture, UP("{update, m, soft}")));
    assert_null(extra(fixture, UP("{update, n, {advanced, no}}")));
    assert_null(extra(fixture, UP("update, {update}, {code_change, x}")));
}

static void extra_of_the_way_down(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_app old = {
        .name = "counter",
        .version = "0.2.0",
        .appup = parse(fixture, "{\"0.2.0\", [], [{\"0.1.0\", "
                                "[{update, m, {advanced, [down]}}]}]}.")};
    struct nzd_app new = {.name = "counter", .version = "0.1.0"};
    const struct nzd_term *found = nzd_appup_extra(&old, &new, true, "m");
    assert_true(nzd_term_is_atom(nzd_term_at(found, 0), "down"));
}

/* --- from a bundle ------------------------------------------------------- */

static int read_bundle(struct fixture *fixture, const char *appup)
{
    struct tree tree;
    struct nzd_source *source = NULL;
    struct nzd_release_options options = {.known = NULL};
    tree_open(&tree);
    tree_text(&tree, "counter-0.2.0/ebin/counter.app",
              "{application, counter, [{vsn, \"0.2.0\"}]}.\n");
    tree_text(&tree, "counter-0.2.0/ebin/counter.appup", appup);
    int code = nzd_source_open(tree.root, &source, &fixture->err);
    if (!code)
        code = nzd_release_read(source, &options, &fixture->new, &fixture->err);
    nzd_source_close(source);
    tree_close(&tree);
    return code;
}

static void a_damaged_one_is_named(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_bundle(fixture, "{\"0.2.0\", [}"), NZD_EBUNDLE);
    assert_non_null(strstr(fixture->err.message, "counter.appup"));
    nzd_err_clear(&fixture->err);
    assert_int_equal(read_bundle(fixture, "{\"0.2.0\"}."), NZD_EBUNDLE);
    assert_non_null(
        strstr(fixture->err.message, "not one {Version, [...], [...]} term"));
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(the_version_is_found),         in(what_is_no_appup_is_told),
        in(what_nzd_does_raises_nothing), in(what_it_cannot_is_a_reason),
        in(extra_is_found_in_each_form),  in(extra_of_the_way_down),
        in(a_damaged_one_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
