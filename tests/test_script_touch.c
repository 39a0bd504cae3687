/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_node.h"

#include "../staging/script_rebase.h"
#include "../staging/script_touch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Boot scripts that are made anew, and VMs that boot with them. */

struct fixture {
    struct harness *harness;
    struct nzd_arena arena;
    struct nzd_err err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->harness = harness_open();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    harness_close(fixture->harness);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

static const struct nzd_term *parse(struct fixture *fixture, const char *text)
{
    const struct nzd_term *terms = NULL;
    assert_int_equal(nzd_term_parse(nzd_view_text(text), &fixture->arena,
                                    &terms, &fixture->err),
                     0);
    return nzd_term_at(terms, 0);
}

static const char *print(struct fixture *fixture, const struct nzd_term *term)
{
    struct nzd_buf text = {0};
    nzd_term_print(term, 1u << 20, &text);
    const char *copy =
        harness_text(fixture->harness, "%s", nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return copy;
}

static const struct nzd_term *touch(struct fixture *fixture,
                                    const struct nzd_term *script,
                                    const struct nzd_script_touch *what)
{
    const struct nzd_term *out = NULL;
    int code =
        nzd_script_touch(script, what, &fixture->arena, &out, &fixture->err);
    if (code)
        harness_fail("%s", fixture->err.message);
    return out;
}

static const struct nzd_term *read_boot(struct fixture *fixture,
                                        const char *path)
{
    FILE *file = fopen(path, "r");
    uint8_t *bytes = nzd_arena_alloc(&fixture->arena, 1u << 20);
    const struct nzd_term *term = NULL;
    assert_non_null(file);
    size_t size = fread(bytes, 1, 1u << 20, file);
    fclose(file);
    assert_int_equal(nzd_term_decode(nzd_view_of(bytes, size), &fixture->arena,
                                     &term, &fixture->err),
                     0);
    return term;
}

#define SCRIPT                                                                 \
    "{script,{\"r\",\"1\"},[{path,[\"$ROOT/lib/a-1/ebin\"]},"                  \
    "{primLoad,[a]},{path,[\"$ROOT/lib/a-1/ebin\",\"$ROOT/lib/ba-1/ebin\"]},"  \
    "{primLoad,[a2,b]},{kernelProcess,ac,{application_controller,start,"       \
    "[{application,a,[{vsn,\"1\"}]}]}},{apply,{application,load,"              \
    "[{application,ba,[{vsn,\"1\"}]}]}},{apply,{application,start_boot,"       \
    "[ba,permanent]}}]}."

static void nothing_changes_by_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_script_touch none = {0};
    const struct nzd_term *script = parse(fixture, SCRIPT);
    assert_true(nzd_term_equal(touch(fixture, script, &none), script));
}

static void all_at_once(void **state)
{
    struct fixture *fixture = *state;
    static const char *const added[] = {"new"}, *const removed[] = {"b"};
    const struct nzd_script_folder folders[] = {
        {"a-1/ebin", "/o/a-2/ebin", added, 1, NULL, 0},
        {"ba-1/ebin", "/o/ba-1/ebin", NULL, 0, removed, 1}};
    const struct nzd_term *specs[] = {
        parse(fixture, "{application,a,[{vsn,\"2\"}]}."),
        parse(fixture, "{application,ba,[{vsn,\"3\"}]}."),
        parse(fixture, "{application,other,[]}.")};
    const struct nzd_script_touch what = {
        .folders = folders, .folder_count = 2, .specs = specs, .spec_count = 3};
    const struct nzd_term *out = touch(fixture, parse(fixture, SCRIPT), &what);
    assert_string_equal(
        print(fixture, out),
        print(fixture,
              parse(fixture,
                    "{script,{\"r\",\"1\"},[{path,[\"/o/a-2/ebin\"]},"
                    "{primLoad,[a]},{path,[\"/o/a-2/ebin\",\"/o/ba-1/ebin\"]},"
                    "{primLoad,[a2,new]},{kernelProcess,ac,"
                    "{application_controller,start,[{application,a,"
                    "[{vsn,\"2\"}]}]}},{apply,{application,load,"
                    "[{application,ba,[{vsn,\"3\"}]}]}},{apply,{application,"
                    "start_boot,[ba,permanent]}}]}.")));
}

/* What is loaded already is not loaded twice, though it is added. */
static void what_is_listed(void **state)
{
    struct fixture *fixture = *state;
    static const char *const added[] = {"b", "new"}, *const none[] = {"a"};
    const struct nzd_script_folder folders[] = {
        {"ba-1/ebin", "/o/ba-1/ebin", added, 2, NULL, 0},
        {"c-1/ebin", "/o/c-1/ebin", none, 1, NULL, 0}};
    const struct nzd_script_touch what = {.folders = folders,
                                          .folder_count = 2};
    const char *out =
        print(fixture, touch(fixture, parse(fixture, SCRIPT), &what));
    assert_contains(out, "{primLoad,[a]}");
    assert_contains(out, "{primLoad,[a2,b,new]}");
}

/* Once there is a code server, and only then. */
static void what_is_gone(void **state)
{
    struct fixture *fixture = *state;
    static const char *const gone[] = {"x", "y"};
    const struct nzd_script_touch what = {.gone = gone, .gone_count = 2};
    static const char started[] =
        "{script,{\"r\",\"1\"},[{apply,{application,start_boot,"
        "[kernel,permanent]}},%s{apply,{application,start_boot,"
        "[stdlib,permanent]}},{apply,{application,start_boot,"
        "[kernel,permanent]}}]}.";
    const struct nzd_term *script =
        parse(fixture, harness_text(fixture->harness, started, ""));
    const char *expected = print(
        fixture, parse(fixture, harness_text(fixture->harness, started,
                                             "{apply,{code,del_path,[x]}},"
                                             "{apply,{code,del_path,[y]}},")));
    assert_string_equal(print(fixture, touch(fixture, script, &what)),
                        expected);
}

/* --- another release's --------------------------------------------------- */

static const struct nzd_term *rebase(struct fixture *fixture,
                                     const char *script, const char *base)
{
    const struct nzd_term *out = NULL;
    if (nzd_script_rebase(parse(fixture, script), parse(fixture, base),
                          &fixture->arena, &out, &fixture->err))
        harness_fail("%s", fixture->err.message);
    return out;
}

#define PATHS(paths) "{script,{\"r\",\"2\"},[{progress,x},{path,[" paths "]}]}."

static void over_another(void **state)
{
    struct fixture *fixture = *state;
    const char *out = print(
        fixture,
        rebase(fixture,
               PATHS("\"$ROOT/lib/a-2.0-rc.1/ebin\",\"$ROOT/lib/b-2/ebin\","
                     "\"$ROOT/lib/added-1/ebin\",\"$ROOT/lib/c/ebin\","
                     "\"$RELEASE_LIB/../releases/2/consolidated\",\"/else\""),
               PATHS("\"$LIB/a-1/ebin\",\"$LIB/b-2/ebin\",\"$LIB/b-1/ebin\","
                     "\"$LIB/gone-1/ebin\",\"$LIB/c-7/ebin\","
                     "\"$RELEASE_LIB/../releases/1/consolidated\"")));
    assert_string_equal(
        out, print(fixture,
                   parse(fixture,
                         PATHS("\"$LIB/a-1/ebin\",\"$LIB/b-2/ebin\","
                               "\"$ROOT/lib/added-1/ebin\",\"$LIB/c-7/ebin\","
                               "\"$RELEASE_LIB/../releases/1/consolidated\","
                               "\"/else\""))));
}

/* Releases of Mix, rebar3 and systools over themselves: nothing is renamed. */
static void over_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_term *out = NULL;
    const char *const scripts[] = {
        harness_fixture(fixture->harness,
                        "greeter-0.2.0-runtime/releases/0.2.0-runtime/"
                        "start.boot"),
        harness_fixture(fixture->harness,
                        "counter-0.1.0/releases/0.1.0/start.boot"),
        harness_fixture(fixture->harness,
                        "many-10-1/releases/1.0.0/start.boot")};
    for (size_t i = 0; i < 3; i++) {
        const struct nzd_term *script = read_boot(fixture, scripts[i]);
        assert_int_equal(nzd_script_rebase(script, script, &fixture->arena,
                                           &out, &fixture->err),
                         0);
        assert_true(nzd_term_equal(script, out));
    }
    assert_int_equal(nzd_script_rebase(parse(fixture, "x."),
                                       parse(fixture, SCRIPT), &fixture->arena,
                                       &out, NULL),
                     NZD_EBUNDLE);
    assert_int_equal(nzd_script_rebase(parse(fixture, SCRIPT), NULL,
                                       &fixture->arena, &out, NULL),
                     NZD_EBUNDLE);
}

