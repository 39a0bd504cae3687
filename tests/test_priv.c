/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Files of priv that change in a running node, on one node for all: there,
 * back, and back from each place where it can break off. */

struct files {
    struct scene *scene;
    const char *base;
    const char *next;  /* data files alone */
    const char *later; /* of `next`, once more */
    const char *used;  /* the library, and a program that runs */
};

static void sh(struct files *files, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(files->scene->harness, argv, NULL);
    assert_status(run, 0);
}

static const char *copy(struct files *files, const char *from, const char *name,
                        const char *script)
{
    struct harness *harness = files->scene->harness;
    const char *to = harness_path(harness, "%s", name);
    harness_copy(harness, from, to);
    sh(files,
       harness_text(harness, "beam=$NZD_TEST_BEAM\ncd %s/lib/counter-0.2.0\n%s",
                    to, script));
    return to;
}

/* It gives its own version away: what a hook sees. */
static const char version[] =
    "-module(nzd_test_files).\n"
    "-export([see/0]).\n"
    "see() ->\n"
    "    Seen = persistent_term:get(seen, []),\n"
    "    {ok, Text} = file:read_file(filename:join(code:priv_dir(counter),"
    " \"motd.txt\")),\n"
    "    persistent_term:put(seen, Seen ++ [Text]),\n"
    "    ok.\n";

static int setup(void **state)
{
    struct scene *scene = scene_open();
    struct harness *harness = scene->harness;
    struct files *files = harness_alloc(harness, sizeof *files);
    files->scene = scene;
    files->base =
        copy(files, harness_fixture(harness, "counter-0.2.0"), "base",
             "cp $beam/nzd_test_nif.beam ebin\n"
             "mkdir -p priv/lib priv/bin priv/static\n"
             "cp $beam/nzd_test_nif.so priv/lib\n"
             "cp $beam/nzd_test_nif.so priv/lib/spare.so\n"
             "printf '#!/bin/sh\\nread X\\n' >priv/bin/tool\n"
             "printf '#!/bin/sh\\necho 1\\n' >priv/bin/other\n"
             "chmod +x priv/bin/*\n"
             "echo old >priv/motd.txt; echo gone >priv/gone.txt\n"
             "echo same >priv/static/same.txt\n"
             "sed -i 's/counter_text\\([],]\\)/counter_text,nzd_test_nif\\1/' "
             "ebin/counter.app\n");
    files->next = copy(files, files->base, "next",
                       "echo new >priv/motd.txt; rm priv/gone.txt\n"
                       "mkdir priv/deep; echo added >priv/deep/added.txt\n"
                       "printf '#!/bin/sh\\necho 2\\n' >priv/bin/other\n"
                       "printf x >>priv/lib/spare.so\n");
    files->later =
        copy(files, files->next, "later", "echo later >priv/motd.txt\n");
    files->used = copy(files, files->base, "used",
                       "printf x >>priv/lib/nzd_test_nif.so\n"
                       "echo '# 2' >>priv/bin/tool\n"
                       "echo new >priv/motd.txt\n");
    scene->node = beam_node_start(
        harness,
        &(struct beam_node_options){.release = files->base, .name = "priv"});
    scene_load_hooks(scene);
    const char *source = harness_path(harness, "nzd_test_files.erl");
    harness_write_file(source, version);
    sh(files,
       harness_text(harness, "erlc -o %s %s", harness_dir(harness), source));
    beam_node_eval(scene->node, "code:load_abs(\"%s/nzd_test_files\")",
                   harness_dir(harness));
    beam_node_eval(scene->node, "code:load_file(nzd_test_nif)");
    assert_eval(scene->node, "nzd_test_nif:value()", "42");
    *state = files;
    return 0;
}

static int teardown(void **state)
{
    struct files *files = *state;
    harness_close(files->scene->harness);
    return 0;
}

static int fresh(void **state)
{
    struct files *files = *state;
    scene_config(files->scene, "%s", "");
    beam_node_eval(files->scene->node, "persistent_term:erase(seen)");
    return 0;
}

/* --- what is there ------------------------------------------------------- */

static const char *eval(struct files *files, const char *text)
{
    return beam_node_eval(files->scene->node, "%s", text);
}

static const char tree[] =
    "begin D = code:priv_dir(counter), [{F, element(2, "
    "file:read_file(filename:join(D, F)))} || F <- [\"motd.txt\", "
    "\"gone.txt\", \"static/same.txt\", \"deep/added.txt\"]] end";

#define TREE(motd, gone, added)                                                \
    "[{\"motd.txt\",<<\"" motd "\\n\">>},{\"gone.txt\"," gone                  \
    "},{\"static/same.txt\",<<\"same\\n\">>},{\"deep/added.txt\"," added "}]"
#define OLD_TREE   TREE("old", "<<\"gone\\n\">>", "enoent")
#define NEXT_TREE  TREE("new", "enoent", "<<\"added\\n\">>")
#define LATER_TREE TREE("later", "enoent", "<<\"added\\n\">>")

static const char path[] = "code:get_path()";

static struct harness_run apply(struct files *files, const char *bundle)
{
    return scene_nzd(files->scene, "apply", "--retry", bundle);
}

