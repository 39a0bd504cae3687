/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/settings.h"
#include "releases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- what it needs --- */

/* The most that any line needs. */
static void expect_need(struct releases *fixture, enum nzd_need need)
{
    enum nzd_need most = NZD_NEED_SWITCH;

    nzd_evidence_clear(&fixture->list);
    if (nzd_settings_compare(&fixture->old, &fixture->new, &fixture->arena,
                             &fixture->list, &fixture->err) != 0)
        fail_msg("%s", fixture->err.message);
    for (uint32_t i = 0; i < fixture->list.count; i++)
        if (fixture->list.items[i].need > most)
            most = fixture->list.items[i].need;
    assert_string_equal(nzd_need_name(most), nzd_need_name(need));
}

static void a_boot_of_the_vm_is_enough(void **state)
{
    struct releases *fixture = *state;

    expect_need(fixture, NZD_NEED_SWITCH);
    side_add_priv(&fixture->old, "priv/a", 1);
    fixture->old.priv[0].use = "which the VM has loaded";
    expect_need(fixture, NZD_NEED_RESTART);
    fixture->old.priv_count = 0;
    side_set_boot(&fixture->new, "0.2.0", "",
                  "{apply, {application, start_boot, [kernel, temporary]}},"
                  "{apply, {application, start_boot, [counter, permanent]}},");
    expect_need(fixture, NZD_NEED_RESTART);
}

/* What is in use is exchanged by a boot; all else in the node, where that can
 * be. */
static void files_of_priv_are_live(void **state)
{
    static const char *const fixed[] = {
        "counter priv|01000000|02000000|priv/b.so, which the VM has loaded",
        "counter priv||01000000|priv/c", READERS};
    static const char *const none[] = {
        "counter priv|01000000|02000000|priv/b.so, of a node on another host",
        "counter priv||01000000|priv/c, of a node on another host"};
    struct releases *fixture = *state;

    side_add_priv(&fixture->old, "priv/b.so", 1);
    side_add_priv(&fixture->new, "priv/b.so", 2);
    side_add_priv(&fixture->new, "priv/c", 1);
    expect_need(fixture, NZD_NEED_SWITCH);
    for (uint32_t i = 0; i < fixture->list.count; i++)
        assert_true(fixture->list.items[i].live &&
                    fixture->list.items[i].files);
    fixture->old.priv[0].use = "which the VM has loaded";
    expect_lines(fixture, fixed, 3);
    assert_int_equal(fixture->list.items[0].need, NZD_NEED_RESTART);
    assert_int_equal(fixture->list.items[1].need, NZD_NEED_SWITCH);
    nzd_inventory_app(&fixture->old, "counter")->priv_fixed =
        "of a node on another host";
    expect_lines(fixture, none, 2);
    expect_need(fixture, NZD_NEED_RESTART);
}

/* The level, where all that differs is live; else what it needs. */
static void expect_level(struct releases *fixture, enum nzd_level level)
{
    enum nzd_level most = NZD_LEVEL_NOTHING;

    expect_need(fixture, level == NZD_LEVEL_RESTART_VM ? NZD_NEED_RESTART
                                                       : NZD_NEED_SWITCH);
    for (uint32_t i = 0; i < fixture->list.count; i++)
        if (fixture->list.items[i].level > most)
            most = fixture->list.items[i].level;
    assert_string_equal(nzd_level_name(most), nzd_level_name(level));
}

