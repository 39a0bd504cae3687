/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"
#include "scene.h"

#include "../engine/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The scripts of releases boot a generation with another sys.config, vm.args
 * and runtime.exs; and commands that do not take them. */

struct fixture {
    struct harness *harness;
    const char *journal;
    const char *base;
    const char *next;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->harness = harness_open();
    fixture->journal = harness_path(fixture->harness, "journal");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    harness_close(fixture->harness);
    free(fixture);
    return 0;
}

static const char *copy(struct fixture *fixture, const char *name,
                        const char *from)
{
    const char *path = harness_path(fixture->harness, "%s", name);
    harness_copy(fixture->harness, harness_fixture(fixture->harness, from),
                 path);
    return path;
}

static void shell(struct fixture *fixture, const char *folder,
                  const char *script)
{
    const char *const argv[] = {
        "sh", "-ec", harness_text(fixture->harness, "cd \"$0\"\n%s", script),
        folder, NULL};
    struct harness_run run = harness_run(fixture->harness, argv, NULL);
    assert_status(run, 0);
}

static void carry(struct fixture *fixture)
{
    const struct carry what = {.journal = fixture->journal,
                               .base = fixture->base,
                               .to = fixture->next};
    carry_over(fixture->harness, &what);
}

/* --- what a VM says that a script has started ---------------------------- */

#define ENVIRONMENT_MAX 8

/* Of the erlang expression, as ~0tp prints it. */
static const char *said(struct fixture *fixture, const char *const *command,
                        const char *expression, const char *more)
{
    struct harness *harness = fixture->harness;
    const char *file = harness_path(harness, "said");
    const char *const environment[ENVIRONMENT_MAX] = {
        harness_text(harness,
                     "ERL_ZFLAGS=-eval 'file:write_file(\"%s.new\","
                     "io_lib:format(\"~0tp\",[%s])),"
                     "file:rename(\"%s.new\",\"%s\"),erlang:halt(0).'",
                     file, expression, file, file),
        harness_text(harness, "HOME=%s", harness_dir(harness)),
        "RELEASE_DISTRIBUTION=none",
        "ERL_CRASH_DUMP=/dev/null",
        "LC_ALL=C.UTF-8",
        more ? more : "NZD_TEST_NONE=1",
        NULL};
    harness_remove(harness, file);
    struct harness_job *job = harness_begin(harness, command, environment);
    struct harness_run run = harness_end(harness, job, 40000);
    const char *text = harness_read_file(harness, file);
    if (getenv("SHOW"))
        print_message("%s\n%s\n", run.out, run.err);
    if (!text[0])
        harness_fail("%s: nothing\n%s%s", run.command, run.out, run.err);
    return text;
}

static const char *booted(struct fixture *fixture, const char *script,
                          const char *verb, const char *expression,
                          const char *more)
{
    struct harness *harness = fixture->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char *const command[] = {
        nzd[0],      "boot",
        "--journal", fixture->journal,
        "--",        harness_text(harness, "%s/bin/%s", fixture->base, script),
        verb,        NULL};
    return said(fixture, command, expression, more);
}

static const char *plain(struct fixture *fixture, const char *script,
                         const char *verb, const char *expression)
{
    const char *const command[] = {
        harness_text(fixture->harness, "%s/bin/%s", fixture->base, script),
        verb, NULL};
    return said(fixture, command, expression, NULL);
}

/* --- Mix ----------------------------------------------------------------- */

static const char greeter[] =
    "{element(2,application:get_key(greeter,vsn)),"
    "application:get_env(greeter,greeting),os:getenv(\"NZD_TEST_ARGS\"),"
    "[A||{A,_,_}<-application:which_applications(),A=:=greeter],"
    "code:get_mode()}";

static const char greeter_next[] =
    "{\"0.2.0\",{ok,<<\"Good day\">>},\"new\",[greeter],%s}";

