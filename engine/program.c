/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"
#include "interrupt.h"
#include "program_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a supervisor may take to end the program. */
#define DOWN_US  ((NZD_PROGRAM_GRACE_MS + NZD_PROGRAM_REAP_MS + 1000) * 1000)
#define READ_MAX 65536
/* Bytes read behind the end: a pipe's worth, not what somebody who escaped
 * goes on writing. */
#define DRAIN_MAX (1u << 20)

struct run {
    const struct nzd_program *program;
    struct nzd_link *link;
    struct nzd_program_result *result;
    pid_t supervisor;
    pid_t group; /* of the program, 0 before it is known */
    int output;  /* read end */
    int report;  /* read end */
    int leash;   /* write end */
    int both;    /* epoll of output and report */
    bool output_open;
    bool ended;          /* nothing more will be reported */
    bool supervised_end; /* the supervisor says that all are gone */
    bool failed_to_start;
    int status; /* errno when it failed to start, else as of waitpid() */
};

/* --- the environment of the program --- */

static bool names_same(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");

    return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_replaced(const char *ours, const char *const *added)
{
    for (; added && *added; added++)
        if (names_same(*added, ours))
            return true;
    return false;
}

/* Ours with the program's added; the strings are borrowed. */
static char **merge(const char *const *added)
{
    size_t count = 0;
    size_t used = 0;
    char **merged;

    for (char **at = environ; at && *at; at++)
        count++;
    for (const char *const *at = added; at && *at; at++)
        count++;
    merged = calloc(count + 1, sizeof(*merged));
    if (!merged)
        return NULL;
    for (char **at = environ; at && *at; at++)
        if (!is_replaced(*at, added))
            merged[used++] = *at;
    for (const char *const *at = added; at && *at; at++)
        merged[used++] = (char *)(uintptr_t)*at;
    return merged;
}

/* --- starting --- */

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static bool add_to(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool make_epoll(struct run *run)
{
    run->both = epoll_create1(EPOLL_CLOEXEC);
    return run->both >= 0 && add_to(run->both, run->output) &&
           add_to(run->both, run->report);
}

/* Forks the supervisor; on success the run owns its ends of the pipes. */
static int start(struct run *run, struct nzd_err *err)
{
    char **environment = merge(run->program->environment);
    int fds[6] = {-1, -1, -1, -1, -1, -1}; /* output, report, leash */
    struct nzd_program_fds theirs;
    int code = 0;

    if (!environment)
        return nzd_err_memory(err);
    if (pipe2(fds, O_CLOEXEC) != 0 || pipe2(fds + 2, O_CLOEXEC) != 0 ||
        pipe2(fds + 4, O_CLOEXEC) != 0)
        code = nzd_err_system(err, NZD_EINTERNAL, errno, "pipe");
    theirs = (struct nzd_program_fds){fds[1], fds[3], fds[4]};
    if (code == 0)
        run->supervisor = fork();
    if (code == 0 && run->supervisor == 0)
        nzd_program_supervise(&theirs, run->program->argv, environment);
    if (run->supervisor < 0)
        code = nzd_err_system(err, NZD_EINTERNAL, errno, "fork");
    free(environment);
    if (code != 0) {
        close_all(fds, 6);
        return code;
    }
    close_all((int[]){fds[1], fds[3], fds[4]}, 3);
    run->output = fds[0];
    run->report = fds[2];
    run->leash = fds[5];
    (void)fcntl(run->output, F_SETFL, O_NONBLOCK);
    (void)fcntl(run->report, F_SETFL, O_NONBLOCK);
    run->output_open = true;
    return 0;
}

/* --- what comes from there --- */

static void keep(struct run *run, const uint8_t *bytes, size_t size)
{
    struct nzd_buf *out = &run->result->output;
    size_t room = run->program->output_max - out->size;

    if (size > room)
        run->result->cut = true;
    nzd_buf_bytes(out, bytes, size < room ? size : room);
}

/* Reads up to `limit` bytes of what is there; what does not fit is dropped,
 * so that the program never waits for us. */
static void read_output(struct run *run, size_t limit)
{
    uint8_t bytes[4096];

    while (run->output_open && limit > 0) {
        ssize_t got = read(run->output, bytes, sizeof(bytes));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            run->output_open = false;
            (void)epoll_ctl(run->both, EPOLL_CTL_DEL, run->output, NULL);
            return;
        }
        keep(run, bytes, (size_t)got);
        limit -= (size_t)got < limit ? (size_t)got : limit;
    }
}

static void hear(struct run *run, const struct nzd_program_report *report)
{
    switch (report->word) {
    case NZD_PROGRAM_STARTED:
        run->group = report->value;
        return;
    case NZD_PROGRAM_FAILED:
        run->failed_to_start = true;
        run->status = report->value;
        return;
    case NZD_PROGRAM_ENDED:
        run->ended = true;
        run->supervised_end = true;
        if (!run->failed_to_start)
            run->status = report->value;
        return;
    default:
        return;
    }
}

/* The end of the stream without the last word: the supervisor was killed. */
static void read_report(struct run *run)
{
    struct nzd_program_report report;
    ssize_t got;

    while (!run->ended) {
        got = read(run->report, &report, sizeof(report));
        if (got == (ssize_t)sizeof(report)) {
            hear(run, &report);
        } else if (got >= 0) {
            run->ended = true;
            if (!run->failed_to_start)
                run->status = SIGKILL;
        } else if (errno != EINTR) {
            return;
        }
    }
}

/* --- the wait --- */

static void look(struct run *run)
{
    read_output(run, READ_MAX);
    read_report(run);
}

/* Until the program has ended, or has to be ended. */
static int let_run(struct run *run, struct nzd_err *err)
{
    uint64_t deadline = nzd_clock_deadline(run->program->timeout_us);
    struct pollfd both = {.fd = run->both, .events = POLLIN};
    uint64_t left = nzd_clock_left(deadline);
    int code = 0;

    while (!run->ended && code >= 0 && left > 0 && !nzd_interrupt_pending()) {
        if (run->link)
            code = nzd_link_tend(run->link, run->both, left, err);
        else
            (void)nzd_interrupt_poll(&both, 1, left);
        look(run);
        left = nzd_clock_left(deadline);
    }
    return code < 0 ? code : 0;
}

/* Asks the supervisor to end it. A pending signal would turn a wait of the
 * link into a spin: it only looks here, 20 times a second. */
static void bring_down(struct run *run)
{
    uint64_t deadline = nzd_clock_deadline(DOWN_US);

    if (write(run->leash, "t", 1) < 0)
        deadline = 0;
    while (!run->ended && nzd_clock_left(deadline) > 0) {
        struct pollfd both = {.fd = run->both, .events = POLLIN};

        (void)poll(&both, 1, 50);
        if (run->link && !nzd_link_is_dead(run->link))
            (void)nzd_link_tend(run->link, -1, 0, NULL);
        look(run);
    }
}

/* A supervisor that gave no last word was killed or hangs: its group goes
 * without it. */
static void clean_up(struct run *run)
{
    if (!run->supervised_end) {
        (void)kill(run->supervisor, SIGKILL);
        if (run->group > 0)
            (void)kill(-run->group, SIGKILL);
    }
    close_all((int[]){run->leash, run->both}, 2);
    while (waitpid(run->supervisor, NULL, 0) < 0 && errno == EINTR)
        continue;
    close_all((int[]){run->output, run->report}, 2);
}

static void judge(struct run *run, bool brought_down, bool interrupted)
{
    struct nzd_program_result *result = run->result;

    result->status = run->status;
    if (run->failed_to_start) {
        result->end = NZD_PROGRAM_NOT_STARTED;
    } else if (brought_down) {
        result->end =
            interrupted ? NZD_PROGRAM_INTERRUPTED : NZD_PROGRAM_TIMED_OUT;
        result->status = 0;
    } else if (WIFSIGNALED(run->status)) {
        result->end = NZD_PROGRAM_SIGNALLED;
        result->status = WTERMSIG(run->status);
    } else {
        result->end = NZD_PROGRAM_EXITED;
        result->status = WEXITSTATUS(run->status);
    }
}

static int run_through(struct run *run, struct nzd_err *err)
{
    bool brought_down;
    bool interrupted;
    int code = 0;

    if (!make_epoll(run))
        code = nzd_err_system(err, NZD_EINTERNAL, errno, "epoll");
    if (code == 0)
        code = let_run(run, err);
    interrupted = nzd_interrupt_pending() != 0;
    brought_down = !run->ended;
    if (brought_down)
        bring_down(run);
    read_output(run, DRAIN_MAX);
    clean_up(run);
    judge(run, brought_down, interrupted);
    if (code == 0 && run->result->output.failed)
        code = nzd_err_memory(err);
    return code;
}

int nzd_program_run(const struct nzd_program *program, struct nzd_link *link,
                    struct nzd_program_result *out, struct nzd_err *err)
{
    struct run run = {
        .program = program, .link = link, .result = out, .both = -1};
    uint64_t begin = nzd_clock_us();
    int code;

    memset(out, 0, sizeof(*out));
    if (nzd_interrupt_pending()) {
        out->end = NZD_PROGRAM_INTERRUPTED;
        return 0;
    }
    code = start(&run, err);
    if (code == 0)
        code = run_through(&run, err);
    out->took_us = nzd_clock_us() - begin;
    if (code != 0)
        nzd_buf_clear(&out->output);
    return code;
}
