/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include "../journal/point.h"
#include "discover.h"
#include "overlay_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* nzd/overlay/UUID, and the folder that they are in. */
#define ABOVE_OVERLAY 4
/* Folders of others that are kept, in RAM. */
#define ASIDE_AT_MOST 4

const char *nzd_overlay_place(void)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if (!runtime || runtime[0] != '/' || access(runtime, W_OK) != 0)
        return NULL;
    return runtime;
}

static int name_root(struct nzd_journal *journal, char root[NZD_OVERLAY_PATH],
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
    return 0;
}

int nzd_overlay_root(struct nzd_journal *journal, char root[NZD_OVERLAY_PATH],
                     struct nzd_err *err)
{
    int code = name_root(journal, root, err);
    if (!code)
        code = nzd_overlay_parents(root, err);
    return code ? code : nzd_overlay_own(root, ABOVE_OVERLAY, err);
}

/* Renamed and not removed: who owns it could put links in the way. */
void nzd_overlay_set_aside(struct nzd_journal *journal)
{
    char root[NZD_OVERLAY_PATH], above[NZD_OVERLAY_PATH];
    char aside[NZD_OVERLAY_PATH + 16];
    struct nzd_err ignored = NZD_ERR_INIT;
    struct stat status;
    if (name_root(journal, root, &ignored))
        return;
    root[strlen(root) - 1] = '\0';
    memcpy(above, root, sizeof above);
    strrchr(above, '/')[1] = '\0';
    if (lstat(root, &status) != 0 || !S_ISDIR(status.st_mode) ||
        nzd_overlay_own(above, ABOVE_OVERLAY - 1, &ignored) ||
        !nzd_overlay_own(root, 1, &ignored))
        return;
    for (unsigned n = 1; n <= ASIDE_AT_MOST; n++) {
        snprintf(aside, sizeof aside, "%s.aside-%u", root, n);
        if (syscall(SYS_renameat2, AT_FDCWD, root, AT_FDCWD, aside,
                    RENAME_NOREPLACE) == 0)
            return;
    }
}

/* --- all of it ----------------------------------------------------------- */

static int name_folders(struct nzd_laying *all)
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
    nzd_overlay_remove(folder);
    return rename(fresh, folder);
}

static int lay_out(struct nzd_laying *all)
{
    const char *fresh = all->fresh, *folder = all->out->folder;
    int code = 0;
    nzd_overlay_remove(fresh);
    if (mkdir(fresh, 0755) != 0)
        return nzd_overlay_io(fresh, all->err);
    code = nzd_overlay_hide(fresh, all->base->boot_file, all->err);
    nzd_point("an overlay without files");
    for (uint32_t i = 0; i < all->plan.place_count && !code; i++)
        code = nzd_overlay_lay_place(all, i);
    if (!code)
        code = nzd_overlay_lay_config(all);
    if (!code)
        code = nzd_overlay_lay_erts(all);
    if (!code)
        code = nzd_overlay_lay_boot(all);
    nzd_point("an overlay beside its place");
    if (!code && put_in_place(fresh, folder) != 0)
        code = nzd_overlay_io(folder, all->err);
    nzd_point("an overlay in its place");
    nzd_overlay_remove(fresh);
    return code;
}

/* Beside the journal: what lies in RAM may not be mounted to be run. "" where
 * it is not to be named. */
static void name_native(struct nzd_journal *journal, struct nzd_overlay *out)
{
    char real[PATH_MAX], uuid[9];
    nzd_hex(uuid, nzd_journal_uuid(journal), 4);
    if (!realpath(nzd_journal_directory(journal), real))
        return;
    *strrchr(real, '/') = '\0';
    int size =
        snprintf(out->native, sizeof out->native, "%s/native/%s/", real, uuid);
    if (size < 0 || (size_t)size >= sizeof out->native)
        out->native[0] = '\0';
}

int nzd_overlay_make_erts(struct nzd_journal *journal, const char *version,
                          const struct nzd_overlay_program *programs,
                          uint32_t count, char folder[NZD_OVERLAY_PATH],
                          struct nzd_err *err)
{
    struct nzd_overlay out = {.folder_count = 0};
    struct nzd_laying all = {.journal = journal, .out = &out, .err = err};
    all.plan.programs = (struct nzd_overlay_program *)(uintptr_t)programs;
    all.plan.program_count = count;
    name_native(journal, &out);
    int code = nzd_overlay_lay_programs(&all, version);
    if (!code)
        snprintf(folder, NZD_OVERLAY_PATH, "%s", out.erts);
    return code;
}

bool nzd_overlay_has_base(const struct nzd_laying *all)
{
    return all->base->script && all->base->boot_file[0] == '/';
}

int nzd_overlay_blob(struct nzd_laying *all, const struct nzd_digest *blob,
                     struct nzd_buf *bytes)
{
    int code = nzd_journal_get_blob(all->journal, blob, bytes, all->err);
    if (code == NZD_ENOTFOUND)
        all->err->code = code = NZD_EJOURNAL;
    return code;
}