static void two_greeters(struct fixture *fixture)
{
    fixture->base = copy(fixture, "base", "greeter-0.1.0");
    fixture->next = copy(fixture, "next", "greeter-0.2.0-runtime");
    shell(fixture, fixture->next,
          "echo '-env NZD_TEST_ARGS new' >>releases/0.2.0-runtime/vm.args");
}

static void mix(void **state)
{
    struct fixture *fixture = *state;
    two_greeters(fixture);
    assert_string_equal(plain(fixture, "greeter", "start", greeter),
                        "{\"0.1.0\",{ok,<<\"Hello\">>},false,[greeter],"
                        "embedded}");
    carry(fixture);
    assert_string_equal(
        booted(fixture, "greeter", "start", greeter, NULL),
        harness_text(fixture->harness, greeter_next, "embedded"));
    assert_string_equal(
        booted(fixture, "greeter", "start", greeter,
               "RELEASE_MODE=interactive"),
        harness_text(fixture->harness, greeter_next, "interactive"));
}

/* Elixir writes what it has made to the file, and boots once more. */
static void mix_writes(void **state)
{
    struct fixture *fixture = *state;
    two_greeters(fixture);
    shell(fixture, fixture->next,
          "sed -i 's/RUNTIME_CONFIG=false/RUNTIME_CONFIG=true/; "
          "s/reboot_system_after_config => false/"
          "reboot_system_after_config => true/' "
          "releases/0.2.0-runtime/sys.config\n"
          "grep -q 'config => true' releases/0.2.0-runtime/sys.config");
    carry(fixture);
    assert_string_equal(
        booted(fixture, "greeter", "start", greeter, NULL),
        harness_text(fixture->harness, greeter_next, "embedded"));
}

/* Only runtime.exs has changed: what reads it is the base's sys.config. */
static void mix_runtime(void **state)
{
    struct fixture *fixture = *state;
    fixture->base = copy(fixture, "base", "greeter-0.2.0-runtime");
    fixture->next = copy(fixture, "next", "greeter-0.2.0-runtime");
    shell(fixture, fixture->next,
          "sed -i 's/Good day/Good night/' "
          "releases/0.2.0-runtime/runtime.exs");
    carry(fixture);
    assert_string_equal(booted(fixture, "greeter", "start",
                               "application:get_env(greeter,greeting)", NULL),
                        "{ok,<<\"Good night\">>}");
}

/* --- rebar3 -------------------------------------------------------------- */

static const char counter[] =
    "{element(2,application:get_key(counter,vsn)),"
    "application:get_env(counter,level),application:get_env(counter,limit),"
    "os:getenv(\"NZD_TEST_ARGS\"),"
    "[A||{A,_,_}<-application:which_applications(),A=:=counter_extra]}";

static void two_counters(struct fixture *fixture)
{
    static const char args[] = "printf -- '-sname launched\\n-setcookie "
                               "launched\\n%s' >releases/%s/vm.args";
    fixture->base = copy(fixture, "base", "counter-0.1.0");
    fixture->next = copy(fixture, "next", "counter-0.2.0-app");
    shell(fixture, fixture->base,
          harness_text(fixture->harness, args, "", "0.1.0"));
    shell(fixture, fixture->next,
          harness_text(fixture->harness, args, "-env NZD_TEST_ARGS new\\n",
                       "0.2.0-app"));
    shell(fixture, fixture->next,
          "echo '[{counter, [{level, 7}]}].' >releases/0.2.0-app/sys.config");
}

static void relx(void **state)
{
    struct fixture *fixture = *state;
    two_counters(fixture);
    assert_string_equal(plain(fixture, "counter", "foreground", counter),
                        "{\"0.1.0\",undefined,{ok,100},false,[]}");
    carry(fixture);
    assert_string_equal(booted(fixture, "counter", "foreground", counter, NULL),
                        "{\"0.2.0\",{ok,7},undefined,\"new\",[counter_extra]}");
    assert_string_equal(booted(fixture, "counter", "foreground", counter,
                               "CODE_LOADING_MODE=interactive"),
                        "{\"0.2.0\",{ok,7},undefined,\"new\",[counter_extra]}");
}

