/* SPDX-License-Identifier: Apache-2.0 */
#include "supervised.h"

static const char *pid_file(struct scene *scene)
{
    return harness_path(scene->harness, "vm.pid");
}

static const char *const *supervised(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char *loop = scene_script(scene, "supervise",
                                    "while :; do\n \"$@\" &\n echo $! >vm.new; "
                                    "mv vm.new %s\n wait $!\ndone\n",
                                    pid_file(scene));
    const char *const words[] = {loop,          nzd[0],         "boot",
                                 "--journal",   scene->journal, "--config",
                                 scene->config, "--",           NULL};
    static const char *const none[] = {NULL};
    return harness_concat(harness, words, none);
}

void supervised_start(struct scene *scene, const char *boot, const char *more)
{
    struct beam_node_options options = {
        .release = scene_bundle(scene, "0.1.0"),
        .name = "counter",
        .prefix = supervised(scene),
    };
    scene_config(
        scene, "%srestart {\n command = {\"%s\"}\n timeout = 40s\n}\n%s", boot,
        scene_script(scene, "restart", "kill -9 $(cat %s)\n", pid_file(scene)),
        more);
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

pid_t supervised_pid(struct scene *scene)
{
    return scene_wait_pid(scene, "vm.pid");
}
