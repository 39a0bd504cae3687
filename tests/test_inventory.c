/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/inventory.h"
#include "../staging/spool.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Modules compiled once: "FOLDER/NAME.beam". */
static struct tree compiled;

struct fixture {
    struct tree tree;
    struct nzd_inventory inventory;
    struct nzd_spool *spool;
    struct nzd_err err;
    unsigned progress;
    /* Of a bundle that is read before it is known what the node has. */
    bool late;
    unsigned settled;
    const struct nzd_inventory *known;
    struct nzd_release_options options;
};

static int compile_all(void **state)
{
    (void)state;
    tree_open(&compiled);
    tree_compile(&compiled, "one", "counter",
                 "-module(counter).\n-export([value/0, twice/1]).\n"
                 "value() -> 1.\ntwice(L) -> lists:map(fun(X) -> X * 2 end, "
                 "L).\n");
    tree_compile(&compiled, "two", "counter",
                 "-module(counter).\n-export([value/0]).\n"
                 "value() -> counter_text:hello().\n");
    tree_compile(&compiled, "one", "counter_text",
                 "-module(counter_text).\n-export([hello/0]).\n"
                 "hello() -> hello.\n");
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    tree_close(&compiled);
    return 0;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    tree_open(&fixture->tree);
    nzd_inventory_init(&fixture->inventory);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    nzd_inventory_clear(&fixture->inventory);
    nzd_spool_close(fixture->spool);
    tree_close(&fixture->tree);
    free(fixture);
    return 0;
}

/* --- making bundles --- */

static void put_beam(struct fixture *fixture, const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = tree_read(&compiled, from, &size);

    tree_write(&fixture->tree, to, bytes, size);
    free(bytes);
}

static void put_boot(struct fixture *fixture, const char *to, const char *text)
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

static void put_app(struct fixture *fixture, const char *to,
                    const char *version)
{
    char text[512];

    snprintf(text, sizeof(text),
             "%%%% an application\n{application, counter,\n [{vsn, \"%s\"},\n"
             "  {modules, [counter, counter_text]},\n"
             "  {applications, [kernel, stdlib]}]}.\n",
             version);
    tree_text(&fixture->tree, to, text);
}

/* lib/counter-VERSION with two modules, of folder "one" or "two". */
static void put_lib(struct fixture *fixture, const char *root,
                    const char *version, const char *from)
{
    char to[200], beam[64];

    snprintf(beam, sizeof(beam), "%s/counter.beam", from);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter.beam", root,
             version);
    put_beam(fixture, beam, to);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter_text.beam", root,
             version);
    put_beam(fixture, "one/counter_text.beam", to);
    snprintf(to, sizeof(to), "%slib/counter-%s/ebin/counter.app", root,
             version);
    put_app(fixture, to, version);
    snprintf(to, sizeof(to), "%slib/counter-%s/priv/www/index.html", root,
             version);
    tree_text(&fixture->tree, to, "hello");
}

