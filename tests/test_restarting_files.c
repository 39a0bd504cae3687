/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "booted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a restart brings besides code: configuration, priv, applications,
 * arguments of the VM. Each is there behind it, and gone behind the way back.
 */

static const char *fixture(struct scene *scene, const char *name)
{
    return harness_fixture(scene->harness, name);
}

static void start(struct scene *scene, const char *release, bool interactive)
{
    struct beam_node_options options = {.release = release,
                                        .interactive = interactive,
                                        .prefix = booted_prefix(scene)};
    scene->node = beam_node_start(scene->harness, &options);
}

#define MAX "--min", "restart-vm", "--max", "restart-vm", "--retry"

static void apply(struct scene *scene, const char *bundle)
{
    struct harness_run run = scene_nzd(scene, "apply", MAX, bundle);
    assert_status(run, 0);
}

static void back(struct scene *scene, const char *to)
{
    struct harness_run run = scene_nzd(scene, "rollback", MAX, "--to", to);
    assert_status(run, 0);
}

static void shell(struct scene *scene, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(scene->harness, argv, NULL);
    assert_status(run, 0);
}

#define GREETING "application:get_env(counter, greeting)"
#define EXTRA                                                                  \
    "lists:keymember(counter_extra, 1, application:which_applications())"
#define MOTD                                                                   \
    "file:read_file(filename:join(code:priv_dir(counter), \"motd.txt\"))"

static void configuration(void **state)
{
    struct scene *scene = *state;
    const char *conf = fixture(scene, "counter-0.2.0-conf");
    start(scene, fixture(scene, "counter-0.1.0"), false);
    apply(scene, conf);
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    scene_is_there(scene, conf);
    booted_reboot(scene);
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    scene_is_there(scene, conf);
    /* Code over it is hot, and keeps it. */
    const char *more = scene_copy(scene, "counter-0.3.0", "more");
    shell(scene, harness_text(scene->harness,
                              "cp %s/releases/0.2.0-conf/sys.config "
                              "%s/releases/0.3.0/",
                              conf, more));
    struct harness_run run = scene_nzd(scene, "apply", more);
    assert_status(run, 0);
    scene_is_there(scene, more);
    booted_reboot(scene);
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    scene_is_there(scene, more);
    run = scene_nzd(scene, "rollback");
    assert_status(run, 0);
    scene_is_there(scene, conf);
    back(scene, "0");
    assert_eval(scene->node, GREETING, "{ok,\"hello\"}");
    scene_is_there(scene, fixture(scene, "counter-0.1.0"));
    back(scene, "2");
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    scene_is_there(scene, more);
}

static void applications(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.2.0-app");
    const char *without = fixture(scene, "counter-0.2.0");
    start(scene, base, false);
    assert_eval(scene->node, EXTRA, "true");
    apply(scene, without);
    assert_eval(scene->node, EXTRA, "false");
    assert_eval(scene->node, "code:which(counter_extra)", "non_existing");
    scene_is_there(scene, without);
    apply(scene, base);
    assert_eval(scene->node, EXTRA, "true");
    scene_is_there(scene, base);
    back(scene, "1");
    assert_eval(scene->node, EXTRA, "false");
    scene_is_there(scene, without);
    booted_reboot(scene);
    scene_is_there(scene, without);
    back(scene, "0");
    assert_eval(scene->node, EXTRA, "true");
    scene_is_there(scene, base);
}

static void added_with_files(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.2.0");
    const char *with = scene_copy(scene, "counter-0.2.0-app", "with");
    shell(scene, harness_text(scene->harness,
                              "mkdir %s/lib/counter_extra-1.0.0/priv; "
                              "printf 'echo ran' > "
                              "%s/lib/counter_extra-1.0.0/priv/run.sh; "
                              "chmod +x "
                              "%s/lib/counter_extra-1.0.0/priv/run.sh",
                              with, with, with));
    start(scene, base, true);
    apply(scene, with);
    assert_eval(scene->node, EXTRA, "true");
    assert_eval(scene->node,
                "os:cmd(filename:join(code:priv_dir(counter_extra), "
                "\"run.sh\"))",
                "\"ran\\n\"");
    scene_is_there(scene, with);
    back(scene, "0");
    assert_eval(scene->node, EXTRA, "false");
    scene_is_there(scene, base);
}

static void files(void **state)
{
    struct scene *scene = *state;
    const char *base = scene_copy(scene, "counter-0.2.0", "base");
    const char *one = scene_copy(scene, "counter-0.2.0", "one");
    shell(scene, harness_text(scene->harness,
                              "cd %s/lib/counter-0.2.0/priv; mkdir www; "
                              "echo a > www/a; echo b > www/b; ln -s www w; "
                              "cd %s/lib/counter-0.2.0/priv; mkdir www; "
                              "echo 1 > motd.txt; echo c > www/c; "
                              "echo a > www/a",
                              base, one));
    start(scene, base, false);
    const char *before = beam_node_eval(scene->node, MOTD);
    apply(scene, one);
    assert_eval(scene->node, MOTD, "{ok,<<\"1\\n\">>}");
    assert_eval(scene->node,
                "lists:sort(element(2, file:list_dir(filename:join("
                "code:priv_dir(counter), \"www\"))))",
                "[\"a\",\"c\"]");
    scene_is_there(scene, one);
    back(scene, "0");
    assert_eval(scene->node, MOTD, before);
    scene_is_there(scene, base);
}

