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

static void versions_are_compared_by_their_numbers(void **state)
{
    (void)state;
    assert_true(nzd_version_compare("0.9.1", "0.10.0-rc1") < 0);
    assert_true(nzd_version_compare("2.0", "1.9.9") > 0);
    assert_int_equal(nzd_version_compare("1.0", "1"), 0);
    assert_int_equal(nzd_version_compare("1.07", "1.7"), 0);
    assert_int_equal(nzd_version_compare("1.2-a", "1.2-b"), 0);
    assert_int_equal(nzd_version_compare("first", "second"), 0);
    assert_true(nzd_version_compare("1.20240115123456", "1.20240115123457") <
                0);
    assert_true(nzd_version_compare("1.100000000000000000000",
                                    "1.200000000000000000000") < 0);
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

static void judge(struct fixture *fixture)
{
    assert_int_equal(nzd_appup_judge(&fixture->old, &fixture->new,
                                     &fixture->arena, &fixture->list,
                                     &fixture->err),
                     0);
}

static void set_versions(struct fixture *fixture, const char *instructions)
{
    struct nzd_app *app = nzd_inventory_add_app(&fixture->old);
    app->name = "counter";
    app->version = "0.1.0";
    app->in_script = true;
    app = nzd_inventory_add_app(&fixture->new);
    app->name = "counter";
    app->version = "0.2.0";
    app->in_script = true;
    app->appup = parse(fixture, nzd_arena_printf(&fixture->arena,
                                                 "{\"0.2.0\", [{\"0.1.0\", "
                                                 "[%s]}], []}.",
                                                 instructions));
    assert_int_equal(nzd_inventory_sort(&fixture->old, &fixture->err), 0);
    assert_int_equal(nzd_inventory_sort(&fixture->new, &fixture->err), 0);
    judge(fixture);
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
        "{load_object_code, {a, \"1\", [m]}},"
        "point_of_no_return, {suspend, [m]}, {load, {m, soft_purge,"
        "  soft_purge}}, {code_change, up, [{m, extra}]}, {resume, [m]},"
        "{remove, {o, soft_purge, soft_purge}}, {purge, [o]}");
    assert_int_equal(fixture->list.count, 0);
}

static void what_it_cannot_is_a_reason(void **state)
{
    struct fixture *fixture = *state;
    set_versions(fixture,
                 "{apply, {counter, migrate, [1]}}, restart_new_emulator, "
                 "{sync_nodes, x, [n]}, {stop, [m]}, {fly, away}, "
                 "{apply, {application, load, [{application, a, []}]}}, "
                 "{restart_application, other}");
    assert_int_equal(fixture->list.count, 7);
    for (uint32_t i = 0; i < fixture->list.count; i++) {
        assert_int_equal(fixture->list.items[i].level, NZD_LEVEL_RESTART_VM);
        assert_int_equal(fixture->list.items[i].need, NZD_NEED_RESTART);
    }
    assert_string_equal(fixture->list.items[0].subject,
                        "counter.appup {apply,{counter,migrate,[1]}}");
    assert_string_equal(fixture->list.items[0].old, "0.1.0");
    assert_non_null(strstr(fixture->list.items[4].source, "does not know"));
}

static void an_application_starts_anew(void **state)
{
    struct fixture *fixture = *state;
    set_versions(fixture,
                 "{restart_application, counter}, "
                 "{apply, {application, stop, [counter]}}, "
                 "{remove, {m, brutal_purge, brutal_purge}}, "
                 "{apply, {application, start, [counter, permanent]}}");
    assert_int_equal(fixture->list.count, 1);
    const struct nzd_evidence *one = &fixture->list.items[0];
    assert_int_equal(one->level, NZD_LEVEL_RESTART_APP);
    assert_int_equal(one->need, NZD_NEED_SWITCH);
    assert_true(one->live);
    assert_string_equal(one->restarts, "counter");
}