static void put_version(struct fixture *fixture, const char *root,
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
    put_boot(fixture, to, text);
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

static void put_release(struct fixture *fixture, const char *root)
{
    char to[200];

    put_lib(fixture, root, "0.1.0", "one");
    put_version(fixture, root, "0.1.0");
    snprintf(to, sizeof(to), "%sreleases/start_erl.data", root);
    tree_text(&fixture->tree, to, "13.1.5 0.1.0\n");
}

/* --- reading them --- */

static void note_progress(void *context, unsigned per_mille)
{
    struct fixture *fixture = context;

    assert_true(per_mille >= fixture->progress && per_mille <= 1000);
    fixture->progress = per_mille;
}

static void settle(void *context)
{
    struct fixture *fixture = context;

    fixture->settled++;
    fixture->options.known = fixture->known;
    fixture->options.spool = fixture->spool;
}

static int read_known(struct fixture *fixture, const char *relative,
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

static void expect_read(struct fixture *fixture, const char *relative)
{
    if (read_known(fixture, relative, NULL) != 0)
        fail_msg("%s: %s", relative, fixture->err.message);
}

static void expect_refused(struct fixture *fixture, const char *relative,
                           const char *why)
{
    assert_int_equal(read_known(fixture, relative, NULL), NZD_EBUNDLE);
    if (!strstr(fixture->err.message, why))
        fail_msg("\"%s\" does not say \"%s\"", fixture->err.message, why);
    assert_int_equal(fixture->inventory.module_count, 0);
}

static void expect_counter(struct fixture *fixture, const char *version)
{
    const struct nzd_inventory *inventory = &fixture->inventory;
    const struct nzd_app *app = nzd_inventory_app(inventory, "counter");
    const struct nzd_module *module =
        nzd_inventory_module(inventory, "counter");

    assert_int_equal(inventory->module_count, 2);
    assert_non_null(app);
    assert_string_equal(app->version, version);
    assert_non_null(app->spec);
    assert_non_null(module);
    assert_string_equal(module->app, "counter");
    assert_int_equal(inventory->priv_count, 1);
    assert_string_equal(inventory->priv[0].path, "priv/www/index.html");
    assert_string_equal(inventory->priv[0].app, "counter");
    assert_int_equal(inventory->priv[0].size, 5);
}

static void reads_a_release(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;
    const struct nzd_app *kernel;

    put_release(fixture, "");
    tree_text(&fixture->tree, "nzd/hooks.conf", "hooks");
    tree_text(&fixture->tree, "releases/0.1.0/env.sh", "export A=1");
    tree_text(&fixture->tree, "releases/0.1.0/runtime.exs", "import Config");
    expect_read(fixture, ".");
    expect_counter(fixture, "0.1.0");
    assert_true(inventory->is_release);
    assert_string_equal(inventory->release, "counter");
    assert_string_equal(inventory->version, "0.1.0");
    assert_string_equal(inventory->erts, "13.1.5");
    assert_non_null(inventory->boot_script);
    assert_int_equal(nzd_term_length(inventory->sys_config), 1);
    assert_true(
        nzd_view_equal(inventory->sys_config_text,
                       nzd_view_text("[{counter, [{limit, 100}]}].\n")));
    assert_true(nzd_view_equal(inventory->vm_args, nzd_view_text("+K true\n")));
    assert_false(inventory->sys_config_is_source);
    assert_false(inventory->vm_args_is_source);
    assert_true(
        nzd_view_equal(inventory->env_script, nzd_view_text("export A=1")));
    assert_true(nzd_view_equal(inventory->runtime_config,
                               nzd_view_text("import Config")));
    assert_true(nzd_view_equal(inventory->hooks, nzd_view_text("hooks")));
    kernel = nzd_inventory_app(inventory, "kernel");
    assert_non_null(kernel);
    assert_string_equal(kernel->version, "8.5.3");
    assert_null(kernel->spec);
    assert_false(kernel->in_script);
    assert_true(nzd_inventory_app(inventory, "counter")->in_script);
    assert_int_equal(fixture->progress, 1000);
}

static void details_modules(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_module *module;

    put_release(fixture, "");
    expect_read(fixture, ".");
    module = nzd_inventory_module(&fixture->inventory, "counter");
    assert_string_equal(module->path, "lib/counter-0.1.0/ebin/counter.beam");
    assert_int_equal(module->flags, NZD_MODULE_DETAILED);
    assert_true(nzd_beam_exports(module->beam, "twice", 1));
    assert_true(nzd_beam_exports(module->beam, "module_info", 0));
    assert_int_equal(module->beam->lambda_count, 1);
    assert_false(nzd_digest_is_zero(&module->md5));
    assert_true(nzd_digest_equal(&module->beam->md5, &module->md5));
    assert_null(nzd_inventory_module(&fixture->inventory, "counter_none"));
}

static void reads_any_layout(void **state)
{
    struct fixture *fixture = *state;

    put_release(fixture, "r/counter-0.1.0/");
    expect_read(fixture, "r");
    expect_counter(fixture, "0.1.0");
    expect_read(fixture, "r/counter-0.1.0");
    expect_counter(fixture, "0.1.0");
    assert_true(fixture->inventory.is_release);
    tree_run(&fixture->tree, "tar czf top.tar.gz -C r counter-0.1.0");
    expect_read(fixture, "top.tar.gz");
    expect_counter(fixture, "0.1.0");
    tree_run(&fixture->tree, "tar cf dot.tar -C r/counter-0.1.0 .");
    expect_read(fixture, "dot.tar");
    expect_counter(fixture, "0.1.0");
}

/* In a tarball one name can be both; no folder could hold it. */
static void refuses_a_file_that_is_a_folder(void **state)
{
    struct fixture *fixture = *state;

    put_release(fixture, "r/");
    tree_text(&fixture->tree, "s/lib/counter-0.1.0/priv/www", "file");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/priv/www-1", "between");
    tree_run(&fixture->tree, "(cd r && find . -type f) >files && "
                             "tar cf both.tar -C r --no-recursion -T files && "
                             "tar rf both.tar -C s lib/counter-0.1.0/priv/www");
    expect_refused(fixture, "both.tar",
                   "counter: priv/www is a file and the folder of "
                   "priv/www/index.html");
    tree_run(&fixture->tree, "tar cf fine.tar -C r --no-recursion -T files");
    expect_read(fixture, "fine.tar");
}

static void reads_a_build(void **state)
{
    struct fixture *fixture = *state;

    put_lib(fixture, "r/", "0.1.0", "one");
    tree_run(&fixture->tree, "mkdir -p prod/lib && "
                             "mv r/lib/counter-0.1.0 prod/lib/counter");
    expect_read(fixture, "prod");
    expect_counter(fixture, "0.1.0");
    assert_false(fixture->inventory.is_release);
    assert_string_equal(fixture->inventory.release, "");
    expect_read(fixture, "prod/lib");
    expect_counter(fixture, "0.1.0");
}

/* What says which version counts may come last in an archive. */
static void chooses_the_version_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_module *module;
    struct nzd_digest md5;

    put_release(fixture, "r/");
    expect_read(fixture, "r");
    md5 = nzd_inventory_module(&fixture->inventory, "counter")->md5;
    put_lib(fixture, "r/", "0.2.0", "two");
    put_version(fixture, "r/", "0.2.0");
    tree_text(&fixture->tree, "r/releases/start_erl.data", "13.1.5 0.2.0");
    tree_run(&fixture->tree,
             "tar cf first.tar -C r releases lib && "
             "tar cf last.tar -C r lib/counter-0.2.0 lib/counter-0.1.0 "
             "releases/0.1.0 releases/0.2.0 releases/start_erl.data");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const bundles[] = {"r", "first.tar", "last.tar"};

        expect_read(fixture, bundles[i]);
        expect_counter(fixture, "0.2.0");
        assert_string_equal(fixture->inventory.version, "0.2.0");
        module = nzd_inventory_module(&fixture->inventory, "counter");
        assert_false(nzd_digest_equal(&module->md5, &md5));
        assert_string_equal(module->path,
                            "lib/counter-0.2.0/ebin/counter.beam");
    }
    tree_run(&fixture->tree, "rm r/releases/start_erl.data");
    expect_refused(fixture, "r", "no releases/start_erl.data says which");
    tree_run(&fixture->tree, "rm -r r/releases/0.2.0");
    expect_read(fixture, "r");
    expect_counter(fixture, "0.1.0");
}

