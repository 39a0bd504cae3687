/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 15000

struct scene *scene_open(void)
{
    struct harness *harness = harness_open();
    struct scene *scene = harness_alloc(harness, sizeof *scene);
    scene->harness = harness;
    scene->journal = harness_journal(harness);
    scene->config = harness_path(harness, "nzd.conf");
    scene_config(scene, "%s", "");
    return scene;
}

int scene_setup(void **state)
{
    struct scene *scene = scene_open();
    *state = scene;
    scene_start(scene, &(struct beam_node_options){.name = "counter"});
    return 0;
}

int scene_teardown(void **state)
{
    struct scene *scene = *state;
    harness_close(scene->harness);
    return 0;
}

void scene_start(struct scene *scene, const struct beam_node_options *options)
{
    struct beam_node_options all = *options;
    all.release = scene_bundle(scene, "0.1.0");
    scene->node = beam_node_start(scene->harness, &all);
}

void scene_load_hooks(struct scene *scene)
{
    const char *given = getenv("NZD_TEST_BEAM");
    char absolute[4096];
    if (!realpath(given ? given : "build/tests/beam", absolute))
        harness_fail("the tests' BEAM modules are not built: make tests");
    beam_node_eval(scene->node,
                   "{module, _} = code:load_abs(\"%s/nzd_test_hook\")",
                   absolute);
}

/* --- files --- */

static void write_text(const char *path, const char *before, const char *format,
                       va_list list)
{
    char *text;
    FILE *file = fopen(path, "w");
    if (!file || vasprintf(&text, format, list) < 0)
        harness_fail("%s: %s", path, strerror(errno));
    if (fprintf(file, "%s%s", before, text) < 0 || fclose(file) != 0)
        harness_fail("write %s: %s", path, strerror(errno));
    free(text);
}

void scene_config(struct scene *scene, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    write_text(scene->config, "", format, list);
    va_end(list);
}

const char *scene_script(struct scene *scene, const char *name,
                         const char *format, ...)
{
    const char *path = harness_path(scene->harness, "%s", name);
    char before[256];
    va_list list;
    snprintf(before, sizeof before, "#!/bin/sh\ncd %s || exit 99\n",
             harness_dir(scene->harness));
    va_start(list, format);
    write_text(path, before, format, list);
    va_end(list);
    chmod(path, 0700);
    return path;
}

struct harness_run scene_shell(struct scene *scene, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    return harness_run(scene->harness, argv, NULL);
}

void scene_must(struct scene *scene, const char *script)
{
    struct harness_run run = scene_shell(scene, script);
    assert_status(run, 0);
}

void scene_commit(struct scene *scene, const char *version, unsigned id)
{
    struct harness_run run = scene_apply(scene, version);
    assert_status(run, 0);
    assert_contains(run.out, harness_text(scene->harness, "committed %u:", id));
    scene_wait_removed(scene);
    assert_runs(scene, version);
}

struct harness_job *scene_begin_until_post(struct scene *scene,
                                           const char *bundle)
{
    harness_remove(scene->harness, harness_path(scene->harness, "began"));
    scene_config(scene, SCENE_PROGRAM("wait", "post", "10m"),
                 scene_script(scene, "wait", "echo x >%s/began\nsleep 60\n",
                              harness_dir(scene->harness)));
    struct harness_job *job = scene_begin(scene, "apply", "--retry", bundle);
    scene_wait_file(scene, "began");
    return job;
}

void scene_kill(struct scene *scene, struct harness_job *job)
{
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, 5000);
    scene_config(scene, "%s", "");
}

const char *scene_wait_file(struct scene *scene, const char *name)
{
    const char *path = harness_path(scene->harness, "%s", name);
    double until = process_now_ms() + WAIT_MS;
    for (;;) {
        const char *text = harness_read_file(scene->harness, path);
        if (text[0] && text[strlen(text) - 1] == '\n')
            return text;
        if (process_now_ms() > until)
            harness_fail("%s was not written", path);
        process_sleep_ms(5);
    }
}

