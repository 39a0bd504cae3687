/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/settings.h"
#include "releases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- no difference --- */

static void takes_a_version_for_no_difference(void **state)
{
    expect_none(*state);
}

static void takes_comments_for_no_difference(void **state)
{
    struct releases *fixture = *state;

    fixture->new.vm_args =
        nzd_view_text("  +K true\n# why\n\n\n-setcookie monster");
    fixture->new.env_script = nzd_view_text("# x\nexport A=1\n\n# 'y\n");
    fixture->new.runtime_config =
        nzd_view_text("import Config\n# it's b\n  config :a, b: 1\n");
    expect_none(fixture);
}

/* Modules that came, went or changed are the plan's; their lists follow. */
static void leaves_modules_to_the_plan(void **state)
{
    struct releases *fixture = *state;

    side_add_module(&fixture->new, "counter_rate", 1);
    fixture->new.boot_script = nzd_term_at(
        side_parse(
            &fixture->new,
            "{script, {\"counter\", \"0.2.0\"}, [{preLoaded, [erlang]},"
            " {path, [\"$RELEASE_LIB/../releases/0.2.0/consolidated\"]},"
            " {path, [\"/elsewhere/lib/counter-0.2.0/ebin\"]},"
            " {primLoad, [counter, counter_rate, counter_text]},"
            " {apply, {application, load, [{application, counter,"
            "   [{modules, [counter, counter_rate, counter_text]}]}]}},"
            " {apply, {application, start_boot, [kernel, permanent]}},"
            " {apply, {application, start_boot, [counter, permanent]}}]}."),
        0);
    side_set_spec(&fixture->new, ", {description, \"new\"}, {maxT, infinity}");
    expect_none(fixture);
}

/* A node on a later generation holds modules its boot script never named, and
 * lacks some that it names. */
static void takes_a_later_generation_for_its_base(void **state)
{
    struct releases *fixture = *state;

    side_add_module(&fixture->old, "counter_rate", 1);
    side_add_module(&fixture->new, "counter_rate", 1);
    side_set_boot(&fixture->old, "0.1.0", "",
                  "{primLoad, [counter, counter_legacy]}," STARTS);
    side_set_boot(&fixture->new, "0.2.0", "",
                  "{primLoad, [counter, counter_rate]}," STARTS);
    expect_none(fixture);
}

static void takes_order_of_keys_for_no_difference(void **state)
{
    struct releases *fixture = *state;

    side_set_spec(&fixture->old,
                  ", {registered, [a, b]}, {env, [{x, 1}, {y, 2}]}");
    side_set_spec(&fixture->new,
                  ", {env, [{y, 2}, {x, 1}]}, {registered, [b, a]}");
    expect_none(fixture);
}

/* --- release and applications --- */

static void sees_another_erts(void **state)
{
    struct releases *fixture = *state;

    fixture->new.erts = "13.2";
    fixture->new.erts_lack = "releases/start_erl.data";
    expect_line(fixture, "erts|13.1.5|13.2|releases/start_erl.data");
    fixture->new.erts_lack = "";
    expect_line(fixture, "erts|13.1.5|13.2|emulator and programs");
    fixture->old.machine[0] = 2;
    expect_line(fixture, "erts|13.1.5|13.2|emulator and programs");
    fixture->new.machine[0] = 1;
    expect_line(fixture, "erts|13.1.5|13.2|the emulator is one for another "
                         "machine");
}

static void sees_keys_of_an_application(void **state)
{
    static const char started[] = "counter.app|{counter,[]}|{counter_app,[]}|"
                                  "mod, which only a start takes in";
    static const char *const lines[] = {
        "counter.app||crypto|applications",
        "counter.app|counter_srv||registered",
        "counter.app|{limit,100}|{limit,120}|env: limit",
        "counter.app||{rate,5}|env: rate", started};
    struct releases *fixture = *state;

    side_set_spec(&fixture->old,
                  ", {registered, [counter_srv]},"
                  " {env, [{limit, 100}]}, {mod, {counter, []}}");
    side_set_spec(&fixture->new, ", {applications, [crypto]},"
                                 " {env, [{limit, 120}, {rate, 5}]},"
                                 " {mod, {counter_app, []}}");
    expect_lines(fixture, lines, 5);
}

