/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "booted.h"
#include "other_erts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A generation that runs on an ERTS of its own (other_erts.h). */

#define VERSION "erlang:system_info(version)"

static const char *fixture(struct scene *scene, const char *name)
{
    return harness_fixture(scene->harness, name);
}

static const char *shell(struct scene *scene, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(scene->harness, argv, NULL);
    assert_status(run, 0);
    return run.out;
}

/* --- bundles ------------------------------------------------------------- */

static const char *with_other(struct scene *scene, const char *release,
                              const char *name)
{
    const char *to = harness_path(scene->harness, "%s", name);
    other_erts_release(scene->harness, release, to);
    return to;
}

static const char *quoted(struct scene *scene, const char *text)
{
    return harness_text(scene->harness, "\"%s\"", text);
}

/* --- starts -------------------------------------------------------------- */

static void start(struct scene *scene, const char *release)
{
    struct beam_node_options options = {.release = release,
                                        .prefix = booted_prefix(scene)};
    scene->node = beam_node_start(scene->harness, &options);
}

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

/* The VM ends, and whoever supervises it starts the next. */
static void start_again(struct scene *scene)
{
    const char *before = beam_node_eval(scene->node, "os:getpid()");
    shell(scene, harness_text(scene->harness, "kill -9 $(cat %s)",
                              harness_path(scene->harness, "vm.pid")));
    beam_node_wait_for(scene->node,
                       harness_text(scene->harness,
                                    "os:getpid() =/= %s andalso "
                                    "init:get_status()",
                                    before),
                       "{started,started}", 20000);
}

#define MAX "--max", "restart-vm", "--retry"

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

/* --- there and back ------------------------------------------------------ */

/* What the VM is, and the programs that it starts. */
static void runs_on(struct scene *scene, const char *version,
                    const char *folder)
{
    assert_eval(scene->node, VERSION, quoted(scene, version));
    assert_matches(
        beam_node_eval(scene->node,
                       "os:cmd(\"for p in \" ++ os:getpid() ++ \" $(cat "
                       "/proc/\" ++ os:getpid() ++ \"/task/*/children); do "
                       "readlink /proc/$p/exe; done\")"),
        harness_text(scene->harness, "%s.*/beam.smp.*%s.*/erl_child_setup",
                     folder, folder));
    assert_contains(beam_node_eval(scene->node, "os:getenv(\"BINDIR\")"),
                    folder);
    assert_eval(scene->node, "inet:gethostbyname(\"localhost\", inet) =/= ok",
                "true");
}

static void there_and_back(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.1.0");
    const char *one = with_other(scene, "counter-0.2.0", "one");
    const char *other = other_erts_version(scene->harness);
    const char *own = other_erts_own(scene->harness);
    start_supervised(scene, base);
    const char *before = beam_node_eval(scene->node, VERSION);
    const char *root = beam_node_eval(scene->node, "code:root_dir()");
    apply(scene, one);
    runs_on(scene, other, "/native/");
    assert_runs(scene, "0.2.0");
    assert_eval(scene->node, "code:root_dir()", root);
    scene_is_there(scene, one);
    /* Code over it is hot, and stays on it; nothing of it is written anew. */
    const char *inode = "stat -c %%i %s/../native/*/vm-*/erts-*/bin/beam.smp";
    inode = shell(scene, harness_text(scene->harness, inode, scene->journal));
    const char *more = scene_copy(scene, "counter-0.3.0", "more");
    shell(scene, harness_text(scene->harness,
                              "sed -i 's/^[^ ]*/%s/' "
                              "%s/releases/start_erl.data",
                              other, more));
    struct harness_run run = scene_nzd(scene, "apply", more);
    assert_status(run, 0);
    scene_is_there(scene, more);
    start_again(scene);
    runs_on(scene, other, "/native/");
    assert_runs(scene, "0.3.0");
    assert_string_equal(
        shell(scene, harness_text(scene->harness,
                                  "stat -c %%i %s/../native/*/vm-*/erts-*/"
                                  "bin/beam.smp",
                                  scene->journal)),
        inode);
    back(scene, "0");
    assert_eval(scene->node, VERSION, before);
    runs_on(scene, strtok((char *)(uintptr_t)before, "\""), own);
    assert_eval(scene->node, "os:getenv(\"NZD_BASE_ERTS\")", "false");
    scene_is_there(scene, base);
    back(scene, "1");
    runs_on(scene, other, "/native/");
    scene_is_there(scene, one);
    /* What was damaged on the disk is mended by the next boot. */
    shell(scene, harness_text(scene->harness,
                              "truncate -s 100 "
                              "%s/../native/*/vm-*/erts-*/bin/erlexec",
                              scene->journal));
    start_again(scene);
    runs_on(scene, other, "/native/");
    scene_settled(scene);
}

/* --- the scripts of releases ---------------------------------------------- */

