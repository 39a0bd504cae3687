/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/spool.h"
#include "layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_counter(struct layout *fixture, const char *version)
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
    struct layout *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;
    const struct nzd_app *kernel;

    layout_put_release(fixture, "");
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
    struct layout *fixture = *state;
    const struct nzd_module *module;

    layout_put_release(fixture, "");
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
    struct layout *fixture = *state;

    layout_put_release(fixture, "r/counter-0.1.0/");
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

static void reads_a_build(void **state)
{
    struct layout *fixture = *state;

    layout_put_lib(fixture, "r/", "0.1.0", "one");
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
    struct layout *fixture = *state;
    const struct nzd_module *module;
    struct nzd_digest md5;

    layout_put_release(fixture, "r/");
    expect_read(fixture, "r");
    md5 = nzd_inventory_module(&fixture->inventory, "counter")->md5;
    layout_put_lib(fixture, "r/", "0.2.0", "two");
    layout_put_version(fixture, "r/", "0.2.0");
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
    struct layout *fixture = *state;
    const struct nzd_module *module;

    layout_put_release(fixture, "r/");
    layout_put_beam(fixture, "two/counter.beam",
                    "r/releases/0.1.0/consolidated/counter.beam");
    layout_put_beam(fixture, "two/counter.beam",
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
    struct layout *fixture = *state;
    struct nzd_inventory known;
    const struct nzd_module *changed, *same;
    struct nzd_buf bytes = {0};
    uint8_t *file;
    size_t size;

    layout_put_release(fixture, "old/");
    expect_read(fixture, "old");
    known = fixture->inventory;
    nzd_inventory_init(&fixture->inventory);
    layout_put_lib(fixture, "new/", "0.2.0", "two");
    assert_int_equal(nzd_spool_open(fixture->tree.root, 1u << 20,
                                    &fixture->spool, &fixture->err),
                     0);
    for (unsigned late = 0; late < 2; late++) {
        fixture->late = late;
        assert_int_equal(layout_read_known(fixture, "new", &known), 0);
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
        file = tree_read(&layout_compiled, "two/counter.beam", &size);
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
    struct layout *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;

    layout_put_release(fixture, "r/");
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
    struct layout *fixture = *state;
    struct nzd_inventory known;
    const struct nzd_file *file;
    struct nzd_buf bytes = {0};

    layout_put_release(fixture, "r/");
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
    assert_int_equal(layout_read_known(fixture, "r", &known), 0);
    assert_int_equal(fixture->inventory.priv_count, 4);
    file = nzd_inventory_priv(&fixture->inventory, "counter", "priv/run.sh");
    assert_true(file->spooled && file->executable);
    assert_int_equal(nzd_spool_read(fixture->spool, file->spool_offset,
                                    file->size, &file->content, &bytes,
                                    &fixture->err),
                     0);
    assert_true(nzd_view_equal(nzd_buf_view(&bytes), nzd_view_text("true\n")));
    assert_int_equal(nzd_spool_size(fixture->spool), 5);
    assert_int_equal(layout_read_known(fixture, "r", NULL), 0);
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
    struct layout *fixture = *state;
    const struct nzd_inventory *inventory = &fixture->inventory;

    layout_put_release(fixture, "r/");
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
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, layout_set_up, layout_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(reads_a_release),
        TEST(details_modules),
        TEST(reads_any_layout),
        TEST(reads_a_build),
        TEST(chooses_the_version_in_any_order),
        TEST(overrides_protocols),
        TEST(spools_only_what_is_not_known),
        TEST(puts_off_what_depends_on_the_node),
        TEST(spools_priv_files_within_limits),
        TEST(knows_a_source_from_a_file),
        cmocka_unit_test(compares_modules),
    };

    return cmocka_run_group_tests_name("inventory", tests, layout_compile,
                                       layout_remove);
}