static void an_environment_is_live(void **state)
{
    struct releases *fixture = *state;

    side_set_config(&fixture->new,
                    "[{counter, [{limit, 1}]}, {other, [{a, 1}]}].");
    expect_level(fixture, NZD_LEVEL_HOT);
    side_set_config(&fixture->new, "[{counter, [{limit, 100}]},"
                                   " {kernel, [{logger_level, error}]}].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    side_set_config(&fixture->new, "[{sasl, [{releases_dir, \"/x\"}]}].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    /* One that names other files. */
    side_set_config(&fixture->new,
                    "[{counter, [{limit, 1}]}, \"more.config\"].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    fixture->new.sys_config = fixture->old.sys_config;
    side_set_spec(&fixture->new, ", {env, [{a, 1}]}, {registered, [b]},"
                                 " {applications, [c]}");
    expect_level(fixture, NZD_LEVEL_HOT);
}

#define PROVIDERS(list)                                                        \
    "[{elixir, [{config_provider_init, #{providers => [" list "]}}]}]."
#define READER "{'Elixir.Config.Reader', {[], [{env, prod}]}}"

/* The node runs them itself, where it has what they are. */
static void a_known_provider_is_live(void **state)
{
    struct releases *fixture = *state;

    side_set_config(&fixture->old, "[].");
    side_set_config(&fixture->new, PROVIDERS(READER));
    fixture->new.runtime_config = nzd_view_text("import Config\n");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    side_add_module(&fixture->old, "Elixir.Config.Reader", 1);
    side_add_module(&fixture->new, "Elixir.Config.Reader", 1);
    expect_level(fixture, NZD_LEVEL_HOT);
    side_set_config(&fixture->new, PROVIDERS("{'Elixir.Vault', []}, " READER));
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    /* What it would say over the keys of the file nobody knows. */
    side_set_config(&fixture->old, PROVIDERS("{'Elixir.Vault', []}"));
    side_set_config(&fixture->new, "[].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
}

static void applications_come_and_go_live(void **state)
{
    struct releases *fixture = *state;
    static const char with[] =
        STARTS "{apply, {application, load, [{application, extra, []}]}},"
               "{apply, {application, start_boot, [extra, transient]}},";

    side_set_boot(&fixture->new, "0.2.0", "", with);
    side_add_app(&fixture->new, "extra", "1");
    nzd_inventory_app(&fixture->new, "extra")->spec =
        nzd_term_at(side_parse(&fixture->new, "{application, extra, []}."), 0);
    expect_level(fixture, NZD_LEVEL_HOT);
    side_add_priv(&fixture->new, "priv/a", 1);
    fixture->new.priv[0].app = "extra";
    expect_level(fixture, NZD_LEVEL_HOT);
    assert_true(fixture->list.items[1].files);
    fixture->old.priv_fixed = "of a node on another host";
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    fixture->old.priv_fixed = NULL;
    fixture->new.priv_count = 0;
    side_set_boot(&fixture->old, "0.1.0", "", with);
    side_set_boot(&fixture->new, "0.2.0", "", STARTS);
    expect_level(fixture, NZD_LEVEL_RESTART_APP);
}

#define LIBRARY      "{apply, {application, load, [{application, extra, []}]}},"
#define AT_HAND      "{path, [\"$ROOT/lib/extra-1/ebin\"]},"
#define BEGINS(type) "{apply, {application, start_boot, [extra, " type "]}},"

/* What a boot does with an application, from little to much; and back, where
 * only what stops is the operator's word. */
static void applications_are_started_in_another_way(void **state)
{
    struct releases *fixture = *state;
    static const char *const ways[] = {STARTS AT_HAND, STARTS AT_HAND LIBRARY,
                                       STARTS LIBRARY BEGINS("transient")};

    for (size_t i = 0; i < 2; i++) {
        side_set_boot(&fixture->old, "0.1.0", "", ways[i]);
        side_set_boot(&fixture->new, "0.2.0", "", ways[i + 1]);
        expect_level(fixture, NZD_LEVEL_HOT);
        side_set_boot(&fixture->old, "0.1.0", "", ways[i + 1]);
        side_set_boot(&fixture->new, "0.2.0", "", ways[i]);
        expect_level(fixture, i == 1 ? NZD_LEVEL_RESTART_APP : NZD_LEVEL_HOT);
    }
    side_set_boot(&fixture->old, "0.1.0", "", ways[2]);
    side_set_boot(&fixture->new, "0.2.0", "",
                  STARTS LIBRARY BEGINS("temporary"));
    expect_level(fixture, NZD_LEVEL_HOT);
    expect_line(fixture, "extra|transient|temporary|boot script: start type");
    /* Whose keys the script does not say. */
    side_set_boot(&fixture->new, "0.2.0", "",
                  STARTS AT_HAND BEGINS("permanent"));
    for (size_t i = 0; i < 2; i++) {
        side_set_boot(&fixture->old, "0.1.0", "", ways[i]);
        expect_level(fixture, NZD_LEVEL_RESTART_VM);
    }
}

static void expect_again(struct releases *fixture, const char *keys)
{
    side_set_spec(&fixture->new, keys);
    expect_level(fixture, NZD_LEVEL_RESTART_APP);
    assert_string_equal(fixture->list.items[0].restarts, "counter");
}

/* What only a start takes in has the application start anew, where it runs. */
static void keys_of_a_start(void **state)
{
    struct releases *fixture = *state;

    expect_again(fixture, ", {mod, {a, 1}}");
    expect_again(fixture, ", {start_phases, [{go, []}]}");
    expect_again(fixture, ", {maxT, 1000}");
    side_set_spec(&fixture->new, ", {included_applications, [kernel]}");
    expect_level(fixture, NZD_LEVEL_HOT);
    side_set_spec(&fixture->old, ", {start_phases, [{go, []}]}");
    expect_again(fixture, ", {start_phases, [{go, []}]},"
                          " {included_applications, [kernel]}");
    side_set_spec(&fixture->old, "");
    side_set_spec(&fixture->new, ", {mod, {a, 1}}");
    side_set_boot(&fixture->old, "0.1.0", "", "");
    side_set_boot(&fixture->new, "0.2.0", "", "");
    expect_level(fixture, NZD_LEVEL_HOT);
}

static void vm_args_need_another_process(void **state)
{
    struct releases *fixture = *state;

    side_set_config(&fixture->new, "[].");
    fixture->new.vm_args = nzd_view_text("+K false\n-setcookie monster\n");
    expect_need(fixture, NZD_NEED_START);
}

static void some_need_another_base(void **state)
{
    struct releases *fixture = *state;

    fixture->new.env_script = nzd_view_text("export A=2\n");
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.env_script = fixture->old.env_script;
    fixture->new.erts = "13.2";
    fixture->new.erts_lack = "releases/start_erl.data";
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.erts_lack = "";
    expect_need(fixture, NZD_NEED_START);
    memcpy(fixture->old.machine, "\2\1\76\0", 4);
    memcpy(fixture->new.machine, "\1\1\50\0", 4);
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.erts = fixture->old.erts;
    fixture->new.release = "meter";
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.release = fixture->old.release;
    expect_need(fixture, NZD_NEED_SWITCH);
    nzd_inventory_app(&fixture->new, "kernel")->version = "8.6";
    expect_need(fixture, NZD_NEED_BASE);
}

/* What the command line of the base names must be there on both sides, as the
 * file that it will be. */
static void a_named_file_cannot_go(void **state)
{
    struct releases *fixture = *state;

    fixture->new.vm_args = nzd_view_text("+K false\n");
    fixture->new.vm_args_is_source = true;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.vm_args = (struct nzd_view){NULL, 0};
    fixture->new.vm_args_is_source = false;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.vm_args = fixture->old.vm_args;
    expect_need(fixture, NZD_NEED_SWITCH);
    side_set_config(&fixture->new, "[].");
    fixture->new.sys_config_is_source = true;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.sys_config_is_source = false;
    fixture->new.sys_config = NULL;
    expect_need(fixture, NZD_NEED_BASE);
}

/* One that the release brings along, and one of an installed OTP. */
static void an_added_application_must_be_held(void **state)
{
    struct releases *fixture = *state;

    side_set_boot(&fixture->new, "0.2.0", "",
                  STARTS
                  "{path, [\"$ROOT/lib/crypto-5.1/ebin\"]},"
                  "{apply, {application, load,"
                  " [{application, crypto, []}]}},"
                  "{apply, {application, start_boot, [crypto, permanent]}},");
    side_add_app(&fixture->new, "crypto", "5.1");
    expect_need(fixture, NZD_NEED_BASE);
    nzd_inventory_app(&fixture->new, "crypto")->spec =
        nzd_term_at(side_parse(&fixture->new, "{application, crypto, []}."), 0);
    expect_need(fixture, NZD_NEED_SWITCH);
}

/* Of an application that is added nothing else is said. */
static void a_large_file_is_named(void **state)
{
    struct releases *fixture = *state;

    side_add_priv(&fixture->new, "priv/a", 1);
    fixture->new.priv[0].size = (32u << 20) + 1;
    expect_line(fixture, "counter priv||01000000|priv/a, too large for a "
                         "journal");
    expect_need(fixture, NZD_NEED_BASE);
    side_add_app(&fixture->new, "photos", "1");
    nzd_inventory_app(&fixture->new, "photos")->spec =
        nzd_term_at(side_parse(&fixture->new, "{application, photos, []}."), 0);
    fixture->new.priv[0].app = "photos";
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.priv[0].size--;
    expect_none(fixture);
}

/* An archive has no links: what the base reaches through one stays. */
static void a_link_is_not_taken_away(void **state)
{
    struct releases *fixture = *state;

    static const char *const lines[] = {"counter priv|01000000||priv/current",
                                        READERS};

    side_add_priv(&fixture->old, "priv/current", 1);
    expect_lines(fixture, lines, 2);
    fixture->old.priv[0].link = true;
    expect_none(fixture);
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, releases_set_up, releases_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_boot_of_the_vm_is_enough),
        TEST(files_of_priv_are_live),
        TEST(an_environment_is_live),
        TEST(a_known_provider_is_live),
        TEST(applications_come_and_go_live),
        TEST(applications_are_started_in_another_way),
        TEST(keys_of_a_start),
        TEST(vm_args_need_another_process),
        TEST(some_need_another_base),
        TEST(a_named_file_cannot_go),
        TEST(an_added_application_must_be_held),
        TEST(a_large_file_is_named),
        TEST(a_link_is_not_taken_away),
    };

    return cmocka_run_group_tests_name("settings_need", tests, NULL, NULL);
}