/* The difference of both sides does the same, or it is a reason. */
static void applications_agree_with_the_difference(void **state)
{
    struct fixture *fixture = *state;
    *nzd_inventory_add_app(&fixture->new) =
        (struct nzd_app){.name = "more", .version = "1", .in_script = true};
    *nzd_inventory_add_app(&fixture->new) =
        (struct nzd_app){.name = "lib", .version = "1"};
    *nzd_inventory_add_app(&fixture->old) =
        (struct nzd_app){.name = "less", .version = "1", .in_script = true};
    fixture->new.is_release = true;
    fixture->new.boot_script =
        parse(fixture, "{script, {\"r\", \"2\"}, [{apply, {application, load, "
                       "[{application, more, []}]}}, {apply, {application, "
                       "start_boot, [more, permanent]}}]}.");
    set_versions(fixture,
                 "{add_application, more}, {remove_application, less}, "
                 "{apply, {application, load, [more]}}, "
                 "{apply, {application, start, [more, permanent]}}, "
                 "{apply, {application, stop, [less]}}, "
                 "{apply, {application, unload, [less]}}, "
                 "{add_application, lib}, {remove_application, counter}, "
                 "{add_application, more, transient}");
    assert_int_equal(fixture->list.count, 3);
    static const char *const why[] = {"no boot script", "that it is gone",
                                      "in another way"};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fixture->list.items[i].level, NZD_LEVEL_RESTART_VM);
        assert_non_null(strstr(fixture->list.items[i].source, why[i]));
    }
}

static void put_module(struct nzd_inventory *to, const char *name, uint8_t md5)
{
    struct nzd_module *module = nzd_inventory_add_module(to);
    module->name = name;
    module->app = module->path = "";
    module->md5.bytes[0] = md5;
}

/* Its new init/1 leads to it, where there is one. */
static void children_follow_their_supervisor(void **state)
{
    struct fixture *fixture = *state;
    put_module(&fixture->old, "sup", 1);
    put_module(&fixture->new, "sup", 2);
    set_versions(fixture, "{update, sup, supervisor}, "
                          "{apply, {supervisor, restart_child, [s, a]}}, "
                          "{apply, {supervisor, terminate_child, [s, b]}}, "
                          "{apply, {supervisor, delete_child, [s, b]}}, "
                          "{apply, {supervisor, terminate_child, [s, c]}}, "
                          "{apply, {supervisor, restart_child, [s, c]}}, "
                          "{apply, {supervisor, start_child, [s, d]}}");
    assert_int_equal(fixture->list.count, 2);
    assert_non_null(strstr(fixture->list.items[0].source, "would start anew"));
    assert_non_null(strstr(fixture->list.items[1].source, "undo what it"));
}

static void children_of_code_that_stays(void **state)
{
    struct fixture *fixture = *state;
    put_module(&fixture->old, "sup", 1);
    put_module(&fixture->new, "sup", 1);
    set_versions(fixture, "{update, sup, supervisor}, "
                          "{apply, {supervisor, restart_child, [s, a]}}");
    assert_int_equal(fixture->list.count, 1);
}

/* --- Extra --------------------------------------------------------------- */

static const struct nzd_term *extra(struct fixture *fixture, const char *text)
{
    nzd_inventory_clear(&fixture->old);
    nzd_inventory_clear(&fixture->new);
    nzd_inventory_init(&fixture->old);
    nzd_inventory_init(&fixture->new);
    *nzd_inventory_add_app(&fixture->old) =
        (struct nzd_app){.name = "counter", .version = "0.1.0"};
    *nzd_inventory_add_app(&fixture->new) = (struct nzd_app){
        .name = "counter", .version = "0.2.0", .appup = parse(fixture, text)};
    return nzd_appup_extra(&fixture->old, &fixture->new, false, "counter", "m");
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
    extra(fixture, "{\"0.2.0\", [], [{\"0.1.0\", "
                   "[{update, m, {advanced, [down]}}]}]}.");
    const struct nzd_term *found =
        nzd_appup_extra(&fixture->old, &fixture->new, true, "counter", "m");
    assert_true(nzd_term_is_atom(nzd_term_at(found, 0), "down"));
}

/* --- of the release ------------------------------------------------------ */