static void overrides_protocols(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_module *module;

    put_release(fixture, "r/");
    put_beam(fixture, "two/counter.beam",
             "r/releases/0.1.0/consolidated/counter.beam");
    put_beam(fixture, "two/counter.beam",
             "r/releases/0.0.9/consolidated/counter.beam");
    expect_read(fixture, "r");
    expect_counter(fixture, "0.1.0");
    module = nzd_inventory_module(&fixture->inventory, "counter");
    assert_true(module->flags & NZD_MODULE_CONSOLIDATED);
    assert_false(nzd_beam_exports(module->beam, "twice", 1));
    assert_string_equal(module->path,
                        "releases/0.1.0/consolidated/counter.beam");
}

static void spools_only_what_is_not_known(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_inventory known;
    const struct nzd_module *changed, *same;
    struct nzd_buf bytes = {0};
    uint8_t *file;
    size_t size;

    put_release(fixture, "old/");
    expect_read(fixture, "old");
    known = fixture->inventory;
    nzd_inventory_init(&fixture->inventory);
    put_lib(fixture, "new/", "0.2.0", "two");
    assert_int_equal(nzd_spool_open(fixture->tree.root, 1u << 20,
                                    &fixture->spool, &fixture->err),
                     0);
    for (unsigned late = 0; late < 2; late++) {
        fixture->late = late;
        assert_int_equal(read_known(fixture, "new", &known), 0);
        same = nzd_inventory_module(&fixture->inventory, "counter_text");
        assert_int_equal(same->flags, 0);
        assert_null(same->beam);
        changed = nzd_inventory_module(&fixture->inventory, "counter");
        assert_int_equal(changed->flags,
                         NZD_MODULE_DETAILED | NZD_MODULE_SPOOLED);
        assert_int_equal(nzd_spool_read(fixture->spool, changed->spool_offset,
                                        changed->bytes, &changed->content,
                                        &bytes, &fixture->err),
                         0);
        file = tree_read(&compiled, "two/counter.beam", &size);
        assert_int_equal(bytes.size, size);
        assert_memory_equal(bytes.data, file, size);
        assert_int_equal(nzd_spool_size(fixture->spool), (late + 1) * size);
        free(file);
    }
    nzd_buf_clear(&bytes);
    nzd_inventory_clear(&known);
}

