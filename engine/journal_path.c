/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ON_DATA "/data/nzd/journal"
#define ON_ROOT "/var/lib/nzd/journal"

/* Also true of a link to a mounted folder, as /data is on some devices. */
static bool data_is_mounted(void)
{
    struct stat data;
    struct stat root;

    return stat("/data", &data) == 0 && stat("/", &root) == 0 &&
           S_ISDIR(data.st_mode) && data.st_dev != root.st_dev;
}

static const char *home(void)
{
    const char *path = getenv("HOME");
    const struct passwd *user;

    if (path && path[0] == '/')
        return path;
    user = getpwuid(geteuid());
    return user && user->pw_dir ? user->pw_dir : "/";
}

/* A node's name as one component of a path: what could leave the folder or
 * meet another name is written as %HH. */
static void folder_name(const char *node, struct nzd_buf *out)
{
    for (const char *at = node; *at; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || c == '_' || c == '@' ||
                     c == '-' || (c == '.' && at != node);

        if (plain)
            nzd_buf_u8(out, c);
        else
            nzd_buf_printf(out, "%%%02x", c);
    }
}

static const char *of_remote(struct nzd_arena *arena, const char *node)
{
    const char *state = getenv("XDG_STATE_HOME");
    struct nzd_buf name = {0};
    const char *path;

    folder_name(node, &name);
    if (state && state[0] == '/')
        path = nzd_arena_printf(arena, "%s/nzd/%s/journal", state,
                                nzd_buf_string(&name));
    else
        path = nzd_arena_printf(arena, "%s/.local/state/nzd/%s/journal", home(),
                                nzd_buf_string(&name));
    if (name.failed)
        path = NULL;
    nzd_buf_clear(&name);
    return path;
}

const char *nzd_journal_path(struct nzd_context *context,
                             const struct nzd_target *target)
{
    if (context->options.journal)
        return context->options.journal;
    if (context->config.journal)
        return context->config.journal;
    if (target && !target->local)
        return of_remote(&context->config.arena, target->node);
    return data_is_mounted() ? ON_DATA : ON_ROOT;
}

const char *nzd_journal_path_named(struct nzd_context *context)
{
    struct nzd_target target = {.local = true};
    const char *node = context->options.node;

    if (!node)
        node = context->config.node;
    if (node && strchr(node, '@')) {
        (void)snprintf(target.node, sizeof(target.node), "%s", node);
        target.local = nzd_host_is_local(node);
    }
    return nzd_journal_path(context, &target);
}