#define SAYS                                                                   \
    "[erlang:system_info(version),os:getenv(\"BINDIR\"),"                      \
    "element(2,application:get_key(%s,vsn)),code:root_dir(),"                  \
    "os:getenv(\"NZD_START\"),init:get_plain_arguments()]"

/* What the VM writes that the script has started, in whose environment is what
 * another VM has handed on. */
static const char *said(struct scene *scene, const char *release,
                        const char *app, const char *verb, bool boot)
{
    struct harness *harness = scene->harness;
    const char *file = harness_path(harness, "said");
    const char *const script[] = {
        harness_text(harness, "%s/bin/%s", release, app), verb, NULL};
    const char *const environment[] = {
        harness_text(harness,
                     "ERL_ZFLAGS=-eval 'file:write_file(\"%s.new\","
                     "io_lib:format(\"~0tp\",[" SAYS "])),"
                     "file:rename(\"%s.new\",\"%s\"),erlang:halt(0).'",
                     file, app, file, file),
        harness_text(harness, "HOME=%s", harness_dir(harness)),
        "RELEASE_DISTRIBUTION=none",
        "ERL_CRASH_DUMP=/dev/null",
        "LC_ALL=C.UTF-8",
        NULL};
    harness_remove(harness, file);
    struct harness_run run = harness_run(
        harness,
        boot ? harness_concat(harness, booted_prefix(scene), script) : script,
        environment);
    const char *text = harness_read_file(harness, file);
    if (!text[0])
        harness_fail("%s: nothing\n%s%s", run.command, run.out, run.err);
    return text;
}

/* In force over the release, and its VM gone. */
static void commit(struct scene *scene, const char *base, const char *bundle)
{
    start_supervised(scene, base);
    apply(scene, bundle);
    beam_node_kill(scene->node);
    process_kill_marked(
        harness_text(scene->harness, "HOME=%s", harness_dir(scene->harness)));
    scene_config(scene, "boot {\n tries = 9\n healthy = 0\n}\n");
}

static void starts(struct scene *scene, const char *base, const char *app,
                   const char *verb, const char *words)
{
    const char *plain = said(scene, base, app, verb, false);
    const char *own = strstr(other_erts_own(scene->harness), "/erts-") + 6;
    assert_contains(plain, harness_text(scene->harness, "[\"%.*s\",",
                                        (int)strcspn(own, "/"), own));
    const char *booted = said(scene, base, app, verb, true);
    /* The version, the folder and the release differ; no word else. */
    assert_matches(booted,
                   harness_text(scene->harness,
                                "^\\[\"%s\",\"/.*/native/.*/erts-%s/bin\","
                                "\"0.2.0\",",
                                other_erts_version(scene->harness),
                                other_erts_version(scene->harness)));
    const char *rest = strstr(plain, "\"0.1.0\",") + 8;
    assert_contains(booted,
                    harness_text(scene->harness, "\"0.2.0\",%.*s,",
                                 (int)(strrchr(rest, ',') - rest), rest));
    assert_contains(booted, words);
}

static void script_of_rebar3(void **state)
{
    struct scene *scene = *state;
    const char *base = scene_copy(scene, "counter-0.1.0", "base");
    const char *one = with_other(scene, "counter-0.2.0", "one");
    commit(scene, base, one);
    /* The script wants a name there. */
    shell(scene, harness_text(scene->harness,
                              "printf -- '-sname launched\n-setcookie "
                              "launched\n' >%s/releases/0.1.0/vm.args",
                              base));
    starts(scene, base, "counter", "foreground", "false,[]]");
    /* It would have run_erl start another shell, which starts the base's. */
    struct harness_run run = harness_run(
        scene->harness,
        harness_concat(scene->harness, booted_prefix(scene),
                       (const char *const[]){
                           harness_text(scene->harness, "%s/bin/counter", base),
                           "daemon", NULL}),
        (const char *const[]){
            harness_text(scene->harness, "PIPE_DIR=%s/",
                         harness_path(scene->harness, "pipes")),
            NULL});
    assert_contains(
        run.err,
        "/bin/counter cannot start another ERTS than its own: as a daemon");
}

