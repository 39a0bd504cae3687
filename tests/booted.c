/* SPDX-License-Identifier: Apache-2.0 */
#include "booted.h"

const char *const *booted_prefix(struct scene *scene)
{
    struct harness *harness = scene->harness;
    const char *const *nzd = harness_argv(harness, NULL, NULL);
    const char **words = harness_alloc(harness, 8 * sizeof *words);
    words[0] = nzd[0];
    words[1] = "boot";
    words[2] = "--journal";
    words[3] = scene->journal;
    words[4] = "--config";
    words[5] = scene->config;
    words[6] = "--";
    return words;
}

void booted_start(struct scene *scene)
{
    struct beam_node_options options = {
        .release = scene_bundle(scene, "0.1.0"),
        .name = "counter",
        .prefix = booted_prefix(scene),
    };
    beam_node_kill(scene->node);
    scene_start(scene, &options);
}

void booted_reboot(struct scene *scene)
{
    beam_node_kill(scene->node);
    beam_node_start_again(scene->node);
}