static void a_relup_counts_before_the_appups(void **state)
{
    struct fixture *fixture = *state;
    extra(fixture, UP("{update, m, {advanced, no}}, restart_new_emulator"));
    fixture->old.version = "1";
    fixture->new.version = "2";
    fixture->new.relup =
        parse(fixture, "{\"2\", [{\"1\", [], [{code_change, up, [{m, yes}]}, "
                       "{apply, {io, nl, []}}]}], [{\"1\", what, "
                       "[{code_change, down, [{m, back}]}]}]}.");
    assert_true(nzd_term_is_atom(
        nzd_appup_extra(&fixture->old, &fixture->new, false, "counter", "m"),
        "yes"));
    assert_true(nzd_term_is_atom(
        nzd_appup_extra(&fixture->old, &fixture->new, true, "counter", "m"),
        "back"));
    judge(fixture);
    assert_int_equal(fixture->list.count, 1);
    assert_string_equal(fixture->list.items[0].subject,
                        "relup {apply,{io,nl,[]}}");
    assert_string_equal(fixture->list.items[0].old, "1");
    /* It leads from another release: the appups count. */
    fixture->old.version = "0";
    nzd_evidence_clear(&fixture->list);
    judge(fixture);
    assert_int_equal(fixture->list.count, 1);
    assert_string_equal(fixture->list.items[0].subject,
                        "counter.appup restart_new_emulator");
    assert_null(nzd_relup_find(NULL, "1", false));
    assert_null(nzd_relup_find(fixture->new.relup, "2", true));
    assert_null(nzd_relup_find(
        parse(fixture, "{\"2\", [{\"1\", []}, {}, 1, {1, [], []}], []}."), "1",
        false));
}

/* --- from a bundle ------------------------------------------------------- */

/* And closes it. */
static int read_tree(struct fixture *fixture, struct tree *tree)
{
    struct nzd_source *source = NULL;
    struct nzd_release_options options = {.known = NULL};
    int code = nzd_source_open(tree->root, &source, &fixture->err);
    if (!code)
        code = nzd_release_read(source, &options, &fixture->new, &fixture->err);
    nzd_source_close(source);
    tree_close(tree);
    return code;
}

static int read_bundle(struct fixture *fixture, const char *appup)
{
    struct tree tree;
    tree_open(&tree);
    tree_text(&tree, "counter-0.2.0/ebin/counter.app",
              "{application, counter, [{vsn, \"0.2.0\"}]}.\n");
    tree_text(&tree, "counter-0.2.0/ebin/counter.appup", appup);
    return read_tree(fixture, &tree);
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

static int read_release(struct fixture *fixture, const char *relup)
{
    struct tree tree;
    tree_open(&tree);
    tree_compile(&tree, "lib/counter-0.2.0/ebin", "m", "-module(m).\n");
    tree_text(&tree, "lib/counter-0.2.0/ebin/counter.app",
              "{application, counter, [{vsn, \"0.2.0\"}]}.\n");
    tree_text(&tree, "releases/2/sys.config", "[].\n");
    tree_text(&tree, "releases/2/relup", relup);
    tree_text(&tree, "releases/1/relup", "of another version");
    return read_tree(fixture, &tree);
}

static void a_relup_is_read(void **state)
{
    struct fixture *fixture = *state;
    if (read_release(fixture, "{\"2\", [{\"1\", [], [go]}], []}."))
        fail_msg("%s", fixture->err.message);
    assert_true(nzd_term_is_atom(
        nzd_term_at(nzd_relup_find(fixture->new.relup, "1", false), 0), "go"));
    nzd_inventory_clear(&fixture->new);
    static const char *const others[] = {"{\"2\", [}", "{\"2\", []}.", "go."};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(read_release(fixture, others[i]), NZD_EBUNDLE);
        assert_non_null(strstr(fixture->err.message, "releases/2/relup"));
        nzd_err_clear(&fixture->err);
    }
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(the_version_is_found),
        in(versions_are_compared_by_their_numbers),
        in(what_is_no_appup_is_told),
        in(what_nzd_does_raises_nothing),
        in(what_it_cannot_is_a_reason),
        in(extra_is_found_in_each_form),
        in(extra_of_the_way_down),
        in(a_damaged_one_is_named),
        in(a_relup_is_read),
        in(an_application_starts_anew),
        in(applications_agree_with_the_difference),
        in(children_follow_their_supervisor),
        in(children_of_code_that_stays),
        in(a_relup_counts_before_the_appups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
