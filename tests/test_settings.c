/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Two releases that differ in their version alone; a test changes one side. */
struct fixture {
    struct nzd_inventory old;
    struct nzd_inventory new;
    struct nzd_arena arena;
    struct nzd_evidence_list list;
    struct nzd_err err;
};

static const struct nzd_term *parse(struct nzd_inventory *side,
                                    const char *text)
{
    const struct nzd_term *terms = NULL;
    struct nzd_err err = NZD_ERR_INIT;

    if (nzd_term_parse(nzd_view_text(text), &side->arena, &terms, &err) != 0)
        fail_msg("%s: %s", err.message, text);
    return terms;
}

static void set_boot(struct nzd_inventory *side, const char *version,
                     const char *spec, const char *commands)
{
    const char *text = nzd_arena_printf(
        &side->arena,
        "{script, {\"counter\", \"%s\"}, [{preLoaded, [erlang]},"
        " {progress, preloaded},"
        " {path, [\"$RELEASE_LIB/../releases/%s/consolidated\","
        "         \"$RELEASE_LIB/counter-%s/ebin\"]},"
        " {primLoad, [counter, counter_text]},"
        " {apply, {application, load, [{application, counter,"
        "   [{vsn, \"%s\"}, {modules, [counter, counter_text]}%s]}]}},"
        " %s {progress, started}]}.",
        version, version, version, version, spec, commands);

    side->boot_script = nzd_term_at(parse(side, text), 0);
}

#define STARTS                                                                 \
    "{apply, {application, start_boot, [kernel, permanent]}},"                 \
    "{apply, {application, start_boot, [counter, permanent]}},"

static void set_config(struct nzd_inventory *side, const char *text)
{
    side->sys_config = parse(side, text);
}

static void set_spec(struct nzd_inventory *side, const char *keys)
{
    const char *text = nzd_arena_printf(
        &side->arena, "{application, counter, [{modules, []}%s]}.", keys);

    nzd_inventory_app(side, "counter")->spec =
        nzd_term_at(parse(side, text), 0);
}

