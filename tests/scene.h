/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_SCENE_H
#define NZD_TESTS_SCENE_H

/*
 * A node that runs counter 0.1.0, a journal, and a configuration with hooks:
 * where most tests of the whole program begin. And the questions they end
 * with: what runs, what the journal says, whether all is settled.
 */

#include "beam_node.h"

struct scene {
    struct harness *harness;
    struct beam_node *node;
    const char *journal; /* of each nzd; a test may name another */
    const char *config;  /* empty until scene_config() */
};

/* A scene without a node, in a harness of its own, which scene_teardown() of it
 * as *state closes. */
struct scene *scene_open(void);
/* For cmocka: *state is a scene whose node is up. */
int scene_setup(void **state);
int scene_teardown(void **state);
/* The node again, after it was stopped or killed, with other options. */
void scene_start(struct scene *scene, const struct beam_node_options *options);
/* Loads nzd_test_hook into the node. */
void scene_load_hooks(struct scene *scene);

void scene_config(struct scene *scene, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A shell script in the harness' folder; its path. */
const char *scene_script(struct scene *scene, const char *name,
                         const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Texts of a configuration. */
#define SCENE_CALL(name, phase, call, args)                                    \
    "hook \"" name "\" {\n phase = " phase "\n call = \"" call                 \
    "\"\n args = {" args "}\n timeout = 5s\n}\n"
#define SCENE_PROGRAM(name, phase, timeout)                                    \
    "hook \"" name "\" {\n phase = " phase "\n command = {\"%s\"}\n timeout "  \
    "= " timeout "\n}\n"

/* A copy of this fixture, to be changed. */
const char *scene_copy(struct scene *scene, const char *release,
                       const char *name);
/* The folder of counter's release. */
const char *scene_bundle(struct scene *scene, const char *version);
/* What harness_nzd() does, with the scene's configuration and journal. */
#define scene_nzd(scene, ...)                                                  \
    scene_run((scene), harness_argv((scene)->harness, (scene)->node,           \
                                    __VA_ARGS__, NULL))
#define scene_begin(scene, ...)                                                \
    harness_begin(                                                             \
        (scene)->harness,                                                      \
        scene_argv((scene), harness_argv((scene)->harness, (scene)->node,      \
                                         __VA_ARGS__, NULL)),                  \
        NULL)
struct harness_run scene_run(struct scene *scene, const char *const *argv);
const char *const *scene_argv(struct scene *scene, const char *const *argv);
/* `nzd apply` of this version of counter. */
struct harness_run scene_apply(struct scene *scene, const char *version);
/* The same, committed as transaction `id`. */
void scene_commit(struct scene *scene, const char *version, unsigned id);
/* A script; and one that succeeds. */
struct harness_run scene_shell(struct scene *scene, const char *script);
void scene_must(struct scene *scene, const char *script);

/* Begins `nzd apply --retry`; returns when it is in its post hook, which goes
 * on for longer than any test. */
struct harness_job *scene_begin_until_post(struct scene *scene,
                                           const char *bundle);
/* With SIGKILL; the configuration has no hooks behind that. */
void scene_kill(struct scene *scene, struct harness_job *job);

/* Waits until the file is there and not empty; its text. */
const char *scene_wait_file(struct scene *scene, const char *name);
/* The number in it. */
pid_t scene_wait_pid(struct scene *scene, const char *name);
/* Ended, though whoever inherited it may not have reaped it yet. */
bool scene_is_gone(pid_t pid);

/* The node runs exactly this version, and no process of it is suspended. */
#define assert_runs(scene, version)                                            \
    scene_check_runs((scene), (version), __FILE__, __LINE__)
void scene_check_runs(struct scene *scene, const char *version,
                      const char *file, int line);
/* An expression that is {true,[],[]} where the modules of counter in memory are
 * this version's: all of them, and no others. */
const char *scene_differing(struct scene *scene, const char *version);
/* A removed module goes behind the commit: waits until counter_legacy has. */
void scene_wait_removed(struct scene *scene);
/* `journal show N --json` has this state; returns the JSON. */
const char *scene_record(struct scene *scene, unsigned id, const char *state);
/* It ended because of the journal, and says why. */
void assert_journal(const struct harness_run *run, const char *why);
/* `status --check` finds nothing, and the journal is whole. */
void scene_settled(struct scene *scene);
/* A plan towards the bundle finds nothing, and that. */
void scene_is_there(struct scene *scene, const char *bundle);

#endif
