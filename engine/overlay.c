/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include "../journal/point.h"
#include "../staging/script_touch.h"
#include "discover.h"
#include "overlay_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int make_parents(const char *path, struct nzd_err *err)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part)
        return nzd_err_set(err, NZD_EINTERNAL, "overlay: %.200s is too long",
                           path);
    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return nzd_err_system(err, NZD_EINTERNAL, errno, "%s", part);
    }
    return 0;
}

const char *nzd_overlay_place(void)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if (!runtime || runtime[0] != '/' || access(runtime, W_OK) != 0)
        return NULL;
    return runtime;
}

int nzd_overlay_root(struct nzd_journal *journal, char root[NZD_OVERLAY_PATH],
                     struct nzd_err *err)
{
    char uuid[9];
    const char *runtime = nzd_overlay_place();
    nzd_hex(uuid, nzd_journal_uuid(journal), 4);
    if (!runtime)
        return nzd_err_set(err, NZD_ENOTFOUND,
                           "there is no runtime folder for an overlay");
    int size =
        snprintf(root, NZD_OVERLAY_PATH, "%s/nzd/overlay/%s/", runtime, uuid);
    if (size < 0 || size >= NZD_OVERLAY_PATH - 40)
        return nzd_err_set(err, NZD_ENOTFOUND, "%s is too long", runtime);
    return make_parents(root, err);
}

static int io_error(const char *path, struct nzd_err *err)
{
    return nzd_err_system(err, NZD_EINTERNAL, errno, "overlay: %s", path);
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

/* Links are removed, not followed. */
static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* --- writing ------------------------------------------------------------- */

struct laying {
    struct nzd_journal *journal;
    const struct nzd_overlay_base *base;
    struct nzd_overlay_plan plan;
    char fresh[NZD_OVERLAY_PATH + 8]; /* the folder while it is made */
    struct nzd_overlay *out;
    struct nzd_err *err;
};

static int write_file(int folder, const char *name, struct nzd_view bytes,
                      struct nzd_err *err)
{
    int fd = openat(folder, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return io_error(name, err);
    int failed = nzd_write_all(fd, bytes.data, bytes.size);
    int sys = errno;
    close(fd);
    errno = sys;
    return failed ? io_error(name, err) : 0;
}

/* What the generation has of its own in this folder, added or removed. */
static int write_modules(struct laying *all, uint32_t place, int folder)
{
    const struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_buf bytes = {0};
    char name[1100];
    int code = 0;
    for (uint32_t i = 0; i < plan->module_count && !code; i++) {
        const struct nzd_overlay_module *module = &plan->modules[i];
        if (module->folder != place || nzd_digest_is_zero(&module->blob))
            continue;
        nzd_buf_reset(&bytes);
        code =
            nzd_journal_get_blob(all->journal, &module->blob, &bytes, all->err);
        if (code == NZD_ENOTFOUND)
            all->err->code = code = NZD_EJOURNAL;
        snprintf(name, sizeof name, "%s.beam", module->name);
        if (!code)
            code = write_file(folder, name, nzd_buf_view(&bytes), all->err);
    }
    nzd_buf_clear(&bytes);
    return code;
}

/* counter.app, as file:consult/1 reads it. */
static int write_spec(struct laying *all, const struct nzd_overlay_place *place,
                      int folder)
{
    const struct nzd_term *spec = nzd_overlay_plan_spec(&all->plan, place->app);
    struct nzd_buf text = {0};
    char name[1100];
    if (!spec)
        return 0;
    nzd_buf_text(&text, "%% coding: utf-8\n");
    nzd_term_print(spec, SIZE_MAX, &text);
    nzd_buf_text(&text, ".\n");
    snprintf(name, sizeof name, "%.1000s.app", place->app);
    int code = text.failed
                   ? nzd_err_memory(all->err)
                   : write_file(folder, name, nzd_buf_view(&text), all->err);
    nzd_buf_clear(&text);
    return code;
}

static bool is_removed(const struct nzd_overlay_plan *plan, const char *entry)
{
    size_t size = strlen(entry);
    if (size < 5 || strcmp(entry + size - 5, ".beam") != 0)
        return false;
    for (uint32_t i = 0; i < plan->module_count; i++)
        if (nzd_digest_is_zero(&plan->modules[i].blob) &&
            strlen(plan->modules[i].name) == size - 5 &&
            memcmp(plan->modules[i].name, entry, size - 5) == 0)
            return true;
    return false;
}

/* Links to what the base has in a folder and the generation has not. */
static int link_rest(struct laying *all, const char *base, int folder,
                     const char *but)
{
    char target[PATH_MAX];
    DIR *entries = opendir(base);
    const struct dirent *entry;
    int code = 0;
    if (!entries)
        return io_error(base, all->err);
    while (!code && (errno = 0, entry = readdir(entries))) {
        const char *name = entry->d_name;
        if (name[0] == '.' || (but && !strcmp(name, but)) ||
            is_removed(&all->plan, name))
            continue;
        int size = snprintf(target, sizeof target, "%s/%s", base, name);
        if (size < 0 || (size_t)size >= sizeof target)
            code = nzd_err_set(all->err, NZD_EINTERNAL,
                               "overlay: %.200s is too long", base);
        else if (symlinkat(target, folder, name) != 0 && errno != EEXIST)
            code = io_error(target, all->err);
    }
    /* A folder that lacks what could not be listed would be another release. */
    if (!code && errno)
        code = io_error(base, all->err);
    closedir(entries);
    return code;
}

static int open_made(const char *path, struct nzd_err *err)
{
    char whole[NZD_OVERLAY_PATH * 2];
    snprintf(whole, sizeof whole, "%s/", path);
    if (make_parents(whole, err))
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        io_error(path, err);
    return fd;
}

/* The application's folder has more than ebin: priv above all. */
static int link_siblings(struct laying *all, const char *path,
                         const struct nzd_overlay_place *place)
{
    char base[PATH_MAX], above[NZD_OVERLAY_PATH * 2];
    if (!place->app[0])
        return 0;
    snprintf(base, sizeof base, "%.*s",
             (int)(strrchr(place->base, '/') - place->base), place->base);
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path),
             path);
    int folder = open_made(above, all->err);
    if (folder < 0)
        return all->err->code;
    int code = link_rest(all, base, folder, "ebin");
    close(folder);
    return code;
}

