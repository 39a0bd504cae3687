/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "../engine/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The commands that start a release, as their tools make them, around which
 * nzd boot has the generation in force boot. */

struct started {
    const char *release; /* the fixture that lies on the disk */
    const char *bundle;  /* what is applied to it */
    const char *script;  /* bin/NAME */
    const char *verb;
    const char *expression; /* tells the version that runs, as text */
    const char *version;
};

static int setup(void **state)
{
    struct scene *scene;
    scene_setup(state);
    scene = *state;
    beam_node_kill(scene->node);
    return 0;
}

/* In force in the scene's journal, over a copy of the release. */
static const char *commit(struct scene *scene, const struct started *what)
{
    struct harness *harness = scene->harness;
    const char *release = harness_path(harness, "release");
    harness_copy(harness, harness_fixture(harness, what->release), release);
    const struct beam_node_options options = {.release = release,
                                              .name = "first"};
    scene->node = beam_node_start(harness, &options);
    struct harness_run run =
        scene_nzd(scene, "apply", harness_fixture(harness, what->bundle));
    assert_status(run, 0);
    beam_node_kill(scene->node);
    return release;
}

/* The script of rebar3 wants a name there. */
static void name_node(struct scene *scene, const char *release)
{
    const char *vm_args =
        harness_text(scene->harness, "%s/releases/0.1.0/vm.args", release);
    if (access(harness_text(scene->harness, "%s/bin/counter", release), F_OK))
        return;
    harness_write_file(vm_args, "-sname launched\n-setcookie launched\n");
}

/* What the VM that the command has started writes about itself. */
static const char *version_of(struct scene *scene, const struct started *what,
                              const char *release, bool boot)
{
    struct harness *harness = scene->harness;
    const char *script =
        harness_text(harness, "%s/bin/%s", release, what->script);
    const char *file = harness_path(harness, "version");
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char *const with[] = {nzd[0], "boot", "--journal", scene->journal,
                                "--",   script, what->verb,  NULL};
    const char *const without[] = {script, what->verb, NULL};
    const char *const environment[] = {
        harness_text(harness,
                     "ERL_ZFLAGS=-eval 'file:write_file(\"%s\",%s),"
                     "file:rename(\"%s\",\"%s.done\"),erlang:halt(0).'",
                     file, what->expression, file, file),
        harness_text(harness, "HOME=%s", harness_dir(harness)),
        "RELEASE_DISTRIBUTION=none",
        "ERL_CRASH_DUMP=/dev/null",
        "LC_ALL=C.UTF-8",
        NULL};
    harness_remove(harness, harness_text(harness, "%s.done", file));
    struct harness_job *job =
        harness_begin(harness, boot ? with : without, environment);
    struct harness_run run = harness_end(harness, job, 30000);
    const char *text =
        harness_read_file(harness, harness_text(harness, "%s.done", file));
    if (!text[0])
        harness_fail("%s %s: no version\n%s%s", script, what->verb, run.out,
                     run.err);
    return text;
}

static void starts(struct scene *scene, const struct started *what)
{
    const char *release = commit(scene, what);
    name_node(scene, release);
    assert_string_equal(version_of(scene, what, release, false), "0.1.0");
    assert_string_equal(version_of(scene, what, release, true), what->version);
}

static void script_of_rebar3(void **state)
{
    static const struct started counter = {
        "counter-0.1.0", "counter-0.2.0",          "counter",
        "foreground",    "counter_text:version()", "0.2.0"};
    starts(*state, &counter);
}

static void script_of_mix(void **state)
{
    static const struct started greeter = {
        "greeter-0.1.0",
        "greeter-0.2.0",
        "greeter",
        "start",
        "element(2,application:get_key(greeter,vsn))",
        "0.2.0"};
    starts(*state, &greeter);
}

/* --- what a VM hands on -------------------------------------------------- */

static void check_forgotten(const char *script, const char *own,
                            const char *flags, const char *script_then,
                            const char *flags_then)
{
    setenv("NZD_BOOT", "3", 1);
    setenv("RELEASE_BOOT_SCRIPT", script, 1);
    if (own)
        setenv("NZD_RELEASE_BOOT_SCRIPT", own, 1);
    setenv("ERL_ZFLAGS", flags, 1);
    nzd_launch_forget();
    const char *now = getenv("RELEASE_BOOT_SCRIPT");
    assert_string_equal(now ? now : "", script_then);
    now = getenv("ERL_ZFLAGS");
    assert_string_equal(now ? now : "", flags_then);
    assert_null(getenv("NZD_RELEASE_BOOT_SCRIPT"));
}