/* What is put off is bounded, and what is found behind it is named right. */
static void puts_off_what_depends_on_the_node(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;

    put_release(fixture, "r/");
    tree_run(&fixture->tree, "mkdir -p r/lib/counter-0.1.0/priv; "
                             "truncate -s 5M r/lib/counter-0.1.0/priv/a; "
                             "truncate -s 5M r/lib/counter-0.1.0/priv/b; "
                             "truncate -s 1K r/lib/counter-0.1.0/priv/c");
    fixture->late = true;
    assert_int_equal(nzd_spool_open(fixture->tree.root, 1u << 20,
                                    &fixture->spool, &fixture->err),
                     0);
    expect_read(fixture, "r");
    assert_int_equal(nzd_inventory_module(inventory, "counter")->flags,
                     NZD_MODULE_DETAILED | NZD_MODULE_SPOOLED);
    assert_true(nzd_inventory_priv(inventory, "counter", "priv/a")->spooled);
    assert_true(nzd_inventory_priv(inventory, "counter", "priv/c")->spooled);
    tree_run(&fixture->tree, "truncate -s -9 r/lib/counter-0.1.0/ebin/*t.beam");
    expect_refused(fixture, "r", "ebin/counter_text.beam: ");
}

static void spools_priv_files_within_limits(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_inventory known;
    const struct nzd_file *file;
    struct nzd_buf bytes = {0};

    put_release(fixture, "r/");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/priv/run.sh", "#!/bin/sh\n");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/priv/none", "");
    tree_run(&fixture->tree, "chmod +x r/lib/counter-0.1.0/priv/run.sh; "
                             "truncate -s 33554433 "
                             "r/lib/counter-0.1.0/priv/large");
    expect_read(fixture, "r");
    known = fixture->inventory;
    nzd_inventory_init(&fixture->inventory);
    assert_false(nzd_inventory_priv(&known, "counter", "priv/run.sh")->spooled);
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/priv/run.sh", "true\n");
    assert_int_equal(nzd_spool_open(fixture->tree.root, 1u << 20,
                                    &fixture->spool, &fixture->err),
                     0);
    fixture->late = true;
    assert_int_equal(read_known(fixture, "r", &known), 0);
    assert_int_equal(fixture->inventory.priv_count, 4);
    file = nzd_inventory_priv(&fixture->inventory, "counter", "priv/run.sh");
    assert_true(file->spooled && file->executable);
    assert_int_equal(nzd_spool_read(fixture->spool, file->spool_offset,
                                    file->size, &file->content, &bytes,
                                    &fixture->err),
                     0);
    assert_true(nzd_view_equal(nzd_buf_view(&bytes), nzd_view_text("true\n")));
    assert_int_equal(nzd_spool_size(fixture->spool), 5);
    assert_int_equal(read_known(fixture, "r", NULL), 0);
    file = nzd_inventory_priv(&fixture->inventory, "counter", "priv/none");
    assert_true(file->spooled && !file->executable);
    file = nzd_inventory_priv(&fixture->inventory, "counter", "priv/large");
    assert_false(file->spooled);
    assert_false(nzd_digest_is_zero(&file->md5));
    assert_null(nzd_inventory_priv(&known, "counter", "priv/other"));
    nzd_buf_clear(&bytes);
    nzd_inventory_clear(&known);
}

