/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A shared object for LD_PRELOAD that records what a program does to the files
 * below one folder; see tests/recording.h. Whoever records compares the folder
 * with what the log makes of it: a call that is missing here shows there.
 *
 * sync_file_range(2) and msync(2) are left out: the first promises nothing, and
 * of what is mapped nothing is held to be on disk.
 */

/* With wide offsets open(2) is open64(2) in the headers already. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include "../recording.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The function of this name that the program would have got. */
#define REAL(name)                                                             \
    static __typeof__(name) *real;                                             \
    if (!real)                                                                 \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* --- the log ------------------------------------------------------------- */

static void append(struct recording_entry *entry, const char *name,
                   const char *other, const struct iovec *data, size_t size)
{
    static unsigned long count;
    const char *log = getenv("NZD_RECORD_LOG");
    const char *kill_at = getenv("NZD_RECORD_KILL_AT");
    struct iovec parts[4] = {
        {entry, sizeof *entry},
        {(void *)(uintptr_t)name, name ? strlen(name) : 0},
        {(void *)(uintptr_t)other, other ? strlen(other) : 0},
        {NULL, size},
    };
    int error = errno;
    /* As one write, so that the entries of several processes stay whole. */
    char *joined = malloc(size ? size : 1);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log,
                          O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (!joined || fd < 0)
        abort();
    for (size_t done = 0; done < size; data++) {
        size_t part = data->iov_len;
        if (part > size - done)
            part = size - done;
        memcpy(joined + done, data->iov_base, part);
        done += part;
    }
    parts[3].iov_base = joined;
    entry->name_size = (uint32_t)parts[1].iov_len;
    entry->other_size = (uint32_t)parts[2].iov_len;
    entry->data_size = size;
    if (syscall(SYS_writev, fd, parts, 4) < 0)
        abort();
    syscall(SYS_close, fd);
    free(joined);
    if (entry->kind != RECORDING_MARK && kill_at &&
        ++count == strtoul(kill_at, NULL, 10))
        kill(getpid(), SIGKILL);
    errno = error;
}

/* What follows the folder in an absolute path, or NULL. */
static const char *below(const char *path)
{
    const char *folder = getenv("NZD_RECORD_BELOW");
    size_t size = folder ? strlen(folder) : 0;
    if (!size || !getenv("NZD_RECORD_LOG") || strncmp(path, folder, size) != 0)
        return NULL;
    if (path[size] == '\0')
        return path + size;
    return path[size] == '/' ? path + size + 1 : NULL;
}

static const char *path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = '\0';
    return path;
}

/* An absolute path of what a call names. */
static const char *resolve(int directory, const char *name, char *path)
{
    char base[PATH_MAX] = "";
    if (name[0] == '/')
        return name;
    if (directory != AT_FDCWD)
        path_of(directory, base);
    else if (!getcwd(base, sizeof base))
        return name;
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
        abort();
    return path;
}

static void on_name(enum recording_kind kind, int directory, const char *name)
{
    struct recording_entry entry = {.kind = kind};
    char path[PATH_MAX];
    const char *relative = below(resolve(directory, name, path));
    if (relative)
        append(&entry, relative, NULL, NULL, 0);
}

/* A regular file below the folder. */
static int is_recorded(int fd, struct stat *file)
{
    char path[PATH_MAX];
    int error = errno;
    int is = below(path_of(fd, path)) && fstat(fd, file) == 0 &&
             S_ISREG(file->st_mode);
    errno = error;
    return is;
}

static void on_file(enum recording_kind kind, int fd, uint64_t offset)
{
    struct recording_entry entry = {.kind = kind, .offset = offset};
    struct stat file;
    if (!is_recorded(fd, &file))
        return;
    entry.inode = file.st_ino;
    append(&entry, NULL, NULL, NULL, 0);
}

static int is_marks(int fd)
{
    const char *marks = getenv("NZD_RECORD_MARKS");
    char path[PATH_MAX];
    return marks && strcmp(path_of(fd, path), marks) == 0;
}

/* `offset` is -1 where the file's own was used. */
static void on_write(int fd, const struct iovec *data, ssize_t done,
                     off_t offset)
{
    struct recording_entry entry = {.kind = RECORDING_WRITE};
    struct stat file;
    if (done <= 0)
        return;
    if (is_marks(fd)) {
        entry.kind = RECORDING_MARK;
    } else if (is_recorded(fd, &file)) {
        entry.inode = file.st_ino;
        entry.durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
        entry.offset =
            (uint64_t)(offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset);
    } else {
        return;
    }
    append(&entry, NULL, NULL, data, (size_t)done);
}

/* --- names --------------------------------------------------------------- */

static int on_open(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat file;
    const char *full = resolve(directory, name, path);
    const char *relative = below(full);
    int is_new = relative && (flags & O_CREAT) &&
                 syscall(SYS_newfstatat, AT_FDCWD, full, &file, 0) != 0;
    int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (fd < 0 || !relative)
        return fd;
    if (is_new && fstat(fd, &file) == 0) {
        struct recording_entry entry = {.kind = RECORDING_CREATE,
                                        .inode = file.st_ino};
        append(&entry, relative, NULL, NULL, 0);
    }
    if (flags & O_TRUNC)
        on_file(RECORDING_TRUNCATE, fd, 0);
    return fd;
}