/* A key that .app and boot script both tell is said once. */
static void says_a_key_once(void **state)
{
    struct releases *fixture = *state;

    side_set_spec(&fixture->new, ", {env, [{limit, 1}]}");
    side_set_boot(&fixture->new, "0.2.0", ", {env, [{limit, 1}]}", STARTS);
    expect_line(fixture, "counter.app||{limit,1}|env: limit");
}

static void sees_applications_come_and_go(void **state)
{
    static const char *const lines[] = {"crypto||5.1, permanent|boot script",
                                        "kernel|permanent||boot script"};
    struct releases *fixture = *state;

    side_set_boot(&fixture->new, "0.2.0", "",
                  "{path, [\"$ROOT/lib/crypto-5.1/ebin\"]},"
                  "{apply, {application, start_boot, [counter, permanent]}},"
                  "{apply, {application, start_boot, [crypto, permanent]}},");
    expect_lines(fixture, lines, 2);
}

static void sees_start_types_and_order(void **state)
{
    static const char *const lines[] = {
        "counter|permanent|temporary|boot script: start type",
        "boot script|kernel|counter|order of the starts, of the next boot"};
    struct releases *fixture = *state;

    side_set_boot(&fixture->new, "0.2.0", "",
                  "{apply, {application, start_boot, [counter, temporary]}},"
                  "{apply, {application, start_boot, [kernel, permanent]}},");
    expect_lines(fixture, lines, 2);
}

static void sees_other_commands(void **state)
{
    static const char *const lines[] = {
        "boot script||/opt/patches|code path",
        "boot script||{apply,{logger,add,[]}}|commands"};
    struct releases *fixture = *state;
    const char *text = nzd_arena_printf(&fixture->new.arena,
                                        "{path, [\"/opt/patches\"]},%s %s",
                                        STARTS, "{apply, {logger, add, []}},");

    side_set_boot(&fixture->new, "0.2.0", "", text);
    expect_lines(fixture, lines, 2);
}

static void sees_another_installed_version(void **state)
{
    struct releases *fixture = *state;

    nzd_inventory_app(&fixture->new, "kernel")->version = "8.6";
    expect_line(fixture, "kernel|8.5.3|8.6|of the installed OTP");
}

static void sees_another_name(void **state)
{
    struct releases *fixture = *state;

    fixture->new.release = "meter";
    expect_line(fixture, "release|counter|meter|its name");
}

/* --- configuration --- */

static void sees_configuration_by_key(void **state)
{
    static const char *const lines[] = {
        "sys.config|{limit,100}|{limit,120}|counter: limit",
        "sys.config|{size,1}|{size,2}|counter: repo.pool.size",
        "sys.config|{a,1}||counter: repo.a",
        "sys.config||{level,info}|logger: level"};
    struct releases *fixture = *state;

    side_set_config(&fixture->old,
                    "[{counter, [{limit, 100},"
                    " {repo, [{pool, #{size => 1}}, {a, 1}]}]}].");
    side_set_config(&fixture->new, "[{counter, [{limit, 120},"
                                   " {repo, [{pool, #{size => 2}}]}]},"
                                   " {logger, [{level, info}]}].");
    expect_lines(fixture, lines, 4);
}

static void hides_secrets(void **state)
{
    static const char *const lines[] = {
        "sys.config|(hidden)|(hidden)|counter: secret_key_base",
        "vm.args|(cookie)|(cookie)|vm.args", "env.sh||(hidden)|env.sh"};
    struct releases *fixture = *state;

    side_set_config(&fixture->old,
                    "[{counter, [{secret_key_base, <<\"x\">>}]}].");
    side_set_config(&fixture->new,
                    "[{counter, [{secret_key_base, <<\"y\">>}]}].");
    fixture->new.vm_args = nzd_view_text("+K true\n-setcookie other\n");
    fixture->new.env_script =
        nzd_view_text("export A=1\nexport RELEASE_COOKIE=abc\n");
    expect_lines(fixture, lines, 3);
}