/* Both where `erl` is that of PATH, and where the base brings its own. */
static void script_of_mix(void **state)
{
    struct scene *scene = *state;
    const char *base = scene_copy(scene, "greeter-0.1.0", "base");
    commit(scene, base, with_other(scene, "greeter-0.2.0", "one"));
    starts(scene, base, "greeter", "start", "\"--no-halt\"");
    shell(scene,
          harness_text(
              scene->harness,
              "own=%s; root=%s; vsn=$(basename $(dirname $own))\n"
              "mkdir -p $root/$vsn; cp -r $own $root/$vsn/bin\n"
              "cat >$root/$vsn/bin/erl <<'END'\n"
              "#!/bin/sh\n"
              "BINDIR=\"$(cd \"$(dirname \"$0\")\" && pwd -P)\"\n"
              "ROOTDIR=\"${ERL_ROOTDIR:-\"$(dirname \"$(dirname "
              "\"$BINDIR\")\")\"}\"\n"
              "EMU=beam PROGNAME=erl\n"
              "export EMU ROOTDIR BINDIR PROGNAME\n"
              "exec \"$BINDIR/erlexec\" ${1+\"$@\"}\n"
              "END\n"
              "sed -i "
              "'s|^ERTS_BIN=$|ERTS_BIN=\"$SCRIPT_PATH\"/../../'$vsn'/bin/|' "
              "$root/releases/0.1.0/elixir\n"
              "for d in $own/../../lib/*; do [ -e $root/lib/${d##*/} ] || "
              "ln -s $d $root/lib/; done\n",
              other_erts_own(scene->harness), base));
    starts(scene, base, "greeter", "start", "\"--no-halt\"");
}

/* --- what is not taken -----------------------------------------------------
 */

/* The folders of other ERTS. */
static const char *laid_out(struct scene *scene)
{
    return shell(scene,
                 harness_text(scene->harness,
                              "ls -d %s/../native/*/vm-* 2>/dev/null || :",
                              scene->journal));
}

static void refused(struct scene *scene, const char *bundle, int status,
                    const char *why)
{
    struct harness_run run = scene_nzd(scene, "apply", MAX, bundle);
    assert_status(run, status);
    assert_matches(harness_text(scene->harness, "%s%s", run.err, run.out), why);
    assert_runs(scene, "0.1.0");
    if (status == 6)
        return;
    assert_string_equal(laid_out(scene), "");
}

/* A copy of the bundle after the commands in its folder of programs. */
static const char *spoilt(struct scene *scene, const char *bundle,
                          const char *commands)
{
    const char *to = harness_path(scene->harness, "spoilt");
    harness_remove(scene->harness, to);
    harness_copy(scene->harness, bundle, to);
    shell(scene,
          harness_text(scene->harness, "cd %s/erts-*/bin\n%s", to, commands));
    return to;
}

static void without_a_way(void **state)
{
    struct scene *scene = *state;
    const char *one = with_other(scene, "counter-0.2.0", "one");
    start(scene, fixture(scene, "counter-0.1.0"));
    refused(scene, one, 5,
            "restart-vm is over what nzd can restart here: erts .*\n"
            ".*nothing was touched\n.*the VM's process must start anew");
    refused(scene, spoilt(scene, one, "truncate -s 3000000 beam.smp"), 3,
            "erts-.*/bin/beam.smp: it ends before its last segment");
    refused(scene, spoilt(scene, one, "truncate -s 40 epmd"), 3,
            "erts-.*/bin/epmd: it ends in its headers");
    refused(scene,
            spoilt(scene, one,
                   "printf '\\363\\0' | dd of=beam.smp bs=1 seek=18 "
                   "conv=notrunc 2>&1"),
            5, "erts .* \\(the emulator is one for another machine\\)");
    refused(scene, spoilt(scene, one, "rm erlexec"), 5,
            "erts-.*/ lacks bin/erlexec");
}

/* Whole, for this machine, and of no use; the last one only shows in a boot. */
static void does_not_run(void **state)
{
    struct scene *scene = *state;
    const char *base = fixture(scene, "counter-0.1.0");
    const char *one = with_other(scene, "counter-0.2.0", "one");
    start_supervised(scene, base);
    refused(scene, spoilt(scene, one, "cp /bin/true beam.smp"), 5,
            "erts-.* does not run on this host: it says nothing");
    refused(scene,
            spoilt(scene, one,
                   "sed -i 's|/lib64/ld-linux|/lib64/xx-linux|; "
                   "s|/lib/ld-linux|/lib/xx-linux|' beam.smp"),
            5, "erts-.* does not run on this host: ");
    refused(scene,
            spoilt(scene, one, "sed -i 's|/ld-linux|/xx-linux|' erlexec"), 5,
            "erts-.* does not run on this host: No such file or directory");
    refused(scene, spoilt(scene, one, "cp /bin/false erl_child_setup"), 6,
            "rolled back 4: counter 0.1.0 runs");
    scene_is_there(scene, base);
    start_again(scene);
    scene_is_there(scene, base);
    assert_string_equal(laid_out(scene), "");
}

int main(void)
{
#define of(test)                                                               \
    cmocka_unit_test_setup_teardown(test, booted_set_up, scene_teardown)
    const struct CMUnitTest tests[] = {
        of(there_and_back), of(script_of_rebar3), of(script_of_mix),
        of(without_a_way),  of(does_not_run),
    };
    return cmocka_run_group_tests_name("erts", tests, NULL, NULL);
}
