/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION_MAX 64 /* bytes */

/* A VM that lacks one of these does not start. */
static const char *const needed[] = {"bin/beam.smp", "bin/erlexec",
                                     "bin/erl_child_setup"};

static int refuse(struct nzd_laying *all, const char *why)
{
    return nzd_err_set(all->err, NZD_EJOURNAL, "the ERTS in force %s", why);
}

static int check_whole(struct nzd_laying *all)
{
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        bool found = false;
        for (uint32_t k = 0; k < all->plan.program_count && !found; k++)
            found = strcmp(all->plan.programs[k].path, needed[i]) == 0;
        if (!found)
            return nzd_err_set(all->err, NZD_EJOURNAL,
                               "the ERTS in force lacks %s", needed[i]);
    }
    return 0;
}

/* "13.2.2.4": a part of a folder's name. */
static bool is_version(const char *text)
{
    static const char letters[] = "0123456789.-_+abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t size = strlen(text);
    return size > 0 && size < VERSION_MAX && strspn(text, letters) == size;
}

static int name_digest(struct nzd_laying *all, char hex[NZD_DIGEST_HEX])
{
    struct nzd_digester *digester = nzd_digester_begin();
    const struct nzd_overlay_plan *plan = &all->plan;
    if (!digester)
        return nzd_err_memory(all->err);
    for (uint32_t i = 0; i < plan->program_count; i++) {
        const struct nzd_overlay_program *program = &plan->programs[i];
        nzd_digester_add(digester,
                         nzd_view_of(program->path, strlen(program->path) + 1));
        nzd_digester_add(digester, nzd_view_of(program->blob.bytes,
                                               sizeof program->blob.bytes));
    }
    const struct nzd_digest digest = nzd_digester_end(digester);
    nzd_digest_hex(hex, &digest);
    return 0;
}

static int name_folder(struct nzd_laying *all, const char *version,
                       char folder[NZD_OVERLAY_PATH])
{
    char hex[NZD_DIGEST_HEX];
    int code = name_digest(all, hex);
    if (code)
        return code;
    int size = snprintf(folder, NZD_OVERLAY_PATH, "%svm-%.16s/erts-%s",
                        all->out->native, hex, version);
    if (!all->out->native[0] || size < 0 || size >= NZD_OVERLAY_PATH - 40)
        return refuse(all, "has no folder that it could lie in");
    return 0;
}

/* One after the other: none needs more memory than it is large. */
static int write_programs(struct nzd_laying *all, const char *folder)
{
    char path[PATH_MAX];
    int code = 0;
    for (uint32_t i = 0; i < all->plan.program_count && !code; i++) {
        const struct nzd_overlay_program *program = &all->plan.programs[i];
        struct nzd_buf bytes = {0};
        int size = snprintf(path, sizeof path, "%s/%s", folder, program->path);
        if (size < 0 || (size_t)size >= sizeof path - 8)
            code = refuse(all, "has a file of too long a name");
        if (!code)
            code = nzd_overlay_blob(all, &program->blob, &bytes);
        if (!code)
            code = nzd_overlay_put_program(all, path, nzd_buf_view(&bytes));
        nzd_buf_clear(&bytes);
    }
    return code;
}

int nzd_overlay_lay_programs(struct nzd_laying *all, const char *version)
{
    char folder[NZD_OVERLAY_PATH];
    int code = is_version(version)
                   ? check_whole(all)
                   : refuse(all, "has no version that can be one");
    if (!code)
        code = name_folder(all, version, folder);
    if (!code)
        code = write_programs(all, folder);
    if (!code)
        snprintf(all->out->erts, sizeof all->out->erts, "%.550s/bin", folder);
    return code;
}

/* The folder of the programs' own above. */
static int link_folder(struct nzd_laying *all)
{
    char above[NZD_OVERLAY_PATH];
    const char *erts = all->out->erts;
    int at = nzd_overlay_open(all->fresh, all->err);
    if (at < 0)
        return all->err->code;
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(erts, '/') - erts),
             erts);
    int code = nzd_overlay_link(above, at, "erts", all->err);
    close(at);
    return code;
}

int nzd_overlay_lay_erts(struct nzd_laying *all)
{
    const struct nzd_overlay_own *own = &all->plan.texts[NZD_OVERLAY_ERTS];
    struct nzd_buf version = {0};
    if (!own->differs || nzd_digest_is_zero(&own->blob))
        return 0;
    int code = nzd_overlay_blob(all, &own->blob, &version);
    if (!code && memchr(version.data, '\0', version.size))
        code = refuse(all, "has no version that can be one");
    if (!code)
        code = nzd_overlay_lay_programs(all, nzd_buf_string(&version));
    nzd_buf_clear(&version);
    return code ? code : link_folder(all);
}
