/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include "../staging/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct tree layout_compiled;

int layout_compile(void **state)
{
    (void)state;
    tree_open(&layout_compiled);
    tree_compile(&layout_compiled, "one", "counter",
                 "-module(counter).\n-export([value/0, twice/1]).\n"
                 "value() -> 1.\ntwice(L) -> lists:map(fun(X) -> X * 2 end, "
                 "L).\n");
    tree_compile(&layout_compiled, "two", "counter",
                 "-module(counter).\n-export([value/0]).\n"
                 "value() -> counter_text:hello().\n");
    tree_compile(&layout_compiled, "one", "counter_text",
                 "-module(counter_text).\n-export([hello/0]).\n"
                 "hello() -> hello.\n");
    return 0;
}

int layout_remove(void **state)
{
    (void)state;
    tree_close(&layout_compiled);
    return 0;
}

int layout_set_up(void **state)
{
    struct layout *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    tree_open(&fixture->tree);
    nzd_inventory_init(&fixture->inventory);
    *state = fixture;
    return 0;
}

int layout_tear_down(void **state)
{
    struct layout *fixture = *state;

    nzd_inventory_clear(&fixture->inventory);
    nzd_spool_close(fixture->spool);
    tree_close(&fixture->tree);
    free(fixture);
    return 0;
}

void layout_put_beam(struct layout *fixture, const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = tree_read(&layout_compiled, from, &size);

    tree_write(&fixture->tree, to, bytes, size);
    free(bytes);
}

void layout_put_boot(struct layout *fixture, const char *to, const char *text)
{
    struct nzd_arena arena = {0};
    struct nzd_buf bytes = {0};
    const struct nzd_term *terms;

    assert_int_equal(
        nzd_term_parse(nzd_view_text(text), &arena, &terms, &fixture->err), 0);
    nzd_etf_version(&bytes);
    nzd_term_encode(nzd_term_at(terms, 0), &bytes);
    tree_write(&fixture->tree, to, bytes.data, bytes.size);
    nzd_buf_clear(&bytes);
    nzd_arena_clear(&arena);
}

static void put_app(struct layout *fixture, const char *to, const char *version)
{
    char text[512];

    snprintf(text, sizeof(text),
             "%%%% an application\n{application, counter,\n [{vsn, \"%s\"},\n"
             "  {modules, [counter, counter_text]},\n"
             "  {applications, [kernel, stdlib]}]}.\n",
             version);
    tree_text(&fixture->tree, to, text);
}

void layout_put_lib(struct layout *fixture, const char *root,
                    const char *version, const char *from)
{
    char to[200], beam[64];

    snprintf(beam, sizeof(beam), "%s/counter.beam", from);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter.beam", root,
             version);
    layout_put_beam(fixture, beam, to);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter_text.beam", root,
             version);
    layout_put_beam(fixture, "one/counter_text.beam", to);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter.app", root,
             version);
    put_app(fixture, to, version);
    snprintf(to, sizeof(to), "%slib/counter-%s/priv/www/index.html", root,
             version);
    tree_text(&fixture->tree, to, "hello");
}

void layout_put_version(struct layout *fixture, const char *root,
                        const char *version)
{
    char to[200], text[600];

    snprintf(text, sizeof(text),
             "{script, {\"counter\", \"%s\"}, [{preLoaded, [erlang]},"
             " {path, [\"$ROOT/lib/kernel-8.5.3/ebin\"]},"
             " {path, [\"$ROOT/lib/counter-%s/ebin\"]},"
             " {primLoad, [counter, counter_text]},"
             " {apply, {application, load,"
             " [{application, counter, [{vsn, \"%s\"}]}]}},"
             " {apply, {application, start_boot, [counter, permanent]}}]}.",
             version, version, version);
    snprintf(to, sizeof(to), "%sreleases/%s/start.boot", root, version);
    layout_put_boot(fixture, to, text);
    snprintf(text, sizeof(text),
             "{release, {\"counter\", \"%s\"}, {erts, \"13.1.5\"},"
             " [{kernel, \"8.5.3\"}, {counter, \"%s\"}]}.\n",
             version, version);
    snprintf(to, sizeof(to), "%sreleases/%s/counter.rel", root, version);
    tree_text(&fixture->tree, to, text);
    snprintf(to, sizeof(to), "%sreleases/%s/sys.config", root, version);
    tree_text(&fixture->tree, to, "[{counter, [{limit, 100}]}].\n");
    snprintf(to, sizeof(to), "%sreleases/%s/vm.args", root, version);
    tree_text(&fixture->tree, to, "+K true\n");
}

void layout_put_release(struct layout *fixture, const char *root)
{
    char to[200];

    layout_put_lib(fixture, root, "0.1.0", "one");
    layout_put_version(fixture, root, "0.1.0");
    snprintf(to, sizeof(to), "%sreleases/start_erl.data", root);
    tree_text(&fixture->tree, to, "13.1.5 0.1.0\n");
}

static void note_progress(void *context, unsigned per_mille)
{
    struct layout *fixture = context;

    assert_true(per_mille >= fixture->progress && per_mille <= 1000);
    fixture->progress = per_mille;
}

static void settle(void *context)
{
    struct layout *fixture = context;

    fixture->settled++;
    fixture->options.known = fixture->known;
    fixture->options.spool = fixture->spool;
}

int layout_read_known(struct layout *fixture, const char *relative,
                      const struct nzd_inventory *known)
{
    struct nzd_source *source = NULL;
    int code;

    fixture->known = known;
    fixture->options =
        (struct nzd_release_options){.settle = fixture->late ? settle : NULL,
                                     .progress = note_progress,
                                     .context = fixture};
    if (!fixture->late)
        settle(fixture);
    fixture->settled = 0;

    nzd_err_clear(&fixture->err);
    nzd_inventory_clear(&fixture->inventory);
    fixture->progress = 0;
    code = nzd_source_open(tree_path(&fixture->tree, relative), &source,
                           &fixture->err);
    if (code == 0)
        code = nzd_release_read(source, &fixture->options, &fixture->inventory,
                                &fixture->err);
    nzd_source_close(source);
    if (code == 0)
        assert_int_equal(fixture->settled, fixture->late);
    return code;
}

void expect_read(struct layout *fixture, const char *relative)
{
    if (layout_read_known(fixture, relative, NULL) != 0)
        fail_msg("%s: %s", relative, fixture->err.message);
}

void expect_refused(struct layout *fixture, const char *relative,
                    const char *why)
{
    assert_int_equal(layout_read_known(fixture, relative, NULL), NZD_EBUNDLE);
    if (!strstr(fixture->err.message, why))
        fail_msg("\"%s\" does not say \"%s\"", fixture->err.message, why);
    assert_int_equal(fixture->inventory.module_count, 0);
}