static int lay_place(struct laying *all, uint32_t index)
{
    const struct nzd_overlay_place *place = &all->plan.places[index];
    char path[NZD_OVERLAY_PATH * 2];
    int size = snprintf(path, sizeof path, "%s/%s", all->fresh, place->within);
    if (size < 0 || (size_t)size >= sizeof path - 2)
        return nzd_err_set(all->err, NZD_EINTERNAL, "overlay: %s is too long",
                           place->within);
    int folder = open_made(path, all->err);
    if (folder < 0)
        return all->err->code;
    int code = write_modules(all, index, folder);
    if (!code)
        code = write_spec(all, place, folder);
    if (!code && symlinkat(place->base, folder, ".base") != 0)
        code = io_error(path, all->err);
    if (!code)
        code = link_rest(all, place->base, folder, NULL);
    close(folder);
    return code ? code : link_siblings(all, path, place);
}

/* --- the boot script ----------------------------------------------------- */

/* Names of the modules of one folder, added or removed, in the plan's arena. */
static const char *const *names(struct nzd_overlay_plan *plan, uint32_t place,
                                bool added, uint32_t *count)
{
    const char **list =
        nzd_arena_alloc(&plan->arena, (plan->module_count + 1) * sizeof *list);
    *count = 0;
    for (uint32_t i = 0; list && i < plan->module_count; i++) {
        const struct nzd_overlay_module *module = &plan->modules[i];
        bool removed = nzd_digest_is_zero(&module->blob);
        if (module->folder == place &&
            (added ? module->added && !removed : removed))
            list[(*count)++] = module->name;
    }
    return list;
}

