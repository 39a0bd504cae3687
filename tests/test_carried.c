/* SPDX-License-Identifier: Apache-2.0 */
#include "booted.h"
#include "carry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* VMs that boot generations of all that a release has: priv, applications,
 * configuration, a boot script. The journals are written by hand. */

struct fixture {
    struct scene scene; /* first: it is the state of its functions */
    const char *base;
    const char *next;
};

static const char *copy(struct fixture *fixture, const char *name,
                        const char *from)
{
    struct harness *harness = fixture->scene.harness;
    const char *path = harness_path(harness, "%s", name);
    harness_copy(harness, harness_fixture(harness, from), path);
    return path;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct scene *scene = &fixture->scene;
    scene->harness = harness_open();
    scene->journal = harness_path(scene->harness, "journal");
    scene->config = harness_path(scene->harness, "nzd.conf");
    scene_config(scene, "%s", "boot {\n tries = 3\n healthy = 0\n}\n");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    harness_close(fixture->scene.harness);
    free(fixture);
    return 0;
}

static void shell(struct fixture *fixture, const char *folder,
                  const char *script)
{
    struct harness *harness = fixture->scene.harness;
    const char *beam = getenv("NZD_TEST_BEAM");
    char real[4096];
    assert_non_null(realpath(beam ? beam : "build/tests/beam", real));
    const char *const argv[] = {
        "sh", "-ec",
        harness_text(harness, "cd \"$0\"\nbeam=%s\n%s", real, script), folder,
        NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

/* counter 0.1.0 with more in priv; and a release in which all has changed. */
static void two_releases(struct fixture *fixture)
{
    fixture->base = copy(fixture, "base", "counter-0.1.0");
    fixture->next = copy(fixture, "next", "counter-0.2.0-app");
    shell(fixture, fixture->base,
          "cd lib/counter-0.1.0/priv && mkdir -p static/css static/js only\n"
          "echo kept >static/css/kept.css; echo old >static/css/site.css\n"
          "echo kept >static/js/app.js; echo gone >gone.txt\n"
          "echo gone >only/gone.txt\n");
    shell(fixture, fixture->next,
          "cp $beam/nzd_test_nif.beam lib/counter-0.2.0/ebin\n"
          "cd lib/counter-0.2.0/priv\n"
          "mkdir -p static/css static/js static/new/deep lib bin\n"
          "cp $beam/nzd_test_nif.so lib\n"
          "echo kept >static/css/kept.css; echo new >static/css/site.css\n"
          "echo kept >static/js/app.js; echo new >static/new/deep/file\n"
          "echo hello again >motd.txt\n"
          "printf '#!/bin/sh\\necho it runs\\n' >bin/tool; chmod +x bin/tool\n"
          "cd ../../../releases/0.2.0-app\n"
          "echo '[{counter, [{greeting, \"good day\"}, {level, 7}]}].' "
          ">sys.config\n"
          "printf '+sbwt none\\n-env NZD_TEST_ARGS new\\n' >vm.args\n");
}

static void start(struct fixture *fixture, bool interactive)
{
    struct scene *scene = &fixture->scene;
    struct beam_node_options options = {
        .release = fixture->base,
        .name = "carried",
        .interactive = interactive,
        .prefix = booted_prefix(scene),
    };
    scene->node = beam_node_start(scene->harness, &options);
}

static void carry(struct fixture *fixture, const char *from, const char *to)
{
    const struct carry what = {.journal = fixture->scene.journal,
                               .base = fixture->base,
                               .from = from,
                               .to = to};
    carry_over(fixture->scene.harness, &what);
}

/* --- what a VM says ------------------------------------------------------ */

static const char *priv(struct fixture *fixture, const char *file)
{
    return beam_node_eval(fixture->scene.node,
                          "element(2, file:read_file(filename:join("
                          "code:priv_dir(counter), \"%s\")))",
                          file);
}

static void assert_next_files(struct fixture *fixture)
{
    struct beam_node *node = fixture->scene.node;
    assert_string_equal(priv(fixture, "motd.txt"), "<<\"hello again\\n\">>");
    assert_string_equal(priv(fixture, "static/css/site.css"), "<<\"new\\n\">>");
    assert_string_equal(priv(fixture, "static/css/kept.css"),
                        "<<\"kept\\n\">>");
    assert_string_equal(priv(fixture, "static/js/app.js"), "<<\"kept\\n\">>");
    assert_string_equal(priv(fixture, "static/new/deep/file"),
                        "<<\"new\\n\">>");
    assert_string_equal(priv(fixture, "gone.txt"), "enoent");
    assert_string_equal(priv(fixture, "only/gone.txt"), "enoent");
    assert_eval(node,
                "os:cmd(filename:join(code:priv_dir(counter), \"bin/tool\"))",
                "\"it runs\\n\"");
    assert_eval(node, "nzd_test_nif:value()", "42");
}

/* Every module of counter has the md5 and attributes of this release's. */
static void assert_exactly(struct fixture *fixture, const char *release,
                           const char *other)
{
    const char *beam = getenv("NZD_TEST_BEAM");
    assert_eval(fixture->scene.node,
                harness_text(fixture->scene.harness,
                             "begin nzd_test_ctl:load(\"%s/nzd_test_exact\"), "
                             "nzd_test_exact:differs(\"%s\", [\"%s\"]) end",
                             beam ? beam : "build/tests/beam", release, other),
                "[]");
}

static void assert_next(struct fixture *fixture)
{
    struct beam_node *node = fixture->scene.node;
    assert_eval(node,
                "[{A, V} || {A, _, V} <- lists:sort("
                "application:which_applications()), lists:prefix(\"counter\", "
                "atom_to_list(A))]",
                "[{counter,\"0.2.0\"},{counter_extra,\"1.0.0\"}]");
    assert_eval(node, "init:script_id()", "{\"counter\",\"0.2.0-app\"}");
    assert_eval(node,
                "application:get_all_env(counter) -- "
                "[{greeting, \"good day\"}, {level, 7}]",
                "[]");
    assert_eval(node, "application:get_env(counter, limit)", "undefined");
    assert_eval(node, "os:getenv(\"NZD_TEST_ARGS\")", "\"new\"");
    assert_eval(node, "filename:basename(code:lib_dir(counter_extra))",
                "\"counter_extra-1.0.0\"");
    assert_eval(node, "counter_extra:module_info(module)", "counter_extra");
    assert_next_files(fixture);
    assert_exactly(fixture, fixture->next, fixture->base);
}

static void assert_base(struct fixture *fixture)
{
    struct beam_node *node = fixture->scene.node;
    assert_eval(node, "os:getenv(\"NZD_TEST_ARGS\")", "false");
    assert_eval(node, "application:get_env(counter, limit)", "{ok,100}");
    assert_eval(node,
                "lists:keymember(counter_extra, 1, "
                "application:loaded_applications())",
                "false");
    assert_string_equal(priv(fixture, "gone.txt"), "<<\"gone\\n\">>");
    assert_string_equal(priv(fixture, "static/css/site.css"), "<<\"old\\n\">>");
    assert_string_equal(priv(fixture, "lib/nzd_test_nif.so"), "enoent");
    assert_exactly(fixture, fixture->base, fixture->next);
}

static void restart(struct scene *scene)
{
    assert_eval(scene->node, "begin init:restart(), ok end", "ok");
    beam_node_wait_restart(scene->node, 20000);
}

static void reboot(struct scene *scene)
{
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
}

/* --- counter ------------------------------------------------------------- */

static void all_of_it(struct fixture *fixture, bool interactive)
{
    struct scene *scene = &fixture->scene;
    two_releases(fixture);
    start(fixture, interactive);
    assert_base(fixture);
    carry(fixture, NULL, fixture->next);
    reboot(scene);
    assert_next(fixture);
    restart(scene);
    assert_next(fixture);
    carry(fixture, fixture->next, fixture->base);
    reboot(scene);
    assert_base(fixture);
    restart(scene);
    assert_base(fixture);
}

static void embedded(void **state)
{
    all_of_it(*state, false);
}

static void interactive(void **state)
{
    all_of_it(*state, true);
}

/* The base has an application that the generation has not. */
static void an_application_less(struct fixture *fixture, bool interactive)
{
    struct scene *scene = &fixture->scene;
    fixture->base = copy(fixture, "base", "counter-0.2.0-app");
    fixture->next = copy(fixture, "next", "counter-0.3.0");
    start(fixture, interactive);
    assert_eval(scene->node, "counter_extra:module_info(module)",
                "counter_extra");
    carry(fixture, NULL, fixture->next);
    reboot(scene);
    assert_exactly(fixture, fixture->next, fixture->base);
    assert_eval(scene->node, "code:which(counter_extra)", "non_existing");
    assert_eval(scene->node, "code:lib_dir(counter_extra)", "{error,bad_name}");
    assert_eval(scene->node,
                "lists:keymember(counter_extra, 1, "
                "application:loaded_applications())",
                "false");
    assert_eval(scene->node,
                "[P || P <- code:get_path(), "
                "string:find(P, \"counter_extra\") =/= nomatch]",
                "[]");
}

static void one_less_embedded(void **state)
{
    an_application_less(*state, false);
}

static void one_less_interactive(void **state)
{
    an_application_less(*state, true);
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(embedded),
        in(interactive),
        in(one_less_embedded),
        in(one_less_interactive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