/* Where it cannot be said which files are read, nothing is exchanged. */
static void relx_templates(void **state)
{
    struct fixture *fixture = *state;
    two_counters(fixture);
    carry(fixture);
    static const char of_base[] = "{\"0.1.0\",undefined,{ok,100},false,[]}";
    /* As often as a generation is tried: none of it is its fault. */
    for (int i = 0; i < 3; i++)
        assert_string_equal(booted(fixture, "counter", "foreground", counter,
                                   "RELX_REPLACE_OS_VARS=1"),
                            of_base);
    shell(fixture, fixture->base,
          "cp releases/0.1.0/sys.config releases/0.1.0/sys.config.src");
    assert_string_equal(booted(fixture, "counter", "foreground", counter, NULL),
                        of_base);
}

/* --- what is taken ------------------------------------------------------- */

struct line {
    const char *words[16];
};

/* "": refused, and why is in the error; else the words, each with a space. */
static const char *instead(struct fixture *fixture, const struct line *line,
                           struct nzd_err *err)
{
    static const struct nzd_launch_files files = {
        .boot = "/run/nzd/overlay/0123/current/start",
        .config = "/run/nzd/overlay/0123/current/sys.config",
        .vm_args = "/run/nzd/overlay/0123/current/vm.args"};
    char *argv[17] = {NULL};
    char **out = NULL;
    struct nzd_launch launch;
    struct nzd_arena arena = {0};
    const char *text = "";
    for (int i = 0; i < 16 && line->words[i]; i++)
        argv[i] = (char *)(uintptr_t)line->words[i];
    if (nzd_launch_read(argv, &launch, err))
        harness_fail("%s", err->message);
    if (!nzd_launch_instead(&launch, argv, &files, &arena, &out, err))
        for (int i = 1; out[i]; i++)
            text = harness_text(fixture->harness, "%s%s ", text, out[i]);
    nzd_arena_clear(&arena);
    return text;
}

static void erl(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    struct nzd_err err = NZD_ERR_INIT;
    fixture->base = copy(fixture, "base", "counter-0.1.0");
    const char *here =
        harness_text(harness, "%s/releases/0.1.0", fixture->base);
#define BESIDE(name) harness_text(harness, "%s/%s", here, name)
    const struct line all = {{"erl", "-boot", BESIDE("start"), "-config",
                              "other", "-config", BESIDE("sys"), "-args_file",
                              BESIDE("../0.1.0/vm.args"), "--", "-config",
                              BESIDE("sys.config")}};
    setenv("RELEASE_SYS_CONFIG", BESIDE("sys"), 1);
    assert_string_equal(
        instead(fixture, &all, &err),
        harness_text(harness,
                     "-boot /run/nzd/overlay/0123/current/start -boot %s "
                     "-config other -config "
                     "/run/nzd/overlay/0123/current/sys.config -args_file "
                     "/run/nzd/overlay/0123/current/vm.args -- -config %s ",
                     BESIDE("start"), BESIDE("sys.config")));
    assert_string_equal(getenv("RELEASE_SYS_CONFIG"),
                        "/run/nzd/overlay/0123/current/sys");
    setenv("NZD_BOOT", "1", 1);
    nzd_launch_forget();
    assert_string_equal(getenv("RELEASE_SYS_CONFIG"), BESIDE("sys"));
    unsetenv("RELEASE_SYS_CONFIG");
    const struct line other = {{"erl", "-boot", BESIDE("start"), "-config",
                                "other", "-args_file", BESIDE("vm.args")}};
    assert_string_equal(instead(fixture, &other, &err), "");
    assert_int_equal(err.code, NZD_EREFUSED);
    assert_contains(err.message, "no -config names the release's own file");
    const struct line no_args = {
        {"erl", "-boot", BESIDE("start"), "-config", BESIDE("sys.config")}};
    nzd_err_clear(&err);
    assert_string_equal(instead(fixture, &no_args, &err), "");
    assert_contains(err.message, "no -args_file names");
}