/* The names are those that the folders have once they are in place. */
static int touch(struct laying *all, const struct nzd_term **out)
{
    struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_script_folder *folders = nzd_arena_alloc(
        &plan->arena, (plan->place_count + 1) * sizeof *folders);
    struct nzd_script_touch what = {.folders = folders,
                                    .folder_count = plan->place_count,
                                    .specs = plan->specs,
                                    .spec_count = plan->spec_count};
    for (uint32_t i = 0; folders && i < plan->place_count; i++) {
        struct nzd_script_folder *folder = &folders[i];
        folder->tail = plan->places[i].tail;
        folder->instead = all->out->folders[i].instead;
        folder->added = names(plan, i, true, &folder->added_count);
        folder->removed = names(plan, i, false, &folder->removed_count);
        if (!folder->added || !folder->removed)
            return nzd_err_memory(all->err);
    }
    return folders ? nzd_script_touch(all->base->script, &what, &plan->arena,
                                      out, all->err)
                   : nzd_err_memory(all->err);
}

static int lay_boot(struct laying *all)
{
    const struct nzd_term *script = NULL;
    struct nzd_buf bytes = {0};
    if (!all->base->script || all->base->boot_file[0] != '/')
        return 0;
    int code = touch(all, &script);
    if (code)
        return code;
    nzd_etf_version(&bytes);
    nzd_term_encode(script, &bytes);
    int folder = open_made(all->fresh, all->err);
    if (folder < 0 || bytes.failed)
        code = folder < 0 ? all->err->code : nzd_err_memory(all->err);
    if (!code)
        code = write_file(folder, "start.boot", nzd_buf_view(&bytes), all->err);
    if (!code)
        code = write_file(folder, "base", nzd_view_text(all->base->boot_file),
                          all->err);
    if (folder >= 0)
        close(folder);
    nzd_buf_clear(&bytes);
    all->out->has_boot = code == 0;
    return code;
}

/* --- all of it ----------------------------------------------------------- */

static int name_folders(struct laying *all)
{
    struct nzd_overlay *out = all->out;
    const struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_buf path = {0};
    out->folders = calloc(plan->place_count + 1, sizeof *out->folders);
    for (uint32_t i = 0; out->folders && i < plan->place_count; i++) {
        struct nzd_overlay_folder *folder = &out->folders[i];
        nzd_buf_reset(&path);
        nzd_buf_printf(&path, "%s/%s", out->folder, plan->places[i].within);
        folder->base = strdup(plan->places[i].base);
        folder->instead = strdup(nzd_buf_string(&path));
        out->folder_count++;
        if (!folder->base || !folder->instead || path.failed)
            break;
    }
    bool whole =
        out->folders && out->folder_count == plan->place_count && !path.failed;
    for (uint32_t i = 0; i < out->folder_count; i++)
        whole = whole && out->folders[i].base && out->folders[i].instead;
    nzd_buf_clear(&path);
    return whole ? 0 : nzd_err_memory(all->err);
}

/* In place of one that is there already without a moment when there is none:
 * the node may load from it now. What was there is at `fresh` then. */
static int put_in_place(const char *fresh, const char *folder)
{
    /* By number: not every C library has it. */
    if (syscall(SYS_renameat2, AT_FDCWD, fresh, AT_FDCWD, folder,
                RENAME_EXCHANGE) == 0)
        return 0;
    remove_folder(folder);
    return rename(fresh, folder);
}

static int lay_out(struct laying *all)
{
    const char *fresh = all->fresh, *folder = all->out->folder;
    int code = 0;
    remove_folder(fresh);
    if (mkdir(fresh, 0755) != 0)
        return io_error(fresh, all->err);
    nzd_point("an overlay without files");
    for (uint32_t i = 0; i < all->plan.place_count && !code; i++)
        code = lay_place(all, i);
    if (!code)
        code = lay_boot(all);
    nzd_point("an overlay beside its place");
    if (!code && put_in_place(fresh, folder) != 0)
        code = io_error(folder, all->err);
    nzd_point("an overlay in its place");
    remove_folder(fresh);
    return code;
}

