/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/ppoll.h"

#include "keeper.h"

#include "../journal/attempts.h"
#include "../journal/point.h"
#include "discover.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_US   500000u /* between looks where the kernel has no pidfd */
#define FILES_MAX 65536u  /* closed one by one at most */

static int open_pidfd(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    errno = ENOSYS;
    return -1;
#endif
}

static bool is_same(pid_t pid, uint64_t start)
{
    uint64_t now = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    return nzd_host_process_start(pid, &now, &ignored) == 0 && now == start;
}

/* True when the process is still there at the deadline. */
static bool stays(pid_t pid, uint64_t start, uint64_t deadline)
{
    int fd = open_pidfd(pid);
    while (is_same(pid, start)) {
        uint64_t left = nzd_clock_left(deadline);
        if (left == 0)
            return true;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint64_t slice = fd >= 0 || left < LOOK_US ? left : LOOK_US;
        struct timespec limit = {.tv_sec = (time_t)(slice / 1000000u),
                                 .tv_nsec = (long)(slice % 1000000u) * 1000};
        ppoll(&wait, fd >= 0, &limit, NULL);
    }
    return false;
}

/* Of the generation that it was left for, and of no other. */
static void write_down(const struct nzd_keeper *keeper)
{
    struct nzd_attempts attempts;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (nzd_attempts_read(keeper->journal, &attempts, &ignored) ||
        attempts.generation != keeper->generation ||
        !nzd_digest_equal(&attempts.base, &keeper->base) ||
        (attempts.healthy && attempts.tries == 0))
        return;
    attempts.tries = 0;
    attempts.healthy = true;
    attempts.last_healthy = keeper->generation;
    nzd_attempts_write(keeper->journal, &attempts, &ignored);
}

/* Nothing of the VM's is kept open, whatever its number. */
static void close_from(unsigned first)
{
    struct rlimit limit;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > FILES_MAX)
        limit.rlim_cur = FILES_MAX;
    for (unsigned fd = first; fd < limit.rlim_cur; fd++)
        close((int)fd);
}

/* `pipe` becomes the descriptor 3. */
static void close_all_but(int pipe)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    dup2(pipe, 3);
    close_from(4);
}

/* The pipe is closed by the exec; a byte in it says that there was none. */
static bool was_executed(int pipe)
{
    char byte;
    ssize_t size;
    while ((size = read(pipe, &byte, 1)) < 0 && errno == EINTR)
        ;
    return size == 0;
}

static void watch(const struct nzd_keeper *keeper, pid_t vm, uint64_t start,
                  int pipe)
{
    nzd_point_role("keeper");
    close_all_but(pipe);
    (void)!chdir("/");
    if (was_executed(3) &&
        stays(vm, start, nzd_clock_deadline(keeper->healthy_us))) {
        if (keeper->settle)
            execv("/proc/self/exe", keeper->settle);
        else
            write_down(keeper);
    }
    nzd_point("after the keeper's word");
    _exit(0);
}

/* Nobody's child, so that nobody waits for it; without a terminal. 0 in the
 * one that is left behind, else the child that was its parent, or -1. */
static pid_t part(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t left = fork();
        if (left != 0)
            _exit(left < 0);
        return 0;
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || status == 0)
        return child;
    errno = EAGAIN;
    return -1;
}

int nzd_keeper_leave(const struct nzd_keeper *keeper)
{
    uint64_t start = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    pid_t vm = getpid();
    int ends[2];
    if (nzd_host_process_start(vm, &start, &ignored) ||
        pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    if (part() == 0) {
        close(ends[1]);
        watch(keeper, vm, start, ends[0]);
    }
    close(ends[0]);
    return ends[1];
}

void nzd_keeper_dismiss(int keeper)
{
    if (keeper < 0)
        return;
    (void)!write(keeper, "", 1);
    close(keeper);
}

/* --- another program ----------------------------------------------------- */

/* Our own file is executed, also where another has taken its name. */
static void become(const char *const *argv, int pipe)
{
    close_all_but(pipe);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    (void)!chdir("/");
    execv("/proc/self/exe", (char *const *)argv);
    execv(argv[0], (char *const *)argv);
    int sys = errno;
    (void)!write(3, &sys, sizeof sys);
    _exit(127);
}

int nzd_keeper_start(const char *const *argv)
{
    int ends[2], sys = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    pid_t child = part();
    if (child == 0)
        become(argv, ends[1]);
    sys = child < 0 ? errno : 0;
    close(ends[1]);
    /* The exec closes it. */
    while (!sys && read(ends[0], &sys, sizeof sys) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    return sys;
}