/* What a start script puts values into is no file that a boot reads. */
static void knows_a_source_from_a_file(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;

    put_release(fixture, "r/");
    tree_run(&fixture->tree, "rm r/releases/0.1.0/vm.args "
                             "r/releases/0.1.0/sys.config");
    tree_text(&fixture->tree, "r/releases/0.1.0/vm.args.src",
              "-name ${NAME}\n");
    tree_text(&fixture->tree, "r/releases/0.1.0/sys.config.src",
              "[{counter, [{limit, ${LIMIT}}]}].\n");
    expect_read(fixture, "r");
    assert_true(inventory->vm_args_is_source);
    assert_true(inventory->sys_config_is_source);
    tree_text(&fixture->tree, "r/releases/0.1.0/vm.args.src", "-name a\n");
    tree_text(&fixture->tree, "r/releases/0.1.0/sys.config.src", "[].\n");
    expect_read(fixture, "r");
    assert_false(inventory->vm_args_is_source);
    assert_false(inventory->sys_config_is_source);
    assert_true(
        nzd_view_equal(inventory->sys_config_text, nzd_view_text("[].\n")));
}

/* --- damage --- */

static void names_damaged_files(void **state)
{
    struct fixture *fixture = *state;

    put_release(fixture, "r/");
    tree_run(&fixture->tree,
             "truncate -s 300 r/lib/counter-0.1.0/ebin/counter.beam");
    expect_refused(fixture, "r", "r: lib/counter-0.1.0/ebin/counter.beam: ");
    put_release(fixture, "r/");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/ebin/counter.app",
              "{application, counter,\n [{vsn \"1\"}]}.");
    expect_refused(fixture, "r", "ebin/counter.app: line 2");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/ebin/counter.app",
              "{application, other, []}.");
    expect_refused(fixture, "r", "not one {application, counter");
    put_release(fixture, "r/");
    put_beam(fixture, "one/counter_text.beam",
             "r/lib/counter-0.1.0/ebin/other.beam");
    expect_refused(fixture, "r", "it holds the module counter_text");
    tree_run(&fixture->tree, "rm r/lib/counter-0.1.0/ebin/other.beam");
    tree_text(&fixture->tree, "r/releases/0.1.0/sys.config", "[{counter,");
    expect_refused(fixture, "r", "releases/0.1.0/sys.config: line 1");
    tree_text(&fixture->tree, "r/releases/start_erl.data", "13.1.5\n");
    expect_refused(fixture, "r", "releases/start_erl.data");
}

