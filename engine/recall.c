/* SPDX-License-Identifier: Apache-2.0 */
#include "recall.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Another nzd may be at work on the journal, as the one that lost the link;
 * the agent tries again when this was too short. */
#define LOCK_WAIT "10s"

/* What a link of proc(5) names; "" where we may not look. */
static void read_link(const char *path, char out[PATH_MAX])
{
    ssize_t size = readlink(path, out, PATH_MAX - 1);
    out[size > 0 ? size : 0] = '\0';
}

/* A VM in a container has other files under the same names. */
static bool sees_our_files(const struct nzd_target *target)
{
    char path[64], ours[PATH_MAX], theirs[PATH_MAX];
    if (!target->local || target->pid <= 0)
        return false;
    snprintf(path, sizeof path, "/proc/%lld/ns/mnt", (long long)target->pid);
    read_link("/proc/self/ns/mnt", ours);
    read_link(path, theirs);
    return ours[0] && strcmp(ours, theirs) == 0;
}

struct words {
    struct nzd_arena *arena;
    struct nzd_recall *recall;
    bool failed;
};

static void add(struct words *words, const char *word)
{
    struct nzd_recall *recall = words->recall;
    if (!word || recall->count == NZD_RECALL_WORDS)
        words->failed = true;
    else
        recall->words[recall->count++] = word;
}

static void add_file(struct words *words, const char *option, const char *path)
{
    char absolute[PATH_MAX];
    if (!path)
        return;
    add(words, option);
    add(words, realpath(path, absolute)
                   ? nzd_arena_printf(words->arena, "%s", absolute)
                   : NULL);
}

static void add_environment(struct words *words, const char *name)
{
    struct nzd_recall *recall = words->recall;
    const char *value = getenv(name);
    if (!value)
        return;
    recall->environment[recall->environment_count++] = name;
    recall->environment[recall->environment_count++] = value;
}

static void add_options(struct words *words, const struct nzd_context *context)
{
    const struct nzd_options *options = &context->options;
    add_file(words, "--config", options->config);
    add_file(words, "--cookie-file",
             options->cookie_file ? options->cookie_file
                                  : context->config.cookie_file);
    if (options->port) {
        add(words, "--port");
        add(words, nzd_arena_printf(words->arena, "%u", options->port));
    }
    if (options->timeout_us) {
        add(words, "--timeout");
        add(words, nzd_arena_printf(words->arena, "%" PRIu64 "ms",
                                    (options->timeout_us + 999) / 1000));
    }
}

static void make(struct nzd_context *context, const struct nzd_target *target,
                 const char *journal, bool attend, struct nzd_recall *out)
{
    struct words words = {.arena = &context->config.arena, .recall = out};
    char program[PATH_MAX];
    memset(out, 0, sizeof *out);
    read_link("/proc/self/exe", program);
    add(&words, nzd_arena_printf(words.arena, "%s", program));
    add(&words, "recover");
    add(&words, "--quiet");
    add(&words, attend ? "--attend" : "--wait=" LOCK_WAIT);
    add(&words, "--node");
    add(&words, nzd_arena_printf(words.arena, "%s", target->node));
    add_file(&words, "--journal", journal);
    add_options(&words, context);
    add_environment(&words, "ERL_EPMD_PORT");
    add_environment(&words, "XDG_RUNTIME_DIR");
    if (words.failed)
        memset(out, 0, sizeof *out);
}

void nzd_recall_make(struct nzd_context *context,
                     const struct nzd_target *target, const char *journal,
                     struct nzd_recall *out)
{
    memset(out, 0, sizeof *out);
    if (sees_our_files(target))
        make(context, target, journal, false, out);
    if (out->count && access(out->words[0], X_OK) != 0)
        memset(out, 0, sizeof *out);
}

void nzd_recall_here(struct nzd_context *context,
                     const struct nzd_target *target, const char *journal,
                     bool attend, struct nzd_recall *out)
{
    make(context, target, journal, attend, out);
}
