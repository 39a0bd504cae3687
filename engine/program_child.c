/* SPDX-License-Identifier: Apache-2.0 */
#include "program_child.h"
#include "descriptors.h"
#include "interrupt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the supervisor has its descriptors; all others are closed. */
enum { FD_REPORT = 3, FD_LEASH = 4, FD_SIGNALS = 5, FD_FIRST_FREE = 6 };

struct supervisor {
    pid_t child;
    bool child_ended;
    int status; /* of the child, as waitpid() gives it */
    bool leash_open;
};

/* --- descriptors --- */

/* First out of the way, then to their places: none overwrites another. */
static bool place_descriptors(const struct nzd_program_fds *fds)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int from[] = {null, fds->output, fds->output, fds->report,
                        fds->leash};
    int high[5];

    if (null < 0)
        return false;
    for (int i = 0; i < 5; i++) {
        high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_FIRST_FREE + 16);
        if (high[i] < 0)
            return false;
    }
    for (int i = 0; i < 5; i++)
        if (dup3(high[i], i, i < 3 ? 0 : O_CLOEXEC) < 0)
            return false;
    nzd_descriptors_close(FD_SIGNALS);
    return true;
}

/* --- signals --- */

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A terminal's Ctrl-C or a kill of the whole job are nzd's to hear; the
 * supervisor's own end is the leash's. */
static bool take_signals(void)
{
    static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
                                  SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t chld;
    int fd;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    (void)sigprocmask(SIG_SETMASK, &chld, NULL);
    fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd >= 0 && fd != FD_SIGNALS) {
        (void)dup3(fd, FD_SIGNALS, O_CLOEXEC);
        (void)close(fd);
    }
    return fd >= 0;
}

/* --- the program --- */

static void report(enum nzd_program_word word, int value)
{
    struct nzd_program_report words = {(int32_t)word, value};

    if (write(FD_REPORT, &words, sizeof(words)) < 0)
        return;
}

static void __attribute__((noreturn))
become(const char *const *argv, char *const *environment, pid_t supervisor)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(127);
    reset_signals();
    environ = (char **)(uintptr_t)environment;
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    report(NZD_PROGRAM_FAILED, errno);
    _exit(127);
}

/* Takes all that ended; false when no child is left. */
static bool reap(struct supervisor *supervisor)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == supervisor->child) {
            supervisor->child_ended = true;
            supervisor->status = status;
        }
    return pid == 0;
}

/* Waits for a child's end or a word on the leash, at most until `deadline`. */
static void rest(struct supervisor *supervisor, uint64_t deadline, bool *asked)
{
    struct pollfd polls[2] = {{.fd = FD_SIGNALS, .events = POLLIN},
                              {.fd = FD_LEASH, .events = POLLIN}};
    struct signalfd_siginfo info[4];
    uint64_t ms = nzd_clock_left(deadline) / 1000 + 1;
    char byte;

    if (poll(polls, supervisor->leash_open ? 2 : 1,
             ms > INT32_MAX ? -1 : (int)ms) <= 0)
        return;
    if (polls[0].revents)
        while (read(FD_SIGNALS, info, sizeof(info)) > 0)
            continue;
    if (!supervisor->leash_open || !polls[1].revents)
        return;
    if (read(FD_LEASH, &byte, 1) == 1)
        *asked = true;
    else
        supervisor->leash_open = false;
}

/* --- the end of all --- */

static pid_t parent_of(const char *pid)
{
    char path[300];
    char text[512];
    const char *at;
    ssize_t got;
    int fd;
    int parent = 0;

    (void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    at = strrchr(text, ')');
    if (!at || at[1] == '\0' || at[2] == '\0')
        return 0;
    parent = (int)strtol(at + 3, NULL, 10);
    return parent;
}

/* What the program left behind became our child (PR_SET_CHILD_SUBREAPER),
 * whatever session it went to; its own children become ours in turn. */
static void kill_children(void)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    pid_t self = getpid();

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parent_of(entry->d_name) == self)
            (void)kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    (void)closedir(dir);
}

static void kill_all(struct supervisor *supervisor)
{
    uint64_t deadline = nzd_clock_deadline(NZD_PROGRAM_REAP_MS * 1000);
    bool asked;

    (void)kill(-supervisor->child, SIGKILL);
    while (reap(supervisor) && nzd_clock_left(deadline) > 0) {
        uint64_t soon = nzd_clock_deadline(20000);

        kill_children();
        rest(supervisor, soon < deadline ? soon : deadline, &asked);
    }
}

/* Until the program has ended; when it is asked to, until all that it started
 * have as well, or their time is over. */
static void watch(struct supervisor *supervisor)
{
    uint64_t deadline = UINT64_MAX;
    bool asked = false;

    for (;;) {
        bool had = asked;

        bool any = reap(supervisor);

        if (asked ? !any : supervisor->child_ended)
            return;
        if (!supervisor->leash_open || nzd_clock_left(deadline) == 0)
            return;
        rest(supervisor, deadline, &asked);
        if (asked && !had) {
            deadline = nzd_clock_deadline(NZD_PROGRAM_GRACE_MS * 1000);
            (void)kill(-supervisor->child, SIGTERM);
            (void)kill(-supervisor->child, SIGCONT);
        }
    }
}

void nzd_program_supervise(const struct nzd_program_fds *fds,
                           const char *const *argv, char *const *environment)
{
    struct supervisor supervisor = {.leash_open = true};
    pid_t self = getpid();

    (void)setpgid(0, 0);
    if (!place_descriptors(fds) || !take_signals())
        _exit(1);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    supervisor.child = fork();
    if (supervisor.child == 0)
        become(argv, environment, self);
    if (supervisor.child < 0) {
        report(NZD_PROGRAM_FAILED, errno);
        _exit(1);
    }
    (void)setpgid(supervisor.child, supervisor.child);
    report(NZD_PROGRAM_STARTED, supervisor.child);
    watch(&supervisor);
    kill_all(&supervisor);
    report(NZD_PROGRAM_ENDED, supervisor.status);
    _exit(0);
}
