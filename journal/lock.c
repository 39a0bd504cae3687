/* SPDX-License-Identifier: Apache-2.0 */
#include "ppoll.h"

#include "lock.h"

#include "bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define POLL_US     20000
#define GRACE_US    200000 /* for a killed holder's child to let go */
#define HOLDER_SIZE 256    /* bytes of the text in the lock file */

struct holder {
    uint64_t pid;
    uint64_t start_time; /* clock ticks since boot */
    uint64_t since;      /* seconds since 1970 */
    char purpose[HOLDER_SIZE];
};

/* Field 22 of proc(5) stat, 0 where it cannot be read. The second field may
 * hold spaces and parentheses: the fields are counted behind its last one. */
static uint64_t start_time_of(uint64_t pid)
{
    char path[64];
    char text[1024];
    char *at;
    ssize_t size;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* For people only: a full disk leaves it unwritten, and the lock holds. */
static void write_holder(int fd, const char *purpose)
{
    char text[HOLDER_SIZE];
    uint64_t pid = (uint64_t)getpid();
    int size = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %lld %s",
                        pid, start_time_of(pid), (long long)time(NULL),
                        purpose ? purpose : "");

    if (size >= (int)sizeof(text))
        size = (int)sizeof(text) - 1;
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)size, 0);
}

static uint64_t number(char **at)
{
    char *end;
    uint64_t value = strtoull(*at, &end, 10);

    *at = *end == ' ' ? end + 1 : end;
    return value;
}

/* The text there, unless that very process is proven gone. */
static int read_holder(int fd, struct holder *out)
{
    char text[HOLDER_SIZE + 1];
    char *at = text;
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);

    if (size <= 0)
        return -1;
    text[size] = '\0';
    out->pid = number(&at);
    out->start_time = number(&at);
    out->since = number(&at);
    at[strcspn(at, "\n")] = '\0';
    (void)snprintf(out->purpose, sizeof(out->purpose), "%.*s",
                   (int)sizeof(out->purpose) - 1, at);
    if (out->pid == 0 || out->start_time != start_time_of(out->pid))
        return -1;
    return 0;
}

static int busy(int fd, const char *directory, struct nzd_err *err)
{
    struct holder holder;
    char since[32] = "";
    time_t seconds;
    struct tm tm;

    if (read_holder(fd, &holder) != 0) {
        nzd_err_set(err, NZD_EBUSY, "journal %s is held by another process",
                    directory);
    } else {
        seconds = (time_t)holder.since;
        if (gmtime_r(&seconds, &tm))
            (void)strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
        nzd_err_set(err, NZD_EBUSY,
                    "journal %s is held by pid %" PRIu64 " (%s) since %s UTC",
                    directory, holder.pid,
                    holder.purpose[0] ? holder.purpose : "nzd", since);
    }
    nzd_err_next(err, "wait for it to end, or use --wait 60s");
    return NZD_EBUSY;
}

static int open_failed(const char *path, struct nzd_err *err)
{
    int sys = errno;

    nzd_err_system(err, NZD_EJOURNAL, sys, "lock %s", path);
    if (sys == EROFS || sys == EACCES || sys == EPERM)
        nzd_err_next(err, "the journal must be writable: see mount(8) and the "
                          "owner of its directory");
    else if (sys == EMFILE || sys == ENFILE)
        nzd_err_next(err, "see how many files may be open: ulimit -n");
    else if (sys == ENOLCK || sys == ENOSYS || sys == EOPNOTSUPP)
        nzd_err_next(err, "the file system must know flock(2): name a "
                          "directory on another one, --journal DIR");
    else if (sys == EIO)
        nzd_err_next(err, "see the kernel log: the disk may be failing");
    return NZD_EJOURNAL;
}

/* A lock on a file that was unlinked in between locks nothing. */
static int still_there(int fd, const char *path)
{
    struct stat held;
    struct stat named;

    return fstat(fd, &held) == 0 && stat(path, &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static uint64_t now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_BOOTTIME, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* A signal that comes between two rests is held until the next one. */
static void hold_signals(sigset_t *before)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigprocmask(SIG_BLOCK, &held, before);
}

static int wait_some(uint64_t deadline, const sigset_t *signals)
{
    struct timespec pause = {0, POLL_US * 1000L};
    uint64_t now = now_us();

    if (now >= deadline)
        return ETIMEDOUT;
    if (deadline - now < POLL_US)
        pause.tv_nsec = (long)(deadline - now) * 1000;
    return ppoll(NULL, 0, &pause, signals) == 0 ? 0 : errno;
}

/*
 * Who holds it is alive, or was killed: a child that it had just made has the
 * lock for the instant until it closes it, and nobody is to be told then.
 */
static uint64_t patience(int fd, uint64_t began, uint64_t deadline)
{
    struct holder holder;

    if (deadline > began + GRACE_US || read_holder(fd, &holder) == 0)
        return deadline;
    return began + GRACE_US;
}

/* Opens and tries once: 0, NZD_EBUSY without a message, or failed. */
static int try_take(const char *path, int *fd, struct nzd_err *err)
{
    do {
        if (*fd >= 0)
            close(*fd);
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*fd < 0)
            return open_failed(path, err);
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                return NZD_EBUSY;
            return open_failed(path, err);
        }
    } while (!still_there(*fd, path));
    return NZD_OK;
}

