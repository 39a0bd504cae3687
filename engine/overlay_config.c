/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include "../staging/sys_config.h"
#include "host.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_MAX (16u << 20) /* bytes of a sys.config */

struct configuring {
    struct nzd_laying *all;
    char base[PATH_MAX]; /* the folder of the base's boot script */
    int folder;          /* of the overlay */
};

static const struct nzd_overlay_own *own(const struct nzd_laying *all,
                                         enum nzd_overlay_text text)
{
    return &all->plan.texts[text];
}

static bool in_base(const struct configuring *c, const char *name,
                    char path[PATH_MAX])
{
    int size = snprintf(path, PATH_MAX, "%s/%s", c->base, name);
    return size > 0 && size < PATH_MAX && access(path, R_OK) == 0;
}

static int link_base(struct configuring *c, const char *name)
{
    char path[PATH_MAX];
    if (!in_base(c, name, path))
        return 0;
    return nzd_overlay_link(path, c->folder, name, c->all->err);
}

/* The generation's own; where it has none but the base has one, what says
 * nothing: the file may be named on a command line. */
static int read_own(struct configuring *c, enum nzd_overlay_text text,
                    const char *none, struct nzd_buf *bytes)
{
    const struct nzd_overlay_own *file = own(c->all, text);
    if (!nzd_digest_is_zero(&file->blob))
        return nzd_overlay_blob(c->all, &file->blob, bytes);
    nzd_buf_text(bytes, none);
    return 0;
}

/* Where the base has no such file, as its boot script. */
static int write_text(struct configuring *c, const char *name,
                      const struct nzd_buf *bytes)
{
    char path[PATH_MAX];
    return nzd_overlay_write_like(
        c->folder, name, nzd_buf_view(bytes),
        in_base(c, name, path) ? path : c->all->base->boot_file, c->all->err);
}

static int lay_text(struct configuring *c, enum nzd_overlay_text text,
                    const char *name)
{
    struct nzd_buf bytes = {0};
    if (!own(c->all, text)->differs)
        return link_base(c, name);
    int code = read_own(c, text, "", &bytes);
    if (!code)
        code = write_text(c, name, &bytes);
    nzd_buf_clear(&bytes);
    return code;
}

/* --- sys.config ---------------------------------------------------------- */

static int read_sys_config(struct configuring *c, struct nzd_buf *bytes)
{
    char path[PATH_MAX];
    if (own(c->all, NZD_OVERLAY_SYS_CONFIG)->differs)
        return read_own(c, NZD_OVERLAY_SYS_CONFIG, "[].\n", bytes);
    if (!in_base(c, "sys.config", path) ||
        nzd_host_read(path, CONFIG_MAX, bytes) != 0 ||
        bytes->size == CONFIG_MAX)
        return nzd_err_set(c->all->err, NZD_EJOURNAL,
                           "overlay: %.300s/sys.config cannot be read",
                           c->base);
    return 0;
}

/* By `current`, as the sys.config itself is named: it may be read again from
 * a copy, when another generation has taken this one's place. */
static const char *runtime_path(const struct configuring *c,
                                char path[NZD_OVERLAY_PATH + 32])
{
    const struct nzd_overlay_own *runtime = own(c->all, NZD_OVERLAY_RUNTIME);
    char there[PATH_MAX];
    bool held = runtime->differs ? !nzd_digest_is_zero(&runtime->blob)
                                 : in_base(c, "runtime.exs", there);
    snprintf(path, NZD_OVERLAY_PATH + 32, "%scurrent/runtime.exs",
             c->all->out->root);
    return held ? path : NULL;
}

static int write_sys_config(struct configuring *c)
{
    char path[NZD_OVERLAY_PATH + 32];
    const char *version = strrchr(c->base, '/');
    const struct nzd_sys_config_over over = {.version = version ? version + 1
                                                                : c->base,
                                             .runtime = runtime_path(c, path)};
    struct nzd_buf bytes = {0}, text = {0};
    int code = read_sys_config(c, &bytes);
    if (!code && (code = nzd_sys_config_rebase(nzd_buf_view(&bytes), &over,
                                               &text, c->all->err)))
        nzd_err_prefix(c->all->err, "sys.config");
    if (!code)
        code = write_text(c, "sys.config", &text);
    nzd_buf_clear(&bytes);
    nzd_buf_clear(&text);
    return code;
}

static int lay_sys_config(struct configuring *c)
{
    struct nzd_laying *all = c->all;
    bool differs = own(all, NZD_OVERLAY_SYS_CONFIG)->differs ||
                   own(all, NZD_OVERLAY_RUNTIME)->differs;
    if (!differs)
        return link_base(c, "sys.config");
    int code = write_sys_config(c);
    all->out->has_config = code == 0;
    return code;
}

/* --- all of it ----------------------------------------------------------- */

/* A sys.config may name others that lie beside it (config(4)). */
static bool skip_other(const void *context, const char *name)
{
    size_t size = strlen(name);
    (void)context;
    return size <= 7 || strcmp(name + size - 7, ".config") != 0 ||
           strcmp(name, "sys.config") == 0;
}

static int lay(struct configuring *c)
{
    struct nzd_err *err = c->all->err;
    int code = lay_text(c, NZD_OVERLAY_RUNTIME, "runtime.exs");
    if (!code)
        code = lay_text(c, NZD_OVERLAY_VM_ARGS, "vm.args");
    if (!code)
        code = lay_sys_config(c);
    if (!code)
        code = nzd_overlay_link_rest(c->base, c->folder, true, skip_other, NULL,
                                     err);
    c->all->out->has_args =
        code == 0 && own(c->all, NZD_OVERLAY_VM_ARGS)->differs;
    return code;
}

int nzd_overlay_lay_config(struct nzd_laying *all)
{
    struct configuring c = {.all = all};
    const char *file = all->base->boot_file;
    if (!nzd_overlay_has_base(all))
        return 0;
    snprintf(c.base, sizeof c.base, "%.*s", (int)(strrchr(file, '/') - file),
             file);
    c.folder = nzd_overlay_open(all->fresh, all->err);
    if (c.folder < 0)
        return all->err->code;
    int code = lay(&c);
    close(c.folder);
    return code;
}
