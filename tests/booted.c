/* SPDX-License-Identifier: Apache-2.0 */
#include "booted.h"

#include "fuse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

int booted_set_up(void **state)
{
    struct scene *scene = scene_open();
    scene_config(scene, "boot {\n tries = 2\n healthy = 0\n}\n");
    *state = scene;
    return 0;
}

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

void booted_on_mute_disk(struct scene *scene)
{
    static const struct fuse_folder folder = {.mute = true};
    if (fuse_lacks()) {
        print_message("no disk can hang here: %s\n", fuse_lacks());
        skip();
    }
    scene_config(scene, "%s", "boot {\n timeout = 1s\n}\n");
    scene->journal = harness_text(scene->harness, "%s/journal",
                                  fuse_mount(scene->harness, &folder));
}
