/* SPDX-License-Identifier: Apache-2.0 */
#include "releases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct nzd_term *side_parse(struct nzd_inventory *side, const char *text)
{
    const struct nzd_term *terms = NULL;
    struct nzd_err err = NZD_ERR_INIT;

    if (nzd_term_parse(nzd_view_text(text), &side->arena, &terms, &err) != 0)
        fail_msg("%s: %s", err.message, text);
    return terms;
}

void side_set_boot(struct nzd_inventory *side, const char *version,
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

    side->boot_script = nzd_term_at(side_parse(side, text), 0);
}

void side_set_config(struct nzd_inventory *side, const char *text)
{
    side->sys_config = side_parse(side, text);
}

void side_set_spec(struct nzd_inventory *side, const char *keys)
{
    const char *text = nzd_arena_printf(
        &side->arena, "{application, counter, [{modules, []}%s]}.", keys);

    nzd_inventory_app(side, "counter")->spec =
        nzd_term_at(side_parse(side, text), 0);
}

void side_add_module(struct nzd_inventory *side, const char *name, uint8_t md5)
{
    struct nzd_module *module = nzd_inventory_add_module(side);

    module->name = name;
    module->app = "counter";
    module->path = "lib/counter/ebin/x.beam";
    module->md5.bytes[0] = md5;
    module->attrs.bytes[0] = 1;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

void side_add_app(struct nzd_inventory *side, const char *name,
                  const char *version)
{
    struct nzd_app *app = nzd_inventory_add_app(side);

    app->name = name;
    app->version = version;
    app->in_script = true;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

void side_add_priv(struct nzd_inventory *side, const char *path, uint8_t md5)
{
    struct nzd_file *file = nzd_inventory_add_priv(side);

    file->app = "counter";
    file->path = path;
    file->md5.bytes[0] = md5;
    assert_int_equal(nzd_inventory_sort(side, NULL), 0);
}

static void side_make_side(struct nzd_inventory *side, const char *version)
{
    const char *config;

    nzd_inventory_init(side);
    side->is_release = true;
    side->release = "counter";
    side->version = version;
    side->erts = "13.1.5";
    side_add_app(side, "counter", version);
    side_add_app(side, "kernel", "8.5.3");
    side_add_module(side, "counter", 1);
    side_add_module(side, "counter_text", 1);
    side_set_spec(side, "");
    side_set_boot(side, version, "", STARTS);
    config = nzd_arena_printf(&side->arena,
                              "[{counter, [{limit, 100},"
                              " {exs, <<\"/releases/%s/runtime.exs\">>},"
                              " {file, \"/srv/lib/counter-%s/priv/x\"}]}].",
                              version, version);
    side_set_config(side, config);
    side->vm_args = nzd_view_text("## flags\n+K true\n\n-setcookie monster\n");
    side->env_script = nzd_view_text("#!/bin/sh\nexport A=1\n");
    side->runtime_config = nzd_view_text("import Config\nconfig :a, b: 1\n");
}

int releases_set_up(void **state)
{
    struct releases *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    side_make_side(&fixture->old, "0.1.0");
    side_make_side(&fixture->new, "0.2.0");
    *state = fixture;
    return 0;
}

int releases_tear_down(void **state)
{
    struct releases *fixture = *state;

    nzd_inventory_clear(&fixture->old);
    nzd_inventory_clear(&fixture->new);
    nzd_evidence_clear(&fixture->list);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

void expect_lines(struct releases *fixture, const char *const *lines,
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

void expect_line(struct releases *fixture, const char *line)
{
    expect_lines(fixture, &line, 1);
}

void expect_none(struct releases *fixture)
{
    expect_lines(fixture, NULL, 0);
}
