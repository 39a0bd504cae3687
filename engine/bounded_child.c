/* SPDX-License-Identifier: Apache-2.0 */
#include "bounded_child.h"

#include "../journal/bytes.h"
#include "../journal/point.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A process that the kernel does not let go of, as one that waits for a disk
 * which does not answer, is not waited for longer. */
#define REAP_US 1000000u
/* Between looks whether it has ended; the first are for one that is about
 * to, and each start of a VM waits for them. */
#define FIRST_LOOK_US 50
#define LAST_LOOK_US  3200

struct nzd_bounded_line {
    int pipe;
    bool limited; /* the limit was said, or cannot be */
};

/* --- the child ----------------------------------------------------------- */

static void stop_waiting_for_readers(int stream)
{
    char path[32];
    struct stat file;
    if (fstat(stream, &file) != 0 || S_ISREG(file.st_mode))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", stream);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    dup2(fd, stream);
    close(fd);
}

void nzd_bounded_streams(void)
{
    stop_waiting_for_readers(STDOUT_FILENO);
    stop_waiting_for_readers(STDERR_FILENO);
}

void nzd_bounded_limit(struct nzd_bounded_line *line, uint64_t limit_us)
{
    if (line->limited)
        return;
    line->limited = true;
    /* Who no longer listens ends us. */
    if (nzd_write_all(line->pipe, &limit_us, sizeof limit_us) != 0)
        _exit(1);
}

/* Whoever asked is not outlived: the next start would meet us at work. */
static void be_child(nzd_bounded_work *work, void *context, pid_t parent,
                     int pipe, void *answer, size_t size)
{
    struct nzd_bounded_line line = {.pipe = pipe};
    nzd_point_role("child");
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGTTOU, SIG_IGN);
    nzd_interrupt_install();
    nzd_bounded_streams();
    work(context, &line, answer);
    nzd_bounded_limit(&line, NZD_BOUNDED_FIRST_US);
    _exit(nzd_write_all(pipe, answer, size) ? 1 : 0);
}

/* --- what it says -------------------------------------------------------- */

/* Reads `size` bytes until the deadline. */
static enum nzd_bounded_how receive(int pipe, void *to, size_t size,
                                    uint64_t deadline)
{
    uint8_t *at = to;
    while (size) {
        struct pollfd wait = {.fd = pipe, .events = POLLIN};
        int ready = nzd_interrupt_poll(&wait, 1, nzd_clock_left(deadline));
        if (ready <= 0 && nzd_interrupt_pending())
            return NZD_BOUNDED_INTERRUPTED;
        if (ready < 0 || (ready == 0 && nzd_clock_left(deadline) == 0))
            return NZD_BOUNDED_LATE;
        if (ready == 0)
            continue;
        ssize_t got = read(pipe, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return NZD_BOUNDED_DIED;
        at += got;
        size -= (size_t)got;
    }
    return NZD_BOUNDED_ANSWERED;
}

static enum nzd_bounded_how listen_to(int pipe, void *answer, size_t size)
{
    uint64_t begin = nzd_clock_us(), limit = 0;
    enum nzd_bounded_how how =
        receive(pipe, &limit, sizeof limit, begin + NZD_BOUNDED_FIRST_US);
    if (how != NZD_BOUNDED_ANSWERED)
        return how;
    if (limit > NZD_BOUNDED_MAX_US)
        limit = NZD_BOUNDED_MAX_US;
    return receive(pipe, answer, size, begin + limit);
}

/* --- the parent ---------------------------------------------------------- */

static void end_all(pid_t child)
{
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
}

/* True with its status when it could be reaped in time; 0 where the system
 * has done so, as it does for those who ignore SIGCHLD. */
static bool reap(pid_t child, int *status)
{
    struct timespec pause = {.tv_nsec = FIRST_LOOK_US * 1000};
    uint64_t deadline = nzd_clock_deadline(REAP_US);
    pid_t ended;
    while ((ended = waitpid(child, status, WNOHANG)) == 0 ||
           (ended < 0 && errno == EINTR)) {
        if (nzd_clock_left(deadline) == 0)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < LAST_LOOK_US * 1000)
            pause.tv_nsec *= 2;
    }
    return true;
}

static struct nzd_bounded_end hear(pid_t child, int pipe, void *answer,
                                   size_t size)
{
    int status = 0;
    struct nzd_bounded_end end = {.how = listen_to(pipe, answer, size)};
    if (end.how == NZD_BOUNDED_LATE || end.how == NZD_BOUNDED_INTERRUPTED)
        end_all(child);
    if (!reap(child, &status))
        end_all(child);
    else if (end.how == NZD_BOUNDED_DIED && WIFSIGNALED(status))
        end.number = WTERMSIG(status);
    if (end.how != NZD_BOUNDED_ANSWERED)
        memset(answer, 0, size);
    return end;
}

struct nzd_bounded_end nzd_bounded_ask(nzd_bounded_work *work, void *context,
                                       void *answer, size_t size)
{
    struct nzd_bounded_end end = {.how = NZD_BOUNDED_NOT_MADE};
    int ends[2];
    pid_t parent = getpid();
    memset(answer, 0, size);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        end.number = errno;
        return end;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(work, context, parent, ends[1], answer, size);
    }
    end.number = errno;
    close(ends[1]);
    if (child > 0)
        end = hear(child, ends[0], answer, size);
    close(ends[0]);
    return end;
}