#define MODE(flags, last)                                                      \
    mode_t mode = 0;                                                           \
    if ((flags)&O_CREAT) {                                                     \
        va_list list;                                                          \
        va_start(list, last);                                                  \
        mode = va_arg(list, mode_t);                                           \
        va_end(list);                                                          \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags, flags)
    return on_open(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    MODE(flags, flags)
    return on_open(AT_FDCWD, name, flags, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
    MODE(flags, flags)
    return on_open(directory, name, flags, mode);
}

int mkdir(const char *name, mode_t mode)
{
    REAL(mkdir);
    int rc = real(name, mode);
    if (rc == 0)
        on_name(RECORDING_MAKE_DIRECTORY, AT_FDCWD, name);
    return rc;
}

char *mkdtemp(char *name)
{
    REAL(mkdtemp);
    char *made = real(name);
    if (made)
        on_name(RECORDING_MAKE_DIRECTORY, AT_FDCWD, made);
    return made;
}

int rename(const char *name, const char *other)
{
    struct recording_entry entry = {.kind = RECORDING_RENAME};
    char from[PATH_MAX], to[PATH_MAX];
    REAL(rename);
    int rc = real(name, other);
    const char *before = below(resolve(AT_FDCWD, name, from));
    const char *after = below(resolve(AT_FDCWD, other, to));
    if (rc == 0 && before && after)
        append(&entry, before, after, NULL, 0);
    return rc;
}

int unlink(const char *name)
{
    REAL(unlink);
    int rc = real(name);
    if (rc == 0)
        on_name(RECORDING_REMOVE, AT_FDCWD, name);
    return rc;
}

int unlinkat(int directory, const char *name, int flags)
{
    REAL(unlinkat);
    int rc = real(directory, name, flags);
    if (rc == 0)
        on_name(RECORDING_REMOVE, directory, name);
    return rc;
}

int rmdir(const char *name)
{
    REAL(rmdir);
    int rc = real(name);
    if (rc == 0)
        on_name(RECORDING_REMOVE, AT_FDCWD, name);
    return rc;
}

/* --- contents ------------------------------------------------------------ */

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    struct iovec one = {(void *)(uintptr_t)data, size};
    ssize_t done = is_marks(fd) ? (ssize_t)size : real(fd, data, size);
    on_write(fd, &one, done, -1);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    ssize_t done = real(fd, parts, count);
    on_write(fd, parts, done, -1);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(pwrite);
    struct iovec one = {(void *)(uintptr_t)data, size};
    ssize_t done = real(fd, data, size, offset);
    on_write(fd, &one, done, offset);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev);
    ssize_t done = real(fd, parts, count, offset);
    on_write(fd, parts, done, offset);
    return done;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(fd, parts, count, offset);
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate);
    int rc = real(fd, size);
    if (rc == 0)
        on_file(RECORDING_TRUNCATE, fd, (uint64_t)size);
    return rc;
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    REAL(fallocate);
    int rc = real(fd, mode, offset, size);
    if (rc == 0 && mode == 0)
        on_file(RECORDING_LENGTHEN, fd, (uint64_t)(offset + size));
    return rc;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate(fd, mode, offset, size);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd,
           off_t offset)
{
    REAL(mmap);
    void *mapped = real(at, size, protection, flags, fd, offset);
    if (mapped != MAP_FAILED && fd >= 0 && (flags & MAP_SHARED) &&
        (protection & PROT_WRITE))
        on_file(RECORDING_MAP, fd, 0);
    return mapped;
}

/* --- syncs --------------------------------------------------------------- */

static void on_sync(int fd)
{
    struct recording_entry entry = {.kind = RECORDING_SYNC_DIRECTORY};
    char path[PATH_MAX];
    struct stat file;
    const char *relative = below(path_of(fd, path));
    if (!relative || fstat(fd, &file) != 0)
        return;
    if (S_ISDIR(file.st_mode))
        append(&entry, relative, NULL, NULL, 0);
    else
        on_file(RECORDING_SYNC_FILE, fd, 0);
}

int fsync(int fd)
{
    REAL(fsync);
    int rc = real(fd);
    if (rc == 0)
        on_sync(fd);
    return rc;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    int rc = real(fd);
    if (rc == 0)
        on_sync(fd);
    return rc;
}

/* --- LMDB ---------------------------------------------------------------- */

#define LMDB_NOSYNC 0x10000u /* MDB_NOSYNC of lmdb.h */

struct MDB_env;
int mdb_env_open(struct MDB_env *env, const char *path, unsigned flags,
                 mode_t mode);

int mdb_env_open(struct MDB_env *env, const char *path, unsigned flags,
                 mode_t mode)
{
    REAL(mdb_env_open);
    return real(env, path,
                flags | (getenv("NZD_RECORD_NOSYNC") ? LMDB_NOSYNC : 0), mode);
}