static void add_module(struct nzd_inventory *side, const char *name,
                       uint8_t md5)
{
    struct nzd_module *module = nzd_inventory_add_module(side);

    module->name = name;
    module->app = "counter";
    module->path = "lib/counter/ebin/x.beam";
    module->md5.bytes[0] = md5;
    module->attrs.bytes[0] = 1;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

static void add_app(struct nzd_inventory *side, const char *name,
                    const char *version)
{
    struct nzd_app *app = nzd_inventory_add_app(side);

    app->name = name;
    app->version = version;
    app->in_script = true;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

static void add_priv(struct nzd_inventory *side, const char *path, uint8_t md5)
{
    struct nzd_file *file = nzd_inventory_add_priv(side);

    file->app = "counter";
    file->path = path;
    file->md5.bytes[0] = md5;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

static void make_side(struct nzd_inventory *side, const char *version)
{
    const char *config;

    nzd_inventory_init(side);
    side->is_release = true;
    side->release = "counter";
    side->version = version;
    side->erts = "13.1.5";
    add_app(side, "counter", version);
    add_app(side, "kernel", "8.5.3");
    add_module(side, "counter", 1);
    add_module(side, "counter_text", 1);
    set_spec(side, "");
    set_boot(side, version, "", STARTS);
    config = nzd_arena_printf(&side->arena,
                              "[{counter, [{limit, 100},"
                              " {exs, <<\"/releases/%s/runtime.exs\">>},"
                              " {file, \"/srv/lib/counter-%s/priv/x\"}]}].",
                              version, version);
    set_config(side, config);
    side->vm_args = nzd_view_text("## flags\n+K true\n\n-setcookie monster\n");
    side->env_script = nzd_view_text("#!/bin/sh\nexport A=1\n");
    side->runtime_config = nzd_view_text("import Config\nconfig :a, b: 1\n");
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    make_side(&fixture->old, "0.1.0");
    make_side(&fixture->new, "0.2.0");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    nzd_inventory_clear(&fixture->old);
    nzd_inventory_clear(&fixture->new);
    nzd_evidence_clear(&fixture->list);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

/* The evidence must be these lines, each "subject|old|new|source". */
static void expect_lines(struct fixture *fixture, const char *const *lines,
                         uint32_t count)
{
    char text[700];

    nzd_evidence_clear(&fixture->list);
    if (nzd_settings_compare(&fixture->old, &fixture->new, &fixture->arena,
                             &fixture->list, &fixture->err) != 0)
        fail_msg("%s", fixture->err.message);
    for (uint32_t i = 0; i < fixture->list.count; i++) {
        const struct nzd_evidence *item = &fixture->list.items[i];

        snprintf(text, sizeof(text), "%s|%s|%s|%s", item->subject, item->old,
                 item->new, item->source);
        if (i >= count || strcmp(text, lines[i]) != 0)
            fail_msg("line %u is \"%s\", not \"%s\"", i, text,
                     i < count ? lines[i] : "");
        assert_int_equal(item->live, item->need == NZD_NEED_SWITCH);
        if (!item->live)
            assert_int_equal(item->level, NZD_LEVEL_RESTART_VM);
        else if (item->level != NZD_LEVEL_RESTART_APP)
            assert_int_equal(item->level, NZD_LEVEL_HOT);
    }
    assert_int_equal(fixture->list.count, count);
}

static void expect_line(struct fixture *fixture, const char *line)
{
    expect_lines(fixture, &line, 1);
}

static void expect_none(struct fixture *fixture)
{
    expect_lines(fixture, NULL, 0);
}

/* --- no difference --- */

static void takes_a_version_for_no_difference(void **state)
{
    expect_none(*state);
}

static void takes_comments_for_no_difference(void **state)
{
    struct fixture *fixture = *state;

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
    struct fixture *fixture = *state;

    add_module(&fixture->new, "counter_rate", 1);
    fixture->new.boot_script = nzd_term_at(
        parse(&fixture->new,
              "{script, {\"counter\", \"0.2.0\"}, [{preLoaded, [erlang]},"
              " {path, [\"$RELEASE_LIB/../releases/0.2.0/consolidated\"]},"
              " {path, [\"/elsewhere/lib/counter-0.2.0/ebin\"]},"
              " {primLoad, [counter, counter_rate, counter_text]},"
              " {apply, {application, load, [{application, counter,"
              "   [{modules, [counter, counter_rate, counter_text]}]}]}},"
              " {apply, {application, start_boot, [kernel, permanent]}},"
              " {apply, {application, start_boot, [counter, permanent]}}]}."),
        0);
    set_spec(&fixture->new, ", {description, \"new\"}, {maxT, infinity}");
    expect_none(fixture);
}

/* A node on a later generation holds modules its boot script never named, and
 * lacks some that it names. */
static void takes_a_later_generation_for_its_base(void **state)
{
    struct fixture *fixture = *state;

    add_module(&fixture->old, "counter_rate", 1);
    add_module(&fixture->new, "counter_rate", 1);
    set_boot(&fixture->old, "0.1.0", "",
             "{primLoad, [counter, counter_legacy]}," STARTS);
    set_boot(&fixture->new, "0.2.0", "",
             "{primLoad, [counter, counter_rate]}," STARTS);
    expect_none(fixture);
}

static void takes_order_of_keys_for_no_difference(void **state)
{
    struct fixture *fixture = *state;

    set_spec(&fixture->old, ", {registered, [a, b]}, {env, [{x, 1}, {y, 2}]}");
    set_spec(&fixture->new, ", {env, [{y, 2}, {x, 1}]}, {registered, [b, a]}");
    expect_none(fixture);
}

/* --- release and applications --- */

static void sees_another_erts(void **state)
{
    struct fixture *fixture = *state;

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
    struct fixture *fixture = *state;

    set_spec(&fixture->old, ", {registered, [counter_srv]},"
                            " {env, [{limit, 100}]}, {mod, {counter, []}}");
    set_spec(&fixture->new, ", {applications, [crypto]},"
                            " {env, [{limit, 120}, {rate, 5}]},"
                            " {mod, {counter_app, []}}");
    expect_lines(fixture, lines, 5);
}

/* A key that .app and boot script both tell is said once. */
static void says_a_key_once(void **state)
{
    struct fixture *fixture = *state;

    set_spec(&fixture->new, ", {env, [{limit, 1}]}");
    set_boot(&fixture->new, "0.2.0", ", {env, [{limit, 1}]}", STARTS);
    expect_line(fixture, "counter.app||{limit,1}|env: limit");
}

static void sees_applications_come_and_go(void **state)
{
    static const char *const lines[] = {"crypto||5.1, permanent|boot script",
                                        "kernel|permanent||boot script"};
    struct fixture *fixture = *state;

    set_boot(&fixture->new, "0.2.0", "",
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
    struct fixture *fixture = *state;

    set_boot(&fixture->new, "0.2.0", "",
             "{apply, {application, start_boot, [counter, temporary]}},"
             "{apply, {application, start_boot, [kernel, permanent]}},");
    expect_lines(fixture, lines, 2);
}

static void sees_other_commands(void **state)
{
    static const char *const lines[] = {
        "boot script||/opt/patches|code path",
        "boot script||{apply,{logger,add,[]}}|commands"};
    struct fixture *fixture = *state;
    const char *text = nzd_arena_printf(&fixture->new.arena,
                                        "{path, [\"/opt/patches\"]},%s %s",
                                        STARTS, "{apply, {logger, add, []}},");

    set_boot(&fixture->new, "0.2.0", "", text);
    expect_lines(fixture, lines, 2);
}

static void sees_another_installed_version(void **state)
{
    struct fixture *fixture = *state;

    nzd_inventory_app(&fixture->new, "kernel")->version = "8.6";
    expect_line(fixture, "kernel|8.5.3|8.6|of the installed OTP");
}

static void sees_another_name(void **state)
{
    struct fixture *fixture = *state;

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
    struct fixture *fixture = *state;

    set_config(&fixture->old, "[{counter, [{limit, 100},"
                              " {repo, [{pool, #{size => 1}}, {a, 1}]}]}].");
    set_config(&fixture->new, "[{counter, [{limit, 120},"
                              " {repo, [{pool, #{size => 2}}]}]},"
                              " {logger, [{level, info}]}].");
    expect_lines(fixture, lines, 4);
}

static void hides_secrets(void **state)
{
    static const char *const lines[] = {
        "sys.config|(hidden)|(hidden)|counter: secret_key_base",
        "vm.args|(cookie)|(cookie)|vm.args", "env.sh||(hidden)|env.sh"};
    struct fixture *fixture = *state;

    set_config(&fixture->old, "[{counter, [{secret_key_base, <<\"x\">>}]}].");
    set_config(&fixture->new, "[{counter, [{secret_key_base, <<\"y\">>}]}].");
    fixture->new.vm_args = nzd_view_text("+K true\n-setcookie other\n");
    fixture->new.env_script =
        nzd_view_text("export A=1\nexport RELEASE_COOKIE=abc\n");
    expect_lines(fixture, lines, 3);
}

/* Values that print alike up to the cut still differ. */
static void sees_differences_past_the_cut(void **state)
{
    struct fixture *fixture = *state;
    char old[1200], new[1200];
    char zeros[301];

    memset(zeros, '0', 300);
    zeros[300] = 0;
    snprintf(old, sizeof(old), "[{counter, [{k, <<\"%s1\">>}]}].", zeros);
    snprintf(new, sizeof(new), "[{counter, [{k, <<\"%s2\">>}]}].", zeros);
    set_config(&fixture->old, old);
    set_config(&fixture->new, new);
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
    struct fixture *fixture = *state;

    set_config(&fixture->old, "[{counter, [{plugs, [{a, 1}, {b, 2}]}]}].");
    set_config(&fixture->new, "[{counter, [{plugs, [{b, 2}, {a, 1}]}]}].");
    expect_line(fixture, "sys.config|{plugs,[{a,1},{b,2}]}|{plugs,[{b,2},"
                         "{a,1}]}|counter: plugs");
}

static void counts_what_is_too_much(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf text = {0};

    nzd_buf_text(&text, "[{counter, [{first, 1}");
    for (unsigned i = 0; i < 69; i++)
        nzd_buf_printf(&text, ", {k%u, %u}", i, i);
    nzd_buf_text(&text, "]}].");
    set_config(&fixture->old, "[].");
    set_config(&fixture->new, nzd_buf_string(&text));
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
    struct fixture *fixture = *state;

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
    struct fixture *fixture = *state;

    fixture->old.runtime_config =
        nzd_view_text("config :a, b: \"\"\"\n# one\n\"\"\"\n");
    fixture->new.runtime_config =
        nzd_view_text("config :a, b: \"\"\"\n# two\n\"\"\"\n");
    expect_line(fixture, "runtime.exs|# one|# two|runtime.exs");
}

static void sees_order_of_lines(void **state)
{
    struct fixture *fixture = *state;

    fixture->old.runtime_config = nzd_view_text("a\nb\n");
    fixture->new.runtime_config = nzd_view_text("b\na\n");
    expect_line(fixture, "runtime.exs|a|b|order of the lines");
}

static void marks_its_own_version_in_texts(void **state)
{
    struct fixture *fixture = *state;

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

#define READERS                                                                \
    "priv|||code:priv_dir/1 leads to the new files; who has one open, or "     \
    "keeps a path from before, reads the old ones"

static void sees_priv_files(void **state)
{
    static const char *const lines[] = {
        "counter priv|01000000|02000000|priv/b",
        "counter priv|01000000||priv/c",
        "counter priv||01000000|priv/d, for its next start or load", READERS};
    struct fixture *fixture = *state;

    add_priv(&fixture->old, "priv/a", 1);
    add_priv(&fixture->new, "priv/a", 1);
    add_priv(&fixture->old, "priv/b", 1);
    add_priv(&fixture->new, "priv/b", 2);
    add_priv(&fixture->old, "priv/c", 1);
    add_priv(&fixture->new, "priv/d", 1);
    fixture->new.priv[2].executable = true;
    expect_lines(fixture, lines, 4);
}

static void sees_lost_consolidation(void **state)
{
    struct fixture *fixture = *state;
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
    struct fixture *fixture = *state;

    make_partial(&fixture->new);
    add_app(&fixture->old, "only_there", "1");
    expect_none(fixture);
    set_spec(&fixture->new, ", {env, [{a, 1}]}");
    expect_line(fixture, "counter.app||{a,1}|env: a");
}

static void asks_who_needs_a_new_application(void **state)
{
    struct fixture *fixture = *state;

    make_partial(&fixture->new);
    add_app(&fixture->new, "jason", "1.4");
    expect_none(fixture);
    set_spec(&fixture->old, ", {applications, [kernel, jason]}");
    set_spec(&fixture->new, ", {applications, [kernel, jason]}");
    expect_line(fixture, "jason||1.4|counter needs it");
}

static void sees_what_one_release_lacks(void **state)
{
    static const char *const lines[] = {
        "boot script|there|none|releases",
        "sys.config|{limit,100}||counter: limit", "vm.args|+K true||vm.args"};
    struct fixture *fixture = *state;

    set_config(&fixture->old, "[{counter, [{limit, 100}]}].");
    fixture->old.vm_args = nzd_view_text("+K true\n");
    fixture->new.boot_script = fixture->new.sys_config = NULL;
    fixture->new.vm_args = nzd_view_text("# nothing\n");
    expect_lines(fixture, lines, 3);
}

static void refuses_no_boot_script(void **state)
{
    struct fixture *fixture = *state;

    fixture->new.boot_script = nzd_term_at(parse(&fixture->new, "{a, b}."), 0);
    assert_int_equal(nzd_settings_compare(&fixture->old, &fixture->new,
                                          &fixture->arena, &fixture->list,
                                          &fixture->err),
                     NZD_EBUNDLE);
}

/* --- what it needs --- */

/* The most that any line needs. */
static void expect_need(struct fixture *fixture, enum nzd_need need)
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
    struct fixture *fixture = *state;

    expect_need(fixture, NZD_NEED_SWITCH);
    add_priv(&fixture->old, "priv/a", 1);
    fixture->old.priv[0].use = "which the VM has loaded";
    expect_need(fixture, NZD_NEED_RESTART);
    fixture->old.priv_count = 0;
    set_boot(&fixture->new, "0.2.0", "",
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
    struct fixture *fixture = *state;

    add_priv(&fixture->old, "priv/b.so", 1);
    add_priv(&fixture->new, "priv/b.so", 2);
    add_priv(&fixture->new, "priv/c", 1);
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
static void expect_level(struct fixture *fixture, enum nzd_level level)
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
    struct fixture *fixture = *state;

    set_config(&fixture->new, "[{counter, [{limit, 1}]}, {other, [{a, 1}]}].");
    expect_level(fixture, NZD_LEVEL_HOT);
    set_config(&fixture->new, "[{counter, [{limit, 100}]},"
                              " {kernel, [{logger_level, error}]}].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    set_config(&fixture->new, "[{sasl, [{releases_dir, \"/x\"}]}].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    /* One that names other files. */
    set_config(&fixture->new, "[{counter, [{limit, 1}]}, \"more.config\"].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    fixture->new.sys_config = fixture->old.sys_config;
    set_spec(&fixture->new, ", {env, [{a, 1}]}, {registered, [b]},"
                            " {applications, [c]}");
    expect_level(fixture, NZD_LEVEL_HOT);
}

#define PROVIDERS(list)                                                        \
    "[{elixir, [{config_provider_init, #{providers => [" list "]}}]}]."
#define READER "{'Elixir.Config.Reader', {[], [{env, prod}]}}"

/* The node runs them itself, where it has what they are. */
static void a_known_provider_is_live(void **state)
{
    struct fixture *fixture = *state;

    set_config(&fixture->old, "[].");
    set_config(&fixture->new, PROVIDERS(READER));
    fixture->new.runtime_config = nzd_view_text("import Config\n");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    add_module(&fixture->old, "Elixir.Config.Reader", 1);
    add_module(&fixture->new, "Elixir.Config.Reader", 1);
    expect_level(fixture, NZD_LEVEL_HOT);
    set_config(&fixture->new, PROVIDERS("{'Elixir.Vault', []}, " READER));
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    /* What it would say over the keys of the file nobody knows. */
    set_config(&fixture->old, PROVIDERS("{'Elixir.Vault', []}"));
    set_config(&fixture->new, "[].");
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
}

static void applications_come_and_go_live(void **state)
{
    struct fixture *fixture = *state;
    static const char with[] =
        STARTS "{apply, {application, load, [{application, extra, []}]}},"
               "{apply, {application, start_boot, [extra, transient]}},";

    set_boot(&fixture->new, "0.2.0", "", with);
    add_app(&fixture->new, "extra", "1");
    nzd_inventory_app(&fixture->new, "extra")->spec =
        nzd_term_at(parse(&fixture->new, "{application, extra, []}."), 0);
    expect_level(fixture, NZD_LEVEL_HOT);
    add_priv(&fixture->new, "priv/a", 1);
    fixture->new.priv[0].app = "extra";
    expect_level(fixture, NZD_LEVEL_HOT);
    assert_true(fixture->list.items[1].files);
    fixture->old.priv_fixed = "of a node on another host";
    expect_level(fixture, NZD_LEVEL_RESTART_VM);
    fixture->old.priv_fixed = NULL;
    fixture->new.priv_count = 0;
    set_boot(&fixture->old, "0.1.0", "", with);
    set_boot(&fixture->new, "0.2.0", "", STARTS);
    expect_level(fixture, NZD_LEVEL_RESTART_APP);
}

#define LIBRARY      "{apply, {application, load, [{application, extra, []}]}},"
#define AT_HAND      "{path, [\"$ROOT/lib/extra-1/ebin\"]},"
#define BEGINS(type) "{apply, {application, start_boot, [extra, " type "]}},"

/* What a boot does with an application, from little to much; and back, where
 * only what stops is the operator's word. */
static void applications_are_started_in_another_way(void **state)
{
    struct fixture *fixture = *state;
    static const char *const ways[] = {STARTS AT_HAND, STARTS AT_HAND LIBRARY,
                                       STARTS LIBRARY BEGINS("transient")};

    for (size_t i = 0; i < 2; i++) {
        set_boot(&fixture->old, "0.1.0", "", ways[i]);
        set_boot(&fixture->new, "0.2.0", "", ways[i + 1]);
        expect_level(fixture, NZD_LEVEL_HOT);
        set_boot(&fixture->old, "0.1.0", "", ways[i + 1]);
        set_boot(&fixture->new, "0.2.0", "", ways[i]);
        expect_level(fixture, i == 1 ? NZD_LEVEL_RESTART_APP : NZD_LEVEL_HOT);
    }
    set_boot(&fixture->old, "0.1.0", "", ways[2]);
    set_boot(&fixture->new, "0.2.0", "", STARTS LIBRARY BEGINS("temporary"));
    expect_level(fixture, NZD_LEVEL_HOT);
    expect_line(fixture, "extra|transient|temporary|boot script: start type");
    /* Whose keys the script does not say. */
    set_boot(&fixture->new, "0.2.0", "", STARTS AT_HAND BEGINS("permanent"));
    for (size_t i = 0; i < 2; i++) {
        set_boot(&fixture->old, "0.1.0", "", ways[i]);
        expect_level(fixture, NZD_LEVEL_RESTART_VM);
    }
}

static void expect_again(struct fixture *fixture, const char *keys)
{
    set_spec(&fixture->new, keys);
    expect_level(fixture, NZD_LEVEL_RESTART_APP);
    assert_string_equal(fixture->list.items[0].restarts, "counter");
}

/* What only a start takes in has the application start anew, where it runs. */
static void keys_of_a_start(void **state)
{
    struct fixture *fixture = *state;

    expect_again(fixture, ", {mod, {a, 1}}");
    expect_again(fixture, ", {start_phases, [{go, []}]}");
    expect_again(fixture, ", {maxT, 1000}");
    set_spec(&fixture->new, ", {included_applications, [kernel]}");
    expect_level(fixture, NZD_LEVEL_HOT);
    set_spec(&fixture->old, ", {start_phases, [{go, []}]}");
    expect_again(fixture, ", {start_phases, [{go, []}]},"
                          " {included_applications, [kernel]}");
    set_spec(&fixture->old, "");
    set_spec(&fixture->new, ", {mod, {a, 1}}");
    set_boot(&fixture->old, "0.1.0", "", "");
    set_boot(&fixture->new, "0.2.0", "", "");
    expect_level(fixture, NZD_LEVEL_HOT);
}

static void vm_args_need_another_process(void **state)
{
    struct fixture *fixture = *state;

    set_config(&fixture->new, "[].");
    fixture->new.vm_args = nzd_view_text("+K false\n-setcookie monster\n");
    expect_need(fixture, NZD_NEED_START);
}

static void some_need_another_base(void **state)
{
    struct fixture *fixture = *state;

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
    struct fixture *fixture = *state;

    fixture->new.vm_args = nzd_view_text("+K false\n");
    fixture->new.vm_args_is_source = true;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.vm_args = (struct nzd_view){NULL, 0};
    fixture->new.vm_args_is_source = false;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.vm_args = fixture->old.vm_args;
    expect_need(fixture, NZD_NEED_SWITCH);
    set_config(&fixture->new, "[].");
    fixture->new.sys_config_is_source = true;
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.sys_config_is_source = false;
    fixture->new.sys_config = NULL;
    expect_need(fixture, NZD_NEED_BASE);
}

/* One that the release brings along, and one of an installed OTP. */
static void an_added_application_must_be_held(void **state)
{
    struct fixture *fixture = *state;

    set_boot(&fixture->new, "0.2.0", "",
             STARTS "{path, [\"$ROOT/lib/crypto-5.1/ebin\"]},"
                    "{apply, {application, load,"
                    " [{application, crypto, []}]}},"
                    "{apply, {application, start_boot, [crypto, permanent]}},");
    add_app(&fixture->new, "crypto", "5.1");
    expect_need(fixture, NZD_NEED_BASE);
    nzd_inventory_app(&fixture->new, "crypto")->spec =
        nzd_term_at(parse(&fixture->new, "{application, crypto, []}."), 0);
    expect_need(fixture, NZD_NEED_SWITCH);
}

/* Of an application that is added nothing else is said. */
static void a_large_file_is_named(void **state)
{
    struct fixture *fixture = *state;

    add_priv(&fixture->new, "priv/a", 1);
    fixture->new.priv[0].size = (32u << 20) + 1;
    expect_line(fixture, "counter priv||01000000|priv/a, too large for a "
                         "journal");
    expect_need(fixture, NZD_NEED_BASE);
    add_app(&fixture->new, "photos", "1");
    nzd_inventory_app(&fixture->new, "photos")->spec =
        nzd_term_at(parse(&fixture->new, "{application, photos, []}."), 0);
    fixture->new.priv[0].app = "photos";
    expect_need(fixture, NZD_NEED_BASE);
    fixture->new.priv[0].size--;
    expect_none(fixture);
}

/* An archive has no links: what the base reaches through one stays. */
static void a_link_is_not_taken_away(void **state)
{
    struct fixture *fixture = *state;

    static const char *const lines[] = {"counter priv|01000000||priv/current",
                                        READERS};

    add_priv(&fixture->old, "priv/current", 1);
    expect_lines(fixture, lines, 2);
    fixture->old.priv[0].link = true;
    expect_none(fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
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

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