int nzd_overlay_make(struct nzd_journal *journal,
                     const struct nzd_overlay_base *base, uint64_t generation,
                     struct nzd_overlay *out, struct nzd_err *err)
{
    struct laying all = {
        .journal = journal, .base = base, .out = out, .err = err};
    memset(out, 0, sizeof *out);
    int code = nzd_overlay_root(journal, out->root, err);
    if (!code)
        code = nzd_overlay_plan_read(journal, base->identity, &all.plan, err);
    if (!code && (all.plan.module_count || all.plan.spec_count)) {
        snprintf(out->folder, sizeof out->folder, "%.500s%" PRIu64, out->root,
                 generation);
        snprintf(all.fresh, sizeof all.fresh, "%s.new", out->folder);
        code = name_folders(&all);
        if (!code)
            code = lay_out(&all);
    }
    nzd_overlay_plan_clear(&all.plan);
    return code;
}

static void booted_path(const char *root, char out[NZD_OVERLAY_PATH + 16])
{
    snprintf(out, NZD_OVERLAY_PATH + 16, "%sbooted", root);
}

int nzd_overlay_set_booted(const char *root, uint64_t generation,
                           struct nzd_err *err)
{
    char path[NZD_OVERLAY_PATH + 16], text[80];
    uint64_t start = 0;
    booted_path(root, path);
    remove_folder(path);
    nzd_point("nobody is marked as booted");
    if (!generation)
        return 0;
    int code = nzd_host_process_start(getpid(), &start, err);
    if (code)
        return code;
    snprintf(text, sizeof text, "%" PRIu64 " %ld %" PRIu64, generation,
             (long)getpid(), start);
    return write_file(AT_FDCWD, path, nzd_view_text(text), err);
}

uint64_t nzd_overlay_booted(const char *root)
{
    char path[NZD_OVERLAY_PATH + 16], text[80] = "";
    uint64_t generation = 0, start = 0, now = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    long pid = 0;
    booted_path(root, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0 || sscanf(text, "%" SCNu64 " %ld %" SCNu64, &generation, &pid,
                            &start) != 3)
        return 0;
    return nzd_host_process_start(pid, &now, &ignored) == 0 && now == start
               ? generation
               : 0;
}

void nzd_overlay_clear(struct nzd_overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->folder_count; i++) {
        free(overlay->folders[i].base);
        free(overlay->folders[i].instead);
    }
    free(overlay->folders);
    memset(overlay, 0, sizeof *overlay);
}

int nzd_overlay_set_current(const struct nzd_overlay *overlay,
                            struct nzd_err *err)
{
    char current[NZD_OVERLAY_PATH + 16], fresh[NZD_OVERLAY_PATH + 24];
    snprintf(current, sizeof current, "%scurrent", overlay->root);
    snprintf(fresh, sizeof fresh, "%s.new", current);
    if (!overlay->folder[0])
        return unlink(current) == 0 || errno == ENOENT ? 0
                                                       : io_error(current, err);
    remove_folder(fresh);
    if (symlink(strrchr(overlay->folder, '/') + 1, fresh) != 0)
        return io_error(fresh, err);
    nzd_point("the overlay's name beside its place");
    if (rename(fresh, current) == 0)
        return 0;
    /* Another thing than a link of ours. */
    remove_folder(current);
    return rename(fresh, current) == 0 ? 0 : io_error(current, err);
}

void nzd_overlay_sweep(const char *root, uint64_t generation)
{
    char keep[24], current[24] = "", path[NZD_OVERLAY_PATH + 300];
    DIR *folder = opendir(root);
    const struct dirent *entry;
    snprintf(keep, sizeof keep, "%" PRIu64, generation);
    snprintf(path, sizeof path, "%scurrent", root);
    if (readlink(path, current, sizeof current - 1) < 0)
        current[0] = '\0';
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, keep) ||
            !strcmp(entry->d_name, current) ||
            !strcmp(entry->d_name, "current") ||
            !strcmp(entry->d_name, "booted"))
            continue;
        snprintf(path, sizeof path, "%s%s", root, entry->d_name);
        remove_folder(path);
    }
    if (folder)
        closedir(folder);
}
