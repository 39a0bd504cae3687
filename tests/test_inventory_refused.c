/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/limits.h"
#include "layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In a tarball one name can be both; no folder could hold it. */
static void refuses_a_file_that_is_a_folder(void **state)
{
    struct layout *fixture = *state;

    layout_put_release(fixture, "r/");
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

static void names_damaged_files(void **state)
{
    struct layout *fixture = *state;

    layout_put_release(fixture, "r/");
    tree_run(&fixture->tree,
             "truncate -s 300 r/lib/counter-0.1.0/ebin/counter.beam");
    expect_refused(fixture, "r", "r: lib/counter-0.1.0/ebin/counter.beam: ");
    layout_put_release(fixture, "r/");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/ebin/counter.app",
              "{application, counter,\n [{vsn \"1\"}]}.");
    expect_refused(fixture, "r", "ebin/counter.app: line 2");
    tree_text(&fixture->tree, "r/lib/counter-0.1.0/ebin/counter.app",
              "{application, other, []}.");
    expect_refused(fixture, "r", "not one {application, counter");
    layout_put_release(fixture, "r/");
    layout_put_beam(fixture, "one/counter_text.beam",
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
    struct layout *fixture = *state;
    uint8_t *bytes;
    size_t size;

    layout_put_release(fixture, "r/");
    bytes = tree_read(&fixture->tree, "r/releases/0.1.0/start.boot", &size);
    for (size_t cut = 1; cut < size; cut += 7) {
        tree_write(&fixture->tree, "r/releases/0.1.0/start.boot", bytes, cut);
        expect_refused(fixture, "r", "releases/0.1.0/start.boot: ");
    }
    free(bytes);
    layout_put_boot(fixture, "r/releases/0.1.0/start.boot", "{script, x, y}.");
    expect_refused(fixture, "r", "not a boot script");
}

static void refuses_what_is_ambiguous(void **state)
{
    struct layout *fixture = *state;

    tree_text(&fixture->tree, "empty/lib/a/priv/x", "x");
    expect_refused(fixture, "empty", "no module in it");
    layout_put_lib(fixture, "two/", "0.1.0", "one");
    layout_put_lib(fixture, "two/", "0.2.0", "two");
    expect_refused(fixture, "two", "and no release says which");
    layout_put_lib(fixture, "both/a/", "0.1.0", "one");
    layout_put_lib(fixture, "both/b/", "0.1.0", "one");
    expect_refused(fixture, "both", "a second release");
    layout_put_lib(fixture, "twice/", "0.1.0", "one");
    layout_put_beam(fixture, "one/counter.beam",
                    "twice/lib/b-1/ebin/counter.beam");
    expect_refused(fixture, "twice", "module counter is in lib/");
    layout_put_release(fixture, "gone/");
    tree_text(&fixture->tree, "gone/releases/start_erl.data", "13.1.5 9.9");
    expect_refused(fixture, "gone", "there is no releases/9.9");
    layout_put_release(fixture, "other/");
    tree_run(&fixture->tree,
             "mv other/lib/counter-0.1.0 other/lib/counter-0.3.0");
    expect_refused(fixture, "other",
                   "needs counter 0.1.0, but lib/ has "
                   "counter-0.3.0");
}

/* A release that brings OTP along must bring all of it. */
static void misses_applications_of_a_whole_release(void **state)
{
    struct layout *fixture = *state;

    layout_put_release(fixture, "r/");
    tree_text(&fixture->tree, "r/lib/kernel-8.5.3/ebin/kernel.app",
              "{application, kernel, [{vsn, \"8.5.3\"}]}.");
    expect_read(fixture, "r");
    tree_text(&fixture->tree, "r/releases/0.1.0/counter.rel",
              "{release, {\"counter\", \"0.1.0\"}, {erts, \"13.1.5\"},"
              " [{kernel, \"8.5.3\"}, {sasl, \"4.2\"}]}.");
    expect_refused(fixture, "r", "needs sasl 4.2, but lib/ has none");
}

#define FUNCTIONS 200000u
#define WHOLES    (NZD_LIMIT_NAMES / FUNCTIONS + 1)

static void put_chunk(struct nzd_buf *out, const char *id, struct nzd_buf *data)
{
    nzd_buf_text(out, id);
    nzd_buf_u32(out, (uint32_t)data->size);
    nzd_buf_bytes(out, data->data, data->size);
    while (out->size % 4)
        nzd_buf_u8(out, 0);
    nzd_buf_reset(data);
}

/* A module that exports so many functions, each with a name of its own. */
static void put_module(struct layout *fixture, const char *name)
{
    struct nzd_buf all = {0};
    struct nzd_buf chunk = {0};
    char text[64];

    nzd_buf_text(&all, "FOR1....BEAM");
    nzd_buf_u32(&chunk, FUNCTIONS + 1);
    for (uint32_t i = 0; i <= FUNCTIONS; i++) {
        (void)snprintf(text, sizeof(text), "%s_%u", name, i);
        if (i == 0)
            (void)snprintf(text, sizeof(text), "%s", name);
        nzd_buf_u8(&chunk, (uint8_t)strlen(text));
        nzd_buf_text(&chunk, text);
    }
    put_chunk(&all, "AtU8", &chunk);
    nzd_buf_u32(&chunk, 16);
    nzd_buf_u32(&chunk, 0);
    nzd_buf_u32(&chunk, 182);
    nzd_buf_u32(&chunk, 10);
    nzd_buf_u32(&chunk, FUNCTIONS);
    nzd_buf_u8(&chunk, 3); /* int_code_end */
    put_chunk(&all, "Code", &chunk);
    put_chunk(&all, "StrT", &chunk);
    nzd_buf_u32(&chunk, 0);
    put_chunk(&all, "ImpT", &chunk);
    nzd_buf_u32(&chunk, FUNCTIONS);
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        nzd_buf_u32(&chunk, i + 2);
        nzd_buf_u32(&chunk, 0);
        nzd_buf_u32(&chunk, 1);
    }
    put_chunk(&all, "ExpT", &chunk);
    for (int i = 0; i < 4; i++)
        all.data[4 + i] = (uint8_t)((all.size - 8) >> (24 - 8 * i));
    (void)snprintf(text, sizeof(text), "many/lib/many-1/ebin/%s.beam", name);
    tree_write(&fixture->tree, text, all.data, all.size);
    nzd_buf_clear(&chunk);
    nzd_buf_clear(&all);
}

/* It is not memory that is short then. */
static void refuses_too_many_names(void **state)
{
    struct layout *fixture = *state;
    char name[32];

    tree_text(&fixture->tree, "many/lib/many-1/ebin/many.app",
              "{application, many, [{vsn, \"1\"}]}.");
    put_module(fixture, "m0");
    expect_read(fixture, "many");
    for (unsigned i = 1; i < WHOLES; i++) {
        (void)snprintf(name, sizeof(name), "m%u", i);
        put_module(fixture, name);
    }
    expect_refused(fixture, "many",
                   "more than 2097152 different names in all modules");
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, layout_set_up, layout_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(refuses_a_file_that_is_a_folder),
        TEST(names_damaged_files),
        TEST(refuses_a_cut_boot_script),
        TEST(refuses_what_is_ambiguous),
        TEST(misses_applications_of_a_whole_release),
        TEST(refuses_too_many_names),
    };

    return cmocka_run_group_tests_name("inventory_refused", tests,
                                       layout_compile, layout_remove);
}