static void clear_environment(void)
{
    static const char *const names[] = {NZD_LAUNCH_ENVIRONMENT};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

static void expect_refused(struct fixture *fixture, const char *name,
                           const char *value, const struct line *line,
                           const char *why)
{
    struct nzd_err err = NZD_ERR_INIT;
    setenv(name, value, 1);
    assert_string_equal(instead(fixture, line, &err), "");
    assert_int_equal(err.code, NZD_EREFUSED);
    assert_contains(err.message, why);
    clear_environment();
    unsetenv(name);
}

static void scripts(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    struct nzd_err err = NZD_ERR_INIT;
    fixture->base = copy(fixture, "base", "greeter-0.1.0");
    const struct line start = {
        {harness_text(harness, "%s/bin/greeter", fixture->base), "start"}};
    const char *env =
        harness_text(harness, "%s/releases/0.1.0/env.sh", fixture->base);
    clear_environment();
    assert_string_equal(instead(fixture, &start, &err), "start ");
    assert_string_equal(getenv("RELEASE_SYS_CONFIG"),
                        "/run/nzd/overlay/0123/current/sys");
    assert_string_equal(getenv("RELEASE_VM_ARGS"),
                        "/run/nzd/overlay/0123/current/vm.args");
    /* As the script hands them on where the file is copied. */
    setenv("RELEASE_SYS_CONFIG", "/tmp/greeter-0.1.0-2023.runtime", 1);
    setenv("NZD_BOOT", "1", 1);
    nzd_launch_forget();
    assert_null(getenv("RELEASE_SYS_CONFIG"));
    assert_null(getenv("RELEASE_VM_ARGS"));
    assert_null(getenv("NZD_RELEASE_VM_ARGS"));
    unsetenv("NZD_BOOT");
    expect_refused(fixture, "RELEASE_VM_ARGS", "/etc/greeter/vm.args", &start,
                   "RELEASE_VM_ARGS names another file");
    expect_refused(fixture, "RELEASE_SYS_CONFIG", "/etc/greeter/sys", &start,
                   "RELEASE_SYS_CONFIG names another file");
    harness_write_file(env, "#export RELEASE_VM_ARGS=/a\n"
                            "RELEASE_VM_ARGS=\"${RELEASE_VM_ARGS:-/b}\"\n");
    assert_string_equal(instead(fixture, &start, &err), "start ");
    clear_environment();
    harness_write_file(env, "\n  export RELEASE_SYS_CONFIG=/etc/sys\n");
    expect_refused(fixture, "NZD_TEST_NONE", "1", &start,
                   "env.sh: it sets RELEASE_SYS_CONFIG");
    harness_write_file(env, "");
    shell(fixture, fixture->base, "sed -i /DEFAULT_SYS_CONFIG/d bin/greeter");
    expect_refused(fixture, "NZD_TEST_NONE", "1", &start,
                   "it does not take RELEASE_SYS_CONFIG");
}

static void relx_files(void **state)
{
    struct fixture *fixture = *state;
    struct harness *harness = fixture->harness;
    struct nzd_err err = NZD_ERR_INIT;
    fixture->base = copy(fixture, "base", "counter-0.1.0");
    const struct line start = {
        {harness_text(harness, "%s/bin/counter", fixture->base), "console"}};
    clear_environment();
    assert_string_equal(instead(fixture, &start, &err),
                        "console_boot /run/nzd/overlay/0123/current/start ");
    assert_string_equal(getenv("VMARGS_PATH"),
                        "/run/nzd/overlay/0123/current/vm.args");
    clear_environment();
    expect_refused(fixture, "VMARGS_PATH", "/etc/vm.args", &start,
                   "VMARGS_PATH names another file");
    harness_write_file(harness_text(harness, "%s/sys.config", fixture->base),
                       "[].\n");
    expect_refused(fixture, "NZD_TEST_NONE", "1", &start,
                   "it stands in for the release's");
}

#define in(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in(mix), in(mix_writes), in(mix_runtime), in(relx), in(relx_templates),
        in(erl), in(scripts),    in(relx_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
