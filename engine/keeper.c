/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include "../journal/attempts.h"
#include "discover.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_US 500000u /* between looks where the kernel has no pidfd */

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
        (attempts.healthy && attempts.tries == 0))
        return;
    attempts.tries = 0;
    attempts.healthy = true;
    attempts.last_healthy = keeper->generation;
    nzd_attempts_write(keeper->journal, &attempts, &ignored);
}

static void close_all(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    for (int fd = 3; fd < 256; fd++)
        close(fd);
}

void nzd_keeper_leave(const struct nzd_keeper *keeper)
{
    uint64_t start = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    pid_t vm = getpid();
    if (nzd_host_process_start(vm, &start, &ignored))
        return;
    pid_t child = fork();
    if (child < 0)
        return;
    if (child > 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
        return;
    }
    setsid();
    if (fork() != 0)
        _exit(0);
    close_all();
    (void)!chdir("/");
    if (stays(vm, start, nzd_clock_deadline(keeper->healthy_us)))
        write_down(keeper);
    _exit(0);
}
