/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One folder of an application's priv, or priv itself. */
struct folder {
    struct nzd_laying *all;
    uint32_t place;
    const char *head; /* "static/js/"; "": priv */
    const char *base; /* in the base; need not be there */
    const char *path; /* in the overlay that is made */
};

bool nzd_overlay_has_priv(const struct nzd_laying *all, uint32_t index)
{
    for (uint32_t i = 0; i < all->plan.file_count; i++)
        if (all->plan.files[i].folder == index)
            return true;
    return false;
}

/* "app.js" or "sub/app.js": a file's path from the folder on, or NULL. */
static const char *below(const struct folder *folder, uint32_t i)
{
    const struct nzd_overlay_file *file = &folder->all->plan.files[i];
    size_t size = strlen(folder->head);
    bool in = file->folder == folder->place &&
              strncmp(file->path, folder->head, size) == 0;
    return in ? file->path + size : NULL;
}

static bool begins_with(const char *path, const char *name, size_t size)
{
    return strncmp(path, name, size) == 0 &&
           (path[size] == '/' || path[size] == '\0');
}

/* What a row speaks of, or of something in it, is laid out by itself. */
static bool skip_own(const void *context, const char *name)
{
    const struct folder *folder = context;
    for (uint32_t i = 0; i < folder->all->plan.file_count; i++) {
        const char *path = below(folder, i);
        if (path && begins_with(path, name, strlen(name)))
            return true;
    }
    return false;
}

/* --- files --------------------------------------------------------------- */

/* An ELF file: what a VM loads or runs. */
static bool is_native(const struct nzd_overlay_file *file, struct nzd_view view)
{
    static const uint8_t elf[] = {0x7f, 'E', 'L', 'F'};
    return file->executable ||
           (view.size >= sizeof elf && memcmp(view.data, elf, sizeof elf) == 0);
}

static int put_native(const struct folder *folder,
                      const struct nzd_overlay_file *file, struct nzd_view view,
                      int fd, const char *name)
{
    struct nzd_laying *all = folder->all;
    const char *within = all->plan.places[folder->place].within;
    char path[PATH_MAX], native[PATH_MAX];
    int size =
        snprintf(path, sizeof path, "%.*s/priv/%s",
                 (int)(strrchr(within, '/') - within), within, file->path);
    if (size < 0 || (size_t)size >= sizeof path)
        return nzd_err_set(all->err, NZD_EINTERNAL, "overlay: %s is too long",
                           within);
    int code = nzd_overlay_put_native(all, path, view, native);
    return code ? code : nzd_overlay_link(native, fd, name, all->err);
}

static int write_own(const struct folder *folder,
                     const struct nzd_overlay_file *file, int fd,
                     const char *name)
{
    struct nzd_laying *all = folder->all;
    struct nzd_buf bytes = {0};
    int code = nzd_overlay_blob(all, &file->blob, &bytes);
    struct nzd_view view = nzd_buf_view(&bytes);
    if (!code)
        code = is_native(file, view)
                   ? put_native(folder, file, view, fd, name)
                   : nzd_overlay_write(fd, name, view, all->err);
    nzd_buf_clear(&bytes);
    return code;
}

/* --- folders ------------------------------------------------------------- */

/* The first of the files that lie in the same folder below this one, which is
 * no file itself. */
static bool opens_folder(const struct folder *folder, uint32_t i, size_t size)
{
    const struct nzd_overlay_plan *plan = &folder->all->plan;
    const char *name = below(folder, i);
    for (uint32_t k = 0; k < plan->file_count; k++) {
        const char *path = k == i ? NULL : below(folder, k);
        if (!path || !begins_with(path, name, size))
            continue;
        if (path[size] ? k < i : !nzd_digest_is_zero(&plan->files[k].blob))
            return false;
    }
    return true;
}

static int lay_folder(const struct folder *folder);

static int lay_inner(const struct folder *folder, const char *name, size_t size)
{
    struct nzd_arena arena = {0};
    const struct folder inner = {
        .all = folder->all,
        .place = folder->place,
        .head =
            nzd_arena_printf(&arena, "%s%.*s/", folder->head, (int)size, name),
        .base =
            nzd_arena_printf(&arena, "%s/%.*s", folder->base, (int)size, name),
        .path =
            nzd_arena_printf(&arena, "%s/%.*s", folder->path, (int)size, name),
    };
    int code = inner.head && inner.base && inner.path
                   ? lay_folder(&inner)
                   : nzd_err_memory(folder->all->err);
    nzd_arena_clear(&arena);
    return code;
}

static int lay_own(const struct folder *folder, int fd)
{
    const struct nzd_overlay_plan *plan = &folder->all->plan;
    int code = 0;
    for (uint32_t i = 0; i < plan->file_count && !code; i++) {
        const char *name = below(folder, i);
        size_t size = name ? strcspn(name, "/") : 0;
        if (!name)
            continue;
        if (name[size] == '/' && opens_folder(folder, i, size))
            code = lay_inner(folder, name, size);
        else if (!name[size] && !nzd_digest_is_zero(&plan->files[i].blob))
            code = write_own(folder, &plan->files[i], fd, name);
    }
    return code;
}

/* As deep as a path can name. */
static int lay_folder(const struct folder *folder)
{
    struct nzd_err *err = folder->all->err;
    if (strlen(folder->path) >= PATH_MAX / 2)
        return nzd_err_set(err, NZD_EINTERNAL, "overlay: %.200s is too long",
                           folder->path);
    int fd = nzd_overlay_open(folder->path, err);
    if (fd < 0)
        return err->code;
    int code = lay_own(folder, fd);
    if (!code)
        code = nzd_overlay_link_rest(folder->base, fd, true, skip_own, folder,
                                     err);
    close(fd);
    return code;
}

int nzd_overlay_lay_priv(struct nzd_laying *all, uint32_t index,
                         const char *base, const char *path)
{
    struct folder app = {
        .all = all, .place = index, .head = "", .base = base, .path = path};
    char base_priv[PATH_MAX], priv[PATH_MAX];
    snprintf(base_priv, sizeof base_priv, "%.3000s/priv", base);
    snprintf(priv, sizeof priv, "%.3000s/priv", path);
    app.base = base_priv;
    app.path = priv;
    return lay_folder(&app);
}