int nzd_overlay_make(struct nzd_journal *journal,
                     const struct nzd_overlay_base *base, uint64_t generation,
                     struct nzd_overlay *out, struct nzd_err *err)
{
    struct nzd_laying all = {.journal = journal,
                             .base = base,
                             .generation = generation,
                             .out = out,
                             .err = err};
    memset(out, 0, sizeof *out);
    int code = nzd_overlay_root(journal, out->root, err);
    if (!code)
        code = nzd_overlay_plan_read(journal, base, generation, &all.plan, err);
    if (!code)
        name_native(journal, out);
    if (!code && all.plan.differs) {
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
    nzd_overlay_remove(path);
    nzd_point("nobody is marked as booted");
    if (!generation)
        return 0;
    int code = nzd_host_process_start(getpid(), &start, err);
    if (code)
        return code;
    snprintf(text, sizeof text, "%" PRIu64 " %ld %" PRIu64, generation,
             (long)getpid(), start);
    return nzd_overlay_write(AT_FDCWD, path, nzd_view_text(text), err);
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
        return unlink(current) == 0 || errno == ENOENT
                   ? 0
                   : nzd_overlay_io(current, err);
    nzd_overlay_remove(fresh);
    if (symlink(strrchr(overlay->folder, '/') + 1, fresh) != 0)
        return nzd_overlay_io(fresh, err);
    nzd_point("the overlay's name beside its place");
    if (rename(fresh, current) == 0)
        return 0;
    /* Another thing than a link of ours. */
    nzd_overlay_remove(current);
    return rename(fresh, current) == 0 ? 0 : nzd_overlay_io(current, err);
}

/* --- what is no longer used ---------------------------------------------- */

/* The ERTS of this name is that of the generation, whose overlay says so. */
static bool runs_on(const char *overlays, const char *generation,
                    const char *name)
{
    char path[NZD_OVERLAY_PATH + 40], target[PATH_MAX], part[300];
    snprintf(path, sizeof path, "%s%s/erts", overlays, generation);
    ssize_t size =
        generation[0] ? readlink(path, target, sizeof target - 1) : -1;
    if (size < 0)
        return false;
    target[size] = '\0';
    snprintf(part, sizeof part, "/%s/", name);
    return strstr(target, part) != NULL;
}

/* Names of generations, "" for none. */
struct keeping {
    char keep[24];
    char before[24];
    char current[24];
    uint64_t behind; /* only what is of a later one goes; 0: all */
};

static bool is_kept(const struct keeping *keeping, const char *overlays,
                    const char *name)
{
    const char *const names[] = {keeping->keep, keeping->before,
                                 keeping->current};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]) || runs_on(overlays, names[i], name))
            return true;
    return keeping->behind && strtoull(name, NULL, 10) <= keeping->behind;
}

/* Everything in the folder but what is of these generations. */
static void sweep(const char *root, const char *overlays,
                  const struct keeping *keeping)
{
    char path[NZD_OVERLAY_PATH + 300];
    DIR *folder = root[0] ? opendir(root) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        const char *name = entry->d_name;
        if (name[0] == '.' || !strcmp(name, "current") ||
            !strcmp(name, "booted") || is_kept(keeping, overlays, name))
            continue;
        snprintf(path, sizeof path, "%s%s", root, name);
        nzd_overlay_remove(path);
    }
    if (folder)
        closedir(folder);
}

static void sweep_both(const struct nzd_overlay *overlay, uint64_t generation,
                       struct keeping *keeping)
{
    char path[NZD_OVERLAY_PATH + 16];
    snprintf(keeping->keep, sizeof keeping->keep, "%" PRIu64, generation);
    snprintf(path, sizeof path, "%scurrent", overlay->root);
    ssize_t size =
        readlink(path, keeping->current, sizeof keeping->current - 1);
    keeping->current[size < 0 ? 0 : size] = '\0';
    sweep(overlay->root, overlay->root, keeping);
    sweep(overlay->native, overlay->root, keeping);
}

/* Of a journal that was set aside no VM loads anything: it has no overlay
 * since this host was started, and would write anew what it needs. */
static void sweep_others(const char *native)
{
    const char *place = nzd_overlay_place();
    char above[NZD_OVERLAY_PATH], path[NZD_OVERLAY_PATH + 300];
    uint8_t uuid[4];
    snprintf(above, sizeof above, "%.*s", (int)strlen(native) - 9, native);
    DIR *folder = place ? opendir(above) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        snprintf(path, sizeof path, "%s/nzd/overlay/%s", place, entry->d_name);
        if (!nzd_unhex(uuid, sizeof uuid, entry->d_name) ||
            access(path, F_OK) == 0)
            continue;
        snprintf(path, sizeof path, "%s%s", above, entry->d_name);
        nzd_overlay_remove(path);
    }
    if (folder)
        closedir(folder);
}

void nzd_overlay_sweep(const struct nzd_overlay *overlay, uint64_t generation,
                       uint64_t before)
{
    struct keeping keeping = {.behind = 0};
    if (before)
        snprintf(keeping.before, sizeof keeping.before, "%" PRIu64, before);
    sweep_both(overlay, generation, &keeping);
    if (overlay->native[0])
        sweep_others(overlay->native);
}

void nzd_overlay_sweep_undone(const struct nzd_overlay *overlay,
                              uint64_t generation, uint64_t in_force)
{
    struct keeping keeping = {.behind = in_force};
    sweep_both(overlay, generation, &keeping);
}

void nzd_overlay_sweep_all(struct nzd_journal *journal)
{
    struct nzd_overlay none = {.folder_count = 0};
    struct nzd_err ignored = NZD_ERR_INIT;
    name_native(journal, &none);
    if (!none.native[0] || access(none.native, F_OK) != 0 ||
        nzd_overlay_root(journal, none.root, &ignored))
        return;
    nzd_overlay_set_current(&none, &ignored);
    nzd_overlay_sweep(&none, 0, 0);
}
