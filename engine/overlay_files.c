/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int nzd_overlay_io(const char *path, struct nzd_err *err)
{
    return nzd_err_system(err, NZD_EINTERNAL, errno, "overlay: %s", path);
}

int nzd_overlay_parents(const char *path, struct nzd_err *err)
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

static int judge_folder(const char *path, struct nzd_err *err)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return nzd_overlay_io(path, err);
    bool open =
        status.st_mode & (S_IWGRP | S_IWOTH) && !(status.st_mode & S_ISVTX);
    if (S_ISDIR(status.st_mode) && !open &&
        (status.st_uid == 0 || status.st_uid == geteuid()))
        return 0;
    nzd_err_set(err, NZD_EREFUSED, "%s: %s", path,
                !S_ISDIR(status.st_mode) ? "not a folder"
                : open                   ? "others may write in it"
                                         : "it is another user's");
    nzd_err_next(err, "what lies there is run: remove it, or see who made it");
    return NZD_EREFUSED;
}

int nzd_overlay_own(const char *path, unsigned count, struct nzd_err *err)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof part)
        return nzd_err_set(err, NZD_EINTERNAL, "overlay: %.200s is too long",
                           path);
    memcpy(part, path, size + 1);
    for (int code; count > 0; count--) {
        while (size > 1 && part[size - 1] == '/')
            part[--size] = '\0';
        if ((code = judge_folder(part, err)))
            return code;
        while (size > 1 && part[size - 1] != '/')
            size--;
        part[size] = '\0';
    }
    return 0;
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
void nzd_overlay_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int nzd_overlay_write(int folder, const char *name, struct nzd_view bytes,
                      struct nzd_err *err)
{
    int fd = openat(folder, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return nzd_overlay_io(name, err);
    int failed = nzd_write_all(fd, bytes.data, bytes.size);
    int sys = errno;
    close(fd);
    errno = sys;
    return failed ? nzd_overlay_io(name, err) : 0;
}

int nzd_overlay_open(const char *path, struct nzd_err *err)
{
    char whole[NZD_OVERLAY_PATH * 2];
    snprintf(whole, sizeof whole, "%s/", path);
    if (nzd_overlay_parents(whole, err))
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        nzd_overlay_io(path, err);
    return fd;
}

int nzd_overlay_link(const char *target, int folder, const char *name,
                     struct nzd_err *err)
{
    return symlinkat(target, folder, name) == 0 || errno == EEXIST
               ? 0
               : nzd_overlay_io(target, err);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int link_entry(const char *base, const char *name, int folder,
                      struct nzd_err *err)
{
    char target[PATH_MAX];
    int size = snprintf(target, sizeof target, "%s/%s", base, name);
    if (size < 0 || (size_t)size >= sizeof target)
        return nzd_err_set(err, NZD_EINTERNAL, "overlay: %.200s is too long",
                           base);
    return nzd_overlay_link(target, folder, name, err);
}

int nzd_overlay_link_rest(const char *base, int folder, bool lacks,
                          bool (*skip)(const void *context, const char *name),
                          const void *context, struct nzd_err *err)
{
    DIR *entries = opendir(base);
    const struct dirent *entry;
    int code = 0;
    if (!entries && lacks && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!entries)
        return nzd_overlay_io(base, err);
    while (!code && (errno = 0, entry = readdir(entries)))
        if (!is_dots(entry->d_name) && !skip(context, entry->d_name))
            code = link_entry(base, entry->d_name, folder, err);
    /* A folder that lacks what could not be listed would be another release. */
    if (!code && errno)
        code = nzd_overlay_io(base, err);
    closedir(entries);
    return code;
}
