/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include "../journal/point.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int make_parents(const char *path, struct nzd_err *err)
{
    char part[NZD_OVERLAY_PATH];
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

static int find_root(struct nzd_journal *journal, char *root,
                     struct nzd_err *err)
{
    char uuid[9];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    nzd_hex(uuid, nzd_journal_uuid(journal), 4);
    if (geteuid() == 0)
        runtime = "/run";
    if (!runtime || runtime[0] != '/' || access(runtime, W_OK) != 0)
        return nzd_err_set(err, NZD_ENOTFOUND,
                           "there is no runtime folder for an overlay");
    int size =
        snprintf(root, NZD_OVERLAY_PATH, "%s/nzd/overlay/%s/", runtime, uuid);
    if (size < 0 || size >= NZD_OVERLAY_PATH - 40)
        return nzd_err_set(err, NZD_ENOTFOUND, "%s is too long", runtime);
    return make_parents(root, err);
}

/* Rows are copied out first: the journal's reader ends before files are
 * written. */
struct laying {
    char **modules;
    struct nzd_digest *blobs;
    uint32_t count;
    uint32_t capacity;
    struct nzd_err *err;
};

static int note_row(void *context, const struct nzd_live_row *row)
{
    struct laying *all = context;
    if (nzd_digest_is_zero(&row->blob) || strchr(row->module, '/'))
        return 0;
    if (all->count == all->capacity) {
        uint32_t capacity = all->capacity ? 2 * all->capacity : 64;
        void *modules = realloc(all->modules, capacity * sizeof(char *));
        if (!modules)
            return nzd_err_memory(all->err);
        all->modules = modules;
        void *blobs = realloc(all->blobs, capacity * sizeof *all->blobs);
        if (!blobs)
            return nzd_err_memory(all->err);
        all->blobs = blobs;
        all->capacity = capacity;
    }
    all->blobs[all->count] = row->blob;
    all->modules[all->count] = strdup(row->module);
    return all->modules[all->count++] ? 0 : nzd_err_memory(all->err);
}

static int write_file(int folder, const char *module, struct nzd_view bytes,
                      struct nzd_err *err)
{
    char name[1100];
    snprintf(name, sizeof name, "%s.beam", module);
    int fd = openat(folder, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return nzd_err_system(err, NZD_EINTERNAL, errno, "overlay: %s", name);
    int failed = nzd_write_all(fd, bytes.data, bytes.size);
    int sys = errno;
    close(fd);
    return failed ? nzd_err_system(err, NZD_EINTERNAL, sys, "overlay: %s", name)
                  : 0;
}

static int write_all(struct nzd_journal *journal, const struct laying *all,
                     const char *path, struct nzd_err *err)
{
    struct nzd_buf bytes = {0};
    int code = 0;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return nzd_err_system(err, NZD_EINTERNAL, errno, "%s", path);
    for (uint32_t i = 0; i < all->count && !code; i++) {
        nzd_buf_reset(&bytes);
        code = nzd_journal_get_blob(journal, &all->blobs[i], &bytes, err);
        if (!code)
            code =
                write_file(folder, all->modules[i], nzd_buf_view(&bytes), err);
    }
    nzd_buf_clear(&bytes);
    close(folder);
    return code;
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
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

static int lay_out(struct nzd_journal *journal, const struct laying *all,
                   const char *folder, struct nzd_err *err)
{
    char fresh[NZD_OVERLAY_PATH + 8];
    snprintf(fresh, sizeof fresh, "%s.new", folder);
    remove_folder(fresh);
    if (mkdir(fresh, 0755) != 0)
        return nzd_err_system(err, NZD_EINTERNAL, errno, "%s", fresh);
    nzd_point("an overlay without files");
    int code = write_all(journal, all, fresh, err);
    nzd_point("an overlay beside its place");
    if (!code && put_in_place(fresh, folder) != 0)
        code = nzd_err_system(err, NZD_EINTERNAL, errno, "%s", folder);
    nzd_point("an overlay in its place");
    remove_folder(fresh);
    return code;
}

int nzd_overlay_make(struct nzd_journal *journal, const struct nzd_digest *base,
                     uint64_t generation, char *folder, char *root,
                     struct nzd_err *err)
{
    struct laying all = {.err = err};
    folder[0] = '\0';
    int code = find_root(journal, root, err);
    if (!code)
        code = nzd_journal_each_live(journal, base, note_row, &all, err);
    if (!code && all.count) {
        snprintf(folder, NZD_OVERLAY_PATH, "%.500s%" PRIu64, root, generation);
        code = lay_out(journal, &all, folder, err);
    }
    for (uint32_t i = 0; i < all.count; i++)
        free(all.modules[i]);
    free(all.modules);
    free(all.blobs);
    return code;
}

void nzd_overlay_sweep(const char *root, uint64_t generation)
{
    char keep[24], path[NZD_OVERLAY_PATH + 300];
    DIR *folder = opendir(root);
    const struct dirent *entry;
    snprintf(keep, sizeof keep, "%" PRIu64, generation);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, keep))
            continue;
        snprintf(path, sizeof path, "%s%s", root, entry->d_name);
        remove_folder(path);
    }
    if (folder)
        closedir(folder);
}
