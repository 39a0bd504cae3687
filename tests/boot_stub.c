/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char script[] =
    "#!/bin/sh\n"
    "echo \"booted ${NZD_BOOT-nothing}\"\n"
    "for word; do echo \"word $word\"; done\n"
    "[ -z \"$STUB_STAYS\" ] || exec sleep $STUB_STAYS\n"
    "[ -n \"$STUB_TELLS\" ] || exit 0\n"
    "echo traits\n"
    "grep Sig /proc/$$/status | grep -v SigQ\n"
    "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done\n"
    "env -u NZD_BOOT | sort\n";

/* Text that a shell prints. */
static const char *shell(struct harness *harness, const char *text)
{
    const char *const argv[] = {"sh", "-c", text, NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    return run.out;
}

static const char *make_program(struct harness *harness)
{
    const char *folder = shell(
        harness,
        harness_text(harness,
                     "set -e\n"
                     "root=$(erl -noshell -eval 'io:format(\"~s/erts-~s\", "
                     "[code:root_dir(), erlang:system_info(version)]), "
                     "halt().')\n"
                     "mkdir -p %s/${root##*/}/bin\n"
                     "cd %s/${root##*/}/bin\n"
                     "ln -s $root/bin/beam.smp .\n"
                     "printf %%s \"$PWD\"",
                     harness_path(harness, "stub"),
                     harness_path(harness, "stub")));
    const char *program = harness_text(harness, "%s/erlexec", folder);
    harness_write_file(program, script);
    assert_int_equal(chmod(program, 0755), 0);
    return program;
}

struct boot_stub *boot_stub_make(struct harness *harness, const char *release)
{
    struct boot_stub *stub = harness_alloc(harness, sizeof *stub);
    const char **words = harness_alloc(harness, 8 * sizeof *words);
    stub->harness = harness;
    stub->journal = harness_journal(harness);
    stub->config = harness_path(harness, "boot.conf");
    harness_write_file(stub->config, "boot {\n tries = 100\n healthy = 0\n}\n");
    words[0] = make_program(harness);
    words[1] = "-noinput";
    words[2] = "-boot";
    words[3] = harness_text(harness, "%s/releases/0.1.0/start", release);
    words[4] = "-extra";
    words[5] = "one word";
    stub->command = words;
    return stub;
}

const char *const *boot_stub_argv(struct boot_stub *stub, const char *nzd)
{
    const char *const words[] = {nzd,           "boot",     "--journal",
                                 stub->journal, "--config", stub->config,
                                 "--",          NULL};
    return harness_concat(stub->harness, words, stub->command);
}

/* --- a run --------------------------------------------------------------- */

static const char *line_from(struct harness *harness, const char *at)
{
    return harness_text(harness, "%.*s", (int)strcspn(at, "\n"), at);
}

static const char *words_of(struct boot_stub *stub)
{
    const char *text = "";
    for (int i = 1; stub->command[i]; i++)
        text =
            harness_text(stub->harness, "%sword %s\n", text, stub->command[i]);
    return text;
}

static void read_start(struct boot_stub *stub, const char *out,
                       struct boot_stub_run *to)
{
    static const char boot[] = "word -boot\nword ", end[] = "/current/start";
    const char *words = strchr(out, '\n');
    const char *given = words_of(stub);
    to->generation = line_from(stub->harness, out + strlen("booted "));
    words = words ? words + 1 : "";
    to->as_given = strcmp(words, given) == 0;
    if (strncmp(words, boot, strlen(boot)) != 0)
        return;
    const char *name = line_from(stub->harness, words + strlen(boot));
    const char *rest = words + strlen(boot) + strlen(name);
    size_t size = strlen(name);
    to->overlay = strcmp(rest + (*rest == '\n'), given) == 0 &&
                  strstr(name, "/nzd/overlay/") && size > strlen(end) &&
                  strcmp(name + size - strlen(end), end) == 0;
    to->root =
        harness_text(stub->harness, "%.*s", (int)(size - strlen(end)), name);
}

struct boot_stub_run boot_stub_start(struct boot_stub *stub,
                                     const char *const *argv,
                                     const char *const *environment,
                                     int limit_ms)
{
    struct boot_stub_run run = {.generation = "", .root = ""};
    struct harness_job *job = harness_begin(stub->harness, argv, environment);
    run.run = harness_end(stub->harness, job, limit_ms);
    for (const char *at = run.run.out; (at = strstr(at, "booted ")); at++) {
        run.times++;
        read_start(stub, at, &run);
    }
    return run;
}

/* --- the overlay --------------------------------------------------------- */

static const char *manifest(struct boot_stub *stub, const char *root)
{
    return shell(stub->harness,
                 harness_text(stub->harness,
                              "cd %s/current/ && { find . -type f -exec md5sum "
                              "{} +; find . -type l -printf '%%p %%l\\n'; } | "
                              "sort",
                              root));
}

bool boot_stub_is_whole(struct boot_stub *stub, const char *root)
{
    return strcmp(manifest(stub, root), stub->whole) == 0;
}

void boot_stub_learn(struct boot_stub *stub, const struct boot_stub_run *run,
                     const char *bundle)
{
    struct harness *harness = stub->harness;
    assert_true(run->overlay);
    assert_string_equal(run->generation, "1");
    const char *compared = shell(
        harness,
        harness_text(harness,
                     "cd %s/current/lib/*/ebin || exit 1\n"
                     "theirs=$(ls -d %s/lib/${PWD#*/lib/})\n"
                     "[ \"$(ls *.beam)\" = \"$(cd $theirs && ls *.beam)\" ] || "
                     "exit 1\n"
                     "for file in $(find . -name '*.beam' -type f); do\n"
                     "  cmp $file $theirs/$file >&2 || exit 1\n"
                     "  echo $file\n"
                     "done",
                     run->root, bundle));
    assert_contains(compared, "counter_text.beam");
    stub->whole = manifest(stub, run->root);
}

void boot_stub_check(struct boot_stub *stub, const struct boot_stub_run *run,
                     int limit_ms, const char *after)
{
    const char *wrong = NULL;
    if (run->run.timed_out || run->run.ms > limit_ms)
        wrong = "it took too long";
    else if (run->times != 1 || run->run.status != 0)
        wrong = "the command was not started once";
    else if (run->as_given ? strcmp(run->generation, "0") != 0
                           : !run->overlay || strcmp(run->generation, "1") != 0)
        wrong = "it was started in another way";
    else if (run->overlay && !boot_stub_is_whole(stub, run->root))
        wrong = "the overlay is not whole";
    if (wrong)
        harness_fail("after %s: %s (%.0f ms)\n%s%s", after, wrong, run->run.ms,
                     run->run.out, run->run.err);
}