pid_t scene_wait_pid(struct scene *scene, const char *name)
{
    pid_t pid = (pid_t)strtol(scene_wait_file(scene, name), NULL, 10);
    if (pid <= 1)
        harness_fail("%s holds no pid", name);
    return pid;
}

bool scene_is_gone(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    const char *end = strrchr(line, ')');
    return !end || end[2] == 'Z';
}

/* --- nzd --- */

const char *scene_copy(struct scene *scene, const char *release,
                       const char *name)
{
    const char *to = harness_path(scene->harness, "%s", name);
    harness_copy(scene->harness, harness_fixture(scene->harness, release), to);
    return to;
}

const char *scene_bundle(struct scene *scene, const char *version)
{
    return harness_fixture(scene->harness,
                           harness_text(scene->harness, "counter-%s", version));
}

const char *const *scene_argv(struct scene *scene, const char *const *argv)
{
    const char **more = harness_alloc(scene->harness, 5 * sizeof *more);
    more[0] = "--config";
    more[1] = scene->config;
    more[2] = "--journal";
    more[3] = scene->journal;
    return harness_concat(scene->harness, argv, more);
}

struct harness_run scene_run(struct scene *scene, const char *const *argv)
{
    return harness_run(scene->harness, scene_argv(scene, argv), NULL);
}

struct harness_run scene_apply(struct scene *scene, const char *version)
{
    return scene_nzd(scene, "apply", scene_bundle(scene, version));
}

/* --- what is --- */

/* Of all modules of counter: those whose md5 in memory is not that of the
 * release's file, those that are missing, those that are too many. */
const char *scene_differing(struct scene *scene, const char *version)
{
    return harness_text(
        scene->harness,
        "begin "
        "Files = filelib:wildcard(\"%s/lib/counter-*/ebin/*.beam\"), "
        "Wanted = lists:sort([{M, D} || F <- Files, "
        "{ok, {M, D}} <- [beam_lib:md5(F)]]), "
        "Names = [counter_legacy, counter_rate, counter_text, counter_http, "
        "counter_srv, counter_sup, counter_app, counter_check, counter_feed], "
        "Found = lists:sort([{M, M:module_info(md5)} || M <- Names, "
        "erlang:module_loaded(M)]), "
        "{length(Wanted) > 5, Wanted -- Found, Found -- Wanted} end",
        scene_bundle(scene, version));
}

void scene_check_runs(struct scene *scene, const char *version,
                      const char *file, int line)
{
    struct beam_node *node = scene->node;
    /* What was removed may take a moment to go. */
    beam_node_wait_for(node, scene_differing(scene, version), "{true,[],[]}",
                       5000);
    beam_node_check(node, "element(1, counter_srv:call())",
                    harness_text(scene->harness, "\"%s\"", version), file,
                    line);
    beam_node_wait_unsuspended(node);
}

void scene_wait_removed(struct scene *scene)
{
    beam_node_wait_for(scene->node, "erlang:module_loaded(counter_legacy)",
                       "false", 5000);
}

const char *scene_record(struct scene *scene, unsigned id, const char *state)
{
    struct harness_run run =
        scene_nzd(scene, "journal", "show",
                  harness_text(scene->harness, "%u", id), "--json");
    assert_status(run, 0);
    assert_contains(run.out, harness_text(scene->harness, "\"txn\":%u,", id));
    assert_contains(run.out,
                    harness_text(scene->harness, "\"state\":\"%s\"", state));
    return run.out;
}

void scene_settled(struct scene *scene)
{
    struct harness_run run = scene_nzd(scene, "status", "--check");
    assert_status(run, 0);
    run = scene_nzd(scene, "journal", "verify");
    assert_status(run, 0);
    assert_contains(run.out, "is whole");
}

void assert_journal(const struct harness_run *run, const char *why)
{
    harness_check_status(run, 8, __FILE__, __LINE__);
    assert_contains(run->err, why);
    assert_lacks(run->out, "committed");
}

void scene_is_there(struct scene *scene, const char *bundle)
{
    struct harness_run run = scene_nzd(scene, "plan", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: nothing");
    scene_settled(scene);
}