static void goes(struct files *files, const char *bundle)
{
    struct harness_run run = apply(files, bundle);
    assert_status(run, 0);
    scene_settled(files->scene);
}

static void goes_back(struct files *files)
{
    struct harness_run run = scene_nzd(files->scene, "rollback", "--to", "0");
    assert_status(run, 0);
    scene_settled(files->scene);
    assert_eval(files->scene->node, tree, OLD_TREE);
}

/* --- there and back ------------------------------------------------------ */

static void the_plan_names_the_files(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    struct harness_run run = scene_nzd(files->scene, "plan", files->next);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: hot");
    assert_matches(run.out, "^  hot +counter priv .* priv/motd.txt$");
    assert_contains(run.out, "priv/gone.txt");
    assert_contains(run.out, "priv/deep/added.txt");
    assert_contains(run.out, "priv/bin/other, for its next start");
    /* A library, but not one that is loaded. */
    assert_matches(run.out, "^  hot +counter priv .* priv/lib/spare.so");
    assert_contains(run.out, "who has one open");
    assert_string_equal(eval(files, path), before);
}

static void there_and_back(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    eval(files, "persistent_term:put(was, code:priv_dir(counter)), "
                "persistent_term:put(open, spawn(fun() -> {ok, F} = "
                "file:open(filename:join(code:priv_dir(counter), "
                "\"motd.txt\"), [read, binary]), receive From -> From ! "
                "{it, file:read(F, 9)} end end))");
    scene_config(files->scene, "%s",
                 SCENE_CALL("see", "post", "nzd_test_files:see", ""));
    goes(files, files->next);
    assert_eval(files->scene->node, tree, NEXT_TREE);
    assert_eval(files->scene->node, "persistent_term:get(seen)",
                "[<<\"new\\n\">>]");
    assert_eval(files->scene->node,
                "os:cmd(filename:join(code:priv_dir(counter), \"bin/other\"))",
                "\"2\\n\"");
    /* A file that was open, and a path that was kept. */
    assert_eval(files->scene->node,
                "{begin persistent_term:get(open) ! self(), receive {it, It} "
                "-> It end end, "
                "file:read_file(filename:join(persistent_term:get(was), "
                "\"motd.txt\"))}",
                "{{ok,<<\"old\\n\">>},{ok,<<\"old\\n\">>}}");
    struct harness_run run =
        scene_nzd(files->scene, "journal", "show", "1", "--json");
    assert_contains(run.out, "/priv/counter/deep/added.txt");
    run = apply(files, files->next);
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");

    /* The generation before stays readable, too. */
    eval(files, "persistent_term:put(was, code:priv_dir(counter))");
    goes(files, files->later);
    assert_eval(files->scene->node, tree, LATER_TREE);
    assert_eval(files->scene->node,
                "file:read_file(filename:join(persistent_term:get(was), "
                "\"motd.txt\"))",
                "{ok,<<\"new\\n\">>}");
    run = scene_nzd(files->scene, "rollback");
    assert_status(run, 0);
    assert_eval(files->scene->node, tree, NEXT_TREE);
    goes_back(files);
    assert_string_equal(eval(files, path), before);
}

/* --- what is in use ------------------------------------------------------ */

/* False while it does. */
static const char running[] = "nomatch =:= string:find(os:cmd(\"cat "
                              "/proc/[0-9]*/cmdline\"), \"priv/bin/\" "
                              "\"tool\")";

static void what_is_in_use(void **state)
{
    struct files *files = *state;
    eval(files,
         "persistent_term:put(port, spawn(fun() -> "
         "open_port({spawn_executable, filename:join(code:priv_dir(counter), "
         "\"bin/tool\")}, []), timer:sleep(infinity) end))");
    beam_node_wait_for(files->scene->node, running, "false", 5000);
    struct harness_run run = scene_nzd(files->scene, "plan", files->used);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: restart-vm, by a restart in place");
    assert_matches(run.out, "^  restart-vm +counter priv .*"
                            "priv/lib/nzd_test_nif.so, which the VM has "
                            "loaded$");
    assert_matches(run.out, "^  restart-vm +counter priv .*priv/bin/tool, "
                            "which runs now, as process [0-9]+$");
    assert_matches(run.out, "^  hot +counter priv .*priv/motd.txt$");
    run = apply(files, files->used);
    assert_status(run, 5);
    assert_eval(files->scene->node, tree, OLD_TREE);
    eval(files, "exit(persistent_term:get(port), kill)");
    beam_node_wait_for(files->scene->node, running, "true", 5000);
    run = scene_nzd(files->scene, "plan", files->used);
    assert_contains(run.out, "priv/bin/tool, for its next start");
}

/* --- broken off ---------------------------------------------------------- */

static void recovers(struct files *files, const char *before, const char *was)
{
    struct harness_run run = scene_nzd(files->scene, "recover");
    assert_status(run, 0);
    assert_string_equal(eval(files, path), before);
    assert_eval(files->scene->node, tree, was);
    scene_settled(files->scene);
}

