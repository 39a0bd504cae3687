/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include "../journal/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct harness *harness;
    struct beam_node *node;
    const char *host;   /* how the documents call the node */
    const char *config; /* as the document has it */
} stage;

#define TEXT(...) harness_text(stage.harness, __VA_ARGS__)
#define PATH(...) harness_path(stage.harness, __VA_ARGS__)

static const char *replaced(const char *text, const char *what,
                            const char *instead)
{
    struct nzd_buf buf = {0};
    for (const char *at; (at = strstr(text, what)); text = at + strlen(what)) {
        nzd_buf_bytes(&buf, text, (size_t)(at - text));
        nzd_buf_text(&buf, instead);
    }
    nzd_buf_text(&buf, text);
    const char *done = TEXT("%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return done;
}

static const struct {
    const char *shown, *real;
} places[] = {{"/srv/", "srv/"},
              {"/etc/nzd.conf", "nzd.conf"},
              {"/root/.erlang.cookie", ".erlang.cookie"},
              {"/run/nzd", "run/nzd"}, /* of who is not root */
              {"/var/lib/nzd", "state"}};

#define PLACES (sizeof places / sizeof *places)

static const char *to_real(const char *text)
{
    for (size_t i = 0; i < PLACES; i++)
        text = replaced(text, places[i].shown, PATH("%s", places[i].real));
    return stage.node ? replaced(text, stage.host, beam_node_name(stage.node))
                      : text;
}

static const char *to_shown(const char *text)
{
    for (size_t i = 0; i < PLACES; i++)
        text = replaced(text, PATH("%s", places[i].real), places[i].shown);
    return stage.node ? replaced(text, beam_node_name(stage.node), stage.host)
                      : text;
}

static void write_config(void)
{
    const char *text = to_real(stage.config);
    if (!strstr(text, "cookie_file"))
        text = TEXT("cookie_file = \"%s\"\n%s",
                    harness_cookie_file(stage.harness), text);
    if (stage.node && !strstr(text, "node "))
        text = TEXT("node = \"%s\"\n%s", beam_node_name(stage.node), text);
    if (!strstr(text, "journal "))
        text = TEXT("journal = \"%s\"\n%s", PATH("state/journal"), text);
    harness_write_file(PATH("nzd.conf"), text);
}

/* A program nzd that finds the configuration without being told. */
static void write_nzd(void)
{
    const char *real = harness_argv(stage.harness, NULL, NULL)[0];
    mkdir(PATH("bin"), 0700);
    harness_write_file(PATH("bin/nzd"),
                       TEXT("#!/bin/sh\n"
                            "case $1 in -*|'') exec %s \"$@\" ;; esac\n"
                            "command=$1\n"
                            "shift\n"
                            "exec %s $command --config %s \"$@\"\n",
                            real, real, PATH("nzd.conf")));
    chmod(PATH("bin/nzd"), 0700);
}

static struct harness_run shell(const char *command)
{
    const char *const argv[] = {
        "sh", "-c",
        TEXT("unset SSH_CONNECTION SSH_CLIENT SUDO_USER COLUMNS; "
             "PATH=%s:$PATH; cd %s && { %s\n} 2>&1",
             PATH("bin"), PATH("work"), command),
        NULL};
    return harness_run(stage.harness, argv, NULL);
}

static void link_bundles(void)
{
    const char *folder = harness_fixture(stage.harness, ".");
    struct harness_run run;
    mkdir(PATH("work"), 0700);
    run = shell(TEXT("ln -s %s/*.tar.gz .", folder));
    assert_status(run, 0);
}

void stage_end(void)
{
    if (stage.node && beam_node_alive(stage.node))
        beam_node_kill(stage.node);
    stage.node = NULL;
}

void stage_configure(const char *text)
{
    stage.config = text;
    write_config();
}

/* The node keeps what it is given. */
static struct beam_node *start(const char *name, const char *version, bool boot)
{
    const char *const prefix[] = {"boot", "--config", PATH("nzd.conf"), "--",
                                  NULL};
    return beam_node_start(
        stage.harness,
        &(struct beam_node_options){
            .release = PATH("srv/%s", name),
            .version = TEXT("%s", version),
            .name = TEXT("%s", name),
            .prefix =
                boot ? harness_concat(stage.harness,
                                      harness_argv(stage.harness, NULL, NULL),
                                      prefix)
                     : NULL});
}

void stage_node(const char *words)
{
    char name[32], version[32], how[8] = "";
    stage_end();
    if (sscanf(words, "%31[a-z]-%31s %7s", name, version, how) < 2)
        harness_fail("node %s: which release?", words);
    harness_remove(stage.harness, PATH("state"));
    harness_remove(stage.harness, PATH("srv/%s", name));
    mkdir(PATH("srv"), 0700);
    mkdir(PATH("state"), 0700);
    harness_copy(stage.harness,
                 harness_fixture(stage.harness, TEXT("%s-%s", name, version)),
                 PATH("srv/%s", name));
    stage_configure("");
    stage.node = start(name, version, strcmp(how, "boot") == 0);
    stage.host = TEXT("%s@web1", name);
    write_config();
}

void stage_again(void)
{
    beam_node_kill(stage.node);
    beam_node_start_again(stage.node);
}

void stage_eval(const char *expression)
{
    beam_node_eval(stage.node, "%s", to_real(expression));
}

struct harness_run stage_run(const char *command)
{
    struct harness_run run = shell(to_real(command));
    run.out = to_shown(run.out);
    return run;
}

void stage_open(struct harness *harness)
{
    stage.harness = harness;
    stage.node = NULL;
    stage.host = "counter@web1";
    stage.config = "";
    mkdir(PATH("run"), 0700);
    setenv("XDG_RUNTIME_DIR", PATH("run"), 1);
    write_nzd();
    link_bundles();
}