/* Values that print alike up to the cut still differ. */
static void sees_differences_past_the_cut(void **state)
{
    struct releases *fixture = *state;
    char old[1200], new[1200];
    char zeros[301];

    memset(zeros, '0', 300);
    zeros[300] = 0;
    snprintf(old, sizeof(old), "[{counter, [{k, <<\"%s1\">>}]}].", zeros);
    snprintf(new, sizeof(new), "[{counter, [{k, <<\"%s2\">>}]}].", zeros);
    side_set_config(&fixture->old, old);
    side_set_config(&fixture->new, new);
    assert_int_equal(nzd_settings_compare(&fixture->old, &fixture->new,
                                          &fixture->arena, &fixture->list,
                                          &fixture->err),
                     0);
    assert_int_equal(fixture->list.count, 1);
    assert_string_not_equal(fixture->list.items[0].old,
                            fixture->list.items[0].new);
}

static void sees_order_where_it_counts(void **state)
{
    struct releases *fixture = *state;

    side_set_config(&fixture->old, "[{counter, [{plugs, [{a, 1}, {b, 2}]}]}].");
    side_set_config(&fixture->new, "[{counter, [{plugs, [{b, 2}, {a, 1}]}]}].");
    expect_line(fixture, "sys.config|{plugs,[{a,1},{b,2}]}|{plugs,[{b,2},"
                         "{a,1}]}|counter: plugs");
}

static void counts_what_is_too_much(void **state)
{
    struct releases *fixture = *state;
    struct nzd_buf text = {0};

    nzd_buf_text(&text, "[{counter, [{first, 1}");
    for (unsigned i = 0; i < 69; i++)
        nzd_buf_printf(&text, ", {k%u, %u}", i, i);
    nzd_buf_text(&text, "]}].");
    side_set_config(&fixture->old, "[].");
    side_set_config(&fixture->new, nzd_buf_string(&text));
    nzd_buf_clear(&text);
    assert_int_equal(nzd_settings_compare(&fixture->old, &fixture->new,
                                          &fixture->arena, &fixture->list,
                                          &fixture->err),
                     0);
    assert_int_equal(fixture->list.count, 51);
    assert_string_equal(fixture->list.items[50].new, "20 more differences");
}

/* --- texts --- */

static void sees_lines_of_texts(void **state)
{
    static const char *const lines[] = {
        "vm.args|+K true|+K false|vm.args", "vm.args||+A 5|vm.args",
        "env.sh|export A=1||env.sh",
        "runtime.exs|config :a, b: 1|config :a, b: 2|runtime.exs"};
    struct releases *fixture = *state;

    fixture->new.vm_args =
        nzd_view_text("+K false\n-setcookie monster\n+A 5\n");
    fixture->new.env_script = nzd_view_text("#!/bin/sh\n");
    fixture->new.runtime_config =
        nzd_view_text("import Config\nconfig :a, b: 2\n");
    expect_lines(fixture, lines, 4);
}

/* A line in a string of several lines is no comment, and no indentation. */
static void sees_lines_inside_strings(void **state)
{
    struct releases *fixture = *state;

    fixture->old.runtime_config =
        nzd_view_text("config :a, b: \"\"\"\n# one\n\"\"\"\n");
    fixture->new.runtime_config =
        nzd_view_text("config :a, b: \"\"\"\n# two\n\"\"\"\n");
    expect_line(fixture, "runtime.exs|# one|# two|runtime.exs");
}

static void sees_order_of_lines(void **state)
{
    struct releases *fixture = *state;

    fixture->old.runtime_config = nzd_view_text("a\nb\n");
    fixture->new.runtime_config = nzd_view_text("b\na\n");
    expect_line(fixture, "runtime.exs|a|b|order of the lines");
}

static void marks_its_own_version_in_texts(void **state)
{
    struct releases *fixture = *state;

    fixture->old.env_script = nzd_view_text(
        "export RELEASE_VSN=0.1.0\ncd releases/0.1.0/x\nB=10.1.0\n");
    fixture->new.env_script = nzd_view_text(
        "export RELEASE_VSN=0.2.0\ncd releases/0.2.0/x\nB=10.1.0\n");
    expect_none(fixture);
    fixture->new.env_script = nzd_view_text(
        "export RELEASE_VSN=0.2.0\ncd releases/0.2.0/x\nB=0.2.0\n");
    expect_line(fixture, "env.sh|B=10.1.0|B=0.2.0|env.sh");
}

/* --- files --- */

