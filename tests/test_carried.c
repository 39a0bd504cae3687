/* SPDX-License-Identifier: Apache-2.0 */
#include "booted.h"
#include "carry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define THROUGH "--min", "restart-vm", "--max", "restart-vm"

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

/* --- what lies beside the journal ---------------------------------------- */

static const char *native(struct fixture *fixture, const char *expression)
{
    return beam_node_eval(
        fixture->scene.node,
        "begin Link = filename:join(code:priv_dir(counter), "
        "\"lib/nzd_test_nif.so\"), {ok, File} = file:read_link(Link), %s end",
        expression);
}

static const char *folder(struct fixture *fixture)
{
    return harness_path(fixture->scene.harness, "native");
}

static unsigned files_in(const char *folder)
{
    char command[4200];
    unsigned count = 9999;
    snprintf(command, sizeof command, "find %s -type f | wc -l", folder);
    FILE *found = popen(command, "r");
    assert_non_null(found);
    assert_int_equal(fscanf(found, "%u", &count), 1);
    pclose(found);
    return count;
}

/* Where it may be run; written once, again where it does not hold, and gone
 * with what needs it. */
static void native_files(void **state)
{
    struct fixture *fixture = *state;
    struct scene *scene = &fixture->scene;
    two_releases(fixture);
    carry(fixture, NULL, fixture->next);
    start(fixture, false);
    const char *file = native(fixture, "File");
    assert_contains(file, folder(fixture));
    const char *inode =
        native(fixture, "element(12, element(2, file:read_file_info(File)))");
    assert_int_equal(files_in(folder(fixture)), 2);
    reboot(scene);
    assert_string_equal(
        native(fixture, "element(12, element(2, file:read_file_info(File)))"),
        inode);
    const char *other = harness_path(scene->harness, "native/0123abcd/1");
    shell(fixture, harness_dir(scene->harness),
          harness_text(scene->harness,
                       "truncate -s 100 %s\nmkdir -p %s\ntouch %s/file", file,
                       other, other));
    reboot(scene);
    assert_next(fixture);
    assert_int_equal(files_in(folder(fixture)), 2);
    carry(fixture, fixture->next, fixture->base);
    reboot(scene);
    assert_base(fixture);
    assert_int_equal(files_in(folder(fixture)), 0);
}

/* There is no place for it: the base boots, and no attempt is made. */
static void no_native_files(void **state)
{
    struct fixture *fixture = *state;
    struct scene *scene = &fixture->scene;
    two_releases(fixture);
    carry(fixture, NULL, fixture->next);
    harness_write_file(folder(fixture), "a file");
    start(fixture, false);
    assert_base(fixture);
    for (int i = 0; i < 3; i++)
        reboot(scene);
    assert_base(fixture);
    assert_contains(beam_node_log(scene->node), "the base boots: ");
    assert_contains(beam_node_log(scene->node), folder(fixture));
    assert_int_equal(unlink(folder(fixture)), 0);
    reboot(scene);
    assert_next(fixture);
}

/* --- in a VM that runs --------------------------------------------------- */

static const char *first_config(struct fixture *fixture)
{
    return beam_node_eval(fixture->scene.node,
                          "begin {ok, [[C] | _]} = init:get_argument(config), "
                          "{filename:rootname(C, \".config\"), "
                          "os:getenv(\"RELEASE_SYS_CONFIG\")} end");
}

/* init:restart/0 reads the sys.config that belongs to the script it boots. */
static void in_place(void **state)
{
    struct fixture *fixture = *state;
    struct scene *scene = &fixture->scene;
    two_releases(fixture);
    struct beam_node_options options = {.release = fixture->base,
                                        .name = "carried"};
    scene->node = beam_node_start(scene->harness, &options);
    const char *config = first_config(fixture);
    shell(fixture, fixture->next,
          "cp ../base/releases/0.1.0/vm.args releases/0.2.0-app/vm.args");
    struct harness_run run = scene_nzd(scene, "apply", THROUGH, fixture->next);
    assert_status(run, 0);
    assert_next_files(fixture);
    assert_eval(scene->node, "application:get_env(counter, level)", "{ok,7}");
    assert_eval(scene->node, "application:get_env(counter, limit)",
                "undefined");
    assert_matches(first_config(fixture), "current/sys\",\".*current/sys\"");
    assert_exactly(fixture, fixture->next, fixture->base);
    run = scene_nzd(scene, "rollback", THROUGH);
    assert_status(run, 0);
    assert_base(fixture);
    assert_string_equal(first_config(fixture), config);
}

static void elixir(struct fixture *fixture, const char *edit)
{
    struct scene *scene = &fixture->scene;
    fixture->base = copy(fixture, "base", "greeter-0.1.0");
    fixture->next = copy(fixture, "next", "greeter-0.2.0-runtime");
    shell(fixture, fixture->next, edit);
    struct beam_node_options options = {.release = fixture->base,
                                        .name = "carried"};
    scene->node = beam_node_start(scene->harness, &options);
    for (int i = 0; i < 2; i++) {
        struct harness_run run =
            scene_nzd(scene, "apply", THROUGH, fixture->next);
        assert_status(run, 0);
        assert_eval(scene->node, "application:get_env(greeter, greeting)",
                    "{ok,<<\"Good day\">>}");
        run = scene_nzd(scene, "rollback", THROUGH);
        assert_status(run, 0);
        assert_eval(scene->node, "application:get_env(greeter, greeting)",
                    "{ok,<<\"Hello\">>}");
    }
}

/* Config.Provider reads the file by RELEASE_SYS_CONFIG. */
static void elixir_in_place(void **state)
{
    elixir(*state, "");
}

/* And writes to it, and boots once more. */
static void elixir_writes_in_place(void **state)
{
    elixir(*state, "sed -i 's/RUNTIME_CONFIG=false/RUNTIME_CONFIG=true/; "
                   "s/reboot_system_after_config => false/"
                   "reboot_system_after_config => true/' "
                   "releases/0.2.0-runtime/sys.config");
}

/* What is committed in the VM that booted it keeps its configuration. */
static void hot_over_it(void **state)
{
    struct fixture *fixture = *state;
    struct scene *scene = &fixture->scene;
    two_releases(fixture);
    carry(fixture, NULL, fixture->next);
    start(fixture, false);
    assert_next(fixture);
    const char *config = first_config(fixture);
    const char *third = harness_path(scene->harness, "third");
    harness_copy(scene->harness, fixture->next, third);
    const char *text = "/lib/counter-0.2.0/ebin/counter_text.beam";
    harness_copy(scene->harness,
                 harness_text(scene->harness,
                              "%s/lib/counter-0.3.0/ebin/"
                              "counter_text.beam",
                              harness_fixture(scene->harness, "counter-0.3.0")),
                 harness_text(scene->harness, "%s%s", third, text));
    struct harness_run run = scene_nzd(scene, "apply", third);
    assert_status(run, 0);
    assert_exactly(fixture, third, fixture->base);
    assert_string_equal(first_config(fixture), config);
    restart(scene);
    assert_exactly(fixture, third, fixture->base);
    assert_next_files(fixture);
    assert_eval(scene->node, "application:get_env(counter, level)", "{ok,7}");
    reboot(scene);
    assert_exactly(fixture, third, fixture->base);
    assert_eval(scene->node, "os:getenv(\"NZD_TEST_ARGS\")", "\"new\"");
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    assert_next(fixture);
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
        in(native_files),
        in(no_native_files),
        in(in_place),
        in(elixir_in_place),
        in(elixir_writes_in_place),
        in(hot_over_it),
        in(one_less_embedded),
        in(one_less_interactive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
