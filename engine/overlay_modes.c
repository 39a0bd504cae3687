/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Passwords stand in a sys.config, keys lie in priv: whoever could not read
 * the base's cannot read the generation's. */

/* The deepest folder above `path` that not everybody may enter. */
static bool find_narrow(const char *path, struct stat *out)
{
    char part[PATH_MAX];
    struct stat status;
    bool found = false;
    if (strlen(path) >= sizeof part)
        return false;
    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (stat(part, &status) != 0 || status.st_mode & S_IXOTH)
            continue;
        *out = status;
        found = true;
    }
    return found;
}

/* Where the owner cannot be given, it is left to us alone. */
static int hand_over(int fd, const struct stat *like, mode_t mode)
{
    bool whole = geteuid() == 0 ? fchown(fd, like->st_uid, like->st_gid) == 0
                                : fchown(fd, (uid_t)-1, like->st_gid) == 0;
    return fchmod(fd, whole ? mode : mode & 0700);
}

int nzd_overlay_hide(const char *folder, const char *base, struct nzd_err *err)
{
    struct stat narrow;
    if (base[0] != '/' || !find_narrow(base, &narrow))
        return 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool hidden =
        fd >= 0 && hand_over(fd, &narrow, 0700 | (narrow.st_mode & 0050)) == 0;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    errno = sys;
    return hidden ? 0 : nzd_overlay_io(folder, err);
}

int nzd_overlay_write_like(int folder, const char *name, struct nzd_view bytes,
                           const char *base, struct nzd_err *err)
{
    struct stat like;
    int fd = openat(folder, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && nzd_write_all(fd, bytes.data, bytes.size) == 0;
    if (written && stat(base, &like) == 0)
        written = hand_over(fd, &like, 0600 | (like.st_mode & 0044)) == 0;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    errno = sys;
    return written ? 0 : nzd_overlay_io(name, err);
}
