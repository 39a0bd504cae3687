/* SPDX-License-Identifier: Apache-2.0 */
#include "point.h"
#include "store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_TABLES 16
#define DISK_FULL  (256u << 10) /* bytes free below which EIO means full */

/* --- errors --- */

static bool disk_is_full(const char *directory, int rc)
{
    struct statvfs disk;

    if (rc == ENOSPC || rc == EDQUOT)
        return true;
    /* A short write comes out of LMDB as EIO. */
    return rc == EIO && statvfs(directory, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize < DISK_FULL;
}

/* Of LMDB's own codes only these speak of the file: the others of the program,
 * of another version, or of an error that came before. */
static bool is_of_the_file(int rc)
{
    return rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND;
}

static int damaged(const char *directory, int rc, const char *doing,
                   struct nzd_err *err)
{
    if (!is_of_the_file(rc))
        return nzd_err_set(err, NZD_EJOURNAL, "journal %s: %s: %s", directory,
                           doing, mdb_strerror(rc));
    nzd_err_damage(err, "journal %s is damaged: %s: %s", directory, doing,
                   mdb_strerror(rc));
    nzd_err_next(err, "keep a copy and move the directory away: the next "
                      "apply begins a new journal");
    return NZD_EJOURNAL;
}

static int full(const char *directory, uint64_t max_bytes, struct nzd_err *err)
{
    nzd_err_set(err, NZD_EJOURNAL,
                "journal %s is full: its bound is %" PRIu64 " KB", directory,
                max_bytes / 1024);
    nzd_err_next(err, "raise journal_max in /etc/nzd.conf, or keep fewer "
                      "transactions (keep)");
    return NZD_EJOURNAL;
}

/* What there is to do about an error of the system. */
static void advise(const char *directory, int rc, struct nzd_err *err)
{
    if (disk_is_full(directory, rc))
        nzd_err_next(err, "make room on the file system of %s", directory);
    else if (rc == EROFS || rc == EACCES || rc == EPERM)
        nzd_err_next(err,
                     "it must be readable, and to change anything "
                     "writable: see mount(8) and the owner of %s",
                     directory);
    else if (rc == EMFILE || rc == ENFILE)
        nzd_err_next(err, "see how many files may be open: ulimit -n");
    else if (rc == ENOLCK)
        nzd_err_next(err, "the file system must know fcntl(2) locks: name a "
                          "directory on another one, --journal DIR");
    else if (rc == EIO)
        nzd_err_next(err, "see the kernel log: the disk may be failing");
}

int nzd_store_fail(const char *directory, uint64_t max_bytes, int rc,
                   const char *doing, struct nzd_err *err)
{
    if (rc == ENOMEM)
        return nzd_err_memory(err);
    if (rc == MDB_MAP_FULL)
        return full(directory, max_bytes, err);
    if (rc == MDB_READERS_FULL) {
        nzd_err_set(err, NZD_EJOURNAL, "journal %s has too many readers",
                    directory);
        return NZD_EJOURNAL;
    }
    if (rc < 0)
        return damaged(directory, rc, doing, err);
    nzd_err_system(err, NZD_EJOURNAL, rc, "journal %s: %s%s", directory,
                   disk_is_full(directory, rc) ? "the disk is full: " : "",
                   doing);
    advise(directory, rc, err);
    return NZD_EJOURNAL;
}

/* --- environments --- */

unsigned nzd_store_read_flags(const char *directory, const char *copy)
{
    struct nzd_buf path = {0};
    unsigned flags = MDB_RDONLY;

    if (copy)
        return MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR;
    /* A reader makes no lock file: without one nobody has the store open. */
    nzd_buf_printf(&path, "%s/lock.mdb", directory);
    if (access(nzd_buf_string(&path), R_OK | W_OK) != 0)
        flags |= MDB_NOLOCK;
    nzd_buf_clear(&path);
    return flags;
}

/*
 * LMDB's file begins with a page's header, 16 bytes of it where pointers have
 * 64 bits and 12 where they have 32, and then its magic number.
 */
static bool has_magic(const char *directory, const char *name, size_t at)
{
    static const uint32_t magic = 0xBEEFC0DE;
    struct nzd_buf path = {0};
    uint8_t found[sizeof(magic)];
    bool has;
    int fd;

    nzd_buf_printf(&path, "%s/%s", directory, name);
    fd = open(nzd_buf_string(&path), O_RDONLY | O_CLOEXEC);
    has = fd >= 0 && nzd_pread_all(fd, found, sizeof(found), at) == 0 &&
          memcmp(found, &magic, sizeof(magic)) == 0;
    if (fd >= 0)
        close(fd);
    nzd_buf_clear(&path);
    return has;
}

static bool is_of_other_words(const char *directory)
{
    return has_magic(directory, "data.mdb", sizeof(void *) == 8 ? 12 : 16);
}

/* lock.mdb begins with it, too, once somebody has had all of the store's locks
 * for a moment. */
static bool is_only_unlocked(const char *directory)
{
    return has_magic(directory, "data.mdb", sizeof(void *) == 8 ? 16 : 12) &&
           !has_magic(directory, "lock.mdb", 0);
}

static int not_locked(const char *directory, struct nzd_err *err)
{
    nzd_err_set(err, NZD_EJOURNAL,
                "journal %s cannot be locked: its lock.mdb is none of LMDB",
                directory);
    advise(directory, ENOLCK, err);
    return NZD_EJOURNAL;
}

static int other_words(const char *directory, struct nzd_err *err)
{
    nzd_err_set(err, NZD_EJOURNAL,
                "journal %s was written on a machine of %u bits, this one has "
                "%zu",
                directory, sizeof(void *) == 8 ? 32u : 64u, 8 * sizeof(void *));
    nzd_err_next(err, "there: nzd journal export FILE; here: nzd journal "
                      "import FILE");
    return NZD_EJOURNAL;
}

/* A header that is damaged may name a size that no address space holds. */
static int open_failed(const char *directory, int rc, struct nzd_err *err)
{
    if (rc == MDB_INVALID && is_of_other_words(directory))
        return other_words(directory, err);
    if (rc == MDB_INVALID && is_only_unlocked(directory))
        return not_locked(directory, err);
    if (rc != ENOMEM)
        return nzd_store_fail(directory, 0, rc, "open", err);
    return nzd_err_set(err, NZD_EJOURNAL,
                       "journal %s cannot be mapped: its header is damaged, or "
                       "memory is short",
                       directory);
}

int nzd_store_env(const char *directory, const char *path, unsigned flags,
                  uint64_t map, struct MDB_env **out, struct nzd_err *err)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);

    if (rc == 0)
        rc = mdb_env_set_maxdbs(env, MAX_TABLES);
    if (rc == 0 && map)
        rc = mdb_env_set_mapsize(env, (size_t)map);
    if (rc == 0)
        rc = mdb_env_open(env, path, flags | MDB_NOTLS, 0600);
    if (rc == 0 && mdb_env_get_maxkeysize(env) < NZD_STORE_KEY_MAX)
        rc = MDB_BAD_VALSIZE;
    if (rc) {
        mdb_env_close(env);
        return open_failed(directory, rc, err);
    }
    *out = env;
    return NZD_OK;
}

