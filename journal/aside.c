/* SPDX-License-Identifier: Apache-2.0 */
#include "aside.h"

#include "journal.h"
#include "lock.h"
#include "point.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBERS 1000u /* of journals set aside in one place */

/* LMDB's readers and writers hold a lock on its lock file. */
static bool is_in_use(const char *directory)
{
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int fd = -1;
    bool used;

    if (snprintf(path, sizeof(path), "%s/lock.mdb", directory) <
        (int)sizeof(path))
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno != ENOENT;
    used = fcntl(fd, F_GETLK, &held) != 0 || held.l_type != F_UNLCK;
    close(fd);
    return used;
}

/* 0: it does not hold, and that is damage. */
static int prove(const char *directory, struct nzd_err *err)
{
    static const struct nzd_journal_options options = {.no_tidy = true};
    struct nzd_err found = NZD_ERR_INIT;
    struct nzd_journal *journal = NULL;
    int rc = nzd_journal_open(directory, NZD_JOURNAL_READ, &options, &journal,
                              &found);

    if (rc == NZD_OK)
        rc = nzd_journal_verify(journal, &found);
    nzd_journal_close(journal);
    if (rc && found.damage)
        return NZD_OK;
    return nzd_err_set(err, NZD_EREFUSED, "journal %s stays: %.300s", directory,
                       rc ? found.message : "it holds");
}

/* Onto a name that nobody has. Not every file system knows the flag. */
static int rename_to(const char *from, const char *to)
{
    struct stat there;

    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
                RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (lstat(to, &there) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

static int sync_above(char *path, struct nzd_err *err)
{
    char *slash = strrchr(path, '/');
    int rc;

    if (!slash || slash == path)
        return nzd_store_sync_directory(slash ? "/" : ".", err);
    *slash = '\0';
    rc = nzd_store_sync_directory(path, err);
    *slash = '/';
    return rc;
}

static int move_away(const char *directory, char *to, size_t to_size,
                     struct nzd_err *err)
{
    size_t size = strlen(directory);
    int sys = EEXIST;

    while (size > 1 && directory[size - 1] == '/')
        size--;
    for (unsigned number = 1; number < NUMBERS && sys == EEXIST; number++) {
        int printed =
            snprintf(to, to_size, "%.*s.bad-%u", (int)size, directory, number);

        if (printed < 0 || (size_t)printed >= to_size)
            return nzd_err_system(err, NZD_EJOURNAL, ENAMETOOLONG, "rename %s",
                                  directory);
        sys = rename_to(directory, to) == 0 ? 0 : errno;
    }
    if (sys)
        return nzd_err_system(err, NZD_EJOURNAL, sys, "rename %s", directory);
    nzd_point("a journal set aside");
    return sync_above(to, err);
}

int nzd_journal_set_aside(const char *directory, uint64_t wait_us, char *to,
                          size_t to_size, struct nzd_err *err)
{
    int lock = -1;
    int rc = nzd_lock_take(directory, "nzd", wait_us, &lock, err);

    if (rc == NZD_OK && is_in_use(directory))
        rc = nzd_err_set(err, NZD_EBUSY, "journal %s is open", directory);
    if (rc == NZD_OK)
        rc = prove(directory, err);
    nzd_point("a journal proven to be damaged");
    if (rc == NZD_OK)
        rc = move_away(directory, to, to_size, err);
    nzd_lock_release(lock);
    return rc;
}