static void what_it_cannot(void **state)
{
    struct fixture *fixture = *state;
    static const char *const added[] = {"new"};
    const struct nzd_script_folder folders[] = {
        {"c-1/ebin", "/o/c-1/ebin", added, 1, NULL, 0}};
    const struct nzd_script_touch what = {.folders = folders,
                                          .folder_count = 1};
    const struct nzd_term *out = NULL;
    static const char *const not_scripts[] = {"x.", "{script,{\"r\",\"1\"}}.",
                                              "{script,{\"r\",\"1\"},x}."};
    assert_int_equal(nzd_script_touch(parse(fixture, SCRIPT), &what,
                                      &fixture->arena, &out, &fixture->err),
                     NZD_EBUNDLE);
    assert_contains(fixture->err.message, "c-1/ebin");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(nzd_script_touch(parse(fixture, not_scripts[i]), &what,
                                          &fixture->arena, &out, NULL),
                         NZD_EBUNDLE);
}

/* --- a VM ---------------------------------------------------------------- */

static void write_boot(const char *path, const struct nzd_term *script)
{
    struct nzd_buf bytes = {0};
    nzd_etf_version(&bytes);
    nzd_term_encode(script, &bytes);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    fclose(file);
    nzd_buf_clear(&bytes);
}

static void expect_exactly(struct beam_node *node, struct harness *harness,
                           const char *release)
{
    const char *beam = getenv("NZD_TEST_BEAM");
    assert_eval(node,
                harness_text(harness,
                             "begin nzd_test_ctl:load(\"%s/nzd_test_exact\"), "
                             "nzd_test_exact:differs(\"%s\", [\"%s\"]) end",
                             beam ? beam : "build/tests/beam", release,
                             harness_fixture(harness, "counter-0.1.0")),
                "[]");
}