static void refuses_a_cut_boot_script(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *bytes;
    size_t size;

    put_release(fixture, "r/");
    bytes = tree_read(&fixture->tree, "r/releases/0.1.0/start.boot", &size);
    for (size_t cut = 1; cut < size; cut += 7) {
        tree_write(&fixture->tree, "r/releases/0.1.0/start.boot", bytes, cut);
        expect_refused(fixture, "r", "releases/0.1.0/start.boot: ");
    }
    free(bytes);
    put_boot(fixture, "r/releases/0.1.0/start.boot", "{script, x, y}.");
    expect_refused(fixture, "r", "not a boot script");
}

static void refuses_what_is_ambiguous(void **state)
{
    struct fixture *fixture = *state;

    tree_text(&fixture->tree, "empty/lib/a/priv/x", "x");
    expect_refused(fixture, "empty", "no module in it");
    put_lib(fixture, "two/", "0.1.0", "one");
    put_lib(fixture, "two/", "0.2.0", "two");
    expect_refused(fixture, "two", "and no release says which");
    put_lib(fixture, "both/a/", "0.1.0", "one");
    put_lib(fixture, "both/b/", "0.1.0", "one");
    expect_refused(fixture, "both", "a second release");
    put_lib(fixture, "twice/", "0.1.0", "one");
    put_beam(fixture, "one/counter.beam", "twice/lib/b-1/ebin/counter.beam");
    expect_refused(fixture, "twice", "module counter is in lib/");
    put_release(fixture, "gone/");
    tree_text(&fixture->tree, "gone/releases/start_erl.data", "13.1.5 9.9");
    expect_refused(fixture, "gone", "there is no releases/9.9");
    put_release(fixture, "other/");
    tree_run(&fixture->tree,
             "mv other/lib/counter-0.1.0 other/lib/counter-0.3.0");
    expect_refused(fixture, "other",
                   "needs counter 0.1.0, but lib/ has "
                   "counter-0.3.0");
}

/* A release that brings OTP along must bring all of it. */
static void misses_applications_of_a_whole_release(void **state)
{
    struct fixture *fixture = *state;

    put_release(fixture, "r/");
    tree_text(&fixture->tree, "r/lib/kernel-8.5.3/ebin/kernel.app",
              "{application, kernel, [{vsn, \"8.5.3\"}]}.");
    expect_read(fixture, "r");
    tree_text(&fixture->tree, "r/releases/0.1.0/counter.rel",
              "{release, {\"counter\", \"0.1.0\"}, {erts, \"13.1.5\"},"
              " [{kernel, \"8.5.3\"}, {sasl, \"4.2\"}]}.");
    expect_refused(fixture, "r", "needs sasl 4.2, but lib/ has none");
}

static void compares_modules(void **state)
{
    struct nzd_module a = {.name = "a"};
    struct nzd_module b = {.name = "a"};

    (void)state;
    a.md5.bytes[0] = b.md5.bytes[0] = 1;
    a.attrs.bytes[0] = 1;
    b.attrs.bytes[0] = 2;
    assert_false(nzd_module_same(&a, &b));
    b.attrs.bytes[0] = 0;
    assert_true(nzd_module_same(&a, &b));
    b.md5.bytes[0] = 2;
    assert_false(nzd_module_same(&a, &b));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(reads_a_release),
        TEST(details_modules),
        TEST(reads_any_layout),
        TEST(refuses_a_file_that_is_a_folder),
        TEST(reads_a_build),
        TEST(chooses_the_version_in_any_order),
        TEST(overrides_protocols),
        TEST(spools_only_what_is_not_known),
        TEST(puts_off_what_depends_on_the_node),
        TEST(spools_priv_files_within_limits),
        TEST(knows_a_source_from_a_file),
        TEST(names_damaged_files),
        TEST(refuses_a_cut_boot_script),
        TEST(refuses_what_is_ambiguous),
        TEST(misses_applications_of_a_whole_release),
        cmocka_unit_test(compares_modules),
    };

    return cmocka_run_group_tests_name("inventory", tests, compile_all,
                                       remove_all);
}