static void a_hook_says_no(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    scene_config(files->scene, SCENE_PROGRAM("no", "post", "10s"),
                 scene_script(files->scene, "no", "exit 3\n"));
    struct harness_run run = apply(files, files->next);
    assert_status(run, 6);
    assert_string_equal(eval(files, path), before);
    assert_eval(files->scene->node, tree, OLD_TREE);
    scene_settled(files->scene);
}

static void nzd_is_killed(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    struct harness_job *job = scene_begin_until_post(files->scene, files->next);
    assert_eval(files->scene->node, tree, NEXT_TREE);
    scene_kill(files->scene, job);
    beam_node_wait_for(files->scene->node, tree, OLD_TREE, 5000);
    recovers(files, before, OLD_TREE);
}

/* Its guard starts it again, and it undoes. */
static void the_agent_is_killed(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    struct harness_job *job = scene_begin_until_post(files->scene, files->next);
    eval(files, "spawn(nzd_test_hook, kill_agent, [])");
    beam_node_wait_for(files->scene->node, tree, OLD_TREE, 5000);
    scene_kill(files->scene, job);
    recovers(files, before, OLD_TREE);
}

/* Nobody in the node remembers. What somebody has added to the path meanwhile
 * is left to him. Once over the base, once over a generation. */
static void everybody_is_killed(void **state)
{
    struct files *files = *state;
    for (int round = 0; round < 2; round++) {
        const char *was = round ? NEXT_TREE : OLD_TREE;
        const char *before = eval(files, path);
        struct harness_job *job = scene_begin_until_post(
            files->scene, round ? files->later : files->next);
        assert_string_not_equal(eval(files, path), before);
        eval(files, "true = code:add_pathz(\"/tmp\")");
        eval(files, "spawn(nzd_test_hook, kill_agent_and_guard, [])");
        beam_node_wait_for(files->scene->node, "whereis(nzd)", "undefined",
                           5000);
        scene_kill(files->scene, job);
        struct harness_run run = scene_nzd(files->scene, "recover");
        assert_status(run, 0);
        assert_eval(files->scene->node, "lists:last(code:get_path())",
                    "\"/tmp\"");
        eval(files, "code:del_path(\"/tmp\")");
        recovers(files, before, was);
        if (!round)
            goes(files, files->next);
    }
    goes_back(files);
}

/* There is something that cannot be removed where it is to lie. */
static void it_cannot_be_laid_out(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    scene_config(files->scene, SCENE_PROGRAM("full", "pre", "10s"),
                 scene_script(files->scene, "full",
                              "for F in /run/nzd/overlay/*; do\n"
                              "  mkdir -p $F/$NZD_TXN.new\n"
                              "  mount -t tmpfs -o size=4k,nr_inodes=1 none "
                              "$F/$NZD_TXN.new || exit 3\n"
                              "done\n"));
    struct harness_run run = apply(files, files->next);
    scene_config(files->scene, "%s", "");
    sh(files, "umount /run/nzd/overlay/*/*.new 2>/dev/null || true");
    if (run.status == 5)
        skip(); /* no file system may be mounted here */
    assert_status(run, 6);
    assert_contains(run.out, "priv: ");
    assert_string_equal(eval(files, path), before);
    assert_eval(files->scene->node, tree, OLD_TREE);
    scene_settled(files->scene);
}

static void a_trial_ends(void **state)
{
    struct files *files = *state;
    const char *before = eval(files, path);
    struct harness_run run = scene_nzd(files->scene, "apply", "--retry",
                                       "--confirm", "10m", files->next);
    assert_status(run, 0);
    assert_eval(files->scene->node, tree, NEXT_TREE);
    run = scene_nzd(files->scene, "rollback");
    assert_status(run, 0);
    assert_string_equal(eval(files, path), before);
    assert_eval(files->scene->node, tree, OLD_TREE);
    run = scene_nzd(files->scene, "apply", "--retry", "--confirm", "10m",
                    files->next);
    assert_status(run, 0);
    run = scene_nzd(files->scene, "confirm");
    assert_status(run, 0);
    assert_eval(files->scene->node, tree, NEXT_TREE);
}

/* --- a later boot -------------------------------------------------------- */

static void a_restart_has_it_too(void **state)
{
    struct files *files = *state;
    struct scene *scene = files->scene;
    beam_node_eval(scene->node, "init:restart()");
    beam_node_wait_restart(scene->node, 20000);
    scene_settled(scene);
    assert_eval(scene->node, tree, NEXT_TREE);
    beam_node_eval(scene->node, "code:load_file(nzd_test_nif)");
    struct harness_run run = apply(files, files->next);
    assert_status(run, 0);
    assert_contains(run.out, "nothing to do");
    goes_back(files);
}

int main(void)
{
#define files(test) cmocka_unit_test_setup(test, fresh)
    const struct CMUnitTest tests[] = {
        files(the_plan_names_the_files),
        files(there_and_back),
        files(what_is_in_use),
        files(a_hook_says_no),
        files(nzd_is_killed),
        files(the_agent_is_killed),
        files(everybody_is_killed),
        files(it_cannot_be_laid_out),
        files(a_trial_ends),
        files(a_restart_has_it_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
