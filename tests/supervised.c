/* SPDX-License-Identifier: Apache-2.0 */
#include "supervised.h"

#include <sys/stat.h>

static const char *pid_file(struct harness *harness)
{
    return harness_path(harness, "vm.pid");
}

const char *const *supervised_words(struct harness *harness, const char *nzd,
                                    const char *journal, const char *config)
{
    const char *loop = harness_path(harness, "supervise");
    const char *pid = pid_file(harness);
    const char *const words[] = {"sh",        loop,    nzd,        "boot",
                                 "--journal", journal, "--config", config,
                                 "--",        NULL};
    static const char *const none[] = {NULL};
    harness_write_file(loop,
                       harness_text(harness,
                                    "while :; do\n \"$@\" &\n echo $! >%s.new; "
                                    "mv %s.new %s\n wait $!\ndone\n",
                                    pid, pid, pid));
    return harness_concat(harness, words, none);
}

const char *supervised_restart(struct harness *harness)
{
    const char *end = harness_path(harness, "restart");
    harness_write_file(end,
                       harness_text(harness, "#!/bin/sh\nkill -9 $(cat %s)\n",
                                    pid_file(harness)));
    if (chmod(end, 0700) != 0)
        harness_fail("%s cannot be made a program", end);
    return harness_text(harness, "\"%s\"", end);
}

void supervised_start(struct scene *scene, const char *boot, const char *more)
{
    struct harness *harness = scene->harness;
    const char *nzd = harness_argv(harness, NULL, NULL)[0];
    struct beam_node_options options = {
        .release = scene_bundle(scene, "0.1.0"),
        .name = "counter",
        .prefix = supervised_words(harness, nzd, scene->journal, scene->config),
    };
    scene_config(scene, "%srestart {\n command = {%s}\n timeout = 40s\n}\n%s",
                 boot, supervised_restart(harness), more);
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

pid_t supervised_pid(struct scene *scene)
{
    return scene_wait_pid(scene, "vm.pid");
}