static void sees_priv_files(void **state)
{
    static const char *const lines[] = {
        "counter priv|01000000|02000000|priv/b",
        "counter priv|01000000||priv/c",
        "counter priv||01000000|priv/d, for its next start or load", READERS};
    struct releases *fixture = *state;

    side_add_priv(&fixture->old, "priv/a", 1);
    side_add_priv(&fixture->new, "priv/a", 1);
    side_add_priv(&fixture->old, "priv/b", 1);
    side_add_priv(&fixture->new, "priv/b", 2);
    side_add_priv(&fixture->old, "priv/c", 1);
    side_add_priv(&fixture->new, "priv/d", 1);
    fixture->new.priv[2].executable = true;
    expect_lines(fixture, lines, 4);
}

static void sees_lost_consolidation(void **state)
{
    struct releases *fixture = *state;
    struct nzd_module *module = nzd_inventory_module(&fixture->old, "counter");

    module->path = "/srv/releases/0.1.0/consolidated/counter.beam";
    expect_none(fixture);
    module->md5.bytes[0] = 9;
    expect_line(fixture,
                "protocol consolidation|consolidated|as compiled|counter");
}

/* --- parts of a release --- */

static void make_partial(struct nzd_inventory *side)
{
    side->is_release = false;
    side->release = side->version = side->erts = "";
    side->boot_script = side->sys_config = NULL;
    side->vm_args = side->env_script = side->runtime_config =
        (struct nzd_view){NULL, 0};
}

static void compares_only_what_a_part_holds(void **state)
{
    struct releases *fixture = *state;

    make_partial(&fixture->new);
    side_add_app(&fixture->old, "only_there", "1");
    expect_none(fixture);
    side_set_spec(&fixture->new, ", {env, [{a, 1}]}");
    expect_line(fixture, "counter.app||{a,1}|env: a");
}

static void asks_who_needs_a_new_application(void **state)
{
    struct releases *fixture = *state;

    make_partial(&fixture->new);
    side_add_app(&fixture->new, "jason", "1.4");
    expect_none(fixture);
    side_set_spec(&fixture->old, ", {applications, [kernel, jason]}");
    side_set_spec(&fixture->new, ", {applications, [kernel, jason]}");
    expect_line(fixture, "jason||1.4|counter needs it");
}

static void sees_what_one_release_lacks(void **state)
{
    static const char *const lines[] = {
        "boot script|there|none|releases",
        "sys.config|{limit,100}||counter: limit", "vm.args|+K true||vm.args"};
    struct releases *fixture = *state;

    side_set_config(&fixture->old, "[{counter, [{limit, 100}]}].");
    fixture->old.vm_args = nzd_view_text("+K true\n");
    fixture->new.boot_script = fixture->new.sys_config = NULL;
    fixture->new.vm_args = nzd_view_text("# nothing\n");
    expect_lines(fixture, lines, 3);
}

static void refuses_no_boot_script(void **state)
{
    struct releases *fixture = *state;

    fixture->new.boot_script =
        nzd_term_at(side_parse(&fixture->new, "{a, b}."), 0);
    assert_int_equal(nzd_settings_compare(&fixture->old, &fixture->new,
                                          &fixture->arena, &fixture->list,
                                          &fixture->err),
                     NZD_EBUNDLE);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, releases_set_up, releases_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(takes_a_version_for_no_difference),
        TEST(takes_comments_for_no_difference),
        TEST(leaves_modules_to_the_plan),
        TEST(takes_a_later_generation_for_its_base),
        TEST(takes_order_of_keys_for_no_difference),
        TEST(sees_another_erts),
        TEST(sees_keys_of_an_application),
        TEST(says_a_key_once),
        TEST(sees_applications_come_and_go),
        TEST(sees_start_types_and_order),
        TEST(sees_other_commands),
        TEST(sees_another_installed_version),
        TEST(sees_another_name),
        TEST(sees_configuration_by_key),
        TEST(hides_secrets),
        TEST(sees_differences_past_the_cut),
        TEST(sees_order_where_it_counts),
        TEST(counts_what_is_too_much),
        TEST(sees_lines_of_texts),
        TEST(sees_lines_inside_strings),
        TEST(sees_order_of_lines),
        TEST(marks_its_own_version_in_texts),
        TEST(sees_priv_files),
        TEST(sees_lost_consolidation),
        TEST(compares_only_what_a_part_holds),
        TEST(asks_who_needs_a_new_application),
        TEST(sees_what_one_release_lacks),
        TEST(refuses_no_boot_script),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
