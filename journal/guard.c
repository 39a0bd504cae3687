/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIED_BY 64 /* exit status of a child that caught a deadly signal */

static void die(int number)
{
    _exit(DIED_BY + number);
}

/* No core is dumped and no sanitizer reports what is expected to happen. */
static void catch_deadly_signals(void)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    static const int others[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = die};
    sigset_t none;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        sigaction(deadly[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        sigaction(others[i], &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGXCPU, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void run_child(const struct nzd_guard *guard, pid_t parent, int to,
                      int (*body)(void *context, struct nzd_err *err),
                      void *context)
{
    struct rlimit limit = {guard->cpu_seconds, guard->cpu_seconds + 1};
    struct nzd_err err = NZD_ERR_INIT;

    if (guard->lock >= 0)
        close(guard->lock);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    catch_deadly_signals();
    setrlimit(RLIMIT_CPU, &limit);
    if (body(context, &err) == NZD_OK)
        nzd_err_clear(&err);
    if (nzd_write_all(to, &err, sizeof(err)) != 0)
        _exit(1);
    _exit(0);
}

/* Reads what the child reports; false if it ended before. */
static int read_report(int from, struct nzd_err *report)
{
    size_t got = 0;

    while (got < sizeof(*report)) {
        ssize_t size = read(from, (char *)report + got, sizeof(*report) - got);

        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return 0;
        got += (size_t)size;
    }
    return 1;
}

static int reap(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return 0; /* whoever ignores SIGCHLD has reaped it already */
    }
    return status;
}

static int without_child(const struct nzd_guard *guard, int sys,
                         const char *doing, struct nzd_err *err)
{
    nzd_err_system(err, NZD_EJOURNAL, sys,
                   "%s was not read: the process that looks at it first could "
                   "not be made: %s",
                   guard->what, doing);
    nzd_err_next(err, "see how many processes and open files this user may "
                      "have: ulimit -u, ulimit -n");
    return NZD_EJOURNAL;
}

static int judge_death(const struct nzd_guard *guard, int status,
                       struct nzd_err *err)
{
    int number =
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - DIED_BY;

    if (WIFEXITED(status) && number <= 0) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "%s was not read: the process that looks at it first could "
                    "not tell what it saw",
                    guard->what);
        nzd_err_next(err, "that alone is no proof of damage: try again");
        return NZD_EJOURNAL;
    }

    if (WIFSIGNALED(status) && (number == SIGXCPU || number == SIGKILL)) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "%s was not read through: the reader was ended (it may "
                    "take %u s of CPU time)",
                    guard->what, guard->cpu_seconds);
        nzd_err_next(err, "that alone is no proof of damage: try again, or on "
                          "a faster host");
        return NZD_EJOURNAL;
    }
    nzd_err_set(err, NZD_EJOURNAL, "%s is damaged: reading it ended in %s",
                guard->what, strsignal(number));
    return NZD_EJOURNAL;
}

int nzd_guard_run(const struct nzd_guard *guard,
                  int (*body)(void *context, struct nzd_err *err),
                  void *context, struct nzd_err *err)
{
    struct nzd_err report = NZD_ERR_INIT;
    pid_t parent = getpid();
    pid_t child;
    int ends[2];
    int reported;
    int status;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return without_child(guard, errno, "pipe", err);
    child = fork();
    if (child == 0)
        run_child(guard, parent, ends[1], body, context);
    close(ends[1]);
    if (child < 0) {
        int sys = errno;

        close(ends[0]);
        return without_child(guard, sys, "fork", err);
    }
    reported = read_report(ends[0], &report);
    close(ends[0]);
    status = reap(child);
    if (!reported)
        return judge_death(guard, status, err);
    if (report.code == NZD_OK)
        return NZD_OK;
    if (err && err->code == NZD_OK)
        *err = report;
    return report.code;
}