int nzd_lock_take(const char *directory, const char *purpose, uint64_t wait_us,
                  int *out, struct nzd_err *err)
{
    struct nzd_buf path = {0};
    uint64_t now = now_us();
    uint64_t deadline = wait_us > UINT64_MAX - now ? UINT64_MAX : now + wait_us;
    sigset_t signals;
    int fd = -1;
    int waited = 0;
    int rc;

    nzd_buf_printf(&path, "%s/lock", directory);
    (void)nzd_buf_string(&path);
    if (path.failed) {
        rc = nzd_err_memory(err);
        goto out;
    }
    hold_signals(&signals);
    while ((rc = try_take((char *)path.data, &fd, err)) == NZD_EBUSY) {
        waited = wait_some(patience(fd, now, deadline), &signals);
        if (waited)
            break;
    }
    sigprocmask(SIG_SETMASK, &signals, NULL);
    if (rc == NZD_EBUSY && waited == EINTR)
        rc = nzd_err_set(err, NZD_EREFUSED,
                         "interrupted while waiting for journal %s", directory);
    else if (rc == NZD_EBUSY)
        rc = busy(fd, directory, err);
    if (rc)
        goto out;
    write_holder(fd, purpose);
    *out = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    nzd_buf_clear(&path);
    return rc;
}

/* --- ending who holds it ------------------------------------------------- */

static int is_nzd(uint64_t pid)
{
    static const char gone[] = " (deleted)"; /* it was updated meanwhile */
    char path[64];
    char program[4096];
    char *slash;
    ssize_t size;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/exe", pid);
    size = readlink(path, program, sizeof(program) - 1);
    if (size <= 0)
        return 0;
    program[size] = '\0';
    if (size > (ssize_t)sizeof(gone) &&
        strcmp(program + size - (sizeof(gone) - 1), gone) == 0)
        program[size - (ssize_t)(sizeof(gone) - 1)] = '\0';
    slash = strrchr(program, '/');
    return slash && strcmp(slash + 1, "nzd") == 0;
}

static int has_open(uint64_t pid, const struct stat *lock)
{
    char path[64];
    struct dirent *entry;
    struct stat file;
    int found = 0;
    DIR *files;

    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/fd", pid);
    files = opendir(path);
    while (files && !found && (entry = readdir(files)) != NULL)
        found = fstatat(dirfd(files), entry->d_name, &file, 0) == 0 &&
                file.st_ino == lock->st_ino && file.st_dev == lock->st_dev;
    if (files)
        closedir(files);
    return found;
}

/* By a descriptor, so that the number cannot become another's in between;
 * older kernels have none. */
static int kill_holder(const struct holder *holder, const struct stat *lock)
{
    pid_t pid = (pid_t)holder->pid;
    int fd = -1;
    int failed = -1;

#ifdef SYS_pidfd_open
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
#endif
    if (start_time_of(holder->pid) == holder->start_time &&
        is_nzd(holder->pid) && has_open(holder->pid, lock)) {
#ifdef SYS_pidfd_send_signal
        if (fd >= 0)
            failed = (int)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
#endif
        if (fd < 0)
            failed = kill(pid, SIGKILL);
    }
    if (fd >= 0)
        close(fd);
    return failed;
}

int nzd_lock_end_holder(const char *directory, int64_t *pid,
                        struct nzd_err *err)
{
    struct nzd_buf path = {0};
    struct holder holder;
    struct stat lock;
    int fd;
    int rc = NZD_EBUSY;

    nzd_buf_printf(&path, "%s/lock", directory);
    fd = open(nzd_buf_string(&path), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &lock) == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK && read_holder(fd, &holder) == 0 &&
        holder.start_time != 0 && holder.pid <= INT32_MAX &&
        holder.pid != (uint64_t)getpid() && kill_holder(&holder, &lock) == 0)
        rc = NZD_OK;
    if (fd >= 0)
        close(fd);
    nzd_buf_clear(&path);
    if (rc)
        return nzd_err_set(err, rc,
                           "who holds journal %s is not known to be "
                           "an nzd",
                           directory);
    *pid = (int64_t)holder.pid;
    return NZD_OK;
}

void nzd_lock_release(int lock)
{
    if (lock < 0)
        return;
    (void)!ftruncate(lock, 0);
    close(lock);
}

/* A line of proc(5) locks: "1: FLOCK  ADVISORY  WRITE 4711 08:02:1234 0 EOF".
 * Some file systems show another device there than stat(2): then the process
 * must be the one that the file names. */
static int is_lock_of(const char *line, const struct stat *file, int fd)
{
    struct holder holder;
    unsigned major_number, minor_number;
    uint64_t pid, inode;

    if (sscanf(line, "%*u: FLOCK %*s WRITE %" SCNu64 " %x:%x:%" SCNu64, &pid,
               &major_number, &minor_number, &inode) != 4 ||
        inode != (uint64_t)file->st_ino)
        return 0;
    return makedev(major_number, minor_number) == file->st_dev ||
           (read_holder(fd, &holder) == 0 && holder.pid == pid);
}

int nzd_lock_look(const char *directory, struct nzd_err *err)
{
    struct nzd_buf path = {0};
    struct stat file;
    char line[256];
    FILE *locks = fopen("/proc/locks", "re");
    int held = 0;
    int fd = -1;

    nzd_buf_printf(&path, "%s/lock", directory);
    (void)nzd_buf_string(&path);
    if (locks && !path.failed)
        fd = open((char *)path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &file) == 0) {
        while (!held && fgets(line, sizeof(line), locks))
            held = is_lock_of(line, &file, fd);
        if (held)
            busy(fd, directory, err);
    }
    if (fd >= 0)
        close(fd);
    if (locks)
        (void)fclose(locks);
    nzd_buf_clear(&path);
    return held ? NZD_EBUSY : NZD_OK;
}
