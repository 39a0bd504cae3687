/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_ask.h"

#include "../journal/point.h"
#include "interrupt.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_US     10000000u /* before the configuration was read */
#define LIMIT_MAX_US 120000000u
/* A process that the kernel does not let go of, as one that waits for a disk
 * which does not answer, is not waited for longer. */
#define REAP_US 1000000u
/* Between looks whether it has ended; the first are for one that is about
 * to, and each start of a VM waits for them. */
#define FIRST_LOOK_US 50
#define LAST_LOOK_US  3200

/* --- the child ----------------------------------------------------------- */

/* A terminal or a pipe that nobody reads must not hold us up. */
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

static int decide(int argc, char **argv, char **command, int pipe,
                  struct nzd_boot_answer *answer, struct nzd_err *err)
{
    struct nzd_command_line line;
    struct nzd_context context = {0};
    int code = nzd_options_parse(argc, argv, &line, err);
    context.options = line.options;
    nzd_output_init(&context.output, false, line.options.quiet,
                    line.options.verbose, line.options.color);
    if (!code)
        code = nzd_config_load(context.options.config, &context.config, err);
    uint64_t limit = code ? LIMIT_US : context.config.boot_timeout_us;
    if (nzd_write_all(pipe, &limit, sizeof limit) != 0)
        return nzd_err_system(err, NZD_EINTERNAL, errno, "write");
    if (code)
        return code;
    answer->healthy_us = context.config.boot_healthy_us;
    return nzd_boot_decide(&context, command, &answer->launch, &answer->boot,
                           err);
}

/* Whoever asked is not outlived: the next boot would meet us at work. */
static void be_child(int argc, char **argv, char **command, pid_t parent,
                     int pipe)
{
    static struct nzd_boot_answer answer;
    struct nzd_err err = NZD_ERR_INIT;
    nzd_point_role("child");
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGTTOU, SIG_IGN);
    nzd_interrupt_install();
    stop_waiting_for_readers(STDOUT_FILENO);
    stop_waiting_for_readers(STDERR_FILENO);
    answer.code = decide(argc, argv, command, pipe, &answer, &err);
    snprintf(answer.why, sizeof answer.why, "%s",
             err.message[0] ? err.message : "it is not known why");
    nzd_point("before the answer to who boots");
    _exit(nzd_write_all(pipe, &answer, sizeof answer) ? 1 : 0);
}

/* --- what it says -------------------------------------------------------- */

enum heard { HEARD, HEARD_END, HEARD_NOTHING };

/* Reads `size` bytes until the deadline. */
static enum heard receive(int pipe, void *to, size_t size, uint64_t deadline)
{
    uint8_t *at = to;
    while (size) {
        struct pollfd wait = {.fd = pipe, .events = POLLIN};
        uint64_t left = nzd_clock_left(deadline);
        int ready = poll(&wait, 1, (int)((left + 999) / 1000));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return HEARD_NOTHING;
        ssize_t got = read(pipe, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return HEARD_END;
        at += got;
        size -= (size_t)got;
    }
    return HEARD;
}

/* What was written by a process that damage may have driven mad. */
static void end_texts(struct nzd_boot_answer *answer)
{
    struct nzd_boot *boot = &answer->boot;
    struct nzd_launch *launch = &answer->launch;
    answer->why[sizeof answer->why - 1] = '\0';
    boot->boot[sizeof boot->boot - 1] = '\0';
    boot->config[sizeof boot->config - 1] = '\0';
    boot->vm_args[sizeof boot->vm_args - 1] = '\0';
    boot->root[sizeof boot->root - 1] = '\0';
    boot->journal[sizeof boot->journal - 1] = '\0';
    launch->boot[sizeof launch->boot - 1] = '\0';
    launch->root[sizeof launch->root - 1] = '\0';
    launch->program[sizeof launch->program - 1] = '\0';
}

/* The parent will go by it. */
static bool is_sane(const struct nzd_boot_answer *answer)
{
    const struct nzd_boot *boot = &answer->boot;
    const struct nzd_launch *launch = &answer->launch;
    if (answer->code || !boot->overlay)
        return true;
    return boot->boot[0] == '/' && launch->boot[0] == '/' &&
           (unsigned)launch->kind < NZD_LAUNCH_KINDS &&
           (!boot->config[0] || strchr(boot->config, '.'));
}

static enum heard listen_to(int pipe, struct nzd_boot_answer *out)
{
    uint64_t begin = nzd_clock_us(), limit = 0;
    enum heard heard = receive(pipe, &limit, sizeof limit, begin + LIMIT_US);
    if (heard == HEARD_END || heard == HEARD_NOTHING)
        return heard;
    if (limit > LIMIT_MAX_US)
        limit = LIMIT_MAX_US;
    heard = receive(pipe, out, sizeof *out, begin + limit);
    end_texts(out);
    return heard == HEARD && !is_sane(out) ? HEARD_END : heard;
}

/* --- the parent ---------------------------------------------------------- */

/* True with its status when it could be reaped in time. */
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
    return ended == child;
}

static void fail(struct nzd_boot_answer *out, const char *why)
{
    memset(out, 0, sizeof *out);
    out->code = NZD_EINTERNAL;
    snprintf(out->why, sizeof out->why, "%s", why);
}

static void judge(struct nzd_boot_answer *out, enum heard heard, bool reaped,
                  int status)
{
    char why[128];
    if (heard == HEARD)
        return;
    if (heard == HEARD_NOTHING)
        snprintf(why, sizeof why, "what is in force was not found out in time");
    else if (reaped && WIFSIGNALED(status))
        snprintf(why, sizeof why,
                 "finding out what is in force ended in signal %d",
                 WTERMSIG(status));
    else
        snprintf(why, sizeof why, "nobody said what is in force");
    fail(out, why);
}

static void hear_child(pid_t child, int pipe, struct nzd_boot_answer *out)
{
    int status = 0;
    enum heard heard = listen_to(pipe, out);
    if (heard == HEARD_NOTHING) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    bool reaped = reap(child, &status);
    if (!reaped) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    judge(out, heard, reaped, status);
}

void nzd_boot_ask(int argc, char **argv, char **command,
                  struct nzd_boot_answer *out)
{
    char why[128];
    int ends[2];
    pid_t parent = getpid();
    pid_t child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -2;
    if (child == 0) {
        close(ends[0]);
        be_child(argc, argv, command, parent, ends[1]);
    }
    if (child < 0) {
        snprintf(why, sizeof why, "no process to find out what is in force: %s",
                 strerror(errno));
        fail(out, why);
    }
    if (child == -2)
        return;
    close(ends[1]);
    if (child > 0)
        hear_child(child, ends[0], out);
    close(ends[0]);
}