/* heart starts the next VM in the environment of the one before. */
static void what_was_set_for_the_last_vm(void **state)
{
    static const char ours[] = "../../run/nzd/overlay/0123/current/start";
    (void)state;
    check_forgotten(ours, NULL, "-noinput +Bd", "", "");
    check_forgotten(ours, "start_clean", "+P 5000 -noinput +Bd", "start_clean",
                    "+P 5000");
    check_forgotten("start_clean", NULL, "-noinput", "start_clean", "-noinput");
    unsetenv("NZD_BOOT");
    unsetenv("RELEASE_BOOT_SCRIPT");
    unsetenv("ERL_ZFLAGS");
}

/* That VM had booted the base, and then a generation in place. */
static void what_the_agent_set(void **state)
{
    static const char *const values[][2] = {
        {"/run/nzd/overlay/0123/current/sys", NULL},
        {"/srv/tmp/nzd-71.runtime", NULL},
        {"/srv/tmp/greeter-0.1.0-2023.runtime",
         "/srv/tmp/greeter-0.1.0-2023.runtime"},
        {"/srv/releases/0.1.0/sys", "/srv/releases/0.1.0/sys"}};
    (void)state;
    setenv("NZD_BOOT", "0", 1);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        setenv("RELEASE_SYS_CONFIG", values[i][0], 1);
        nzd_launch_forget();
        const char *now = getenv("RELEASE_SYS_CONFIG");
        assert_string_equal(now ? now : "", values[i][1] ? values[i][1] : "");
    }
    unsetenv("RELEASE_SYS_CONFIG");
    unsetenv("NZD_BOOT");
}

/* The same of one that ran on an ERTS of the generation's own. */
static void what_was_set_for_another_erts(void **state)
{
    (void)state;
    const char *path = getenv("PATH");
    char *kept = strdup(path ? path : "");
    setenv("NZD_BOOT", "3", 1);
    setenv("BINDIR", "/data/nzd/native/0123/vm-45/erts-13.2/bin", 1);
    setenv("NZD_BINDIR", "/srv/erlang/erts-13.1.5/bin", 1);
    setenv("NZD_BASE_ERTS", "13.1.5 /data/nzd/native/0123/vm-45/...", 1);
    setenv("PATH",
           "/data/nzd/native/0123/vm-45/erts-13.2/bin:/srv/erlang/bin:/bin", 1);
    nzd_launch_forget();
    assert_string_equal(getenv("BINDIR"), "/srv/erlang/erts-13.1.5/bin");
    assert_string_equal(getenv("PATH"), "/srv/erlang/bin:/bin");
    assert_null(getenv("NZD_BINDIR"));
    assert_null(getenv("NZD_BASE_ERTS"));
    /* Of others it is let alone. */
    setenv("BINDIR", "/opt/native/erts-13.2/bin", 1);
    nzd_launch_forget();
    assert_string_equal(getenv("BINDIR"), "/opt/native/erts-13.2/bin");
    unsetenv("BINDIR");
    unsetenv("NZD_BOOT");
    setenv("PATH", kept, 1);
    free(kept);
}

/* --- what is understood -------------------------------------------------- */

static void what_is_none(void **state)
{
    struct scene *scene = *state;
    static char *const none[] = {"/no/such/program", NULL};
    static char *const other[] = {"/bin/sh", "-c", "erl", NULL};
    static char *const bare[] = {"erl", "-noshell", NULL};
    char *const *const commands[] = {none, other, bare};
    struct nzd_launch launch;
    (void)scene;
    for (size_t i = 0; i < 3; i++) {
        struct nzd_err err = NZD_ERR_INIT;
        assert_int_equal(nzd_launch_read(commands[i], &launch, &err),
                         NZD_EREFUSED);
        assert_true(err.message[0]);
    }
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, scene_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(script_of_rebar3),
        in(script_of_mix),
        cmocka_unit_test(what_was_set_for_the_last_vm),
        cmocka_unit_test(what_the_agent_set),
        cmocka_unit_test(what_was_set_for_another_erts),
        in(what_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