static void runtime_configuration(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "greeter-0.2.0");
    const char *one = fixture(scene, "greeter-0.2.0-runtime");
    const char *two = scene_copy(scene, "greeter-0.2.0-runtime", "two");
    shell(scene, harness_text(scene->harness,
                              "echo 'config :greeter, again: 1' >> "
                              "%s/releases/0.2.0-runtime/runtime.exs",
                              two));
    start(scene, base, false);
    apply(scene, one);
    scene_is_there(scene, one);
    apply(scene, two);
    assert_eval(scene->node, "application:get_env(greeter, again)", "{ok,1}");
    scene_is_there(scene, two);
    booted_reboot(scene);
    assert_eval(scene->node, "application:get_env(greeter, again)", "{ok,1}");
    back(scene, "1");
    assert_eval(scene->node, "application:get_env(greeter, again)",
                "undefined");
    scene_is_there(scene, one);
    back(scene, "0");
    scene_is_there(scene, base);
}

/* --- arguments of the VM -------------------------------------------------- */

/* Starts the VM by nzd boot again whenever it has ended; the restart command
 * ends it. */
static void start_supervised(struct scene *scene, const char *release)
{
    struct harness *harness = scene->harness;
    const char *pid = harness_path(harness, "vm.pid");
    const char *loop = scene_script(scene, "supervise",
                                    "while :; do\n \"$@\" &\n echo $! >vm.new; "
                                    "mv vm.new %s\n wait $!\ndone\n",
                                    pid);
    const char *const first[] = {loop, NULL};
    struct beam_node_options options = {
        .release = release,
        .prefix = harness_concat(harness, first, booted_prefix(scene))};
    scene_config(scene,
                 "boot {\n tries = 2\n healthy = 0\n}\n"
                 "restart {\n command = {\"%s\"}\n timeout = 40s\n}\n",
                 scene_script(scene, "restart", "kill -9 $(cat %s)\n", pid));
    scene->node = beam_node_start(harness, &options);
}

static void arguments(struct scene *scene, const char *release,
                      const char *line)
{
    shell(scene,
          harness_text(scene->harness, "echo '%s' >> %s/releases/0.2.0/vm.args",
                       line, release));
}

static void arguments_of_the_vm(void **state)
{
    static const char limit[] = "erlang:system_info(ets_limit)";
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.2.0");
    const char *one = scene_copy(scene, "counter-0.2.0", "one");
    const char *two = scene_copy(scene, "counter-0.2.0", "two");
    arguments(scene, one, "-env ERL_MAX_ETS_TABLES 9001");
    arguments(scene, two, "-env ERL_MAX_ETS_TABLES 9002");
    start_supervised(scene, base);
    const char *before = beam_node_eval(scene->node, limit);
    apply(scene, one);
    scene_is_there(scene, one);
    assert_string_not_equal(beam_node_eval(scene->node, limit), before);
    const char *first = beam_node_eval(scene->node, limit);
    apply(scene, two);
    scene_is_there(scene, two);
    assert_string_not_equal(beam_node_eval(scene->node, limit), first);
    back(scene, "1");
    assert_eval(scene->node, limit, first);
    scene_is_there(scene, one);
    back(scene, "0");
    assert_eval(scene->node, limit, before);
    scene_is_there(scene, base);
    /* On trial: a restart in place leaves the process what it was started with,
     * and is no way back. */
    struct harness_run run =
        scene_nzd(scene, "apply", MAX, "--confirm", "1h", one);
    assert_status(run, 0);
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_for(scene->node,
                       "{persistent_term:get({nzd, token}, none), "
                       "init:get_status()}",
                       "{none,{started,started}}", 20000);
    assert_eval(scene->node, limit, first);
    run = scene_nzd(scene, "recover");
    assert_status(run, 0);
    assert_eval(scene->node, limit, before);
    scene_is_there(scene, base);
}

/* --- what does not last --------------------------------------------------- */

/* Two boots of it end before anybody says that it is healthy. */
static void one_that_is_ill(void **state)
{
    struct scene *scene = *state;
    const char *conf = fixture(scene, "counter-0.2.0-conf");
    const char *priv = fixture(scene, "counter-0.2.0-priv");
    start(scene, fixture(scene, "counter-0.2.0"), false);
    const char *motd = beam_node_eval(scene->node, MOTD);
    apply(scene, conf);
    booted_reboot(scene);
    struct harness_run run = scene_nzd(scene, "health", "ok");
    assert_status(run, 0);
    apply(scene, priv);
    assert_string_not_equal(beam_node_eval(scene->node, MOTD), motd);
    for (int i = 0; i < 3; i++)
        booted_reboot(scene);
    assert_eval(scene->node, MOTD, motd);
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    run = scene_nzd(scene, "plan", conf);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: nothing");
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);
}

/* Whoever starts the VM without nzd boot has the base; the journal is told by
 * the next that is applied. */
static void started_without(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.2.0");
    struct beam_node_options options = {.release = base};
    scene->node = beam_node_start(scene->harness, &options);
    apply(scene, fixture(scene, "counter-0.2.0-conf"));
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    booted_reboot(scene);
    assert_eval(scene->node, GREETING, "{ok,\"hello\"}");
    struct harness_run run = scene_nzd(scene, "apply", base);
    assert_status(run, 0);
    assert_contains(run.out, "committed 2");
    scene_is_there(scene, base);
    apply(scene, fixture(scene, "counter-0.2.0-conf"));
    assert_eval(scene->node, GREETING, "{ok,\"good day\"}");
    scene_is_there(scene, fixture(scene, "counter-0.2.0-conf"));
}

int main(void)
{
#define of(test)                                                               \
    cmocka_unit_test_setup_teardown(test, booted_set_up, scene_teardown)
    const struct CMUnitTest tests[] = {
        of(configuration),   of(applications),          of(added_with_files),
        of(files),           of(runtime_configuration), of(arguments_of_the_vm),
        of(one_that_is_ill), of(started_without),
    };
    return cmocka_run_group_tests_name("restarting files", tests, NULL, NULL);
}