/* --- directories --- */

int nzd_store_sync_directory(const char *directory, struct nzd_err *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int sys = 0;

    if (fd < 0 && errno != EACCES)
        sys = errno;
    else if (fd < 0)
        return NZD_OK; /* not ours to sync, so not made by us */
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        sys = errno;
    if (fd >= 0)
        close(fd);
    if (!sys)
        return NZD_OK;
    nzd_err_system(err, NZD_EJOURNAL, sys, "sync %s", directory);
    advise(directory, sys, err);
    return NZD_EJOURNAL;
}

static int make_one(const char *path, struct nzd_err *err)
{
    struct stat found;
    int sys;

    if (mkdir(path, 0700) == 0)
        return NZD_OK;
    sys = errno;
    if (stat(path, &found) == 0 && S_ISDIR(found.st_mode))
        return NZD_OK;
    if (sys == EEXIST)
        sys = ENOTDIR;
    nzd_err_system(err, NZD_EJOURNAL, sys, "make the directory %s", path);
    if (sys == EROFS || sys == EACCES)
        nzd_err_next(err,
                     "name a directory that can be written: --journal DIR");
    advise(path, sys, err);
    return NZD_EJOURNAL;
}

/* A name is on disk when the directory that holds it is synced. */
static int sync_above(char *path, struct nzd_err *err)
{
    char *slash = strrchr(path, '/');
    int rc;

    if (!slash)
        return nzd_store_sync_directory(".", err);
    if (slash == path)
        return nzd_store_sync_directory("/", err);
    *slash = '\0';
    rc = nzd_store_sync_directory(path, err);
    *slash = '/';
    return rc;
}

/*
 * All that lead to it are synced, also those found: an earlier run may have
 * made them and have been interrupted before it synced.
 */
int nzd_store_make_directory(const char *directory, struct nzd_err *err)
{
    char *path = strdup(directory);
    int rc = NZD_OK;

    if (!path)
        return nzd_err_memory(err);
    for (char *at = path; rc == NZD_OK && *at;) {
        char kept;

        at += strspn(at, "/");
        if (*at == '\0')
            break;
        at += strcspn(at, "/");
        kept = *at;
        *at = '\0';
        rc = make_one(path, err);
        nzd_point("a directory of the journal");
        if (rc == NZD_OK)
            rc = sync_above(path, err);
        *at = kept;
    }
    free(path);
    return rc;
}

/* What a creation that was cut off may leave, and what a file system has. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {
        ".", "..", "lock", "boot", "data.mdb.new", "lost+found",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static int find_others(const char *directory, DIR *entries, struct nzd_err *err)
{
    struct dirent *entry;

    while ((errno = 0, entry = readdir(entries)) != NULL) {
        if (is_ours(entry->d_name))
            continue;
        nzd_err_set(err, NZD_EJOURNAL,
                    "%s holds other files (%s) but no journal", directory,
                    entry->d_name);
        nzd_err_next(err, "name a directory of its own: --journal DIR");
        return NZD_EJOURNAL;
    }
    if (errno)
        return nzd_store_fail(directory, 0, errno, "list the directory", err);
    return nzd_err_set(err, NZD_ENOTFOUND, "there is no journal in %s",
                       directory);
}

int nzd_store_find(const char *directory, struct nzd_err *err)
{
    DIR *entries = opendir(directory);
    struct stat file;
    int rc;

    if (!entries && errno == ENOENT)
        return nzd_err_set(err, NZD_ENOTFOUND, "there is no journal in %s",
                           directory);
    if (!entries)
        return nzd_store_fail(directory, 0, errno, "open the directory", err);
    if (fstatat(dirfd(entries), "data.mdb", &file, 0) == 0) {
        rc = NZD_OK;
        if (!S_ISREG(file.st_mode) || file.st_size == 0)
            rc = damaged(directory, MDB_INVALID, "data.mdb is empty", err);
    } else if (errno == ENOENT) {
        rc = find_others(directory, entries, err);
    } else {
        rc = nzd_store_fail(directory, 0, errno, "look at data.mdb", err);
    }
    closedir(entries);
    return rc;
}
