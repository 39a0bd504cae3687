/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include "../journal/point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (64u << 10)
/* native/UUID, and the folder it is in. */
#define ABOVE_NATIVE 3

/* The same bytes, which may be run. */
static bool is_there(const char *path, struct nzd_view bytes)
{
    static uint8_t chunk[CHUNK];
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool same = fstat(fd, &file) == 0 && S_ISREG(file.st_mode) &&
                (file.st_mode & 0777) == 0755 &&
                (uint64_t)file.st_size == bytes.size;
    for (size_t at = 0; same && at < bytes.size; at += CHUNK) {
        size_t size = bytes.size - at < CHUNK ? bytes.size - at : CHUNK;
        same = nzd_pread_all(fd, chunk, size, at) == 0 &&
               memcmp(chunk, bytes.data + at, size) == 0;
    }
    close(fd);
    return same;
}

static int write_all(const char *path, struct nzd_view bytes,
                     struct nzd_err *err)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0755);
    if (fd < 0)
        return nzd_overlay_io(path, err);
    bool written =
        nzd_write_all(fd, bytes.data, bytes.size) == 0 && fchmod(fd, 0755) == 0;
    int sys = errno;
    if (close(fd) != 0 && written)
        return nzd_overlay_io(path, err);
    errno = sys;
    return written ? 0 : nzd_overlay_io(path, err);
}

/* A VM may have the one that was there before mapped: it keeps it. */
static int replace(const char *path, struct nzd_view bytes, struct nzd_err *err)
{
    char fresh[PATH_MAX];
    int size = snprintf(fresh, sizeof fresh, "%s.new", path);
    if (size < 0 || (size_t)size >= sizeof fresh)
        return nzd_err_set(err, NZD_EINTERNAL, "overlay: %.200s is too long",
                           path);
    nzd_overlay_remove(fresh);
    int code = write_all(fresh, bytes, err);
    nzd_point("a native library beside its place");
    if (!code && rename(fresh, path) != 0) {
        /* Another thing than a file of ours. */
        nzd_overlay_remove(path);
        if (rename(fresh, path) != 0)
            code = nzd_overlay_io(path, err);
    }
    if (code)
        nzd_overlay_remove(fresh);
    return code;
}

int nzd_overlay_put_native(struct nzd_laying *all, const char *within,
                           struct nzd_view bytes, char path[PATH_MAX])
{
    const char *folder = strrchr(all->out->folder, '/') + 1;
    int size =
        snprintf(path, PATH_MAX, "%s%s/%s", all->out->native, folder, within);
    if (!all->out->native[0] || size < 0 || size >= PATH_MAX)
        return nzd_err_set(all->err, NZD_EINTERNAL,
                           "overlay: there is no folder for %.200s", within);
    return nzd_overlay_put_program(all, path, bytes);
}

int nzd_overlay_put_program(struct nzd_laying *all, const char *path,
                            struct nzd_view bytes)
{
    int code = nzd_overlay_parents(path, all->err);
    if (!code)
        code = nzd_overlay_own(all->out->native, ABOVE_NATIVE, all->err);
    if (code)
        return code;
    return is_there(path, bytes) ? 0 : replace(path, bytes, all->err);
}