/* counter 0.2.0's code over the release of 0.1.0. */
static void boots(struct fixture *fixture, bool interactive)
{
    struct harness *harness = fixture->harness;
    const char *base = harness_fixture(harness, "counter-0.1.0");
    const char *new = harness_fixture(harness, "counter-0.2.0");
    static const char *const added[] = {"counter_rate"};
    static const char *const removed[] = {"counter_legacy"};
    const char *instead = harness_path(harness, "over/counter-0.2.0/ebin");
    const struct nzd_script_folder folders[] = {
        {"counter-0.1.0/ebin", instead, added, 1, removed, 1}};
    const struct nzd_term *spec =
        parse(fixture,
              harness_read_file(
                  harness,
                  harness_text(harness, "%s/lib/counter-0.2.0/ebin/counter.app",
                               new)));
    const struct nzd_script_touch what = {
        .folders = folders, .folder_count = 1, .specs = &spec, .spec_count = 1};
    mkdir(harness_path(harness, "over"), 0755);
    harness_copy(harness, harness_text(harness, "%s/lib/counter-0.2.0", new),
                 harness_path(harness, "over/counter-0.2.0"));
    write_boot(
        harness_path(harness, "over/start.boot"),
        touch(fixture,
              read_boot(
                  fixture,
                  harness_text(harness, "%s/releases/0.1.0/start.boot", base)),
              &what));
    struct beam_node_options options = {
        .release = base,
        .name = "counter",
        .interactive = interactive,
        .boot = harness_path(harness, "over/start"),
    };
    struct beam_node *node = beam_node_start(harness, &options);
    expect_exactly(node, harness, new);
    assert_eval(node,
                "element(3, lists:keyfind(counter, 1, "
                "application:which_applications()))",
                "\"0.2.0\"");
    assert_eval(node, "code:lib_dir(counter)",
                harness_text(harness, "\"%s\"",
                             harness_path(harness, "over/counter-0.2.0")));
    assert_eval(node, "begin init:restart(), ok end", "ok");
    beam_node_wait_restart(node, 20000);
    expect_exactly(node, harness, new);
}

static void boots_embedded(void **state)
{
    boots(*state, false);
}

static void boots_interactive(void **state)
{
    boots(*state, true);
}

#define of(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        of(nothing_changes_by_itself),
        of(all_at_once),
        of(what_is_listed),
        of(what_is_gone),
        of(over_another),
        of(over_itself),
        of(what_it_cannot),
        of(boots_embedded),
        of(boots_interactive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
